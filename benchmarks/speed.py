"""Speed of summarize, library index and --help beside what a user would pick instead, in one run, as ratios.

    python -m benchmarks.speed [--quick] [--minutes 10 60] [--rounds 3] [--media FOLDER] [--results benchmarks/results.md]

All files are drawn (drawn.py). Every round does every work once, so that what slows the machine slows them all; figures are medians over
the rounds. Files of LONG_MIN minutes and more are measured in one round, and rivals once. The rivals need `pip install mmvatool[bench]`; those that
cannot be loaded are reported and left out. It takes about two hours on two cores.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import drawn, machine, rivals, works
from benchmarks.clock import Measured

DECODE = "full ffmpeg decode"
RIVALS: dict[str, Callable[[Path], None]] = {
    "ffmpeg -skip_frame nokey, all keyframes": rivals.keyframes,
    "decord, the middle of each 2 s": rivals.decord,
    "PyAV, the middle of each 2 s": rivals.pyav,
    "torchcodec, the middle of each 2 s": rivals.torchcodec,
    "PySceneDetect, detect-content": rivals.scenedetect,
}
CUT_S = "30"  # of a summary that is rendered
START_ROUNDS = 9
LONG_MIN = 30  # minutes of video from which on one round is enough: each takes as long as several of a shorter one


@dataclass(frozen=True)
class Target:
    """A line of the table of targets; `least` if more is better."""

    work: str
    target: float
    unit: str
    measured: float
    least: bool
    held_back: str

    def row(self) -> str:
        """A line of Markdown."""
        sign = "at least" if self.least else "at most"
        if math.isnan(self.measured):
            return f"| {self.work} | {sign} {self.target:g}{self.unit} | not measured | |"
        over = self.target / self.measured if self.least else self.measured / self.target
        verdict = "met" if over <= 1 else f"missed by a factor of {over:.2f}: {self.held_back}"
        return f"| {self.work} | {sign} {self.target:g}{self.unit} | {self.measured:.3g}{self.unit} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="files of a minute, one round, few tracks")
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--media", type=Path, help="where drawn files are kept for another run")
    parser.add_argument("--results", type=Path, default=works.ROOT / "benchmarks" / "results.md")
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.rounds = [1], 1
    system = machine.describe()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        media = options.media or folder / "media"
        media.mkdir(parents=True, exist_ok=True)
        page = ""
        for page in measure(media, folder, sorted(options.minutes), options.rounds, system, tracks=4 if options.quick else drawn.TRACKS):
            options.results.write_text(page, encoding="utf-8")
    print(page)


def measure(media: Path, folder: Path, minutes: list[int], rounds: int, system: list[str], tracks: int) -> Iterator[str]:
    """Measure everything, the longest files last.

    Args:
        media: where drawn files are.
        folder: for outputs.
        minutes: lengths of the videos, rising.
        rounds: how often.
        system: lines about the machine.
        tracks: of the library.

    Yields:
        The page of results so far, Markdown: an hour's measuring is not lost with what comes after it.
    """
    targets: list[Target] = []
    parts: list[str] = []

    first = minutes[0], next(iter(drawn.GOPS))

    def videos(length: int) -> Iterator[str]:
        for gop in drawn.GOPS:
            # Rivals on the first of all only: PySceneDetect alone decodes every frame.
            once = 1 if length >= LONG_MIN else rounds
            targets.extend(_video(drawn.video(media, gop, length), gop, length, once, folder, parts, with_rivals=(length, gop) == first))
            yield _page(system, rounds, targets, parts)

    _report("start-up")
    targets += _start(START_ROUNDS if rounds > 1 else 1, parts)
    works.warm_up(folder)
    yield from videos(minutes[0])
    targets += _rendering(drawn.video(media, "keyframe a second", 1), rounds, folder, parts)
    targets += _library(drawn.music(media, tracks), tracks, rounds, parts)
    _half_a_day(rounds, parts)
    yield _page(system, rounds, targets, parts)
    for length in minutes[1:]:
        yield from videos(length)


def _page(system: list[str], rounds: int, targets: list[Target], parts: list[str]) -> str:
    head = [
        "# Speed",
        "",
        "Made by `make bench` (`python -m benchmarks.speed`); medians of the rounds, all works side by side in each round. Once only: videos of "
        f"{LONG_MIN} minutes and more, `--sampling exact`, and rivals but for ffmpeg.",
    ]
    head += [
        "",
        *(f"- {line}" for line in system),
        f"- rounds: {rounds} (start-up {START_ROUNDS if rounds > 1 else 1})",
        "",
        "## Targets",
        "",
    ]
    head += ["| work | target | measured | |", "| --- | --- | --- | --- |", *(target.row() for target in targets), ""]
    return "\n".join([*head, *parts]).rstrip() + "\n"


def _report(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _table(title: str, heads: list[str], rows: list[list[str]], measured: Measured) -> list[str]:
    lines = [f"## {title}", "", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if measured.missing:
        lines += ["", *(f"Not measured: {name}: {why}." for name, why in measured.missing.items())]
    return [*lines, ""]


def _start(rounds: int, parts: list[str]) -> list[Target]:
    measured = Measured()
    plain = "python -c pass"
    lines = {
        plain: ("-c", "pass"),
        "mmvatool --help": ("-m", "mmvatool", "--help"),
        "mmvatool summarize --help": ("-m", "mmvatool", "summarize", "--help"),
        "a usage error: mmvatool summarize": ("-m", "mmvatool", "summarize"),
        "import torch": ("-c", "import torch"),
        "load the compact model": ("-c", "from trainer import Predictor; Predictor.load(device='cpu')"),
    }
    measured.run({name: partial(works.process, *line) for name, line in lines.items()}, rounds)
    rows = [[name, f"{measured[name]:.3f}", measured.spread(name), f"{measured[name] / measured[plain]:.1f}"] for name in lines]
    parts += _table("Start-up, the interpreter counted", ["what", "seconds", "least-most", "x python -c pass"], rows, measured)
    parts += ["Importing torch is in none of the figures below, loading the model (.1 s behind the import) in all.", ""]
    return [
        Target(
            "`--help`, start-up counted",
            0.25,
            " s",
            measured["mmvatool --help"],
            False,
            "the interpreter and the imports of click and of the commands; the ratio to an empty program shows a slow machine",
        )
    ]


def _video(path: Path, gop: str, minutes: int, rounds: int, folder: Path, parts: list[str], *, with_rivals: bool) -> list[Target]:
    seconds = minutes * 60
    title = f"{minutes}-minute 1080p30, {gop}"
    _report(title)
    measured = Measured()
    scoring = 0.0

    def analyse() -> None:
        nonlocal scoring
        with works.Scoring() as watch:
            works.analysis(path)
        scoring = watch.seconds

    auto, exact, lossless = "analysis, as it is by default", "analysis, --sampling exact", "analysis and --lossless cut"
    alone = "its frames alone, decoded and scaled"
    jobs: dict[str, Callable[[], object]] = {
        DECODE: partial(rivals.full_decode, path),
        auto: analyse,
        alone: partial(works.sampled, path),
        lossless: partial(works.lossless, path, folder),
    }
    measured.run(jobs, rounds)
    if with_rivals:
        others: dict[str, Callable[[], object]] = {exact: partial(works.analysis, path, "--sampling", "exact")}
        others |= {name: partial(rival, path) for name, rival in RIVALS.items()}
        measured.run(others, 1)
        jobs |= others
    decode_s = measured[DECODE]
    rows = [
        [name, f"{measured[name]:.2f}", measured.spread(name), f"{measured[name] / decode_s:.2f}", f"{seconds / measured[name]:.0f}"]
        for name in jobs
        if name not in measured.missing
    ]
    mb_s = path.stat().st_size * 8 / seconds / 1e6
    parts += _table(f"{title}, {mb_s:.1f} Mb/s", ["what", "seconds", "least-most", "x full decode", "x real time"], rows, measured)
    parts += [
        f"While frames were decoded, the model was at work for {scoring:.2f} s. Peak memory of summarize, torch included: {works.peak_mib(path):.0f} MiB.",
        "",
    ]
    share = f"decoding {seconds // 2} frames alone is {measured[alone] / decode_s:.3f} x full decode or {seconds / measured[alone]:.0f} x real time"
    if gop == "keyframe a second":
        fast = Target(f"analysis, {title}", 0.10, " x full decode", measured[auto] / decode_s, False, share)
        return [fast, Target(f"analysis and lossless cut, {title}", 100, " x real time", seconds / measured[lossless], True, share)]
    return [Target(f"analysis, {title}", 1.1, " x full decode", measured[auto] / decode_s, False, share)]


def _rendering(path: Path, rounds: int, folder: Path, parts: list[str]) -> list[Target]:
    _report("rendering")
    measured = Measured()
    segments = works.analysis(path, "--duration", CUT_S)
    ours, alone = "mmvatool, through moviepy's writer", "ffmpeg's concat demuxer, encoded again"
    jobs: dict[str, Callable[[], object]] = {
        alone: partial(rivals.ffmpeg_concat, path, segments, folder),
        ours: partial(works.rendered, path, segments, folder),
        "moviepy alone": partial(rivals.moviepy, path, segments, folder),
        "ffmpeg's concat demuxer, packets copied": partial(rivals.ffmpeg_copy, path, segments, folder),
        "the check of the result (in mmvatool's seconds)": partial(works.checked, folder / "rendered.mp4"),
    }
    measured.run(jobs, rounds)
    base = measured[alone]
    rows = [
        [name, f"{measured[name]:.2f}", measured.spread(name), f"{measured[name] / base:.2f}"]
        for name in jobs
        if name not in measured.missing
    ]
    parts += _table(f"Rendering {len(segments)} cuts, {CUT_S} s in all", ["what", "seconds", "least-most", "x re-encode"], rows, measured)
    held = f"the check, which decodes all that was written, is {measured[list(jobs)[-1]] / base:.2f}; two more pipes and a start of ffmpeg a cut"
    return [Target("render, against ffmpeg's re-encode with the same settings", 1.3, " x", measured[ours] / base, False, held)]


def _library(folder: Path, tracks: int, rounds: int, parts: list[str]) -> list[Target]:
    _report("library index")
    measured = Measured()
    scoring = 0.0

    def index() -> None:
        nonlocal scoring
        with works.Scoring() as watch:
            works.indexed(folder)
        scoring = watch.seconds

    measured.run({"library index": index}, rounds)
    seconds = tracks * drawn.TRACK_S
    speed = seconds / measured["library index"]
    row = [f"{tracks} mp3 of {drawn.TRACK_S} s", f"{measured['library index']:.1f}", measured.spread("library index"), f"{speed:.0f}"]
    parts += _table("library index", ["what", "seconds", "least-most", "x real time"], [row], measured)
    held = f"the model is {scoring / measured['library index']:.0%} of it, the rest decoding, hashing, loudness and tempo"
    return [Target("library index, compact", 150, " x real time", speed, True, held)]


def _half_a_day(rounds: int, parts: list[str]) -> None:
    _report("12 hours")
    measured = Measured()
    jobs: dict[str, Callable[[], object]] = {"knapsack, 5,400 shots": works.half_a_day_of_shots}
    jobs |= {f"shots, {what}": partial(works.half_a_day_of, embeddings) for what, embeddings in works.half_a_day_of_embeddings().items()}
    measured.run(jobs, rounds)
    rows = [[name, f"{measured[name]:.2f}", "4"] for name in jobs]
    parts += _table("12 hours of video, its frames already analyzed", ["what", "seconds", "at most"], rows, measured)


if __name__ == "__main__":
    main()
