"""The baseline for text towers: ridge regression on TF-IDF."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from scipy.sparse.linalg import lsqr

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SIZES = range(2, 6)


def tfidf_ridge(train_texts: Sequence[str], train_va: np.ndarray, test_texts: Sequence[str], *, penalty: float = 2.0) -> np.ndarray:
    """Predict VA by ridge regression on TF-IDF of tokens, token pairs and two to five characters of a word.

    Features that occur only once in the training texts are left out.

    Args:
        train_texts: N texts.
        train_va: (N, 2).
        test_texts: M texts.
        penalty: of the squared weights, above 0.

    Returns:
        float32 (M, 2); not clipped.
    """
    labels = np.asarray(train_va, np.float64)
    mean = labels.mean(0)
    blocks = [_tfidf([grams(text) for text in train_texts], [grams(text) for text in test_texts]) for grams in (_tokens, _characters)]
    train, test = (hstack([block[part] for block in blocks]).tocsr() for part in (0, 1))
    if not train.shape[1]:
        return np.tile(mean, (len(test_texts), 1)).astype(np.float32)
    weights = np.stack([lsqr(train, labels[:, axis] - mean[axis], damp=penalty**0.5, iter_lim=100)[0] for axis in (0, 1)], 1)
    offset = mean - np.asarray(train.mean(0)).ravel() @ weights
    return (test @ weights + offset).astype(np.float32)


def _tokens(text: str) -> Counter[str]:
    tokens = _TOKEN.findall(text.casefold())
    return Counter([*tokens, *(f"{a} {b}" for a, b in itertools.pairwise(tokens))])


def _characters(text: str) -> Counter[str]:
    words = [f" {word} " for word in text.split()]
    return Counter(word[start : start + size] for word in words for size in _SIZES for start in range(len(word) - size + 1))


def _tfidf(train: Sequence[Counter[str]], test: Sequence[Counter[str]]) -> tuple[csr_matrix, csr_matrix]:
    frequency = Counter(gram for document in train for gram in document)
    columns = {gram: column for column, gram in enumerate(sorted(gram for gram, count in frequency.items() if count >= 2))}
    idf = np.array([np.log((1 + len(train)) / (1 + frequency[gram])) + 1 for gram in columns])
    return _matrix(train, columns, idf), _matrix(test, columns, idf)


def _matrix(documents: Sequence[Counter[str]], columns: dict[str, int], idf: np.ndarray) -> csr_matrix:
    """(1 + log n) * idf of each document, scaled to length 1."""
    entries = [(row, columns[gram], count) for row, document in enumerate(documents) for gram, count in document.items() if gram in columns]
    rows, grams, counts = (np.array(part) for part in zip(*entries, strict=True)) if entries else (np.zeros(0, int),) * 3
    matrix = csr_matrix(((1 + np.log(np.maximum(counts, 1))) * idf[grams], (rows, grams)), (len(documents), len(columns)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return diags(1 / np.maximum(length, 1e-9)) @ matrix
