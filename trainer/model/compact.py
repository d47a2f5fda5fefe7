"""The compact towers: small enough to ship in the wheel, to run on a CPU and to be trained from scratch.

Nothing in them is frozen: `encode` gives back the preprocessed input, which is what a cache saves them.
"""

import itertools
import math
import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torchaudio.transforms import MelSpectrogram

from trainer.model.heads import EMBEDDING_DIM


class CompactMusicTower(nn.Module):
    """Sound to 512-d embeddings: a convolution over its log-mel spectrogram, .5 M parameters.

    The frequency axis is kept until the last convolution, so that pitch counts; time is pooled to mean and deviation.
    Beside it stand the spectrum of the loudness, in which a pulse shows its rate, and how fast the loudness rises and falls:
    on the tests' synthetic pulses these two raised r of arousal from .90 to .95.

    Args:
        window_s: length of the windows it looks at, in seconds.
    """

    sample_rate_hz = 24000
    backbone = None
    version = "compact-music/1"
    feature_dtype = torch.float16
    _MELS = 64
    _CHANNELS = (16, 32, 64, 128)
    _HOP = 960
    _rates_hz = torch.logspace(math.log10(0.5), math.log10(12), 24)

    def __init__(self, window_s: float = 10.0) -> None:
        super().__init__()
        self.window_s = window_s
        # 1024 samples of window and 960 of hop are 43 and 40 ms.
        self._mel = [MelSpectrogram(self.sample_rate_hz, n_fft=1024, hop_length=self._HOP, f_min=30, f_max=11000, n_mels=self._MELS)]
        layers: list[nn.Module] = []
        inputs = 1
        for channels in self._CHANNELS:
            # Group norm: a batch's statistics would differ from process to process.
            layers += [nn.Conv2d(inputs, channels, 3, (2, 2 if channels < 64 else 1), 1, bias=False), nn.GroupNorm(8, channels), nn.GELU()]
            inputs = channels
        self.convolutions = nn.Sequential(*layers)
        self.mix = nn.Sequential(nn.Conv1d(inputs * self._MELS // 2 ** len(self._CHANNELS), 256, 1), nn.GELU())
        pooled = 2 * 256 + 4 * len(self._rates_hz) + 2 * 8
        self.project = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, EMBEDDING_DIM))

    def preprocess(self, windows: Sequence[np.ndarray]) -> torch.Tensor:
        """Log-mel spectrograms of windows repeated to fill `window_s` (shorter ones would show their length, not their mood).

        Args:
            windows: float32 (n_i,) mono at 24 kHz, each in [-1, 1], n_i at least 1; what is longer is cut.

        Returns:
            (N, 64, T) float32, T = 25 a second and one, roughly in [-2, 2].
        """
        samples = round(self.window_s * self.sample_rate_hz)
        filled = [np.tile(window, math.ceil(samples / len(window)))[:samples] for window in windows]
        mel = self._mel[0](torch.from_numpy(np.stack(filled).astype(np.float32)))
        return torch.log10(mel + 1e-6) / 3 + 0.5

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Spectrograms, N of (64, T), as one tensor on this tower's device."""
        return _stack(batch, self)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 64, T) to (N, 512)."""
        loudness = features.float()
        hidden = self.mix(self.convolutions(loudness[:, None]).flatten(1, 2))
        return self.project(
            torch.cat([hidden.mean(2), hidden.float().std(2).to(hidden.dtype), self._pulse(loudness), _slopes(loudness)], 1)
        )

    def _pulse(self, loudness: torch.Tensor) -> torch.Tensor:
        """How strongly the loudness of four bands goes up and down .5 to 12 times a second: (N, 4 * 24)."""
        bands = loudness.unflatten(1, (4, -1)).mean(2)
        spectrum = torch.fft.rfft(bands - bands.mean(2, keepdim=True)).abs() / bands.shape[2]
        # Read between the lines of the spectrum, so that the rates are the same for every length.
        place = self._rates_hz.to(loudness.device) * bands.shape[2] * self._HOP / self.sample_rate_hz
        below = place.long().clamp(max=spectrum.shape[2] - 2)
        part = place - below
        strength = spectrum[..., below] * (1 - part) + spectrum[..., below + 1] * part
        return torch.log(strength + 1e-3).flatten(1) / 2 + 2

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Spectrograms to (N, 512)."""
        return self.reduce(self.encode(batch))


class CompactTextTower(nn.Module):
    """Captions to 512-d embeddings: the mean vector of their hashed words and word pairs, then two layers; 1.7 M parameters."""

    backbone = None
    version = "compact-text/1"
    feature_dtype = torch.int16
    _BUCKETS = 16384
    _GRAMS = 192  # a caption of 96 words; what is longer is cut
    _WIDTH = 96

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(self._BUCKETS, self._WIDTH, padding_idx=0)
        nn.init.normal_(self.vectors.weight, std=0.3)
        with torch.no_grad():
            self.vectors.weight[0] = 0
        self.layers = nn.Sequential(nn.Linear(self._WIDTH, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, EMBEDDING_DIM))

    def preprocess(self, captions: Sequence[str]) -> torch.Tensor:
        """Bucket numbers of the words and word pairs of each caption, 0 where there are none left.

        Returns:
            (N, 192) int16.
        """
        rows = np.zeros((len(captions), self._GRAMS), np.int16)
        for row, caption in zip(rows, captions, strict=True):
            words = re.findall(r"\w+", caption.casefold())
            pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
            # crc32 is the same on every machine and in every run, which Python's own hash is not.
            grams = [zlib.crc32(gram.encode("utf-8", "replace")) % (self._BUCKETS - 1) + 1 for gram in [*words[:96], *pairs[:96]]]
            row[: len(grams)] = grams
        return torch.from_numpy(rows)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Bucket numbers, N of (192,), as one tensor on this tower's device."""
        return _stack(batch, self)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 192) to (N, 512)."""
        ids = features.long()
        count = (ids > 0).sum(1, keepdim=True).clamp(min=1)
        return self.layers(self.vectors(ids).sum(1) / count)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Bucket numbers to (N, 512)."""
        return self.reduce(self.encode(batch))


def _slopes(loudness: torch.Tensor) -> torch.Tensor:
    """Mean rise and mean fall of the loudness of eight bands from frame to frame: (N, 2 * 8)."""
    change = loudness.unflatten(1, (8, -1)).mean(2).diff(dim=2) * 10
    return torch.cat([change.clamp(min=0).mean(2), change.clamp(max=0).mean(2)], 1)


def _stack(batch: Sequence[torch.Tensor], tower: nn.Module) -> torch.Tensor:
    return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(next(tower.parameters()).device)
