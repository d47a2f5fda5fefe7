"""How pipelines report their progress."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# progress(stage, total) opens a stage; its context is a function to call with the amount done so far.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_progress(stage: str, total: int) -> Iterator[Callable[[int], None]]:
    """A Progress that reports nothing."""
    yield lambda done: None
