"""Joins in HEVC that decoders take for what they are."""

import mmap
from pathlib import Path

import numpy as np

from mmvatool.errors import RenderError
from mmvatool.media import ffmpeg, packets

# NAL unit types: a clean random access picture, and one behind a splice without leading pictures.
CRA, BLA = 21, 18


def mark_joins(path: Path, times_s: list[float], target: Path) -> None:
    """Say of the random access pictures at some times that what came before them is gone, as the standard has it for splices.

    A CRA picture in the middle of a stream goes on counting from the picture before, which after a cut is another one: players may show the
    following ones in a wrong order or leave them out. Its name is changed to BLA, which begins to count anew; nothing else of it changes.

    Args:
        path: an MP4 or Matroska file of HEVC, changed in place.
        times_s: when such pictures are shown.
        target: the file that an error should name.

    Raises:
        RenderError: they are not found.
    """
    if not times_s:
        return
    found = packets.read(path, ["v:0"])[0]
    shown_s = found.pts * float(found.tick_s)
    indices = [int(np.abs(shown_s - time_s).argmin()) for time_s in times_s]
    sizes = [int(found.sizes[index]) for index in indices]
    wanted = "+".join(f"eq(pts,{found.pts[index]})" for index in indices)
    node = ffmpeg.source(path, fflags="+genpts")["v:0"].output("pipe:", c="copy", format="data", **{"bsf:v": f"noise=drop='not({wanted})'"})
    data = ffmpeg.run(node, path).stdout
    if len(data) != sum(sizes):
        raise RenderError(target, "the file failed its check (its joins are not found): nothing was kept; leave out --lossless")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        at, start = 0, 0
        for size in sizes:
            picture = data[start : start + size]
            start += size
            at = content.find(picture, at)
            if at < 0:
                at = content.find(picture)
            if at < 0:
                raise RenderError(target, "the file failed its check (its joins are not found): nothing was kept; leave out --lossless")
            for unit in _units(picture, target):
                if picture[unit] >> 1 & 0x3F == CRA:
                    content[at + unit] = picture[unit] & 0x81 | BLA << 1


def _units(picture: bytes, target: Path) -> list[int]:
    """Where the NAL units of a packet begin that come with their lengths in 4 bytes."""
    units, at = [], 0
    while at + 4 < len(picture):
        units.append(at + 4)
        at += 4 + int.from_bytes(picture[at : at + 4])
    if at != len(picture):
        raise RenderError(target, "the file failed its check (its HEVC is wrapped in an unusual way): leave out --lossless")
    return units
