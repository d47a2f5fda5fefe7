"""Bring the ratings of a source to [0, 1]."""

import numpy as np

from trainer.errors import DataError

NOMINAL = {
    "deam": (-1.0, 1.0),
    "iaps": (1.0, 9.0),
    "naps": (1.0, 9.0),
    "emotic": (1.0, 10.0),
    "oasis": (1.0, 7.0),
    "vgmidi": (-1.0, 1.0),
    "emobank": (1.0, 5.0),
    "norms": (1.0, 9.0),
}
"""The scale each source was rated on."""

SCALES = ("minmax", "nominal")


def to_unit(ratings: np.ndarray, source: str, scale: str = "minmax") -> np.ndarray:
    """Map ratings to [0, 1], valence and arousal each on its own.

    Args:
        ratings: (n, 2) valence, arousal on the source's own scale, n > 0.
        source: one of `NOMINAL`.
        scale: "minmax": the lowest rating becomes 0 and the highest 1, as in IMEMNet-C's published labels;
            "nominal": the ends of the source's own scale do.

    Returns:
        float64 (n, 2) in [0, 1].

    Raises:
        DataError: a rating outside the source's scale, or minmax of ratings that are all the same.
    """
    low, high = NOMINAL[source]
    if not ((ratings >= low) & (ratings <= high)).all():
        outlier = ratings[~((ratings >= low) & (ratings <= high))][0]
        raise DataError(f"{source}: a rating of {outlier:g} is outside its scale of {low:g} to {high:g}; mend the ratings")
    if scale == "nominal":
        return (ratings - low) / (high - low)
    lowest, highest = ratings.min(axis=0), ratings.max(axis=0)
    if (lowest == highest).any():
        raise DataError(f"{source}: all ratings are the same, so minmax cannot spread them; use --scale nominal")
    return (ratings - lowest) / (highest - lowest)
