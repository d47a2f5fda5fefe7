"""A linear model of hashed words, word pairs and parts of words, fitted in closed form: the wide side of the compact text tower."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

_FOLDS = 5
_ITERATIONS = 30
_CHUNK = 2048
_AXES = 2
# Dense features are many sparse ones' worth: small, they are shrunk as much as those.
_DENSE = 0.1
# Of valence and of arousal; chosen on EmoBank's dev split.
_PENALTIES = (4.0, 8.0)


class CrossFittedRidge(nn.Module):
    """Ridge regression from sparse and dense features to VA, cross-fitted.

    The rows are dealt to five folds by their content and one ridge regression is fitted without each fold. In training
    a row gets the prediction of the one that has not seen it, so that what learns on top trusts it as far as unseen
    rows deserve; otherwise it gets the mean of the five, which alone is kept in checkpoints. The weights are buffers: no
    gradient moves them.

    Args:
        buckets: of hashed features.
        dense: number of dense features.
    """

    idf: torch.Tensor
    sparse: torch.Tensor
    dense: torch.Tensor

    def __init__(self, buckets: int, dense: int) -> None:
        super().__init__()
        self._buckets = buckets
        # Inverse document frequencies; weights for valence and arousal. Row 0 stands for nothing.
        self.register_buffer("idf", torch.zeros(buckets + 1))
        self.register_buffer("sparse", torch.zeros(buckets + 1, _AXES))
        self.register_buffer("dense", torch.zeros(dense + 1, _AXES))
        # The folds' own weights, of both; as large as the training is long: until then.
        self._folds: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, blocks: Sequence[torch.Tensor], dense: torch.Tensor) -> torch.Tensor:
        """Predict deviations of VA.

        Args:
            blocks: hashes (N, L_b) of each kind of sparse feature, int64, 0 for none.
            dense: (N, D).

        Returns:
            (N, 2), in deviations; 0 before `fit`.
        """
        sparse_weights, dense_weights = self.sparse, self.dense
        crossed = self.training and self._folds is not None
        if crossed:
            assert self._folds is not None
            self._folds = (self._folds[0].to(dense.device), self._folds[1].to(dense.device))
            sparse_weights, dense_weights = self._folds
        found = F.pad(dense * _DENSE, (0, 1), value=1.0) @ dense_weights
        for hashes in blocks:
            ids = self._ids(hashes)
            weights = self.idf[ids]
            weights = weights / weights.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)
            found = found + F.embedding_bag(ids, sparse_weights, per_sample_weights=weights, mode="sum")
        if crossed:
            found = found.unflatten(1, (_FOLDS, _AXES))[torch.arange(len(found), device=found.device), _fold(blocks[0])]
        return found

    def fit(self, blocks: Sequence[torch.Tensor], dense: torch.Tensor, va: torch.Tensor, weights: torch.Tensor) -> None:
        """Solve for the weights.

        Args:
            blocks: as for `forward`, int32 will do.
            dense: (N, D).
            va: (N, 2) deviations.
            weights: (N,) of the rows, above 0; document frequencies are those of the rows that weigh most.
        """
        from scipy.sparse import csr_matrix, diags, hstack, vstack
        from scipy.sparse.linalg import lsqr

        rows = torch.nonzero(weights == weights.max()).flatten()
        frequency = torch.zeros(self._buckets + 1)
        for start in range(0, len(rows), _CHUNK):
            for hashes in blocks:
                ids = self._ids(hashes[rows[start : start + _CHUNK]].long())
                first = torch.ones_like(ids, dtype=torch.bool)
                ordered = ids.sort(1).values
                first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
                frequency += torch.bincount(ordered[first], minlength=self._buckets + 1)
        idf = torch.log((1 + len(rows)) / (1 + frequency)) + 1
        idf[0] = 0

        parts = []
        for start in range(0, len(weights), _CHUNK):
            found = csr_matrix((min(_CHUNK, len(weights) - start), self._buckets + 1), dtype=np.float32)
            for hashes in blocks:
                ids = self._ids(hashes[start : start + _CHUNK].long())
                weight = idf[ids]
                value = (weight / weight.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)).numpy()
                row, column = np.nonzero(ids.numpy())
                found = found + csr_matrix((value[row, column], (row, ids.numpy()[row, column])), found.shape)
            parts.append(found)
        scale = weights.numpy().astype(np.float64)
        rows_of = hstack(
            [diags(scale) @ vstack(parts), csr_matrix(F.pad(dense * _DENSE, (0, 1), value=1.0).numpy() * scale[:, None])]
        ).tocsr()
        target = va.numpy().astype(np.float64) * scale[:, None]
        fold = _fold(blocks[0].long()).numpy()
        solved = np.zeros((rows_of.shape[1], _FOLDS, _AXES), np.float32)
        for number in range(_FOLDS):
            others = np.flatnonzero(fold != number)
            for axis, penalty in enumerate(_PENALTIES):
                solved[:, number, axis] = lsqr(rows_of[others], target[others, axis], damp=penalty**0.5, iter_lim=_ITERATIONS)[0]
        weights_of = torch.from_numpy(solved)
        weights_of[0] = 0
        sparse, plain = weights_of[: self._buckets + 1], weights_of[self._buckets + 1 :]
        self.idf.copy_(idf)
        self.sparse.copy_(sparse.mean(1))
        self.dense.copy_(plain.mean(1))
        self._folds = (sparse.flatten(1).contiguous(), plain.flatten(1).contiguous())

    def _ids(self, hashes: torch.Tensor) -> torch.Tensor:
        return torch.where(hashes > 0, hashes % self._buckets + 1, 0)


def _fold(words: torch.Tensor) -> torch.Tensor:
    """Fold (N,) of rows by their words' hashes (N, T): the same text is always in the same one."""
    return (words.sum(1) * 0x9E3779B1 >> 16) % _FOLDS
