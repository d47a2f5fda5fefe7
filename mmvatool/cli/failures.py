"""Errors of single inputs, which do not stop the others."""

import traceback
from pathlib import Path

from mmvatool.cli.console import Reporter, explain


class FailureLog:
    """Prints errors as they come and keeps them for the JSON document.

    Args:
        reporter: prints them.
        debug: whether tracebacks are printed, too.
        once: whether a text that several inputs share, such as that of a missing model, is printed only the first time.

    Attributes:
        entries: input and text of each failure, in the order in which they came.
    """

    def __init__(self, reporter: Reporter, *, debug: bool, once: bool = False) -> None:
        self.entries: list[tuple[str, str]] = []
        self._reporter = reporter
        self._debug = debug
        self._once = once
        self._printed: set[str] = set()

    def add(self, error: Exception, *inputs: Path | str) -> None:
        """Print an error once and keep it for each of the inputs that it concerns, at least one."""
        if self._debug:
            traceback.print_exception(error)
        text = _explain(error, inputs[0])
        if not self._once or text not in self._printed:
            self._reporter.error(text)
        self._printed.add(text)
        self.entries += [(str(given), _explain(error, given)) for given in inputs]

    def to_json(self) -> list[dict[str, str]]:
        """The documented form."""
        return [{"input": name, "error": text} for name, text in self.entries]


def _explain(error: Exception, given: Path | str) -> str:
    return explain(error, given if isinstance(given, Path) else None)
