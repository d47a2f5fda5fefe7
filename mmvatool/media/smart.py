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
READ_BEYOND_S = 1.0  # read past the end of a stretch; where it really ends, its filters say
# Of all numbers of parameter sets the last: encoders count from 0.
PARAMETER_SETS = 31
PROFILES = {"Constrained Baseline": "baseline", "Baseline": "baseline", "Main": "main", "High": "high"}
PIXEL_FORMATS = ("yuv420p", "yuvj420p")
# Boxes around MP4's avcC, each with the bytes before the boxes inside it.
BOX_PATH = ((b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16), (b"avc1", 86))


@dataclass(frozen=True)
class Recipe:
    """How a part is encoded so that it can stand beside the source's own."""

    profile: str
    pixel_format: str


def recipe(info: MediaInfo) -> tuple[Recipe | None, str]:
    """How parts of a video can be encoded, or None and why they cannot."""
    streams = headers.read(info.path, "a video file").streams
    text = next(stream.description for stream in streams if stream.index == info.video.index).splitlines()[0]
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
class JoinPart:
    """What is shown from `first` to before `stop`, in ticks of the source: copied by bitstream filters, or encoded where there are none."""

    first: int
    stop: int
    filters: str | None


def join(info: MediaInfo, video: Packets, segments: Sequence[JoinPart], recipe_: Recipe, target: Path) -> None:
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
    for number, segment in enumerate(segments):
        part = target.with_name(f"part{number}.mp4")
        if segment.filters is None:
            _encode(info, video, segment, recipe_, ahead, part)
        else:
            source = _source_span(info, video, segment, fflags="+genpts")
            ffmpeg.run(_mp4_output(source, part, video.tick_s, {"c": "copy", "bsf:v": segment.filters}), info.path)
        there = packets.read(part, ["v:0"])[0]
        begins = round(at * video.tick_s / there.tick_s)
        spans.append((begins + int(there.dts[0]), begins + int(there.dts[-1])))
        shown = at + segment.stop - segment.first
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
    ffmpeg.run(
        _mp4_output(joined, target, video.tick_s, {"c": "copy", "bsf:v": f"setts=pts=PTS:dts='{rising_dts('DTS', back)}'"}), info.path
    )
    avccs: dict[bool, bytes] = {}
    for segment, file in zip(segments, files, strict=True):
        avcc = _avcc(file)
        if avccs.setdefault(segment.filters is None, avcc) != avcc:
            raise RenderError(
                info.path, "its H.264 changes its headers on the way (does the picture change its size?): leave out --lossless"
            )
    if len(avccs) == 2:
        _replace_avcc(target, _merge_avcc(avccs[False], avccs[True]))


def _source_span(info: MediaInfo, video: Packets, segment: JoinPart, **options: Any) -> Any:
    """The source's picture from where a stretch can be reached to its end: else every stretch of a long file would cost reading all of it."""
    first_s, stop_s = (float(ticks * video.tick_s) - info.origin_s for ticks in (segment.first, segment.stop))
    from_s = seek_point(info, first_s)
    if from_s > 0:
        options["ss"] = f"{from_s:.6f}"
    return ffmpeg.source(info.path, t=f"{stop_s - from_s + READ_BEYOND_S:.6f}", **options)[str(info.video.index)]


def _encode(info: MediaInfo, video: Packets, segment: JoinPart, recipe_: Recipe, ahead: int, target: Path) -> None:
    source = _source_span(info, video, segment, noautorotate=None)  # as it is stored: the display matrix is copied along
    source = source.filter("trim", start_pts=segment.first, end_pts=segment.stop).filter("setpts", f"PTS-{segment.first}")
    # x264 decodes one frame ahead for B-frames, and two where they refer to each other.
    order = {"bf": 3 if ahead else 0, "b-pyramid": "normal" if ahead > 1 else "none"}
    options = order | {
        "c:v": "libx264", "preset": PRESET, "crf": CRF, "profile:v": recipe_.profile, "pix_fmt": recipe_.pixel_format,
        "x264-params": f"sps-id={PARAMETER_SETS}", "fps_mode": "passthrough", "enc_time_base": "demux",
    }  # fmt: skip
    ffmpeg.run(_mp4_output(source, target, video.tick_s, options), info.path)


def _mp4_output(source: Any, target: Path, tick_s: Fraction, options: dict[str, Any]) -> Any:
    # A clock that holds the source's ticks exactly, and is fine enough for players.
    scale = tick_s.denominator
    while scale < 10_000:
        scale *= 2
    return source.output(ffmpeg.url(target), **options, video_track_timescale=scale)


def _find_box(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the first box of a kind begins and ends among those in data[start:end]."""
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] == kind:
            return start, start + size
        start += max(size, 8)
    raise ValueError(f"no {kind.decode()}")


def _moov(path: Path) -> tuple[int, bytes]:
    """Where the moov of an MP4 begins, its last box, and its bytes."""
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
    raise MediaError(path, "has no moov")


def _box_path(moov: bytes) -> list[tuple[int, int]]:
    """The bounds of the boxes around avcC in the moov, from the outermost to avcC itself."""
    path_ = [(0, len(moov))]
    inside = 8
    for kind, before in (*BOX_PATH, (b"avcC", 8)):
        start, end = path_[-1]
        path_.append(_find_box(moov, kind, start + inside, end))
        inside = before
    return path_


def _avcc(path: Path) -> bytes:
    """The headers of the stream of H.264 in an MP4, as in avcC."""
    moov = _moov(path)[1]
    start, end = _box_path(moov)[-1]
    return moov[start + 8 : end]


def _replace_avcc(path: Path, avcc: bytes) -> None:
    """Put other headers into an MP4 whose moov comes last."""
    at, moov = _moov(path)
    path_ = _box_path(moov)
    start, end = path_[-1]
    changed = bytearray(moov[: start + 8] + avcc + moov[end:])
    for outer, stop in path_:
        changed[outer : outer + 4] = (stop - outer + len(avcc) - (end - start - 8)).to_bytes(4)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(changed)


def _merge_avcc(one: bytes, other: bytes) -> bytes:
    """avcC with the parameter sets of both; all else as in the first, but the level, which is the higher one."""
    (sequences, pictures, rest), (more_sequences, more_pictures, _) = _parse_avcc(one), _parse_avcc(other)
    head = one[:3] + bytes([max(one[3], other[3]), one[4]])
    sequences, pictures = sequences + more_sequences, pictures + more_pictures
    sets = bytes([0xE0 | len(sequences)]) + b"".join(sequences) + bytes([len(pictures)]) + b"".join(pictures)
    return head + sets + rest


def _parse_avcc(avcc: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """Sequence and picture parameter sets of an avcC, each with its length in front, and what follows them."""
    at = 5
    found = []
    for mask in (0x1F, 0xFF):
        count, at, sets = avcc[at] & mask, at + 1, []
        for _ in range(count):
            stop = at + 2 + int.from_bytes(avcc[at : at + 2])
            sets.append(avcc[at:stop])
            at = stop
        found.append(sets)
    return found[0], found[1], avcc[at:]
