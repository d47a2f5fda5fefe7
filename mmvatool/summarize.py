"""`summarize`: from a video file to the part of it worth watching. One pipeline, readable top to bottom.

probe -> sample a frame (and/or a window of sound) for each 2-second slot -> predict VA and embeddings -> shots -> value of
a shot = mean arousal x length -> exact knapsack under the budget -> Timeline -> render -> check -> rename.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool import energy, knapsack, report
from mmvatool.errors import OutputError, PlanError, SettingsError
from mmvatool.media import audio, render
from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.shots import LEAST_MAX_SHOT_S, MAX_SHOT_S, MIN_SHOT_S, Slots, shots, slots, uniform_shots
from mmvatool.timeline import Segment, Timeline

if TYPE_CHECKING:
    from trainer import Predictor

SCHEMA = "mmvatool.summary/1"
DEFAULT_RATIO = 0.15
SIGNALS = ("image", "music", "both")
SHOT_KINDS = ("auto", "uniform")
VALUES = ("integral", "mean")
TICK_TOLERANCE = 1e-6

# progress(stage, total) opens a stage and gives a function that is told how much of it is done.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_progress(stage: str, total: int) -> Iterator[Callable[[int], None]]:
    """The Progress that shows nothing."""
    yield lambda done: None


@dataclass(frozen=True)
class Settings:
    """How to choose.

    Args:
        ratio: budget as a part of the source's length, in (0, 1); not used when `duration_s` is given.
        duration_s: budget in seconds.
        by: arousal of "image", of "music" (the sound), or the mean of "both" after ranking each.
        shots: "auto" (change points) or "uniform" (a slot each).
        value: "integral" (mean arousal x length), or "mean" (TVSum's protocol).
        min_shot_s, max_shot_s: bounds of an automatic shot.
        keep, drop: stretches that are forced in and out.

    Raises:
        SettingsError: a value outside of what is allowed.
    """

    ratio: float = DEFAULT_RATIO
    duration_s: float | None = None
    by: str = "image"
    shots: str = "auto"
    value: str = "integral"
    min_shot_s: float = MIN_SHOT_S
    max_shot_s: float = MAX_SHOT_S
    keep: tuple[Segment, ...] = ()
    drop: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise SettingsError(f"ratio {self.ratio}: must lie between 0 and 1, both excluded")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise SettingsError(f"duration {self.duration_s} s: must be more than 0")
        for name, value, allowed in (("by", self.by, SIGNALS), ("shots", self.shots, SHOT_KINDS), ("value", self.value, VALUES)):
            if value not in allowed:
                raise SettingsError(f"{name} {value!r}: allowed are {', '.join(allowed)}")
        if not self.min_shot_s > 0:
            raise SettingsError(f"shortest shot {self.min_shot_s} s: must be more than 0")
        if not max(LEAST_MAX_SHOT_S, 2 * self.min_shot_s) <= self.max_shot_s < math.inf:
            raise SettingsError(
                f"longest shot {self.max_shot_s} s: must be at least {LEAST_MAX_SHOT_S:g} s (two samples) and twice the shortest ({self.min_shot_s} s)"
            )
        for kept in self.keep:
            for dropped in self.drop:
                if kept.overlap_s(dropped) > 0:
                    raise SettingsError(f"the ranges to keep {_span(kept)} and to drop {_span(dropped)} overlap: change one of them")


@dataclass(frozen=True)
class Curve:
    """What was felt when: one sample for each slot. `va` (N, 2) in [0, 1]; valence is NaN where only sound was scored."""

    times_s: np.ndarray
    va: np.ndarray


@dataclass(frozen=True)
class ScoredShot:
    """A shot with its mean valence (None where only sound was scored) and arousal, and whether it is kept."""

    segment: Segment
    valence: float | None
    arousal: float
    kept: bool = False
    fixed: bool = False  # a range of --keep or --drop decided, or too short a rest of one


@dataclass(frozen=True)
class Summary:
    """The result: the plan, and what was written (`output` is None for a dry run)."""

    input: Path
    output: Path | None
    model: str
    settings: Settings
    info: MediaInfo
    curve: Curve
    shots: tuple[ScoredShot, ...]
    fallbacks: tuple[str, ...] = ()

    @property
    def timeline(self) -> Timeline:
        """What is rendered."""
        return Timeline.of(self.input, (shot.segment for shot in self.shots if shot.kept))

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md), schema SCHEMA."""
        settings = asdict(self.settings)
        for name in ("keep", "drop"):
            settings[name] = [[round(part.start_s, 6), round(part.end_s, 6)] for part in getattr(self.settings, name)]
        return {
            "schema": SCHEMA,
            "input": str(self.input),
            "output": None if self.output is None else str(self.output),
            "model": self.model,
            "settings": settings,
            "duration_s": round(self.info.duration_s, 6),
            "summary_s": round(self.timeline.duration_s, 6),
            "shots": [
                {
                    "start_s": round(shot.segment.start_s, 6),
                    "end_s": round(shot.segment.end_s, 6),
                    "valence": None if shot.valence is None else round(shot.valence, 6),
                    "arousal": round(shot.arousal, 6),
                    "kept": shot.kept,
                }
                for shot in self.shots
            ],
            "fallbacks": list(self.fallbacks),
        }


def summarize(
    path: Path | str,
    output: Path | str | None = None,
    *,
    predictor: "Predictor | None" = None,
    settings: Settings | None = None,
    plot: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Summary:
    """Summarize a video: the shots of the highest arousal that fit the budget, as a finished video.

    Args:
        path: the video.
        output: where to; `<name>.summary.mp4` beside the input by default. A JSON lies beside it, under the same name.
        predictor: a loaded model; the bundled one by default.
        settings: how to choose.
        plot: also write the arousal curve, with the kept parts shaded, as a PNG beside the output.
        dry_run: choose only; nothing is written.
        overwrite: replace existing outputs; otherwise they are an error.
        progress: told how far each stage is.

    Returns:
        The plan and where it went.

    Raises:
        MediaError: the input cannot be read as a video (or has no sound, when sound is asked for).
        PlanError: the budget is under one frame, or ranges to keep do not fit.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path, settings = Path(path), settings or Settings()
    target = Path(output) if output is not None else default_output(path)
    if not dry_run:
        check_writable(path, target, overwrite=overwrite, plot=plot)
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load()
    info = probe(path)
    grid = slots(info.start_s, info.end_s)
    frames = Frames(info)
    curve, embeddings, model, notes = _feel(info, grid, frames, predictor, settings, progress)
    summary = Summary(
        input=path,
        output=None,
        model=model,
        settings=settings,
        info=info,
        curve=curve,
        shots=choose(_find_shots(info, grid, frames, embeddings, settings), curve, info, settings),
    )
    notes += [note for note in (frames.fallback, f"{frames.damaged} frames are damaged" if frames.damaged else None) if note]
    if not dry_run:
        total = sum(round(segment.length_s * info.rate) for segment in summary.timeline.segments)
        with progress("rendering", total) as rendered:
            notes += render.render(summary.timeline, info, target, rendered)
        summary = replace(summary, output=target)
    summary = replace(summary, fallbacks=tuple(notes))
    if not dry_run:
        _write(target.with_suffix(".json"), (json.dumps(summary.to_json(), indent=2) + "\n").encode())
        if plot:
            kept = summary.timeline.segments
            _write(target.with_suffix(".png"), report.curve_png(curve.times_s, curve.va[:, 1], kept, (info.start_s, info.end_s), path.name))
    return summary


def default_output(path: Path, folder: Path | None = None) -> Path:
    """`<name>.summary.mp4`, beside the input or in a folder."""
    return (folder or path.parent) / f"{path.stem}.summary.mp4"


def outputs(target: Path, *, plot: bool) -> list[Path]:
    """All files that a summary writes."""
    return [target, target.with_suffix(".json"), *([target.with_suffix(".png")] if plot else [])]


def check_writable(path: Path, target: Path, *, overwrite: bool, plot: bool) -> None:
    """Refuse a target before any work is done for it.

    Raises:
        OutputError: it exists (without `overwrite`), is the input, has a suffix that cannot be written, or its folder
            is not there or not writable.
    """
    if target.suffix.lower() not in render.CONTAINERS:
        raise OutputError(target, f"cannot write {target.suffix or 'a file without suffix'}: name it {', '.join(render.CONTAINERS)}")
    if target.exists() and path.exists() and target.samefile(path):
        raise OutputError(target, "is the input itself: choose another name with -o")
    if not target.parent.is_dir():
        raise OutputError(target, "its folder does not exist: create it, or choose another with -o")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(target, "its folder is not writable: choose another with -o")
    for file in outputs(target, plot=plot):
        if file.is_dir():
            raise OutputError(file, "is a folder: choose another name with -o")
        if file.exists() and not overwrite:
            raise OutputError(file, "already exists: use --overwrite or --skip-existing")


def _feel(
    info: MediaInfo, grid: Slots, frames: Frames, predictor: "Predictor", settings: Settings, progress: Progress
) -> tuple[Curve, np.ndarray, str, list[str]]:
    """The curve over the slots, the embeddings (N, 512) of their frames, the name of what felt, and notes."""
    notes: list[str] = []
    by = settings.by
    if by == "both" and info.audio is None:
        notes.append("no sound: scored by its pictures alone")
        by = "image"
    va = np.full((len(grid), 2), np.nan, np.float32)
    embeddings = np.zeros((len(grid), 512), np.float32)
    if by != "music" or settings.shots == "auto":
        va, embeddings = _score_frames(info, grid, frames, predictor, progress)
    if by == "music":
        va = np.column_stack([np.full(len(grid), np.nan, np.float32), _score_sound(info, grid, progress)])
        return Curve(grid.centres_s, va), embeddings, energy.NAME, notes
    if by == "both":
        va[:, 1] = (_ranks(va[:, 1]) + _ranks(_score_sound(info, grid, progress))) / 2
        return Curve(grid.centres_s, va), embeddings, f"{predictor.name}+{energy.NAME}", notes
    return Curve(grid.centres_s, va), embeddings, predictor.name, notes


def _score_frames(info: MediaInfo, grid: Slots, frames: Frames, predictor: "Predictor", progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """VA (N, 2) and embeddings (N, 512) of the frames on screen at the slots' centres."""
    # At under one frame in two seconds, slots share a frame.
    indices, sharing = np.unique(info.frame_at(grid.centres_s), return_inverse=True)
    va, embeddings = np.empty((len(indices), 2), np.float32), np.empty((len(indices), 512), np.float32)
    with progress("decoding", len(indices)) as decoded, progress("scoring", len(indices)) as scored:
        for start in range(0, len(indices), predictor.batch_size):
            part = slice(start, start + predictor.batch_size)
            batch = frames.read(indices[part])
            decoded(min(part.stop, len(indices)))
            va[part], embeddings[part] = predictor.image(batch, embeddings=True)
            scored(min(part.stop, len(indices)))
    return va[sharing], embeddings[sharing]


def _score_sound(info: MediaInfo, grid: Slots, progress: Progress) -> np.ndarray:
    """Energy (N,) of the sound in each slot."""
    windows = [Segment(float(a), float(b)) for a, b in zip(grid.edges_s, grid.edges_s[1:], strict=False)]
    felt = []
    with progress("listening", len(windows)) as heard:
        for window in audio.read_windows(info, windows, energy.RATE_HZ):
            felt.append(energy.energy(window))
            heard(len(felt))
    return np.array(felt, np.float32)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks scaled to [0, 1], equal values sharing their mean rank; a constant is .5 throughout."""
    below = (values[:, None] > values[None]).sum(1)
    same = (values[:, None] == values[None]).sum(1)
    return ((below + (same - 1) / 2) / max(1, len(values) - 1)).astype(np.float32) if len(values) > 1 else np.full(1, 0.5, np.float32)


def _find_shots(info: MediaInfo, grid: Slots, frames: Frames, embeddings: np.ndarray, settings: Settings) -> list[Segment]:
    if settings.shots == "uniform":
        return uniform_shots(grid, info.times_s)
    sampled = info.frame_at(grid.centres_s)

    def refine(change: int) -> float:
        """The frame of the largest change between two samples; midway where nothing changes."""
        between = np.arange(sampled[change - 1], sampled[change] + 1)
        if len(between) < 2:
            return float(grid.edges_s[change])
        small = frames.read(between)[:, ::4, ::4].astype(np.int16)
        steps = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
        largest = int(steps.argmax()) if steps.max() > 0 else len(steps) // 2
        return float(info.times_s[between[largest + 1]])

    # A shot over the budget could never be kept: it is over the maximum, too.
    longest_s = min(settings.max_shot_s, max(_budget_s(info, settings), LEAST_MAX_SHOT_S, 2 * settings.min_shot_s))
    return shots(embeddings, info.times_s[sampled], info.times_s, info.end_s, refine, settings.min_shot_s, longest_s)


def _budget_s(info: MediaInfo, settings: Settings) -> float:
    return settings.ratio * info.duration_s if settings.duration_s is None else settings.duration_s


def choose(found: list[Segment], curve: Curve, info: MediaInfo, settings: Settings) -> tuple[ScoredShot, ...]:
    """Score shots, force ranges in and out, and fill the rest of the budget with the exact knapsack.

    Weights are in ticks of the nominal frame duration, rounded up, the capacity rounded down, so that a variable frame
    rate keeps the budget. Where no shot fits, the best run of whole frames inside one shot is kept.

    Args:
        found: shots that cover the video, in order.
        curve: the arousal to go by.
        info: the probed video.
        settings: budget, value and ranges.

    Returns:
        All shots in order of time, cut at the bounds of the ranges and of a kept run.

    Raises:
        PlanError: the budget is under one frame, a range lies outside of the video or is under one frame, the ranges
            to keep take more than the budget, or nothing is left to choose from.
    """
    budget_s = _budget_s(info, settings)
    capacity = int(budget_s * info.rate + TICK_TOLERANCE)
    if capacity < 1:
        raise PlanError(info.path, f"the budget of {budget_s:.3f} s is under one frame ({float(1 / info.rate):.3f} s): raise --ratio or --duration")
    pieces = _apply_ranges(found, curve, info, settings)
    ticks = [math.ceil(piece.segment.length_s * info.rate - TICK_TOLERANCE) for piece in pieces]
    forced = sum(weight for piece, weight in zip(pieces, ticks, strict=True) if piece.kept)
    if forced > capacity:
        over_s = float((forced - capacity) / info.rate)
        raise PlanError(info.path, f"the ranges to keep are {over_s:.2f} s over the budget of {budget_s:.2f} s: shorten them, or raise --ratio or --duration")
    free = [place for place, piece in enumerate(pieces) if not piece.fixed]
    fitting = [place for place in free if ticks[place] <= capacity - forced]
    values = np.array([pieces[place].arousal * (pieces[place].segment.length_s if settings.value == "integral" else 1.0) for place in fitting])
    chosen = knapsack.solve(values, np.array([ticks[place] for place in fitting], np.int64), capacity - forced)
    for place in np.array(fitting, np.int64)[chosen]:
        pieces[place] = replace(pieces[place], kept=True)
    if not fitting and not forced:
        if not free:
            raise PlanError(info.path, "the ranges to drop leave nothing to choose from: drop less")
        pieces = _keep_best_run(pieces, capacity, curve, info)
    return tuple(pieces)


def _apply_ranges(found: list[Segment], curve: Curve, info: MediaInfo, settings: Settings) -> list[ScoredShot]:
    """Score shots, cut at the bounds of the ranges to keep and drop; what lies in one is fixed."""
    keep = [_on_frames(part, "keep", info) for part in settings.keep]
    drop = [_on_frames(part, "drop", info) for part in settings.drop]
    bounds = sorted({edge for part in (*keep, *drop) for edge in (part.start_s, part.end_s)})
    pieces = []
    for shot in found:
        edges = [shot.start_s, *(edge for edge in bounds if shot.start_s < edge < shot.end_s), shot.end_s]
        for start_s, end_s in zip(edges, edges[1:], strict=False):
            piece = Segment(start_s, end_s)
            kept = any(piece.overlap_s(part) > 0 for part in keep)
            dropped = any(piece.overlap_s(part) > 0 for part in drop)
            sliver = piece.length_s < min(settings.min_shot_s, shot.length_s)
            pieces.append(replace(_score(piece, curve), kept=kept, fixed=kept or dropped or sliver))
    return pieces


def _on_frames(part: Segment, option: str, info: MediaInfo) -> Segment:
    start_s, end_s = info.snap(part.start_s), info.snap(part.end_s)
    if start_s >= end_s:
        raise PlanError(info.path, f"--{option} {_span(part)} holds no frame of the video, which goes to {info.end_s:.2f} s: change the range")
    return Segment(start_s, end_s)


def _score(piece: Segment, curve: Curve) -> ScoredShot:
    """Mean of the samples inside, or the nearest sample where a range cut off a piece without one."""
    inside = (piece.start_s <= curve.times_s) & (curve.times_s < piece.end_s)
    if not inside.any():
        inside = np.arange(len(curve.times_s)) == np.abs(curve.times_s - (piece.start_s + piece.end_s) / 2).argmin()
    valence, arousal = (float(mean) for mean in curve.va[inside].astype(np.float64).mean(0))
    return ScoredShot(piece, None if math.isnan(valence) else valence, arousal)


def _keep_best_run(pieces: list[ScoredShot], capacity: int, curve: Curve, info: MediaInfo) -> list[ScoredShot]:
    """No whole shot fits: keep the run of frames, inside one of them, with the largest integral of arousal.

    Among equals (a slot is of one arousal throughout) the one nearest around its sample.
    """
    edges = np.append(info.times_s, info.end_s)
    between = (curve.times_s[1:] + curve.times_s[:-1]) / 2
    arousal = curve.va[np.searchsorted(between, info.times_s), 1].astype(np.float64)
    integral = np.concatenate([[0.0], np.cumsum(arousal * np.diff(edges))])
    limit_s = float((capacity + TICK_TOLERANCE) / info.rate)
    runs: list[tuple[float, float, int, Segment]] = []
    for place, piece in enumerate(pieces):
        inside = np.flatnonzero((edges >= piece.segment.start_s) & (edges <= piece.segment.end_s))
        firsts = inside[:-1]
        lasts = np.minimum(np.searchsorted(edges, edges[firsts] + limit_s, side="right") - 1, inside[-1])
        firsts, lasts = firsts[lasts > firsts], lasts[lasts > firsts]
        if piece.fixed or not len(firsts):
            continue
        middles = (edges[firsts] + edges[lasts]) / 2
        away_s = np.abs(middles - curve.times_s[np.searchsorted(between, middles)])
        value = np.round(integral[lasts] - integral[firsts], 9)
        top = np.lexsort((away_s, -value))[0]
        runs.append((value[top], -away_s[top], place, Segment(float(edges[firsts[top]]), float(edges[lasts[top]]))))
    if not runs:
        raise PlanError(info.path, "no run of frames fits the budget: raise --ratio or --duration")
    _, _, place, run = max(runs, key=lambda found: found[:2])
    whole = pieces[place].segment
    parts = [(whole.start_s, run.start_s), (run.start_s, run.end_s), (run.end_s, whole.end_s)]
    cut = [replace(_score(Segment(a, b), curve), kept=(a, b) == (run.start_s, run.end_s)) for a, b in parts if a < b]
    return [*pieces[:place], *cut, *pieces[place + 1 :]]


def _span(part: Segment) -> str:
    return f"{part.start_s:g}-{part.end_s:g} s"


def _write(target: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it."""
    handle, temporary = tempfile.mkstemp(prefix=".mmvatool-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
