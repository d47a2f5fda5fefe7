"""Work that runs ahead of what takes its results: decoding while a model predicts."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import TypeVar

_Item = TypeVar("_Item")


@contextmanager
def ahead(items: Iterable[_Item], depth: int) -> Iterator[Iterator[_Item]]:
    """Items made by a thread of their own, at most `depth` of them ahead (0: all).

    What the thread raises is raised where the item is taken. Leaving the block stops the thread once it has made the item that it is at,
    and closes `items`, if it is a generator, in it.
    """
    made: Queue[tuple[list[_Item], BaseException | None]] = Queue(depth)
    turn = threading.Lock()  # whether the thread begins or the block is left first
    began, stopped = threading.Event(), threading.Event()

    def work() -> None:
        with turn:
            if stopped.is_set():
                return
            began.set()
        failure: BaseException | None = None
        try:
            for item in items:
                if stopped.is_set():
                    break
                made.put(([item], None))
        except BaseException as error:  # whatever it is, it belongs to who takes the items
            failure = error
        finally:
            if isinstance(items, Generator):
                items.close()
            made.put(([], failure))

    def taken() -> Iterator[_Item]:
        while True:
            item, failure = made.get()
            if failure is not None:
                raise failure
            if not item:
                return
            yield item[0]

    # A daemon: a second interrupt, while the first waits for it, must still end the program.
    thread = threading.Thread(target=work, name="ahead", daemon=True)
    try:
        thread.start()  # within: an interrupt that comes as it returns must not leave the thread, and its ffmpeg, behind
        yield taken()
    finally:
        with turn:
            stopped.set()
        while began.is_set() and thread.is_alive():
            with suppress(Empty):
                made.get(timeout=0.05)
