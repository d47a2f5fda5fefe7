"""The losses of MMVA (Choi, Kim & Kang 2025), Eq. 2-4.

Each is the sum over the given rows divided by the size of the global batch, so that the losses of several processes add up to
the loss of one process with the whole batch, also with unequal shares.
"""

import torch


def va_loss(predicted: torch.Tensor, target: torch.Tensor, batch_size: int, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Eq. 2: squared L2 distance of predicted and labelled VA, averaged over the batch.

    Args:
        predicted: (n, 2) valence, arousal.
        target: (n, 2) labels.
        batch_size: rows of the global batch; n when there is one process.
        weight: (n, 2) how much each label counts; None: all count 1, as in the paper.
    """
    errors = (predicted.float() - target).square()
    return (errors if weight is None else errors * weight).sum() / batch_size


def similarity_loss(predicted: torch.Tensor, score: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Eq. 3: squared error of the predicted similarity (n,) against the matching score (n,), averaged over the batch."""
    return (predicted.float() - score).square().sum() / batch_size
