"""A linear model of hashed words, word pairs and parts of words, fitted by least squares: the wide part of the compact text tower."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

_FOLDS = 5
_ITERATIONS = 30
_CHUNK = 2048
_AXES = 2
_DENSE = 0.1  # scale of the dense features: the penalty shrinks smaller features more
_PENALTIES = (4.0, 8.0)  # of valence and arousal, chosen on EmoBank's dev split


class CrossFittedRidge(nn.Module):
    """Ridge regression from sparse and dense features to VA, cross-fitted.

    The rows are assigned to five folds by their content and a ridge regression is fitted without each fold. In training
    a row gets the prediction of the model fitted without it, so that the layers on top learn to weight predictions for
    unseen rows; otherwise it gets the mean of the five, which alone is stored in checkpoints. The weights are buffers, not
    parameters.

    Args:
        buckets: number of buckets of hashed features.
        dense: number of dense features.
    """

    idf: torch.Tensor
    sparse: torch.Tensor
    dense: torch.Tensor

    def __init__(self, buckets: int, dense: int) -> None:
        super().__init__()
        self._buckets = buckets
        # Inverse document frequencies; weights for valence and arousal. Row 0 is for padding.
        self.register_buffer("idf", torch.zeros(buckets + 1))
        self.register_buffer("sparse", torch.zeros(buckets + 1, _AXES))
        self.register_buffer("dense", torch.zeros(dense + 1, _AXES))
        # The weights of each fold, sparse and dense; only in memory after `fit`.
        self._folds: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, blocks: Sequence[torch.Tensor], dense: torch.Tensor) -> torch.Tensor:
        """Predict VA in standard deviations.

        Args:
            blocks: hashes (N, L_b) of each kind of sparse feature, int64, 0 for none.
            dense: (N, D).

        Returns:
            (N, 2) in standard deviations; 0 before `fit`.
        """
        sparse_weights, dense_weights = self.sparse, self.dense
        crossed = self.training and self._folds is not None
        if crossed:
            assert self._folds is not None
            self._folds = (self._folds[0].to(dense.device), self._folds[1].to(dense.device))
            sparse_weights, dense_weights = self._folds
        predicted = _with_intercept(dense) @ dense_weights
        for hashes in blocks:
            ids = self._ids(hashes)
            predicted = predicted + summed(sparse_weights, ids, _tfidf(self.idf, ids))
        if crossed:
            rows = torch.arange(len(predicted), device=predicted.device)
            predicted = predicted.unflatten(1, (_FOLDS, _AXES))[rows, _fold(blocks[0])]
        return predicted

    def fit(self, blocks: Sequence[torch.Tensor], dense: torch.Tensor, va: torch.Tensor, weights: torch.Tensor) -> None:
        """Fit the weights.

        Args:
            blocks: as for `forward`; may be int32.
            dense: (N, D).
            va: (N, 2) in standard deviations.
            weights: (N,) of the rows, above 0; document frequencies are those of the rows with the largest weight.
        """
        from scipy.sparse import csr_matrix, diags, hstack

        idf = self._inverse_frequencies(blocks, torch.nonzero(weights == weights.max()).flatten())
        scale = weights.numpy().astype(np.float64)
        sparse_part = diags(scale) @ self._sparse_matrix(blocks, idf)
        matrix = hstack([sparse_part, csr_matrix(_with_intercept(dense).numpy() * scale[:, None])]).tocsr()
        solved = _solve_folds(matrix, va.numpy().astype(np.float64) * scale[:, None], _fold(blocks[0].long()).numpy())
        solved[0] = 0
        sparse, plain = solved[: self._buckets + 1], solved[self._buckets + 1 :]
        self.idf.copy_(idf)
        self.sparse.copy_(sparse.mean(1))
        self.dense.copy_(plain.mean(1))
        self._folds = (sparse.flatten(1).contiguous(), plain.flatten(1).contiguous())

    def _inverse_frequencies(self, blocks: Sequence[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """Inverse document frequencies (buckets + 1,) in the given rows."""
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
        return idf

    def _sparse_matrix(self, blocks: Sequence[torch.Tensor], idf: torch.Tensor) -> Any:
        """TF-IDF (N, buckets + 1) of the hashed features, a scipy.sparse matrix."""
        from scipy.sparse import csr_matrix, vstack

        count, parts = len(blocks[0]), []
        for start in range(0, count, _CHUNK):
            matrix = csr_matrix((min(_CHUNK, count - start), self._buckets + 1), dtype=np.float32)
            for hashes in blocks:
                ids = self._ids(hashes[start : start + _CHUNK].long())
                value = _tfidf(idf, ids).numpy()
                row, column = np.nonzero(ids.numpy())
                matrix = matrix + csr_matrix((value[row, column], (row, ids.numpy()[row, column])), matrix.shape)
            parts.append(matrix)
        return vstack(parts)

    def _ids(self, hashes: torch.Tensor) -> torch.Tensor:
        return torch.where(hashes > 0, hashes % self._buckets + 1, 0)


def summed(table: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The sum of a table's rows (C, D) by their numbers (N, L), 0 for none, each times its weight (N, L): (N, D)."""
    if torch.onnx.is_in_onnx_export():  # which makes a loop over the rows of `embedding_bag`
        rows = F.embedding(ids, table)
        return (rows if weights is None else rows * weights[..., None]).sum(1)
    return F.embedding_bag(ids, table, per_sample_weights=weights, mode="sum", padding_idx=0)


def _with_intercept(dense: torch.Tensor) -> torch.Tensor:
    """Scaled dense features with a column of ones: (N, D + 1)."""
    return F.pad(dense * _DENSE, (0, 1), value=1.0)


def _tfidf(idf: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Inverse document frequencies of features (N, L), each row scaled to length 1."""
    weights = idf[ids]
    return weights / weights.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)


def _solve_folds(matrix: Any, target: np.ndarray, fold: np.ndarray) -> torch.Tensor:
    """Ridge regression weights (columns, folds, axes) of a sparse matrix (N, columns), each fitted without one fold.

    Args:
        matrix: scipy.sparse, in CSR form.
        target: (N, 2).
        fold: (N,) of the rows.
    """
    from scipy.sparse.linalg import lsqr

    solved = np.zeros((matrix.shape[1], _FOLDS, _AXES), np.float32)
    for number in range(_FOLDS):
        others = np.flatnonzero(fold != number)
        for axis, penalty in enumerate(_PENALTIES):
            solved[:, number, axis] = lsqr(matrix[others], target[others, axis], damp=penalty**0.5, iter_lim=_ITERATIONS)[0]
    return torch.from_numpy(solved)


def _fold(words: torch.Tensor) -> torch.Tensor:
    """Folds (N,) of rows by the hashes of their words (N, T): equal texts are in the same fold."""
    return (words.sum(1) * 0x9E3779B1 >> 16) % _FOLDS
