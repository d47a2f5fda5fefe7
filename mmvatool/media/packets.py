"""The packets of a media file, read from the output of ffmpeg's framecrc muxer: timestamps, flags, sizes and checksums, without decoding."""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg

KEY_FLAG, DISCARD_FLAG = 0x1, 0x4  # AV_PKT_FLAG_KEY and AV_PKT_FLAG_DISCARD
NO_TIME = -(2**63)  # AV_NOPTS_VALUE


@dataclass(frozen=True)
class Packets:
    """The packets of one stream in the order of the file, which is decoding order.

    `dts`, `pts` and `durations` are int64 (N,), in ticks of `tick_s` seconds on the container's own clock. A packet without a PTS gets its
    DTS. `flags` holds AV_PKT_FLAG_*; `sizes` (bytes) and `checksums` (Adler-32) describe the data; all are int64 (N,). `pixel_aspect`,
    `dimensions` ("1920x1080") and `media_type` are those of the stream.
    """

    tick_s: Fraction
    dts: np.ndarray
    pts: np.ndarray
    durations: np.ndarray
    sizes: np.ndarray
    checksums: np.ndarray
    flags: np.ndarray
    pixel_aspect: Fraction = Fraction(1)
    dimensions: str = ""
    media_type: str = ""

    @property
    def times_s(self) -> np.ndarray:
        """PTS in seconds on the container's own clock, float64 (N,)."""
        return self.pts * float(self.tick_s)

    @property
    def keys(self) -> np.ndarray:
        """Which are keyframes, bool (N,)."""
        return (self.flags & KEY_FLAG) != 0

    @property
    def hidden(self) -> np.ndarray:
        """Which are decoded but not shown (before the start of an edit list), bool (N,)."""
        return (self.flags & DISCARD_FLAG) != 0

    @property
    def contents(self) -> list[tuple[int, int]]:
        """Size and checksum of each."""
        return list(zip(self.sizes.tolist(), self.checksums.tolist(), strict=True))


def demux(path: Path, streams: Sequence[int | str], units: str | None = None, *, generate_pts: bool = True) -> Iterator[bytes]:
    """Run ffmpeg's framecrc muxer over copied packets and give its lines; see `read`."""
    # +genpts: MPEG program streams carry a PTS for some frames only.
    source = ffmpeg.source(path, **({"fflags": "+genpts"} if generate_pts else {}))
    mapped = [*streams, *([streams[0]] if units else [])]
    filters = {f"bsf:{len(streams)}": f"filter_units=pass_types={units}"} if units else {}
    return ffmpeg.lines(ffmpeg.output_to_pipe([source[str(stream)] for stream in mapped], c="copy", format="framecrc", **filters), path)


def parse(lines: Iterable[bytes]) -> dict[int, Packets]:
    """Parse the lines of framecrc; the streams by their numbers in the output, those without packets as well."""
    headers: dict[int, dict[bytes, str]] = {}
    # Six numbers a packet in one array: hours of packets as text or tuples would take many times the memory.
    numbers: dict[int, array[int]] = {}
    for line in lines:
        if line.startswith(b"#"):
            key, _, value = line[1:].partition(b": ")
            name, _, number = key.rpartition(b" ")
            if number.isdigit():
                headers.setdefault(int(number), {})[name] = value.decode()
            continue
        fields = line.split(b",")
        # The flags are printed only where they are not those of a keyframe.
        flags = next((int(field[field.index(b"=") + 1 :], 16) for field in fields[6:] if b"F=" in field), KEY_FLAG)
        numbers.setdefault(int(fields[0]), array("q")).extend((*map(int, fields[1:5]), int(fields[5], 16), flags))
    return {number: _stream(header, numbers.get(number, array("q"))) for number, header in headers.items()}


def _stream(header: dict[bytes, str], numbers: "array[int]") -> Packets:
    dts, pts, durations, sizes, checksums, flags = np.frombuffer(numbers, np.int64).reshape(-1, 6).T
    numerator, denominator = map(int, header.get(b"sar", "1/1").split("/"))
    return Packets(
        tick_s=Fraction(header.get(b"tb", "1")),
        dts=dts,
        pts=np.where(pts == NO_TIME, dts, pts),
        durations=durations,
        sizes=sizes,
        checksums=checksums,
        flags=flags,
        pixel_aspect=Fraction(numerator, denominator) if numerator and denominator else Fraction(1),
        dimensions=header.get(b"dimensions", ""),
        media_type=header.get(b"media_type", ""),
    )


def read(path: Path, streams: Sequence[int | str], units: str | None = None) -> list[Packets]:
    """Read the packets of several streams in one run.

    Args:
        path: the file.
        streams: ffmpeg's stream specifiers: 0, "a:0".
        units: nal_unit_type numbers in the syntax of ffmpeg's filter_units, "19-20". If given, the first of the streams (H.264 or HEVC) is
            appended once more with only those packets that contain such units: there may be none.

    Raises:
        MediaError: the file cannot be read, or one of the streams has no packets.
    """
    parsed = parse(demux(path, streams, units))
    if any(number not in parsed or not len(parsed[number].pts) for number in range(len(streams))):
        raise MediaError(path, "a stream without packets")
    return [parsed[number] for number in sorted(parsed)]


def dts_overlap(parts: Sequence[tuple[int, int]]) -> int:
    """The most ticks by which DTS do not rise from one part to the next, at least 0; `parts` are the (first, last) DTS of each."""
    return max([0, *(last + 1 - first for (_, last), (first, _) in itertools.pairwise(parts))])
