"""torch: any tower, on CPUs and GPUs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import checkpoint
from trainer.engines import Fetch, Predicted
from trainer.libraries import first_line
from trainer.model.mmva import MMVA


class TorchEngine:
    """A model in eval mode, without gradients.

    Args:
        model: name or path of its checkpoint.
        device: "cpu", "cuda" or "mps".
        precision: "float32" or "bf16".
        modalities: which towers to load; None for all.
        sources: modality -> folder or hub name of a tower's pretrained weights, instead of their location in training.
        threads: of a CPU, for all of torch in this process; None leaves them as they are.
        compile_for: compile towers with a backbone for batches of so many rows; 0: do not compile.
        warn: is given what cannot be done as asked.

    Raises: see `Predictor.load`.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "cpu",
        precision: str = "float32",
        modalities: Collection[str] | None = None,
        sources: Mapping[str, str] | None = None,
        *,
        threads: int | None = None,
        compile_for: int = 0,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = device
        self.precision = precision
        self._where = torch.device(device)
        loaded = checkpoint.read(model)
        self.model = self._ready(checkpoint.build(loaded, modalities, sources))
        self.modalities = self.model.modalities
        music: Any = self.model.towers["music"] if "music" in self.modalities else None
        self.sample_rate_hz: int | None = music.sample_rate_hz if music else None
        self.window_s: float | None = music.window_s if music else None
        if compile_for:
            try:
                self._compile(compile_for)
            except Exception as error:  # a missing or old compiler, or one that does not fit the driver: torch raises many types
                self.model = self._ready(checkpoint.build(loaded, modalities, sources))
                warn(f"not compiled, as torch cannot do it here ({first_line(error)})")

    def _ready(self, model: MMVA) -> MMVA:
        """The model as it predicts fastest on the device."""
        model.eval().to(self._where)
        for modality in model.modalities:
            if hasattr(model.tower(modality), "fold"):
                model.tower(modality).fold()
        if self.device == "cuda":  # convolutions are faster on a GPU with the channels of a pixel adjacent
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def _compile(self, count: int) -> None:
        """Compile the towers that have a backbone, and run each on a batch and on a single row: torch compiles on the first run."""
        for modality in self.modalities:
            tower = self.model.tower(modality)
            if tower.backbone is None:
                continue
            tower.compile(dynamic=True)
            for rows in (count, 1):
                match modality:
                    case "image":
                        self.image(np.zeros((rows, 256, 256, 3), np.uint8), still=False)()
                    case "music":
                        assert self.sample_rate_hz is not None
                        self.music([np.full(self.sample_rate_hz, 0.1, np.float32)] * rows)()
                    case _:
                        self.text(["words"] * rows)()

    def image(self, pictures: np.ndarray | Iterable[np.ndarray], *, still: bool) -> Fetch:
        """Begin a batch of uint8 RGB pictures: (n, H, W, 3), or n of (H_i, W_i, 3), which are read one at a time and not kept."""
        if isinstance(pictures, np.ndarray):
            return self._begin("image", self._tensor(pictures).permute(0, 3, 1, 2), still)

        def raw() -> Iterator[torch.Tensor]:
            for picture in pictures:
                yield self._tensor(picture).permute(2, 0, 1)

        return self._begin("image", raw(), still)

    def music(self, windows: list[np.ndarray]) -> Fetch:
        """Begin a batch of n windows (n_i,) of sound."""
        return self._begin("music", windows)

    def text(self, captions: list[str]) -> Fetch:
        """Begin a batch of n captions."""
        return self._begin("text", captions)

    def unknown(self, captions: list[str]) -> list[bool]:
        """Which of n captions have no word of the tower's vocabulary; none, if it has no vocabulary."""
        tower = self.model.tower("text")
        if not hasattr(tower, "unknown"):
            return [False] * len(captions)
        unknown: list[bool] = tower.unknown(tower.encode(tower.preprocess(captions))).tolist()
        return unknown

    def _begin(self, modality: str, raw: Any, still: bool = False) -> Fetch:
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            va, vectors = self.model.predict(modality, raw, still=still)

        def fetch() -> Predicted:
            return va.float().cpu().numpy(), vectors.float().cpu().numpy()

        return fetch

    def _tensor(self, pictures: np.ndarray) -> torch.Tensor:
        plain = np.ascontiguousarray(pictures)
        # torch warns about read-only arrays.
        return torch.from_numpy(plain if plain.flags.writeable else plain.copy()).to(self._where)
