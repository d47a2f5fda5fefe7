"""Small checkpoints of the real model with random weights, for tests that need a model and not its skill."""

from pathlib import Path

import torch

from trainer import checkpoint
from trainer.model.mmva import MMVA

COMPACT = {modality: {"name": "compact"} for modality in ("image", "music", "text")}


def save_random(path: Path, name: str = "random", *, sigma: float | None = 0.3, seed: int = 0) -> Path:
    """A checkpoint of all three compact towers."""
    torch.manual_seed(seed)
    checkpoint.save(path, MMVA(COMPACT), name, COMPACT, {} if sigma is None else {"sigma": str(sigma)})
    return path
