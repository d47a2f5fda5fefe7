"""Which shots to keep: ranges forced in and out, the knapsack for the rest, a run of frames where no shot fits."""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from mmvatool.errors import PlanError
from mmvatool.media.probe import MediaInfo
from mmvatool.summary import knapsack
from mmvatool.summary.boundaries import Boundaries
from mmvatool.summary.cuts import Cuts
from mmvatool.summary.settings import SummarySettings, budget_s, range_text
from mmvatool.timeline import Curve, Segment, Timeline

TICK_TOLERANCE = 1e-6
RUNNERS_UP = 5  # named as such: the best of those that the budget had no room for


@dataclass(frozen=True)
class ScoredShot:
    """A shot with its mean valence and arousal, whether it is kept, and why.

    `reason` of kept shots is "keep" (a range of --keep), "chosen" (by the knapsack) or "run" (the best frames, where no shot fits); of
    the others "drop" (a range of --drop), "rest" (too short a rest of a range, or of the shot that the run is of), "too long" (for what
    the ranges to keep leave of the budget), "runner-up" (of the most value for its length among those that would fit alone) or "left".
    """

    segment: Segment
    valence: float
    arousal: float
    kept: bool = False
    fixed: bool = False  # a range of --keep or --drop decided, or too short a rest of one
    reason: str = "left"


@dataclass(frozen=True)
class Selection:
    """All shots, with those that are kept; how exact their cuts are ("exact", "likely" or "keyframes"); and warnings, a sentence each."""

    shots: tuple[ScoredShot, ...]
    precision: str
    warnings: tuple[str, ...] = ()


def select(shots: list[Segment], curve: Curve, cuts: Cuts, boundaries: Boundaries, settings: SummarySettings, *, exact: bool) -> Selection:
    """Choose shots and cut them, so that what is kept is the best choice among shots whose boundaries are exact where it is cut.

    The boundaries of the shots are estimates, since it takes decoding to find one exactly, and most of them are no cuts of the result.
    But an exact boundary changes the length of two shots, and with it perhaps the choice, which then has other cuts. So boundaries of
    what is kept are made exact and shots are chosen again, until no boundary moves any more: a fixpoint. It is reached, as every
    round but the last moves a boundary, and none is moved twice.

    Args:
        shots: that cover the video, in order.
        curve: the arousal to go by.
        cuts: where the result may be cut.
        boundaries: of the shots.
        settings: budget, value and ranges.
        exact: whether to find exact boundaries; else the first choice counts. Nobody who only looks should wait for them.

    Raises:
        PlanError: as `choose` raises.
        MediaError: frames around a boundary cannot be decoded.
    """
    while True:
        chosen = _stop_early(choose(cuts.align(shots), curve, settings, cuts), cuts)
        kept = Timeline.of(cuts.info.path, (shot.segment for shot in chosen if shot.kept)).segments
        bounds_s = cuts.to_refine({bound_s for segment in kept for bound_s in (segment.start_s, segment.end_s)})
        refined = boundaries.refine(shots, bounds_s, cuts.snap_s) if exact else shots
        if refined == shots:
            break
        shots = refined
    precision = cuts.precision if exact or boundaries.all_exact else "likely"
    return Selection(chosen, precision, tuple(cuts.warnings(shots, settings.min_shot_s)))


