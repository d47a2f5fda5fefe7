"""ONNX Runtime: the compact towers on CPUs, from the graphs and the tensors of a checkpoint. No torch."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, RuntimeException

from trainer.engines import Fetch
from trainer.errors import CheckpointError
from trainer.libraries import first_line
from trainer.model import text_tokens
from trainer.model.music_features_numpy import music_features
from trainer.model.music_filters import RATE_HZ, WINDOW_S
from trainer.model.squeeze import squeezed
from trainer.model.towers import VERSIONS
from trainer.stored import GRAPH, GRAPHS, Checkpoint, check_encoder, read_arrays, read_note

# Rows of a graph that are predicted at once: more take no less time, but 22 MiB for each frame and 55 for each still.
_MOST = {"image.frames": 8, "image.stills": 4, "music": 256, "text": 256}


class OnnxEngine:
    """Sessions of ONNX Runtime, each made when it is first needed.

    Args:
        loaded: a checkpoint with graphs for all of `modalities`.
        modalities: which towers to load.
        threads: of the operators.
        warn: is given what cannot be done as asked.

    Raises:
        CheckpointError: a tensor is missing, or a tower's version has changed.
    """

    device = "cpu"
    precision = "float32"

    def __init__(
        self, loaded: Checkpoint, modalities: Collection[str], threads: int, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        self.modalities = tuple(modalities)
        self.sample_rate_hz = RATE_HZ if "music" in self.modalities else None
        self.window_s = float(loaded.towers["music"].get("window_s", WINDOW_S)) if "music" in self.modalities else None
        noted = read_note(loaded.path, loaded.notes, "encoders", dict)
        for modality in self.modalities:
            now = {"version": VERSIONS[modality, "compact"]}
            check_encoder(loaded.path, modality, noted.get(modality, {}), now, "train it again")
        self._loaded, self._threads, self._warn = loaded, threads, warn
        names = [name for modality in self.modalities for name in GRAPHS[modality]]
        tensors = {tensor for name in names for tensor in loaded.graphs[name]}
        self._arrays = read_arrays(loaded.path, sorted(tensors) + [GRAPH + name for name in names])
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._most = dict(_MOST)
        self._short_of_memory = False

    def image(self, pictures: np.ndarray | Iterable[np.ndarray], *, still: bool) -> Fetch:
        """Begin a batch of uint8 RGB pictures: (n, H, W, 3), or n of (H_i, W_i, 3), which are read one at a time and not kept."""
        name = "image.stills" if still else "image.frames"
        side = self._session(name).get_inputs()[0].shape[2]
        small = [squeezed(picture, side) for picture in pictures]
        return self._predict(name, np.ascontiguousarray(np.stack(small).transpose(0, 3, 1, 2)))

    def music(self, windows: list[np.ndarray]) -> Fetch:
        """Begin a batch of n windows (n_i,) of sound."""
        assert self.window_s is not None
        return self._predict("music", music_features(windows, self.window_s, self._threads))

    def text(self, captions: list[str]) -> Fetch:
        """Begin a batch of n captions."""
        return self._predict("text", text_tokens.trimmed(text_tokens.numbers(captions)))

    def unknown(self, captions: list[str]) -> list[bool]:
        """Which of n captions have no word of the tower's vocabulary."""
        (unknown,) = self._run("text", ["unknown"], text_tokens.trimmed(text_tokens.numbers(captions)))
        return unknown.tolist()

    def _session(self, name: str) -> onnxruntime.InferenceSession:
        if name not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self._threads
            options.inter_op_num_threads = 1
            for threads in ("intra_op", "inter_op"):  # idle ones sleep: others may want the processor
                options.add_session_config_entry(f"session.{threads}.allow_spinning", "0")
            options.log_severity_level = 4  # errors are raised, too
            tensors = {tensor: onnxruntime.OrtValue.ortvalue_from_numpy(self._arrays[tensor]) for tensor in self._loaded.graphs[name]}
            options.add_external_initializers(list(tensors), list(tensors.values()))
            try:
                session = onnxruntime.InferenceSession(self._arrays[GRAPH + name].tobytes(), options, providers=["CPUExecutionProvider"])
            except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
                raise CheckpointError(
                    f"{self._loaded.path}: its tensors do not fit its graph {name!r}: {first_line(error)}; get the checkpoint again"
                ) from error
            self._sessions[name] = session
        return self._sessions[name]

    def _predict(self, name: str, batch: np.ndarray) -> Fetch:
        va, vectors = self._run(name, ["va", "embedding"], batch)
        return lambda: (va, vectors)

    def _run(self, name: str, outputs: list[str], batch: np.ndarray) -> list[Any]:
        """The outputs of a graph for a batch, which is halved as long as memory is not enough."""
        most = self._most[name]
        if len(batch) > most:
            parts = [self._run(name, outputs, batch[start : start + most]) for start in range(0, len(batch), most)]
            return [np.concatenate(part) for part in zip(*parts, strict=True)]
        session = self._session(name)
        try:
            return session.run(outputs, {session.get_inputs()[0].name: batch})
        except (MemoryError, RuntimeException) as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise MemoryError from error
        if not self._short_of_memory:
            self._warn(f"too little memory for {len(batch)} at once: predicted in smaller batches")
        self._short_of_memory = True
        self._most[name] = len(batch) // 2
        return self._run(name, outputs, batch)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "bad_alloc" in str(error)
