"""Pairs of images and clips for training: random matching (MMVA), and the fixed pairs of IMEMNet.

A pair is (image index, clip index), indices into a manifest.
"""

import math
from pathlib import Path

import numpy as np

from trainer.data.manifest import Manifest
from trainer.errors import DataError

RANDOM_A_CLIP, BEST_A_CLIP, WORST_A_CLIP = 30, 10, 10
KEPT = 0.1


def random_pairs(n_images: int, n_clips: int, batch: int, seed: int, step: int) -> np.ndarray:
    """The pairs of one step of random matching: random images with random clips, drawn with replacement.

    The pairs of the whole global batch depend on seed and step alone, so that they are equal in a resumed run and in every process.

    Returns:
        int64 (batch, 2).
    """
    rng = np.random.default_rng([seed, step])
    return np.stack([rng.integers(n_images, size=batch), rng.integers(n_clips, size=batch)], axis=1)


def read_matching(path: str | Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Read fixed pairs from one of IMEMNet's files, lines of `clip_id image_id score`.

    Pairs with ids that are not in the manifest are left out: the files cover all of IMEMNet, the manifest may be a part of it.

    Returns:
        pairs int64 (n, 2) and scores float32 (n,) in [0, 1].

    Raises:
        DataError: no such file, a malformed line, a score outside [0, 1], or no pair of the manifest.
    """
    images = {row.id: index for index, row in enumerate(manifest.images)}
    clips = {row.id: index for index, row in enumerate(manifest.clips)}
    pairs, scores = [], []
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                clip, image, score = _parse(line, f"{path} line {number}")
                if clip in clips and image in images:
                    pairs.append((images[image], clips[clip]))
                    scores.append(score)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file of lines 'clip_id image_id score'") from error
    if not pairs:
        raise DataError(f"{path}: not one pair of an image and a clip of this data; its lines must be 'clip_id image_id score'")
    return np.array(pairs, np.int64), np.array(scores, np.float32)


def _parse(line: str, where: str) -> tuple[str, str, float]:
    try:
        clip, rest = line.split(maxsplit=1)
        image, text = rest.rsplit(maxsplit=1)
        score = float(text)
    except ValueError:
        raise DataError(f"{where}: {line.strip()[:80]!r} is not 'clip_id image_id score'; correct the line") from None
    if not 0 <= score <= 1:  # NaN too
        raise DataError(f"{where}: score {text} is outside [0, 1]; correct the line")
    return clip, image, score


def sample_zhao2020(image_va: np.ndarray, clip_va: np.ndarray, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed pairs by the method of IMEMNet (Zhao et al. 2020): for each clip its 10 best images, its 10 worst and 30 random
    others, and a random tenth of all these pairs.

    Args:
        image_va: (a, 2).
        clip_va: (b, 2).
        sigma: of Eq. 1 of the MMVA paper, above 0.
        seed: of the draw.

    Returns:
        pairs int64 (n, 2) without repetition, by clip, and scores float32 (n,) from Eq. 1; n is at least 1. Memory is
        O(a + n): one clip at a time.

    Raises:
        DataError: no images, no clips, or a sigma that is not above 0.
    """
    if not len(image_va) or not len(clip_va) or not (sigma > 0 and math.isfinite(sigma)):
        raise DataError(f"pairs need images, clips and a sigma above 0, not {len(image_va)}, {len(clip_va)} and {sigma}")
    rng = np.random.default_rng(seed)
    valence, arousal = np.ascontiguousarray(image_va.T, np.float32)
    pairs = []
    for clip, va in enumerate(np.asarray(clip_va, np.float32)):
        chosen = _fifty((valence - va[0]) ** 2 + (arousal - va[1]) ** 2, rng)
        pairs.append(np.stack([chosen, np.full(len(chosen), clip)], axis=1))
    candidates = np.concatenate(pairs)
    kept = candidates[np.sort(rng.choice(len(candidates), max(1, round(KEPT * len(candidates))), replace=False))]
    distance = np.linalg.norm(np.asarray(image_va, np.float64)[kept[:, 0]] - clip_va[kept[:, 1]], axis=1)
    return kept.astype(np.int64), np.exp(-distance / sigma).astype(np.float32)


def _fifty(distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of the nearest, the farthest and random other images; all indices if there are at most 50."""
    count = len(distance)
    if count <= BEST_A_CLIP + WORST_A_CLIP + RANDOM_A_CLIP:
        return np.arange(count)
    order = np.argpartition(distance, (BEST_A_CLIP, count - WORST_A_CLIP - 1))
    between = order[BEST_A_CLIP : count - WORST_A_CLIP]
    others = between[rng.choice(len(between), RANDOM_A_CLIP, replace=False)]
    return np.concatenate([order[:BEST_A_CLIP], order[count - WORST_A_CLIP :], others])
