"""Messages and progress bars on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmvatool.errors import MmvatoolError
from mmvatool.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def explain(error: Exception, path: Path | None = None) -> str:
    """One line about an error: its message if this program raised it, else its type and what to do about it.

    Args:
        error: whatever was raised; an import error of a library names the library.
        path: the input that was processed, for unexpected errors.
    """
    if isinstance(error, MmvatoolError):
        return str(error)
    from trainer import explain_import  # imported here: a command that succeeds does not need it

    if (text := explain_import(error)) is not None:
        return text
    cause = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return f"{f'{path}: ' if path else ''}failed unexpectedly ({cause}): --debug shows where; please report it if the machine is well"


class Reporter:
    """Prints messages on stderr by level: 0 quiet (errors only), 1 normal, 2 verbose."""

    def __init__(self, level: int) -> None:
        self.level = level

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console  # imported here so that --help and usage errors do not wait for it

        return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        """Print an error, at any level."""
        self._console.print(f"Error: {printable(text)}")

    def say(self, text: str) -> None:
        """Print a message from level 1 on."""
        if self.level >= 1:
            self._console.print(printable(text))

    def detail(self, text: str) -> None:
        """Print a message at level 2."""
        if self.level >= 2:
            self._console.print(printable(text))

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int], AbstractContextManager[Callable[[int], None]]]]:
        """Show a bar with the time left for each stage, where stderr is a terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # otherwise rich prints stdout to stderr while a bar is shown
            disable=self.level < 1 or not self._console.is_terminal,
        )

        @contextmanager
        def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
            task = bars.add_task(name, total=total)
            yield lambda completed: bars.update(task, completed=completed)

        with bars:
            yield stage
