"""Probes a video or audio file by its content: streams, rational frame rate, rotation, colour, and the time of every frame.

Times are in seconds from the start of the container, as ffmpeg and all players count them. Frame times come from the packets, never from
index / rate: phones record with a variable rate, and the headers of truncated files are wrong.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import headers, packets
from mmvatool.media.aspects import Aspects
from mmvatool.media.headers import Color, Headers, Picture, StreamHeader
from mmvatool.media.packets import NO_TIME
from mmvatool.media.rates import DEFAULT_RATE, nominal_rate
from mmvatool.media.timecode import timecode_text
from mmvatool.media.tracks import AudioStream, audio_stream

# Between two packets of an MPEG stream; a longer step of its clock makes ffmpeg's seeking miss.
LONGEST_STEP_S = 10.0
# So many packets on end before one that was already passed mean that the clock restarted; single ones are out of order.
BEHIND_PACKETS = 10
FIRST_PACKETS = 100  # that are decoded in search of the first frame
MPEG_STREAMS = ("mpegts", "mpeg")
TIMECODE_BYTES = 4  # of a sample of a QuickTime time code track
DIGEST_BYTES = 16
SUMMED_BYTES = 1024  # of each packet that count in a digest: gigabytes an hour otherwise
LONG_FRAME_S = 0.5  # what stands still for longer, a slide, may be cut anywhere
NO_FRAMES = "holds no video frame: it may be truncated, copy or export it again"
RAW_STREAMS = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "av1")
MOST_PIXELS = 1 << 27  # of a frame: 16,384 x 8,192
PICTURE_CONTAINERS = ("image2", "gif_pipe")


@dataclass(frozen=True)
class VideoStream:
    """A video stream: `width` x `height` as displayed, that is after rotation; `pixel_aspect` likewise.

    `field_order` is one of `headers.FIELD_ORDERS`, `side_data` the kinds that the first frame carries, by libav's names. `aspects` says, where
    the pixel aspect changes, from which time on the container's own clock which one holds; `pixel_aspect` is then the first.
    """

    index: int
    codec: str
    width: int
    height: int
    pixel_aspect: Fraction
    rotation_deg: float
    pixel_format: str
    color: Color
    language: str | None
    profile: str | None = None
    field_order: str | None = None
    side_data: frozenset[str] = frozenset()
    aspects: tuple[tuple[float, Fraction], ...] = ()

    @property
    def interlaced(self) -> bool:
        """Whether a frame is two fields of different moments."""
        return self.field_order not in (None, "progressive")


@dataclass(frozen=True)
class MediaInfo:
    """A probed video.

    `times_s` holds the time of every displayed frame, float64 (N,), rising; `packet_count` also counts those that an edit
    list hides. `rate` is the nominal frame rate, DEFAULT_RATE where most frames are long ones. `origin_s` is the container's own clock at time 0.
    `keys_s` holds the times of the keyframes; it is empty where the clock jumps, so that seeking would fail. If
    the clock `restarts` in the middle (recordings joined byte by byte), times stand for frames of several parts. `sizes` (N,)
    holds the coded bytes of every displayed frame. `digest` is a hash of the times, sizes and first kibibytes of the video packets.
    `timecode` is that of the first frame. `sound_end_s` is where the last packet of the sound ends, None where that is not known.
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
    sound_end_s: float | None = None

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

    @cached_property
    def edges_s(self) -> np.ndarray:
        """Where it may be cut, but for the end: at the start of every frame, and inside of long ones at every tick. float64 (N,), rising."""
        lengths_s = np.diff(self.times_s, append=self.end_s)
        ticks = np.where(lengths_s > LONG_FRAME_S, np.ceil(lengths_s * float(self.rate) - 0.5), 1).astype(np.int64)
        number = np.arange(ticks.sum()) - np.repeat(np.cumsum(ticks) - ticks, ticks)
        return np.repeat(self.times_s, ticks) + number / float(self.rate)

    def snap(self, time_s: float) -> float:
        """The edge, or the end, nearest to a time."""
        after = int(np.searchsorted(self.edges_s, time_s))
        later = float(self.edges_s[after]) if after < len(self.edges_s) else self.end_s
        sooner = float(self.edges_s[max(0, after - 1)])
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
    """Probe a video by its content, in one pass: its packets, and its first frame for what headers do not say.

    Raises:
        MediaError: not there, empty, unreadable, not media, without video, or without a single frame.
    """
    with headers.opened(path, "a video file") as container:
        return _probe_video(path, container, headers.of(container, path))


