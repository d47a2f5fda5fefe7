"""Which music fits: the distance of two VA, Eq. 1's score, and the ranking by them. Pure numpy."""

from dataclasses import dataclass

import numpy as np

from trainer.affect import matching_score

# Farther than this, the nearest track is not near: a fifth of the scale of valence or of arousal.
FAR = 0.2
PLACES = 6  # of a distance: what differs by the rounding of float32 is equally near


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
