"""Fixtures of the command-line tests: tiny clips, drawn once a session, and the program as a user's shell sees it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from mmvatool.cli import run
from tests.helpers import media

ROOT = Path(__file__).parents[2]
# SIGINT is set anew: whoever starts the tests in the background has it ignored, and children inherit that.
PROGRAM = (
    f"import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.path.insert(0, {str(ROOT)!r}); "
    "from mmvatool.cli import main; main()"
)


@pytest.fixture(scope="session")
def drawn_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s at 25 with sound: 3 s of meadow, 1 s of fireworks, 160 x 90."""
    folder = tmp_path_factory.mktemp("clips")
    return media.draw_scenes(folder / "drawn.mp4", [("meadow", 3), ("fireworks", 1)], size=(160, 90), rate=Fraction(25))


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an empty cache elsewhere: no test reads the predictions of another."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(cache / "matplotlib")))  # the list of fonts takes long to make
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(folder: Path, drawn_clip: Path) -> Path:
    """clip.mp4 in the working folder."""
    return Path(shutil.copy(drawn_clip, folder / "clip.mp4"))


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch, predictor) -> None:
    """The bundled model is loaded once a session, other models as ever."""
    from trainer import Predictor

    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda model="compact", **options: predictor if model == "compact" else load(model, **options))


@pytest.fixture
def mmvatool(once: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run one command line in this process: exit code, stdout, stderr."""

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start the program in a process of its own, in the working folder."""

    def call(*args: object, env: dict[str, str] | None = None, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, *map(str, args)]
        pipes: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, env={**os.environ, **(env or {})}, text=True, errors="surrogateescape", **pipes)  # type: ignore[call-overload]

    return call
