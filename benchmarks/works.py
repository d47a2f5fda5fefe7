"""Works of mmvatool, as its commands in this process, so that the interpreter's and torch's start-up are not in the seconds."""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.clock import Unavailable
from mmvatool.analysis.slots import slots
from mmvatool.cli import EXIT_USAGE, run
from mmvatool.media import encode, render, sampling
from mmvatool.media.probe import probe
from mmvatool.summary import knapsack, shots
from mmvatool.timeline import Segment, Timeline
from tests.helpers.media import draw_scenes, scene_sound, write_wav
from trainer import Predictor

ROOT = Path(__file__).parents[1]
HALF_A_DAY_S, SHOTS = 43_200, 5_400


def command(*arguments: object) -> dict[str, object]:
    """Run a command of mmvatool with an empty cache, and return its JSON.

    Raises:
        Unavailable: this version has no such option.
        RuntimeError: it failed.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        tempfile.TemporaryDirectory() as cache,
        _environment("XDG_CACHE_HOME", cache),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run([*map(str, arguments), "--json", "--quiet"])
    if code == EXIT_USAGE:
        raise Unavailable(err.getvalue().strip().splitlines()[-1].removeprefix("Error: ").rstrip("."))
    if code:
        raise RuntimeError(f"mmvatool {' '.join(map(str, arguments))}: exit code {code}: {out.getvalue()[-500:]}{err.getvalue()[-500:]}")
    return json.loads(out.getvalue())


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Scoring:
    """Counts the seconds in which the model predicts frames, apart from decoding."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._image = Predictor.image

    def __enter__(self) -> "Scoring":
        def image(predictor, *args, **options):
            started = time.perf_counter()
            result = self._image(predictor, *args, **options)
            self.seconds += time.perf_counter() - started
            return result

        Predictor.image = image
        return self

    def __exit__(self, *_: object) -> None:
        Predictor.image = self._image


def warm_up(folder: Path) -> None:
    """Import everything and load each tower once, on little files."""
    clip = draw_scenes(folder / "warm.mp4", [("wall", 4), ("rays", 4)])
    analysis(clip)
    library = folder / "warm"
    library.mkdir()
    write_wav(library / "warm.wav", scene_sound([("rays", 12)]))
    indexed(library)


def analysis(path: Path, *options: str) -> list[Segment]:
    """All but rendering: `summarize --dry-run`."""
    result = command("summarize", path, "--dry-run", *options)["results"][0]
    return [Segment(shot["start_s"], shot["end_s"]) for shot in result["shots"] if shot["kept"]]


def sampled(path: Path) -> None:
    """The frames of the analysis, chosen, decoded and scaled, and nothing done with them."""
    info = probe(path)
    samples = sampling.pick(info, slots(info.start_s, info.end_s).edges_s, "auto")
    for _ in sampling.Sampler(info).read(samples.frames):
        pass


def lossless(path: Path, folder: Path) -> None:
    """Analysis and a lossless cut."""
    command("summarize", path, "--lossless", "--overwrite", "-o", folder / "lossless.mp4")


def rendered(path: Path, segments: list[Segment], folder: Path) -> None:
    """The part of `summarize` behind the analysis: render, decode once, check, rename."""
    render.render(Timeline.of(path, segments), probe(path), folder / "rendered.mp4")


def checked(path: Path) -> None:
    """The check of what was rendered, as `rendered` makes it."""
    info = probe(path)
    encode.check(path, path, len(info.times_s), (info.video.width, info.video.height), with_sound=info.audio is not None)


def indexed(library: Path) -> None:
    """`library index` from nothing."""
    command("library", "index", library)


def process(*arguments: str) -> float:
    """Seconds of a process of this Python, start-up counted."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def peak_mib(path: Path) -> float:
    """Greatest memory of `summarize --dry-run` as a process of its own; nan where the system does not say (it is not Linux)."""
    if not Path("/proc/self/status").exists():
        return math.nan
    # Not getrusage: there a new process begins with what the one that started it had.
    code = "import re, sys; from mmvatool.cli import run; code = run(sys.argv[1:]); "
    code += "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(code)"
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", code, "summarize", str(path), "--dry-run", "--quiet"],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    return int(done.stderr.splitlines()[-1]) / 1024


def half_a_day_of_shots() -> None:
    """The knapsack over 12 hours at 30 frames a second."""
    random = np.random.default_rng(0)
    weights = random.integers(30, 450, SHOTS)
    knapsack.solve(random.uniform(0.3, 0.6, SHOTS) * weights / 30, weights, round(0.15 * HALF_A_DAY_S * 30))


def half_a_day_of(embeddings: np.ndarray) -> None:
    """The shots of 12 hours."""
    frames = np.arange(HALF_A_DAY_S * 30) / 30
    samples = frames[(slots(0, HALF_A_DAY_S).centres_s * 30).astype(int)]
    shots.shots(embeddings, samples, frames, HALF_A_DAY_S, lambda change: 2.0 * change)


def half_a_day_of_embeddings() -> dict[str, np.ndarray]:
    """Embeddings of 12 hours in which shots are searched."""
    random, count = np.random.default_rng(0), HALF_A_DAY_S // 2
    still = np.ones((count, 512), np.float32)
    return {"a still picture": still, "a change at every sample": random.standard_normal(still.shape).astype(np.float32)}
