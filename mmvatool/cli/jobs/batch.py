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
from mmvatool.cli.console import Reporter, Step, explain
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.work import Engine, Failed, Outcome, Task, attempt
from mmvatool.errors import EngineError, OutputError
from mmvatool.text import printable

if TYPE_CHECKING:
    from mmvatool.progress import Progress


class Result(Protocol):
    """The result of a command for an input."""

    def to_json(self) -> dict[str, Any]:
        """The documented form."""
        ...


_Result = TypeVar("_Result", bound=Result)


class Batch(Generic[_Result]):
    """Results, skipped inputs and failures of a command."""

    def __init__(self, reporter: Reporter, *, debug: bool) -> None:
        self.results: list[_Result] = []
        self.skipped: list[Path] = []
        self.failures: list[tuple[Path, str]] = []
        self._reporter = reporter
        self._debug = debug

    def failed(self, error: Exception, *inputs: Path) -> None:
        """Print an error once, and add a failure for each of the inputs that it concerns."""
        if self._debug:
            traceback.print_exception(error)
        self._reporter.error(explain(error, inputs[0]))
        self.failures += [(path, explain(error, path)) for path in inputs]

    def leave_existing(self, jobs: list[Job]) -> list[Job]:
        """The jobs whose output does not exist; the inputs of the others are skipped."""
        existing = [job for job in jobs if job.target.exists()]
        for job in existing:
            self._reporter.say(f"{job.input}: skipped, {job.target} exists")
        self.skipped += [job.input for job in existing]
        return [job for job in jobs if job not in existing]

    def run(
        self,
        jobs: list[Job],
        task: "Task[_Result] | Callable[[Job, Progress], _Result]",
        on_result: Callable[[_Result, float], None],
        engine: Engine | None = None,
    ) -> None:
        """Run a task on jobs. Results and failures are reported in the order of the jobs, whichever ends first.

        Args:
            jobs: one for each input.
            task: returns the result of a job; must be a `Task` where there is an engine.
            on_result: called with each result and the seconds that it took.
            engine: runs the jobs; without one they run in this process, one after the other.
        """
        if engine is None:
            outcomes = self._run_here(jobs, task)
        else:
            assert isinstance(task, Task)
            outcomes = self._count(engine(jobs, task), len(jobs))
        pending: dict[int, Outcome[_Result]] = {}
        printed: set[str] = set()
        next_index = 0
        try:
            with closing(outcomes):
                for index, outcome in outcomes:
                    pending[index] = outcome
                    while next_index in pending:
                        self._add(jobs[next_index], pending.pop(next_index), on_result, printed)
                        next_index += 1
        except EngineError as error:  # no job has run
            self.failed(error, *(job.input for job in jobs))

    def _add(self, job: Job, outcome: Outcome[_Result], on_result: Callable[[_Result, float], None], printed: set[str]) -> None:
        """Add the outcome of a job. An error that several jobs share, such as that of a missing model, is printed once."""
        if not isinstance(outcome.result, Failed):
            self.results.append(outcome.result)
            on_result(outcome.result, outcome.elapsed_s)
            return
        self.failures.append((job.input, outcome.result.text))
        if outcome.result.text not in printed:
            printed.add(outcome.result.text)
            if self._debug:
                print(outcome.result.trace, end="", file=sys.stderr)
            self._reporter.error(outcome.result.text)

    def _run_here(self, jobs: list[Job], task: "Callable[[Job, Progress], _Result]") -> Generator[tuple[int, Outcome[_Result]], None, None]:
        """Run jobs in this process, with a bar for each stage of a job."""
        for index, job in enumerate(jobs):
            with self._reporter.progress() as progress:
                outcome = attempt(lambda job=job, progress=progress: task(job, progress), job.input)  # type: ignore[misc]
            yield index, outcome

    def _count(
        self, outcomes: Generator[tuple[int, Outcome[_Result]], None, None], total: int
    ) -> Generator[tuple[int, Outcome[_Result]], None, None]:
        """The outcomes, with a bar of their number."""
        with closing(outcomes), self._reporter.progress() as progress, progress("files", total) as on_progress:
            for count, outcome in enumerate(outcomes, start=1):
                on_progress(count)
                yield outcome

    def conclude(self, *steps: Step) -> None:
        """Say how many of several inputs were done; of a single one that was done, what can be done next."""
        if len(self.results) + len(self.skipped) + len(self.failures) > 1:
            counts = {"done": len(self.results), "skipped": len(self.skipped), "failed": len(self.failures)}
            self._reporter.say(", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "done"))
        elif self.results:
            self._reporter.suggest(*steps)

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
        """0 if nothing failed, 1 if nothing was done, 3 if some inputs failed."""
        if not self.failures:
            return 0
        return EXIT_PARTLY if self.results or self.skipped else EXIT_FAILED


def make_folder(target: Path, output: str | None) -> None:
    """Create the output folder that -o names; the folder of a file must exist.

    Raises:
        OutputError: it cannot be created.
    """
    if output is not None and target != Path(output):
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(Path(output), f"cannot be created ({error.strerror}): choose another folder with -o") from error


def place_plan(plan: str | None, exports: Sequence[Path], jobs: list[Job]) -> Path | None:
    """The file or folder that --plan names; a folder is created.

    Raises:
        click.UsageError: one file for several inputs, or --export for several.
        OutputError: the folder cannot be created.
    """
    if exports and len(jobs) > 1:
        raise click.UsageError(f"--export {printable(str(exports[0]))}: several inputs would write it: export them one by one")
    if plan is None:
        return None
    target = Path(plan)
    if plan.endswith(("/", "\\")):
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(target, f"cannot be created ({error.strerror}): choose another folder with --plan") from error
    elif len(jobs) > 1 and not target.is_dir():
        raise click.UsageError(f"--plan {printable(plan)}: several inputs have several plans: name a folder, with a / at its end")
    return target
