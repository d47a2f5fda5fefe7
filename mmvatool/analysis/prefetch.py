"""Compute items ahead of their consumer: decoding while a model predicts.

`prefetch` runs one iterator in a thread of its own; `prefetch_map` applies a function in the threads of a pool. Both keep the order and
bound what is computed but not yet consumed.
"""

import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def prefetch(items: Iterable[_Item], depth: int) -> Iterator[Iterator[_Item]]:
    """Iterate over items in a thread of its own, at most `depth` of them ahead (0: all).

    What the thread raises is raised in the consumer. Leaving the block stops the thread after its current item, and closes `items`, if
    it is a generator, in that thread.
    """
    results: Queue[tuple[list[_Item], BaseException | None]] = Queue(depth)
    start_lock = threading.Lock()  # whether the thread begins or the block is left first
    began, stopped = threading.Event(), threading.Event()

    def work() -> None:
        with start_lock:
            if stopped.is_set():
                return
            began.set()
        failure: BaseException | None = None
        try:
            for item in items:
                if stopped.is_set():
                    break
                results.put(([item], None))
        except BaseException as error:  # whatever it is, it is raised in the consumer
            failure = error
        finally:
            if isinstance(items, Generator):
                items.close()
            results.put(([], failure))

    def consume() -> Iterator[_Item]:
        while True:
            item, failure = results.get()
            if failure is not None:
                raise failure
            if not item:
                return
            yield item[0]

    # A daemon: a second interrupt, while the first waits for it, must still end the program.
    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    try:
        thread.start()  # within: an interrupt that comes as it returns must not leave the thread, and its ffmpeg, behind
        yield consume()
    finally:
        with start_lock:
            stopped.set()
        while began.is_set() and thread.is_alive():
            with suppress(Empty):
                results.get(timeout=0.05)


def prefetch_map(pool: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item], depth: int) -> Iterator[_Result]:
    """As `map` in the threads of a pool, at most `depth` results ahead. Closing it cancels those that have not begun."""
    remaining = iter(items)
    running: list[Future[_Result]] = [pool.submit(function, item) for item in itertools.islice(remaining, depth)]
    try:
        while running:
            result = running.pop(0).result()
            running += [pool.submit(function, item) for item in itertools.islice(remaining, 1)]
            yield result
            del result
    finally:
        for future in running:
            future.cancel()