def choose(shots: list[Segment], curve: Curve, settings: SummarySettings, cuts: Cuts) -> tuple[ScoredShot, ...]:
    """Score shots, force ranges in and out, and fill the rest of the budget with the exact knapsack.

    Weights are in ticks of the nominal frame duration, rounded up, the capacity rounded down, so that a variable frame
    rate keeps the budget. Where no shot fits, the best run of whole frames inside one shot is kept.

    Args:
        shots: that cover the video, in order, their bounds where `cuts` allows.
        curve: the arousal to go by.
        settings: budget, value and ranges.
        cuts: where ranges and runs may be cut.

    Returns:
        All shots in order of time, cut at the bounds of the ranges and of a kept run.

    Raises:
        PlanError: the budget is under one frame, a range lies outside of the video or is under one frame, the ranges
            to keep take more than the budget, or nothing is left to choose from.
    """
    info, allowed_s = cuts.info, budget_s(cuts.info, settings)
    capacity = int(allowed_s * info.rate + TICK_TOLERANCE)
    if capacity < 1:
        raise PlanError(
            info.path, f"the budget of {allowed_s:.3f} s is under one frame ({float(1 / info.rate):.3f} s): raise --ratio or --duration"
        )
    pieces = _apply_ranges(shots, curve, settings, cuts)
    ticks = [math.ceil(piece.segment.length_s * info.rate - TICK_TOLERANCE) for piece in pieces]
    forced = sum(weight for piece, weight in zip(pieces, ticks, strict=True) if piece.kept)
    if forced > capacity:
        over_s = float((forced - capacity) / info.rate)
        raise PlanError(
            info.path,
            f"the ranges to keep are {over_s:.2f} s over the budget of {allowed_s:.2f} s: shorten them, or raise --ratio or --duration",
        )
    fitting = _fill(pieces, ticks, capacity - forced, settings)
    if not fitting and not forced:
        if all(piece.fixed for piece in pieces):
            raise PlanError(info.path, "the ranges to drop leave nothing to choose from: drop less")
        runs = (_best_run(pieces, capacity, curve, info, starts_s) for starts_s in cuts.run_starts_s)
        best = next((run for run in runs if run is not None), None)
        if best is None:
            raise PlanError(info.path, f"no {cuts.run} fits the budget of {allowed_s:.3f} s: {cuts.cure}")
        pieces = _keep_run(pieces, *best, curve)
    return tuple(pieces)


def _fill(pieces: list[ScoredShot], ticks: list[int], capacity: int, settings: SummarySettings) -> list[int]:
    """Solve the knapsack over the pieces that no range decided, and note in `pieces` what became of each.

    Returns:
        The indices of those that fit the capacity alone.
    """
    free = [index for index, piece in enumerate(pieces) if not piece.fixed]
    fitting = [index for index in free if ticks[index] <= capacity]
    weights = np.array([ticks[index] for index in fitting], np.int64)
    lengths_s = np.array([pieces[index].segment.length_s for index in fitting])
    values = np.array([pieces[index].arousal for index in fitting]) * (lengths_s if settings.value == "integral" else 1.0)
    if not values.any():  # silence, by its audio: any of it is as good, and an empty summary is none
        values = lengths_s
    chosen = knapsack.solve(values, weights, capacity)
    left = np.array(fitting, np.int64)[~chosen]
    density = values[~chosen] / weights[~chosen]
    reasons = dict.fromkeys(left[np.argsort(-density, kind="stable")][:RUNNERS_UP].tolist(), "runner-up")
    reasons |= dict.fromkeys(np.array(fitting, np.int64)[chosen].tolist(), "chosen")
    reasons |= dict.fromkeys(set(free) - set(fitting), "too long")
    for index, reason in reasons.items():
        pieces[index] = replace(pieces[index], kept=reason == "chosen", reason=reason)
    return fitting


def _apply_ranges(shots: list[Segment], curve: Curve, settings: SummarySettings, cuts: Cuts) -> list[ScoredShot]:
    """Score shots, cut at the bounds of the ranges to keep and drop; what lies in one is fixed."""
    keep = [_cut_range(segment, "keep", cuts) for segment in settings.keep]
    drop = [_cut_range(segment, "drop", cuts) for segment in settings.drop]
    if any(kept.overlap_s(dropped) > 0 for kept in keep for dropped in drop):  # since they were widened to keyframes
        raise PlanError(
            cuts.info.path, "a range to keep and one to drop share a part between two keyframes: change one, or leave out --lossless"
        )
    bounds_s = sorted({bound_s for segment in (*keep, *drop) for bound_s in (segment.start_s, segment.end_s)})
    pieces = []
    for shot in shots:
        edges_s = [shot.start_s, *(bound_s for bound_s in bounds_s if shot.start_s < bound_s < shot.end_s), shot.end_s]
        for start_s, end_s in itertools.pairwise(edges_s):
            piece = Segment(start_s, end_s)
            kept = any(piece.overlap_s(segment) > 0 for segment in keep)
            dropped = any(piece.overlap_s(segment) > 0 for segment in drop)
            sliver = piece.length_s < min(settings.min_shot_s, shot.length_s)
            reason = "keep" if kept else "drop" if dropped else "rest" if sliver else "left"
            pieces.append(replace(_score(piece, curve), kept=kept, fixed=kept or dropped or sliver, reason=reason))
    return _without_gaps(pieces, curve)


