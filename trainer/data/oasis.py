"""Read OASIS (Kurdi, Lozano & Banaji 2017): 900 pictures with the mean valence and arousal of some hundred raters each, 1 to 7."""

import re
from pathlib import Path

import numpy as np

from trainer.data.manifest import IMAGE_SUFFIXES
from trainer.data.pictures import Picture
from trainer.data.scale import NOMINAL, to_unit
from trainer.data.table import read_rows
from trainer.errors import DataError

_CURE = "OASIS is rated from 1 to 7; correct or delete the row"
LEFT_OUT = ("bdsm", "nude couple", "nude man", "nude woman")
"""Themes that are not read: 62 of the 900 pictures, too unlike the others to be useful."""
_NUMBER = re.compile(r"\s*\d+$")


def read(folder: Path, problems: list[str]) -> list[Picture]:
    """The pictures of OASIS as unpacked, `OASIS.csv` and `images/THEME.jpg`, without the themes `LEFT_OUT`.

    Args:
        folder: with both.
        problems: gets a line for each bad row and each rated picture without a file.

    Raises:
        DataError: no folder, no table, an unexpected header, or no usable picture.
    """
    table, images = folder / "OASIS.csv", folder / "images"
    for path in (folder, images):
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; name the folder that OASIS was unpacked to, with OASIS.csv and images/")
    files = {path.stem.strip().lower(): path for path in sorted(images.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
    pictures: dict[str, Picture] = {}
    for row in read_rows(table, ("valence_mean", "arousal_mean"), problems, "theme"):
        try:
            theme = row.id.lower()
            group = _NUMBER.sub("", theme)
            if group in LEFT_OUT:
                continue
            ratings = [row.number_in(name, *NOMINAL["oasis"], _CURE) for name in ("valence_mean", "arousal_mean")]
            if theme not in files:
                raise DataError(f"{row.where}: no picture {images / row.id}.jpg; put it there or delete the row")
            if theme in pictures:
                raise DataError(f"{row.where}: the theme comes twice; delete one of the rows")
            valence, arousal = to_unit(np.array([ratings]), "oasis", "nominal").round(6).tolist()[0]
            ident = f"oasis-{theme.replace(' ', '-')}"
            pictures[theme] = Picture(ident, files[theme], (valence, arousal), group, "oasis")
        except DataError as error:
            problems.append(str(error))
    if not pictures:
        raise DataError(f"{folder}: not one picture of OASIS is left{', the first bad one: ' + problems[0] if problems else ''}")
    return list(pictures.values())
