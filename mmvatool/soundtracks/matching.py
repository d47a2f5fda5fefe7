"""Which music fits: the distance of two VA, Eq. 1's score, the ranking by them, and the best match in a track. Pure numpy.

The distance between a part of a track and the visuals is half the distance of their mean VA and half the mean distance of their VA at
each moment. The mean alone forgets the order: calm, then exciting, would be as good as exciting, then calm. The moments alone are
noise: a model is not sure of a single window of ten seconds, so that the track whose errors happen to fall in step would win, and one
that varies about the right mood would lose to one that never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmvatool.soundtracks.scale import ABSOLUTE, PLACES, Scale
from trainer import matching_score, score_of_distance

# Farther than this, the nearest track is not near: a fifth of the scale of valence or of arousal.
FAR = 0.2
STEP_S = 10.0  # visuals and tracks are compared in steps of so many seconds; windows of a track are as long
# Cost of a loop, in VA, under a tenth of a step of a nine-point rating: of nearly equal matches the one that plays through wins.
LOOP_COST = 0.01
SPREAD = 0.02  # with a seed, candidates at most so much further away than the nearest are as good
MAX_CANDIDATES = 1000  # tracks of a big library that are compared window by window
CHUNK_PAIRS = 1 << 18  # windows x steps compared at once: some 20 MB
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Ranking:
    """Candidates, the nearest first: their `indices`, `distances` in VA (0 to sqrt 2) and Eq. 1's `scores`, None without a sigma.

    `apart` are the distances in the scale that they are ranked by, which are the same in VA. `nearest_distance` in VA is the least of all
    candidates, whichever are ranked first; infinite without any.
    """

    indices: np.ndarray
    distances: np.ndarray
    apart: np.ndarray
    scores: np.ndarray | None
    nearest_distance: float


def distances(query: np.ndarray, va: np.ndarray) -> np.ndarray:
    """Euclidean distances of VA.

    Args:
        query: (2,) valence, arousal, each in [0, 1].
        va: (N, 2).

    Returns:
        float64 (N,), 0 to sqrt 2.

    Raises:
        ValueError: another shape, or a number that is not finite.
    """
    query, va = np.asarray(query, np.float64), np.asarray(va, np.float64)
    if query.shape != (2,) or va.ndim != 2 or va.shape[1] != 2:
        raise ValueError(f"query {query.shape} and VA {va.shape}: must be (2,) and (N, 2)")
    if not (np.isfinite(query).all() and np.isfinite(va).all()):
        raise ValueError("a VA that is not finite has no distance")
    return np.hypot(va[:, 0] - query[0], va[:, 1] - query[1])


def rank(query: np.ndarray, va: np.ndarray, top: int, sigma: float | None, scale: Scale = ABSOLUTE) -> Ranking:
    """The nearest candidates, and all that are as near as the last of them, so that the caller can break the tie by name.

    In VA the score falls with the distance alone, so that both give the same order.

    Args:
        query: (2,) valence, arousal, each in [0, 1].
        va: (N, 2) of the candidates; N may be 0.
        top: how many, at least 1.
        sigma: Eq. 1's sigma of the model; None: it has a distance only.
        scale: in which they are ranked.

    Returns:
        The nearest first, equally near ones in the order given: min(top, N) of them, more where the last ones tie.

    Raises:
        ValueError: another shape, a number that is not finite, or `top` below 1.
    """
    if top < 1:
        raise ValueError(f"top {top}: must be at least 1")
    away = np.round(distances(query, va), PLACES)
    apart = np.round(distances(scale.of_query(query), scale.of_tracks(va)), PLACES)
    limit = np.partition(apart, top - 1)[top - 1] if top < len(apart) else np.inf
    nearest = np.flatnonzero(apart <= limit)
    indices = nearest[np.argsort(apart[nearest], kind="stable")]
    scores = None if sigma is None else matching_score(np.asarray(query), np.asarray(va, np.float64)[indices], sigma)
    return Ranking(indices, away[indices], apart[indices], scores, float(away.min(initial=np.inf)))


@dataclass(frozen=True)
class Steps:
    """VA of visuals over time: `va` float64 (S, 2), and how long each step lasts, `lengths_s` (S,): STEP_S, the last one up to it.

    Of R paces of the same visuals (R, S, 2) and (R, S); those that are shorter than others have steps of length 0 at their end.
    """

    va: np.ndarray
    lengths_s: np.ndarray

    @property
    def length_s(self) -> float:
        """Total length in seconds; of one pace."""
        return float(self.lengths_s.sum())

    @property
    def mean(self) -> np.ndarray:
        """VA (2,) over time; of one pace."""
        return self.lengths_s @ self.va / self.lengths_s.sum()

    def on(self, scale: Scale) -> "Steps":
        """The same with `va` as it is compared in a scale."""
        return replace(self, va=scale.of_query(self.va))


@dataclass(frozen=True)
class Tracks:
    """Windows of T tracks, one track after the other.

    `va` float64 (W, 2); `counts` int64 (T,), how many windows each track has; `durations_s` float64 (T,). Window k of a track begins at
    k x STEP_S, and the last one ends with the track.
    """

    va: np.ndarray
    counts: np.ndarray
    durations_s: np.ndarray

    @classmethod
    def of(cls, curves: Sequence[np.ndarray], durations_s: Sequence[float]) -> "Tracks":
        """Join curves.

        Args:
            curves: VA (M, 2) of each track in windows of STEP_S, M at least 1.
            durations_s: length of each track in seconds.

        Raises:
            ValueError: no track, another shape, a number that is not finite, or a track that ends before its last window begins.
        """
        if not len(curves) or len(curves) != len(durations_s):
            raise ValueError(f"{len(curves)} curves of {len(durations_s)} tracks: must be one each, and at least one")
        joined = [_va(curve) for curve in curves]
        counts, durations = np.array([len(curve) for curve in joined], np.int64), np.array(durations_s, np.float64)
        if not (np.isfinite(durations) & (durations > (counts - 1) * STEP_S)).all():
            raise ValueError("a track must last longer than to the begin of its last window")
        return cls(np.concatenate(joined), counts, durations)

    @property
    def starts(self) -> np.ndarray:
        """Index in `va` at which each track begins: int64 (T,)."""
        return np.cumsum(self.counts) - self.counts

    def on(self, scale: Scale) -> "Tracks":
        """The same with `va` as it is compared in a scale."""
        return replace(self, va=scale.of_tracks(self.va))

    def in_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Every window's start: the number of its track (W,), and its time in the track in seconds (W,)."""
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        return owners, (np.arange(len(self.va)) - self.starts[owners]) * STEP_S

    def least(self, costs: np.ndarray) -> np.ndarray:
        """The in-point of least cost of each track: int64 (T,) among the (W,) in-points, the earliest of equals."""
        costs = np.round(costs, PLACES)
        return np.array([start + costs[start : start + count].argmin() for start, count in zip(self.starts, self.counts, strict=True)])


