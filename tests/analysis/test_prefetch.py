"""Work ahead of what takes it: in order, bounded, its errors passed on, nothing left behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from mmvatool.analysis.prefetch import prefetch


def _left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


def test_in_order_and_no_further_ahead_than_asked():
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    with prefetch(numbers(), 2) as items:
        taken = []
        for number in items:
            taken.append(number)
            time.sleep(0.005)
            assert len(made) <= len(taken) + 3  # two wait, one is in the making
    assert taken == list(range(20))
    assert not _left()


def test_all_may_be_made_before_one_is_taken():
    done = threading.Event()

    def numbers() -> Iterator[int]:
        yield from range(100)
        done.set()

    with prefetch(numbers(), 0) as items:
        assert done.wait(5)
        assert list(items) == list(range(100))


def test_an_error_comes_where_the_item_would():
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    with prefetch(numbers(), 2) as items:
        assert next(items) == 1
        with pytest.raises(KeyError, match="two"):
            next(items)
    assert not _left()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_leaving_ends_the_work_and_closes_the_generator(depth: int):
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
                time.sleep(0.001)
        finally:
            closed.set()

    with pytest.raises(KeyboardInterrupt), prefetch(numbers(), depth) as items:  # noqa: PT012 - raised inside, as Ctrl-C is
        next(items)
        time.sleep(0.02)
        raise KeyboardInterrupt
    assert closed.is_set()
    assert not _left()


@pytest.mark.parametrize("started", [True, False])
def test_interrupted_as_the_thread_starts(monkeypatch: pytest.MonkeyPatch, started: bool):
    """A signal may come when the thread runs already, and `start` has not returned yet, or before there is a thread."""
    opened, closed = threading.Event(), threading.Event()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if started:
            start(thread)
            assert opened.wait(5)
        raise KeyboardInterrupt

    def numbers() -> Iterator[int]:
        opened.set()
        try:
            while True:
                yield 1
                time.sleep(0.001)
        finally:
            closed.set()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), prefetch(numbers(), 2):
        pytest.fail("never entered")
    assert closed.is_set() == opened.is_set() == started
    assert not _left()


def test_a_thread_that_comes_late_does_nothing(monkeypatch: pytest.MonkeyPatch):
    """Interrupted when the system has made the thread, and it has not run yet."""
    late: list[threading.Thread] = []
    opened = threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        late.append(thread)
        raise KeyboardInterrupt

    def numbers() -> Iterator[int]:
        opened.set()
        yield 1

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), prefetch(numbers(), 2):
        pytest.fail("never entered")
    start(late[0])
    late[0].join(5)
    assert not opened.is_set()
    assert not _left()
