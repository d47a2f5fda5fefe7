"""The pairs of every training step: drawn at random (random matching) or from a fixed list, for the whole global batch.

A row of a step is (image index, clip index, text index). If the texts are the clips' captions, the text index equals the clip
index; if they are separate texts, it is random, and the score is Eq. 1 of the mean of the distances of clip and text from the
image (which equals Eq. 1 if the text has the labels of its clip).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from trainer.affect import score_of_distance
from trainer.constants import MODALITIES
from trainer.data.manifest import TEXT_CSV, Manifest
from trainer.data.pairs import random_pairs, read_matching, sample_zhao2020
from trainer.errors import DataError

MATCHING_FILES = ("train_matching.txt", "val_matching.txt", "test_matching.txt")
_EVALUATION_STEP = 2**40  # beyond any training step, so that its pairs differ from those of training


class Pairing(Protocol):
    """Assigns clips and texts to images."""

    steps: int  # per epoch

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 (batch, 3) of image, clip and text indices and their matching scores float32 (batch,)."""
        ...


def scores_of(va: Mapping[str, np.ndarray], sigma: float | None) -> np.ndarray:
    """The matching scores float32 (n,) of n rows with labels (n, 2) by modality; 0 without sigma."""
    if sigma is None:
        return np.zeros(len(next(iter(va.values()))), np.float32)
    distances = [np.linalg.norm(va["image"] - va[other], axis=1) for other in ("music", "text") if other in va]
    return score_of_distance(np.mean(distances, axis=0), sigma)


class RandomPairing:
    """Random matching: a step pairs random images with random clips and texts, scored by Eq. 1.

    An epoch has as many steps as the largest of the sets has batches. The index into an empty set is 0.

    Args:
        train: the training split.
        sigma: of Eq. 1; None for scores of 0.
        batch: global batch size.
        seed: of the training.
        shares: source -> how often its rows are drawn, relative to the other sources of its modality; all sources of a
            modality must be named, or none: then every row is drawn equally often.
        distinct: modality -> number of distinct rows of it in a step: rows i and i + distinct of a step are the same.
    """

    def __init__(
        self,
        train: Manifest,
        sigma: float | None,
        batch: int,
        seed: int,
        shares: Mapping[str, float] | None = None,
        distinct: Mapping[str, float] | None = None,
    ) -> None:
        self._distinct = distinct or {}
        self._train, self._sigma, self._batch, self._seed = train, sigma, batch, seed
        self._va = {modality: train.va(modality) for modality in MODALITIES}
        self._shares = {modality: _shares(train, modality, shares or {}) for modality in self._va}
        self.steps = -(-max(len(train.images), len(train.clips), len(train.texts)) // batch)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scores of a step, see `Pairing`."""
        train = self._train
        pairs = random_pairs(max(1, len(train.images)), max(1, len(train.clips)), self._batch, self._seed, step)
        rows = np.column_stack([pairs, pairs[:, 1]])
        for column, modality in enumerate(self._va):
            count, share = len(train.rows(modality)), self._shares[modality]
            if share is not None or (modality == "text" and train.texts):
                rows[:, column] = np.random.default_rng([self._seed, step, column]).choice(count, self._batch, p=share)
            if modality in self._distinct:
                rows[:, column] = np.resize(rows[: int(self._distinct[modality]), column], self._batch)
        if self._sigma is None:
            return rows, np.zeros(len(rows), np.float32)
        return rows, scores_of({modality: va[rows[:, column]] for column, (modality, va) in enumerate(self._va.items())}, self._sigma)


def _shares(train: Manifest, modality: str, shares: Mapping[str, float]) -> np.ndarray | None:
    """The probability (n,) of each row of a modality; None if uniform."""
    sources = np.array([row.source for row in train.rows(modality)])
    if not len(sources) or not set(sources) & shares.keys():
        return None
    weight = np.zeros(len(sources))
    for source in set(sources):
        if source not in shares:
            raise DataError(
                f"pairs.shares: names sources of {modality}, but not '{source}': name all of them ({', '.join(sorted(set(sources)))})"
            )
        weight[sources == source] = shares[source] / (sources == source).sum()
    if not weight.sum():
        raise DataError(f"pairs.shares: all sources of {modality} have a share of 0")
    return weight / weight.sum()


def row_weights(train: Manifest, modality: str, shares: Mapping[str, float]) -> np.ndarray:
    """Weights float32 (n,) of the rows of a modality, proportional to their probability, the largest 1."""
    share = _shares(train, modality, shares)
    return np.ones(len(train.rows(modality)), np.float32) if share is None else (share / share.max()).astype(np.float32)


class FixedPairing:
    """A fixed list of pairs, shuffled every epoch; the last batch is filled up from the beginning of the epoch."""

    def __init__(self, pairs: np.ndarray, scores: np.ndarray, batch: int, seed: int) -> None:
        self._pairs, self._scores, self._batch, self._seed = pairs, scores, batch, seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self.steps = -(-len(pairs) // batch)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scores of a step, see `Pairing`."""
        epoch, index = divmod(step, self.steps)
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self._pairs)))
        chosen = self._order[1].take(np.arange(index * self._batch, (index + 1) * self._batch), mode="wrap")
        return self._pairs[chosen][:, [0, 1, 1]], self._scores[chosen]


def training_pairs(
    matching: str,
    train: Manifest,
    sigma: float | None,
    batch: int,
    seed: int,
    folder: Path,
    shares: Mapping[str, float] | None = None,
    distinct: Mapping[str, float] | None = None,
) -> Pairing:
    """The pairing of a recipe.

    Args:
        matching: "random", "imemnet" (all pairs of the data folder's matching files whose image and clip are both in the
            training split) or "zhao2020".
        train: the training split.
        sigma: of Eq. 1; None, without images or clips, gives "random".
        batch: global batch size.
        seed: of the training.
        folder: the data folder.
        shares, distinct: for "random" only, see `RandomPairing`.

    Raises:
        DataError: fixed pairs with separate texts; a damaged matching file, or none of the three exists or has a pair of the training split.
    """
    match matching:
        case _ if matching == "random" or sigma is None:
            return RandomPairing(train, sigma, batch, seed, shares, distinct)
        case _ if train.texts:
            raise DataError(
                f"{folder}: pairs.matching={matching} pairs clips with their captions, which {TEXT_CSV} is not: set it to random"
            )
        case "zhao2020":
            return FixedPairing(*sample_zhao2020(train.image_va(), train.clip_va(), sigma, seed), batch, seed)
        case _:
            files = [folder / name for name in MATCHING_FILES if (folder / name).is_file()]
            if not files:
                raise DataError(f"{folder}: holds none of {', '.join(MATCHING_FILES)}: put IMEMNet's there, or set pairs.matching=zhao2020")
            pairs, scores = (np.concatenate(part) for part in zip(*(read_matching(file, train) for file in files), strict=True))
            return FixedPairing(pairs, scores, batch, seed)


def evaluation_pairs(part: Manifest, sigma: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random rows to evaluate the similarity predictor on, the same for every recipe so that figures are comparable.

    Returns:
        rows int64 (n, 3) and scores by Eq. 1, float32 (n,); n is the larger of the sets of images and clips.
    """
    return RandomPairing(part, sigma, max(len(part.images), len(part.clips)), seed)(_EVALUATION_STEP)
