"""Messages and progress bars on stderr."""

import errno
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmvatool.errors import MmvatoolError
from mmvatool.text import printable

if TYPE_CHECKING:
    from rich.console import Console

# What a bar says of a pipeline's stage.
STAGES = {
    "analyzing": "analyzing music",
    "composing": "composing music",
    "decoding": "reading the video",
    "files": "files",
    "hashing": "noting which files are used",
    "indexing": "analyzing music",
    "measuring": "comparing with people",
    "mixing": "mixing the sound",
    "prompts": "rating prompts",
    "rendering": "writing the video",
    "scoring": "rating what is seen",
    "scoring audio": "rating what is heard",
}
OPENERS = {"darwin": "open", "win32": "start"}
Step = tuple[str, Sequence[str | Path]]
"""What a command is for, and its words."""


def opener(path: Path | str) -> list[str]:
    """The command that opens a file with the program that the system has for it."""
    return [OPENERS.get(sys.platform, "xdg-open"), str(path)]


def again(*options: str, without: Collection[str] = ()) -> list[str]:
    """The command line that this process runs, with further options and without some."""
    given = [word for word in click.get_current_context().obj or () if word not in without]
    return ["mmvatool", *given, *(option for option in options if option not in given)]


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
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{error.filename or path}: the name is too long for its file system: choose a shorter one"
    cause = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return f"{f'{path}: ' if path else ''}failed unexpectedly ({cause}): --debug shows where; please report it if the machine is well"


class Reporter:
    """Prints messages on stderr.

    Args:
        level: 0 quiet (errors only), 1 normal, 2 verbose.
        hints: whether next steps are printed.
    """

    def __init__(self, level: int, *, hints: bool = False) -> None:
        self.level = level
        self.hints = hints

    @classmethod
    def of(cls, *, quiet: bool, verbose: bool = False, as_json: bool = False) -> "Reporter":
        """The reporter that the options --quiet, --verbose and --json ask for."""
        return cls(0 if quiet else 2 if verbose else 1, hints=not (quiet or as_json))

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

    def suggest(self, *steps: Step) -> None:
        """Print commands to go on with, where someone reads them: stderr is a terminal."""
        if self.hints and sys.stderr.isatty():
            for purpose, words in steps:
                self.say(f"  {f'{purpose}:':<{max(len(other) for other, _ in steps) + 1}}  {shlex.join(map(str, words))}")

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Show that something goes on whose length is not known, where stderr is a terminal."""
        return self._console.status(text) if self.level >= 1 and self._console.is_terminal else nullcontext()

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int], AbstractContextManager[Callable[[int], None]]]]:
        """Show a bar with the time left for each stage, where stderr is a terminal."""
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # otherwise rich prints stdout to stderr while a bar is shown
            disable=self.level < 1 or not self._console.is_terminal,
        )

        @contextmanager
        def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
            task = bars.add_task(STAGES[name], total=total)
            yield lambda completed: bars.update(task, completed=completed)

        with bars:
            yield stage


def then_suggest(command: click.Command, next_steps: Callable[[dict[str, Any]], Sequence[Step]]) -> None:
    """Have a command that knows nothing of this module suggest steps when it has succeeded.

    Args:
        command: its callback is wrapped.
        next_steps: of the command's parameters.
    """
    callback = command.callback
    assert callback is not None

    @wraps(callback)
    def suggesting(**given: Any) -> Any:
        result = callback(**given)
        Reporter.of(quiet=given.get("quiet", False), as_json=given.get("as_json", False)).suggest(*next_steps(given))
        return result

    command.callback = suggesting
