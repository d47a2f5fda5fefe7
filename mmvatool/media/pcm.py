"""Raw sound in a file, read and written in pieces: stereo, float32, 48 kHz. Hours of it need no memory."""

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
        """A new file of zeros; the disk holds nothing of it yet."""
        with path.open("wb") as file:
            file.truncate(samples * _SAMPLE_BYTES)
        return cls(path, samples)

    def read(self, first: int, stop: int) -> np.ndarray:
        """Samples [first, stop) as float32 (past - first, 2); what lies outside the file is silence."""
        inside, end = min(max(0, first), self.samples), max(0, min(stop, self.samples))
        sound = np.zeros((stop - first, CHANNELS), np.float32)
        if inside < end:
            with self.path.open("rb") as file:
                file.seek(inside * _SAMPLE_BYTES)
                there = np.frombuffer(file.read((end - inside) * _SAMPLE_BYTES), "<f4").reshape(-1, CHANNELS)
            sound[inside - first : inside - first + len(there)] = there
        return sound

    def write(self, first: int, sound: np.ndarray) -> None:
        """Put float32 (n, 2) at sample `first`; what would lie outside the file is dropped."""
        sound = sound[max(0, -first) : max(0, self.samples - first)]
        if len(sound):
            with self.path.open("r+b") as file:
                file.seek(max(0, first) * _SAMPLE_BYTES)
                file.write(np.ascontiguousarray(sound, "<f4").tobytes())

    def add(self, first: int, pieces: Iterable[np.ndarray]) -> None:
        """Mix pieces that follow each other to what is there, from sample `first` on."""
        for piece in pieces:
            self.write(first, self.read(first, first + len(piece)) + piece)
            first += len(piece)

    def pieces(self) -> Iterator[np.ndarray]:
        """All of it in order."""
        for first in range(0, self.samples, PIECE):
            yield self.read(first, min(first + PIECE, self.samples))
