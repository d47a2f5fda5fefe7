"""The exponential moving average of a model's weights, which varies less than the last weights and is better on small data."""

import copy

import torch

from trainer.model.mmva import MMVA


class Average:
    """A copy of a model with the moving average of its weights.

    Args:
        model: the model that is trained.
        decay: in [0, 1); at most (1 + n) / (10 + n) after n steps.
    """

    def __init__(self, model: MMVA, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: MMVA, step: int) -> None:
        """Update the average with the weights after step `step`, from 0; buffers are copied."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        trained = [(own, new) for own, new in zip(self.model.parameters(), model.parameters(), strict=True) if new.requires_grad]
        torch._foreach_lerp_([own for own, _ in trained], [new for _, new in trained], weight)
        for own, new in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(new)
