"""Valence and arousal (VA) as numbers: the matching score of two VA, the sigma it is scaled with, and the scale of VA. numpy only."""

import numpy as np

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
"""The quantiles that calibration matches."""
_CENTRE, _SPREAD = 0.5, 0.18
_NORMAL = (-2.326348, -1.644854, -1.281552, -0.841621, -0.385320, 0.0, 0.385320, 0.841621, 1.281552, 1.644854, 2.326348)
COMMON = tuple(_CENTRE + _SPREAD * z for z in _NORMAL)
"""What they are in the common scale: of a normal distribution with mean .5 and deviation .18, so that 5 % are below .2 and 95 % below .8."""

_ROWS, _COLUMNS = 8, 4096  # a block of squares has 256 KiB, which fits into a core's cache


def matching_score(va_a: np.ndarray, va_b: np.ndarray, sigma: float) -> np.ndarray:
    """How well two VA match: exp(-d / sigma), d their Euclidean distance (Eq. 1 of MMVA; Choi, Kim & Kang 2025).

    Args:
        va_a: (..., 2) valence, arousal, each in [0, 1].
        va_b: (..., 2), broadcast against `va_a`.
        sigma: mean distance of all pairs of the training split (`mean_distance`), above 0.

    Returns:
        float32 (...) in (0, 1]; 1 where the two are equal.

    Raises:
        ValueError: sigma is not a finite number above 0.
    """
    return score_of_distance(np.linalg.norm(np.asarray(va_a, np.float64) - np.asarray(va_b, np.float64), axis=-1), sigma)


def score_of_distance(distance: np.ndarray, sigma: float) -> np.ndarray:
    """The matching score (Eq. 1) of distances (...): float32 (...).

    Raises:
        ValueError: sigma is not a finite number above 0.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma {sigma}: must be a finite number above 0")
    return np.exp(-np.asarray(distance, np.float64) / sigma).astype(np.float32)


def share_below(va: np.ndarray) -> np.ndarray:
    """The share of pictures, music or words that a calibrated model predicts below a VA, of valence and of arousal.

    It is the same for all three, as calibration brings the predictions for held-out rows of each to LEVELS at COMMON
    (`trainer.model.calibration`); linear between these and to 0 and 1 at the ends of the scale. For a model without calibration it is
    a convention.

    Args:
        va: (...) in [0, 1].

    Returns:
        float64 (...) in [0, 1], rising with `va`.
    """
    return np.interp(np.asarray(va, np.float64), (0.0, *COMMON, 1.0), (0.0, *LEVELS, 1.0))


def mean_distance(va_a: np.ndarray, va_b: np.ndarray) -> float:
    """Eq. 1's sigma: the mean Euclidean distance over all pairs of two sets of VA, without their a x b matrix.

    Exact: all pairs are computed, in blocks of 8 x 4096 with reused memory. With the two arrays of labels that is about
    1 MB for 25,000 x 24,000 labels, which took .9 s on one core. Distances are float32,
    the sum of blocks float64: off by less than 1e-7 for labels in [0, 1].

    Args:
        va_a: (a, 2), a at least 1.
        va_b: (b, 2), b at least 1.

    Returns:
        The mean distance, in the unit of the labels.

    Raises:
        ValueError: an empty set, or another shape.
    """
    for va in (va_a, va_b):
        if va.ndim != 2 or va.shape[1] != 2 or not len(va):
            raise ValueError(f"VA of shape {va.shape}: sigma needs (N, 2) with N at least 1 on both sides")
    a = np.asarray(va_a, np.float32).T
    b = np.asarray(va_b, np.float32).T
    block, ones = np.empty((2, _ROWS, _COLUMNS), np.float32), np.ones(_COLUMNS, np.float32)
    total = 0.0
    for column in range(0, b.shape[1], _COLUMNS):
        part = np.ascontiguousarray(b[:, None, column : column + _COLUMNS])
        for row in range(0, a.shape[1], _ROWS):
            rows = a[:, row : row + _ROWS, None]
            squares = block[:, : rows.shape[1], : part.shape[2]]
            np.subtract(part, rows, out=squares)
            np.multiply(squares, squares, out=squares)
            distance = np.add(squares[0], squares[1], out=squares[0])
            np.sqrt(distance, out=distance)
            total += float((distance @ ones[: part.shape[2]]).sum(dtype=np.float64))
    return total / (a.shape[1] * b.shape[1])