@dataclass(frozen=True)
class TrackMatch:
    """A match of a track: it plays from `offset_s` on; its distance from the target in VA; and Eq. 1's score, None without a sigma.

    `loops` is how often the track begins again before the visuals end. It does not count in `distance`. `apart` is the distance in the
    scale that matches are chosen by, which is the same in VA.
    """

    offset_s: float
    distance: float
    score: float | None
    loops: int
    apart: float


def steps(va: np.ndarray, edges_s: np.ndarray) -> Steps:
    """VA of visuals in steps of STEP_S: the mean over the time of each. The last step may be shorter.

    Args:
        va: (N, 2) of pictures or samples, in order.
        edges_s: (N + 1,) rising: where each begins, and the end of the last; or (R, N + 1), R paces of the same visuals. Time counts from the
            first edge.

    Raises:
        ValueError: none of them, another shape, a number that is not finite, or edges that do not rise.
    """
    va, edges = _va(va), np.asarray(edges_s, np.float64)
    paces = np.atleast_2d(edges) - np.atleast_2d(edges)[:, :1]
    if paces.shape[1:] != (len(va) + 1,) or not (np.isfinite(paces).all() and (np.diff(paces) > 0).all()):
        raise ValueError(f"edges {edges.shape} of {len(va)} pictures: must be one more, finite and rising")
    ends = paces[:, -1:]
    count = int(np.ceil(ends / STEP_S - _ROUNDING).max(initial=1))
    bounds = np.minimum(np.arange(count + 1) * STEP_S, ends)
    sums = np.zeros((*paces.shape, 2))
    np.cumsum(va * np.diff(paces)[..., None], axis=1, out=sums[:, 1:])
    # One interpolation for all: the paces follow each other on one axis, each behind the end of those before.
    shift = np.arange(len(paces))[:, None] * (2 * ends.max(initial=1))
    integrals = np.stack([np.interp(bounds + shift, (paces + shift).ravel(), sums[..., column].ravel()) for column in (0, 1)], axis=-1)
    lengths = np.diff(bounds)
    result = Steps(np.diff(integrals, axis=1) / np.maximum(lengths, _ROUNDING)[..., None], lengths)
    return Steps(result.va[0], result.lengths_s[0]) if edges.ndim == 1 else result


