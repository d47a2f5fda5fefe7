"""Captions of music with VA, composed from a musical vocabulary and published norms of single words."""

import csv
import re
import string
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.data.musical_words import DYNAMICS, GENRES, INSTRUMENTS, JUDGED, MOODS, OCCASIONS, TEMPLATES, TEMPOS
from trainer.errors import DataError

NEUTRAL = (0.51, 0.40)
_COLUMNS = ("Word", "V.Mean.Sum", "A.Mean.Sum")
_SHIFTS = {"t": TEMPOS, "d": DYNAMICS, "g": GENRES, "i": INSTRUMENTS, "j": INSTRUMENTS, "o": OCCASIONS}
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])()")
_BESIDE_MOOD = 0.7  # factor of the shifts in captions with a mood, which determines most of the VA


def read_norms(path: Path) -> dict[str, tuple[float, float]]:
    """Valence and arousal of single words from the CSV of Warriner, Kuperman & Brysbaert (2013).

    Args:
        path: with columns Word, V.Mean.Sum and A.Mean.Sum on a scale of 1 to 9.

    Returns:
        Word in lower case -> (valence, arousal), each in [0, 1]: (x - 1) / 8.

    Raises:
        DataError: the file cannot be read, lacks a column, or has an invalid rating.
    """
    norms: dict[str, tuple[float, float]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (rows.fieldnames or [])]
            if missing:
                raise DataError(f"{path}: has no column {missing[0]!r}: give the word norms of Warriner et al. (2013) as a CSV")
            for row in rows:
                word, ratings = (row["Word"] or "").strip().lower(), [_rating(row[column]) for column in _COLUMNS[1:]]
                if not word or None in ratings:
                    raise DataError(
                        f"{path} line {rows.line_num}: {row['Word']!r} rated {row['V.Mean.Sum']!r}, {row['A.Mean.Sum']!r}, "
                        "not a word with two numbers from 1 to 9: get the file again"
                    )
                norms[word] = (ratings[0], ratings[1])  # type: ignore[assignment]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV ({error}): give the word norms of Warriner et al. (2013)") from error
    if not norms:
        raise DataError(f"{path}: holds no words: give the word norms of Warriner et al. (2013)")
    return norms


def moods(norms: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Valence and arousal, each in [0, 1], of every mood that is in the norms or was rated by the authors."""
    rated = {mood: norms[mood] for mood in MOODS if mood in norms}
    return {**rated, **JUDGED}


def captions(norms: Mapping[str, tuple[float, float]], count: int, seed: int) -> list[tuple[str, float, float]]:
    """Captions of music with the valence and arousal of their words.

    The first are single moods, followed by sentences. A sentence's VA is the mean over its moods (negated ones reflected at
    neutral, by half), shifted by tempo, dynamics, genre, instruments and occasion.

    Args:
        norms: word -> (valence, arousal) in [0, 1]; if empty, only the authors' ratings are used.
        count: number of captions.
        seed: of the drawn sentences.

    Returns:
        (caption, valence, arousal), each VA in [0, 1].
    """
    rng = np.random.default_rng(seed)
    rated = moods(norms)
    drawn = [(mood, *va) for mood, va in rated.items()][:count]
    names = list(rated)
    while len(drawn) < count:
        drawn.append(_caption(rated, names, rng))
    return drawn


def _caption(rated: Mapping[str, tuple[float, float]], names: list[str], rng: np.random.Generator) -> tuple[str, float, float]:
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    words: dict[str, str] = {}
    mood_vas: list[np.ndarray] = []
    shift = np.zeros(2)
    for _, field, _, _ in string.Formatter().parse(template):
        if field in _SHIFTS:
            table = _SHIFTS[field]
            words[field] = list(table)[rng.integers(len(table))]
            shift += table[words[field]]
        elif field:
            words[field] = names[rng.integers(len(names))]
            va = np.array(rated[words[field]])
            mood_vas.append(np.array(NEUTRAL) - 0.5 * (va - NEUTRAL) if field == "x" else va)
    va = np.mean(mood_vas, 0) + _BESIDE_MOOD * shift if mood_vas else np.array(NEUTRAL) + shift
    valence, arousal = np.clip(va, 0, 1).tolist()
    return _ARTICLE.sub(r"\1n \2", template.format(**words)), valence, arousal


def _rating(text: str | None) -> float | None:
    try:
        value = (float(text or "") - 1) / 8
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
