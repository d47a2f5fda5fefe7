"""A library that does not load is one line; what does not need it works. The libraries are broken for real, in a process of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import media
from trainer import libraries
from trainer.errors import LibraryLoadError

SYMBOL = "_torchaudio.abi3.so: undefined symbol: torch_exception_get_what_without_backtrace"

TORCH = ("--precision", "bf16")  # what ONNX Runtime does not do


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder before all others on the path, whose finder makes the file of a package end as the dynamic linker does."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import importlib.abc, importlib.machinery, importlib.util, os, sys

            class Broken(importlib.machinery.SourceFileLoader):
                def get_data(self, path):
                    error = os.environ["BROKEN_BY"]
                    return b"import torch\\ndef load():\\n    " + error.encode() + b"\\nload()\\n"
                def get_code(self, name):
                    return compile(self.get_data(""), self.path, "exec")

            class Finder(importlib.abc.MetaPathFinder):
                def find_spec(self, name, path, target=None):
                    if name not in os.environ["BROKEN"].split(","):
                        return None
                    found = importlib.machinery.PathFinder.find_spec(name, path)
                    return importlib.util.spec_from_file_location(name, found.origin, loader=Broken(name, found.origin))

            sys.meta_path.insert(0, Finder())
            """
        )
    )
    (folder / "sounds").mkdir()
    media.write_wav(folder / "sounds" / "song.wav", media.scene_sound([("fireworks", 2)]))
    Image.fromarray(np.zeros((90, 160, 3), np.uint8)).save(folder / "picture.png")
    return folder


def run(folder: Path, *arguments: str, modules: str, by: str = f"raise OSError('{SYMBOL}')") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[2])]),
        "BROKEN": modules,
        "BROKEN_BY": by,
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_torchaudio_built_for_another_torch(broken: Path) -> None:
    """As torchaudio 2.11.1 was beside torch 2.11.0: baselines fail, in a line that says why; no prediction needs it."""
    given = ("picture.png", "sounds/song.wav", "--text", "calm", "--csv")
    assert run(broken, "-m", "mmvatool", "score", *given, *TORCH, modules="torchaudio").returncode == 0
    done = run(broken, "-m", "mmvatool", "evaluate", "va", "compact", "--cv", "--data", ".", modules="torchaudio")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert "torchaudio 2.11.0 does not load" in line
    assert SYMBOL in line
    assert "-m pip install torchaudio==2.11.0" in line
    assert "Traceback" not in done.stderr


def test_the_image_towers_library_is_theirs_alone(broken: Path) -> None:
    broken_by = "raise RuntimeError('operator torchvision::nms does not exist')"
    done = run(broken, "-m", "mmvatool", "score", "sounds/song.wav", "--text", "calm", "--csv", *TORCH, modules="torchvision", by=broken_by)
    assert done.returncode == 0, done.stderr
    done = run(broken, "-m", "mmvatool", "score", "picture.png", *TORCH, modules="torchvision", by=broken_by)
    assert done.returncode == 1
    assert "torchvision 0.26.0 does not load (operator torchvision::nms does not exist): " in done.stderr
    assert "-m pip install torchvision==0.26.0" in done.stderr


def test_without_torch_the_bundled_model_predicts_and_the_rest_fails_with_one_line(broken: Path) -> None:
    linker = "raise OSError('libtorch_cpu.so: cannot open')"
    given = ("picture.png", "sounds/song.wav", "--text", "calm")
    done = run(broken, "-m", "mmvatool", "score", *given, "--csv", modules="torch,torchvision,torchaudio", by=linker)
    assert done.returncode == 0, done.stderr
    assert {line.split(",")[0] for line in done.stdout.splitlines()[1:]} == {"picture.png", "sounds/song.wav", "calm"}
    for command in (
        ("score", "picture.png", *TORCH),
        ("evaluate", "va", "compact", "--data", "."),
        ("export", "compact", "-o", "model.onnx"),
    ):
        done = run(broken, "-m", "mmvatool", *command, modules="torch", by=linker)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert "Traceback" not in done.stderr
        assert line.startswith("Error: torch 2.11.0 does not load (libtorch_cpu.so: cannot open): ")
        assert line.endswith("-m pip install torch==2.11.0")


def test_torch_predicts_where_onnx_runtime_does_not_load(broken: Path) -> None:
    done = run(
        broken, "-m", "mmvatool", "score", "--text", "calm", "--csv", modules="onnxruntime", by="raise ImportError('DLL load failed')"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith("calm,text,")
    (line,) = [line for line in done.stderr.splitlines() if "torch" in line]
    assert line.startswith("compact: predicted by torch, as ONNX Runtime is not there: onnxruntime ")
    assert "does not load (DLL load failed): " in line


def test_a_library_without_partner_is_named_alone(broken: Path) -> None:
    done = run(
        broken, "-m", "mmvatool", "score", "picture.png", "--plot", "plane.png", modules="matplotlib", by="raise ImportError('no ft2font')"
    )
    assert done.returncode == 1
    assert "matplotlib " in done.stderr
    assert "does not load (no ft2font): " in done.stderr
    assert "-m pip install --force-reinstall 'matplotlib" in done.stderr
    assert not (broken / "plane.png").exists()


def test_the_partner_below_is_named_beside() -> None:
    """The linker's error comes out of torch, which was asked to load the other's file."""

    def fails(path: str, then: object = None) -> object:
        code = compile("if then:\n    then()\nelse:\n    raise OSError('undefined symbol')", path, "exec")
        return lambda: exec(code, {"then": then})

    site = Path(np.__file__).parents[1]
    down = fails(str(site / "torchaudio" / "x.py"), fails(str(site / "torch" / "_ops.py")))
    with pytest.raises(LibraryLoadError) as raised, libraries.imports():
        down()  # type: ignore[operator]
    assert "torchaudio 2.11.0 does not load beside torch 2.11.0 (undefined symbol): " in str(raised.value)
    assert str(raised.value).endswith("-m pip install torchaudio==2.11.0 torch==2.11.0")


def test_a_library_that_is_not_installed_is_reported_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_installed", lambda name: name != "moviepy")
    with (
        pytest.raises(LibraryLoadError, match=r"^moviepy is not installed: python.* -m pip install .*'moviepy>=2.2,<3'|'moviepy<3,>=2.2'"),
        libraries.imports(),
    ):
        raise ModuleNotFoundError("No module named 'moviepy.audio'", name="moviepy.audio")


@pytest.mark.parametrize("error", [OSError("disk full"), MemoryError(), RuntimeError("shape"), ModuleNotFoundError("x", name="trainer.x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, libraries.imports():
        raise error
    assert raised.value is error


def test_an_error_beside_a_library_that_was_done_without_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """decord may be missing: what goes wrong while ffmpeg stands in for it is not decord's."""
    monkeypatch.setattr(libraries, "_installed", lambda name: name != "decord")

    def stand_in() -> None:
        try:
            raise ModuleNotFoundError("No module named 'decord'", name="decord")
        except ImportError:
            raise OSError("disk full")  # noqa: B904 - raised while the other is handled, not from it

    with pytest.raises(OSError, match="disk full"), libraries.imports():
        stand_in()
