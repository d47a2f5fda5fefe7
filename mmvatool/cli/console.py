"""What people see: progress and messages on stderr, tables on stdout."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmvatool.errors import MmvatoolError

if TYPE_CHECKING:
    from rich.console import Console


def clean(text: str) -> str:
    """Text that is safe to print on one line: control characters and undecodable bytes of file names are escaped."""
    printable = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return printable.encode(errors="backslashreplace").decode()


def explain(error: Exception, path: Path | None = None) -> str:
    """An error in a line: its own message if it was raised on purpose, else what it is and what to do; so, too, a library that does not load."""
    if isinstance(error, MmvatoolError):
        return str(error)
    from trainer import explain_import  # here: a command that succeeds does not need it

    if (broken := explain_import(error)) is not None:
        return broken
    what = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return f"{f'{path}: ' if path else ''}failed unexpectedly ({what}): --debug shows where; please report it if the machine is well"


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Reporter:
    """Messages by level: 0 quiet (errors only), 1 normal, 2 verbose."""

    def __init__(self, level: int) -> None:
        self.level = level

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console  # here: --help and usage errors must not wait for it

        return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        """Always shown."""
        self._console.print(f"Error: {clean(text)}")

    def say(self, text: str) -> None:
        """Shown unless quiet."""
        if self.level >= 1:
            self._console.print(clean(text))

    def detail(self, text: str) -> None:
        """Shown with -v."""
        if self.level >= 2:
            self._console.print(clean(text))

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int], AbstractContextManager[Callable[[int], None]]]]:
        """Bars with time left, on a terminal; each stage is a bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else data that is printed beside a bar would go to stderr with it
            disable=self.level < 1 or not self._console.is_terminal,
        )

        @contextmanager
        def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
            task = bars.add_task(name, total=total)
            yield lambda done: bars.update(task, completed=done)

        with bars:
            yield stage
