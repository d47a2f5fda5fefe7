"""Small pictures for a page, and how numbers are told on it."""

import io
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from PIL import Image

from mmvatool.errors import MediaError
from mmvatool.media.probe import MediaInfo
from mmvatool.media.sampling import Sampler
from mmvatool.report.page import Thumbnail

WIDTH_PX = 160  # of a thumbnail, and at most its height: 3 to 8 kB each
POSTER_PX = 480  # of what is seen of a video before it plays
QUALITY = 60
MOST_THUMBNAILS = 400  # a page stays under 5 MB
AXES = "From 0, calm or unpleasant, to 1, excited or pleasant."


def thumbnail(picture: np.ndarray, most_px: int = WIDTH_PX) -> Thumbnail:
    """A small JPEG of a picture, uint8 (H, W, 3), neither side longer than `most_px`."""
    small = Image.fromarray(picture)
    small.thumbnail((most_px, most_px), reducing_gap=2.0)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data.getvalue(), *small.size)


def thumbnails(info: MediaInfo, times_s: Sequence[float], most_px: int = WIDTH_PX) -> list[Thumbnail]:
    """Small JPEGs of the frames on screen at these times, which may come in any order; for a damaged frame stands the one before.

    Raises:
        MediaError: none of them can be decoded.
    """
    wanted, place = np.unique(info.frame_at(np.array(times_s)), return_inverse=True)
    sampler = Sampler(info)
    small = [thumbnail(frame, most_px) for frame in sampler.read(wanted)]
    return [small[number] for number in sampler.substitutes(len(wanted))[place]]


def moment(info: MediaInfo, time_s: float, most_px: int = WIDTH_PX) -> Thumbnail | None:
    """A small JPEG of the frame on screen at a time; none where that is damaged: what is rendered already is not lost for it."""
    with suppress(MediaError):
        return thumbnails(info, [time_s], most_px)[0]
    return None


def plain(value: float) -> str:
    """.402, as in statistics: what lies in [0, 1]."""
    return f"{value:.3f}".removeprefix("0")


def count(number: int, what: str) -> str:
    """1 shot, 1,234 shots."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"
