"""`prompt`: from a picture to words that a music generator takes (Figures 4 to 6 of MMVA). One pipeline, readable top to bottom.

read the picture -> predict its VA -> VA of all prompts, computed once a model and kept -> the nearest, or one of those as near as it.
"""

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool import __version__
from mmvatool.analysis import pictures
from mmvatool.errors import OutputError
from mmvatool.files import cache_dir, write_file
from mmvatool.progress import Progress, no_progress
from mmvatool.prompts.templates import Prompts, load
from mmvatool.soundtracks.matching import shuffle_near
from trainer import matching_score

if TYPE_CHECKING:
    from trainer import Predictor

NEAR = 0.01
"""With a seed, prompts at most so much further away in VA than the nearest are as good: under a tenth of a step of a nine-point rating."""

_CHUNK = 1024  # prompts between two reports of progress
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Prompt:
    """A prompt, its VA by the text tower, and how near it is: distance in VA, and Eq. 1's score if the model has a sigma."""

    prompt: str
    valence: float
    arousal: float
    distance: float
    score: float | None


@dataclass(frozen=True)
class Prompted:
    """The result: a picture (None for VA that was given), its VA, and its prompts, the nearest first."""

    input: Path | None
    valence: float
    arousal: float
    prompts: tuple[Prompt, ...]
    model: str

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "input": f"{self.valence:g},{self.arousal:g}" if self.input is None else str(self.input),
            "valence": round(self.valence, 6),
            "arousal": round(self.arousal, 6),
            "prompts": [
                {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(prompt).items()}
                for prompt in self.prompts
            ],
            "model": self.model,
        }


def prompt(
    source: "Path | str | tuple[float, float]",
    *,
    predictor: "Predictor | None" = None,
    candidates: Path | str | None = None,
    top: int = 1,
    seed: int | None = None,
    progress: Progress = no_progress,
) -> Prompted:
    """Words for music with the VA of a picture: of all prompts, the nearest. For many pictures see `Prompter`.

    Args:
        source: a picture; or valence and arousal, each in [0, 1].
        predictor: a loaded model with an image and a text tower; the bundled one by default.
        candidates: a TOML file of templates and candidates; the paper's by default.
        top: how many prompts, at least 1.
        seed: of a random choice among those at most NEAR further away than the nearest; None: the nearest.
        progress: is given how much of each stage is done.

    Raises:
        SettingsError: the file of candidates is not as it should be.
        MediaError: the picture cannot be read.
        CheckpointError: the model lacks a tower.
        ValueError: VA outside [0, 1], or `top` below 1.
    """
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=("text",) if isinstance(source, tuple) else ("image", "text"))
    return Prompter(predictor, load(candidates), progress=progress).prompt(source, top=top, seed=seed)


class Prompter:
    """Finds prompts for one picture after the other.

    Args:
        predictor: a loaded model with a text tower, and an image tower for pictures.
        prompts: to choose from; the paper's by default.
        progress: is given how many of all prompts are scored.

    Attributes:
        warnings: why the prompts' scores could not be kept.
    """

    def __init__(self, predictor: "Predictor", prompts: Prompts | None = None, *, progress: Progress = no_progress) -> None:
        self.predictor = predictor
        self.prompts = load() if prompts is None else prompts
        self.warnings: list[str] = []
        self._progress = progress

    def prompt(self, source: "Path | str | tuple[float, float]", *, top: int = 1, seed: int | None = None) -> Prompted:
        """The prompts of one picture, or of VA; see `prompt` for arguments and errors."""
        path = None if isinstance(source, tuple) else Path(source)
        va = np.array(source, np.float64) if isinstance(source, tuple) else self._predict(Path(source))
        if va.shape != (2,) or not ((va >= 0) & (va <= 1)).all():
            raise ValueError(f"valence and arousal {source}: must be two numbers from 0 to 1")
        prompts = self._choose(va, top, seed)
        return Prompted(path, float(va[0]), float(va[1]), prompts, self.predictor.name)

    @cached_property
    def table(self) -> np.ndarray:
        """VA float32 (number of prompts, 2) of all prompts: computed once for a model and its candidates, then read from the cache."""
        if not self.predictor.fingerprint:  # a model without a file
            return self._score()
        key = f"{self.predictor.fingerprint}-{self.predictor.precision}-{__version__}-{self.prompts.fingerprint}"
        try:
            file = cache_dir() / "prompts" / f"{key}.va"
        except RuntimeError as error:
            self.warnings.append(f"the prompts' scores are not kept for the next run ({error}): set XDG_CACHE_HOME")
            return self._score()
        va = _read(file, key, len(self.prompts))
        if va is None:
            va = self._score()
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_file(file, _seal(va, key))
            except (OSError, OutputError) as error:
                self.warnings.append(f"the prompts' scores are not kept for the next run ({error}): set XDG_CACHE_HOME to another folder")
        return va

    def _predict(self, path: Path) -> np.ndarray:
        return self.predictor.image([pictures.read(path)], still=True)[0].astype(np.float64)

    def _score(self) -> np.ndarray:
        va = np.empty((len(self.prompts), 2), np.float32)
        chunk = max(_CHUNK, self.predictor.batch_size)
        with self._progress("prompts", len(va)) as scored:
            for start in range(0, len(va), chunk):
                end = min(start + chunk, len(va))
                va[start:end] = self.predictor.text([self.prompts[index] for index in range(start, end)])
                scored(end)
        return va

    def _choose(self, va: np.ndarray, top: int, seed: int | None) -> tuple[Prompt, ...]:
        """The nearest to VA (2,), different in words, the nearest first; with a seed a random choice of those nearly as near."""
        if top < 1:
            raise ValueError(f"top {top}: must be at least 1")
        distance = np.linalg.norm(self.table - va, axis=1)  # float64
        chosen: dict[str, int] = {}
        for index in map(int, shuffle_near(distance, seed, NEAR)):
            chosen.setdefault(self.prompts[index], index)
            if len(chosen) == top:
                break
        sigma = self.predictor.sigma
        indices = sorted(chosen.values(), key=lambda index: (distance[index], index))
        prompts = []
        for index in indices:
            valence, arousal = map(float, self.table[index])
            score = None if sigma is None else float(matching_score(self.table[index], va, sigma))
            prompts.append(Prompt(self.prompts[index], valence, arousal, float(distance[index]), score))
        return tuple(prompts)


def _seal(va: np.ndarray, key: str) -> bytes:
    """The cache file: SHA-256 of the key and the numbers, then the numbers: float32, little-endian, valence and arousal in turn."""
    data = va.astype("<f4").tobytes()
    return hashlib.sha256(key.encode() + data).digest() + data


def _read(path: Path, key: str, count: int) -> np.ndarray | None:
    """VA (count, 2) of a cache file; None: not there, not readable, or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) != _DIGEST_BYTES + 8 * count or hashlib.sha256(key.encode() + data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
        return None
    return np.frombuffer(data, "<f4", offset=_DIGEST_BYTES).reshape(count, 2).astype(np.float32)
