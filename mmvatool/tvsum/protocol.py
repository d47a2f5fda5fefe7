"""TVSum's protocol (Song et al. 2015; as in the papers that report it): summaries of 15 %, F against 20 users, rank correlations. Pure.

A *piece* is a shot in frames, a row [first, stop) of an int64 array (S, 2). Users and predictions are cut into the same pieces. A
summary is a choice of pieces, bool (S,). F depends on the pieces more than on the scores, so that a figure means nothing without them.
"""

from dataclasses import dataclass

import numpy as np

from mmvatool.summary import knapsack

RATIO = 0.15
UNIFORM_FRAMES = 60  # two seconds at TVSum's usual rate
RANK_STEP = 15  # frames from score to score where ranks are compared frame by frame
SEEDS = range(100)
_SINE_FRAMES = 300


@dataclass(frozen=True)
class Annotation:
    """The users' scores of a video.

    Args:
        video: its id.
        scores: float64 (U, frames), each user's score of each frame, 1..5 in TVSum.
        starts: int64 (S,), first frames of the 2-second shots that the users scored, the first 0.
    """

    video: str
    scores: np.ndarray
    starts: np.ndarray

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return int(self.scores.shape[1])

    @property
    def mean(self) -> np.ndarray:
        """The mean of the users' scores (frames,)."""
        return self.scores.mean(0)

    @property
    def rated(self) -> np.ndarray:
        """Each user's score of each 2-second shot (U, S)."""
        return self.scores[:, self.starts]

    @property
    def pieces(self) -> np.ndarray:
        """The 2-second shots that the users scored."""
        return np.stack([self.starts, np.append(self.starts[1:], self.frames)], 1)


