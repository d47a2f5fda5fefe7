"""Raw audio in a file, read and written in pieces to save memory: stereo, float32, 48 kHz."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE_HZ = 48_000
CHANNELS = 2
PIECE = 1 << 18  # samples: 5.5 s, 2 MB
_SAMPLE_BYTES = 4 * CHANNELS


@dataclass(frozen=True)
class Pcm:
    """A file of `samples` samples of two channels."""

    path: Path
    samples: int

    @classmethod
    def silence(cls, path: Path, samples: int) -> "Pcm":
        """Create a file of zeros (a sparse one)."""
        with path.open("wb") as file:
            file.truncate(samples * _SAMPLE_BYTES)
        return cls(path, samples)

    def read(self, first: int, stop: int) -> np.ndarray:
        """Samples [first, stop) as float32 (stop - first, 2); outside the file there is silence."""
        inside, end = min(max(0, first), self.samples), max(0, min(stop, self.samples))
        sound = np.zeros((stop - first, CHANNELS), np.float32)
        if inside < end:
            with self.path.open("rb") as file:
                file.seek(inside * _SAMPLE_BYTES)
                stored = np.frombuffer(file.read((end - inside) * _SAMPLE_BYTES), "<f4").reshape(-1, CHANNELS)
            sound[inside - first : inside - first + len(stored)] = stored
        return sound

    def write(self, first: int, sound: np.ndarray) -> None:
        """Write float32 (n, 2) at sample `first`; samples outside the file are dropped."""
        sound = sound[max(0, -first) : max(0, self.samples - first)]
        if len(sound):
            with self.path.open("r+b") as file:
                file.seek(max(0, first) * _SAMPLE_BYTES)
                file.write(np.ascontiguousarray(sound, "<f4").tobytes())

    def add(self, first: int, pieces: Iterable[np.ndarray]) -> None:
        """Mix consecutive pieces into the file, from sample `first` on."""
        for piece in pieces:
            self.write(first, self.read(first, first + len(piece)) + piece)
            first += len(piece)

    def pieces(self) -> Iterator[np.ndarray]:
        """All samples in order, in pieces."""
        for first in range(0, self.samples, PIECE):
            yield self.read(first, min(first + PIECE, self.samples))
