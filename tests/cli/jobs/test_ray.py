"""`--engine ray`, on a real cluster of two workers on this machine."""

import importlib.util
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mmvatool.cli.console import Reporter
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs import ray
from mmvatool.cli.jobs.batch import Batch
from mmvatool.cli.jobs.ray import run_on_ray
from mmvatool.cli.jobs.work import Attempt, Failed, Task
from mmvatool.errors import EngineError
from mmvatool.summary.result import Summary
from mmvatool.summary.settings import SummarySettings
from tests.helpers import labour
from tests.helpers.labour import noted
from trainer import Predictor


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """A cluster of two cores that this process is connected to."""
    import ray

    options = {"include_dashboard": False, "object_store_memory": 100 << 20, "log_to_driver": False, "logging_level": logging.CRITICAL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        handler = signal.getsignal(signal.SIGTERM)
        ray.init(address="local", num_cpus=2, **options)
        signal.signal(signal.SIGTERM, handler)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def test_a_worker_that_is_killed_half_way(ray_address: str, folder: Path, drawn_clip: Path, capsys):
    """Nothing is lost, nothing is done twice: its video is begun again, all others were begun once, and each output is written once."""
    names = ["a.mp4", "victim.mp4", "b.mp4", "c.mp4"]
    for name in names:
        shutil.copy(drawn_clip, name)
    (folder / "out").mkdir()
    jobs = [Job(Path(name), Path("out") / f"{name[:-4]}.summary.mp4") for name in (*names, "missing.mp4")]
    do = partial(labour.summarize_slowly, settings=SummarySettings(shots="uniform"))
    task: Task[Summary] = Task(partial(Predictor.load, device="cpu", modalities=("image",)), do, overwrite=False)
    written: dict[str, int] = {}

    def kill() -> None:
        while not (found := noted(folder, "rendering")) or not list((folder / "out").glob(".mmvatool-*")):
            time.sleep(0.02)
        os.kill(int(found[0][0]), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    batch = Batch[Summary](Reporter(1), debug=False)

    def on_result(summary: Summary, elapsed_s: float) -> None:
        assert summary.output is not None
        written[summary.input.name] = summary.output.stat().st_ino

    batch.run(jobs, task, on_result, partial(run_on_ray, count=None, device="auto"))
    killer.join()
    assert [str(summary.input) for summary in batch.results] == names
    ((failed, text),) = batch.failures
    assert failed == Path("missing.mp4")
    assert "missing.mp4: " in text
    assert batch.exit_code == 3
    assert "missing.mp4" in capsys.readouterr().err
    begun = [name for name, _ in noted(folder, "begin")]
    assert {name: begun.count(name) for name in begun} == {"a.mp4": 1, "victim.mp4": 2, "b.mp4": 1, "c.mp4": 1, "missing.mp4": 1}
    assert sorted(name for name, _ in noted(folder, "end")) == sorted(names)
    first, second = (pid for name, pid in noted(folder, "begin") if name == "victim.mp4")
    assert first != second
    assert ["victim.mp4", second] in noted(folder, "end")
    assert len({pid for _, pid in noted(folder, "begin")}) >= 2
    # Each output is still the file that was first reported, and a finished one; nothing else is left.
    assert {f"{path.name[: -len('.summary.mp4')]}.mp4": path.stat().st_ino for path in (folder / "out").glob("*.mp4")} == written
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(
        f"{name[:-4]}.summary.{suffix}" for name in names for suffix in ("json", "mp4")
    )
    contents = {(folder / "out" / f"{name[:-4]}.summary.mp4").read_bytes() for name in names}
    assert len(contents) == 1


def test_a_job_that_kills_every_worker_is_a_failure_of_its_own(ray_address: str, tmp_path: Path):
    jobs = labour.jobs(tmp_path, "dies-1", "fail-2", "c")
    batch = Batch[labour.WorkResult](Reporter(0), debug=False)
    task = Task(partial(labour.load, tmp_path), labour.make, overwrite=False)
    batch.run(jobs, task, lambda result, elapsed_s: None, partial(run_on_ray, count=1, device="cpu"))
    assert [result.input.name for result in batch.results] == ["c"]
    assert [path.name for path, _ in batch.failures] == ["dies-1", "fail-2"]
    assert "its worker died 3 times (" in batch.failures[0][1]
    assert [name for name, _ in noted(tmp_path, "begin")] == ["dies-1"] * 3 + ["fail-2", "c"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.txt"]


def test_an_end_in_the_middle_leaves_nothing_half_written(ray_address: str, tmp_path: Path):
    outcomes = run_on_ray(
        labour.jobs(tmp_path, "a", "endless-1", "endless-2"),
        Task(partial(labour.load, tmp_path), labour.make, overwrite=False),
        count=2,
        device="cpu",
    )
    assert next(outcomes)[0] == 0
    while len(noted(tmp_path, "begin")) < 2:
        time.sleep(0.02)
    outcomes.close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_the_program_on_the_cluster_that_ray_address_names(ray_address: str, start, mmvatool, clip: Path):
    """A process of its own prints what one without a cluster prints."""
    shutil.copy(clip, "d.mp4")
    process = start("summarize", ".", "--dry-run", "--json", "--no-cache", "--engine", "ray", "--jobs", 1, env={"RAY_ADDRESS": ray_address})
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out) == json.loads(mmvatool("summarize", ".", "--dry-run", "--json", "--no-cache")[1])
    assert [line.partition(":")[0] for line in err.splitlines()] == ["clip.mp4", "d.mp4", "2 done"]


def test_without_ray_it_says_what_to_install(mmvatool, clip: Path, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    code, out, err = mmvatool("summarize", "clip.mp4", "--engine", "ray")
    assert (code, out) == (2, "")
    assert err == 'Error: --engine ray needs Ray: pip install "mmvatool[ray]"\n'


def test_a_gpu_for_each_task_where_the_model_runs_on_one():
    assert [ray._gpus(there, device) for there, device in ((2, "auto"), (0, "auto"), (2, "cpu"), (1, "cuda"))] == [1, 0, 0, 1]
    with pytest.raises(EngineError, match="the Ray cluster has no GPU: use --device auto or cpu"):
        ray._gpus(0, "cuda")


def test_a_cluster_that_cannot_be_reached_fails_all(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def refuse(**options: object) -> None:
        raise ConnectionError("nobody answers\nand more")

    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    batch = Batch[labour.WorkResult](Reporter(1), debug=False)
    task = Task(partial(labour.load, folder), labour.make, overwrite=False)
    batch.run(labour.jobs(folder, "a", "b"), task, lambda result, elapsed_s: None, partial(run_on_ray, count=None, device="auto"))
    line = "the Ray cluster at 192.0.2.1:6379 cannot be reached (nobody answers): check RAY_ADDRESS, or use --engine local"
    assert [text for _, text in batch.failures] == [line, line]
    assert capsys.readouterr().err == f"Error: {line}\n"


def test_a_folder_that_a_machine_does_not_see(tmp_path: Path):
    outcome = ray._run(b"", Attempt(0, Job(Path("a.mp4"), tmp_path / "a"), 1, "prefix"), tmp_path / "elsewhere")
    assert isinstance(outcome.result, Failed)
    assert outcome.result.text.startswith(f"a.mp4: lies below {tmp_path}/elsewhere, but ")
    assert outcome.result.text.endswith(" does not see it (No such file or directory): --engine ray needs files that all machines share")
