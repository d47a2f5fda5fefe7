"""The paper's image tower: CLIP ViT-B/32 (Radford et al. 2021) through open_clip."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from trainer.errors import WeightsError
from trainer.model.pretrained import first_line
from trainer.model.towers import VERSIONS


class ClipImageTower(nn.Module):
    """RGB pictures to CLIP's projected class-token embedding (512-d for ViT-B/32).

    Args:
        source: an open_clip model name such as "ViT-B-32", or a folder that holds `open_clip_config.json` and weights.
        pretrained: open_clip's tag of the weights, for a model name; a folder brings its own.

    Raises:
        WeightsError: the weights are neither in the folder nor in the hub's cache nor to be had from the hub.
    """

    version = VERSIONS["image", "clip"]
    published = True
    feature_dtype = torch.float32

    def __init__(self, source: str = "ViT-B-32", pretrained: str = "openai") -> None:
        super().__init__()
        try:
            with _silence():
                if Path(source).is_dir():
                    model = open_clip.create_model(f"local-dir:{source}", require_pretrained=True)
                else:
                    model = open_clip.create_model(source, pretrained=pretrained, require_pretrained=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"CLIP weights for {source!r} could not be loaded ({first_line(error)}): connect to the model hub once, or "
                "name a folder that holds open_clip_config.json and open_clip_model.safetensors as the tower's source"
            ) from error
        config = open_clip.get_model_preprocess_cfg(model)
        size = config["size"]
        self.input_px: int = size if isinstance(size, int) else size[0]
        self._mean, self._std = list(config["mean"]), list(config["std"])
        self.backbone: nn.Module | None = model.visual.eval()

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """CLIP's own preprocessing: shorter side to the input size (bicubic), centre crop, normalise.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        scaled = F.to_dtype(frames, torch.float32, scale=True)
        scaled = F.resize(scaled, [self.input_px], interpolation=InterpolationMode.BICUBIC, antialias=True)
        return F.normalize(F.center_crop(scaled.clamp(0, 1), [self.input_px]), self._mean, self._std)

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile what takes long, with the arguments of `torch.compile`."""
        assert self.backbone is not None
        self.backbone.compile(*args, **options)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures, N of (3, input_px, input_px), to (N, 512)."""
        assert self.backbone is not None
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        return self.backbone(pictures.to(next(self.backbone.parameters()).device))

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """CLIP's embedding is used as it is: nothing is learned on top of it but the heads."""
        return features

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures to (N, 512)."""
        return self.encode(batch)


@contextmanager
def _silence() -> Iterator[None]:
    """open_clip and the hub log what they raise as well, on several lines of stderr; the error alone says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
