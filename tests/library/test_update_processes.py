"""Runs over one index in processes of their own: killed half-way, and several at once."""

# ruff: noqa: F811 - fixtures of another file

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.synthetic import sound, write_wav
from tests.library.test_update import checkpoint, decoded, found, library, model, numbers  # noqa: F401 - fixtures

RUN = """
import sys, time
from mmvatool.library.database import Library
from mmvatool.library import update as pipeline
from trainer import Predictor
music, index, model, slow = sys.argv[1:]
analyze = pipeline.analyze_track
def slowly(path, predictor):
    print(path.name + "\\n", end="", flush=True)  # in one piece: threads do so at once
    time.sleep(float(slow))
    return analyze(path, predictor)
pipeline.analyze_track = slowly
predictor = Predictor.load(model, device="cpu", modalities=("music",))
print("ready", flush=True)
sys.stdin.readline()
with Library(index) as library:
    seen = pipeline.index(music, library, predictor)
assert not seen.broken, seen.broken
"""


@pytest.mark.slow  # a process of its own loads torch
class TestProcesses:
    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        """12 tracks of half a second."""
        (tmp_path / "many").mkdir()
        for number in range(12):
            write_wav(tmp_path / "many" / f"{number}.wav", sound(np.array([0.5, 0.5]), 0.5, np.random.default_rng(number)))
        return tmp_path / "many"

    @pytest.fixture
    def start(self, many: Path, tmp_path: Path, checkpoint: Path):
        """Runs in processes of their own, all at the same moment, which take so many seconds longer for each file."""
        command = [sys.executable, "-c", RUN, str(many), str(tmp_path / "index.db"), str(checkpoint)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started: list[subprocess.Popen[str]] = []

        def call(*slow: float) -> list["subprocess.Popen[str]"]:
            fresh = [subprocess.Popen([*command, str(seconds)], cwd=Path(__file__).parents[2], text=True, **pipes) for seconds in slow]
            started.extend(fresh)
            for process in fresh:
                assert process.stdout.readline() == "ready\n", process.communicate()
            for process in fresh:
                process.stdin.write("\n")
                process.stdin.flush()
            return fresh

        yield call
        for process in started:
            process.kill()
            process.communicate()

    def test_a_run_that_is_killed_is_gone_on_with(self, many, start, library, model, decoded):
        (process,) = start(0.3)
        until = time.monotonic() + 60
        while len(found(library, many, model)) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        kept = len(found(library, many, model))
        assert 3 <= kept < 12
        assert numbers(many, library, model) == ({"unchanged": kept, "added": 12 - kept, "predicted": 12 - kept}, [])
        assert len(decoded) == 12 - kept
        assert len(found(library, many, model)) == 12

    def test_two_runs_at_once_share_the_hearing(self, many, start, library, model, decoded):
        running = start(0.2, 0.2)
        ended = [process.communicate(timeout=120) for process in running]
        assert [(process.returncode, err) for process, (_, err) in zip(running, ended, strict=True)] == [(0, "")] * 2
        heard = [out.split() for out, _ in ended]
        assert sorted(heard[0] + heard[1]) == sorted(f"{number}.wav" for number in range(12))  # each once, by one of them
        assert numbers(many, library, model) == ({"unchanged": 12}, [])
        assert decoded == []
        assert library._file.sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert library._file.sql.execute("SELECT count(*) FROM contents").fetchone() == (12,)

    def test_what_a_killed_run_was_hearing_is_heard_by_one_that_waits(self, many, start, library, model):
        (killed,) = start(600)
        assert killed.stdout.readline()
        (other,) = start(0)
        until = time.monotonic() + 60
        while len(found(library, many, model)) < 9:  # all but what the first has in work
            assert other.poll() is None, other.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
        assert other.communicate(timeout=60)[1] == ""
        assert len(found(library, many, model)) == 12
