"""Captions as numbers, for the compact text tower: words, the words they are inflections of, and their parts, as hashes. No torch."""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from trainer.model.towers import MAX_CHARACTERS

MAX_TOKENS = 64
BASES = 3  # bases of a word, besides itself
PARTS = 14
COLUMNS = 2 + BASES + PARTS  # shape, the word, its bases, its parts
OTHER, NUMBER, LOWER, TITLE, UPPER = range(1, 6)  # a token's shape; 0 where there is no token
SHAPES = 6
MARKS = '!?".,'
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*|[^\w\s]|_+")
# Endings of inflected English and their replacements; a resulting base is used if it was in the training data.
_ENDINGS = (
    ("'s", ("",)),
    ("iness", ("y",)),
    ("ness", ("",)),
    ("fully", ("ful",)),
    ("ically", ("ic",)),
    ("ily", ("y",)),
    ("ly", ("", "le")),
    ("ies", ("y", "ie")),
    ("ied", ("y", "ie")),
    ("iest", ("y",)),
    ("ier", ("y",)),
    ("ing", ("", "e")),
    ("est", ("", "e")),
    ("ed", ("", "e")),
    ("es", ("", "e")),
    ("er", ("", "e")),
    ("s", ("",)),
)


def numbers(captions: Sequence[str]) -> np.ndarray:
    """The first 64 tokens of each caption as integers: shape, hashes of the word, its bases and its parts; 0 for none.

    Returns:
        (N, 64, 19) int32.
    """
    rows = np.zeros((len(captions), MAX_TOKENS, COLUMNS), np.int32)
    for row, caption in zip(rows, captions, strict=True):
        # Truncated first: a caption may be a whole book.
        tokens = _TOKEN.findall(caption[:MAX_CHARACTERS])[:MAX_TOKENS]
        if tokens:
            row[: len(tokens)] = [of_token(token) for token in tokens]
    return rows


def trimmed(rows: np.ndarray) -> np.ndarray:
    """Captions (N, 64, 19) without what is padding in all of them: (N, T, 19), T at least 2, for pairs of words."""
    return rows[:, : max(2, int((rows[..., 0] > 0).any(0).sum()))]


@lru_cache(maxsize=1 << 17)
def of_token(token: str) -> tuple[int, ...]:
    """A token's row: shape, word, bases, parts."""
    if token[0].isdecimal():
        return (NUMBER, _hash("0"), *[0] * (BASES + PARTS))
    if not token[0].isalpha():
        return (OTHER, _hash(token[0]), *[0] * (BASES + PARTS))
    shape = UPPER if len(token) > 1 and token.isupper() else TITLE if token[0].isupper() else LOWER
    word = token.casefold().replace("’", "'")[:40]
    bases = _bases(word)[:BASES]
    parts = _parts(word)[:PARTS]
    return (
        shape,
        _hash(word),
        *(_hash(base) for base in bases),
        *[0] * (BASES - len(bases)),
        *(_hash(part) for part in parts),
        *[0] * (PARTS - len(parts)),
    )


def _bases(word: str) -> list[str]:
    """Words that a word may be an inflection of, by its ending; or the word itself."""
    for ending, others in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 2:
            bases = [stem + other for other in others]
            if len(stem) > 3 and stem[-1] == stem[-2]:
                bases.append(stem[:-1])  # stopping, stop
            return bases
    return [word]


def _parts(word: str) -> list[str]:
    """Character n-grams of a word, prefixes and suffixes first; < and > mark its ends."""
    marked = f"<{word}>"
    parts = [marked[:size] for size in range(4, min(8, len(marked)))]
    parts += [marked[-size:] for size in range(3, min(6, len(marked)))]
    parts += [marked[start : start + 4] for start in range(1, len(marked) - 4)]
    return list(dict.fromkeys(parts))


def _hash(text: str) -> int:
    """A hash from 1 to 2^31 - 1, by crc32: unlike Python's own hash it is the same in every run."""
    return zlib.crc32(text.encode("utf-8", "replace")) % (2**31 - 1) + 1
