"""The compact towers: small enough to ship in the wheel, to run on a CPU and to be trained from scratch.

Nothing in them is frozen: `encode` gives back the preprocessed input, which is what a cache saves them.
"""

import itertools
import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.transforms.v2 import functional as F

from trainer.model.heads import EMBEDDING_DIM

INPUT_PX = 128
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


class CompactImageTower(nn.Module):
    """RGB pictures to 512-d embeddings.

    An EfficientNetV2-style network (Tan & Le 2021) of 1.8 M parameters on torchvision's own blocks: fused MBConv in the
    first two stages, MBConv with squeeze-and-excitation after that, 0.59 GFLOPs for a 128 x 128 picture.

    Args:
        input_px: side of the square a picture is squeezed to.
    """

    backbone = None
    version = "compact-image/1"
    feature_dtype = torch.float16

    def __init__(self, input_px: int = INPUT_PX) -> None:
        super().__init__()
        self.input_px = input_px
        # (expansion, kernel, stride, channels in, channels out, blocks)
        network = EfficientNet(
            [
                FusedMBConvConfig(1, 3, 1, 24, 24, 1),
                FusedMBConvConfig(3, 3, 2, 24, 40, 2),
                MBConvConfig(4, 3, 2, 40, 80, 3),
                MBConvConfig(4, 3, 1, 80, 112, 4),
                MBConvConfig(4, 3, 2, 112, 168, 4),
            ],
            dropout=0.0,
            stochastic_depth_prob=0.05,
            last_channel=EMBEDDING_DIM,
        )
        self.features = network.features
        self.pool = network.avgpool

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """Bring frames to what `embed` takes: the whole picture squeezed to a square, ImageNet-normalised.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        squeezed = F.resize(F.to_dtype(frames, torch.float32, scale=True), [self.input_px, self.input_px], antialias=True)
        return F.normalize(squeezed, IMAGENET_MEAN, IMAGENET_STD)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures, N of (3, input_px, input_px), as one tensor on this tower's device."""
        return _stack(batch, self)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 3, input_px, input_px) to (N, 512)."""
        return self.pool(self.features(features.float().contiguous(memory_format=torch.channels_last))).flatten(1)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures (N, 3, input_px, input_px) to (N, 512)."""
        return self.reduce(self.encode(batch))


class CompactTextTower(nn.Module):
    """Captions to 512-d embeddings: the mean vector of their hashed words and word pairs, then two layers; 1.7 M parameters."""

    backbone = None
    version = "compact-text/1"
    feature_dtype = torch.int16
    _BUCKETS = 16384
    _GRAMS = 192  # a caption of 96 words; what is longer is cut
    _WIDTH = 96

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(self._BUCKETS, self._WIDTH, padding_idx=0)
        nn.init.normal_(self.vectors.weight, std=0.3)
        with torch.no_grad():
            self.vectors.weight[0] = 0
        self.layers = nn.Sequential(nn.Linear(self._WIDTH, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, EMBEDDING_DIM))

    def preprocess(self, captions: Sequence[str]) -> torch.Tensor:
        """Bucket numbers of the words and word pairs of each caption, 0 where there are none left.

        Returns:
            (N, 192) int16.
        """
        rows = np.zeros((len(captions), self._GRAMS), np.int16)
        for row, caption in zip(rows, captions, strict=True):
            words = re.findall(r"\w+", caption.casefold())
            pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
            # crc32 is the same on every machine and in every run, which Python's own hash is not.
            grams = [zlib.crc32(gram.encode("utf-8", "replace")) % (self._BUCKETS - 1) + 1 for gram in [*words[:96], *pairs[:96]]]
            row[: len(grams)] = grams
        return torch.from_numpy(rows)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Bucket numbers, N of (192,), as one tensor on this tower's device."""
        return _stack(batch, self)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 192) to (N, 512)."""
        ids = features.long()
        count = (ids > 0).sum(1, keepdim=True).clamp(min=1)
        return self.layers(self.vectors(ids).sum(1) / count)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Bucket numbers to (N, 512)."""
        return self.reduce(self.encode(batch))


def _stack(batch: Sequence[torch.Tensor], tower: nn.Module) -> torch.Tensor:
    return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(next(tower.parameters()).device)
