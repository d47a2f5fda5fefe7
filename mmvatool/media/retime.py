"""Chapters and subtitles, moved from the times of a source to those of what is kept of it. Pure.

Subtitles are texts in SubRip's, WebVTT's or ASS's form, as ffmpeg writes them; of an ASS text all but the times stays as it is.
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
"""A stretch of the source, and when it begins in the result, in seconds."""


@dataclass(frozen=True)
class Chapter:
    """A titled stretch."""

    start_s: float
    end_s: float
    title: str


def moved(start_s: float, end_s: float, pieces: Sequence[Piece]) -> list[tuple[float, float]]:
    """When [start_s, end_s) of the source is shown in the result: once for each piece that holds some of it."""
    found = []
    for source, begins_s in pieces:
        first_s, past_s = max(start_s, source.start_s), min(end_s, source.end_s)
        if past_s - first_s >= LEAST_S:
            found.append((begins_s + first_s - source.start_s, begins_s + past_s - source.start_s))
    return found


def move_chapters(chapters: Sequence[Chapter], pieces: Sequence[Piece]) -> list[Chapter]:
    """Each chapter of which something is kept, from its first part to its last."""
    kept = [(chapter, moved(chapter.start_s, chapter.end_s, pieces)) for chapter in chapters]
    return [Chapter(parts[0][0], parts[-1][1], chapter.title) for chapter, parts in kept if parts]


def chapter_each(pieces: Sequence[Piece]) -> list[Chapter]:
    """A chapter for each piece, with its time in the source for a title."""
    return [
        Chapter(start_s, start_s + source.length_s, f"{format_clock(int(source.start_s))} - {format_clock(int(source.end_s))}")
        for source, start_s in pieces
    ]


def move_subtitles(text: str, form: str, pieces: Sequence[Piece]) -> str | None:
    """The subtitles of which something is kept, at their new times: one that a cut splits comes twice.

    Args:
        text: all subtitles, as ffmpeg writes them.
        form: one of FORMS.
        pieces: what is kept, in order.

    Returns:
        The text in the same form; None if nothing is kept.
    """
    text = text.replace("\r\n", "\n")
    if form == "ass":
        return _move_ass(text, pieces)
    marks = list((_SRT if form == "srt" else _VTT).finditer(text))
    bounds = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    lines = []
    for mark, past in zip(marks, bounds, strict=True):
        body = text[mark.end() : past].rstrip("\n")
        lines += [(at, mark[3], body) for at in moved(_seconds(mark[1]), _seconds(mark[2]), pieces)]
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
    spoken: list[tuple[tuple[float, float], str, str]] = []
    place = None
    for line in text.split("\n"):
        found = _DIALOGUE.match(line)
        if not found:
            lines.append(line)
            continue
        place = len(lines) if place is None else place
        spoken += [(at, found[1], found[4]) for at in moved(_seconds(found[2]), _seconds(found[3]), pieces)]
    spoken.sort(key=lambda said: said[0])
    if not spoken:
        return None
    lines[place:place] = [f"{layer},{_ass_time(a)},{_ass_time(b)},{rest}" for (a, b), layer, rest in spoken]
    return "\n".join(lines)


def to_metadata(chapters: Sequence[Chapter]) -> str:
    """Chapters in ffmpeg's own form, ffmetadata."""
    parts = [";FFMETADATA1"]
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