def _without_gaps(pieces: list[ScoredShot], curve: Curve) -> list[ScoredShot]:
    """The same pieces, but the rest of a shot that a range to keep leaves belongs to the next shot, so that both are joined if that is chosen."""
    joined = pieces
    for _ in range(2):  # the rests after ranges, then in reverse order those before them
        before, joined = joined[::-1], []
        for piece in before:
            rest = joined[-1] if joined else None
            if not piece.fixed and rest and rest.reason == "rest" and len(joined) > 1 and joined[-2].reason == "keep":
                bounds = sorted([piece.segment, rest.segment])
                joined[-1] = _score(Segment(bounds[0].start_s, bounds[1].end_s), curve)
            else:
                joined.append(piece)
    return joined


def _cut_range(segment: Segment, option: str, cuts: Cuts) -> Segment:
    """A range to keep or drop, its bounds where it can be cut."""
    info = cuts.info
    start_s, end_s = info.snap(segment.start_s), info.snap(segment.end_s)
    if start_s < end_s:
        start_s, end_s = cuts.widen(start_s, end_s)
    if start_s >= end_s:
        raise PlanError(
            info.path, f"--{option} {range_text(segment)} holds no frame of the video, which goes to {info.end_s:.2f} s: change the range"
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
    """The run of frames inside one shot with the largest integral of arousal, and that shot's index; None if none fits.

    Among equals (a slot is of one arousal throughout) the one nearest around its sample. It is cut at `starts_s` only.
    """
    edges_s = np.append(starts_s, info.end_s)
    between_s = (curve.times_s[1:] + curve.times_s[:-1]) / 2
    arousal = curve.va[np.searchsorted(between_s, starts_s), 1].astype(np.float64)
    integral = np.concatenate([[0.0], np.cumsum(arousal * np.diff(edges_s))])
    limit_s = float((capacity + TICK_TOLERANCE) / info.rate)
    runs: list[tuple[float, float, int, Segment]] = []
    for index, piece in enumerate(pieces):
        start, stop = np.searchsorted(edges_s, piece.segment.start_s), np.searchsorted(edges_s, piece.segment.end_s, side="right")
        inside = np.arange(start, stop)
        if piece.fixed or len(inside) < 2:
            continue
        firsts = inside[:-1]
        lasts = np.minimum(np.searchsorted(edges_s, edges_s[firsts] + limit_s, side="right") - 1, inside[-1])
        firsts, lasts = firsts[lasts > firsts], lasts[lasts > firsts]
        if not len(firsts):
            continue
        middles_s = (edges_s[firsts] + edges_s[lasts]) / 2
        away_s = np.abs(middles_s - curve.times_s[np.searchsorted(between_s, middles_s)])
        value = np.round(integral[lasts] - integral[firsts], 9)
        top = np.lexsort((away_s, -value))[0]
        runs.append((value[top], -away_s[top], index, Segment(float(edges_s[firsts[top]]), float(edges_s[lasts[top]]))))
    if not runs:
        return None
    _, _, index, best = max(runs, key=lambda run: run[:2])
    return index, best


def _keep_run(pieces: list[ScoredShot], index: int, run: Segment, curve: Curve) -> list[ScoredShot]:
    """Keep a part of one shot."""
    shot = pieces[index].segment
    bounds_s = [(shot.start_s, run.start_s), (run.start_s, run.end_s), (run.end_s, shot.end_s)]
    parts = [_score(Segment(start_s, end_s), curve) for start_s, end_s in bounds_s if start_s < end_s]
    parts = [replace(part, kept=True, reason="run") if part.segment == run else replace(part, reason="rest") for part in parts]
    return [*pieces[:index], *parts, *pieces[index + 1 :]]


def _stop_early(shots: tuple[ScoredShot, ...], cuts: Cuts) -> tuple[ScoredShot, ...]:
    """The same shots; a kept one that nothing kept follows ends where the result really stops, and its rest is not kept."""
    stopped: list[ScoredShot] = []
    for shot, after in itertools.zip_longest(shots, shots[1:]):
        end_s = cuts.end_of(shot.segment.end_s)
        if shot.kept and not (after is not None and after.kept) and end_s < shot.segment.end_s:
            rest = replace(shot, segment=Segment(end_s, shot.segment.end_s), kept=False, fixed=True, reason="rest")
            stopped += [replace(shot, segment=Segment(shot.segment.start_s, end_s)), rest]
        else:
            stopped.append(shot)
    return tuple(stopped)
