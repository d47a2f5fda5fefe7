"""What the headers of a media file say of its streams and tags: one run of ffmpeg that decodes nothing."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg

_STREAM = re.compile(r"^  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\(([^()]+)\))?: (Video|Audio|Subtitle): (.*)$")

StreamHeader = tuple[int, str | None, str, str]  # index, language, kind, ffmpeg's description with what follows it


@dataclass(frozen=True)
class Headers:
    """What they say: `origin_s` is the container's clock at time 0, `stated_s` its length, None where it claims none.

    `chapters` are start and end on the container's clock, in seconds, and tags.
    """

    container: str
    origin_s: float
    stated_s: float | None
    entries: list[StreamHeader]
    tags: dict[str, str]
    chapters: list[tuple[float, float, dict[str, str]]]

    @property
    def videos(self) -> list[StreamHeader]:
        """Streams of moving pictures; cover art is none."""
        return [entry for entry in self.entries if entry[2] == "Video" and "(attached pic)" not in entry[3]]

    @property
    def subtitles(self) -> list[StreamHeader]:
        """Streams of subtitles."""
        return [entry for entry in self.entries if entry[2] == "Subtitle"]

    @property
    def default_audio(self) -> StreamHeader | None:
        """The stream of sound that players choose."""
        audios = [entry for entry in self.entries if entry[2] == "Audio"]
        return next((entry for entry in audios if "(default)" in entry[3]), audios[0] if audios else None)


def read(path: Path, wanted: str) -> Headers:
    """Read a file's headers.

    Args:
        path: the file.
        wanted: what an error asks for, "a video file".

    Raises:
        MediaError: not there, empty, unreadable, or not media.
    """
    if not path.is_file():
        raise MediaError(path, "no such file: check the name")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(path, "the file is empty: record or copy it again")
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror}): check its permissions") from error
    try:
        output = ffmpeg.run(ffmpeg.source(path).output("pipe:", format="ffmetadata", map_metadata=0), path, log="info", limit_s=120)
    except ffmpeg.FFmpegError as error:
        if "moov atom not found" in error.stderr and _is_mp4(path):
            raise MediaError(
                path, "is truncated or was never finished (its index, the moov atom, is missing): copy or export it again"
            ) from error
        raise MediaError(path, f"is not a media file ({ffmpeg.last_error(error.stderr)}): give {wanted}") from error
    container = re.search(r"^Input #0, (\S+), from '", output.stderr, re.MULTILINE)
    entries: list[StreamHeader] = []
    grouped, known = False, False
    for line in output.stderr.split("Output #0")[0].splitlines():
        if line.startswith(("  Stream ", "  Program ")):
            grouped = line.startswith("  Stream group")  # what belongs together, a time code and its picture, is indented below it
        shown = line.removeprefix("  ") if grouped else line
        if match := _STREAM.match(shown):
            entries.append((int(match[1]), match[2], match[3], match[4]))
            known = True
        elif shown.startswith("  Stream "):
            known = False  # of data: what follows belongs to none of ours
        elif known and shown.startswith("    "):
            entries[-1] = (*entries[-1][:3], f"{entries[-1][3]}\n{shown}")
    origin = re.search(r"^  Duration: .*, start: (-?[\d.]+)", output.stderr, re.MULTILINE)
    length = re.search(r"^  Duration: (\d+):(\d\d):([\d.]+)", output.stderr, re.MULTILINE)
    return Headers(
        container=container[1] if container else "unknown",
        origin_s=float(origin[1]) if origin else 0.0,
        stated_s=int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else None,
        entries=entries,
        tags=_tags(output.stdout.decode(errors="replace")),
        chapters=_chapters(output.stdout.decode(errors="replace")),
    )


def stream_tags(entry: StreamHeader) -> dict[str, str]:
    """The tags of one stream: Ogg keeps what others say of the file there."""
    tags: dict[str, str] = {}
    last, inside = None, False
    for line in entry[3].splitlines()[1:]:
        if not line.startswith("      "):
            inside = line == "    Metadata:"
        elif inside and (more := re.match(r" {22}: (.*)", line)) and last is not None:  # a further line of the tag before
            tags[last] += f"\n{more[1]}"
        elif inside and (tag := re.match(r"      (\S.*?) *: (.*)", line)):
            last = tag[1]
            tags[last] = tag[2]
    return {key: value for key, value in tags.items() if key.lower() not in ("encoder", "handler_name", "vendor_id")}


def _is_mp4(path: Path) -> bool:
    """ffmpeg takes any file named .mp4 for one; a real one begins with a box of one of these kinds."""
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"free", b"wide", b"skip", b"moov")


def _tags(text: str) -> dict[str, str]:
    """The global part of an ffmetadata file; `=`, `;`, `#`, backslash and newline come escaped with a backslash."""
    body = text.split("\n", 1)[1] if text.startswith(";FFMETADATA") else text
    tags = _pairs(re.split(r"(?<!\\)(?:^|\n)\[", body)[0])
    of_the_file = {"major_brand", "minor_version", "compatible_brands", "encoder"}
    return {key: value for key, value in tags.items() if key.lower() not in of_the_file}


def _chapters(text: str) -> list[tuple[float, float, dict[str, str]]]:
    """The chapters in an ffmetadata file."""
    found = []
    for part in re.split(r"(?<!\\)\n\[CHAPTER\]\n", text)[1:]:
        tags = _pairs(re.split(r"(?<!\\)\n\[", part)[0])
        try:
            tick = Fraction(tags.pop("TIMEBASE", "1/1000000000"))
            found.append((float(int(tags.pop("START")) * tick), float(int(tags.pop("END")) * tick), tags))
        except (KeyError, ValueError, ZeroDivisionError):
            continue
    return found


def _pairs(body: str) -> dict[str, str]:
    tags = {}
    for line in re.split(r"(?<!\\)\n", body):
        key, equals, value = re.sub(r"\\(.)", lambda found: found[1], line, flags=re.DOTALL).partition("=")
        if equals:
            tags[key] = value
    return tags
