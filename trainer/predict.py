"""Predict valence and arousal with a checkpoint: the interface through which the application uses the model."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch

from trainer import checkpoint
from trainer.constants import DEVICES, PRECISIONS, SILENCE_PEAK
from trainer.errors import DeviceError
from trainer.libraries import first_line
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.mmva import MMVA, check_modalities
from trainer.model.towers import MAX_CHARACTERS

DEFAULT_BATCH_SIZE = 32
MIN_WINDOW_S = 0.1
SILENCE_VA = (0.5, 0.0)
_Batch = tuple[torch.Tensor, torch.Tensor]  # VA (n, 2) and embeddings (n, 512), on the device
_Key = TypeVar("_Key")


def pick_device(name: str) -> torch.device:
    """The torch device for "auto" (CUDA, else MPS, else CPU), "cpu", "cuda" or "mps".

    Raises:
        DeviceError: an unknown name, or a device this machine does not have.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if name not in available:
        raise DeviceError(f"unknown device {name!r}: allowed are {', '.join(DEVICES)}")
    if not available[name]:
        raise DeviceError(f"device {name!r} is not available on this machine: use --device auto or cpu")
    return torch.device(name)


class Predictor:
    """A loaded model that predicts VA in batches; always in eval mode, without gradients.

    Build one with `Predictor.load`. The same input gives the same numbers whatever the batch size is (to float
    rounding).

    Attributes:
        name: of the model, shown with every result.
        modalities: which of "image", "music" and "text" it can predict VA of.
        sigma: Eq. 1's sigma of the training data; None: distances are defined, matching scores are not.
        sample_rate_hz: of the windows that `music` takes; None without a music tower.
        window_s: their greatest length; None without a music tower.
        fingerprint: of the checkpoint's file and its towers' versions, 16 hexadecimal digits: models with equal fingerprints predict
            equal numbers, so predictions may be stored and reused.
        order_scale: modality -> how far apart two predictions of valence, of arousal, must be for their order to be that of people's ratings
            in 84 of 100 pairs; without an entry it was not measured.
        card: the model card, or else the checkpoint's notes: data, figures, licences.
        warnings: what differs from what was asked for.
    """

    def __init__(
        self,
        model: MMVA,
        name: str,
        device: torch.device,
        precision: str,
        batch_size: int,
        sigma: float | None = None,
        fingerprint: str = "",
        card: str = "",
        order_scale: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.card = card
        self.order_scale = dict(order_scale or {})
        self.warnings: tuple[str, ...] = ()
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.sigma = sigma
        self.modalities = model.modalities
        self._model = model.eval().to(device)
        for modality in self.modalities:
            if hasattr(model.tower(modality), "fold"):
                model.tower(modality).fold()
        if device.type == "cuda":  # convolutions are faster on a GPU with the channels of a pixel adjacent
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        music: Any = model.towers["music"] if "music" in self.modalities else None
        self.sample_rate_hz: int | None = music.sample_rate_hz if music else None
        self.window_s: float | None = music.window_s if music else None

    @classmethod
    def load(
        cls,
        model: str | Path = "compact",
        *,
        device: str = "auto",
        precision: str = "float32",
        batch_size: int = DEFAULT_BATCH_SIZE,
        modalities: Collection[str] | None = None,
        sources: Mapping[str, str] | None = None,
        compiled: bool = False,
    ) -> "Predictor":
        """Load a bundled model by name or a checkpoint by path.

        Args:
            model: "compact", or the path of a .safetensors checkpoint.
            device: "auto", "cpu", "cuda" or "mps".
            precision: "float32", or "bf16" (autocast: faster on a GPU; its error of about .002 is as large as the whole
                arousal spread of a talking head).
            batch_size: rows in one forward pass, at least 1.
            modalities: which towers to load; None for all of the checkpoint's.
            sources: modality -> folder or hub name of a tower's pretrained weights, instead of their location in training.
            compiled: compile towers with a backbone by `torch.compile`, which takes up to some minutes and pays off for hours of video;
                where compiling fails they run uncompiled and `warnings` says why.

        Raises:
            CheckpointError: no such model, not a valid checkpoint, or one without such a tower.
            WeightsError: a tower's pretrained weights are not available.
            LibraryLoadError: a library that a tower needs does not load.
            DeviceError: the device is not available.
            ValueError: an unknown precision, or a batch size below 1.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: allowed are {', '.join(PRECISIONS)}")
        if batch_size < 1:
            raise ValueError(f"batch size {batch_size}: must be at least 1")
        where = pick_device(device)
        loaded = checkpoint.read(model)

        def build() -> Predictor:
            built = checkpoint.build(loaded, modalities, sources)
            return cls(built, loaded.name, where, precision, batch_size, loaded.sigma, loaded.fingerprint, loaded.card, loaded.order_scale)

        predictor = build()
        if compiled:
            try:
                predictor._compile()
            except Exception as error:  # a missing or old compiler, or one that does not fit the driver: torch raises many types
                predictor = build()
                predictor.warnings = (f"not compiled, as torch cannot do it here ({first_line(error)})",)
        return predictor

    def _compile(self) -> None:
        """Compile the towers that have a backbone, and run each on a batch and on a single row: torch compiles on the first run."""
        for modality in self.modalities:
            tower = self._model.tower(modality)
            if tower.backbone is None:
                continue
            tower.compile(dynamic=True)
            for count in (self.batch_size, 1):
                match modality:
                    case "image":
                        self.image(np.zeros((count, 256, 256, 3), np.uint8))
                    case "music":
                        assert self.sample_rate_hz is not None
                        self.music([np.full(self.sample_rate_hz, 0.1, np.float32)] * count)
                    case _:
                        self.text(["words"] * count)

    @overload
    def image(
        self, frames: np.ndarray | Iterable[np.ndarray], *, embeddings: Literal[False] = False, still: bool = False
    ) -> np.ndarray: ...
    @overload
    def image(
        self, frames: np.ndarray | Iterable[np.ndarray], *, embeddings: Literal[True], still: bool = False
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def image(
        self, frames: np.ndarray | Iterable[np.ndarray], *, embeddings: bool = False, still: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """VA of pictures.

        Args:
            frames: (N, H, W, 3) uint8 RGB, any size; or N of (H_i, W_i, 3), each of its own size, which are read one at a time
                and not kept: a generator may read them from files. N may be 0.
            embeddings: also return the tower's embeddings.
            still: photos, not frames of a video: the compact tower averages seven views of each, which takes seven times as
                long and raises r by .02.

        Returns:
            float32 (N, 2): valence, arousal, each in [0, 1]; with `embeddings`, that and float32 (N, 512).

        Raises:
            ValueError: another shape or dtype.
            CheckpointError: the model has no image tower.
        """
        if not isinstance(frames, np.ndarray):
            va, vectors = self._predict_pictures(iter(frames), still)
            return (va, vectors) if embeddings else va
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames must be (N, H, W, 3) uint8, not {frames.shape} {frames.dtype}")

        def raw(part: slice) -> torch.Tensor:
            return _tensor(frames[part]).to(self.device).permute(0, 3, 1, 2)

        va, vectors = self._predict("image", len(frames), raw, still)
        return (va, vectors) if embeddings else va

    @overload
    def music(self, windows: np.ndarray | Sequence[np.ndarray], *, embeddings: Literal[False] = False) -> np.ndarray: ...
    @overload
    def music(self, windows: np.ndarray | Sequence[np.ndarray], *, embeddings: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def music(self, windows: np.ndarray | Sequence[np.ndarray], *, embeddings: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """VA of sound. Digital silence has a defined VA that is not predicted.

        Args:
            windows: float32 (N, n), or N of (n_i,): mono at `sample_rate_hz`, in [-1, 1], .1 to `window_s` seconds; N may be 0.
            embeddings: also return the tower's embeddings.

        Returns:
            float32 (N, 2): valence, arousal, each in [0, 1]; with `embeddings`, that and float32 (N, 512). A window whose
            peak is below 1e-4 (three steps of 16-bit sound) has valence .5, arousal 0 and an embedding of zeros.

        Raises:
            ValueError: another shape, dtype or length, or a sample that is not finite.
            CheckpointError: the model has no music tower.
        """
        check_modalities(self.modalities, ("music",), self.name)
        assert self.sample_rate_hz is not None
        assert self.window_s is not None
        for index, window in enumerate(windows):
            if window.ndim != 1 or not np.issubdtype(window.dtype, np.floating) or not np.isfinite(window).all():
                raise ValueError(f"window {index} must be (n,) floats, all finite, not {window.shape} {window.dtype}")
            length_s = len(window) / self.sample_rate_hz
            if not MIN_WINDOW_S <= length_s <= self.window_s:
                limits = f"{MIN_WINDOW_S:g} to {self.window_s:g} s"
                raise ValueError(f"window {index} has {length_s:.2f} s at {self.sample_rate_hz} Hz: must be {limits}")
        va, vectors = self._predict("music", len(windows), lambda part: windows[part])
        silent = [index for index, window in enumerate(windows) if np.abs(window).max() < SILENCE_PEAK]
        va[silent] = SILENCE_VA
        vectors[silent] = 0
        return (va, vectors) if embeddings else va

    @overload
    def text(self, captions: Sequence[str], *, embeddings: Literal[False] = False) -> np.ndarray: ...
    @overload
    def text(self, captions: Sequence[str], *, embeddings: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def text(self, captions: Sequence[str], *, embeddings: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """VA of words.

        Args:
            captions: N texts; N may be 0. Only the first 2,000 characters of each are read.
            embeddings: also return the tower's embeddings.

        Returns:
            float32 (N, 2): valence, arousal, each in [0, 1]; with `embeddings`, that and float32 (N, 512). A text without
            a letter or a digit has (0.5, 0.5): defined, not predicted.

        Raises:
            ValueError: one text instead of a sequence of them.
            CheckpointError: the model has no text tower.
        """
        cut = _cut(captions)
        va, vectors = self._predict("text", len(cut), lambda part: cut[part])
        va[[_blank(caption) for caption in cut]] = 0.5
        return (va, vectors) if embeddings else va

    def unknown(self, captions: Sequence[str]) -> list[bool]:
        """Which texts have no word that the model knows: their VA is meaningless.

        A word is known if it, or a word it is an inflection of, was in the training data. Towers without a vocabulary, such
        as RoBERTa, treat all words as known; a text without a letter or a digit is always unknown.

        Args:
            captions: N texts; N may be 0.

        Raises:
            ValueError: one text instead of a sequence of them.
            CheckpointError: the model has no text tower.
        """
        cut = _cut(captions)
        check_modalities(self.modalities, ("text",), self.name)
        tower = self._model.tower("text")
        unknown = [_blank(caption) for caption in cut]
        if hasattr(tower, "unknown"):
            for start in range(0, len(cut), self.batch_size):
                part = slice(start, start + self.batch_size)
                unknown[part] = tower.unknown(tower.encode(tower.preprocess(cut[part]))).tolist()
        return unknown

    def _predict(self, modality: str, count: int, raw: Callable[[slice], Any], still: bool = False) -> tuple[np.ndarray, np.ndarray]:
        check_modalities(self.modalities, (modality,), self.name)
        va = np.empty((count, 2), np.float32)
        vectors = np.empty((count, EMBEDDING_DIM), np.float32)
        parts = (slice(start, start + self.batch_size) for start in range(0, count, self.batch_size))
        with torch.inference_mode():
            for part, predicted in self._in_flight((part, self._predict_batch(modality, raw(part), still)) for part in parts):
                va[part], vectors[part] = predicted
        return va, vectors

    def _predict_pictures(self, pictures: Iterator[np.ndarray], still: bool) -> tuple[np.ndarray, np.ndarray]:
        check_modalities(self.modalities, ("image",), self.name)
        va, vectors = [np.empty((0, 2), np.float32)], [np.empty((0, EMBEDDING_DIM), np.float32)]

        def raw(batch: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
            for picture in batch:
                if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                    raise ValueError(f"a picture must be (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
                yield _tensor(picture).to(self.device).permute(2, 0, 1)

        def batches() -> Iterator[tuple[None, _Batch]]:
            for first in pictures:
                batch = itertools.chain([first], itertools.islice(pictures, self.batch_size - 1))
                del first  # only the preprocessed picture is kept
                yield None, self._predict_batch("image", raw(batch), still)

        with torch.inference_mode():
            for _, predicted in self._in_flight(batches()):
                for rows, part in zip((va, vectors), predicted, strict=True):
                    rows.append(part)
        return np.concatenate(va), np.concatenate(vectors)

    def _predict_batch(self, modality: str, raw: Any, still: bool) -> _Batch:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self._model.predict(modality, raw, still=still)

    @staticmethod
    def _in_flight(batches: Iterable[tuple[_Key, _Batch]]) -> Iterator[tuple[_Key, tuple[np.ndarray, np.ndarray]]]:
        """The batches as float32 arrays, each fetched after the next was started: a GPU computes one while the next is decoded."""
        waiting: list[tuple[_Key, _Batch]] = []
        for batch in itertools.chain(batches, [None]):
            if waiting:
                key, (va, vectors) = waiting.pop()
                yield key, (va.float().cpu().numpy(), vectors.float().cpu().numpy())
            if batch is not None:
                waiting.append(batch)


def _tensor(pictures: np.ndarray) -> torch.Tensor:
    plain = np.ascontiguousarray(pictures)
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())  # torch warns about read-only arrays


def _cut(captions: Sequence[str]) -> list[str]:
    if isinstance(captions, str):
        raise ValueError("captions must be a sequence of texts, not one text")
    return [caption[:MAX_CHARACTERS] for caption in captions]


def _blank(caption: str) -> bool:
    return not any(character.isalnum() for character in caption)
