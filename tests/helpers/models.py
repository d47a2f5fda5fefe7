"""Small checkpoints of the real model with random weights, for tests that need a model and not its skill."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainer import checkpoint
from trainer.model.mmva import MMVA

COMPACT = {modality: {"name": "compact"} for modality in ("image", "music", "text")}


def save_random(path: Path, name: str = "random", *, sigma: float | None = 0.3, seed: int = 0) -> Path:
    """A checkpoint of all three compact towers."""
    torch.manual_seed(seed)
    checkpoint.save(path, MMVA(COMPACT), name, COMPACT, {} if sigma is None else {"sigma": str(sigma)})
    return path


def save_planted(
    path: Path, pictures: Sequence[tuple[np.ndarray, tuple[float, float]]], sounds: Sequence[tuple[np.ndarray, tuple[float, float]]]
) -> Path:
    """The bundled model with heads that are trained to feel these pictures and windows of sound as planted.

    Args:
        path: of the checkpoint.
        pictures: (H, W, 3) uint8 frames, each with its valence and arousal.
        sounds: float32 windows at 24 kHz, likewise.
    """
    torch.manual_seed(0)
    model = checkpoint.build(checkpoint.read("compact"), ("image", "music")).eval()
    model.calibrations = torch.nn.ModuleDict()
    raws = {
        "image": [torch.from_numpy(frame.copy()).permute(2, 0, 1) for frame, _ in pictures],
        "music": [sound for sound, _ in sounds],
    }
    for modality, planted in (("image", pictures), ("music", sounds)):
        with torch.no_grad():
            _, embeddings = model.predict(modality, raws[modality])
        wanted, head = torch.tensor([va for _, va in planted]), model.heads[modality]
        if modality == "image":  # as frames and as stills
            with torch.no_grad():
                _, stills = model.predict(modality, raws[modality], still=True)
            embeddings, wanted = torch.cat([embeddings, stills]), torch.cat([wanted, wanted])
        optimizer = torch.optim.Adam(head.parameters(), 1e-3)
        for _ in range(60):
            optimizer.zero_grad()
            loss = ((head(embeddings) - wanted) ** 2).mean()
            loss.backward()
            optimizer.step()
        assert loss < 1e-3, (modality, loss)
    towers = {modality: COMPACT[modality] for modality in ("image", "music")}
    checkpoint.save(path, model, "planted", towers, {"sigma": "0.3"})
    return path
