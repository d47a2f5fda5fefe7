"""Read Emotion6 (Peng, Sadovnik, Gallagher & Chen 2015): 1,980 photographs with the mean valence and arousal of 15 raters each, 1 to 9."""

from pathlib import Path, PurePosixPath

import numpy as np

from trainer.data.pictures import Picture
from trainer.data.scale import NOMINAL, to_unit
from trainer.data.table import read_rows
from trainer.errors import DataError

_CURE = "Emotion6 is rated from 1 to 9; correct or delete the row"
TABLE = "ground_truth.txt"


def read(folder: Path, problems: list[str]) -> list[Picture]:
    """The pictures of Emotion6 as unpacked, `ground_truth.txt` and `images/EMOTION/NUMBER.jpg`.

    Args:
        folder: with both.
        problems: gets a line for each bad row and each rated picture without a file.

    Raises:
        DataError: no folder, no table, an unexpected header, or no usable picture.
    """
    images = folder / "images"
    for path in (folder, images):
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; name the folder that Emotion6 was unpacked to, with {TABLE} and images/")
    pictures: dict[str, Picture] = {}
    for row in read_rows(folder / TABLE, ("[valence]", "[arousal]"), problems, "[image_filename]", delimiter="\t"):
        try:
            name = PurePosixPath(row.id)
            if len(name.parts) != 2 or ".." in name.parts:
                raise DataError(f"{row.where}: the name is not EMOTION/NUMBER.jpg; correct or delete the row")
            ratings = [row.number_in(column, *NOMINAL["emotion6"], _CURE) for column in ("[valence]", "[arousal]")]
            if not (images / name).is_file():
                raise DataError(f"{row.where}: no picture {images / name}; put it there or delete the row")
            ident = f"emotion6-{name.parent}-{name.stem}"
            if ident in pictures:
                raise DataError(f"{row.where}: the picture comes twice; delete one of the rows")
            valence, arousal = to_unit(np.array([ratings]), "emotion6", "nominal").round(6).tolist()[0]
            pictures[ident] = Picture(ident, images / name, (valence, arousal), "", "emotion6")
        except DataError as error:
            problems.append(str(error))
    if not pictures:
        raise DataError(f"{folder}: not one picture of Emotion6 is left{', the first bad one: ' + problems[0] if problems else ''}")
    return list(pictures.values())
