"""What is done with each of several inputs, in a form that other processes can be given, and what becomes of it."""

import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmvatool import files
from mmvatool.cli.console import explain
from mmvatool.cli.inputs import Job

if TYPE_CHECKING:
    from mmvatool.progress import Progress
    from trainer import Predictor

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Failed:
    """Why an input gave no result: the line, and the traceback for --debug. Errors themselves do not all survive the way between processes."""

    text: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome(Generic[_Result]):
    """What became of a job, and how many seconds it took."""

    outcome: "_Result | Failed"
    seconds: float = 0.0


@dataclass
class Task(Generic[_Result]):
    """What is done with each input. Until its model is asked for it can be sent to other processes, and each loads the model once.

    Args:
        load: gives the model; a function of a module, something with `__call__`, or a `partial` of one.
        do: gives the result of an input and a target, with `predictor`, `overwrite` and `progress` by name; likewise.
        overwrite: whether outputs that exist are replaced.
    """

    load: "Callable[[], Predictor]"
    do: Callable[..., _Result]
    overwrite: bool

    @cached_property
    def predictor(self) -> "Predictor":
        """The model, loaded when it is first asked for."""
        return self.load()

    def __call__(self, job: Job, progress: "Progress", *, again: bool = False) -> _Result:
        """Do a job; `again` if a process died of it, which may have left one of its outputs."""
        return self.do(job.input, job.target, predictor=self.predictor, overwrite=self.overwrite or again, progress=progress)


@dataclass(frozen=True)
class Attempt:
    """A job on its way to another process: the number of the try, and a mark in the names of its temporary files, to find them if it dies."""

    place: int
    job: Job
    number: int
    mark: str

    def do(self, work: Task[_Result]) -> Outcome[_Result]:
        """What becomes of it, in this process."""
        files.set_temp_prefix(self.mark)
        try:
            work.predictor  # noqa: B018  # how long it takes to load is not the job's
        except Exception as error:
            return Outcome(_failed(error, self.job.input))

        from mmvatool.progress import no_progress

        return attempt(lambda: work(self.job, no_progress, again=self.number > 1), self.job.input)

    def remove_temp_files(self) -> None:
        """Remove what it left half-written, after its process has died."""
        files.remove_temp_files(self.job.target.parent, self.mark)


Engine = Callable[[list[Job], Task[Any]], Generator[tuple[int, Outcome[Any]], None, None]]
"""Where jobs are done: gives their places among the jobs and what became of them, as they are done."""


def attempt(do: Callable[[], _Result], path: Path) -> Outcome[_Result]:
    """What becomes of a job on an input, whatever it raises."""
    started = time.monotonic()
    try:
        outcome: _Result | Failed = do()
    except Exception as error:  # whatever it is, the other inputs go on
        outcome = _failed(error, path)
    return Outcome(outcome, time.monotonic() - started)


def _failed(error: Exception, path: Path) -> Failed:
    return Failed(explain(error, path), "".join(traceback.format_exception(error)))
