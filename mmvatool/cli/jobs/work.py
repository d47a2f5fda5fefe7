"""Tasks that other processes can run on inputs, and their outcomes."""

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
    """The error of a job: its line, and its traceback for --debug. Not every exception can be pickled, texts can."""

    text: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome(Generic[_Result]):
    """The result or the error of a job, and the seconds that it took."""

    result: "_Result | Failed"
    elapsed_s: float = 0.0


@dataclass
class Task(Generic[_Result]):
    """A function of an input with its model. It can be pickled until the model is loaded; each process loads it once.

    Args:
        load: returns the model; must be picklable.
        run: returns the result of an input and a target, with the keywords `predictor`, `overwrite` and `progress`; must be picklable.
        overwrite: whether outputs that exist are replaced.
    """

    load: "Callable[[], Predictor]"
    run: Callable[..., _Result]
    overwrite: bool

    @cached_property
    def predictor(self) -> "Predictor":
        """The model, loaded on first access."""
        return self.load()

    def __call__(self, job: Job, progress: "Progress", *, retry: bool = False) -> _Result:
        """Run a job; `retry` replaces outputs that a process which died on it may have written."""
        return self.run(job.input, job.target, predictor=self.predictor, overwrite=self.overwrite or retry, progress=progress)


@dataclass(frozen=True)
class Attempt:
    """A try to run a job in another process.

    Args:
        index: of the job among all jobs.
        job: the job.
        number: of the try, from 1.
        temp_prefix: in the names of the process's temporary files, so that they can be removed if it dies.
    """

    index: int
    job: Job
    number: int
    temp_prefix: str

    def run(self, task: Task[_Result]) -> Outcome[_Result]:
        """Run the job in this process."""
        files.set_temp_prefix(self.temp_prefix)
        try:
            task.predictor  # noqa: B018  # loaded before the job's time is measured
        except Exception as error:
            return Outcome(_failed(error, self.job.input))

        from mmvatool.progress import no_progress

        return attempt(lambda: task(self.job, no_progress, retry=self.number > 1), self.job.input)

    def next(self) -> "Attempt":
        """Another try, after the process has died."""
        return Attempt(self.index, self.job, self.number + 1, self.temp_prefix)

    def remove_temp_files(self) -> None:
        """Remove the temporary files of a process that has died."""
        files.remove_temp_files(self.job.target.parent, self.temp_prefix)


Engine = Callable[[list[Job], Task[Any]], Generator[tuple[int, Outcome[Any]], None, None]]
"""Runs jobs, and yields the index and the outcome of each as it ends."""


def attempt(run: Callable[[], _Result], path: Path) -> Outcome[_Result]:
    """The outcome of a function for an input, whatever it raises."""
    started = time.monotonic()
    try:
        result: _Result | Failed = run()
    except Exception as error:  # the other inputs go on, whatever it is
        result = _failed(error, path)
    return Outcome(result, time.monotonic() - started)


def _failed(error: Exception, path: Path) -> Failed:
    return Failed(explain(error, path), "".join(traceback.format_exception(error)))
