"""The product as a stranger meets it: the wheel, whatever versions its metadata let in, an empty environment, another folder.

    python tests/smoke.py          # builds the wheel, installs it, runs everything; `make smoke`
    PYTHON tests/smoke.py inside   # only runs everything, with the environment that PYTHON belongs to

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
NOT_OURS = ("PYTHONPATH", "PIP_CONSTRAINT", "VIRTUAL_ENV", "XDG_CACHE_HOME")


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
        code = subprocess.run([str(python), "-I", str(Path(__file__).resolve()), "inside"], cwd=room).returncode
    sys.exit(code)


def packaged() -> set[str]:
    """All files of the packages: code, weights, templates of pages and prompts."""
    files = (path for package in ("mmvatool", "trainer") for path in (CHECKOUT / package).rglob("*") if path.is_file())
    return {path.relative_to(CHECKOUT).as_posix() for path in files if path.parent.name != "__pycache__"}


def inside() -> None:
    """Draw inputs, run every command on them, say what failed."""
    home = Path(tempfile.mkdtemp(prefix="mmvatool-smoke-home-"))
    try:
        folder = home / "work"
        folder.mkdir()
        draw(folder)
        failed = [name for name, arguments, check in steps(folder) if not passes(name, arguments, check, folder, home)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"smoke: {len(failed)} failed" + "".join(f"\n  {name}" for name in failed), flush=True)
    sys.exit(1 if failed else 0)


def steps(folder: Path) -> list[tuple[str, list[str], str]]:
    """Name, arguments of Python, and an expression over `out` (its stdout) and `folder` that must hold."""
    tool = ["-I", "-m", "mmvatool"]
    in_range = "all(0 <= one[axis] <= 1 for one in json.loads(out)['results'] for axis in ('valence', 'arousal'))"
    summary = "(folder / 'clip.summary.mp4').stat().st_size > 1000"
    return [
        ("libraries", ["-I", "-c", IMPORTS], "True"),
        *(
            (f"score {name}", [*tool, "score", *given, "--json"], f"{in_range} and len(json.loads(out)['results']) == 1")
            for name, given in (
                ("a picture", ["picture.png"]),
                ("a sound", ["music/wild.wav"]),
                ("a video", ["clip.mp4"]),
                ("words", ["--text", "a slow sad cello"]),
            )
        ),
        ("summarize", [*tool, "summarize", "clip.mp4", "--plot", "--report"], f"{summary} and (folder / 'clip.summary.html').exists()"),
        ("summarize --by both", [*tool, "summarize", "clip.mp4", "--by", "both", "--overwrite"], summary),
        (
            "search",
            [*tool, "search", "a furious drum solo", "--library", "music", "--json"],
            "[Path(one['path']).name for one in json.loads(out)['results']] == ['wild.wav', 'calm.wav']",
        ),
        ("soundtrack", [*tool, "soundtrack", "pictures", "--library", "music", "--size", "320x180"], "(folder / 'pictures.soundtrack.mp4').stat().st_size > 1000"),
        ("prompt", [*tool, "prompt", "picture.png"], "len(out.split()) > 3"),
        (
            "train",
            [*tool, "train", "compact", "--data", "data", "--out", "run", "--device", "cpu", *TRAIN],
            "(folder / 'run' / 'best.safetensors').exists()",
        ),
        ("score by the trained model", [*tool, "score", "picture.png", "--model", "run/best.safetensors", "--json"], in_range),
    ]  # fmt: skip


# Two steps: 24 pairs in batches of 12; calibration would cross-validate.
TRAIN = [
    part
    for change in ("train.epochs=1", "train.batch_size=12", "train.calibrate=false", "pairs.distinct.image=12", "data.split=all")
    for part in ("--set", change)
]


def passes(name: str, arguments: list[str], check: str, folder: Path, home: Path) -> bool:
    """Run one step in the folder, with an empty home, and say how it went."""
    environment = {key: value for key, value in os.environ.items() if key not in NOT_OURS} | {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
    start = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    try:
        fine = done.returncode == 0 and bool(eval(check, {"json": json, "Path": Path, "folder": folder, "out": done.stdout}))
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
    inside() if sys.argv[1:] == ["inside"] else main()
