"""The product as a stranger meets it: the wheel, whatever versions its metadata let in, an empty environment, another folder.

    python tests/smoke.py          # builds the wheel, installs it, runs everything, with torch and without; `make smoke`
    PYTHON tests/smoke.py inside   # only runs everything, with the environment that PYTHON belongs to
    PYTHON tests/smoke.py torchless  # the same where torch is missing: what needs it must say so in a line

The constraints and the extras are left out on purpose: what breaks here breaks for whoever types `pip install mmvatool`. Nothing of the
checkout is imported: not even the media are drawn with what the tests use.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
IMPORTS = "import open_clip, torchaudio; from transformers import HubertModel, RobertaModel"
TORCH = ("torch", "torchaudio", "torchvision")
TOOL = ["-I", "-m", "mmvatool"]
# Two steps: 24 pairs in batches of 12; calibration would cross-validate.
TRAIN = [
    part
    for change in ("train.epochs=1", "train.batch_size=12", "train.calibrate=false", "pairs.distinct.image=12", "data.split=all")
    for part in ("--set", change)
]
IN_RANGE = "all(0 <= one[axis] <= 1 for one in json.loads(out)['results'] for axis in ('valence', 'arousal'))"
TORCH_IS_MISSING = "error.count('torch is not installed: ') == 1 and 'Traceback' not in error"
NOT_OURS = ("PYTHONPATH", "PIP_CONSTRAINT", "VIRTUAL_ENV", "XDG_CACHE_HOME")

Step = tuple[str, list[str], str]
"""Name, arguments of Python, and an expression over `out` and `error` (what it printed) and `folder` that must hold."""


def main() -> None:
    """Build, install, run."""
    with tempfile.TemporaryDirectory(prefix="mmvatool-smoke-") as folder:
        room = Path(folder)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(room / "wheel"), str(CHECKOUT)], check=True)
        (wheel,) = (room / "wheel").iterdir()
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        if left_out := sorted(packaged() - set(zipfile.ZipFile(wheel).namelist())):
            sys.exit(f"smoke: not in the wheel: {', '.join(left_out)}")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(room / "venv")], check=True)
        python = room / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        subprocess.run([*pip, "--python", str(python), "install", "--quiet", str(wheel)], check=True)
        run = [str(python), "-I", str(Path(__file__).resolve())]
        subprocess.run([*run, "inside"], cwd=room, check=True)
        subprocess.run([*pip, "--python", str(python), "uninstall", "--quiet", "--yes", *TORCH], check=True)
        subprocess.run([*run, "torchless"], cwd=room, check=True)


def packaged() -> set[str]:
    """All files of the packages: code, weights, templates of pages and prompts."""
    files = (path for package in ("mmvatool", "trainer") for path in (CHECKOUT / package).rglob("*") if path.is_file())
    return {path.relative_to(CHECKOUT).as_posix() for path in files if path.parent.name != "__pycache__"}


def inside(*, torchless: bool) -> None:
    """Draw inputs, run every command on them, say what failed."""
    home = Path(tempfile.mkdtemp(prefix="mmvatool-smoke-home-"))
    try:
        folder = home / "work"
        folder.mkdir()
        draw(folder)
        if torchless:
            refused = [(f"{name} says that torch is missing", arguments, TORCH_IS_MISSING) for name, arguments, _ in steps_of_torch()]
            failed = [step[0] for step in steps() if not passes(step, folder, home)]
            failed += [step[0] for step in refused if not passes(step, folder, home, code=1)]
        else:
            trained = ("score by the trained model", [*TOOL, "score", "picture.png", "--model", "run/best.safetensors", "--json"], IN_RANGE)
            every = [("libraries", ["-I", "-c", IMPORTS], "True"), *steps(), *steps_of_torch(), trained]
            failed = [step[0] for step in every if not passes(step, folder, home)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"smoke: {len(failed)} failed" + "".join(f"\n  {name}" for name in failed), flush=True)
    sys.exit(1 if failed else 0)


def steps() -> list[Step]:
    """What works without torch, too."""
    summary = "(folder / 'clip.summary.mp4').stat().st_size > 1000"
    return [
        *(
            (f"score {name}", [*TOOL, "score", *given, "--json"], f"{IN_RANGE} and len(json.loads(out)['results']) == 1")
            for name, given in (
                ("a picture", ["picture.png"]),
                ("a sound", ["music/wild.wav"]),
                ("a video", ["clip.mp4"]),
                ("words", ["--text", "a slow sad cello"]),
            )
        ),
        ("summarize", [*TOOL, "summarize", "clip.mp4", "--plot", "--report"], f"{summary} and (folder / 'clip.summary.html').exists()"),
        ("summarize --by both", [*TOOL, "summarize", "clip.mp4", "--by", "both", "--overwrite"], summary),
        (
            "search",
            [*TOOL, "search", "a furious drum solo", "--library", "music", "--json"],
            "[Path(one['path']).name for one in json.loads(out)['results']] == ['wild.wav', 'calm.wav']",
        ),
        ("soundtrack", [*TOOL, "soundtrack", "pictures", "--library", "music", "--size", "320x180"], "(folder / 'pictures.soundtrack.mp4').stat().st_size > 1000"),
        ("prompt", [*TOOL, "prompt", "picture.png"], "len(out.split()) > 3"),
    ]  # fmt: skip


def steps_of_torch() -> list[Step]:
    """What needs torch."""
    return [
        ("train", [*TOOL, "train", "compact", "--data", "data", "--out", "run", "--device", "cpu", *TRAIN], "(folder / 'run' / 'best.safetensors').exists()"),
        ("evaluate va", [*TOOL, "evaluate", "va", "compact", "--data", "data", "--device", "cpu"], "'MSE' in out"),
        ("score in bf16", [*TOOL, "score", "picture.png", "--precision", "bf16", "--json"], IN_RANGE),
    ]  # fmt: skip


def passes(step: Step, folder: Path, home: Path, code: int = 0) -> bool:
    """Run one step in the folder, with an empty home, and say how it went."""
    name, arguments, check = step
    environment = {key: value for key, value in os.environ.items() if key not in NOT_OURS} | {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
    start = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    try:
        known = {"json": json, "Path": Path, "folder": folder, "out": done.stdout, "error": done.stderr}
        fine = done.returncode == code and bool(eval(check, known))
    except Exception as error:
        fine, done.stderr = False, f"{done.stderr}\n{type(error).__name__}: {error}"
    print(f"{'ok  ' if fine else 'FAIL'} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    if not fine:
        print(f"     exit {done.returncode}: {' '.join(arguments)}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}", flush=True)
    return fine


def draw(folder: Path) -> None:
    """A picture, two pictures for a soundtrack, calm and wild music, a clip of both, and data to train on."""
    import wave

    import imageio_ffmpeg
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(0)

    def picture(path: Path, wild: bool, seed: int) -> None:
        y, x = np.mgrid[:180, :320]
        if wild:
            angle = np.arctan2(y - 90, x - 160) + seed
            shade = np.where((np.sin(angle * 16) > 0)[..., None], (255, 220, 0), (230, 20, 20))
        else:
            shade = np.stack([120 + y // 3, 160 + y // 4, 230 - y // 4 - seed], -1)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(shade.astype(np.uint8)).save(path)

    def sound(path: Path, wild: bool, seconds: float, pitch: float = 220.0) -> None:
        t = np.arange(round(seconds * 24000)) / 24000
        tone = 0.1 * np.sin(2 * np.pi * pitch * t)
        if wild:
            tone = np.exp(-12 * (t % 0.2)) * (0.4 * chance.standard_normal(len(t)) + 0.3 * np.sign(tone))
        path.parent.mkdir(exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24000)
            file.writeframes((tone.clip(-1, 1) * 32767).astype("<i2").tobytes())

    picture(folder / "picture.png", True, 0)
    for number in range(2):
        picture(folder / "pictures" / f"{number}.png", bool(number), number)
    for name in ("calm", "wild"):
        sound(folder / "music" / f"{name}.wav", name == "wild", 12)
    frames = folder / "frames"
    for number in range(20):
        picture(frames / f"{number:02d}.png", 8 <= number < 12, number)
    sound(folder / "clip.wav", True, 20)
    ffmpeg = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-framerate",
        "1",
        "-i",
        str(frames / "%02d.png"),
        "-i",
        str(folder / "clip.wav"),
    ]
    subprocess.run([*ffmpeg, "-r", "30", "-pix_fmt", "yuv420p", "-g", "30", str(folder / "clip.mp4")], check=True, timeout=120)
    shutil.rmtree(frames)
    data = folder / "data"
    data.mkdir()
    rows = [(number, number / 23, 1 - number / 23) for number in range(24)]
    for number, valence, arousal in rows:
        picture(data / "images" / f"{number}.png", arousal > 0.5, number)
        sound(data / "music" / f"{number}-9.wav", arousal > 0.5, 1.0, 220 * 2**valence)
    (data / "image_va.csv").write_text("id,valence,arousal\n" + "".join(f"{n},{v:.3f},{a:.3f}\n" for n, v, a in rows))
    words = {number: "wild drums" if arousal > 0.5 else "a calm tone" for number, _, arousal in rows}
    (data / "music_va.csv").write_text("id,valence,arousal,caption\n" + "".join(f"{n}-9,{v:.3f},{a:.3f},{words[n]}\n" for n, v, a in rows))


if __name__ == "__main__":
    inside(torchless=sys.argv[1:] == ["torchless"]) if sys.argv[1:] in (["inside"], ["torchless"]) else main()
