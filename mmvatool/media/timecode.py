"""SMPTE time codes: hours, minutes, seconds and frames as the name of a frame."""

import re
from fractions import Fraction

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")


def drops(timecode: str | None, rate: Fraction) -> bool:
    """Whether numbers are dropped: they can be at 30000/1001 and 60000/1001, and are counted without it elsewhere, whatever the flag says."""
    return rate in (Fraction(30000, 1001), Fraction(60000, 1001)) and re.search(r"[;.]\d+$", timecode or "") is not None


def timecode_frames(timecode: str | None, rate: Fraction) -> int:
    """The number of the frame that a time code names: `01:00:00:00`, or `01:00:00;00` where numbers are dropped; 0 without one.

    Args:
        timecode: hours, minutes, seconds, frames.
        rate: frames a second; 24000/1001 counts 24.
    """
    match = _TIMECODE.fullmatch(timecode or "")
    if not match:
        return 0
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    counted = round(rate)
    minutes += 60 * hours
    number = (60 * minutes + seconds) * counted + frames
    # Each minute but every tenth lacks the first 2 numbers of 30, 4 of 60.
    return number - (counted // 15 * (minutes - minutes // 10) if drops(timecode, rate) else 0)


def timecode_text(number: int, rate: Fraction, *, drop: bool = False) -> str:
    """The time code that names a frame: `timecode_frames` the other way round. After 24 hours it begins at 0.

    Args:
        number: of the frame, from 0.
        rate: frames a second; 24000/1001 counts 24.
        drop: whether numbers are dropped.
    """
    counted = max(1, round(rate))
    if drop:
        dropped = counted // 15
        tens, rest = divmod(number, 600 * counted - 9 * dropped)
        number += dropped * (9 * tens + max(0, rest - dropped) // (60 * counted - dropped))
    seconds, frames = divmod(number, counted)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{';' if drop else ':'}{frames:02d}"
