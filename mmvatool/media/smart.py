"""Joins encoded and copied parts of an H.264 video in one stream that every player decodes with one set of headers (avcC).

Encoded parts carry parameter sets with an id of their own, and the avcC of the joined MP4 holds both sets. So they do not change in the
middle of the stream, which hardware decoders do not expect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmvatool.errors import MediaError, RenderError
from mmvatool.media import ffmpeg, packets
from mmvatool.media.expressions import rising_dts
from mmvatool.media.frames import seek_point
from mmvatool.media.packets import Packets
from mmvatool.media.probe import MediaInfo

CRF = 14  # not to be told from the copied parts
PRESET = "veryfast"
READ_BEYOND_S = 1.0  # read beyond the end of a part, which its filters trim exactly
# The highest id of a parameter set: encoders count from 0.
PARAMETER_SETS = 31
PROFILES = {"Constrained Baseline": "baseline", "Baseline": "baseline", "Main": "main", "High": "high"}
PIXEL_FORMATS = ("yuv420p", "yuvj420p")
# Boxes around MP4's avcC, each with the bytes before the boxes inside it.
BOX_PATH = ((b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16), (b"avc1", 86))


@dataclass(frozen=True)
class Recipe:
    """How a part is encoded so that it can be joined with copied parts of the source."""

    profile: str
    pixel_format: str


def find_recipe(info: MediaInfo) -> tuple[Recipe | None, str]:
    """How parts of a video can be encoded, or None and the reason why they cannot."""
    if info.video.codec != "h264":
        return None, f"{info.video.codec} is not encoded in part"
    if info.video.profile not in PROFILES or info.video.pixel_format not in PIXEL_FORMATS:
        kind = f"{info.video.profile or 'unknown'}, {info.video.pixel_format}"
        return None, f"H.264 of this kind ({kind}) is not encoded in part"
    if info.video.interlaced:
        return None, "interlaced H.264 is not encoded in part"
    return Recipe(PROFILES[info.video.profile], info.video.pixel_format), ""


@dataclass(frozen=True)
class JoinPart:
    """Frames [first, stop) in ticks of the source: copied with these bitstream filters, or encoded if `filters` is None."""

    first: int
    stop: int
    filters: str | None


def join(info: MediaInfo, video: Packets, parts: Sequence[JoinPart], recipe: Recipe, target: Path) -> None:
    """Write parts one after the other as an MP4 without audio.

    Args:
        info: the probed source.
        video: its packets.
        parts: in the order of the result.
        recipe: how to encode.
        target: file to write; files of the single parts are left beside it.

    Raises:
        MediaError: the source cannot be read or decoded.
        RenderError: the headers of the parts do not fit together.
    """
    key = int(np.flatnonzero(video.keys)[0])
    # The reordering delay in frames. Encoded parts get the same one: readers of Matroska, which has no DTS, derive it from the first part.
    ahead = round(float((video.pts[key] - video.dts[key]) * video.tick_s * info.rate))
    files = [target.with_name(f"part{number}.mp4") for number in range(len(parts))]
    for part, file in zip(parts, files, strict=True):
        if part.filters is None:
            _encode(info, video, part, recipe, ahead, file)
        else:
            source = _source_span(info, video, part, fflags="+genpts")
            ffmpeg.run(_mp4_output(source, file, video.tick_s, {"c": "copy", "bsf:v": part.filters}), info.path)
    _concatenate(info, video, parts, files, target)
    avccs: dict[bool, bytes] = {}
    for part, file in zip(parts, files, strict=True):
        avcc = _avcc(file)
        if avccs.setdefault(part.filters is None, avcc) != avcc:
            raise RenderError(
                info.path, "its H.264 changes its headers on the way (does the picture change its size?): leave out --lossless"
            )
    if len(avccs) == 2:
        _replace_avcc(target, _merge_avcc(avccs[False], avccs[True]))


def _concatenate(info: MediaInfo, video: Packets, parts: Sequence[JoinPart], files: Sequence[Path], target: Path) -> None:
    """Copy the files of the parts one after the other into an MP4, by ffmpeg's concat demuxer."""
    lines, start, dts_spans = ["ffconcat version 1.0"], 0, []
    for part, file in zip(parts, files, strict=True):
        written = packets.read(file, ["v:0"])[0]
        offset = round(start * video.tick_s / written.tick_s)
        dts_spans.append((offset + int(written.dts[0]), offset + int(written.dts[-1])))
        stop = start + part.stop - part.first
        # The rounded bounds are subtracted, so that errors do not accumulate: ffmpeg counts the lengths of parts in microseconds.
        length_us = round(stop * video.tick_s * 1_000_000) - round(start * video.tick_s * 1_000_000)
        lines += [f"file {file.name}", f"duration {length_us / 1e6:.6f}"]
        start = stop
    script = target.with_suffix(".txt")
    script.write_text("\n".join(lines) + "\n")
    # auto_convert would insert the parameter sets between the pictures.
    joined = ffmpeg.source(script, format="concat", format_whitelist="concat,mov", safe=0, auto_convert=0)["v:0"]
    dts = rising_dts("DTS", packets.dts_overlap(dts_spans))
    ffmpeg.run(_mp4_output(joined, target, video.tick_s, {"c": "copy", "bsf:v": f"setts=pts=PTS:dts='{dts}'"}), info.path)


