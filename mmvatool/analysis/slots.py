"""Sampling slots: segments of SLOT_S seconds with one sample each, the frame on screen at the centre. Pure."""

from dataclasses import dataclass

import numpy as np

SLOT_S = 2.0


@dataclass(frozen=True)
class Slots:
    """Sampling slots: `edges_s` (N + 1,) from the video's start to its end, `centres_s` (N,)."""

    edges_s: np.ndarray
    centres_s: np.ndarray

    def __len__(self) -> int:
        return len(self.centres_s)


def slots(start_s: float, end_s: float, slot_s: float = SLOT_S) -> Slots:
    """Divide [start_s, end_s) into slots of `slot_s`; a remainder under half a slot goes to the last."""
    count = max(1, int((end_s - start_s) / slot_s + 0.5))
    edges = start_s + slot_s * np.arange(count + 1)
    edges[-1] = end_s
    return Slots(edges, (edges[:-1] + edges[1:]) / 2)
