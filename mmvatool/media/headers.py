"""The headers of a media file: streams, tags and chapters, by one run of ffmpeg that decodes nothing."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg

_STREAM = re.compile(r"^  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\(([^()]+)\))?: (Video|Audio|Subtitle): (.*)$")


@dataclass(frozen=True)
class StreamHeader:
    """What ffmpeg prints of a stream: `kind` is Video, Audio or Subtitle, `description` the rest of the line and the lines below it."""

    index: int
    language: str | None
    kind: str
    description: str


@dataclass(frozen=True)
class Headers:
    """The parsed headers: `origin_s` is the container's clock at time 0, `stated_s` its stated length, None where it states none.

    `chapters` are start and end on the container's clock, in seconds, and their tags.
    """

    container: str
    origin_s: float
    stated_s: float | None
    streams: list[StreamHeader]
    tags: dict[str, str]
    chapters: list[tuple[float, float, dict[str, str]]]

    @property
    def videos(self) -> list[StreamHeader]:
        """Video streams; cover art is none."""
        return [stream for stream in self.streams if stream.kind == "Video" and "(attached pic)" not in stream.description]

    @property
    def subtitles(self) -> list[StreamHeader]:
        """Subtitle streams."""
        return [stream for stream in self.streams if stream.kind == "Subtitle"]

    @property
    def default_audio(self) -> StreamHeader | None:
        """The audio stream that players choose."""
        audios = [stream for stream in self.streams if stream.kind == "Audio"]
        return next((stream for stream in audios if "(default)" in stream.description), audios[0] if audios else None)


def read(path: Path, wanted: str) -> Headers:
    """Read a file's headers.

    Args:
        path: the file.
        wanted: the kind of file that an error asks for, "a video file".

    Raises:
        MediaError: not there, empty, unreadable, or not media.
    """
    _check_readable(path)
    output = _print_headers(path, wanted)
    container = re.search(r"^Input #0, (\S+), from '", output.stderr, re.MULTILINE)
    origin = re.search(r"^  Duration: .*, start: (-?[\d.]+)", output.stderr, re.MULTILINE)
    length = re.search(r"^  Duration: (\d+):(\d\d):([\d.]+)", output.stderr, re.MULTILINE)
    metadata = output.stdout.decode(errors="replace")
    return Headers(
        container=container[1] if container else "unknown",
        origin_s=float(origin[1]) if origin else 0.0,
        stated_s=int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else None,
        streams=_streams(output.stderr.split("Output #0")[0]),
        tags=_tags(metadata),
        chapters=_chapters(metadata),
    )


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise MediaError(path, "no such file: check the name")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(path, "the file is empty: record or copy it again")
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror}): check its permissions") from error


def _print_headers(path: Path, wanted: str) -> ffmpeg.Output:
    """Run ffmpeg: it prints the headers on stderr, and tags and chapters as ffmetadata on stdout."""
    try:
        return ffmpeg.run(ffmpeg.source(path).output("pipe:", format="ffmetadata", map_metadata=0), path, log="info", limit_s=120)
    except ffmpeg.FFmpegError as error:
        if "moov atom not found" in error.stderr and _is_mp4(path):
            raise MediaError(
                path, "is truncated or was never finished (its index, the moov atom, is missing): copy or export it again"
            ) from error
        raise MediaError(path, f"is not a media file ({ffmpeg.last_error(error.stderr)}): give {wanted}") from error


def _streams(text: str) -> list[StreamHeader]:
    """Parse the streams of the input, each with the indented lines below it."""
    streams: list[StreamHeader] = []
    in_group, known = False, False
    for line in text.splitlines():
        if line.startswith(("  Stream ", "  Program ")):
            in_group = line.startswith("  Stream group")  # the streams of a group, such as a time code and its video, are indented below it
        unindented = line.removeprefix("  ") if in_group else line
        if match := _STREAM.match(unindented):
            streams.append(StreamHeader(int(match[1]), match[2], match[3], match[4]))
            known = True
        elif unindented.startswith("  Stream "):
            known = False  # a data stream: the lines below it are skipped
        elif known and unindented.startswith("    "):
            streams[-1] = replace(streams[-1], description=f"{streams[-1].description}\n{unindented}")
    return streams


def stream_tags(stream: StreamHeader) -> dict[str, str]:
    """The tags of one stream: Ogg keeps the tags of the file there."""
    tags: dict[str, str] = {}
    last, inside = None, False
    for line in stream.description.splitlines()[1:]:
        if not line.startswith("      "):
            inside = line == "    Metadata:"
        elif inside and (more := re.match(r" {22}: (.*)", line)) and last is not None:  # continues the last tag
            tags[last] += f"\n{more[1]}"
        elif inside and (tag := re.match(r"      (\S.*?) *: (.*)", line)):
            last = tag[1]
            tags[last] = tag[2]
    return {key: value for key, value in tags.items() if key.lower() not in ("encoder", "handler_name", "vendor_id")}


def _is_mp4(path: Path) -> bool:
    """Whether it begins with a box of MP4: ffmpeg goes by the name of a damaged file."""
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"free", b"wide", b"skip", b"moov")


def _tags(text: str) -> dict[str, str]:
    """The global part of an ffmetadata file; `=`, `;`, `#`, backslash and newline come escaped with a backslash."""
    body = text.split("\n", 1)[1] if text.startswith(";FFMETADATA") else text
    tags = _pairs(re.split(r"(?<!\\)(?:^|\n)\[", body)[0])
    of_the_container = {"major_brand", "minor_version", "compatible_brands", "encoder"}
    return {key: value for key, value in tags.items() if key.lower() not in of_the_container}


def _chapters(text: str) -> list[tuple[float, float, dict[str, str]]]:
    """The chapters in an ffmetadata file."""
    chapters = []
    for part in re.split(r"(?<!\\)\n\[CHAPTER\]\n", text)[1:]:
        tags = _pairs(re.split(r"(?<!\\)\n\[", part)[0])
        try:
            tick = Fraction(tags.pop("TIMEBASE", "1/1000000000"))
            chapters.append((float(int(tags.pop("START")) * tick), float(int(tags.pop("END")) * tick), tags))
        except (KeyError, ValueError, ZeroDivisionError):
            continue
    return chapters


def _pairs(body: str) -> dict[str, str]:
    tags = {}
    for line in re.split(r"(?<!\\)\n", body):
        key, equals, value = re.sub(r"\\(.)", lambda match: match[1], line, flags=re.DOTALL).partition("=")
        if equals:
            tags[key] = value
    return tags