def best_matches(target: Steps, tracks: Tracks, sigma: float | None, scale: Scale = ABSOLUTE) -> list[TrackMatch]:
    """The match of each track that is nearest to the target. Every window's start is tried as the in-point.

    A track that ends before the visuals begins again from its start. Each time costs LOOP_COST, which is added to the distance for the choice
    of the in-point and left out of the result; visuals longer than the track loop it anyway. Of equals it is the earliest.

    Args:
        target: the VA to match.
        tracks: T of them.
        sigma: Eq. 1's sigma of the model; None: there is no score.
        scale: in which the target and the tracks are compared.

    Returns:
        T matches.

    Raises:
        ValueError: a sigma that cannot be.
    """
    owners, offsets_s = tracks.in_points()
    apart = np.empty(len(owners))
    compared, among = target.on(scale), tracks.on(scale)
    rows = max(1, CHUNK_PAIRS // len(target.lengths_s))
    for start in range(0, len(owners), rows):
        part = slice(start, start + rows)
        apart[part] = distances_from(compared, among, owners[part], offsets_s[part])
    loops = loops_of(target.length_s, tracks.durations_s[owners], offsets_s)
    chosen = tracks.least(apart + LOOP_COST * loops)
    away = distances_from(target, tracks, owners[chosen], offsets_s[chosen])
    scores = [None] * len(chosen) if sigma is None else score_of_distance(away, sigma).tolist()
    return [
        TrackMatch(float(offsets_s[window]), float(distance), score, int(loops[window]), float(apart[window]))
        for window, distance, score in zip(chosen, away, scores, strict=True)
    ]


def distances_from(target: Steps, tracks: Tracks, owners: np.ndarray, offsets_s: np.ndarray) -> np.ndarray:
    """Distances of parts of tracks from the target, without the costs of loops. In a step plays the window at its middle.

    Args:
        target: one pace, or R, one for each part.
        tracks: T of them.
        owners: int (R,): the track of each part.
        offsets_s: (R,): seconds into the track at which it begins.

    Returns:
        float64 (R,), 0 to sqrt 2.
    """
    ends_s = np.cumsum(target.lengths_s, axis=-1)
    times_s = np.mod(offsets_s[:, None] + ends_s - target.lengths_s / 2, tracks.durations_s[owners, None])
    windows = tracks.starts[owners, None] + np.minimum((times_s / STEP_S).astype(np.int64), tracks.counts[owners, None] - 1)
    weights = target.lengths_s / ends_s[..., -1:]
    apart = tracks.va[windows] - target.va
    of_mean = np.hypot(*(apart * weights[..., None]).sum(axis=1).T)
    return (of_mean + (np.hypot(apart[..., 0], apart[..., 1]) * weights).sum(axis=1)) / 2


def loops_of(length_s: float | np.ndarray, durations_s: float | np.ndarray, offsets_s: float | np.ndarray) -> np.ndarray:
    """How often tracks begin again before the visuals end: int64, of one number or (R,) each; 0 where the track plays through."""
    passes = np.ceil((np.asarray(offsets_s) + length_s) / np.asarray(durations_s) - _ROUNDING)
    return np.maximum(passes - 1, 0).astype(np.int64)


def nearest_by_mean(target: Steps, means: np.ndarray, keep: int = MAX_CANDIDATES, scale: Scale = ABSOLUTE) -> np.ndarray:
    """The tracks of a big library that are compared window by window: those whose means lie nearest to the target's.

    This is a rule of thumb and no bound: a track with one fitting minute in an hour of something else is passed over if `keep` others
    are nearer.

    Args:
        target: the VA to match.
        means: (T, 2), the mean VA of each track.
        keep: how many.
        scale: in which they are compared.

    Returns:
        int64, rising: all T, or the nearest `keep` of them.

    Raises:
        ValueError: another shape or a number that is not finite.
    """
    return np.sort(np.argsort(distances(target.on(scale).mean, scale.of_tracks(means)), kind="stable")[:keep])


def shuffle_near(away: np.ndarray, seed: int | None, within: float) -> np.ndarray:
    """Candidates, the nearest first; with a seed, those at most `within` further away than the nearest come first, in random order.

    Args:
        away: (N,) distances.
        seed: of the random order; None: there is none.
        within: in the unit of the distances.

    Returns:
        int64 (N,), equally near ones in the order given.
    """
    order = np.argsort(away, kind="stable")
    if seed is None or not len(order):
        return order
    near = away <= away.min() + within
    return np.concatenate([np.random.default_rng(seed).permutation(np.flatnonzero(near)), order[~near[order]]])


def _va(va: np.ndarray) -> np.ndarray:
    va = np.asarray(va, np.float64)
    if va.ndim != 2 or va.shape[1] != 2 or not len(va) or not np.isfinite(va).all():
        raise ValueError(f"VA {va.shape}: must be (N, 2), N at least 1, and finite")
    return va
