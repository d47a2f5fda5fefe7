"""MMVA (Choi, Kim & Kang 2025): a tower and a VA head for each modality. Here: the image half."""

from typing import Protocol, cast

import torch
from torch import nn

from trainer.errors import CheckpointError
from trainer.model.heads import EMBEDDING_DIM, va_head

IMAGE_TOWERS = ("compact", "clip")


class ImageTower(Protocol):
    """What every image tower does."""

    input_px: int

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 RGB of any size to what `embed` takes."""
        ...

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """A preprocessed batch to (N, 512) embeddings."""
        ...


def build_image_tower(spec: dict[str, str]) -> nn.Module:
    """Build the image tower that a checkpoint names.

    Args:
        spec: `{"name": "compact"}`, or `{"name": "clip", "source": model name or folder, "pretrained": tag}`.

    Raises:
        CheckpointError: no tower of that name, or a setting it does not have.
        WeightsError: the tower's pretrained weights are not to be had.
    """
    name = spec.get("name")
    settings = {key: value for key, value in spec.items() if key != "name"}
    # Imported here: open_clip brings timm and transformers, which the compact model must not wait for.
    match name:
        case "compact":
            from trainer.model.compact import CompactImageTower as Tower
        case "clip":
            from trainer.model.clip import ClipImageTower as Tower  # type: ignore[assignment]
        case _:
            raise CheckpointError(f"unknown image tower {name!r}: allowed are {', '.join(IMAGE_TOWERS)}")
    try:
        return Tower(**settings)
    except TypeError as error:
        raise CheckpointError(f"image tower {name!r} does not take these settings: {settings}") from error


class MMVA(nn.Module):
    """The image tower with its VA head.

    Args:
        image_spec: as for `build_image_tower`.
    """

    def __init__(self, image_spec: dict[str, str]) -> None:
        super().__init__()
        self.towers = nn.ModuleDict({"image": build_image_tower(image_spec)})
        self.heads = nn.ModuleDict({"image": va_head()})

    def image(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """VA (N, 2) in [0, 1] and embeddings (N, 512) of frames (N, 3, H, W) uint8 RGB."""
        tower = cast(ImageTower, self.towers["image"])
        embeddings = tower.embed(tower.preprocess(frames))
        if embeddings.shape[1] != EMBEDDING_DIM:
            raise CheckpointError(
                f"the image tower gives {embeddings.shape[1]}-d embeddings, the VA head takes {EMBEDDING_DIM}: "
                "use a tower with 512-d embeddings, such as ViT-B-32"
            )
        return self.heads["image"](embeddings), embeddings
