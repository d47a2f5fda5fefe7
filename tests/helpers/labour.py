"""Tasks for other processes: each job acts as its input's name says, and a log records which process ran it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvatool.cli.inputs import Job
from mmvatool.files import workspace
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.result import Summary

LOG = "log.txt"


@dataclass(frozen=True)
class WorkResult:
    """The result of a job, and the process that ran it."""

    input: Path
    pid: int
    threads: str | None
    overwrite: bool

    def to_json(self) -> dict[str, Any]:
        return {"input": str(self.input)}


def jobs(folder: Path, *names: str) -> list[Job]:
    """One for each name; the outputs go to a folder of their own."""
    (folder / "out").mkdir(exist_ok=True)
    return [Job(folder / name, folder / "out" / f"{name}.txt") for name in names]


def note(folder: Path, *words: object) -> None:
    with (folder / LOG).open("a") as log:
        log.write(" ".join(map(str, words)) + "\n")


def noted(folder: Path, first: str) -> list[list[str]]:
    """The other words of the log's lines that begin with a word."""
    lines = (folder / LOG).read_text().splitlines() if (folder / LOG).exists() else []
    return [line.split()[1:] for line in lines if line.split()[0] == first]


def load(folder: Path) -> Any:
    """The model: a word."""
    note(folder, "load", os.getpid())
    return "model"


def load_nothing() -> Any:
    raise ValueError("there is no such model")


def make(path: Path, target: Path, *, predictor: str, overwrite: bool, progress: object) -> WorkResult:
    """Write a file under a temporary name and rename it, unless the input's name has something else in store."""
    assert predictor == "model"
    folder, what = path.parent, path.name.partition("-")[0]
    note(folder, "begin", path.name, os.getpid())
    with workspace(target) as work:
        (work / "half").write_text(path.name)
        if what == "fail":
            raise ValueError("as it says")
        if what == "dies" or (what == "falls" and len([1 for name, _ in noted(folder, "begin") if name == path.name]) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "slow":
            time.sleep(0.5)
        if what == "endless":
            time.sleep(60)
        (work / "half").rename(target)
    note(folder, "end", path.name, os.getpid())
    return WorkResult(path, os.getpid(), os.environ.get("OMP_NUM_THREADS"), overwrite)


def summarize_slowly(path: Path, target: Path, *, progress: object, **options: Any) -> Summary:
    """`summarize`, that stands still in the middle of rendering an input called victim.mp4, when it does so for the first time."""
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager

    victim = path.name == "victim.mp4" and not noted(path.parent, "rendering")

    @contextmanager
    def stand_still(stage: str, total: int) -> Iterator[Callable[[int], None]]:
        def done(count: int) -> None:
            if victim and stage == "rendering":
                note(path.parent, "rendering", os.getpid())
                time.sleep(60)

        yield done

    note(path.parent, "begin", path.name, os.getpid())
    summary = summarize(path, target, progress=stand_still, **options)
    note(path.parent, "end", path.name, os.getpid())
    return summary
