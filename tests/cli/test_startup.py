"""Help, completion and usage errors do not wait for the heavy libraries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool import __version__
from tests.helpers import media
from trainer.data.files import write_wav

ROOT = Path(__file__).parents[2]
HEAVY = (
    "numpy",
    "rich",
    "torch",
    "transformers",
    "torchvision",
    "torchaudio",
    "open_clip",
    "moviepy",
    "matplotlib",
    "pydantic",
    "decord",
    "ruptures",
    "scipy",
    "jinja2",
)
PROBE = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from mmvatool.cli import run
code = run(sys.argv[1:])
print("", json.dumps([code, [name for name in {HEAVY} if name in sys.modules]]), sep="\\n")
"""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--help"], 0),
        (["-h"], 0),
        (["--version"], 0),
        (["summarize", "--help"], 0),
        (["prompt", "--help"], 0),
        (["completion", "fish"], 0),
        (["search", "--help"], 0),
        (["score", "--help"], 0),
        (["render", "--help"], 0),
        (["train", "--help"], 0),
        (["render"], 2),
        (["sumarize"], 2),
        (["summarize"], 2),
        (["prompt"], 2),
        (["prompt", "missing.jpg"], 2),
        (["prompt", "--va", "0,1", "--candidates", "missing.toml"], 2),
        (["library", "forget"], 2),
        (["summarize", "missing.mp4"], 2),
        (["summarize", "--rato", "1", "x"], 2),
    ],
)
def test_nothing_heavy_is_imported(args: list[str], code: int):
    done = subprocess.run([sys.executable, "-c", PROBE, *args], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout.splitlines()[-1]) == [code, []], done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [["search", "calm", "--va", "0.5,0.5", "--library", "."], ["summarize", "--ratio", "2", __file__]])
def test_what_the_settings_refuse_needs_numpy_at_most(args: list[str]):
    done = subprocess.run([sys.executable, "-c", PROBE, *args], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout.splitlines()[-1]) == [2, ["numpy"]], done.stderr


MODEL = ("torch", "torchvision", "torchaudio", "transformers", "open_clip")


@pytest.mark.parametrize(
    "args",
    [
        ["score", "{vlog}", "--every", "4s"],
        ["score", "{picture}", "--text", "a slow sad cello"],
        ["score", "{tune}"],
        ["summarize", "{vlog}", "-o", "{out}", "--by", "both", "--plot", "--report"],
        ["soundtrack", "{picture}", "--track", "{tune}", "--seconds", "1", "--size", "64x36", "--fps", "5", "-o", "{out}/slideshow.mp4"],
        ["search", "calm", "--library", "{music}", "--index", "{out}/index.sqlite3"],
        ["library", "index", "{music}", "--index", "{out}/index.sqlite3"],
        ["prompt", "{picture}", "--candidates", "{candidates}"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_the_bundled_model_needs_no_torch_on_a_cpu(args: list[str], vlog: Path, tmp_path: Path):
    music = tmp_path / "music"
    music.mkdir()
    second = np.arange(12 * 24000) / 24000
    write_wav(music / "tune.wav", 0.3 * np.sin(2 * np.pi * 330 * second) * np.exp(-5 * (second % 0.5)), 24000)
    Image.fromarray(media.meadow((96, 54), 0)).save(tmp_path / "picture.png")
    candidates = tmp_path / "candidates.toml"
    candidates.write_text('templates = ["A {mood} tune."]\n[candidates]\nmood = ["calm", "wild"]\n')
    places = {"vlog": vlog, "picture": tmp_path / "picture.png", "tune": music / "tune.wav", "music": music, "candidates": candidates}
    given = [arg.format(out=tmp_path, **places) if "{" in arg else arg for arg in args] + ["--device", "cpu"]
    probe = PROBE.replace(str(HEAVY), str(MODEL))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", probe, *given], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stderr


def test_templates_wait_for_a_report():
    code = "import sys, mmvatool.pipelines.summarize, mmvatool.pipelines.soundtrack; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == "False\n", done.stderr


def test_usage_errors_go_to_stderr(mmvatool):
    code, out, err = mmvatool("sumarize")
    assert (code, out) == (2, "")
    assert "No such command 'sumarize'" in err


def test_help_and_version_go_to_stdout(mmvatool):
    code, out, err = mmvatool("-h")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: mmvatool [-h|--help] [--version] COMMAND")
    assert mmvatool("--version") == (0, f"mmvatool, version {__version__}\n", "")


def test_python_m_runs_it():
    done = subprocess.run([sys.executable, "-m", "mmvatool", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"mmvatool, version {__version__}\n")


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, "10000 1"), ({"GOMP_SPINCOUNT": "7"}, "7 1"), ({"OPENBLAS_NUM_THREADS": "3"}, "10000 3")],
)
def test_threads_do_not_wait_by_spinning_for_long_unless_the_user_wants_it(given: dict[str, str], kept: str):
    code = "import os, sys; sys.argv = ['mmvatool', '--version']; from mmvatool.cli import main\ntry:\n    main()\nfinally:\n"
    code += "    print(os.environ['GOMP_SPINCOUNT'], os.environ['OPENBLAS_NUM_THREADS'], 'torch' in sys.modules)"
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS")} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment)
    assert done.stdout.splitlines()[-1] == f"{kept} False"
