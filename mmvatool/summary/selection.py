"""Which shots to keep: ranges forced in and out, the knapsack for the rest, a run of frames where no shot fits. Pure."""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from mmvatool.choices import SAMPLINGS
from mmvatool.errors import PlanError, SettingsError
from mmvatool.media.probe import MediaInfo
from mmvatool.summary import knapsack
from mmvatool.summary.shots import LEAST_MAX_SHOT_S, MAX_SHOT_S, MIN_SHOT_S
from mmvatool.timeline import Curve, Segment

DEFAULT_RATIO = 0.15
SIGNALS = ("image", "music", "both")
SHOT_KINDS = ("auto", "uniform")
VALUES = ("integral", "mean")
TICK_TOLERANCE = 1e-6
RUNNERS_UP = 5  # named as such: the best of those that the budget had no room for


@dataclass(frozen=True)
class SummarySettings:
    """How to choose.

    Args:
        ratio: budget as a part of the source's length, in (0, 1); not used when `duration_s` is given.
        duration_s: budget in seconds.
        by: arousal of "image", of "music" (the sound), or the mean of "both" after ranking each; valence of "both" is the plain mean.
        shots: "auto" (change points) or "uniform" (a slot each).
        value: "integral" (mean arousal x length), or "mean" (TVSum's protocol).
        min_shot_s, max_shot_s: bounds of an automatic shot.
        keep, drop: stretches that are forced in and out.
        sampling: which frame stands for a slot: "auto" (a keyframe, where one lies in it), "exact" (at its centre) or "keyframes".
        lossless: copy packets instead of encoding; cuts lie on keyframes where they can.

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
    sampling: str = "auto"
    lossless: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise SettingsError(f"ratio {self.ratio}: must lie between 0 and 1, both excluded")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise SettingsError(f"duration {self.duration_s} s: must be more than 0")
        choices = (
            ("by", self.by, SIGNALS),
            ("shots", self.shots, SHOT_KINDS),
            ("value", self.value, VALUES),
            ("sampling", self.sampling, SAMPLINGS),
        )
        for name, value, allowed in choices:
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
class ScoredShot:
    """A shot with its mean valence and arousal, whether it is kept, and why.

    `reason` of kept shots is "keep" (a range of --keep), "chosen" (by the knapsack) or "run" (the best frames, where no shot fits); of
    the others "drop" (a range of --drop), "rest" (too short a rest of a range, or of the shot that the run is of), "too long" (for what the ranges to keep leave of the
    budget), "runner-up" (of the most value for its length among those that would fit alone) or "left".
    """

    segment: Segment
    valence: float
    arousal: float
    kept: bool = False
    fixed: bool = False  # a range of --keep or --drop decided, or too short a rest of one
    reason: str = "left"


def budget_s(info: MediaInfo, settings: SummarySettings) -> float:
    """Seconds that may be kept."""
    return settings.ratio * info.duration_s if settings.duration_s is None else settings.duration_s


def choose(
    found: list[Segment],
    curve: Curve,
    info: MediaInfo,
    settings: SummarySettings,
    points_s: np.ndarray | None = None,
    *,
    strictly: bool = False,
) -> tuple[ScoredShot, ...]:
    """Score shots, force ranges in and out, and fill the rest of the budget with the exact knapsack.

    Weights are in ticks of the nominal frame duration, rounded up, the capacity rounded down, so that a variable frame
    rate keeps the budget. Where no shot fits, the best run of whole frames inside one shot is kept.

    Args:
        found: shots that cover the video, in order.
        curve: the arousal to go by.
        info: the probed video.
        settings: budget, value and ranges.
        points_s: rising times at which it is better cut than elsewhere, if there are such.
        strictly: whether it may be cut at them only. Ranges are widened to them then.

    Returns:
        All shots in order of time, cut at the bounds of the ranges and of a kept run.

    Raises:
        PlanError: the budget is under one frame, a range lies outside of the video or is under one frame, the ranges
            to keep take more than the budget, or nothing is left to choose from.
    """
    allowed_s = budget_s(info, settings)
    capacity = int(allowed_s * info.rate + TICK_TOLERANCE)
    if capacity < 1:
        raise PlanError(
            info.path, f"the budget of {allowed_s:.3f} s is under one frame ({float(1 / info.rate):.3f} s): raise --ratio or --duration"
        )
    pieces = _apply_ranges(found, curve, info, settings, points_s if strictly else None)
    ticks = [math.ceil(piece.segment.length_s * info.rate - TICK_TOLERANCE) for piece in pieces]
    forced = sum(weight for piece, weight in zip(pieces, ticks, strict=True) if piece.kept)
    if forced > capacity:
        over_s = float((forced - capacity) / info.rate)
        raise PlanError(
            info.path,
            f"the ranges to keep are {over_s:.2f} s over the budget of {allowed_s:.2f} s: shorten them, or raise --ratio or --duration",
        )
    free = [place for place, piece in enumerate(pieces) if not piece.fixed]
    fitting = [place for place in free if ticks[place] <= capacity - forced]
    values = np.array(
        [pieces[place].arousal * (pieces[place].segment.length_s if settings.value == "integral" else 1.0) for place in fitting]
    )
    if not values.any():  # silence, by its sound: any of it is as good, and an empty summary is none
        values = np.array([pieces[place].segment.length_s for place in fitting])
    chosen = knapsack.solve(values, np.array([ticks[place] for place in fitting], np.int64), capacity - forced)
    for place in np.array(fitting, np.int64)[chosen]:
        pieces[place] = replace(pieces[place], kept=True, reason="chosen")
    left = np.array(fitting, np.int64)[~chosen]
    density = values[~chosen] / np.array([ticks[place] for place in left])
    for place in left[np.argsort(-density, kind="stable")][:RUNNERS_UP]:
        pieces[place] = replace(pieces[place], reason="runner-up")
    for place in set(free) - set(fitting):
        pieces[place] = replace(pieces[place], reason="too long")
    if not fitting and not forced:
        if not free:
            raise PlanError(info.path, "the ranges to drop leave nothing to choose from: drop less")
        run = None if points_s is None else _best_run(pieces, capacity, curve, info, points_s)
        if run is None and not strictly:
            run = _best_run(pieces, capacity, curve, info, info.times_s)
        if run is None:
            cure = "raise --ratio or --duration, or leave out --lossless" if strictly else "raise --ratio or --duration"
            what = "part between two keyframes" if strictly else "run of frames"
            raise PlanError(info.path, f"no {what} fits the budget of {allowed_s:.3f} s: {cure}")
        pieces = _keep_run(pieces, *run, curve)
    return tuple(pieces)


def _apply_ranges(
    found: list[Segment], curve: Curve, info: MediaInfo, settings: SummarySettings, points_s: np.ndarray | None
) -> list[ScoredShot]:
    """Score shots, cut at the bounds of the ranges to keep and drop; what lies in one is fixed."""
    keep = [_on_frames(part, "keep", info, points_s) for part in settings.keep]
    drop = [_on_frames(part, "drop", info, points_s) for part in settings.drop]
    if points_s is not None and any(kept.overlap_s(dropped) > 0 for kept in keep for dropped in drop):
        raise PlanError(
            info.path, "a range to keep and one to drop share a stretch between two keyframes: change one, or leave out --lossless"
        )
    bounds = sorted({edge for part in (*keep, *drop) for edge in (part.start_s, part.end_s)})
    pieces = []
    for shot in found:
        edges = [shot.start_s, *(edge for edge in bounds if shot.start_s < edge < shot.end_s), shot.end_s]
        for start_s, end_s in itertools.pairwise(edges):
            piece = Segment(start_s, end_s)
            kept = any(piece.overlap_s(part) > 0 for part in keep)
            dropped = any(piece.overlap_s(part) > 0 for part in drop)
            sliver = piece.length_s < min(settings.min_shot_s, shot.length_s)
            reason = "keep" if kept else "drop" if dropped else "rest" if sliver else "left"
            pieces.append(replace(_score(piece, curve), kept=kept, fixed=kept or dropped or sliver, reason=reason))
    return pieces


def _on_frames(part: Segment, option: str, info: MediaInfo, points_s: np.ndarray | None) -> Segment:
    start_s, end_s = info.snap(part.start_s), info.snap(part.end_s)
    if points_s is not None and start_s < end_s:
        edges = np.append(points_s, info.end_s)
        start_s = float(edges[max(0, int(np.searchsorted(edges, start_s, side="right")) - 1)])
        end_s = float(edges[np.searchsorted(edges, end_s)])
    if start_s >= end_s:
        raise PlanError(
            info.path, f"--{option} {_span(part)} holds no frame of the video, which goes to {info.end_s:.2f} s: change the range"
        )
    return Segment(start_s, end_s)


def _score(piece: Segment, curve: Curve) -> ScoredShot:
    """Mean of the samples inside, or the nearest sample where a range cut off a piece without one."""
    inside = (piece.start_s <= curve.times_s) & (curve.times_s < piece.end_s)
    if not inside.any():
        inside = np.arange(len(curve.times_s)) == np.abs(curve.times_s - (piece.start_s + piece.end_s) / 2).argmin()
    valence, arousal = (float(mean) for mean in curve.va[inside].astype(np.float64).mean(0))
    return ScoredShot(piece, valence, arousal)


def _best_run(pieces: list[ScoredShot], capacity: int, curve: Curve, info: MediaInfo, starts_s: np.ndarray) -> tuple[int, Segment] | None:
    """Where no whole shot fits: the run of frames inside one of them with the largest integral of arousal, and that shot's number.

    Among equals (a slot is of one arousal throughout) the one nearest around its sample. It is cut at `starts_s` only; None if none fits.
    """
    edges = np.append(starts_s, info.end_s)
    between = (curve.times_s[1:] + curve.times_s[:-1]) / 2
    arousal = curve.va[np.searchsorted(between, starts_s), 1].astype(np.float64)
    integral = np.concatenate([[0.0], np.cumsum(arousal * np.diff(edges))])
    limit_s = float((capacity + TICK_TOLERANCE) / info.rate)
    runs: list[tuple[float, float, int, Segment]] = []
    for place, piece in enumerate(pieces):
        first, past = np.searchsorted(edges, piece.segment.start_s), np.searchsorted(edges, piece.segment.end_s, side="right")
        inside = np.arange(first, past)
        if piece.fixed or len(inside) < 2:
            continue
        firsts = inside[:-1]
        lasts = np.minimum(np.searchsorted(edges, edges[firsts] + limit_s, side="right") - 1, inside[-1])
        firsts, lasts = firsts[lasts > firsts], lasts[lasts > firsts]
        if not len(firsts):
            continue
        middles = (edges[firsts] + edges[lasts]) / 2
        away_s = np.abs(middles - curve.times_s[np.searchsorted(between, middles)])
        value = np.round(integral[lasts] - integral[firsts], 9)
        top = np.lexsort((away_s, -value))[0]
        runs.append((value[top], -away_s[top], place, Segment(float(edges[firsts[top]]), float(edges[lasts[top]]))))
    if not runs:
        return None
    _, _, place, run = max(runs, key=lambda found: found[:2])
    return place, run


def _keep_run(pieces: list[ScoredShot], place: int, run: Segment, curve: Curve) -> list[ScoredShot]:
    """Keep a part of one shot."""
    whole = pieces[place].segment
    parts = [(whole.start_s, run.start_s), (run.start_s, run.end_s), (run.end_s, whole.end_s)]
    cut = [_score(Segment(a, b), curve) for a, b in parts if a < b]
    cut = [replace(part, kept=True, reason="run") if part.segment == run else replace(part, reason="rest") for part in cut]
    return [*pieces[:place], *cut, *pieces[place + 1 :]]


def _span(part: Segment) -> str:
    return f"{part.start_s:g}-{part.end_s:g} s"
