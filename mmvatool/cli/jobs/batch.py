"""A command over several inputs: one that fails does not stop the others."""

import json
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, explain
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.work import Engine, Failed, Outcome, Task, attempt
from mmvatool.errors import EngineError, OutputError
from mmvatool.text import printable

if TYPE_CHECKING:
    from mmvatool.progress import Progress


class Result(Protocol):
    """What a command makes of an input."""

    def to_json(self) -> dict[str, Any]:
        """The documented form."""
        ...


_Result = TypeVar("_Result", bound=Result)


class Batch(Generic[_Result]):
    """Results, what was left out and what failed."""

    def __init__(self, reporter: Reporter, *, debug: bool) -> None:
        self.results: list[_Result] = []
        self.skipped: list[Path] = []
        self.failures: list[tuple[Path, str]] = []
        self._reporter = reporter
        self._debug = debug

    def failed(self, error: Exception, *inputs: Path) -> None:
        """Tell of an error once, and note it for each input."""
        if self._debug:
            traceback.print_exception(error)
        self._reporter.error(explain(error, inputs[0]))
        self.failures += [(path, explain(error, path)) for path in inputs]

    def leave_existing(self, jobs: list[Job]) -> list[Job]:
        """Note the jobs whose output exists as skipped; the others are left to do."""
        done = [job for job in jobs if job.target.exists()]
        for job in done:
            self._reporter.say(f"{job.input}: skipped, {job.target} exists")
        self.skipped += [job.input for job in done]
        return [job for job in jobs if job not in done]

    def run(
        self,
        jobs: list[Job],
        work: "Task[_Result] | Callable[[Job, Progress], _Result]",
        tell: Callable[[_Result, float], None],
        engine: Engine | None = None,
    ) -> None:
        """Do the jobs, one by one or as an engine does them; `tell` gets each result and how many seconds it took.

        Results and failures are told in the order of the jobs, whatever the order they are done in: what is printed does not hang on chance.
        """
        if engine is None:
            done = self._in_turn(jobs, work)
        else:
            assert isinstance(work, Task)
            done = self._count(engine(jobs, work), len(jobs))
        ready: dict[int, Outcome[_Result]] = {}
        told: set[str] = set()
        place = 0
        try:
            with closing(done):
                for found, what in done:
                    ready[found] = what
                    while place in ready:
                        self._take(jobs[place], ready.pop(place), tell, told)
                        place += 1
        except EngineError as error:  # before any of it was done
            self.failed(error, *(job.input for job in jobs))

    def _take(self, job: Job, done: Outcome[_Result], tell: Callable[[_Result, float], None], told: set[str]) -> None:
        """Note what became of a job, and tell of it; what fails several jobs (a model that cannot be loaded) is told once."""
        if not isinstance(done.outcome, Failed):
            self.results.append(done.outcome)
            tell(done.outcome, done.seconds)
            return
        self.failures.append((job.input, done.outcome.text))
        if done.outcome.text not in told:
            told.add(done.outcome.text)
            if self._debug:
                print(done.outcome.trace, end="", file=sys.stderr)
            self._reporter.error(done.outcome.text)

    def _in_turn(self, jobs: list[Job], work: "Callable[[Job, Progress], _Result]") -> Generator[tuple[int, Outcome[_Result]], None, None]:
        """In this process, with a bar for each stage of a job."""
        for place, job in enumerate(jobs):
            with self._reporter.progress() as progress:
                done = attempt(lambda job=job, progress=progress: work(job, progress), job.input)  # type: ignore[misc]
            yield place, done

    def _count(
        self, done: Generator[tuple[int, Outcome[_Result]], None, None], total: int
    ) -> Generator[tuple[int, Outcome[_Result]], None, None]:
        """The same, with a bar of how many are done."""
        with closing(done), self._reporter.progress() as progress, progress("files", total) as finished:
            for count, found in enumerate(done, start=1):
                finished(count)
                yield found

    def to_json(self) -> str:
        """The one document that --json prints."""
        document = {
            "results": [result.to_json() for result in self.results],
            "skipped": [str(path) for path in self.skipped],
            "failures": [{"input": str(path), "error": text} for path, text in self.failures],
        }
        return json.dumps(document, indent=2)

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 some of it failed."""
        if not self.failures:
            return 0
        return EXIT_PARTLY if self.results or self.skipped else EXIT_FAILED


def make_folder(target: Path, output: str | None) -> None:
    """Create the output folder that -o names; a file's folder must be there.

    Raises:
        OutputError: it cannot be created.
    """
    if output is not None and target != Path(output):
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(Path(output), f"cannot be created ({error.strerror}): choose another folder with -o") from error


def place_plan(plan: str | None, exports: Sequence[Path], jobs: list[Job]) -> Path | None:
    """Where --plan says that plans go; the folder that it names is created.

    Raises:
        click.UsageError: one file for several inputs, or --export for several.
        OutputError: the folder cannot be created.
    """
    if exports and len(jobs) > 1:
        raise click.UsageError(f"--export {printable(str(exports[0]))}: several inputs would write it: export them one by one")
    if plan is None:
        return None
    where = Path(plan)
    if plan.endswith(("/", "\\")):
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(where, f"cannot be created ({error.strerror}): choose another folder with --plan") from error
    elif len(jobs) > 1 and not where.is_dir():
        raise click.UsageError(f"--plan {printable(plan)}: several inputs have several plans: name a folder, with a / at its end")
    return where
