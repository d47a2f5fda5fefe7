"""Picture files: recognizing them, reading their pixels, and when they were taken."""

import re
import warnings
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from mmvatool.errors import MediaError
from trainer import DataError, open_picture, read_picture

# EXIF's tags for the second, its fraction and the distance from UTC, in order of preference: taken, digitized, changed.
_EXIF_BLOCK = 0x8769
_TIMES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))


def read(path: Path, least_px: int | None = None) -> np.ndarray:
    """Read a picture upright and in sRGB, transparency over white; of an animation the first frame.

    Args:
        path: the file.
        least_px: a JPEG may be decoded at a fraction of its size as long as both sides have so many pixels, which is quicker.

    Returns:
        uint8 (H, W, 3).

    Raises:
        MediaError: missing, empty, unreadable, not a picture, truncated, or implausibly large.
    """
    _check(path)
    _ignore_warnings()
    try:
        return read_picture(path, least_px)
    except DataError as error:
        raise MediaError(path, str(error).removeprefix(f"{path}: ")) from error
    except MemoryError as error:
        raise MediaError(path, "is too large for this machine's memory: scale it down") from error


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its content. Nothing of it is decoded."""
    _ignore_warnings()
    try:
        with open_picture(path):
            return True
    except Image.DecompressionBombError:  # too large, for which `read` raises
        return True
    except Exception:  # Pillow's plugins raise any exception on other files
        return False


def taken_at(path: Path) -> datetime | None:
    """When a picture was taken, by its EXIF block.

    Returns:
        the camera's wall clock, with its distance from UTC (an aware time) if it is stored: to compare mixed times use the
        wall clocks, `replace(tzinfo=None)`. None without a usable time, or if the file is no picture.
    """
    _ignore_warnings()
    tags: dict[int, object] = {}
    with suppress(Exception), open_picture(path) as opened:  # Pillow's plugins raise any exception on broken blocks
        exif = opened.getexif()
        tags.update(exif)
        tags.update(exif.get_ifd(_EXIF_BLOCK))
    return next((time for time_tags in _TIMES if (time := _time(*(_text(tags.get(tag)) for tag in time_tags)))), None)


def _text(value: object) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")


def _time(second: str, fraction: str, offset: str) -> datetime | None:
    """Read `2021:02:03 04:05:06`, `125` and `+02:00`; None where the first is no time (as `0000:00:00 00:00:00`)."""
    match = re.match(r"\s*(\d{4})\D(\d\d)\D(\d\d)\D+(\d\d)\D(\d\d)\D(\d\d)", second)
    if not match:
        return None
    digits = re.match(r"\d{1,6}", fraction.strip())
    distance = re.match(r"([+-])(\d\d):?(\d\d)", offset.strip())
    year, month, day, hour, minute, second_number = map(int, match.groups())
    try:
        zone = timezone(int(distance[1] + "1") * timedelta(hours=int(distance[2]), minutes=int(distance[3]))) if distance else None
        return datetime(year, month, day, hour, minute, second_number, int(digits[0].ljust(6, "0")) if digits else 0, zone)
    except ValueError:
        return None


def _ignore_warnings() -> None:
    """Silence Pillow's warnings about profiles and EXIF blocks; too large pictures are errors of their own."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _check(path: Path) -> None:
    if not path.is_file():
        raise MediaError(path, "no such file: check the name")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(path, "the file is empty: copy it again")
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror}): check its permissions") from error
