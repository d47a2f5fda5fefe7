"""Bring the ratings of a source to [0, 1], and those of several sources to one scale."""

from dataclasses import replace

import numpy as np

from trainer.data.manifest import AnyRow, Manifest
from trainer.errors import DataError

NOMINAL = {
    "deam": (-1.0, 1.0),
    "iaps": (1.0, 9.0),
    "naps": (1.0, 9.0),
    "emotic": (1.0, 10.0),
    "oasis": (1.0, 7.0),
    "emotion6": (1.0, 9.0),
    "vgmidi": (-1.0, 1.0),
    "emobank": (1.0, 5.0),
    "norms": (1.0, 9.0),
}
"""The rating scale of each source."""


def to_unit(ratings: np.ndarray, source: str, scale: str = "minmax") -> np.ndarray:
    """Map ratings to [0, 1], valence and arousal separately.

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
        raise DataError(f"{source}: a rating of {outlier:g} is outside its scale of {low:g} to {high:g}; correct the ratings")
    if scale == "nominal":
        return (ratings - low) / (high - low)
    lowest, highest = ratings.min(axis=0), ratings.max(axis=0)
    if (lowest == highest).any():
        raise DataError(f"{source}: all ratings are the same, so minmax cannot spread them; use --scale nominal")
    return (ratings - lowest) / (highest - lowest)


CENTRE, SPREAD = 0.5, 0.18
"""Mean and standard deviation of each source after `standardise`."""
_ENDS = (0.01, 0.99)


def standardise(manifest: Manifest) -> Manifest:
    """Give the labels of every source the same mean and spread, valence and arousal separately: CENTRE + SPREAD z.

    Raters of sentences use a fifth of their scale, raters of pictures nearly all of it: without standardising, a 0.7 for a
    sentence and a 0.7 for a picture would not mean the same. Labels are clipped to 0.01 and 0.99 (2.7 deviations).

    Raises:
        DataError: all ratings of a source are the same.
    """
    images = _standard(manifest.images, "image")
    clips = _standard(manifest.clips, "music")
    texts = _standard(manifest.texts, "text")
    return replace(manifest, images=images, clips=clips, texts=texts).subset(range(len(images)), range(len(clips)))


def _standard(rows: tuple[AnyRow, ...], modality: str) -> tuple[AnyRow, ...]:
    va = np.array([row.va for row in rows], np.float64).reshape(-1, 2)
    sources = np.array([row.source for row in rows])
    for source in sorted({row.source for row in rows}):
        own = sources == source
        deviation = va[own].std(axis=0)
        if (deviation == 0).any():
            raise DataError(
                f"source {source!r} of {modality}: all ratings are the same, so that they cannot be spread: use data.labels=given"
            )
        va[own] = CENTRE + SPREAD * (va[own] - va[own].mean(axis=0)) / deviation
    labels = np.clip(va, *_ENDS).tolist()
    return tuple(replace(row, va=(label[0], label[1])) for row, label in zip(rows, labels, strict=True))