def probe_media(path: Path, wanted: str = "a sound or video file") -> MediaInfo | SoundInfo:
    """Probe a video or an audio file by its content; an error asks for `wanted`. Cover art is no video.

    Raises:
        MediaError: not there, empty, unreadable, an image, or without audio and video.
    """
    with headers.opened(path, wanted) as container:
        header = headers.of(container, path)
        if header.default_audio and not header.video:
            return _sound_info(path, header, header.default_audio)
        return _probe_video(path, container, header)


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
    stream = audio_stream(header)
    assert stream is not None
    return SoundInfo(path, header.container, stream, header.stated_s, audio.tags | header.tags)


def _probe_video(path: Path, container: Any, header: Headers) -> MediaInfo:
    stream, audio = header.video, header.default_audio
    if not stream:
        raise MediaError(path, f"{'has sound but no video stream' if audio else 'holds no video stream'}: give a video file")
    if header.container in PICTURE_CONTAINERS or header.container.endswith("_pipe"):
        raise MediaError(path, "is a picture, not a video: give a video file")
    if header.container in RAW_STREAMS:
        raise MediaError(path, f"is a raw {header.container} stream, whose frames carry no times: put it into a container first, as .mp4")
    aspects = Aspects(header.container, stream.codec)
    read, frame, sound_end_s = _read_packets(path, container, stream.index, audio.index if audio else None, aspects)
    picture = stream.picture or headers.picture(container.streams[stream.index])
    if not picture:
        raise MediaError(path, "is damaged or truncated (no frame of its video can be decoded): copy it again")
    if picture.width * picture.height > MOST_PIXELS:
        raise MediaError(
            path, f"has frames of {picture.width} x {picture.height}, over {MOST_PIXELS // 10**6} million pixels: scale it down"
        )
    rate, constant = nominal_rate(read.rate_ticks, read.tick_s, picture.average_rate)
    shown = np.flatnonzero(read.shown)
    times_s = read.times_s[shown] - header.origin_s
    last_s = read.durations_s[shown[-1]]
    end_s = float(times_s[-1] + (last_s if last_s > 0 else float(1 / rate)))
    if rate < 1 / LONG_FRAME_S:
        rate, constant = DEFAULT_RATE, False
    return MediaInfo(
        path=path,
        container=header.container,
        origin_s=header.origin_s,
        video=_video_stream(stream, picture, frame, tuple(aspects.found)),
        audio=audio_stream(header),
        rate=rate,
        constant_rate=constant,
        times_s=times_s,
        end_s=end_s,
        packet_count=len(read.times_s),
        open_gop=read.open_gop,
        tags=header.tags,
        keys_s=read.keys_s - header.origin_s,
        restarts=read.restarts,
        sizes=read.sizes[shown],
        digest=read.digest,
        timecode=_tag(stream.tags, "timecode") or _tag(header.tags, "timecode") or _numbered_timecode(path, rate),
        sound_end_s=sound_end_s - header.origin_s if sound_end_s is not None else None,
    )


def _tag(tags: dict[str, str], name: str) -> str | None:
    """A tag by its name in any case: Matroska's are in capitals."""
    return next((value for key, value in tags.items() if key.lower() == name), None)


def _numbered_timecode(path: Path, rate: Fraction) -> str | None:
    """The time code of a QuickTime track that libav refuses, as one with a drop-frame flag at 24 frames a second: a frame's number.

    Numbers are dropped at 30000/1001 and its multiples only, so that it is counted without.
    """
    with headers.opened(path) as container:
        tracks = [stream for stream in container.streams.data if stream.frames == 1]
        if not tracks or "mov" not in container.format.name:
            return None
        first = next((bytes(packet) for packet in container.demux(tracks[0]) if packet.size), b"")
    return timecode_text(int.from_bytes(first), rate) if len(first) == TIMECODE_BYTES else None


def sound_digest(info: MediaInfo) -> str:
    """A hash of the audio packets of a video, as `MediaInfo.digest` is of those of its video stream; nothing is decoded.

    Raises:
        MediaError: its packets cannot be read.
    """
    assert info.audio is not None
    return _digest(packets.read(info.path, [info.audio.index])[0])


def _video_stream(stream: StreamHeader, picture: Picture, frame: Any, aspects: tuple[tuple[float, Fraction], ...]) -> VideoStream:
    width, height, pixel_aspect = picture.width, picture.height, aspects[0][1] if len(aspects) > 1 else picture.pixel_aspect
    rotation_deg = float(frame.rotation) if frame else 0.0
    if round(rotation_deg / 90) % 2:
        width, height, pixel_aspect = height, width, 1 / pixel_aspect
    return VideoStream(
        index=stream.index,
        codec=stream.codec,
        width=width,
        height=height,
        pixel_aspect=pixel_aspect,
        rotation_deg=rotation_deg,
        pixel_format=picture.pixel_format,
        color=picture.color,
        language=stream.language,
        profile=stream.profile,
        field_order=_field_order(picture.field_order, frame),
        side_data=frozenset(data.type.name for data in frame.side_data) if frame else frozenset(),
        aspects=aspects if len(aspects) > 1 else (),
    )


