"""What a text tower has to beat: ridge regression on TF-IDF."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsqr

_WORD = re.compile(r"\w\w+")


def tfidf_ridge(train_texts: Sequence[str], train_va: np.ndarray, test_texts: Sequence[str], *, penalty: float = 1.0) -> np.ndarray:
    """Predict VA by ridge regression on TF-IDF of words and word pairs that come at least twice.

    Args:
        train_texts: N texts.
        train_va: (N, 2).
        test_texts: M texts.
        penalty: of the squared weights, above 0.

    Returns:
        float32 (M, 2); not clipped.
    """
    documents = [_grams(text) for text in train_texts]
    frequency = Counter(gram for document in documents for gram in document)
    columns = {gram: column for column, gram in enumerate(sorted(gram for gram, count in frequency.items() if count >= 2))}
    idf = np.array([np.log((1 + len(documents)) / (1 + frequency[gram])) + 1 for gram in columns])
    labels = np.asarray(train_va, np.float64)
    mean = labels.mean(0)
    if not columns:
        return np.tile(mean, (len(test_texts), 1)).astype(np.float32)
    train = _matrix(documents, columns, idf)
    test = _matrix([_grams(text) for text in test_texts], columns, idf)
    centre = np.asarray(train.mean(0)).ravel()
    weights = [lsqr(train, labels[:, axis] - mean[axis], damp=penalty**0.5, iter_lim=200)[0] for axis in (0, 1)]
    return (test @ np.stack(weights, 1) - centre @ np.stack(weights, 1) + mean).astype(np.float32)


def _grams(text: str) -> Counter[str]:
    words = _WORD.findall(text.casefold())
    return Counter([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))])


def _matrix(documents: Sequence[Counter[str]], columns: dict[str, int], idf: np.ndarray) -> csr_matrix:
    """Rows of length 1, (1 + log n) * idf before that."""
    entries = [(row, columns[gram], count) for row, document in enumerate(documents) for gram, count in document.items() if gram in columns]
    rows, at, counts = (np.array(part) for part in zip(*entries, strict=True)) if entries else (np.zeros(0, int),) * 3
    matrix = csr_matrix(((1 + np.log(np.maximum(counts, 1))) * idf[at], (rows, at)), (len(documents), len(columns)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return diags(1 / np.maximum(length, 1e-9)) @ matrix
