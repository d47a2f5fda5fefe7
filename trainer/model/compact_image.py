"""The compact image tower: EfficientNet-Lite0 for frames of videos, Lite2 beside it for still pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from trainer.model.efficientnet_lite import LAST, ConvNorm, EfficientNetLite, pooled
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.quadratic_ridge import QuadraticRidge
from trainer.model.squeeze import squeezed
from trainer.model.towers import VERSIONS

INPUT_PX = 208
_CLOSER = 1.25  # side of the picture of which Lite2 sees a still, in those of a frame
FORWARD_BATCH = 16  # pictures or views in one forward pass
DEEP = 4  # layers whose output is looked at, from the last
_FORGET = 1.0  # rows in training whose embedding is another's but for what their ridge regression says


class CompactImageTower(nn.Module):
    """RGB pictures to 512-d embeddings.

    A frame of a video is seen once, by EfficientNet-Lite0; a still picture as it is and mirrored, by Lite0 and Lite2 both. The two are frozen
    unless fine-tuned. What is in a picture and how it is lit and laid out both carry affect: so the features are the mean and the deviation
    over the picture of the output of the last four layers, not the last layer's mean alone (kernel ridge, OASIS by theme: r of valence and
    arousal .605/.667 against .581/.621).

    Args:
        input_px: side of the square that pictures are resized to.
    """

    version = VERSIONS["image", "compact"]
    published = False
    feature_dtype = torch.float16
    mixes = False  # a row's own ridge regression is found by its features

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
        self.frame_ridge = QuadraticRidge(self.frame_width - EMBEDDING_DIM, EMBEDDING_DIM)
        self.still_ridge = QuadraticRidge(width - EMBEDDING_DIM, EMBEDDING_DIM)
        self.forget = nn.Dropout(_FORGET)
        self.project = nn.Linear(2, EMBEDDING_DIM)

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """Resize whole frames to a square and normalise them as the backbone expects it.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        return EfficientNetLite.normalise(_resized(frames, self.input_px))

    def views(self, frame: torch.Tensor) -> torch.Tensor:
        """Views of a still picture: the picture, and mirrored.

        Args:
            frame: (3, H, W) uint8 RGB, or several as (N, 3, H, W).

        Returns:
            (2, 3, px, px) float32, px being 1.25 times input_px; or (N, 2, ...).
        """
        side = round(_CLOSER * self.input_px)
        seen = EfficientNetLite.normalise(_resized(frame if frame.ndim == 4 else frame[None], side))
        views = torch.stack([seen, seen.flip(-1)], 1)
        return views if frame.ndim == 4 else views[0]

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed frames (N, 3, px, px) to (N, 4320), or views of stills (N, V, 3, px, px) to (N, V, 8240)."""
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        pictures = pictures.to(self.project.weight.device)
        see = self._seen_as_still if pictures.ndim == 5 else self._seen_as_frame
        flat = pictures.reshape(-1, *pictures.shape[-3:])
        # All views of a batch at once would take too much memory. In training batch norm needs the undivided batch.
        parts = [flat] if torch.is_grad_enabled() else flat.split(FORWARD_BATCH)
        # In float32 whatever the precision: bf16's rounding on the way moved VA by up to .03.
        with torch.autocast(flat.device.type, enabled=False):
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
        smaller = interpolate(pictures, (self.input_px, self.input_px), mode="bilinear")
        return torch.cat([self._seen_as_frame(smaller), *means, *deviations], 1)

    def fold(self) -> None:
        """Fold the batch norms of the backbone into its convolutions: for prediction only; a fifth faster, equal to 1e-5."""
        for layer in [module for module in self.modules() if isinstance(module, ConvNorm)]:
            layer.fold()

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone and its pooling for batches of any length, with the arguments of `torch.compile`."""
        options["dynamic"] = None  # padding for any side would be formulas that take minutes to simplify
        for name in ("_seen_as_frame", "_seen_as_still"):
            setattr(self, name, _for_any_batch(torch.compile(getattr(self, name), *args, **options)))

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Fit the two ridge regressions, of stills and of frames, to the training split.

        Args:
            features: (n, V, 8240), of stills.
            va: (n, 2) labels in [0, 1]; None: nothing is fitted.
            weights: (n, 2) of the labels; None for 1.
        """
        if va is None:
            return
        deviations = (va.cpu().float() - 0.5) / 0.18
        given = torch.ones_like(deviations) if weights is None else weights.cpu()
        features = features.cpu()
        self.still_ridge.fit(features.float().mean(1)[:, EMBEDDING_DIM:], deviations, given)
        self.frame_ridge.fit(self.as_frames(features)[:, EMBEDDING_DIM:], deviations, given)

    def as_frames(self, features: torch.Tensor) -> torch.Tensor:
        """Of the features of stills (N, V, 8240) those of their first view as a frame, (N, 4320)."""
        return features[:, 0, : self.frame_width]

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 4320) of frames, or (N, V, 8240) of stills, to (N, 512): what the backbone sees, plus what the ridge regression says of it.

        The first is similar for pictures of one shot. In training half of the stills are taken for frames, and the first is another row's,
        so that the head reads the second alone, which holds better for pictures from elsewhere (trained on OASIS, tested on Emotion6: r of
        valence and arousal .661/.194 against .649/.171).
        """
        features = features.float()
        if features.ndim == 2:
            return features[:, :EMBEDDING_DIM] + self.project(self.frame_ridge(features[:, EMBEDDING_DIM:]))
        mean = features.mean(1)
        seen, said = mean[:, :EMBEDDING_DIM], self.still_ridge(mean[:, EMBEDDING_DIM:])
        if self.training and self.forget.p:  # otherwise training is deterministic
            count, device = len(features), features.device
            as_frame = torch.rand(count, 1, device=device) < 0.5
            said = torch.where(as_frame, self.frame_ridge(self.as_frames(features)[:, EMBEDDING_DIM:]), said)
            forgotten = torch.rand(count, 1, device=device) < self.forget.p
            seen = torch.where(forgotten, seen[torch.randperm(count, device=device)], seen)
        return seen + self.project(said)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures (N, 3, input_px, input_px), or their views (N, V, 3, input_px, input_px), to (N, 512)."""
        return self.reduce(self.encode(batch))


def _for_any_batch(compiled: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A compiled function, compiled for batches (N, ...) of all lengths at once, and for one row."""

    def run(pictures: torch.Tensor) -> torch.Tensor:
        if len(pictures) > 1 and not torch.compiler.is_compiling():
            torch._dynamo.mark_dynamic(pictures, 0)
        return compiled(pictures)

    return run


def _resized(frames: torch.Tensor, side: int) -> torch.Tensor:
    """Frames (N, 3, H, W) uint8 resized to (N, 3, side, side) uint8, antialiased; on GPUs by torchvision, which may differ by a level."""
    if frames.shape[-2:] == (side, side):
        return frames
    if frames.device.type == "cpu":
        small = [squeezed(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()), side) for frame in frames]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) if small else frames.new_empty((0, 3, side, side))
    return F.resize(frames, [side, side], antialias=True)
