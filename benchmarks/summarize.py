"""Seconds of each stage of `summarize` beside a full ffmpeg decode of the same file, in one run, as ratios.

    python -m benchmarks.summarize [VIDEO] [--seconds 60] [--runs 3] [--every 250] [--sampling auto]

Without a VIDEO, 1080p30 H.264 of 8 Mb/s with a keyframe --every so many frames is drawn. Medians over the runs; the model is
loaded before, its loading and the imports are stated apart. Absolute seconds depend on the machine, ratios less so.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvatool.media import encode, ffmpeg, render
from mmvatool.media.probe import probe
from mmvatool.media.sampling import SAMPLINGS, pick
from mmvatool.pipelines import summarize as pipeline
from mmvatool.pipelines.curves import feel_frames
from mmvatool.selection import Curve, Settings, choose
from mmvatool.shots import slots
from tests.media import run_ffmpeg

Seconds = dict[str, list[float]]


@contextmanager
def clocked(seconds: Seconds, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage].append(time.perf_counter() - started)


def draw(path: Path, seconds: int, every: int) -> Path:
    """Moving and noisy, its colours inverted every 250 frames; 500 frames are encoded and repeated."""
    picture = "testsrc2=s=1920x1080:r=30:d=16.6667,negate=enable='gte(t,25/3)',noise=alls=12:allf=t"
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "8M", "-maxrate", "8M", "-bufsize", "8M", "-g", every, "-bf", 2)
    unit = path.with_name("unit.mp4")
    run_ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=f=330:d=16.6667", *codec, "-pix_fmt", "yuv420p", unit)
    run_ffmpeg("-stream_loop", -1, "-i", unit, "-c", "copy", "-t", seconds, path)
    return path


def measure(path: Path, seconds: Seconds, predictor, folder: Path, sampling: str) -> None:
    """One run of everything, in the order of the pipeline."""
    settings = Settings(sampling=sampling)
    with clocked(seconds, "full ffmpeg decode"):
        ffmpeg.run(ffmpeg.source(path)["v:0"].output("pipe:", format="null"), path)
    with clocked(seconds, "analysis"):
        with clocked(seconds, "- probing"):
            info = probe(path)
        grid = slots(info.start_s, info.end_s)
        samples = pick(info, grid.edges_s, settings.sampling)
        with clocked(seconds, "- sampling and scoring"):
            va, embeddings, _ = feel_frames(info, samples.frames, predictor)
        with clocked(seconds, "- selecting (with cut refinement)"):
            found, _ = pipeline._find_shots(info, grid, samples, embeddings, settings)
            chosen = choose(found, Curve(samples.times_s, va), info, settings)
    timeline = pipeline.Timeline.of(path, (shot.segment for shot in chosen if shot.kept))
    with clocked(seconds, "rendering"):
        render.render(timeline, info, folder / "out.mp4")
    with clocked(seconds, "the same cuts by ffmpeg alone"):
        for segment in timeline.segments:
            cut = ("-ss", segment.start_s, "-t", segment.length_s, "-i", path)
            run_ffmpeg(*cut, "-c:v", "libx264", "-preset", encode.PRESET, "-crf", encode.CRF, folder / "cut.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--sampling", choices=SAMPLINGS, default="auto")
    options = parser.parse_args()
    started = time.perf_counter()
    from trainer import Predictor

    predictor = Predictor.load(device="cpu")
    loading_s = time.perf_counter() - started
    seconds: Seconds = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or draw(Path(folder) / "drawn.mp4", options.seconds, options.every)
        info = probe(path)
        for _ in range(options.runs):
            measure(path, seconds, predictor, Path(folder), options.sampling)
    decode_s = statistics.median(seconds["full ffmpeg decode"])
    print(
        f"{path.name}: {info.duration_s:.0f} s, {info.video.width}x{info.video.height}, {info.video.codec}, {float(info.rate):.2f} frames/s"
    )
    print(f"torch and model loaded in {loading_s:.1f} s, not counted; medians of {options.runs} runs\n")
    print(f"| {'stage':31} | seconds | x full decode | x real time |\n| {'-' * 31} | ------- | ------------- | ----------- |")
    for stage, runs in seconds.items():
        median = statistics.median(runs)
        print(f"| {stage:31} | {median:7.2f} | {median / decode_s:13.2f} | {info.duration_s / median:11.1f} |")
    own, children = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"\nPeak memory of Python, torch included: {own:.0f} MiB; of the largest ffmpeg: {children:.0f} MiB")


if __name__ == "__main__":
    main()
