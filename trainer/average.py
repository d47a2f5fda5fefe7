"""The exponential moving average of a model's weights: steadier than the last step's, and better on little data."""

import copy

import torch

from trainer.model.mmva import MMVA


class Average:
    """A copy of a model whose weights follow the model's.

    Args:
        model: that is trained.
        decay: in [0, 1); the first steps count for more: after n steps it is at most (1 + n) / (10 + n).
    """

    def __init__(self, model: MMVA, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, model: MMVA, step: int) -> None:
        """Take in the weights after step `step`, from 0; buffers are copied as they are."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        trained = [(mine, theirs) for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True) if theirs.requires_grad]
        torch._foreach_lerp_([mine for mine, _ in trained], [theirs for _, theirs in trained], weight)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
