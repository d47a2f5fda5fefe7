"""Everything the application raises on purpose. Every message names the file, what was wrong and what to do.

MmvatoolError              the root; defined in trainer/errors.py, since the trainer knows nothing of the application
├── TrainerError           whatever the trainer raises: checkpoints, weights, devices, recipes, data (trainer/errors.py)
├── SettingsError          a combination of options that cannot be (the command line reports it as a usage error)
├── EngineError            processes or machines that should do the work, and cannot
├── QueryError             a search that cannot be made
└── FileError              something about one file
    ├── MediaError         an input that cannot be read as what it should be
    ├── PlanError          a selection that cannot be made (a budget under one frame, kept ranges over the budget)
    ├── OutputError        a target that exists or cannot be written
    ├── LibraryError       an index of music that cannot be used
    ├── AnnotationError    annotations, shots or scores of a benchmark that cannot be used
    └── RenderError        a rendering that failed or did not pass its check

Exit codes of the command line: mmvatool/cli/__init__.py.
"""

from pathlib import Path

from trainer import MmvatoolError

__all__ = [
    "AnnotationError",
    "EngineError",
    "FileError",
    "LibraryError",
    "MediaError",
    "MmvatoolError",
    "OutputError",
    "PlanError",
    "QueryError",
    "RenderError",
    "SettingsError",
]


class SettingsError(MmvatoolError):
    """A combination of options that cannot be."""


class FileError(MmvatoolError):
    """Something about one file: `path: what was wrong: what to do`."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class MediaError(FileError):
    """An input that cannot be read as what it should be."""


class PlanError(FileError):
    """A selection that cannot be made."""


class OutputError(FileError):
    """A target that exists or cannot be written."""


class RenderError(FileError):
    """A rendering that failed or did not pass its check."""


class LibraryError(FileError):
    """An index of music that cannot be used."""


class EngineError(MmvatoolError):
    """Processes or machines that should do the work, and cannot."""


class QueryError(MmvatoolError):
    """A search that cannot be made."""


class AnnotationError(FileError):
    """Annotations, shots or scores of a benchmark that cannot be used."""
