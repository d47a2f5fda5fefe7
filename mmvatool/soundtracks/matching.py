"""Which music fits: the distance of two VA, Eq. 1's score, the ranking by them, and the best stretch of a track. Pure numpy.

How far a stretch of a track lies from a show is half the distance of their mean VA and half the mean distance of their VA at each
moment. The mean alone forgets the order: calm, then exciting, would be as good as exciting, then calm. The moments alone are noise:
of one window of ten seconds a model is not sure, so that the track whose errors happen to fall in step would win, and one that
varies about the right mood would lose to one that never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer import matching_score, score_of_distance

# Farther than this, the nearest track is not near: a fifth of the scale of valence or of arousal.
FAR = 0.2
PLACES = 6  # of a distance: what differs by the rounding of float32 is equally near
STEP_S = 10.0  # what a show wants and what a track gives is compared in steps of so many seconds; windows of a track are as long
# What beginning again costs, in VA: of stretches that are nearly equal, under a tenth of a step of a nine-point rating, the one
# that plays through is taken.
LOOP = 0.01
SPREAD = 0.02  # with a seed, candidates at most so much further away than the nearest are as good
LIKELY = 1000  # tracks of a big library of which every stretch is looked at
PAIRS = 1 << 18  # windows against steps in one go: some 20 MB
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Ranking:
    """Candidates from the nearest on: their `indices`, `distances` in VA (0 to sqrt 2) and Eq. 1's `scores`, None without a sigma."""

    indices: np.ndarray
    distances: np.ndarray
    scores: np.ndarray | None

    @property
    def is_far(self) -> bool:
        """Whether even the nearest lies farther than FAR."""
        return bool(len(self.distances)) and bool(self.distances[0] > FAR)


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


def rank(query: np.ndarray, va: np.ndarray, top: int, sigma: float | None) -> Ranking:
    """The nearest candidates, and all that are as near as the last of them, so that the caller can break the tie by name.

    The score falls with the distance alone, so that both give the same order.

    Args:
        query: (2,) valence, arousal, each in [0, 1].
        va: (N, 2) of the candidates; N may be 0.
        top: how many, at least 1.
        sigma: Eq. 1's sigma of the model; None: it has a distance only.

    Returns:
        The nearest first, equally near ones in the order given: min(top, N) of them, more where the last ones tie.

    Raises:
        ValueError: another shape, a number that is not finite, or `top` below 1.
    """
    if top < 1:
        raise ValueError(f"top {top}: must be at least 1")
    away = np.round(distances(query, va), PLACES)
    limit = np.partition(away, top - 1)[top - 1] if top < len(away) else np.inf
    nearest = np.flatnonzero(away <= limit)
    indices = nearest[np.argsort(away[nearest], kind="stable")]
    scores = None if sigma is None else matching_score(np.asarray(query), np.asarray(va, np.float64)[indices], sigma)
    return Ranking(indices, away[indices], scores)


@dataclass(frozen=True)
class Steps:
    """What is wanted over time: `va` float64 (S, 2), and how long each step lasts, `lengths_s` (S,): STEP_S, the last one up to it.

    Of R paces of a show (R, S, 2) and (R, S); those that are shorter than others have steps of length 0 at their end.
    """

    va: np.ndarray
    lengths_s: np.ndarray

    @property
    def length_s(self) -> float:
        """Length of the whole in seconds; of one pace."""
        return float(self.lengths_s.sum())

    @property
    def mean(self) -> np.ndarray:
        """VA (2,) over time; of one pace."""
        return self.lengths_s @ self.va / self.lengths_s.sum()


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
        """Where in `va` each track begins: int64 (T,)."""
        return np.cumsum(self.counts) - self.counts

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
    """Where in a track to begin: at `offset_s`; how far that lies from what is wanted in VA; and Eq. 1's score, None without a sigma.

    `loops` is how often the track begins again before the show ends. It does not count in `distance`.
    """

    offset_s: float
    distance: float
    score: float | None
    loops: int


