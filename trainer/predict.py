"""Predict valence and arousal with a checkpoint: the one door through which the application uses the model."""

from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch

from trainer import checkpoint
from trainer.errors import DeviceError
from trainer.model.mmva import MMVA

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bf16")
DEFAULT_BATCH_SIZE = 32


def pick_device(name: str) -> torch.device:
    """The torch device for "auto" (CUDA, else MPS, else CPU), "cpu", "cuda" or "mps".

    Raises:
        DeviceError: an unknown name, or a device this machine does not have.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if name not in there:
        raise DeviceError(f"unknown device {name!r}: allowed are {', '.join(DEVICES)}")
    if not there[name]:
        raise DeviceError(f"device {name!r} is not available on this machine: use --device auto or cpu")
    return torch.device(name)


class Predictor:
    """A loaded model that predicts VA in batches; always in eval mode, without gradients.

    Build one with `Predictor.load`. The same frames give the same numbers whatever the batch size is (to float
    rounding).
    """

    def __init__(self, model: MMVA, name: str, device: torch.device, precision: str, batch_size: int) -> None:
        self.name = name
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self._model = model.eval().to(device)

    @classmethod
    def load(
        cls, model: str | Path = "compact", *, device: str = "auto", precision: str = "float32", batch_size: int = DEFAULT_BATCH_SIZE
    ) -> "Predictor":
        """Load a bundled model by name or a checkpoint by path.

        Args:
            model: "compact", or the path of a .safetensors checkpoint.
            device: "auto", "cpu", "cuda" or "mps".
            precision: "float32", or "bf16" (autocast: faster on a GPU; its error of about .002 is as large as the whole
                arousal spread of a talking head).
            batch_size: frames in one forward pass, at least 1.

        Raises:
            CheckpointError: no such model, or a file that is not a sound checkpoint.
            WeightsError: the checkpoint names a tower whose weights are not to be had.
            DeviceError: the device is not there.
            ValueError: another precision or batch size.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: allowed are {', '.join(PRECISIONS)}")
        if batch_size < 1:
            raise ValueError(f"batch size {batch_size}: must be at least 1")
        where = pick_device(device)
        loaded = checkpoint.read(model)
        return cls(checkpoint.build(loaded), loaded.name, where, precision, batch_size)

    @overload
    def image(self, frames: np.ndarray, *, embeddings: Literal[False] = False) -> np.ndarray: ...
    @overload
    def image(self, frames: np.ndarray, *, embeddings: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def image(self, frames: np.ndarray, *, embeddings: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """VA of pictures.

        Args:
            frames: (N, H, W, 3) uint8 RGB, any size; N may be 0.
            embeddings: also return the tower's embeddings.

        Returns:
            float32 (N, 2): valence, arousal, each in [0, 1]; with `embeddings`, that and float32 (N, 512).

        Raises:
            ValueError: another shape or dtype.
        """
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames must be (N, H, W, 3) uint8, not {frames.shape} {frames.dtype}")
        va = np.empty((len(frames), 2), np.float32)
        vectors = np.empty((len(frames), 512), np.float32)
        with torch.inference_mode():
            for start in range(0, len(frames), self.batch_size):
                part = slice(start, start + self.batch_size)
                batch = torch.from_numpy(np.ascontiguousarray(frames[part])).to(self.device).permute(0, 3, 1, 2)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                    predicted, embedded = self._model.image(batch)
                va[part] = predicted.float().cpu().numpy()
                vectors[part] = embedded.float().cpu().numpy()
        return (va, vectors) if embeddings else va
