"""Pictures from files: what is one, and its pixels."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from mmvatool.errors import MediaError
from trainer.data.files import read_picture
from trainer.errors import DataError


def read(path: Path) -> np.ndarray:
    """Read a picture upright and in RGB, transparency over white; of an animation the first frame.

    Returns:
        uint8 (H, W, 3).

    Raises:
        MediaError: not there, empty, unreadable, not a picture, truncated, or too large to be meant.
    """
    _check(path)
    # What Pillow thinks of a profile or an EXIF block is nobody's concern; pictures too large are refused by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        return read_picture(path)
    except DataError as error:
        raise MediaError(path, str(error).removeprefix(f"{path}: ")) from error
    except MemoryError as error:
        raise MediaError(path, "is too large for this machine's memory: scale it down") from error


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its content. Nothing of it is decoded."""
    try:
        with Image.open(path):
            return True
    except Exception:  # Pillow's plugins raise all sorts on what is none
        return False


def _check(path: Path) -> None:
    if not path.is_file():
        raise MediaError(path, "no such file: check the name")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(path, "the file is empty: copy it again")
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror}): check its permissions") from error
