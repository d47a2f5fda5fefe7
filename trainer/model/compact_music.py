"""The compact music tower: features that need no learning, then a small network."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trainer.constants import SILENCE_PEAK
from trainer.model import music_features
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.music_features import MusicFeatures
from trainer.model.towers import VERSIONS

CPU_CHUNK, GPU_CHUNK = 4, 64  # windows whose spectrograms are held at once: more of them no longer fit into a CPU's caches
_BLOCK = 240  # samples, 10 ms


class CompactMusicTower(nn.Module):
    """Sound to 512-d embeddings: what `MusicFeatures` computes, standardised, then two layers; .3 M parameters.

    A cache holds the features themselves, so that training takes seconds.

    Args:
        window_s: length of the windows it looks at, in seconds.
    """

    sample_rate_hz = music_features.RATE_HZ
    backbone = None
    version = VERSIONS["music", "compact"]
    feature_dtype = torch.float32
    _HIDDEN = 256
    _FAR = 4.0  # deviations; what is further out counts as that far

    def __init__(self, window_s: float = 10.0) -> None:
        super().__init__()
        self.window_s = window_s
        self.features = MusicFeatures()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.zeros(music_features.COUNT))
        self.register_buffer("deviation", torch.ones(music_features.COUNT))
        self.layers = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(music_features.COUNT, self._HIDDEN),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(self._HIDDEN, EMBEDDING_DIM),
        )

    def preprocess(self, windows: Sequence[np.ndarray]) -> torch.Tensor:
        """Features of windows repeated to fill `window_s` (shorter ones would show their length, not their mood).

        Args:
            windows: float32 (n_i,) mono at 24 kHz, each in [-1, 1], n_i at least 1; what is longer is cut.

        Returns:
            (N, COUNT) float32, on this tower's device.
        """
        samples = round(self.window_s * self.sample_rate_hz)
        chunks = []
        chunk = CPU_CHUNK if self.mean.device.type == "cpu" else GPU_CHUNK
        for start in range(0, len(windows), chunk):
            filled = np.stack([_filled(window[:samples], samples) for window in windows[start : start + chunk]])
            chunks.append(self.features(torch.from_numpy(filled).to(self.mean.device)))
        return torch.cat(chunks) if chunks else self.mean.new_empty((0, music_features.COUNT))

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Learn what is usual from the training split's features (N, COUNT): called once, before training."""
        # Rounded to what a checkpoint holds: the loaded model is the trained one.
        mean, deviation = (values.half().float() for values in (features.float().mean(0), features.float().std(0, correction=0)))
        self.mean.copy_(mean)
        # What never changed in training, or by less than the rounding of its mean, says nothing, however far it is off later.
        least = (mean.abs() * 2**-8).clamp(min=1e-4)
        self.deviation.copy_(torch.where(deviation > least, deviation, torch.full_like(deviation, 1e4)))

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features, N of (COUNT,), as one tensor on this tower's device."""
        return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(self.mean.device)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, COUNT) to (N, 512)."""
        return self.layers(((features.float() - self.mean) / self.deviation).clamp(-self._FAR, self._FAR))

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features to (N, 512)."""
        return self.reduce(self.encode(batch))


def _filled(window: np.ndarray, samples: int) -> np.ndarray:
    """The window without silence at its ends, over and over until `samples` are full."""
    whole = len(window) // _BLOCK * _BLOCK
    peaks = np.abs(window[:whole]).reshape(-1, _BLOCK).max(1)
    # 60 dB below the loudest is silence, too: what a codec leaves of it.
    audible = np.flatnonzero(peaks > max(SILENCE_PEAK, 1e-3 * peaks.max(initial=0)))
    if len(audible):
        window = window[audible[0] * _BLOCK : (audible[-1] + 1) * _BLOCK if audible[-1] + 1 < len(peaks) else len(window)]
    return np.tile(window, math.ceil(samples / len(window)))[:samples].astype(np.float32)
