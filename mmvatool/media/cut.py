"""Cut parts out of a video without encoding it: packets are copied from keyframe to keyframe, the result is checked packet by packet.

A copy may begin at a keyframe at which decoding can begin: an IDR picture of H.264, any random access point of HEVC, any keyframe of the
other codecs. Its leading pictures (later in decoding order, earlier in presentation order) are dropped, as they may refer to pictures that
were cut away; so a copy that stops before such a keyframe ends at the first of its leading pictures.

ffmpeg drops packets and changes their timestamps with the bitstream filters noise and setts, in one pass over the source.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmvatool.errors import MediaError, RenderError
from mmvatool.files import workspace
from mmvatool.media import ffmpeg, hevc, packets, smart, tags
from mmvatool.media.audio import notes
from mmvatool.media.encode import copy_options, move_into_place
from mmvatool.media.moves import Move, move_filters, moves_in_a_row, moves_of_audio, moves_overlap, subtitle_filters, until
from mmvatool.media.packets import Packets
from mmvatool.media.probe import MediaInfo
from mmvatool.media.splice import SAME_PACKETS, TIME_TOLERANCE_S, fitting_subtitles
from mmvatool.media.timecode import drops, timecode_frames, timecode_text
from mmvatool.timeline import Segment, Timeline

# In these decoding can begin at every keyframe, once its leading pictures are dropped.
KEYED_CODECS = ("mpeg4", "mpeg2video", "mpeg1video", "h263", "msmpeg4v3", "vp8", "vp9", "av1", "theora", "wmv2", "wmv3", "vc1")
INTRA_CODECS = (
    *("mjpeg", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "dvvideo", "cfhd", "jpeg2000", "png", "qtrle"),
)
IDR_UNITS = {"h264": "5", "hevc": "16-21"}
MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True)
class CutPoints:
    """Where a video can be cut without encoding it.

    `starts` are ticks of `video.tick_s` at which a copy may begin, rising, the first one included; `ends[k]` is the end of a copy that stops
    before starts[k]. Between them frames are encoded by `recipe`; it is None where that is not possible, for the `reason`.
    """

    info: MediaInfo
    video: Packets
    audio: Packets | None
    starts: np.ndarray
    ends: np.ndarray
    recipe: smart.Recipe | None
    reason: str

    @property
    def times_s(self) -> np.ndarray:
        """Where a copy may begin, in seconds from the start of the container, float64 (N,)."""
        return self._seconds(self.starts)

    def close(self, within_s: float) -> set[float]:
        """The times, in seconds, where a copy may begin or end with another such place within so many seconds on either side."""
        gaps_s = np.diff(self.times_s, prepend=self.times_s[0], append=self.times_s[-1])
        here = (gaps_s[:-1] <= within_s) & (gaps_s[1:] <= within_s)
        return {*self.times_s[here].tolist(), *self._seconds(self.ends)[here].tolist()}

    def _seconds(self, ticks: np.ndarray) -> np.ndarray:
        return ticks * float(self.video.tick_s) - self.info.origin_s

    def end_of(self, time_s: float) -> float:
        """The actual end of a copy that stops before the keyframe at `time_s`; that time itself where there is no keyframe."""
        index = int(np.argmin(np.abs(self.times_s - time_s)))
        half_s = float(self.video.tick_s) / 2
        return float(self._seconds(self.ends[index : index + 1])[0]) if abs(self.times_s[index] - time_s) < half_s else time_s


@dataclass(frozen=True)
class Part:
    """A part [first, stop) of a segment in ticks, and whether it is copied (else it is encoded)."""

    first: int
    stop: int
    copied: bool


def cut_points(info: MediaInfo, target: Path) -> CutPoints:
    """Find where a video can be cut without encoding it.

    Args:
        info: the probed source.
        target: the file to be written; only its suffix counts.

    Raises:
        MediaError: its packets cannot be read, cannot be cut, or do not fit the container of the target.
    """
    if info.restarts or not len(info.keys_s):
        raise MediaError(info.path, "its clock jumps (joined recordings?), so that its packets cannot be cut by it: leave out --lossless")
    codec = info.video.codec
    if codec not in (*IDR_UNITS, *KEYED_CODECS, *INTRA_CODECS):
        raise MediaError(info.path, f"{codec} video cannot be cut without encoding it: leave out --lossless")
    _check_container(info, target)
    streams = [info.video.index, *([info.audio.index] if info.audio else [])]
    read = packets.read(info.path, streams, IDR_UNITS.get(codec), _probing(info))
    video, audio = read[0], read[1] if info.audio else None
    keys = _clean_keyframes(info, video, read[-1].pts) if codec in IDR_UNITS else np.flatnonzero(video.keys)
    starts, ends = _copy_bounds(info, video, keys)
    recipe, reason = smart.find_recipe(info)
    return CutPoints(info, video, audio, starts, ends, recipe, reason)


def _probing(info: MediaInfo) -> dict[str, int]:
    return info.audio.probing if info.audio else {}


def _clean_keyframes(info: MediaInfo, video: Packets, idr_pts: np.ndarray) -> np.ndarray:
    """Indices of the keyframes at which decoding can begin; the first one in any case, since every player begins there."""
    keys = np.flatnonzero(video.keys)
    clean = keys[np.isin(video.pts[keys], idr_pts) | (keys == 0)]
    if len(clean) < 2 <= len(keys):
        raise MediaError(
            info.path, f"its {info.video.codec} has open groups of pictures only, which cannot be cut apart: leave out --lossless"
        )
    return clean


def _copy_bounds(info: MediaInfo, video: Packets, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The PTS at which a copy may begin, and those at which a copy ends that stops before each, int64 (N,)."""
    latest_before = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(video.pts)[:-1]])
    earliest_from = np.minimum.accumulate(video.pts[::-1])[::-1]
    first_shown = video.pts[~video.hidden].min()
    keys = keys[(latest_before[keys] < earliest_from[keys]) & ~video.hidden[keys] & (video.pts[keys] >= first_shown)]
    if not len(keys):
        raise MediaError(info.path, "has no keyframe at which it can be cut: leave out --lossless")
    return video.pts[keys], earliest_from[keys]


