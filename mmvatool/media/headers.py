"""Opens a media file with libav's demuxer, by PyAV, and reads its headers: streams, tags and chapters. Nothing is decoded."""

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from trainer import is_playlist, libav_options

OPEN_LIMIT_S = 120.0
READ_LIMIT_S = 120.0
UNDECODED_PACKETS = 200  # after so many packets of sound, some seconds, nothing is expected of the rest
GENERATE_PTS = 0x1  # AVFMT_FLAG_GENPTS
# Tags beyond these are left out: they are kept in memory, in caches and in every result.
TAGS, TAG_CHARACTERS = 1000, 1 << 18
RATES_HZ = range(1000, 10_000_001)  # of sound; others would become hours of it, or take memory that is not there
CLOCK = Fraction(1, 1_000_000)  # AV_TIME_BASE of libav: times of a container are in microseconds
# Names that ffmpeg gives to the codes of ITU-T H.273; a code that is not here, 2 among them, is "unspecified" or reserved.
MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc", 10: "bt2020c",
    11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2", 16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428", 11: "smpte431",
    12: "smpte432", 22: "jedec-p22",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316", 11: "iec61966-2-4",
    12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}  # AVFieldOrder: coded first, shown first; t top, b bottom
PLAYLIST = "is a playlist that names other files: give the files themselves"
# image2 is there to recognize pictures by; a name with %d is then no pattern.
_SAFELY = libav_options()
_SAFELY |= {"format_whitelist": f"{_SAFELY['format_whitelist']},image2", "pattern_type": "none"}
_TV, _PC = 1, 2  # AVCOL_RANGE_MPEG and AVCOL_RANGE_JPEG
_NOT_SHOWN = ("encoder", "handler_name", "vendor_id")
_OF_THE_CONTAINER = ("major_brand", "minor_version", "compatible_brands", "encoder")


@dataclass(frozen=True)
class Color:
    """Colour tags, each None where the stream has none: H.273 names as ffmpeg prints them."""

    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    full_range: bool = False
    range_tagged: bool = False


@dataclass(frozen=True)
class Picture:
    """What a video stream's header says: `width` x `height` as stored. `field_order` is one of FIELD_ORDERS."""

    width: int
    height: int
    pixel_format: str
    pixel_aspect: Fraction
    color: Color
    field_order: str | None
    average_rate: Fraction | None
    base_rate: Fraction | None


@dataclass(frozen=True)
class Sound:
    """What an audio stream's header says: `layout` as ffmpeg names it, None where only the number of channels is given.

    Where the header says nothing, `found_at` is the position in the file, in bytes, of the packet that does.
    """

    rate_hz: int
    channels: int
    layout: str | None
    found_at: int = 0


