"""Predict valence and arousal with a checkpoint: the interface through which the application uses the model."""

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np

from trainer import stored
from trainer.constants import MODALITIES, PRECISIONS, SILENCE_PEAK
from trainer.devices import WORTH_A_GPU, pick_device, signs_of_a_gpu
from trainer.engines import Engine, Fetch, Predicted
from trainer.errors import LibraryLoadError
from trainer.libraries import imports
from trainer.machine import usable_cpus
from trainer.model.towers import EMBEDDING_DIM, MAX_CHARACTERS, check_modalities
from trainer.stored import Checkpoint

DEFAULT_BATCH_SIZE = 32
MIN_WINDOW_S = 0.1
SILENCE_VA = (0.5, 0.0)
_Key = TypeVar("_Key")


class Predictor:
    """A loaded model that predicts VA in batches.

    Build one with `Predictor.load`. The same input gives the same numbers whatever the batch size is (to float
    rounding).

    Attributes:
        name: of the model, shown with every result.
        device: where it runs: "cpu", "cuda" or "mps". With `device="auto"` the compact towers begin on the CPU and move to a GPU, if there
            is one, with the first call after `trainer.devices.WORTH_A_GPU` pictures and windows: before, importing torch takes longer.
        precision: "float32" or "bf16".
        modalities: which of "image", "music" and "text" it can predict VA of.
        sigma: Eq. 1's sigma of the training data; None: distances are defined, matching scores are not.
        sample_rate_hz: of the windows that `music` takes; None without a music tower.
        window_s: their greatest length; None without a music tower.
        fingerprint: of the checkpoint's file and its towers' versions, 16 hexadecimal digits: models with equal fingerprints predict
            equal numbers, so predictions may be stored and reused.
        order_scale: modality -> how far apart two predictions of valence, of arousal, must be for their order to be that of people's ratings
            in 84 of 100 pairs; without an entry it was not measured.
        card: the model card, or else the checkpoint's notes: data, figures, licences.
        warnings: what differs from what was asked for, as it comes up.
    """

    def __init__(
        self,
        engine: Engine,
        loaded: Checkpoint,
        batch_size: int = DEFAULT_BATCH_SIZE,
        warnings: list[str] | None = None,
        on_a_gpu: Callable[[], Engine | None] | None = None,
    ) -> None:
        self.name = loaded.name
        self.fingerprint = loaded.fingerprint
        self.card = loaded.card
        self.order_scale = loaded.order_scale
        self.sigma = loaded.sigma
        self.warnings = warnings if warnings is not None else []
        self.batch_size = batch_size
        self.precision, self.modalities = engine.precision, engine.modalities
        self.sample_rate_hz, self.window_s = engine.sample_rate_hz, engine.window_s
        self._engine = engine
        self._on_a_gpu = on_a_gpu
        self._predicted = 0  # pictures and windows of sound

    @property
    def device(self) -> str:
        """Where it runs now."""
        return self._engine.device

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
        threads: int | None = None,
        on_warning: Callable[[str], None] = lambda text: None,
    ) -> "Predictor":
        """Load a bundled model by name or a checkpoint by path.

        ONNX Runtime runs the compact towers on CPUs in float32; torch, which takes seconds to import, the rest.

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
            threads: of a CPU, at least 1; None for all that this process may use.
            on_warning: is called with each of `warnings`, after the model's name, as it comes up, perhaps during a prediction.

        Raises:
            CheckpointError: no such model, not a valid checkpoint, or one without such a tower.
            WeightsError: a tower's pretrained weights are not available.
            LibraryLoadError: a library that a tower needs does not load.
            DeviceError: the device is not available.
            ValueError: an unknown precision, a batch size or threads below 1.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: allowed are {', '.join(PRECISIONS)}")
        if batch_size < 1:
            raise ValueError(f"batch size {batch_size}: must be at least 1")
        if threads is not None and threads < 1:
            raise ValueError(f"threads {threads}: must be at least 1")
        loaded = stored.read(model)
        asked = loaded.towers if modalities is None else modalities
        check_modalities(loaded.towers, asked, str(loaded.path))
        wanted = tuple(modality for modality in MODALITIES if modality in asked)
        warnings: list[str] = []

        def warn(text: str) -> None:
            warnings.append(text)
            on_warning(f"{loaded.name}: {text}")

        def by_torch(where: str) -> Engine:
            with imports():
                from trainer.engines.torch_engine import TorchEngine

            compile_for = batch_size if compiled else 0
            return TorchEngine(model, where, precision, wanted, sources, threads=threads, compile_for=compile_for, warn=warn)

        def on_a_gpu() -> Engine | None:
            try:
                where = pick_device("auto")
                return None if where == "cpu" else by_torch(where)
            except LibraryLoadError as error:
                warn(f"not moved to a GPU, as torch is not there: {error}")
                return None

        has_graphs = precision == "float32" and not compiled and loaded.has_graphs(wanted)
        where = "cpu" if device == "auto" and has_graphs else pick_device(device)
        engine = _onnx_engine(loaded, wanted, threads or default_threads(), warn) if where == "cpu" and has_graphs else None
        if engine is None:
            return cls(by_torch(pick_device(device)), loaded, batch_size, warnings)
        may_move = device == "auto" and signs_of_a_gpu()
        return cls(engine, loaded, batch_size, warnings, on_a_gpu if may_move else None)

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
            still: photos, not frames of a video: the compact tower looks at each with two networks, also mirrored, which takes
                five times as long and raises r of valence by about .04.

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
        va, vectors = self._predict("image", len(frames), lambda part: self._engine.image(frames[part], still=still))
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
        va, vectors = self._predict("music", len(windows), lambda part: self._engine.music(list(windows[part])))
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
        va, vectors = self._predict("text", len(cut), lambda part: self._engine.text(cut[part]))
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
        unknown = []
        for start in range(0, len(cut), self.batch_size):
            unknown += self._engine.unknown(cut[start : start + self.batch_size])
        return [_blank(caption) or no_word for caption, no_word in zip(cut, unknown, strict=True)]

    def _predict(self, modality: str, count: int, begin: Callable[[slice], Fetch]) -> Predicted:
        check_modalities(self.modalities, (modality,), self.name)
        self._move_if_worth()
        va = np.empty((count, 2), np.float32)
        vectors = np.empty((count, EMBEDDING_DIM), np.float32)
        parts = (slice(start, start + self.batch_size) for start in range(0, count, self.batch_size))
        for part, predicted in self._in_flight((part, begin(part)) for part in parts):
            va[part], vectors[part] = predicted
        if modality != "text":
            self._predicted += count
        return va, vectors

    def _predict_pictures(self, pictures: Iterator[np.ndarray], still: bool) -> Predicted:
        check_modalities(self.modalities, ("image",), self.name)
        self._move_if_worth()
        va, vectors = [np.empty((0, 2), np.float32)], [np.empty((0, EMBEDDING_DIM), np.float32)]

        def checked(batch: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for picture in batch:
                if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                    raise ValueError(f"a picture must be (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
                yield picture
                del picture  # only what the tower makes of it is kept

        def batches() -> Iterator[tuple[None, Fetch]]:
            for first in pictures:
                batch = itertools.chain([first], itertools.islice(pictures, self.batch_size - 1))
                del first
                yield None, self._engine.image(checked(batch), still=still)

        for _, predicted in self._in_flight(batches()):
            for rows, part in zip((va, vectors), predicted, strict=True):
                rows.append(part)
            self._predicted += len(predicted[0])
        return np.concatenate(va), np.concatenate(vectors)

    def _move_if_worth(self) -> None:
        if self._on_a_gpu is not None and self._predicted >= WORTH_A_GPU:
            self._engine, self._on_a_gpu = self._on_a_gpu() or self._engine, None

    @staticmethod
    def _in_flight(batches: Iterable[tuple[_Key, Fetch]]) -> Iterator[tuple[_Key, Predicted]]:
        """The batches' predictions, each fetched after the next was begun: a GPU computes one while the next is decoded."""
        waiting: list[tuple[_Key, Fetch]] = []
        for batch in itertools.chain(batches, [None]):
            if waiting:
                key, fetch = waiting.pop()
                yield key, fetch()
            if batch is not None:
                waiting.append(batch)


def default_threads() -> int:
    """Threads of a CPU unless told otherwise: all that this process may use, or as many as OMP_NUM_THREADS says."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() and int(stated) else usable_cpus()


def _onnx_engine(loaded: Checkpoint, modalities: tuple[str, ...], threads: int, warn: Callable[[str], None]) -> Engine | None:
    """ONNX Runtime's engine; None, and a warning, where it does not load."""
    try:
        with imports():
            from trainer.engines.onnx_engine import OnnxEngine
    except LibraryLoadError as error:
        warn(f"predicted by torch, as ONNX Runtime is not there: {error}")
        return None
    return OnnxEngine(loaded, modalities, threads, warn)


def _cut(captions: Sequence[str]) -> list[str]:
    if isinstance(captions, str):
        raise ValueError("captions must be a sequence of texts, not one text")
    return [caption[:MAX_CHARACTERS] for caption in captions]


def _blank(caption: str) -> bool:
    return not any(character.isalnum() for character in caption)