def _source_span(info: MediaInfo, video: Packets, part: JoinPart, **options: Any) -> Any:
    """The video stream of the source from a seek point before a part to its end, so that a part of a long file does not cost reading all of it."""
    first_s, stop_s = (float(ticks * video.tick_s) - info.origin_s for ticks in (video.on_screen(part.first), part.stop))
    from_s = seek_point(info, first_s)
    if from_s > 0:
        options["ss"] = f"{from_s:.6f}"
    return ffmpeg.source(info.path, t=f"{stop_s - from_s + READ_BEYOND_S:.6f}", **options)[str(info.video.index)]


def _encode(info: MediaInfo, video: Packets, part: JoinPart, recipe: Recipe, ahead: int, target: Path) -> None:
    source = _source_span(info, video, part, noautorotate=None)  # as it is stored: the display matrix is copied as well
    # A part may begin inside of a long frame.
    source = source.filter("trim", start_pts=video.on_screen(part.first), end_pts=part.stop)
    source = source.filter("setpts", f"max(PTS,{part.first})-{part.first}")
    # x264 has a reordering delay of one frame with B-frames, and of two where they refer to each other.
    order = {"bf": 3 if ahead else 0, "b-pyramid": "normal" if ahead > 1 else "none"}
    options = order | {
        "c:v": "libx264", "preset": PRESET, "crf": CRF, "profile:v": recipe.profile, "pix_fmt": recipe.pixel_format,
        "x264-params": f"sps-id={PARAMETER_SETS}", "fps_mode": "passthrough", "enc_time_base": "demux",
    }  # fmt: skip
    ffmpeg.run(_mp4_output(source, target, video.tick_s, options), info.path)


def _mp4_output(source: Any, target: Path, tick_s: Fraction, options: dict[str, Any]) -> Any:
    # A timescale that represents the source's ticks exactly, and is fine enough for players.
    scale = tick_s.denominator
    while scale < 10_000:
        scale *= 2
    return source.output(ffmpeg.url(target), **options, video_track_timescale=scale)


def _find_box(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Start and end of the first box of a kind among those in data[start:end]."""
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] == kind:
            return start, start + size
        start += max(size, 8)
    raise ValueError(f"no {kind.decode()}")


def _moov(path: Path) -> tuple[int, bytes]:
    """Position and bytes of the moov box of an MP4, headers included."""
    with path.open("rb") as file:
        position = 0
        while head := file.read(8):
            size = int.from_bytes(head[:4])
            if size == 1:
                size = int.from_bytes(file.read(8))
            if head[4:] == b"moov":
                file.seek(position)
                return position, file.read(size)
            position += size
            file.seek(position)
    raise MediaError(path, "has no index")


def _box_path(moov: bytes) -> list[tuple[int, int]]:
    """The bounds of the boxes around avcC in the moov box, from the outermost to avcC itself."""
    boxes = [(0, len(moov))]
    inside = 8
    for kind, before in (*BOX_PATH, (b"avcC", 8)):
        start, end = boxes[-1]
        boxes.append(_find_box(moov, kind, start + inside, end))
        inside = before
    return boxes


def _avcc(path: Path) -> bytes:
    """The payload of avcC, the headers of the H.264 stream in an MP4."""
    moov = _moov(path)[1]
    start, end = _box_path(moov)[-1]
    return moov[start + 8 : end]


def _replace_avcc(path: Path, avcc: bytes) -> None:
    """Replace avcC in an MP4 whose moov box comes last."""
    position, moov = _moov(path)
    boxes = _box_path(moov)
    start, end = boxes[-1]
    changed = bytearray(moov[: start + 8] + avcc + moov[end:])
    for outer, stop in boxes:
        changed[outer : outer + 4] = (stop - outer + len(avcc) - (end - start - 8)).to_bytes(4)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(changed)


def _merge_avcc(one: bytes, other: bytes) -> bytes:
    """An avcC with the parameter sets of both and the higher level; all else as in the first."""
    (sequences, pictures, rest), (more_sequences, more_pictures, _) = _parse_avcc(one), _parse_avcc(other)
    head = one[:3] + bytes([max(one[3], other[3]), one[4]])
    sequences, pictures = sequences + more_sequences, pictures + more_pictures
    sets = bytes([0xE0 | len(sequences)]) + b"".join(sequences) + bytes([len(pictures)]) + b"".join(pictures)
    return head + sets + rest


def _parse_avcc(avcc: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """Sequence and picture parameter sets of an avcC, each prefixed with its length, and the bytes after them."""
    position = 5
    kinds = []
    for mask in (0x1F, 0xFF):
        count, position, sets = avcc[position] & mask, position + 1, []
        for _ in range(count):
            stop = position + 2 + int.from_bytes(avcc[position : position + 2])
            sets.append(avcc[position:stop])
            position = stop
        kinds.append(sets)
    return kinds[0], kinds[1], avcc[position:]
