"""Small pictures for a page, and how numbers are told on it."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo
from mmvatool.page import Thumbnail

WIDTH_PX = 160  # of a thumbnail, and at most its height: 3 to 8 kB each
POSTER_PX = 480  # of what is seen of a video before it plays
QUALITY = 60
MOST_THUMBNAILS = 400  # a page stays under 5 MB
AXES = "From 0, calm or unpleasant, to 1, excited or pleasant."
_BATCH = 32  # frames held at a time


def thumbnail(picture: np.ndarray, most_px: int = WIDTH_PX) -> Thumbnail:
    """A small JPEG of a picture, uint8 (H, W, 3), neither side longer than `most_px`."""
    small = Image.fromarray(picture)
    small.thumbnail((most_px, most_px), reducing_gap=2.0)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data.getvalue(), *small.size)


def thumbnails(info: MediaInfo, frames: Frames, times_s: Sequence[float], most_px: int = WIDTH_PX) -> list[Thumbnail]:
    """Small JPEGs of the frames on screen at these times, which may come in any order."""
    wanted, place = np.unique(info.frame_at(np.array(times_s)), return_inverse=True)
    small: list[Thumbnail] = []
    for start in range(0, len(wanted), _BATCH):
        small += [thumbnail(frame, most_px) for frame in frames.read(wanted[start : start + _BATCH])]
    return [small[number] for number in place]


def plain(value: float) -> str:
    """.402, as in statistics: what lies in [0, 1]."""
    return f"{value:.3f}".removeprefix("0")


def count(number: int, what: str) -> str:
    """1 shot, 1,234 shots."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"
