"""The compact image tower: a small EfficientNetV2 with features from all of its stages."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.ops import Conv2dNormActivation
from torchvision.transforms.v2 import functional as F

from trainer.model.heads import EMBEDDING_DIM
from trainer.model.towers import VERSIONS

INPUT_PX = 128
FORWARD_BATCH = 16  # pictures or views in one forward pass
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
_DROPOUT = 0.6  # of the features, of which there are twice as many as pictures in OASIS
_CROP = 0.8  # side of the training crops as a fraction of the picture's


class CompactImageTower(nn.Module):
    """RGB pictures to 512-d embeddings.

    The backbone is an EfficientNetV2-style network (Tan & Le 2021) of 1.8 M parameters on torchvision's own blocks: fused MBConv in
    the first two stages, MBConv with squeeze-and-excitation after that, 0.59 GFLOPs for a 128 x 128 picture. It is frozen unless
    fine-tuned. Colour and texture (early layers) and objects (late layers) both carry affect: so the features are the mean and
    the deviation over the picture of the output of every stage, not the last layer's mean alone (in cross-validation by theme on
    OASIS that raised r of valence from .34 to .38, all else equal).

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
        # (expansion, kernel, stride, channels in, channels out, blocks)
        stages = [
            FusedMBConvConfig(1, 3, 1, 24, 24, 1),
            FusedMBConvConfig(3, 3, 2, 24, 40, 2),
            MBConvConfig(4, 3, 2, 40, 80, 3),
            MBConvConfig(4, 3, 1, 80, 112, 4),
            MBConvConfig(4, 3, 2, 112, 168, 4),
        ]
        network = EfficientNet(stages, dropout=0.0, stochastic_depth_prob=0.05, last_channel=EMBEDDING_DIM)
        self.backbone: nn.Module | None = network.features
        width = 2 * (EMBEDDING_DIM + sum(stage.out_channels for stage in stages))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dropout = nn.Dropout(_DROPOUT)
        self.project = nn.Linear(width, EMBEDDING_DIM)
        nn.init.zeros_(self.project.weight)

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """Resize whole frames to a square and normalise them as for ImageNet.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        resized = _resized(frames, self.input_px)
        return F.normalize(F.to_dtype(resized, torch.float32, scale=True), IMAGENET_MEAN, IMAGENET_STD)

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
        """Preprocessed pictures (N, 3, px, px) to (N, 1872), or views of pictures (N, V, 3, px, px) to (N, V, 1872)."""
        assert self.backbone is not None
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        pictures = pictures.to(self.mean.device)
        flat = pictures.reshape(-1, *pictures.shape[-3:])
        # Batches of views are seven times as large: their activations alone took 700 MB. In training batch norm needs the undivided batch.
        parts = [flat] if torch.is_grad_enabled() else flat.split(FORWARD_BATCH)
        return torch.cat([self._pooled(part) for part in parts]).reshape(*pictures.shape[:-3], -1)

    def _pooled(self, pictures: torch.Tensor) -> torch.Tensor:
        """Preprocessed pictures (N, 3, px, px) to the means and deviations of all stages (N, 1872)."""
        assert self.backbone is not None
        hidden = pictures.float().contiguous(memory_format=torch.channels_last)
        means, deviations = [], []
        for index, stage in enumerate(self.backbone.children()):
            hidden = stage(hidden)
            if index:  # the stem detects only edges
                pixels = hidden.float().permute(0, 2, 3, 1).flatten(1, 2)  # channels last
                means.append(pixels.mean(1))
                deviations.append((pixels - means[-1][:, None]).square().sum(1).div(pixels.shape[1] - 1).clamp_min(1e-12).sqrt())
        return torch.cat([*means[::-1], *deviations], 1)

    def fold(self) -> None:
        """Fold the batch norms of the backbone into its convolutions: for prediction only; a fifth faster, equal to 1e-5."""
        assert self.backbone is not None
        for block in [module for module in self.backbone.modules() if isinstance(module, Conv2dNormActivation)]:
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity().eval()

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone and its pooling, with the arguments of `torch.compile`."""
        self._pooled = torch.compile(self._pooled, *args, **options)  # type: ignore[method-assign]

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Set the mean and deviation for standardising from the training split's features (n, 1872) or (n, V, 1872)."""
        flat = features.float().flatten(0, -2)
        # Rounded to a checkpoint's precision, so that the loaded model equals the trained one.
        self.mean.copy_(flat.mean(0).half().float())
        self.scale.copy_(flat.std(0).clamp_min(1e-3).half().float())

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 1872), or (N, V, 1872) for views, to (N, 512): in training from a random view of each picture, else from the mean of all.

        The embedding is the mean of the last layer, which is similar for pictures of one shot, plus a trained projection of all stages.
        """
        features = features.float()
        if features.ndim == 3 and self.training and self.dropout.p:  # without dropout training is deterministic
            view = torch.randint(features.shape[1], (len(features),), device=features.device)
            features = features[torch.arange(len(features), device=features.device), view]
        elif features.ndim == 3:
            features = features.mean(1)
        standard = ((features - self.mean) / self.scale).clamp(-5, 5)
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
