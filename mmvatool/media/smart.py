"""Parts of an H.264 video that are encoded beside parts that are copied, in one stream that every player decodes with one set of headers.

What is encoded carries parameter sets of a number of its own, and the headers of the joined stream (MP4's avcC) hold both sets: so none of
them changes in the middle, which hardware decoders do not expect.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmvatool.errors import MediaError, RenderError
from mmvatool.media import ffmpeg, headers, packets
from mmvatool.media.expressions import rising_dts
from mmvatool.media.frames import seek_point
from mmvatool.media.packets import Packets
from mmvatool.media.probe import MediaInfo

CRF = 14  # beside what is copied nobody should see it
PRESET = "veryfast"
BEHIND_S = 1.0  # read past the end of a stretch; where it really ends, its filters say
# Of all numbers of parameter sets the last: encoders count from 0.
PARAMETER_SETS = 31
PROFILES = {"Constrained Baseline": "baseline", "Baseline": "baseline", "Main": "main", "High": "high"}
PIXEL_FORMATS = ("yuv420p", "yuvj420p")
# Boxes around MP4's avcC, each with the bytes before the boxes inside it.
AROUND = ((b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16), (b"avc1", 86))


@dataclass(frozen=True)
class Recipe:
    """How a part is encoded so that it can stand beside the source's own."""

    profile: str
    pixel_format: str


def recipe(info: MediaInfo) -> tuple[Recipe | None, str]:
    """How parts of a video can be encoded, or None and why they cannot."""
    text = next(entry[3] for entry in headers.read(info.path, "a video file").entries if entry[0] == info.video.index).splitlines()[0]
    if info.video.codec != "h264":
        return None, f"{info.video.codec} is not encoded in part"
    profile = re.match(r"h264 \(([^)]+)\)", text)
    if profile is None or profile[1] not in PROFILES or info.video.pixel_format not in PIXEL_FORMATS:
        said = f"{profile[1] if profile else 'unknown'}, {info.video.pixel_format}"
        return None, f"H.264 of this kind ({said}) is not encoded in part"
    if re.search(r"\b(top|bottom)\b", text):
        return None, "interlaced H.264 is not encoded in part"
    return Recipe(PROFILES[profile[1]], info.video.pixel_format), ""


@dataclass(frozen=True)
class TrackMatch:
    """What is shown from `first` to before `past`, in ticks of the source: copied by bitstream filters, or encoded where there are none."""

    first: int
    past: int
    filters: str | None


def join(info: MediaInfo, video: Packets, stretches: Sequence[TrackMatch], how: Recipe, target: Path) -> None:
    """Write stretches one after the other as a silent MP4.

    Args:
        info: the probed source.
        video: its packets.
        stretches: in the order of the result.
        how: to encode.
        target: where to; files of the same name with a number are left beside it.

    Raises:
        MediaError: the source cannot be read or decoded.
        RenderError: the parts do not go together.
    """
    key = int(np.flatnonzero(video.keys)[0])
    # How many frames are decoded ahead. What is encoded does likewise: who reads Matroska, which has no times of decoding, goes by the first part.
    ahead = round(float((video.pts[key] - video.dts[key]) * video.tick_s * info.rate))
    lines, files, at, spans = ["ffconcat version 1.0"], [], 0, []
    for number, stretch in enumerate(stretches):
        part = target.with_name(f"part{number}.mp4")
        if stretch.filters is None:
            _encode(info, video, stretch, how, ahead, part)
        else:
            source = _around(info, video, stretch, fflags="+genpts")
            ffmpeg.run(_written(source, part, video.tick_s, {"c": "copy", "bsf:v": stretch.filters}), info.path)
        there = packets.read(part, ["v:0"])[0]
        begins = round(at * video.tick_s / there.tick_s)
        spans.append((begins + int(there.dts[0]), begins + int(there.dts[-1])))
        shown = at + stretch.past - stretch.first
        # Rounded so that nothing adds up: ffmpeg counts the parts' lengths in microseconds.
        length_us = round(shown * video.tick_s * 1_000_000) - round(at * video.tick_s * 1_000_000)
        lines += [f"file {part.name}", f"duration {length_us / 1e6:.6f}"]
        files.append(part)
        at = shown
    script = target.with_suffix(".txt")
    script.write_text("\n".join(lines) + "\n")
    # auto_convert would put the parameter sets between the pictures.
    joined = ffmpeg.source(script, format="concat", safe=0, auto_convert=0)["v:0"]
    back = packets.dts_overlap(spans)
    ffmpeg.run(_written(joined, target, video.tick_s, {"c": "copy", "bsf:v": f"setts=pts=PTS:dts='{rising_dts('DTS', back)}'"}), info.path)
    records: dict[bool, bytes] = {}
    for stretch, file in zip(stretches, files, strict=True):
        record = _record(file)
        if records.setdefault(stretch.filters is None, record) != record:
            raise RenderError(
                info.path, "its H.264 changes its headers on the way (does the picture change its size?): leave out --lossless"
            )
    if len(records) == 2:
        _replace_record(target, _merged(records[False], records[True]))


