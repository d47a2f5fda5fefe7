"""Moves chapters and subtitles from the times of a source to those of a result made of segments of it. Pure.

Subtitles are texts in SubRip, WebVTT or ASS, as ffmpeg writes them; in ASS only the times change.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmvatool.text import format_clock
from mmvatool.timeline import Segment

FORMS = ("srt", "webvtt", "ass")
LEAST_S = 0.01  # what is shorter is rounded away in ASS

_SRT = re.compile(r"^\d+\r?\n(\d+:\d\d:\d\d[,.]\d{3}) --> (\d+:\d\d:\d\d[,.]\d{3})([^\n]*)\n", re.MULTILINE)
_VTT = re.compile(r"^(?:[^\n]+\n)?((?:\d+:)?\d\d:\d\d\.\d{3}) --> ((?:\d+:)?\d\d:\d\d\.\d{3})([^\n]*)\n", re.MULTILINE)
_DIALOGUE = re.compile(r"^(Dialogue: [^,]*),([^,]*),([^,]*),(.*)$")

Piece = tuple[Segment, float]
"""A segment of the source, and its start in the result, in seconds."""


@dataclass(frozen=True)
class Chapter:
    """A titled interval."""

    start_s: float
    end_s: float
    title: str


def move_interval(start_s: float, end_s: float, pieces: Sequence[Piece]) -> list[tuple[float, float]]:
    """The intervals of the result that show [start_s, end_s) of the source: one for each piece that contains some of it."""
    intervals = []
    for source, begins_s in pieces:
        first_s, stop_s = max(start_s, source.start_s), min(end_s, source.end_s)
        if stop_s - first_s >= LEAST_S:
            intervals.append((begins_s + first_s - source.start_s, begins_s + stop_s - source.start_s))
    return intervals


def move_chapters(chapters: Sequence[Chapter], pieces: Sequence[Piece]) -> list[Chapter]:
    """The chapters of which some part is kept, each from its first part to its last."""
    kept = [(chapter, move_interval(chapter.start_s, chapter.end_s, pieces)) for chapter in chapters]
    return [Chapter(parts[0][0], parts[-1][1], chapter.title) for chapter, parts in kept if parts]


def chapter_each(pieces: Sequence[Piece]) -> list[Chapter]:
    """A chapter for each piece, with its time in the source for a title."""
    return [
        Chapter(start_s, start_s + source.length_s, f"{format_clock(int(source.start_s))} - {format_clock(int(source.end_s))}")
        for source, start_s in pieces
    ]


def move_subtitles(text: str, form: str, pieces: Sequence[Piece]) -> str | None:
    """Subtitles at their new times, without those that are cut away: one that a cut splits appears twice.

    Args:
        text: all subtitles, as ffmpeg writes them.
        form: one of FORMS.
        pieces: the segments of the result, in order.

    Returns:
        The text in the same format; None if no subtitle is left.
    """
    text = text.replace("\r\n", "\n")
    if form == "ass":
        return _move_ass(text, pieces)
    marks = list((_SRT if form == "srt" else _VTT).finditer(text))
    bounds = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    lines = []
    for mark, stop in zip(marks, bounds, strict=True):
        body = text[mark.end() : stop].rstrip("\n")
        lines += [(interval, mark[3], body) for interval in move_interval(_seconds(mark[1]), _seconds(mark[2]), pieces)]
    lines.sort(key=lambda line: line[0])
    if not lines:
        return None
    if form == "webvtt":
        head = text[: marks[0].start()].rstrip("\n") or "WEBVTT"
        return "\n\n".join([head, *(f"{_time(a, '.')} --> {_time(b, '.')}{more}\n{body}" for (a, b), more, body in lines)]) + "\n"
    numbered = enumerate(lines, start=1)
    return "\n\n".join(f"{number}\n{_time(a, ',')} --> {_time(b, ',')}{more}\n{body}" for number, ((a, b), more, body) in numbered) + "\n"


def _move_ass(text: str, pieces: Sequence[Piece]) -> str | None:
    lines: list[str] = []
    dialogue: list[tuple[tuple[float, float], str, str]] = []
    index = None
    for line in text.split("\n"):
        match = _DIALOGUE.match(line)
        if not match:
            lines.append(line)
            continue
        index = len(lines) if index is None else index
        dialogue += [(interval, match[1], match[4]) for interval in move_interval(_seconds(match[2]), _seconds(match[3]), pieces)]
    dialogue.sort(key=lambda event: event[0])
    if not dialogue:
        return None
    lines[index:index] = [f"{layer},{_ass_time(a)},{_ass_time(b)},{rest}" for (a, b), layer, rest in dialogue]
    return "\n".join(lines)


def to_metadata(chapters: Sequence[Chapter]) -> str:
    """Chapters in ffmpeg's metadata format, ffmetadata, to follow its head."""
    parts = []
    for chapter in chapters:
        title = re.sub(r"([=;#\\\n])", r"\\\1", chapter.title)
        parts += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={round(1000 * chapter.start_s)}",
            f"END={round(1000 * chapter.end_s)}",
            f"title={title}",
        ]
    return "\n".join(parts) + "\n"


def _seconds(text: str) -> float:
    seconds = 0.0
    for part in text.strip().replace(",", ".").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _time(seconds: float, point: str) -> str:
    """hh:mm:ss.mmm."""
    minutes, thousandths = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{thousandths // 1000:02d}{point}{thousandths % 1000:03d}"


def _ass_time(seconds: float) -> str:
    """h:mm:ss.cc."""
    minutes, hundredths = divmod(round(100 * seconds), 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"
