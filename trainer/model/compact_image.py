"""The compact image tower: EfficientNet-Lite0 for frames of videos, Lite2 beside it for still pictures."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from trainer.model.efficientnet_lite import LAST, ConvNorm, EfficientNetLite, pooled
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.towers import VERSIONS

INPUT_PX = 208
FORWARD_BATCH = 16  # pictures or views in one forward pass
DEEP = 4  # layers whose output is looked at, from the last
_DROPOUT = 0.6  # of the features, of which there are more than pictures in OASIS
_CROP = 0.8  # side of the training crops as a fraction of the picture's


class CompactImageTower(nn.Module):
    """RGB pictures to 512-d embeddings.

    A frame of a video is seen once, by EfficientNet-Lite0; a still picture in several views, by Lite0 and Lite2 both. The two are frozen
    unless fine-tuned. What is in a picture and how it is lit and laid out both carry affect: so the features are the mean and the deviation
    over the picture of the output of the last four layers, not the last layer's mean alone (kernel ridge, OASIS by theme: r of valence and
    arousal .605/.667 against .581/.621).

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
        frames, stills = EfficientNetLite(), EfficientNetLite(1.1, 1.2)
        # The embedding is a projection of the last layer's mean, which keeps the angles between pictures.
        embedding = nn.Linear(LAST, EMBEDDING_DIM, bias=False)
        self.backbone: nn.Module | None = nn.ModuleDict({"frames": frames, "stills": stills, "embedding": embedding})
        # Columns of the features: the embedding, Lite0's, Lite2's.
        self.frame_width = EMBEDDING_DIM + 2 * sum(frames.channels[-DEEP:])
        width = self.frame_width + 2 * sum(stills.channels[-DEEP:])
        self.register_buffer("mean", torch.zeros(width - EMBEDDING_DIM))
        self.register_buffer("scale", torch.ones(width - EMBEDDING_DIM))
        self.dropout = nn.Dropout(_DROPOUT)
        self.project_frame = nn.Linear(self.frame_width - EMBEDDING_DIM, EMBEDDING_DIM)
        self.project_still = nn.Linear(width - EMBEDDING_DIM, EMBEDDING_DIM)
        for layer in (self.project_frame, self.project_still):
            nn.init.zeros_(layer.weight)

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """Resize whole frames to a square and normalise them as the backbone expects it.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        return EfficientNetLite.normalise(_resized(frames, self.input_px))

    def views(self, frame: torch.Tensor) -> torch.Tensor:
        """Views of a still picture: the picture and its centre, both also mirrored.

        Args:
            frame: (3, H, W) uint8 RGB.

        Returns:
            (4, 3, input_px, input_px) float32; the first equals the result of `preprocess`.
        """
        full = _resized(frame[None], self.input_px)
        centre = F.center_crop(_resized(frame[None], round(self.input_px / _CROP)), [self.input_px, self.input_px])
        return self.preprocess(torch.cat([full, F.horizontal_flip(full), centre, F.horizontal_flip(centre)]))

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed frames (N, 3, px, px) to (N, 4320), or views of stills (N, V, 3, px, px) to (N, V, 8240)."""
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        pictures = pictures.to(self.mean.device)
        see = self._seen_as_still if pictures.ndim == 5 else self._seen_as_frame
        flat = pictures.reshape(-1, *pictures.shape[-3:])
        # Batches of views are four times as large: their activations alone took 700 MB. In training batch norm needs the undivided batch.
        parts = [flat] if torch.is_grad_enabled() else flat.split(FORWARD_BATCH)
        return torch.cat([see(part) for part in parts]).reshape(*pictures.shape[:-3], -1)

    def _seen_as_frame(self, pictures: torch.Tensor) -> torch.Tensor:
        """Preprocessed pictures (N, 3, px, px) to (N, 4320): the embedding, then Lite0's means and deviations, the last layer's first."""
        assert isinstance(self.backbone, nn.ModuleDict)
        means, deviations = pooled(self.backbone["frames"], pictures, DEEP)  # type: ignore[arg-type]
        return torch.cat([self.backbone["embedding"](means[0]), *means, *deviations], 1)

    def _seen_as_still(self, pictures: torch.Tensor) -> torch.Tensor:
        """Preprocessed pictures (N, 3, px, px) to (N, 8240): as a frame, then Lite2's means and deviations."""
        assert isinstance(self.backbone, nn.ModuleDict)
        means, deviations = pooled(self.backbone["stills"], pictures, DEEP)  # type: ignore[arg-type]
        return torch.cat([self._seen_as_frame(pictures), *means, *deviations], 1)

    def fold(self) -> None:
        """Fold the batch norms of the backbone into its convolutions: for prediction only; a fifth faster, equal to 1e-5."""
        for layer in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            layer.fold()

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone and its pooling, with the arguments of `torch.compile`."""
        self._seen_as_frame = torch.compile(self._seen_as_frame, *args, **options)  # type: ignore[method-assign]
        self._seen_as_still = torch.compile(self._seen_as_still, *args, **options)  # type: ignore[method-assign]

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Set the mean and deviation for standardising from the training split's features (n, V, 8240)."""
        flat = features.float().flatten(0, -2)[:, EMBEDDING_DIM:]
        # Rounded to a checkpoint's precision, so that the loaded model equals the trained one.
        self.mean.copy_(flat.mean(0).half().float())
        self.scale.copy_(flat.std(0).clamp_min(1e-3).half().float())

    def as_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Of the features of stills (N, V, 8240) those of their first view as a frame, (N, 4320)."""
        return features[:, 0, : self.frame_width]

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 4320) of frames, or (N, V, 8240) of stills, to (N, 512).

        In training, half of the stills are taken for frames, a view of each by chance. The embedding is the backbone's, which is similar for
        pictures of one shot, plus a trained projection of the features.
        """
        features = features.float()
        if features.ndim == 2:
            return self._frame(features)
        still = self._still(features.mean(1))
        if not (self.training and self.dropout.p):  # without dropout training is deterministic
            return still
        rows = torch.arange(len(features), device=features.device)
        view = torch.randint(features.shape[1], (len(features),), device=features.device)
        as_frame = torch.rand(len(features), 1, device=features.device) < 0.5
        return torch.where(as_frame, self._frame(features[rows, view, : self.frame_width]), still)

    def _frame(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, :EMBEDDING_DIM] + self.project_frame(self.dropout(self._standard(features)))

    def _still(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, :EMBEDDING_DIM] + self.project_still(self.dropout(self._standard(features)))

    def _standard(self, features: torch.Tensor) -> torch.Tensor:
        given = features[:, EMBEDDING_DIM:]
        return ((given - self.mean[: given.shape[1]]) / self.scale[: given.shape[1]]).clamp(-5, 5)

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