@dataclass(frozen=True)
class StreamHeader:
    """A stream: `kind` is "video", "audio" or "subtitle".

    `picture` and `sound` are None, and `codec` may be "unknown", where libav has no decoder for it; `sound` is None as well where the header says
    nothing and no packet decodes.
    """

    index: int
    kind: str
    codec: str
    language: str | None
    profile: str | None = None
    dispositions: frozenset[str] = frozenset()
    tags: dict[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    sound: Sound | None = None


@dataclass(frozen=True)
class Headers:
    """The headers: `origin_s` is the container's clock at time 0, `stated_s` its stated length, None where it states none.

    `chapters` are start and end on the container's clock, in seconds, and their tags.
    """

    container: str
    origin_s: float
    stated_s: float | None
    streams: list[StreamHeader]
    tags: dict[str, str]
    chapters: list[tuple[float, float, dict[str, str]]]

    @property
    def video(self) -> StreamHeader | None:
        """The video stream that players choose; cover art is none."""
        videos = [stream for stream in self.streams if stream.kind == "video" and "attached_pic" not in stream.dispositions]
        return next((stream for stream in videos if "default" in stream.dispositions), videos[0] if videos else None)

    @property
    def subtitles(self) -> list[StreamHeader]:
        """Subtitle streams."""
        return [stream for stream in self.streams if stream.kind == "subtitle"]

    @property
    def default_audio(self) -> StreamHeader | None:
        """The audio stream that players choose: of those that can be decoded, if any can."""
        audios = self._audios
        return next((stream for stream in audios if stream.sound), audios[0] if audios else None)

    @property
    def passed_over(self) -> StreamHeader | None:
        """The audio stream that players would choose, if it cannot be decoded and another can."""
        first = next(iter(self._audios), None)
        return None if first is self.default_audio else first

    @property
    def _audios(self) -> list[StreamHeader]:
        return _by_preference(self.streams)


def _by_preference(streams: list[StreamHeader]) -> list[StreamHeader]:
    """The audio streams, those that are marked as default first."""
    return sorted((stream for stream in streams if stream.kind == "audio"), key=lambda stream: "default" not in stream.dispositions)


def read(path: Path, wanted: str) -> Headers:
    """Read a file's headers.

    Args:
        path: the file.
        wanted: the kind of file that an error asks for, "a video file".

    Raises:
        MediaError: not there, empty, unreadable, or not media.
    """
    with opened(path, wanted) as container:
        return of(container, path)


@contextmanager
def opened(path: Path, wanted: str = "a media file", options: dict[str, int] | None = None) -> Iterator[Any]:
    """The open container; `options` are those of libav's demuxers.

    Raises:
        MediaError: as `read`; or it cannot be read on within the block.
    """
    _check_readable(path)
    try:
        given = _SAFELY | {name: str(value) for name, value in (options or {}).items()}
        container = av.open(_url(path), options=given, metadata_errors="replace", timeout=(OPEN_LIMIT_S, READ_LIMIT_S))
    except av.FFmpegError as error:
        if _is_unfinished(path):
            problem = "is truncated or was never finished (its index, the moov atom, is missing): copy or export it again"
            raise MediaError(path, problem) from error
        if is_playlist(path):
            raise MediaError(path, PLAYLIST) from error
        # What libav says of a file that it would read, but may not.
        reason = "of no kind that is read" if isinstance(error, av.ArgumentError) else error.strerror
        if isinstance(error, MemoryError):
            raise MediaError(path, "has far too many streams, or asks for more memory than there is: export it again") from error
        raise MediaError(path, f"is not a media file ({reason}): give {wanted}") from error
    with container:
        container.flags |= GENERATE_PTS  # program streams carry a PTS for some frames only
        try:
            yield container
        except av.FFmpegError as error:
            raise MediaError(path, f"cannot be read ({error.strerror}): it may be damaged, copy it again") from error


def of(container: Any, path: Path) -> Headers:
    """The headers of an open container of a file."""
    return Headers(
        container=container.format.name,
        origin_s=float((container.start_time or 0) * CLOCK),
        stated_s=float(container.duration * CLOCK) if container.duration else None,
        streams=_tried([_stream(stream, path) for stream in container.streams if stream.type in ("video", "audio", "subtitle")], path),
        tags=_without(container.metadata, _OF_THE_CONTAINER),
        chapters=[
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
                _without(chapter["metadata"], ()),
            )
            for chapter in container.chapters()
        ],
    )


def _tried(streams: list[StreamHeader], path: Path) -> list[StreamHeader]:
    """Of several audio streams the preferred ones, up to the first that can be decoded, have a sound only if they can: a header may promise more."""
    audios = _by_preference(streams)
    undecodable = set()
    for audio in audios if len(audios) > 1 else []:
        if audio.sound and (audio.sound.found_at or _first_sound(path, audio.index)):
            break
        undecodable.add(audio.index)
    return [replace(stream, sound=None) if stream.index in undecodable else stream for stream in streams]