def _check_container(info: MediaInfo, target: Path) -> None:
    """Reject streams that the target's container cannot hold, before any work is done."""
    suffix = target.suffix.lower()
    node = ffmpeg.source(info.path, **_probing(info))
    streams = [node[str(info.video.index)], *([node[str(info.audio.index)]] if info.audio else [])]
    # The real thing, of one packet each: what a header says of a stream may have to come from its packets (ADTS, AC-3).
    options = (
        {"c": "copy", "strict": "experimental", "frames:v": 1, "frames:a": 1}
        | copy_options(suffix, info.video.codec)
        | {"format": MUXERS[suffix]}
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder) / f"trial{suffix}"
            ffmpeg.run(ffmpeg.output(streams, trial, **options), info.path)
    except ffmpeg.FFmpegError as error:
        inside = " and ".join([info.video.codec, *([info.audio.codec] if info.audio else [])])
        cure = "leave out --lossless" if suffix == ".mkv" else f"give -o {target.with_suffix('.mkv').name}, or leave out --lossless"
        raise MediaError(info.path, f"its {inside} cannot be copied into {suffix} ({ffmpeg.last_error(error.stderr)}): {cure}") from error


def cut(timeline: Timeline, points: CutPoints, target: Path) -> list[str]:
    """Write the segments of a timeline as a video without encoding them (again).

    Args:
        timeline: segments of the video, their bounds on cut points or, where there is a recipe, on any frames.
        points: of the source.
        target: file to write; its suffix (a key of encode.CONTAINERS) chooses the container. An existing file is replaced.

    Returns:
        Warnings on what differs from the source, a sentence each.

    Raises:
        OutputError: the target cannot be written.
        MediaError: the source cannot be read.
        RenderError: what was written is not what was planned.
    """
    info, suffix = points.info, target.suffix.lower()
    kept = [_to_ticks(segment, points) for segment in timeline.segments]
    parts = [part for first, stop in kept for part in _parts(first, stop, points)]
    warnings = notes(info)
    subtitles = fitting_subtitles(info, suffix, warnings)
    with workspace(target) as folder:
        result = folder / f"cut{suffix}"
        picture = None
        if not all(part.copied for part in parts):
            picture = _join(points, parts, folder / "joined.mp4")
            warnings.append(_encoding_warning(points.video, parts))
        moves = moves_in_a_row(kept)
        audio_moves = moves_of_audio(kept, points.video, points.audio)
        try:
            _mux(points, result, picture, moves, audio_moves, subtitles)
        except MediaError as error:
            raise RenderError(target, f"cannot be written ({error.problem}): is the disk full?") from error
        _check(points, parts, moves, audio_moves, result, target)
        if info.video.codec == "hevc":
            hevc.mark_joins(result, [float((move.first - move.shift) * points.video.tick_s) for move in moves[1:]], target)
        move_into_place(result, target)
    return warnings


