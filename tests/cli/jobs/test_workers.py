"""Several inputs at once: real processes, some of which die."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from mmvatool.cli.console import Reporter
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.batch import Batch
from mmvatool.cli.jobs.work import Failed, Outcome, Task
from mmvatool.cli.jobs.workers import run_in_workers
from tests.helpers import labour
from tests.helpers.labour import WorkResult, jobs, noted
from trainer import usable_cpus


def task_in(folder: Path) -> Task[WorkResult]:
    return Task(partial(labour.load, folder), labour.make, overwrite=False)


def run(folder: Path, todo: list[Job], count: int = 2) -> dict[str, WorkResult | Failed]:
    outcomes: list[tuple[int, Outcome[WorkResult]]] = list(run_in_workers(todo, task_in(folder), count=count))
    assert sorted(index for index, _ in outcomes) == list(range(len(todo)))
    return {todo[index].input.name: outcome.result for index, outcome in outcomes}


def outputs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


def alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_each_job_is_done_once_and_each_process_loads_once(tmp_path):
    todo = jobs(tmp_path, "slow-1", "a", "fail-b", "slow-2", "c", "d")
    found = run(tmp_path, todo)
    failure = found.pop("fail-b")
    assert isinstance(failure, Failed)
    assert "fail-b: failed unexpectedly (ValueError: as it says)" in failure.text
    assert "in make" in failure.trace
    assert all(isinstance(result, WorkResult) and result.input.name == name for name, result in found.items())
    assert outputs(tmp_path) == ["a.txt", "c.txt", "d.txt", "slow-1.txt", "slow-2.txt"]
    pids = {pid for _, pid in noted(tmp_path, "begin")}
    assert len(pids) == 2
    assert {pid for (pid,) in noted(tmp_path, "load")} == pids
    assert str(os.getpid()) not in pids
    assert sorted(name for name, _ in noted(tmp_path, "begin")) == sorted(job.input.name for job in todo)
    assert not any(map(alive, pids))


def test_a_process_that_dies_costs_its_own_job_a_try(tmp_path):
    """One job kills its process once, one each time; the others are done once, nothing half-written is left."""
    todo = jobs(tmp_path, "slow-1", "falls-2", "dies-3", "slow-4", "e")
    found = run(tmp_path, todo)
    dead = found.pop("dies-3")
    assert isinstance(dead, Failed)
    assert dead.text == f"{tmp_path}/dies-3: the process at work on it was killed by SIGKILL (out of memory?), 2 times: try fewer --jobs"
    assert all(isinstance(result, WorkResult) for result in found.values())
    assert {name: result.overwrite for name, result in found.items() if isinstance(result, WorkResult)} == {
        "slow-1": False,
        "falls-2": True,
        "slow-4": False,
        "e": False,
    }
    assert outputs(tmp_path) == ["e.txt", "falls-2.txt", "slow-1.txt", "slow-4.txt"]
    begun = [name for name, _ in noted(tmp_path, "begin")]
    assert {name: begun.count(name) for name in begun} == {"slow-1": 1, "falls-2": 2, "dies-3": 2, "slow-4": 1, "e": 1}
    assert sorted(name for name, _ in noted(tmp_path, "end")) == ["e", "falls-2", "slow-1", "slow-4"]


@pytest.mark.parametrize(("given", "got"), [(None, str(max(1, usable_cpus() // 2))), ("7", "7")])
def test_processes_share_the_cores_unless_set_otherwise(tmp_path, monkeypatch, given: str | None, got: str):
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    (result,) = run(tmp_path, jobs(tmp_path, "a")).values()
    assert isinstance(result, WorkResult)
    assert result.threads == got


def test_an_end_in_the_middle_leaves_no_process_and_nothing_half_written(tmp_path):
    todo = jobs(tmp_path, "a", "endless-1", "endless-2")
    outcomes = run_in_workers(todo, task_in(tmp_path), count=2)
    index, _ = next(outcomes)
    assert index == 0
    while len(noted(tmp_path, "begin")) < 2:
        time.sleep(0.02)
    outcomes.close()
    assert outputs(tmp_path) == ["a.txt"]
    assert not any(alive(pid) for _, pid in noted(tmp_path, "begin"))


def test_ctrl_c_ends_all(tmp_path):
    """The signal comes while two jobs are under way."""
    todo = jobs(tmp_path, "endless-1", "endless-2")

    def interrupt() -> None:
        while len(noted(tmp_path, "begin")) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            list(run_in_workers(todo, task_in(tmp_path), count=2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert outputs(tmp_path) == []
    assert not any(alive(pid) for _, pid in noted(tmp_path, "begin"))


def test_results_are_reported_in_the_order_of_the_inputs(tmp_path, capsys):
    batch = Batch[WorkResult](Reporter(1), debug=False)
    todo = jobs(tmp_path, "slow-1", "a", "fail-b", "c")
    reported: list[str] = []
    batch.run(todo, task_in(tmp_path), lambda result, elapsed_s: reported.append(result.input.name), partial(run_in_workers, count=2))
    assert reported == [result.input.name for result in batch.results] == ["slow-1", "a", "c"]
    assert [path.name for path, _ in batch.failures] == ["fail-b"]
    assert batch.exit_code == 3
    assert capsys.readouterr().err.startswith(f"Error: {tmp_path}/fail-b: failed unexpectedly (ValueError: as it says)")


def test_a_model_that_cannot_be_loaded_is_reported_once(tmp_path, capsys):
    batch = Batch[WorkResult](Reporter(1), debug=False)
    task: Task[WorkResult] = Task(labour.load_nothing, labour.make, overwrite=False)
    same = [Job(Path("a"), tmp_path / "a"), Job(Path("a"), tmp_path / "b")]
    batch.run(same, task, lambda result, elapsed_s: None, partial(run_in_workers, count=2))
    assert len(batch.failures) == 2
    assert capsys.readouterr().err.count("there is no such model") == 1
