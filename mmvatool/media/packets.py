"""The packets of a media file, as ffmpeg's framecrc muxer tells of them: times, flags, sizes and checksums; nothing is decoded."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from mmvatool.media.probe import DISCARD_FLAG, KEY_FLAG, NO_TIME


@dataclass(frozen=True)
class Packets:
    """The packets of one stream in the order of the file, which is that of decoding.

    `decoded`, `shown` and `lengths` are int64 (N,), in ticks of `tick_s` seconds on the container's own clock; `keys` and `hidden` (by an
    edit list) bool (N,); `sums` holds size and checksum of each.
    """

    tick_s: Fraction
    decoded: np.ndarray
    shown: np.ndarray
    lengths: np.ndarray
    keys: np.ndarray
    hidden: np.ndarray
    sums: list[str]


def read(path: Path, streams: Sequence[int | str], units: str | None = None) -> list[Packets]:
    """Read the packets of several streams in one run.

    Args:
        path: the file.
        streams: which, as ffmpeg names them: 0, "a:0".
        units: nal_unit_type numbers as ffmpeg's filter_units takes them, "19-20". If given, the first of the streams, of H.264 or HEVC, comes
            once more at the end, with those packets that hold such units: there may be none.

    Raises:
        MediaError: it cannot be read, or one of the streams holds no packet.
    """
    # +genpts: MPEG program streams give times to some frames only.
    source = ffmpeg.source(path, fflags="+genpts")
    wanted = [*streams, *([streams[0]] if units else [])]
    filters = {f"bsf:{len(streams)}": f"filter_units=pass_types={units}"} if units else {}
    node = ffmpeg.pipe([source[str(stream)] for stream in wanted], c="copy", format="framecrc", **filters)
    lines = ffmpeg.run(node, path).stdout.decode().splitlines()
    ticks = {int(line[4:].split(":")[0]): Fraction(line.split(": ")[1]) for line in lines if line.startswith("#tb ")}
    rows: list[list[tuple[int, int, int, int, str]]] = [[] for _ in wanted]
    for line in lines:
        if line.startswith("#"):
            continue
        fields = line.split(",")
        flags = next((int(field.split("=")[1], 16) for field in fields[6:] if "F=" in field), KEY_FLAG)
        decoded, shown = int(fields[1]), int(fields[2])
        rows[int(fields[0])].append((decoded, decoded if shown == NO_TIME else shown, int(fields[3]), flags, f"{fields[4]},{fields[5]}"))
    if not all(rows[: len(streams)]):
        raise MediaError(path, "a stream without packets")
    return [_packets(found, ticks[number]) for number, found in enumerate(rows)]


def _packets(rows: list[tuple[int, int, int, int, str]], tick_s: Fraction) -> Packets:
    table = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
    keys, hidden = (table[:, 3] & KEY_FLAG) != 0, (table[:, 3] & DISCARD_FLAG) != 0
    return Packets(tick_s, table[:, 0], table[:, 1], table[:, 2], keys, hidden, [row[4] for row in rows])


def step_back(parts: Sequence[tuple[int, int]]) -> int:
    """By how much times of decoding do not rise from the last of one part to the first of the next: (first, last) of each, at least 0."""
    return max((last + 1 - first for (_, last), (first, _) in itertools.pairwise(parts)), default=0) if len(parts) > 1 else 0


def rising(times: str, back: int) -> str:
    """An expression for ffmpeg's setts of times of decoding that rise, from one of such that step back by up to `back` ticks at joins.

    All are moved by as much, so that none that is held up comes after its frame is shown.
    """
    return f"max({times}-{back},PREV_OUTDTS+1)" if back > 0 else times