def _join(points: CutPoints, parts: Sequence[Part], target: Path) -> Path:
    """Write the video stream with encoded parts to a file."""
    assert points.recipe is not None
    joined = [smart.JoinPart(part.first, part.stop, _copy_filters(part) if part.copied else None) for part in parts]
    smart.join(points.info, points.video, joined, points.recipe, target)
    return target


def _encoding_warning(video: Packets, parts: Sequence[Part]) -> str:
    encoded = sum(_count_frames(video, part) for part in parts if not part.copied)
    total = sum(_count_frames(video, part) for part in parts)
    if encoded < total:
        return f"{encoded} of {total} frames, at cuts far from a keyframe, were encoded anew (H.264)"
    return f"all {total} frames, which hold no cut at a keyframe, were encoded anew (H.264)"


def _to_ticks(segment: Segment, points: CutPoints) -> tuple[int, int]:
    """The bounds of a segment in ticks of the video stream."""
    tick_s, origin_s = float(points.video.tick_s), points.info.origin_s
    return round((segment.start_s + origin_s) / tick_s), round((segment.end_s + origin_s) / tick_s)


def _parts(first: int, stop: int, points: CutPoints) -> list[Part]:
    """Divide a segment into a copied part and encoded ones at its ends, where those are no keyframes."""
    starts = points.starts[(points.starts >= first) & (points.starts < stop)]
    ends = points.ends[(points.ends > first) & (points.ends <= stop)]
    if _ends_cleanly(points.video, stop):
        ends = np.append(ends, stop)
    if not len(starts) or not len(ends) or ends[-1] <= starts[0]:
        return [Part(first, stop, copied=False)]
    edges = [(first, int(starts[0]), False), (int(starts[0]), int(ends[-1]), True), (int(ends[-1]), stop, False)]
    return [Part(*edge) for edge in edges if edge[0] < edge[1]]


def _ends_cleanly(video: Packets, stop: int) -> bool:
    """Whether a copy can stop at a tick inside of a long frame, or at the end: no picture before it may refer to one after it."""
    after = np.flatnonzero((video.pts >= stop) & ~video.hidden)
    return not len(after) or bool(stop not in video.pts and (video.pts[after[0] :] >= stop).all())


def _copy_filters(part: Part) -> str:
    """The bitstream filters that trim to one part, moved to 0."""
    return move_filters([Move(part.first, part.stop, part.first)])


def _mux(
    points: CutPoints, result: Path, picture: Path | None, moves: Sequence[Move], audio_moves: Sequence[Move], subtitles: Sequence[str]
) -> None:
    info, suffix = points.info, result.suffix.lower()
    source = ffmpeg.source(info.path, fflags="+genpts", **_probing(info))
    streams = [ffmpeg.source(picture)["v:0"] if picture else source[str(info.video.index)]]
    options: dict[str, Any] = {"c": "copy", "map_chapters": -1, "max_interleave_delta": 0, "strict": "experimental"}
    if picture:
        joined = packets.read(picture, ["v:0"])[0]
        end = round((moves[-1].stop - moves[-1].shift) * points.video.tick_s / joined.tick_s)
        options["bsf:v"] = f"setts=pts=PTS:dts=DTS{until(joined, end)}"
    else:
        options["bsf:v"] = move_filters(moves, moves_overlap(points.video, moves)) + until(points.video, moves[-1].stop)
    if audio_moves:
        assert info.audio is not None
        streams.append(source[str(info.audio.index)])
        options["bsf:a"] = move_filters(audio_moves)
    for number, (index, tick_s) in enumerate(_subtitle_clocks(info, subtitles)):
        streams.append(source[index])
        options[f"bsf:s:{number}"] = subtitle_filters([move.on_clock(points.video.tick_s / tick_s) for move in moves])
    options["metadata:s:v:0"] = f"timecode={_timecode(points, moves[0].first)}"  # an empty one takes that of the source away
    tag_file = tags.write(tags.of_a_part(info.tags), suffix, result.with_name("tags.txt"))
    options["map_metadata"] = 2 if picture and len(streams) > 1 else 1  # after the inputs of the streams
    options |= copy_options(suffix, info.video.codec, all_tags=not tags.all_kept(info.tags, suffix)) | {"format": MUXERS[suffix]}
    ffmpeg.run(ffmpeg.output(streams, result, **options), info.path, extra_input=tag_file)


