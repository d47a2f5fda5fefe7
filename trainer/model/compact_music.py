"""The compact music tower: fixed features, then a small network."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trainer.model.heads import EMBEDDING_DIM
from trainer.model.music_features import MusicFeatures
from trainer.model.music_filters import COUNT, RATE_HZ, WINDOW_S, filled
from trainer.model.towers import VERSIONS

CPU_CHUNK, GPU_CHUNK = 4, 64  # windows whose spectrograms are computed at once: more do not fit into a CPU's caches


class CompactMusicTower(nn.Module):
    """Sound to 512-d embeddings: the features of `MusicFeatures`, standardised, then two layers; .3 M parameters.

    The features are cached, so that training takes seconds.

    Args:
        window_s: length of its input windows in seconds.
    """

    sample_rate_hz = RATE_HZ
    backbone = None
    version = VERSIONS["music", "compact"]
    feature_dtype = torch.float32
    _HIDDEN = 256
    _CLAMP = 4.0  # standardised features are clamped to this many deviations

    def __init__(self, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self.window_s = window_s
        self.features = MusicFeatures()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.zeros(COUNT))
        self.register_buffer("deviation", torch.ones(COUNT))
        self.layers = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(COUNT, self._HIDDEN),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(self._HIDDEN, EMBEDDING_DIM),
        )

    def preprocess(self, windows: Sequence[np.ndarray]) -> torch.Tensor:
        """Features of windows, repeated to fill `window_s` so that the features do not depend on their length.

        Args:
            windows: float32 (n_i,) mono at 24 kHz, each in [-1, 1], n_i at least 1; longer ones are truncated.

        Returns:
            (N, COUNT) float32, on this tower's device.
        """
        samples = round(self.window_s * self.sample_rate_hz)
        chunks = []
        chunk = CPU_CHUNK if self.mean.device.type == "cpu" else GPU_CHUNK
        for start in range(0, len(windows), chunk):
            whole = np.stack([filled(window, samples) for window in windows[start : start + chunk]])
            chunks.append(self.features(torch.from_numpy(whole).to(self.mean.device)))
        return torch.cat(chunks) if chunks else self.mean.new_empty((0, COUNT))

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Set the mean and deviation for standardising from the training split's features (N, COUNT)."""
        # Rounded to a checkpoint's precision, so that the loaded model equals the trained one.
        mean, deviation = (values.half().float() for values in (features.float().mean(0), features.float().std(0, correction=0)))
        self.mean.copy_(mean)
        # Features that are constant in training, up to the rounding of their mean, are suppressed.
        least = (mean.abs() * 2**-8).clamp(min=1e-4)
        self.deviation.copy_(torch.where(deviation > least, deviation, torch.full_like(deviation, 1e4)))

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features, N of (COUNT,), as one tensor on this tower's device."""
        return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(self.mean.device)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, COUNT) to (N, 512)."""
        return self.layers(((features.float() - self.mean) / self.deviation).clamp(-self._CLAMP, self._CLAMP))

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features to (N, 512)."""
        return self.reduce(self.encode(batch))
