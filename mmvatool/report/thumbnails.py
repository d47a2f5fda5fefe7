"""Thumbnails of pictures and frames."""

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
POSTER_PX = 480  # of the picture in the player before the video plays
QUALITY = 60
MOST_THUMBNAILS = 400  # keeps a page under 5 MB


def thumbnail(picture: np.ndarray, most_px: int = WIDTH_PX) -> Thumbnail:
    """A small JPEG of a picture, uint8 (H, W, 3), neither side longer than `most_px`."""
    small = Image.fromarray(picture)
    small.thumbnail((most_px, most_px), reducing_gap=2.0)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data.getvalue(), *small.size)


def thumbnails(info: MediaInfo, times_s: Sequence[float], most_px: int = WIDTH_PX) -> list[Thumbnail]:
    """Small JPEGs of the frames on screen at some times; a damaged frame is replaced by the one before.

    Args:
        info: the video.
        times_s: in any order, in seconds from the start of the container.
        most_px: the longer side at most.

    Raises:
        MediaError: none of them can be decoded.
    """
    frame_indices, positions = np.unique(info.frame_at(np.array(times_s)), return_inverse=True)
    sampler = Sampler(info)
    small = [thumbnail(frame, most_px) for frame in sampler.read(frame_indices)]
    return [small[number] for number in sampler.substitutes(len(frame_indices))[positions]]


def frame_thumbnail(info: MediaInfo, time_s: float, most_px: int = WIDTH_PX) -> Thumbnail | None:
    """A small JPEG of the frame on screen at a time; None if it is damaged, as the video is rendered all the same."""
    with suppress(MediaError):
        return thumbnails(info, [time_s], most_px)[0]
    return None
