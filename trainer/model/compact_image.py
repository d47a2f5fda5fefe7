"""The compact image tower: EfficientNet-Lite0, features from its last four layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from trainer.model.efficientnet_lite import LAST, STAGES, ConvNorm, EfficientNetLite, pooled
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.towers import VERSIONS

INPUT_PX = 208
FORWARD_BATCH = 16  # pictures or views in one forward pass
DEEP = 4  # layers whose output is looked at, from the last
_DROPOUT = 0.6  # of the features, of which there are more than pictures in OASIS
_CROP = 0.8  # side of the training crops as a fraction of the picture's
_WIDTH = 2 * (LAST + sum(channels for *_, channels in STAGES[-DEEP + 1 :]))


class CompactImageTower(nn.Module):
    """RGB pictures to 512-d embeddings.

    The backbone is EfficientNet-Lite0 and a projection of its last layer's mean to 512 numbers, which keeps the angles between pictures.
    It is frozen unless fine-tuned. What is in a picture and how it is lit and laid out both carry affect: so the features are the mean
    and the deviation over the picture of the output of the last four layers, not the last layer's mean alone (kernel ridge, OASIS by
    theme: r of valence and arousal .605/.667 against .581/.621).

    Args:
        input_px: side of the square that pictures are resized to.
    """

    version = VERSIONS["image", "compact"]
    published = False
    feature_dtype = torch.float16
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, input_px: int = INPUT_PX) -> None:
        super().__init__()
        self.input_px = input_px
        self.backbone: nn.Module | None = nn.ModuleDict(
            {"layers": EfficientNetLite(), "embedding": nn.Linear(LAST, EMBEDDING_DIM, bias=False)}
        )
        self.register_buffer("mean", torch.zeros(_WIDTH))
        self.register_buffer("scale", torch.ones(_WIDTH))
        self.dropout = nn.Dropout(_DROPOUT)
        self.project = nn.Linear(_WIDTH, EMBEDDING_DIM)
        nn.init.zeros_(self.project.weight)

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """Resize whole frames to a square and normalise them as the backbone expects it.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        return EfficientNetLite.normalise(_resized(frames, self.input_px))

    def views(self, frame: torch.Tensor) -> torch.Tensor:
        """Views of a still picture: the picture, mirrored, its corners and its centre.

        Args:
            frame: (3, H, W) uint8 RGB.

        Returns:
            (7, 3, input_px, input_px) float32; the first equals the result of `preprocess`.
        """
        side = round(self.input_px / _CROP)
        large = _resized(frame[None], side)
        crops = list(F.five_crop(large, [self.input_px, self.input_px]))
        crops[-1] = F.horizontal_flip(crops[-1])
        full = _resized(frame[None], self.input_px)
        return self.preprocess(torch.cat([full, F.horizontal_flip(full), *crops]))

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures (N, 3, px, px) to (N, 4320), or views of pictures (N, V, 3, px, px) to (N, V, 4320)."""
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        pictures = pictures.to(self.mean.device)
        flat = pictures.reshape(-1, *pictures.shape[-3:])
        # Batches of views are seven times as large: their activations alone took 700 MB. In training batch norm needs the undivided batch.
        parts = [flat] if torch.is_grad_enabled() else flat.split(FORWARD_BATCH)
        return torch.cat([self._pooled(part) for part in parts]).reshape(*pictures.shape[:-3], -1)

    def _pooled(self, pictures: torch.Tensor) -> torch.Tensor:
        """Preprocessed pictures (N, 3, px, px) to (N, 4320): the embedding, then means and deviations of layers, the last one first."""
        assert isinstance(self.backbone, nn.ModuleDict)
        means, deviations = pooled(self.backbone["layers"], pictures, DEEP)  # type: ignore[arg-type]
        return torch.cat([self.backbone["embedding"](means[0]), *means, *deviations], 1)

    def fold(self) -> None:
        """Fold the batch norms of the backbone into its convolutions: for prediction only; a fifth faster, equal to 1e-5."""
        for layer in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            layer.fold()

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone and its pooling, with the arguments of `torch.compile`."""
        self._pooled = torch.compile(self._pooled, *args, **options)  # type: ignore[method-assign]

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Set the mean and deviation for standardising from the training split's features (n, 4320) or (n, V, 4320)."""
        flat = features.float().flatten(0, -2)[:, EMBEDDING_DIM:]
        # Rounded to a checkpoint's precision, so that the loaded model equals the trained one.
        self.mean.copy_(flat.mean(0).half().float())
        self.scale.copy_(flat.std(0).clamp_min(1e-3).half().float())

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 4320), or (N, V, 4320) for views, to (N, 512): in training from a random view of each picture, else from the mean of all.

        The embedding is the backbone's, which is similar for pictures of one shot, plus a trained projection of all features.
        """
        features = features.float()
        if features.ndim == 3 and self.training and self.dropout.p:  # without dropout training is deterministic
            view = torch.randint(features.shape[1], (len(features),), device=features.device)
            features = features[torch.arange(len(features), device=features.device), view]
        elif features.ndim == 3:
            features = features.mean(1)
        standard = ((features[:, EMBEDDING_DIM:] - self.mean) / self.scale).clamp(-5, 5)
        return features[:, :EMBEDDING_DIM] + self.project(self.dropout(standard))

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures (N, 3, input_px, input_px), or their views (N, V, 3, input_px, input_px), to (N, 512)."""
        return self.reduce(self.encode(batch))


def _resized(frames: torch.Tensor, side: int) -> torch.Tensor:
    """Frames (N, 3, H, W) uint8 resized to (N, 3, side, side) uint8, antialiased, in integers.

    Floats take four times the memory and ten times the time. torchvision chooses between two methods by the type of CPU, which differ by a
    level in some pixels and moved VA by up to .003; torch's own resizing of bytes gives the same bytes on all CPUs, but does not run on GPUs.
    """
    if frames.device.type == "cpu":
        return interpolate(frames, (side, side), mode="bilinear", antialias=True)
    return F.resize(frames, [side, side], antialias=True)
