"""The scale in which distances are compared: VA itself, or ranks, of tracks within their library and of a query among all queries.

Music of one genre lies close together in VA, so that one of its tracks may be the nearest to every query. By ranks it has a happiest and
a saddest track still: a query that is happier than 90 % of all goes to the track that is happier than 90 % of the library. Pure numpy.
"""

from dataclasses import dataclass

import numpy as np

from trainer import share_below

PLACES = 6  # of a VA or a distance: what differs by the rounding of float32 is the same


@dataclass(frozen=True)
class Scale:
    """The model's own scale, or that of a library's ranks. Build the latter with `Scale.of_library`.

    `knots`: for valence and for arousal the distinct means of the library's tracks, rising, and their ranks; None: VA itself.
    """

    knots: tuple[tuple[np.ndarray, np.ndarray], ...] | None = None

    @classmethod
    def of_library(cls, means: np.ndarray) -> "Scale":
        """Ranks within a library, of valence and of arousal each: the share of its tracks that lie below, of equals half.

        N tracks that differ have the ranks 0.5 / N, 1.5 / N ... (N - 0.5) / N; one alone, or all of a library whose tracks are equal, 0.5.

        Args:
            means: (N, 2) mean VA of its tracks, N at least 1.

        Raises:
            ValueError: no track, another shape, or a number that is not finite.
        """
        means = np.asarray(means, np.float64)
        if means.ndim != 2 or means.shape[1] != 2 or not len(means) or not np.isfinite(means).all():
            raise ValueError(f"means {means.shape}: must be (N, 2), N at least 1, and finite")
        return cls(tuple(_ranked(axis) for axis in means.T))

    def of_query(self, va: np.ndarray) -> np.ndarray:
        """VA (..., 2) of what music is looked for: its ranks among all pictures, music and words (`trainer.share_below`), whatever the library."""
        return np.asarray(va, np.float64) if self.knots is None else share_below(va)

    def of_tracks(self, va: np.ndarray) -> np.ndarray:
        """VA (..., 2) of tracks, or of moments in them: the ranks of their means, linear in between.

        Beyond the library's extremes it goes on one to one: a moment 0.1 below the lowest mean lies 0.1 below its rank, so that moments
        stay apart that no track's mean lies beyond, and of one track alone ranks are VA, moved so that its mean is at 0.5.
        """
        va = np.asarray(va, np.float64)
        if self.knots is None:
            return va
        return np.stack([_interpolated(va[..., axis], *self.knots[axis]) for axis in (0, 1)], axis=-1)


ABSOLUTE = Scale()


def _ranked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values (K,), rising, and their mid-ranks (K,) in (0, 1)."""
    distinct, counts = np.unique(np.round(values, PLACES), return_counts=True)
    return distinct, (np.cumsum(counts) - counts / 2) / len(values)


def _interpolated(values: np.ndarray, knots: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    values = np.round(values, PLACES)
    return np.interp(values, knots, ranks) + np.minimum(values - knots[0], 0) + np.maximum(values - knots[-1], 0)
