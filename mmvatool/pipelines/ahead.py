"""Work that runs ahead of what takes its results: decoding while a model predicts."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
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
    stopped = threading.Event()

    def work() -> None:
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
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        while thread.is_alive():
            try:
                made.get(timeout=0.05)
            except Empty:
                continue
        thread.join()
