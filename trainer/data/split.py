"""Split a manifest into train, val and test."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.constants import SPLIT_BY
from trainer.data.manifest import Manifest, TextRow
from trainer.errors import DataError

PARTS = ("train", "val", "test")


def split(manifest: Manifest, how: str = "track", fractions: Sequence[float] = (0.8, 0.05, 0.15), seed: int = 0) -> dict[str, Manifest]:
    """Split by group of images and by track, so that no theme or recording is in two parts; texts as published by their source.

    Args:
        manifest: what to split.
        how: "track"; or "clip" for a random split of images and clips, which leaks most of the test set into training, as
            clips of one track overlap by up to 8 seconds; or "all": every part has all rows, for a final training whose
            quality is measured by cross-validation.
        fractions: of train, val and test; each above 0, with sum 1.
        seed: of the split, which does not depend on the order of the rows.

    Returns:
        "train", "val" and "test"; none is without images, clips or texts if there are any.

    Raises:
        DataError: unknown `how`, invalid fractions, or fewer images or tracks than parts.
    """
    if how not in SPLIT_BY:
        raise DataError(f"split {how!r}: allowed are {', '.join(SPLIT_BY)}")
    if len(fractions) != len(PARTS) or not all(part > 0 for part in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"split fractions {tuple(fractions)}: give three above 0 (train, val, test) that sum to 1")
    if how == "all":
        return dict.fromkeys(PARTS, manifest)
    # Without groups rows are grouped by file, as two ids (with and without suffix) may name the same file.
    groups = [row.group if how == "track" and row.group not in ("", row.id) else row.path for row in manifest.images]
    images = _assign(groups, fractions, np.random.default_rng([seed, 0]), "images")
    clips = _assign(
        [row.track if how == "track" else row.path for row in manifest.clips], fractions, np.random.default_rng([seed, 1]), f"{how}s"
    )
    texts = _published(manifest.texts) or _assign([row.id for row in manifest.texts], fractions, np.random.default_rng([seed, 2]), "texts")
    return {part: manifest.subset(images[index], clips[index], texts[index]) for index, part in enumerate(PARTS)}


def _published(texts: Sequence[TextRow]) -> list[list[int]] | None:
    """The parts as published by the sources of the texts; texts without a part are for training. None if no text has a part."""
    if not any(row.split for row in texts):
        return None
    parts = [[index for index, row in enumerate(texts) if (row.split or "train") == part] for part in PARTS]
    if not all(parts):
        raise DataError(
            f"of the texts, {[len(part) for part in parts]} are for {', '.join(PARTS)}: give each part some, or clear the column"
        )
    return parts


def _assign(groups: Sequence[str | Path], fractions: Sequence[float], rng: np.random.Generator, what: str) -> list[list[int]]:
    """Indices of the rows of each part; rows of one group stay together.

    Groups are assigned in random order to the part that lacks most rows, so that the sizes of parts are right to about one
    group even if groups differ in size (DEAM: 13 clips for an excerpt, up to 300 for a full song).
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[str(group)].append(index)
    if not members:
        return [[] for _ in fractions]
    if len(members) < len(fractions):
        raise DataError(f"{len(members)} {what} cannot be split into {len(fractions)} parts: at least {len(fractions)} are needed")
    names = sorted(members)
    order = [names[index] for index in rng.permutation(len(names))]
    parts: list[list[str]] = [[] for _ in fractions]
    missing = np.array(fractions) * len(groups)
    for group in order:
        index = int(missing.argmax())
        parts[index].append(group)
        missing[index] -= len(members[group])
    for part in parts:
        if not part:  # too few groups for a small fraction: take one from the largest part
            part.append(max(parts, key=len).pop())
    return [[index for group in part for index in members[group]] for part in parts]
