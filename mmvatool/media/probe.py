"""Probes a video or audio file by its content: streams, rational frame rate, rotation, colour, and the time of every frame.

Times are in seconds from the start of the container, as ffmpeg and all players count them. Frame times come from the packets, never from
index / rate: phones record with a variable rate, and the headers of truncated files are wrong.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import headers, packets
from mmvatool.media.headers import Headers, StreamHeader
from mmvatool.media.packets import NO_TIME

# Between two packets; a longer step of the clock makes ffmpeg's seeking in MPEG streams miss.
LONGEST_STEP_S = 10.0
# ffmpeg replaces a DTS that would go back by the last one: so many equal ones mean that the clock restarted.
STUCK_PACKETS = 10
DIGEST_BYTES = 16
DEFAULT_RATE = Fraction(25)  # where the file states none: ffmpeg's default
# Rates that cameras and editors use; a rate measured through a container's coarse clock is snapped to one of them.
STANDARD_RATES = tuple(Fraction(rate) for rate in (*range(1, 61), 72, 90, 100, 120, 144, 240)) + tuple(
    Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)
)
NO_FRAMES = "holds no video frame: it may be truncated, copy or export it again"
RAW_STREAMS = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "av1")
PICTURE_CONTAINERS = ("image2", "gif_pipe")
_PICTURE = re.compile(r", (\w+)(?:\(([^)]*)\))?, (\d+)x(\d+)")
_ROTATION = re.compile(r"rotation of (-?[\d.]+) degrees")
_CHANNELS = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8, "cube": 8, "hexadecagonal": 16}


@dataclass(frozen=True)
class Color:
    """Colour tags, each None where the stream has none: H.273 names as ffmpeg prints them."""

    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    full_range: bool = False
    range_tagged: bool = False


@dataclass(frozen=True)
class VideoStream:
    """A video stream: `width` x `height` as displayed, that is after rotation; `pixel_aspect` likewise."""

    index: int
    codec: str
    width: int
    height: int
    pixel_aspect: Fraction
    rotation_deg: float
    pixel_format: str
    color: Color
    language: str | None


@dataclass(frozen=True)
class AudioStream:
    """An audio stream; `layout_known` is False where only the number of channels is given."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    language: str | None
    layout_known: bool = True


