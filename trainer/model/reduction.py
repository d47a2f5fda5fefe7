"""MMVA's trained layers on top of a transformer's hidden states (Choi, Kim & Kang 2025, section on the encoders)."""

import torch
from torch import nn

from trainer.errors import RecipeError
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.towers import POOLS


class HiddenStateReduction(nn.Module):
    """Hidden states (N, layers, width) to embeddings (N, 512): a 1-D convolution over the layers, then a linear layer.

    Args:
        layers: number of hidden states, the transformer's input included: 13 for a base model.
        width: of a hidden state: 768 for a base model.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(layers, 1, kernel_size=1)
        self.project = nn.Linear(width, EMBEDDING_DIM)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, layers, width) to (N, 512)."""
        return self.project(self.mix(hidden.to(self.project.weight.dtype)).squeeze(1))


def check_pool(pool: str) -> str:
    """Return `pool`, or raise RecipeError if there is no such pooling."""
    if pool not in POOLS:
        raise RecipeError(f"pool {pool!r}: allowed are {', '.join(POOLS)}")
    return pool


def pool_states(states: tuple[torch.Tensor, ...], pool: str, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Pool every hidden state to one vector.

    Args:
        states: per layer (N, positions, width).
        pool: "first" takes the first position, "mean" averages over the positions.
        mask: (N, positions), 1 for positions to average over; None for all.

    Returns:
        (N, layers, width).
    """
    stacked = torch.stack(states, 1)
    if pool == "first":
        return stacked[:, :, 0]
    if mask is None:
        return stacked.mean(2)
    weight = mask.to(stacked.dtype)[:, None, :, None]
    return (stacked * weight).sum(2) / weight.sum(2)
