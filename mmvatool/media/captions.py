"""Chapters and subtitles of a source, read, moved to the times of what is kept, and laid beside the rendered picture by copying that."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, headers
from mmvatool.media.headers import StreamHeader
from mmvatool.media.probe import MediaInfo
from mmvatool.media.retime import Chapter, Piece, chapter_each, move_chapters, move_subtitles, to_metadata

# What ffmpeg turns into no text.
IMAGE_CODECS = ("hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub", "dvb_teletext", "arib_caption")
FORMS = {"ass": "ass", "ssa": "ass", "webvtt": "webvtt"}  # what a codec is read as, SubRip else
DISPOSITIONS = (
    "default",
    "forced",
    "hearing impaired",
    "visual impaired",
    "comment",
    "lyrics",
    "original",
    "dub",
    "captions",
    "descriptions",
)


@dataclass(frozen=True)
class Subtitles:
    """A track, moved: its text in one of captions.FORMS, and what players are told of it."""

    text: str
    form: str
    language: str | None
    title: str | None
    dispositions: tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """What comes along."""

    chapters: tuple[Chapter, ...]
    subtitles: tuple[Subtitles, ...]


def read_captions(info: MediaInfo, pieces: Sequence[Piece], *, own_chapters: bool, warnings: list[str]) -> Captions:
    """Read the chapters and subtitles of a source and move them.

    Args:
        info: the probed source.
        pieces: what is kept of it, and when it is shown in the result.
        own_chapters: make a chapter for each piece instead of taking those of the source.
        notes: gets a sentence for what cannot come along.
    """
    header = headers.read(info.path, "a video file")
    given = [Chapter(start_s - info.origin_s, end_s - info.origin_s, tags.get("title", "")) for start_s, end_s, tags in header.chapters]
    chapters = chapter_each(pieces) if own_chapters else move_chapters(given, pieces)
    subtitles = []
    for number, entry in enumerate(header.subtitles, start=1):
        language = f" ({entry[1]})" if entry[1] else ""
        codec = re.split(r"[ ,]", entry[3], maxsplit=1)[0]
        if codec in IMAGE_CODECS:
            warnings.append(f"subtitle track {number}{language} is of pictures ({codec}), which cannot be moved: left out")
            continue
        form = FORMS.get(codec, "srt")
        try:
            text = _read(info, entry, form)
        except MediaError as error:
            warnings.append(f"subtitle track {number}{language} cannot be read ({error.problem}): left out")
            continue
        moved = move_subtitles(text, form, pieces)
        if moved is not None:
            marks = tuple(name.replace(" ", "_") for name in DISPOSITIONS if f"({name})" in entry[3].split("\n")[0])
            subtitles.append(Subtitles(moved, form, entry[1], headers.stream_tags(entry).get("title"), marks))
    return Captions(tuple(chapters), tuple(subtitles))


def _read(info: MediaInfo, entry: StreamHeader, form: str) -> str:
    # On the clock of the picture: the container's, which is moved so that it begins at 0.
    node = ffmpeg.source(info.path, itsoffset=f"{-info.origin_s:.6f}")[str(entry[0])]
    # Copied, an ASS track keeps its styles.
    codec = {"c:s": "copy"} if form == "ass" else {"c:s": form}
    return ffmpeg.run(node.output("pipe:", format=form, **codec), info.path).stdout.decode("utf-8", "replace")


def mux_captions(captions: Captions, picture: Path, result: Path, warnings: list[str]) -> Path:
    """Lay chapters and subtitles beside a rendered picture and its sound, whose packets are copied.

    Args:
        captions: what to lay.
        picture: a rendered and checked file.
        result: a file beside it with the same suffix, to write.
        notes: gets a sentence if it cannot be done.

    Returns:
        The file to go on with: `result`, or `picture` if there is nothing to lay or it cannot be done.
    """
    if not captions.chapters and not captions.subtitles:
        return picture
    suffix = picture.suffix.lower()
    source, has_audio = ffmpeg.source(picture), headers.read(picture, "a video file").default_audio is not None
    options: dict[str, Any] = {"c": "copy", "map_metadata": 0, "map_chapters": 1 + len(captions.subtitles), "max_interleave_delta": 0}
    if suffix in (".mp4", ".m4v", ".mov"):
        options |= {"movflags": "+faststart"} | ({"format": "mp4"} if suffix == ".m4v" else {})
    with tempfile.TemporaryDirectory(prefix=".mmvatool-", dir=result.parent) as folder:
        chapters = Path(folder) / "chapters.txt"
        chapters.write_text(to_metadata(captions.chapters), encoding="utf-8")
        streams = [source["v"], *([source["a"]] if has_audio else [])]
        for number, track in enumerate(captions.subtitles):
            text = Path(folder) / f"{number}.{'vtt' if track.form == 'webvtt' else track.form}"
            text.write_text(track.text, encoding="utf-8")
            options |= {f"c:s:{number}": _codec(suffix, track.form), f"disposition:s:{number}": "+".join(track.dispositions) or "0"}
            if track.language:
                options[f"metadata:s:s:{number}"] = f"language={track.language}"
            if track.title:  # the same stream by another name: ffmpeg-python takes an option once
                options[f"metadata:s:{len(streams)}"] = f"title={track.title}"
            streams.append(ffmpeg.source(text)["s"])
        try:
            ffmpeg.run(ffmpeg.output(streams, result, **options), picture, extra_input=chapters)
            whole = _stream_hash(result) == _stream_hash(picture) and len(headers.read(result, "a video file").subtitles) == len(
                captions.subtitles
            )
            problem = None if whole else "the picture would suffer"
        except MediaError as error:
            problem = error.problem
    if problem is None:
        return result
    warnings.append(f"its chapters and subtitles cannot be laid into a {suffix} ({problem}): left out")
    return picture


def _codec(suffix: str, form: str) -> str:
    if suffix == ".mkv":
        return "ass" if form == "ass" else "srt"
    return "webvtt" if suffix == ".webm" else "mov_text"


def _stream_hash(path: Path) -> bytes:
    """A hash of the packets of picture and sound."""
    # Without a choice ffmpeg takes one stream of each kind.
    node = ffmpeg.source(path).output("pipe:", c="copy", sn=None, format="streamhash", hash="murmur3")
    return ffmpeg.run(node, path).stdout
