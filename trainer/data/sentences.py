"""Texts with valence and arousal: EmoBank's sentences, rated words, and captions of music made of them."""

from pathlib import Path

import numpy as np

from trainer.data.scale import NOMINAL, to_unit
from trainer.data.table import read_rows
from trainer.errors import DataError

SPLITS = ("train", "dev", "test")
CAPTIONS = 20_000
"""Number of captions drawn from the musical vocabulary."""


def read_emobank(file: Path, problems: list[str]) -> list[list[object]]:
    """Rows id, valence, arousal, text, source, split from EmoBank's `emobank.csv` (Buechel & Hahn 2017; 1 to 5).

    Args:
        file: columns id, split, V, A, D, text.
        problems: gets a line for each bad row.

    Raises:
        DataError: no such file, another header, or not one row is left.
    """
    cure = "EmoBank is rated from 1 to 5; correct or delete the row"
    rows: list[list[object]] = []
    for row in read_rows(file, ("split", "v", "a", "text"), problems, "id"):
        try:
            ratings = np.array([[row.number_in(name, *NOMINAL["emobank"], cure) for name in ("v", "a")]])
            valence, arousal = to_unit(ratings, "emobank", "nominal").round(6).tolist()[0]
            split = row.cells["split"].strip()
            if split not in SPLITS:
                raise DataError(f"{row.where}: split {split!r} is not one of {', '.join(SPLITS)}; correct or delete the row")
            rows.append([f"emobank-{row.id}", valence, arousal, row.text("text"), "emobank", split])
        except DataError as error:
            problems.append(str(error))
    if not rows:
        raise DataError(f"{file}: not one usable row{', the first bad one: ' + problems[-1] if problems else ''}; get EmoBank again")
    return rows


def read_words(file: Path, seed: int = 0) -> list[list[object]]:
    """Rows as from `read_emobank`, without a split: all words of Warriner's norms (source "norms"), then `CAPTIONS` captions of music
    composed of words with norms (source "vocabulary").

    Args:
        file: Warriner, Kuperman & Brysbaert's table of 2013.
        seed: of the drawn captions.

    Raises:
        DataError: no such file, or another table.
    """
    from trainer.data.vocabulary import captions, read_norms

    norms = read_norms(file)
    texts = [(f"norms-{word}", word, *va, "norms") for word, va in norms.items()]
    texts += [(f"vocabulary-{number}", *caption, "vocabulary") for number, caption in enumerate(captions(norms, CAPTIONS, seed))]
    return [
        [ident, round(float(valence), 6), round(float(arousal), 6), text, source, ""] for ident, text, valence, arousal, source in texts
    ]
