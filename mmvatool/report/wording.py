"""Numbers and ranges of time as pages show them. Pure."""

from mmvatool.text import format_position

AXES = "From 0, calm or unpleasant, to 1, excited or pleasant."


def format_score(value: float) -> str:
    """A number in [0, 1] with three places and no 0 before the point: .402."""
    return f"{value:.3f}".removeprefix("0")


def format_count(number: int, noun: str) -> str:
    """1 shot, 1,234 shots."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def format_range(start_s: float, end_s: float) -> str:
    """A range of time: 0:12–0:16.5."""
    return f"{format_position(start_s)}–{format_position(end_s)}"
