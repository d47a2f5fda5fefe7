"""Chapters and subtitles of a source: read, moved to the times of the result, and muxed with the rendered video, which is copied."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, headers, tags
from mmvatool.media.encode import copy_options
from mmvatool.media.headers import StreamHeader
from mmvatool.media.probe import MediaInfo
from mmvatool.media.retime import Chapter, Piece, chapter_each, move_chapters, move_subtitles, to_metadata

# Subtitles that ffmpeg cannot convert to text.
IMAGE_CODECS = ("hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub", "dvb_teletext", "arib_caption")
FORMS = {"ass": "ass", "ssa": "ass", "webvtt": "webvtt"}  # the format that a codec is read as; SubRip otherwise
DISPOSITIONS = (
    "default",
    "forced",
    "hearing_impaired",
    "visual_impaired",
    "comment",
    "lyrics",
    "original",
    "dub",
    "captions",
    "descriptions",
)


@dataclass(frozen=True)
class Subtitles:
    """A subtitle track with its new times: the text in one of retime.FORMS, and what players show of the track."""

    text: str
    form: str
    language: str | None
    title: str | None
    dispositions: tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """The chapters and subtitles of a result."""

    chapters: tuple[Chapter, ...]
    subtitles: tuple[Subtitles, ...]


def read_captions(info: MediaInfo, pieces: Sequence[Piece], *, own_chapters: bool, warnings: list[str]) -> Captions:
    """Read the chapters and subtitles of a source and move them.

    Args:
        info: the probed source.
        pieces: the segments of it in the result, with their start there.
        own_chapters: make a chapter for each piece instead of moving those of the source.
        warnings: gets a sentence for each track that is left out.
    """
    header = headers.read(info.path, "a video file")
    source_chapters = [
        Chapter(start_s - info.origin_s, end_s - info.origin_s, names.get("title", "")) for start_s, end_s, names in header.chapters
    ]
    chapters = chapter_each(pieces) if own_chapters else move_chapters(source_chapters, pieces)
    subtitles = []
    for number, stream in enumerate(header.subtitles, start=1):
        language = f" ({stream.language})" if stream.language else ""
        codec = stream.codec
        if codec in IMAGE_CODECS:
            warnings.append(f"subtitle track {number}{language} is of pictures ({codec}), which cannot be moved: left out")
            continue
        form = FORMS.get(codec, "srt")
        try:
            text = _read(info, stream, form)
        except MediaError as error:
            warnings.append(f"subtitle track {number}{language} cannot be read ({error.problem}): left out")
            continue
        moved = move_subtitles(text, form, pieces)
        if moved is not None:
            dispositions = tuple(name for name in DISPOSITIONS if name in stream.dispositions)
            subtitles.append(Subtitles(moved, form, stream.language, stream.tags.get("title"), dispositions))
    return Captions(tuple(chapters), tuple(subtitles))


def _read(info: MediaInfo, stream: StreamHeader, form: str) -> str:
    """The text of a subtitle stream, on the container's clock shifted to begin at 0, as that of the video."""
    node = ffmpeg.source(info.path, itsoffset=f"{-info.origin_s:.6f}")[str(stream.index)]
    # Copied, an ASS track keeps its styles.
    codec = {"c:s": "copy"} if form == "ass" else {"c:s": form}
    return ffmpeg.run(node.output("pipe:", format=form, **codec), info.path).stdout.decode("utf-8", "replace")


def mux_captions(captions: Captions, picture: Path, result: Path, warnings: list[str]) -> Path:
    """Mux chapters and subtitles with a rendered video and its audio, whose packets are copied.

    Args:
        captions: what to add.
        picture: a rendered and checked file.
        result: the file to write, in the same folder and with the same suffix.
        warnings: gets a sentence if it cannot be done.

    Returns:
        The file to use: `result`, or `picture` if there is nothing to add or it cannot be done.
    """
    if not captions.chapters and not captions.subtitles:
        return picture
    suffix = picture.suffix.lower()
    source, header = ffmpeg.source(picture), headers.read(picture, "a video file")
    assert header.video is not None
    beside = 1 + len(captions.subtitles)  # the number of the file with tags and chapters among the inputs
    options: dict[str, Any] = {"c": "copy", "map_metadata": beside, "map_chapters": beside, "max_interleave_delta": 0}
    options |= copy_options(suffix, header.video.codec, all_tags=not tags.all_kept(header.tags, suffix))
    with tempfile.TemporaryDirectory(prefix=".mmvatool-", dir=result.parent, ignore_cleanup_errors=True) as folder:
        metadata = tags.write(header.tags, suffix, Path(folder) / "metadata.txt")
        with metadata.open("a", encoding="utf-8") as file:
            file.write(to_metadata(captions.chapters))
        streams = [source["v"], *([source["a"]] if header.default_audio else [])]
        for number, track in enumerate(captions.subtitles):
            options |= _track_options(track, number, len(streams), suffix)
            text = Path(folder) / f"{number}.{'vtt' if track.form == 'webvtt' else track.form}"
            text.write_text(track.text, encoding="utf-8")
            streams.append(ffmpeg.source(text)["s"])
        try:
            ffmpeg.run(ffmpeg.output(streams, result, **options), picture, extra_input=metadata)
            complete = _stream_hash(result) == _stream_hash(picture) and len(headers.read(result, "a video file").subtitles) == len(
                captions.subtitles
            )
            problem = None if complete else "the picture would suffer"
        except MediaError as error:
            problem = error.problem
    if problem is None:
        return result
    warnings.append(f"its chapters and subtitles cannot be laid into a {suffix} ({problem}): left out")
    return picture


def _track_options(track: Subtitles, number: int, stream: int, suffix: str) -> dict[str, str]:
    """Codec, disposition and tags of a subtitle track, by its number among the subtitles and among all streams of the output."""
    options = {f"c:s:{number}": _codec(suffix, track.form), f"disposition:s:{number}": "+".join(track.dispositions) or "0"}
    if track.language:
        options[f"metadata:s:s:{number}"] = f"language={track.language}"
    if track.title:  # the same stream by another specifier: ffmpeg-python takes each option once
        options[f"metadata:s:{stream}"] = f"title={track.title}"
    return options


def _codec(suffix: str, form: str) -> str:
    if suffix == ".mkv":
        return "ass" if form == "ass" else "srt"
    return "webvtt" if suffix == ".webm" else "mov_text"


def _stream_hash(path: Path) -> bytes:
    """A hash of the packets of video and audio."""
    # Without -map ffmpeg takes one stream of each kind.
    node = ffmpeg.source(path).output("pipe:", c="copy", sn=None, format="streamhash", hash="murmur3")
    return ffmpeg.run(node, path).stdout