def _around(info: MediaInfo, video: Packets, stretch: TrackMatch, **options: Any) -> Any:
    """The source's picture from where a stretch can be reached to its end: else every stretch of a long file would cost reading all of it."""
    first_s, past_s = (float(ticks * video.tick_s) - info.origin_s for ticks in (stretch.first, stretch.past))
    from_s = seek_point(info, first_s)
    if from_s > 0:
        options["ss"] = f"{from_s:.6f}"
    return ffmpeg.source(info.path, t=f"{past_s - from_s + BEHIND_S:.6f}", **options)[str(info.video.index)]


def _encode(info: MediaInfo, video: Packets, stretch: TrackMatch, how: Recipe, ahead: int, target: Path) -> None:
    source = _around(info, video, stretch, noautorotate=None)  # as it is stored: the display matrix is copied along
    source = source.filter("trim", start_pts=stretch.first, end_pts=stretch.past).filter("setpts", f"PTS-{stretch.first}")
    # x264 decodes one frame ahead for B-frames, and two where they refer to each other.
    order = {"bf": 3 if ahead else 0, "b-pyramid": "normal" if ahead > 1 else "none"}
    options = order | {
        "c:v": "libx264", "preset": PRESET, "crf": CRF, "profile:v": how.profile, "pix_fmt": how.pixel_format,
        "x264-params": f"sps-id={PARAMETER_SETS}", "fps_mode": "passthrough", "enc_time_base": "demux",
    }  # fmt: skip
    ffmpeg.run(_written(source, target, video.tick_s, options), info.path)


def _written(source: Any, target: Path, tick_s: Fraction, options: dict[str, Any]) -> Any:
    # A clock that holds the source's ticks exactly, and is fine enough for players.
    scale = tick_s.denominator
    while scale < 10_000:
        scale *= 2
    return source.output(ffmpeg.name(target), **options, video_track_timescale=scale)


def _box(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the first box of a kind begins and ends among those in data[start:end]."""
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] == kind:
            return start, start + size
        start += max(size, 8)
    raise ValueError(f"no {kind.decode()}")


def _index(path: Path) -> tuple[int, bytes]:
    """Where the index of an MP4 begins, its last box, and its bytes."""
    with path.open("rb") as file:
        at = 0
        while head := file.read(8):
            size = int.from_bytes(head[:4])
            if size == 1:
                size = int.from_bytes(file.read(8))
            if head[4:] == b"moov":
                file.seek(at)
                return at, file.read(size)
            at += size
            file.seek(at)
    raise MediaError(path, "has no index")


def _way(index: bytes) -> list[tuple[int, int]]:
    """The bounds of the boxes around avcC in the index, from the outermost to avcC itself."""
    way = [(0, len(index))]
    inside = 8
    for kind, before in (*AROUND, (b"avcC", 8)):
        start, end = way[-1]
        way.append(_box(index, kind, start + inside, end))
        inside = before
    return way


def _record(path: Path) -> bytes:
    """The headers of the stream of H.264 in an MP4, as in avcC."""
    index = _index(path)[1]
    start, end = _way(index)[-1]
    return index[start + 8 : end]


def _replace_record(path: Path, record: bytes) -> None:
    """Put other headers into an MP4 whose index comes last."""
    at, index = _index(path)
    way = _way(index)
    start, end = way[-1]
    changed = bytearray(index[: start + 8] + record + index[end:])
    for outer, past in way:
        changed[outer : outer + 4] = (past - outer + len(record) - (end - start - 8)).to_bytes(4)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(changed)


def _merged(one: bytes, other: bytes) -> bytes:
    """avcC with the parameter sets of both; all else as in the first, but the level, which is the higher one."""
    (sequences, pictures, rest), (more_sequences, more_pictures, _) = _parsed(one), _parsed(other)
    head = one[:3] + bytes([max(one[3], other[3]), one[4]])
    sequences, pictures = sequences + more_sequences, pictures + more_pictures
    sets = bytes([0xE0 | len(sequences)]) + b"".join(sequences) + bytes([len(pictures)]) + b"".join(pictures)
    return head + sets + rest


def _parsed(record: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """Sequence and picture parameter sets of an avcC, each with its length in front, and what follows them."""
    at = 5
    found = []
    for mask in (0x1F, 0xFF):
        count, at, sets = record[at] & mask, at + 1, []
        for _ in range(count):
            past = at + 2 + int.from_bytes(record[at : at + 2])
            sets.append(record[at:past])
            at = past
        found.append(sets)
    return found[0], found[1], record[at:]