def _field_order(stated: str | None, frame: Any) -> str | None:
    """As the header says; headers that call fields progressive, or say nothing, are wrong where the first frame knows better."""
    return "tt" if frame and frame.interlaced_frame and stated in (None, "progressive") else stated


@dataclass(frozen=True)
class _VideoPackets:
    """The packets of a video stream in presentation order, without repeated ones.

    `rate_ticks` has the time of every frame that is shown, those that a coarse clock puts at the same time included.
    """

    ticks: np.ndarray
    rate_ticks: np.ndarray
    tick_s: Fraction
    durations_s: np.ndarray
    shown: np.ndarray
    open_gop: bool
    keys_s: np.ndarray
    restarts: bool
    sizes: np.ndarray
    digest: str

    @property
    def times_s(self) -> np.ndarray:
        return self.ticks * float(self.tick_s)


def _read_packets(path: Path, container: Any, index: int, audio: int | None, aspects: Aspects) -> tuple[_VideoPackets, Any, float | None]:
    """Read the times and flags of all packets, and decode the first frame that decodes, None if none does soon.

    Also gives where the last packet of the audio stream ends on the container's clock.
    """
    stream = container.streams[index]
    collected, frame, decoder, sound_end = packets.Collector(stream.time_base, SUMMED_BYTES), None, stream.codec_context, NO_TIME
    if decoder:
        decoder.thread_count = 1  # many would have to be fed before the first frame comes out
    sound = None if audio is None else container.streams[audio]
    for number, packet in enumerate(packets.demux(container, [stream, sound] if sound else [stream])):
        if packet.stream_index != index:
            if packet.pts is not None:
                sound_end = max(sound_end, packet.pts + (packet.duration or 0))
            continue
        collected.add(packet)
        aspects.add(packet)
        if decoder and frame is None and number < FIRST_PACKETS:
            try:
                frame = next(iter(packet.decode()), None)
            except av.FFmpegError:
                continue
    read = collected.packets()
    if not len(read.pts):
        raise MediaError(path, NO_FRAMES)
    restarts = _longest_run(read.dts < np.maximum.accumulate(read.dts)) > BEHIND_PACKETS
    jumps = container.format.name in MPEG_STREAMS and bool((np.diff(read.dts) * float(read.tick_s) > LONGEST_STEP_S).any())
    order = _presentation_order(read)
    shown, ticks = ~read.hidden[order], read.pts[order]
    if not shown.any():
        raise MediaError(path, NO_FRAMES)
    found = _VideoPackets(
        ticks=ticks,
        rate_ticks=np.sort(read.pts[~read.hidden]),
        tick_s=read.tick_s,
        durations_s=read.durations[order] * float(read.tick_s),
        shown=shown,
        open_gop=_open_gop(read),
        keys_s=(ticks[:0] if jumps or restarts else ticks[read.keys[order]]) * float(read.tick_s),
        restarts=restarts,
        sizes=read.sizes[order].astype(np.int32),
        digest=_digest(read),
    )
    return found, frame, float(sound_end * sound.time_base) if sound and sound_end != NO_TIME else None


def _digest(read: packets.Packets) -> str:
    digest = hashlib.blake2b(struct.pack("qq", *read.tick_s.as_integer_ratio()), digest_size=DIGEST_BYTES)
    for numbers in (read.dts, read.pts, read.durations, read.sizes, read.checksums, read.flags):
        digest.update(numbers.tobytes())
    return digest.hexdigest()


def _presentation_order(read: packets.Packets) -> np.ndarray:
    """Indices of the packets in presentation order, without those that damaged files repeat."""
    order = np.lexsort((read.flags, read.durations, read.pts))
    repeated = (np.diff(np.stack([read.pts, read.durations, read.flags])[:, order]) == 0).all(0)
    return order[np.append(True, ~repeated)[: len(order)]]


def _longest_run(flags: np.ndarray) -> int:
    """The most on end that are set."""
    bounds = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return int((bounds[1::2] - bounds[::2]).max(initial=0))


def _open_gop(read: packets.Packets) -> bool:
    """Whether a packet is shown before the keyframe that precedes it in decoding order."""
    before = np.maximum.accumulate(np.where(read.keys, np.arange(len(read.keys)), -1))[:-1]
    return bool((read.pts[1:] < np.where(before < 0, NO_TIME, read.pts[before])).any())