def steps(va: np.ndarray, edges_s: np.ndarray) -> Steps:
    """What a show wants, in steps of STEP_S: the mean over the time of each. The last step may be shorter.

    Args:
        va: (N, 2) of pictures or samples, in order.
        edges_s: (N + 1,) rising: where each begins, and the end of the last; or (R, N + 1), R paces of one show. Time counts from the
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
    # One interpolation for all: the paces are laid one after the other, each behind the end of all before.
    behind = np.arange(len(paces))[:, None] * (2 * ends.max(initial=1))
    reached = np.stack([np.interp(bounds + behind, (paces + behind).ravel(), sums[..., column].ravel()) for column in (0, 1)], axis=-1)
    lengths = np.diff(bounds)
    found = Steps(np.diff(reached, axis=1) / np.maximum(lengths, _ROUNDING)[..., None], lengths)
    return Steps(found.va[0], found.lengths_s[0]) if edges.ndim == 1 else found


def best(wanted: Steps, tracks: Tracks, sigma: float | None) -> list[TrackMatch]:
    """The stretch of each track that is nearest to what is wanted. Every window's start is tried as the in-point.

    A track that ends before the show begins again from its start. Each time costs LOOP, which is added to the distance for the choice
    of the in-point and left out of the result; a show longer than the track loops anyway. Of equals it is the earliest.

    Args:
        wanted: the show.
        tracks: T of them.
        sigma: Eq. 1's sigma of the model; None: there is no score.

    Returns:
        T stretches.

    Raises:
        ValueError: a sigma that cannot be.
    """
    owners, offsets_s = tracks.in_points()
    away = np.empty(len(owners))
    rows = max(1, PAIRS // len(wanted.lengths_s))
    for start in range(0, len(owners), rows):
        part = slice(start, start + rows)
        away[part] = distances_from(wanted, tracks, owners[part], offsets_s[part])
    loops = loops_of(wanted.length_s, tracks.durations_s[owners], offsets_s)
    chosen = tracks.least(away + LOOP * loops)
    scores = [None] * len(chosen) if sigma is None else score_of_distance(away[chosen], sigma).tolist()
    return [
        TrackMatch(float(offsets_s[window]), float(away[window]), score, int(loops[window]))
        for window, score in zip(chosen, scores, strict=True)
    ]


def distances_from(wanted: Steps, tracks: Tracks, owners: np.ndarray, offsets_s: np.ndarray) -> np.ndarray:
    """How far stretches lie from what is wanted, without what loops cost. What is heard in a step is the window at its middle.

    Args:
        wanted: one show, or R paces, one for each stretch.
        tracks: T of them.
        owners: int (R,): the track of each stretch.
        offsets_s: (R,): where in the track it begins.

    Returns:
        float64 (R,), 0 to sqrt 2.
    """
    ends_s = np.cumsum(wanted.lengths_s, axis=-1)
    times_s = np.mod(offsets_s[:, None] + ends_s - wanted.lengths_s / 2, tracks.durations_s[owners, None])
    windows = tracks.starts[owners, None] + np.minimum((times_s / STEP_S).astype(np.int64), tracks.counts[owners, None] - 1)
    weights = wanted.lengths_s / ends_s[..., -1:]
    apart = tracks.va[windows] - wanted.va
    of_means = np.hypot(*(apart * weights[..., None]).sum(axis=1).T)
    return (of_means + (np.hypot(apart[..., 0], apart[..., 1]) * weights).sum(axis=1)) / 2


def loops_of(length_s: float | np.ndarray, durations_s: float | np.ndarray, offsets_s: float | np.ndarray) -> np.ndarray:
    """How often tracks begin again before a show ends: int64, of one number or (R,) each; 0 where the stretch plays through."""
    passes = np.ceil((np.asarray(offsets_s) + length_s) / np.asarray(durations_s) - _ROUNDING)
    return np.maximum(passes - 1, 0).astype(np.int64)


def likely(wanted: Steps, means: np.ndarray, spreads: np.ndarray | None = None, keep: int = LIKELY) -> np.ndarray:
    """The tracks of a big library whose stretches are worth looking at: the nearest by their mean, less their spread.

    A track that varies has stretches away from its mean, about as far as it spreads. This is a rule of thumb and no bound: a
    track with one fitting minute in an hour of something else is passed over if `keep` others are nearer.

    Args:
        wanted: the show.
        means: (T, 2), the mean VA of each track.
        spreads: (T, 2), their standard deviations; None: not known.
        keep: how many.

    Returns:
        int64, rising: all T, or the nearest `keep` of them.

    Raises:
        ValueError: another shape or a number that is not finite.
    """
    away = distances(wanted.mean, means)
    less = away if spreads is None else np.maximum(0, away - distances(np.zeros(2), spreads))
    return np.sort(np.lexsort((away, less))[:keep])  # of several that reach it by their spread, the nearest means


def shuffle_near(away: np.ndarray, seed: int | None, within: float) -> np.ndarray:
    """Candidates from the nearest on; with a seed, those at most `within` further away than the nearest come first, in a drawn order.

    Args:
        away: (N,) distances.
        seed: of the draw; None: there is none.
        within: in the unit of the distances.

    Returns:
        int64 (N,), equally near ones in the order given.
    """
    order = np.argsort(away, kind="stable")
    if seed is None or not len(order):
        return order
    near = away <= away.min() + within
    return np.concatenate([np.random.default_rng(seed).permutation(np.flatnonzero(near)), order[~near[order]]])


def pick(away: np.ndarray, seed: int | None, within: float = SPREAD) -> int:
    """The nearest candidate; with a seed, a draw among those at most `within` further away.

    Raises:
        ValueError: there is no candidate, or a distance is not finite.
    """
    away = np.asarray(away, np.float64)
    if not len(away) or not np.isfinite(away).all():
        raise ValueError("there must be a candidate, and distances must be finite")
    return int(shuffle_near(np.round(away, PLACES), seed, within + _ROUNDING)[0])


def _va(va: np.ndarray) -> np.ndarray:
    va = np.asarray(va, np.float64)
    if va.ndim != 2 or va.shape[1] != 2 or not len(va) or not np.isfinite(va).all():
        raise ValueError(f"VA {va.shape}: must be (N, 2), N at least 1, and finite")
    return va
