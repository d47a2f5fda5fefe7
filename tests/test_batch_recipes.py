"""recipes/batch/*.sh, run on tiny clips as a shell user would run them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from tests.helpers import media

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes" / "batch"
ODD_NAMES = ("a b.mp4", "two\nlines.mp4", "-dash.mp4", "q'u\"o$te.mp4")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def drawn_short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s at 10, 160 x 90, without sound."""
    folder = tmp_path_factory.mktemp("short")
    return media.draw_scenes(folder / "short.mp4", [("meadow", 1), ("rays", 1)], size=(160, 90), rate=Fraction(10), with_sound=False)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "in put").mkdir()
    return tmp_path / "in put"


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a recipe in tmp_path, with this checkout's `mmvatool` on PATH."""
    program = tmp_path / "bin" / "mmvatool"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom mmvatool.cli import main\nmain()\n", encoding="utf-8"
    )
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def call(name: str, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(RECIPES / name), *args], cwd=tmp_path, env={**env, **more}, capture_output=True, text=True, timeout=300
        )

    return call


def summaries(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.summary.mp4")}


def summary_of(name: str) -> str:
    return name.removesuffix(".mp4") + ".summary.mp4"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.sh")), ids=lambda path: path.name)
def test_every_recipe_can_be_run_and_stops_at_errors(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["loop.sh", "parallel.sh", "nightly.sh"])
def test_wrong_calls_say_how(recipe, name: str):
    done = recipe(name)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_loop_goes_on_after_a_failure(recipe, videos: Path, drawn_short: Path, tmp_path: Path):
    shutil.copy(drawn_short, videos / "-dash.1s.mp4")
    shutil.copy(drawn_short, tmp_path / "-here.mp4")
    done = recipe("loop.sh", "-out", "in put/missing\n.mp4", "in put/-dash.1s.mp4", "-here.mp4")
    assert done.returncode == 3, done.stderr
    assert done.stderr.endswith("2 done, 1 failed\n")
    assert summaries(tmp_path / "-out") == {"-dash.1s.summary.mp4", "-here.summary.mp4"}
    asked = json.loads((tmp_path / "-out" / "-dash.1s.summary.json").read_text())
    assert asked["settings"]["duration_s"] == 1.0  # as its name says
    assert asked["summary_s"] == pytest.approx(1.0, abs=0.11)


def test_loop_with_nothing_but_failures(recipe, videos: Path):
    assert recipe("loop.sh", "out", "in put/missing.mp4", "missing.mp4").returncode == 1


def test_parallel_does_every_video_below_a_folder(recipe, videos: Path, drawn_short: Path):
    (videos / "sub\nfolder").mkdir()
    for name in ODD_NAMES:
        shutil.copy(drawn_short, videos / "sub\nfolder" / name)
    shutil.copy(drawn_short, videos / "top.MP4")
    done = recipe("parallel.sh", "in put", "2", "--quiet", "--ratio", "0.3", BATCH="3")
    assert (done.returncode, done.stderr) == (0, "")
    assert summaries(videos) == {summary_of(name) for name in (*ODD_NAMES, "top.mp4")}
    assert json.loads((videos / "top.summary.json").read_text())["settings"]["ratio"] == 0.3

    (videos / "broken.mp4").write_text("broken")
    again = recipe("parallel.sh", "in put", "2", "--quiet")
    assert again.returncode == 1
    assert "broken.mp4" in again.stderr
    assert again.stderr.count("\n") == 1  # the others are left as they are


def test_parallel_in_a_folder_without_videos(recipe, videos: Path):
    assert recipe("parallel.sh", "in put").returncode == 0


class TestNightly:
    def test_each_night_does_what_is_new(self, recipe, videos: Path, drawn_short: Path, tmp_path: Path):
        shutil.copy(drawn_short, videos / "-one.mp4")
        first = recipe("nightly.sh", "in put", "out")
        assert first.returncode == 0, first.stderr
        out = tmp_path / "out"
        assert summaries(out) == {"-one.summary.mp4"}
        (document,) = [json.loads(path.read_text()) for path in (out / "results").iterdir()]
        assert len(document["results"]) == 1
        log = (out / "nightly.log").read_text()
        assert "-one.mp4: 1 shot" in log
        assert log.endswith("exit code 0\n")
        assert "-one.mp4: 1 shot" in first.stderr

        for path in (out / "results").iterdir():
            path.rename(path.with_name("first.json"))  # the clock may not have moved on
        shutil.copy(drawn_short, videos / "two\nlines.mp4")
        (videos / "broken.mp4").write_text("broken")
        second = recipe("nightly.sh", "in put", "out")
        assert second.returncode == 3
        assert summaries(out) == {"-one.summary.mp4", "two\nlines.summary.mp4"}
        assert len(list((out / "results").iterdir())) == 2
        (latest,) = [json.loads(path.read_text()) for path in (out / "results").iterdir() if path.name != "first.json"]
        assert [Path(name).name for name in latest["skipped"]] == ["-one.mp4"]
        assert [Path(result["input"]).name for result in latest["results"]] == ["two\nlines.mp4"]
        assert [Path(failure["input"]).name for failure in latest["failures"]] == ["broken.mp4"]
        assert (out / "nightly.log").read_text().startswith(log)

    def test_an_empty_folder_is_a_failure(self, recipe, videos: Path, tmp_path: Path):
        done = recipe("nightly.sh", "in put", "out")
        assert done.returncode == 1
        assert "holds no video" in (tmp_path / "out" / "nightly.log").read_text()

    def test_wrong_options_leave_no_results(self, recipe, videos: Path, tmp_path: Path):
        done = recipe("nightly.sh", "in put", "out", "--ratio", "2")
        assert done.returncode == 2
        assert list((tmp_path / "out" / "results").iterdir()) == []

    @pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
    def test_one_at_a_time(self, recipe, videos: Path, tmp_path: Path):
        (tmp_path / "out").mkdir()
        with (tmp_path / "out" / ".nightly.lock").open("w") as lock:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
            done = recipe("nightly.sh", "in put", "out")
        assert done.returncode == 75
        assert "an earlier run is still at work" in done.stderr
        assert recipe("nightly.sh", "in put", "out").returncode == 1  # free again; nothing to do is told apart
