"""Kernel ridge regression of VA on standardised features, whose kernel makes it a quadratic function: the image tower's own opinion."""

import torch
from torch import nn

MOST_ROWS = 8192  # that are solved for: more are drawn from
_FOLDS = 5
_AXES = 2
_PENALTY = 0.4  # a label of weight 1 adds it to the diagonal of the kernel matrix
_CLAMP = 5.0  # standardised features are clamped to this many deviations


class QuadraticRidge(nn.Module):
    """Kernel ridge regression from features to VA with the kernel (1 + x.y / d)^2 / 4, cross-fitted.

    What such a regression predicts is a quadratic function of the features, here of their first principal components: a linear and a
    quadratic form for each axis, which is all that is stored. The rows are assigned to five folds by what they look like and fitted without
    each fold, too: in training a row gets the prediction of the model fitted without it, so that the layers on top learn to weight
    predictions for unseen rows; otherwise that of the model fitted on all. The weights are buffers, not parameters.

    Args:
        features: number of features, d.
        components: number of principal components kept.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    directions: torch.Tensor
    constant: torch.Tensor
    linear: torch.Tensor
    quadratic: torch.Tensor

    def __init__(self, features: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("directions", torch.zeros(components, features))
        self.register_buffer("constant", torch.zeros(_AXES))
        self.register_buffer("linear", torch.zeros(_AXES, components))
        self.register_buffer("quadratic", torch.zeros(_AXES * components, components))
        # Constant, linear and quadratic form of each fold, (5, ...); only in memory after `fit`.
        self._folds: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Predict VA in standard deviations.

        Args:
            features: (N, d).

        Returns:
            (N, 2) in standard deviations; 0 before `fit`.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self._predict(features.float())

    def _predict(self, features: torch.Tensor) -> torch.Tensor:
        parts = self.components(features)
        if not self.training or self._folds is None:
            turned = (parts @ self.quadratic.T).unflatten(1, (_AXES, -1))
            return self.constant + parts @ self.linear.T + (turned * parts[:, None]).sum(2)
        self._folds = tuple(weights.to(parts.device) for weights in self._folds)  # type: ignore[assignment]
        assert self._folds is not None
        constant, linear, quadratic = self._folds
        turned = (parts @ quadratic.flatten(0, 2).T).unflatten(1, (_FOLDS, _AXES, -1))
        every = constant + torch.einsum("nk,fak->nfa", parts, linear) + (turned * parts[:, None, None]).sum(3)
        return every[torch.arange(len(parts), device=parts.device), self._fold(features)]

    def components(self, features: torch.Tensor) -> torch.Tensor:
        """The principal components (N, components) of standardised features (N, d), divided by the root of d."""
        return self._standard(features) @ self.directions.T / features.shape[1] ** 0.5

    def _standard(self, features: torch.Tensor) -> torch.Tensor:
        return ((features - self.mean) / self.scale).clamp(-_CLAMP, _CLAMP)

    def _fold(self, features: torch.Tensor) -> torch.Tensor:
        """Folds (n,) of rows: alike rows are in one, and rounding moves hardly any to another."""
        standard = self._standard(features)
        axes = torch.randn(standard.shape[1], _FOLDS, generator=torch.Generator().manual_seed(0))
        return (standard @ axes.to(standard)).argmax(1)

    def fit(self, features: torch.Tensor, va: torch.Tensor, weights: torch.Tensor) -> None:
        """Fit the weights.

        Args:
            features: (n, d); of more than MOST_ROWS some are left out.
            va: (n, 2) in standard deviations.
            weights: (n, 2) of the labels, at least 0.
        """
        if len(features) > MOST_ROWS:
            drawn = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:MOST_ROWS]
            features, va, weights = features[drawn], va[drawn], weights[drawn]
        features = features.float()
        # Rounded to a checkpoint's precision, so that the loaded model equals the trained one.
        self.mean.copy_(features.mean(0).half().float())
        self.scale.copy_(features.std(0, correction=0).clamp_min(1e-3).half().float())
        self.directions.copy_(_principal(self._standard(features), len(self.directions)).half().float())
        fold = self._fold(features)
        parts = self.components(features).double()
        kernel = (1 + parts @ parts.T).square() / 4
        every = [self._solve(kernel, parts, va, weights, torch.nonzero(fold != number).flatten()) for number in range(_FOLDS)]
        whole = self._solve(kernel, parts, va, weights, torch.arange(len(features)))
        self.constant.copy_(whole[0])
        self.linear.copy_(whole[1])
        self.quadratic.copy_(whole[2].flatten(0, 1))
        constant, linear, quadratic = (torch.stack(kind) for kind in zip(*every, strict=True))
        self._folds = constant, linear, quadratic

    @staticmethod
    def _solve(
        kernel: torch.Tensor, parts: torch.Tensor, va: torch.Tensor, weights: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Constant (2,), linear (2, k) and quadratic form (2, k, k) that are fitted on `rows`."""
        forms = []
        for axis in range(_AXES):
            own = rows[weights[rows, axis] > 0]
            seen = kernel[own][:, own] + torch.diag(_PENALTY / weights[own, axis].double())
            alpha = torch.cholesky_solve(va[own, axis, None].double(), torch.linalg.cholesky(seen))[:, 0] / 4
            given = parts[own]
            forms.append((alpha.sum(), 2 * alpha @ given, given.T @ (alpha[:, None] * given)))
        constant, linear, quadratic = (torch.stack(kind).float() for kind in zip(*forms, strict=True))
        return constant, linear, quadratic


def _principal(standard: torch.Tensor, count: int) -> torch.Tensor:
    """The directions (count, d) in which rows (n, d) differ most from 0, each of length 1; zeros where there are fewer."""
    gram = standard.double() @ standard.double().T
    values, vectors = torch.linalg.eigh(gram)
    kept = torch.nonzero(values > 1e-9 * values[-1]).flatten().flip(0)[:count]
    found = standard.new_zeros(count, standard.shape[1])
    found[: len(kept)] = ((vectors[:, kept] / values[kept].sqrt()).T @ standard.double()).float()
    return found