@dataclass(frozen=True)
class MediaInfo:
    """A probed video.

    `times_s` holds the time of every displayed frame, float64 (N,), rising; `packet_count` also counts those that an edit
    list hides. `rate` is the nominal frame rate. `origin_s` is the container's own clock at time 0.
    `keys_s` holds the times of the keyframes; it is empty where the clock jumps, so that seeking would fail. If
    the clock `restarts` in the middle (recordings joined byte by byte), times stand for frames of several parts. `sizes` (N,)
    holds the coded bytes of every displayed frame. `digest` is a hash of the times, sizes and checksums of the video packets.
    `timecode` is that of the first frame.
    """

    path: Path
    container: str
    origin_s: float
    video: VideoStream
    audio: AudioStream | None
    rate: Fraction
    constant_rate: bool
    times_s: np.ndarray
    end_s: float
    packet_count: int
    open_gop: bool
    tags: dict[str, str]
    keys_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    restarts: bool = False
    sizes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    digest: str = ""
    timecode: str | None = None

    @property
    def start_s(self) -> float:
        """Time of the first frame."""
        return float(self.times_s[0])

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last."""
        return self.end_s - self.start_s

    def frame_at(self, times_s: np.ndarray) -> np.ndarray:
        """Indices of the frames on screen at the given times; times outside give the first or last frame."""
        tolerance_s = float(1 / self.rate) / 100
        return np.clip(np.searchsorted(self.times_s, times_s + tolerance_s, side="right") - 1, 0, len(self.times_s) - 1)

    def snap(self, time_s: float) -> float:
        """The frame boundary (a frame's start, or the end of the last) nearest to a time."""
        after = int(np.searchsorted(self.times_s, time_s))
        later = float(self.times_s[after]) if after < len(self.times_s) else self.end_s
        sooner = float(self.times_s[max(0, after - 1)])
        return sooner if time_s - sooner <= later - time_s else later


@dataclass(frozen=True)
class SoundInfo:
    """A probed audio file: without video, so that its time is counted from its first sample.

    `stated_s` is the length that its header states, None where it states none: good for a progress bar. `tags` are those of the file and of
    the audio stream.
    """

    path: Path
    container: str
    audio: AudioStream
    stated_s: float | None
    tags: dict[str, str]


def probe(path: Path) -> MediaInfo:
    """Probe a video by its content.

    Raises:
        MediaError: not there, empty, unreadable, not media, without video, or without a single frame.
    """
    return _probe_video(path, headers.read(path, "a video file"))


def probe_media(path: Path, wanted: str = "a sound or video file") -> MediaInfo | SoundInfo:
    """Probe a video or an audio file by its content; an error asks for `wanted`. Cover art is no video.

    Raises:
        MediaError: not there, empty, unreadable, an image, or without audio and video.
    """
    header = headers.read(path, wanted)
    if header.default_audio and not header.videos:
        return _sound_info(path, header, header.default_audio)
    return _probe_video(path, header)


def probe_audio(path: Path) -> SoundInfo:
    """Probe the audio of a file by its content, with or without video.

    Raises:
        MediaError: not there, empty, unreadable, or without audio.
    """
    header = headers.read(path, "a sound file")
    if not header.default_audio:
        raise MediaError(path, "holds no sound: give a sound file")
    return _sound_info(path, header, header.default_audio)


def _sound_info(path: Path, header: Headers, audio: StreamHeader) -> SoundInfo:
    return SoundInfo(path, header.container, audio_stream(audio), header.stated_s, headers.stream_tags(audio) | header.tags)


def _probe_video(path: Path, header: Headers) -> MediaInfo:
    container, origin_s, videos, audio = header.container, header.origin_s, header.videos, header.default_audio
    if not videos:
        raise MediaError(path, f"{'has sound but no video stream' if audio else 'holds no video stream'}: give a video file")
    if container in PICTURE_CONTAINERS or container.endswith("_pipe"):
        raise MediaError(path, "is a picture, not a video: give a video file")
    if container in RAW_STREAMS:
        raise MediaError(path, f"is a raw {container} stream, whose frames carry no times: put it into a container first, as .mp4")
    stream = next((video for video in videos if "(default)" in video.description), videos[0])
    stated = _stated_rate(stream.description)
    read = _read_packets(path, stream.index)
    rate, constant = _rate(read, stated)
    shown = np.flatnonzero(read.shown)
    times_s = read.times_s[shown] - origin_s
    last_s = read.durations_s[shown[-1]]
    end_s = float(times_s[-1] + (last_s if last_s > 0 else float(1 / rate)))
    return MediaInfo(
        path=path,
        container=container,
        origin_s=origin_s,
        video=_video_stream(path, stream, read.pixel_aspect),
        audio=audio_stream(audio) if audio else None,
        rate=rate,
        constant_rate=constant,
        times_s=times_s,
        end_s=end_s,
        packet_count=len(read.times_s),
        open_gop=read.open_gop,
        tags=header.tags,
        keys_s=read.keys_s - origin_s,
        restarts=read.restarts,
        sizes=read.sizes[shown],
        digest=read.digest,
        timecode=headers.stream_tags(stream).get("timecode") or header.tags.get("timecode"),
    )


def sound_digest(info: MediaInfo) -> str:
    """A hash of the audio packets of a video, as `MediaInfo.digest` is of those of its video stream; nothing is decoded.

    Raises:
        MediaError: its packets cannot be read.
    """
    assert info.audio is not None
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for _ in _hashed(packets.demux(info.path, [info.audio.index], generate_pts=False), digest):
        pass
    return digest.hexdigest()


def _video_stream(path: Path, stream: StreamHeader, pixel_aspect: Fraction) -> VideoStream:
    text = stream.description
    picture = _PICTURE.search(text)
    if not picture:
        raise MediaError(path, "its video stream has no picture size (no frame of it can be read): it may be truncated, copy it again")
    rotation = _ROTATION.search(text)
    rotation_deg = float(rotation[1]) if rotation else 0.0
    width, height = int(picture[3]), int(picture[4])
    if round(rotation_deg / 90) % 2:
        width, height, pixel_aspect = height, width, 1 / pixel_aspect
    pixel_format = picture[1]
    return VideoStream(
        index=stream.index,
        codec=text.split(" ", 1)[0].rstrip(","),
        width=width,
        height=height,
        pixel_aspect=pixel_aspect,
        rotation_deg=rotation_deg,
        pixel_format=pixel_format,
        color=_color(pixel_format, picture[2] or ""),
        language=stream.language,
    )


def _color(pixel_format: str, tags: str) -> Color:
    """Read `tv, bt709, progressive` or `pc, bt470bg/bt709/iec61966-2-1`; a tag that is absent or "unknown" is None."""
    parts = [part.strip() for part in tags.split(",")]
    full = "pc" in parts or pixel_format.startswith("yuvj")
    tagged = full or "tv" in parts
    names: list[str | None] = [None, None, None]
    for part in parts:
        split = part.split("/")
        if len(split) == 3:
            names = [None if name == "unknown" else name for name in split]
        elif re.fullmatch(r"bt\d+\w*|smpte\d+\w*|fcc|gbr|ycgco", part):
            names = [part, part, part]
    return Color(names[0], names[1], names[2], full, tagged)


def audio_stream(stream: StreamHeader) -> AudioStream:
    """Parse the header of an audio stream."""
    text = stream.description
    rate = re.search(r"(\d+) Hz, ([^,\n]+)", text)
    layout = rate[2].strip() if rate else "stereo"
    counted = re.match(r"(\d+) channels", layout)
    surround = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", layout)  # 5.1, 7.1.4: the sum
    channels = int(counted[1]) if counted else sum(int(part or 0) for part in surround.groups()) if surround else _CHANNELS.get(layout, 2)
    codec = text.split(" ", 1)[0].rstrip(",")
    return AudioStream(stream.index, codec, int(rate[1]) if rate else 48000, channels, stream.language, layout_known=not counted)


@dataclass(frozen=True)
class _VideoPackets:
    """The packets of a video stream in presentation order, without repeated ones."""

    ticks: np.ndarray
    tick_s: Fraction
    durations_s: np.ndarray
    shown: np.ndarray
    open_gop: bool
    pixel_aspect: Fraction
    keys_s: np.ndarray
    restarts: bool
    sizes: np.ndarray
    digest: str

    @property
    def times_s(self) -> np.ndarray:
        return self.ticks * float(self.tick_s)


def _read_packets(path: Path, index: int) -> _VideoPackets:
    """Read the times and flags of all packets, without decoding."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    parsed = packets.parse(_hashed(packets.demux(path, [index]), digest))
    if not len(parsed):
        raise MediaError(path, NO_FRAMES)
    read = parsed[0]
    steps = np.diff(read.dts)
    jumps = bool(((steps < 0) | (steps * float(read.tick_s) > LONGEST_STEP_S)).any())
    order = _presentation_order(read)
    shown, ticks = ~read.hidden[order], read.pts[order]
    if not shown.any():
        raise MediaError(path, NO_FRAMES)
    return _VideoPackets(
        ticks=ticks,
        tick_s=read.tick_s,
        durations_s=read.durations[order] * float(read.tick_s),
        shown=shown,
        open_gop=_open_gop(read),
        pixel_aspect=read.pixel_aspect,
        keys_s=(ticks[:0] if jumps else ticks[read.keys[order]]) * float(read.tick_s),
        restarts=int((steps == 0).sum()) > STUCK_PACKETS,
        sizes=read.sizes[order].astype(np.int32),
        digest=digest.hexdigest(),
    )


def _presentation_order(read: packets.Packets) -> np.ndarray:
    """Indices of the packets in presentation order, without those that damaged files repeat."""
    order = np.lexsort((read.flags, read.durations, read.pts))
    repeated = (np.diff(np.stack([read.pts, read.durations, read.flags])[:, order]) == 0).all(0)
    return order[np.append(True, ~repeated)[: len(order)]]


def _open_gop(read: packets.Packets) -> bool:
    """Whether a packet is shown before the keyframe that precedes it in decoding order."""
    before = np.maximum.accumulate(np.where(read.keys, np.arange(len(read.keys)), -1))[:-1]
    return bool((read.pts[1:] < np.where(before < 0, NO_TIME, read.pts[before])).any())


def _hashed(lines: Iterable[bytes], digest: hashlib.blake2b) -> Iterator[bytes]:
    """Pass lines through and update a digest with them."""
    for line in lines:
        digest.update(line)
        yield line


def _rate(packets: _VideoPackets, stated: Fraction | None) -> tuple[Fraction, bool]:
    """Nominal frame rate, and whether every frame keeps to it.

    A fine clock (mp4's) gives the rate exactly. A coarse one (Matroska's milliseconds) has its steps averaged and
    snapped to a standard rate, or to what the container itself states if that is near.
    """
    ticks = packets.ticks[packets.shown]
    steps = np.diff(ticks)
    steps = steps[steps > 0]
    if not len(steps):
        return stated or DEFAULT_RATE, True
    median = float(np.median(steps))
    step, coarse = median, 1 < median < 100
    if (steps == median).mean() > 0.9 and not coarse:
        rate = 1 / (Fraction(median) * packets.tick_s)
    else:
        usual = steps[np.abs(steps - median) <= median / 4]
        measured = 1 / (Fraction(float(usual.mean())) * packets.tick_s)
        near = stated is not None and abs(stated / measured - 1) < Fraction(2, 100)
        rate = stated if stated and near else _snap(measured, float(measured) / 100)
        step = float(1 / (rate * packets.tick_s))
    ideal = ticks[0] + np.arange(len(ticks)) * step
    return rate, bool(np.abs(ticks - ideal).max() <= max(min(1.0, step / 2), step / 4))


def _stated_rate(description: str) -> Fraction | None:
    match = re.search(r"([\d.]+) fps", description)
    return _snap(Fraction(match[1]), 0.006) if match and float(match[1]) > 0 else None


def _snap(rate: Fraction, tolerance: float) -> Fraction:
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= tolerance else rate.limit_denominator(1001)
