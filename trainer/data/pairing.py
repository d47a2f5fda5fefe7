"""The pairs of every training step: drawn anew (random matching) or from a fixed list, for the whole global batch."""

from pathlib import Path
from typing import Protocol

import numpy as np

from trainer.affect import matching_score
from trainer.data.manifest import Manifest
from trainer.data.pairs import random_pairs, read_matching, sample_zhao2020
from trainer.errors import DataError

MATCHING_FILES = ("train_matching.txt", "val_matching.txt", "test_matching.txt")
_EVALUATION_STEP = 2**40  # no training gets there: its pairs are not those of any step


class Pairing(Protocol):
    """Which image goes with which clip."""

    steps: int  # of an epoch

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs int64 (batch, 2) of image and clip indices and their matching scores float32 (batch,)."""
        ...


class RandomPairing:
    """Random matching: a step pairs random images with random clips, scored by Eq. 1.

    An epoch is as many steps as the larger of the two sets has batches. Where there are images or clips alone, the other
    index is 0 and the score too.
    """

    def __init__(self, train: Manifest, sigma: float | None, batch: int, seed: int) -> None:
        self._image_va, self._clip_va = train.image_va(), train.clip_va()
        self._sigma, self._batch, self._seed = sigma, batch, seed
        self.steps = -(-max(len(train.images), len(train.clips)) // batch)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs and scores of a step, as `Pairing`."""
        pairs = random_pairs(max(1, len(self._image_va)), max(1, len(self._clip_va)), self._batch, self._seed, step)
        if self._sigma is None:
            return pairs, np.zeros(len(pairs), np.float32)
        return pairs, matching_score(self._image_va[pairs[:, 0]], self._clip_va[pairs[:, 1]], self._sigma)


class FixedPairing:
    """Pairs listed before training, in a new order every epoch; the last batch is filled up from the epoch's beginning."""

    def __init__(self, pairs: np.ndarray, scores: np.ndarray, batch: int, seed: int) -> None:
        self._pairs, self._scores, self._batch, self._seed = pairs, scores, batch, seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self.steps = -(-len(pairs) // batch)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs and scores of a step, as `Pairing`."""
        epoch, place = divmod(step, self.steps)
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self._pairs)))
        chosen = self._order[1].take(np.arange(place * self._batch, (place + 1) * self._batch), mode="wrap")
        return self._pairs[chosen], self._scores[chosen]


def training_pairs(matching: str, train: Manifest, sigma: float | None, batch: int, seed: int, folder: Path) -> Pairing:
    """The pairing a recipe asks for.

    Args:
        matching: "random", "imemnet" (all pairs of the data folder's matching files whose image and clip are both in the
            training split) or "zhao2020".
        train: the training split.
        sigma: of Eq. 1; None, without images or clips, goes with "random" alone.
        batch: global batch size.
        seed: of the training.
        folder: the data folder.

    Raises:
        DataError: a matching file that is damaged, or none of the three is there or has a pair of the training split.
    """
    match matching:
        case _ if matching == "random" or sigma is None:
            return RandomPairing(train, sigma, batch, seed)
        case "zhao2020":
            return FixedPairing(*sample_zhao2020(train.image_va(), train.clip_va(), sigma, seed), batch, seed)
        case _:
            files = [folder / name for name in MATCHING_FILES if (folder / name).is_file()]
            if not files:
                raise DataError(f"{folder}: holds none of {', '.join(MATCHING_FILES)}: put IMEMNet's there, or set pairs.matching=zhao2020")
            found = [read_matching(file, train) for file in files]
            return FixedPairing(np.concatenate([pairs for pairs, _ in found]), np.concatenate([scores for _, scores in found]), batch, seed)


def evaluation_pairs(part: Manifest, sigma: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs to evaluate the similarity predictor on, the same for every recipe so that their figures compare.

    Returns:
        pairs int64 (n, 2) and scores by Eq. 1, float32 (n,); n is the larger of the two sets.
    """
    count = max(len(part.images), len(part.clips))
    pairs = random_pairs(len(part.images), len(part.clips), count, seed, _EVALUATION_STEP)
    return pairs, matching_score(part.image_va()[pairs[:, 0]], part.clip_va()[pairs[:, 1]], sigma)
