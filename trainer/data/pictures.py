"""Rated pictures of open data sets, whatever the set."""

import filecmp
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from trainer.data.files import read_picture


@dataclass(frozen=True)
class Picture:
    """A rated picture.

    Attributes:
        id: of its row, and the stem of its file in the data folder: "oasis-car-crash-1".
        path: the file in its data set.
        va: valence, arousal in [0, 1].
        group: what it shares with other pictures, such as its theme, "car crash"; "" for nothing.
        source: its data set.
    """

    id: str
    path: Path
    va: tuple[float, float]
    group: str
    source: str


def add(picture: Picture, images: Path) -> None:
    """Add a picture to the data folder, as a hard link or else a copy.

    Raises:
        DataError: it cannot be decoded.
    """
    read_picture(picture.path)
    target = images / f"{picture.id}{picture.path.suffix.lower()}"
    if target.exists() and filecmp.cmp(picture.path, target, shallow=False):
        return
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(picture.path, temporary)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(picture.path, temporary)
    temporary.replace(target)
