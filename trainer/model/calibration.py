"""Calibration of predictions, so that 0.2 and 0.8 mean the same for pictures, music and words."""

import numpy as np
import torch
from torch import nn

from trainer.affect import COMMON, LEVELS

_STEP = 1e-4  # least distance of two quantiles


class Calibration(nn.Module):
    """A monotone piecewise linear map from quantiles of held-out predictions to common quantiles.

    Regression shrinks predictions to the mean, the more the harder the task: without calibration a 0.6 is as extreme among
    sentences as a 0.7 among pictures. 0 and 1 are mapped to themselves.

    Args:
        predictions: predicted VA (n, 2) of held-out rows; None for a map whose weights will be loaded.
    """

    def __init__(self, predictions: np.ndarray | None = None) -> None:
        super().__init__()
        inner = np.tile(COMMON, (2, 1)) if predictions is None else np.quantile(predictions, LEVELS, axis=0).T
        apart = np.maximum.accumulate(inner + _STEP * np.arange(len(LEVELS)), axis=1) - _STEP * np.arange(len(LEVELS)) / 2
        ends = np.zeros((2, 1)), np.ones((2, 1))
        given = np.concatenate([ends[0], apart.clip(_STEP, 1 - _STEP), ends[1]], axis=1)
        self.register_buffer("given", torch.from_numpy(np.ascontiguousarray(np.maximum.accumulate(given, axis=1))).float())
        self.given: torch.Tensor

    def forward(self, va: torch.Tensor) -> torch.Tensor:
        """Predictions (n, 2) in [0, 1] to calibrated ones (n, 2) in [0, 1], in the same order along each axis."""
        common = torch.tensor([0.0, *COMMON, 1.0], device=va.device)
        # The sum of what lies in each segment below the value: ONNX has no search in a sorted list.
        part = (va.float()[..., None] - self.given[:, :-1]) / (self.given[:, 1:] - self.given[:, :-1]).clamp_min(1e-9)
        return (part.clamp(0, 1) * (common[1:] - common[:-1])).sum(-1)
