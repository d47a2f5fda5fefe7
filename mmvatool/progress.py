"""How pipelines tell how far they are."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# progress(stage, total) opens a stage and gives a function that is told how much of it is done.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_progress(stage: str, total: int) -> Iterator[Callable[[int], None]]:
    """The Progress that shows nothing."""
    yield lambda done: None
