"""Marks joins in HEVC, so that decoders do not take them for continuous video."""

import mmap
from pathlib import Path

import numpy as np

from mmvatool.errors import RenderError
from mmvatool.media import ffmpeg, packets

# NAL unit types: a clean random access picture, and a broken link picture without leading pictures.
CRA, BLA = 21, 18


def mark_joins(path: Path, times_s: list[float], target: Path) -> None:
    """Turn random access pictures at joins into broken link access pictures, which the standard provides for splices.

    The picture order count of a CRA picture continues that of the picture before, which after a cut is another one: players may show the
    following pictures in a wrong order or drop them. With BLA as its NAL unit type the count starts anew; nothing else of it changes.

    Args:
        path: an MP4 or Matroska file of HEVC, changed in place.
        times_s: presentation times of such pictures.
        target: the file that an error should name.

    Raises:
        RenderError: they are not video.
    """
    if not times_s:
        return
    video = packets.read(path, ["v:0"])[0]
    indices = [int(np.abs(video.times_s - time_s).argmin()) for time_s in times_s]
    sizes = [int(video.sizes[index]) for index in indices]
    wanted = "+".join(f"eq(pts,{video.pts[index]})" for index in indices)
    node = ffmpeg.source(path, fflags="+genpts")["v:0"].output("pipe:", c="copy", format="data", **{"bsf:v": f"noise=drop='not({wanted})'"})
    data = ffmpeg.run(node, path).stdout
    if len(data) != sum(sizes):
        raise RenderError(target, "the file failed its check (its joins are not found): nothing was kept; leave out --lossless")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        position, start = 0, 0
        for size in sizes:
            picture = data[start : start + size]
            start += size
            position = content.find(picture, position)
            if position < 0:
                position = content.find(picture)
            if position < 0:
                raise RenderError(target, "the file failed its check (its joins are not found): nothing was kept; leave out --lossless")
            for unit in _units(picture, target):
                if picture[unit] >> 1 & 0x3F == CRA:
                    content[position + unit] = picture[unit] & 0x81 | BLA << 1


def _units(picture: bytes, target: Path) -> list[int]:
    """Positions of the NAL units in a packet, each of which has its length in 4 bytes before it."""
    units, position = [], 0
    while position + 4 < len(picture):
        units.append(position + 4)
        position += 4 + int.from_bytes(picture[position : position + 4])
    if position != len(picture):
        raise RenderError(target, "the file failed its check (its HEVC is wrapped in an unusual way): leave out --lossless")
    return units