def _timecode(points: CutPoints, first: int) -> str:
    """The time code of the frame at a tick; empty if the source has none."""
    info = points.info
    if info.timecode is None:
        return ""
    frames = round((float(first * points.video.tick_s) - info.origin_s - info.start_s) * info.rate)
    number = timecode_frames(info.timecode, info.rate) + frames
    return timecode_text(number, info.rate, drop=drops(info.timecode, info.rate))


def _subtitle_clocks(info: MediaInfo, subtitles: Sequence[str]) -> list[tuple[str, Fraction]]:
    """The subtitle streams that have packets, with their time base."""
    clocks = []
    for index in subtitles:
        try:
            clocks.append((index, packets.read(info.path, [int(index)])[0].tick_s))
        except MediaError:
            continue
    return clocks


def _count_frames(video: Packets, part: Part) -> int:
    return int(((video.pts >= video.on_screen(part.first)) & (video.pts < part.stop)).sum())


def _check(
    points: CutPoints, parts: Sequence[Part], moves: Sequence[Move], audio_moves: Sequence[Move], result: Path, target: Path
) -> None:
    """Raise RenderError unless the result holds the planned packets at their times."""
    info = points.info
    try:
        got = packets.read(result, ["v:0", *(["a:0"] if audio_moves else [])])
    except MediaError as error:
        raise RenderError(target, f"the file failed its check ({error.problem}): is the disk full?") from error
    # In other containers (MPEG-TS, AVI) the same packet has another framing.
    same = info.container in SAME_PACKETS
    problem = _difference(got[0], points.video, moves, parts, same, TIME_TOLERANCE_S)
    if problem is None and audio_moves and points.audio is not None:
        # Where a tick is as long as a packet (AVI), ffmpeg rounds to its middle.
        tolerance_s = TIME_TOLERANCE_S + float(points.audio.tick_s) / 2
        problem = _difference(got[1], points.audio, audio_moves, None, same, tolerance_s)
        problem = problem and f"its sound: {problem}"
    if problem:
        raise RenderError(target, f"the file failed its check ({problem}): nothing was kept; please report this with the source's details")


def _difference(
    got: Packets, source: Packets, moves: Sequence[Move], parts: Sequence[Part] | None, same: bool, tolerance_s: float
) -> str | None:
    """What is not as planned in a stream, None if nothing; packets of encoded parts are only counted."""
    wanted_s: list[np.ndarray] = []
    wanted: list[tuple[int, int] | None] = []
    contents = source.contents
    for move in moves:
        begins = move.first if parts is None else source.on_screen(move.first)
        indices = np.flatnonzero((source.pts >= begins) & (source.pts < move.stop))
        wanted_s.append((np.maximum(source.pts[indices], move.first) - move.shift) * float(source.tick_s))
        for index in indices:
            copied = parts is None or any(part.copied and part.first <= source.pts[index] < part.stop for part in parts)
            wanted.append(contents[index] if copied and same else None)
    times_s = np.concatenate(wanted_s)
    got_s = got.pts * float(got.tick_s)
    if len(got_s) != len(times_s):
        return f"{len(got_s)} of {len(times_s)} packets"
    if np.abs(np.sort(got_s) - np.sort(times_s)).max() > tolerance_s:
        return "packets are not at their times"
    if parts is None or all(part.copied for part in parts):
        equal = all(want is None or want == have for want, have in zip(wanted, got.contents, strict=True))
    else:
        equal = {want for want in wanted if want} <= set(got.contents)
    return None if equal else "packets are not those of the source"