def _stream(stream: Any, path: Path) -> StreamHeader:
    decoder = stream.codec_context
    dispositions = frozenset(str(flag.name) for flag in Disposition if flag in stream.disposition)
    tags = _without(stream.metadata, _NOT_SHOWN)
    if decoder is None:
        name = _codec_name(path, stream.index) if stream.type == "audio" else "unknown"
        return StreamHeader(stream.index, stream.type, name, stream.language, None, dispositions, tags)
    found = picture(stream) if stream.type == "video" else None
    sound = (_sound(decoder) or _first_sound(path, stream.index)) if stream.type == "audio" else None
    return StreamHeader(
        stream.index, stream.type, decoder.codec.canonical_name, stream.language, decoder.profile, dispositions, tags, found, sound
    )


def _codec_name(path: Path, index: int) -> str:
    """What ffmpeg calls an audio codec for which libav has no decoder, AC-4 for one: PyAV does not say."""
    try:
        printed = ffmpeg.run(ffmpeg.source(path)[str(index)].output("pipe:", format="null", c="copy", t=0), path, log="info").stderr
    except ffmpeg.FFmpegError as error:
        printed = error.stderr
    found = re.search(rf"Stream #0:{index}\b.*: Audio: (\w+)", printed)
    return found[1] if found and found[1] != "none" else "unknown"


def picture(stream: Any) -> Picture | None:
    """What the header of a video stream of an open container says, or, once frames were decoded, they do."""
    decoder = stream.codec_context
    if decoder is None or not decoder.width or not decoder.height or not decoder.pix_fmt:
        return None
    pixel_format = decoder.pix_fmt
    full = int(decoder.color_range or 0) == _PC or pixel_format.startswith("yuvj")
    return Picture(
        width=decoder.width,
        height=decoder.height,
        pixel_format=pixel_format,
        pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
        color=Color(
            MATRICES.get(int(decoder.colorspace)),
            PRIMARIES.get(int(decoder.color_primaries)),
            TRANSFERS.get(int(decoder.color_trc)),
            full,
            full or int(decoder.color_range or 0) == _TV,
        ),
        field_order=FIELD_ORDERS.get(int(decoder.field_order)),
        average_rate=stream.average_rate or None,
        base_rate=stream.base_rate or None,
    )


def _sound(described: Any) -> Sound | None:
    """What a decoder or a decoded frame says of its sound."""
    layout = described.layout
    if described.sample_rate not in RATES_HZ or not layout or not layout.nb_channels:
        return None
    return Sound(described.sample_rate, layout.nb_channels, None if layout.name.endswith(" channels") else layout.name)


def _first_sound(path: Path, index: int) -> Sound | None:
    """The same of the first packet of a stream that decodes: in live recordings a stream may begin long after the others.

    None once UNDECODED_PACKETS have not.
    """
    with opened(path) as container:
        for packet in itertools.islice(container.demux(container.streams[index]), UNDECODED_PACKETS):
            try:
                frame = next((frame for frame in packet.decode() if frame.samples), None)
            except av.FFmpegError:
                frame = None
            sound = _sound(frame) if frame else None
            if sound:
                return replace(sound, found_at=packet.pos or 0)
    return None


def _without(tags: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Tags but for those of these names, and for what is no tag of a person's any more."""
    kept = ((key, value) for key, value in tags.items() if key.lower() not in names and len(key) + len(value) <= TAG_CHARACTERS)
    return dict(itertools.islice(kept, TAGS))


def _url(path: Path) -> str:
    """Without the `file:` protocol `a:b.mp4` would be a protocol. Undecodable bytes of a name stay as they are."""
    return f"file:{os.fsdecode(path.absolute())}"


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise MediaError(path, "no such file: check the name")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(path, "the file is empty: record or copy it again")
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror}): check its permissions") from error


def _is_unfinished(path: Path) -> bool:
    """Whether it consists of boxes of MP4, none of which is the index."""
    boxes = []
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        position = 0
        while position + 8 <= end:
            file.seek(position)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4]), head[4:8]
            boxes.append(kind)
            size = int.from_bytes(head[8:16]) if size == 1 else size or end - position
            if size < 8 or kind == b"moov":
                break
            position += size
    return bool(boxes) and boxes[0] in (b"ftyp", b"mdat", b"free", b"wide", b"skip") and b"moov" not in boxes
