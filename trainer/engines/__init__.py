"""What runs a model on a device: ONNX Runtime the compact towers on CPUs, torch everything everywhere."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

Predicted = tuple[np.ndarray, np.ndarray]
"""VA float32 (n, 2) in [0, 1] and embeddings float32 (n, 512)."""
Fetch = Callable[[], Predicted]
"""Waits for a batch that was begun."""


class Engine(Protocol):
    """Loaded towers on a device. Batches are checked by the caller, and have at least one row."""

    device: str  # "cpu", "cuda" or "mps"
    precision: str
    modalities: tuple[str, ...]
    sample_rate_hz: int | None  # of the windows that the music tower takes
    window_s: float | None  # their greatest length

    def image(self, pictures: np.ndarray | Iterable[np.ndarray], *, still: bool) -> Fetch:
        """Begin a batch of uint8 RGB pictures: (n, H, W, 3), or n of (H_i, W_i, 3), which are read one at a time and not kept."""
        ...

    def music(self, windows: list[np.ndarray]) -> Fetch:
        """Begin a batch of n windows (n_i,) of sound."""
        ...

    def text(self, captions: list[str]) -> Fetch:
        """Begin a batch of n captions."""
        ...

    def unknown(self, captions: list[str]) -> list[bool]:
        """Which of n captions have no word of the tower's vocabulary; none, if it has no vocabulary."""
        ...