def uniform(frames: int, length: int = UNIFORM_FRAMES) -> np.ndarray:
    """Pieces of `length` frames; the last takes in the remainder."""
    edges = np.arange(max(1, frames // length) + 1) * length
    edges[-1] = frames
    return np.stack([edges[:-1], edges[1:]], 1)


def shot_means(scores: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Float64 means (K, S) of scores (K, frames) in pieces, which need not cover all frames.

    They are differences of running sums. Users' means are full of ties, which only rounding breaks: other orders of adding moved F of
    the oracle by up to .1 in a hundred.
    """
    sums = np.concatenate([np.zeros((len(scores), 1)), np.cumsum(scores, axis=1, dtype=np.float64)], axis=1)
    return (sums[:, pieces[:, 1]] - sums[:, pieces[:, 0]]) / np.diff(pieces)[:, 0]


def summaries(scores: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """The pieces of the greatest total of mean scores within 15 % of the frames.

    The value of a piece is the bare mean, whatever its length: that is the protocol. A piece of a negative mean is never taken. An
    offset of the scores changes the summary, a scale does not.

    Args:
        scores: (K, frames), each row a prediction or a user.
        pieces: int (S, 2).

    Returns:
        bool (K, S).
    """
    values = np.maximum(shot_means(scores, pieces), 0)
    return knapsack.solve_many(values, np.diff(pieces)[:, 0], int(RATIO * scores.shape[1]))


def evenly_spaced(pieces: np.ndarray, frames: int) -> np.ndarray:
    """The summary bool (S,) of k pieces at even distances in their sequence, with the greatest k that fits."""
    lengths = np.diff(pieces)[:, 0]
    for count in range(len(pieces), 0, -1):
        chosen = np.zeros(len(pieces), bool)
        chosen[((np.arange(count) + 0.5) * len(pieces) / count).astype(np.int64)] = True
        if lengths[chosen].sum() <= int(RATIO * frames):
            return chosen
    return np.zeros(len(pieces), bool)


def f_measures(predicted: np.ndarray, users: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """F = 2PR / (P + R) over frames, in [0, 1], of summaries (K, S) against users' (U, S); 0 where nothing overlaps.

    Returns:
        float64 (K, U).
    """
    lengths = np.diff(pieces)[:, 0].astype(np.float64)
    overlap = (predicted * lengths) @ users.T
    both = (predicted @ lengths)[:, None] + users @ lengths
    return np.divide(2 * overlap, both, out=np.zeros_like(overlap), where=both > 0)


def leave_one_out(users: np.ndarray, pieces: np.ndarray) -> float:
    """Mean F of each user's summary against the others'; at least two users."""
    f = f_measures(users, users, pieces)
    return float((f.sum() - np.trace(f)) / (len(users) * (len(users) - 1)))


def predictors(annotation: Annotation) -> dict[str, np.ndarray]:
    """Scores (frames,) that do not depend on the video, and the oracle's, by name."""
    count = annotation.frames
    sine = np.sin(np.arange(1, count + 1) / _SINE_FRAMES)
    return {
        "oracle": annotation.mean,
        "constant": np.ones(count),
        "decreasing": 1 - np.arange(count) / max(1, count - 1),
        "sine": (sine - sine.min()) / max(np.ptp(sine), 1e-12),
    }


def correlations(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kendall's tau-b and Spearman's rho of each row of `one` (K, N) with each of `other` (M, N).

    Tau-b is the cosine of the signs of all differences: ties are zeros there. So all rows are compared at once, exactly.

    Returns:
        tau (K, M) and rho (K, M), NaN where a row does not vary.
    """
    from scipy.stats import rankdata  # here: --help must not wait for it

    ranked = [rankdata(rows, axis=1).astype(np.float32) for rows in (one, other)]
    agree = np.zeros((len(one), len(other)))
    for index in range(one.shape[1] - 1):  # the signs of all pairs at once would take gigabytes
        signs = [np.sign(rows[:, index + 1 :] - rows[:, index, None]) for rows in ranked]
        agree += signs[0] @ signs[1].T
    centred = [rows.astype(np.float64) - rows.mean(1, dtype=np.float64, keepdims=True) for rows in ranked]
    tau = _cosine(agree, *(np.array([_untied(row) for row in rows]) for rows in ranked))
    return tau, _cosine(centred[0] @ centred[1].T, *((rows**2).sum(1) for rows in centred))


def _untied(row: np.ndarray) -> float:
    """How many pairs of a row differ."""
    groups = np.unique(row, return_counts=True)[1].astype(np.float64)
    return float(len(row) * (len(row) - 1) - (groups * (groups - 1)).sum()) / 2


def _cosine(product: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norm = np.sqrt(one[:, None] * other)
    return np.divide(product, norm, out=np.full(product.shape, np.nan), where=norm > 0)


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b and Spearman's rho; NaN where scores do not vary."""

    tau: float
    rho: float


def against_users(scores: np.ndarray, annotation: Annotation) -> Agreement:
    """Scores (K, frames) against each user, one score for each 2-second shot, the one of its first frame: means over K and users."""
    return _mean(correlations(scores[:, annotation.starts], annotation.rated))


def against_mean(scores: np.ndarray, annotation: Annotation) -> Agreement:
    """The same against the mean of the users."""
    return _mean(correlations(scores[:, annotation.starts], annotation.mean[None, annotation.starts]))


def pairwise(annotation: Annotation) -> Agreement:
    """Users against each other, at every 15th frame (Otani et al. 2019): mean over pairs."""
    sampled = annotation.scores[:, ::RANK_STEP]
    pairs = np.triu_indices(len(sampled), 1)
    tau, rho = correlations(sampled, sampled)
    return _mean((tau[pairs], rho[pairs]))


def against_others(annotation: Annotation) -> Agreement:
    """Each user against the mean of the others, at every 15th frame: mean over users."""
    sampled = annotation.scores[:, ::RANK_STEP]
    tau, rho = correlations(sampled, (sampled.sum(0) - sampled) / (len(sampled) - 1))
    return _mean((tau.diagonal(), rho.diagonal()))


def _mean(values: tuple[np.ndarray, np.ndarray]) -> Agreement:
    """Means over the values that are defined."""
    tau, rho = (float(part[~np.isnan(part)].mean()) if not np.isnan(part).all() else float("nan") for part in values)
    return Agreement(tau, rho)
