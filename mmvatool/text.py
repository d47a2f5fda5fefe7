"""Times and names as people read them. Pure."""


def printable(text: str, replacement: str | None = None) -> str:
    """Text on one line: control characters, bytes that are not UTF-8 and marks of writing direction are escaped.

    Args:
        text: may hold anything, lone surrogates included.
        replacement: stands for each such character instead of its escape.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) if replacement is None else replacement for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def shorten(text: str, limit: int = 70) -> str:
    """A printable text on one line, cut after `limit` characters."""
    shown = printable(text[: limit + 1])
    return shown if len(text) <= limit else f"{shown[: limit - 3]}..."


def format_clock(seconds: float, *, decimals: int = 0, hours: bool = True) -> str:
    """m:ss, or h:mm:ss from an hour on.

    Args:
        seconds: rounded to `decimals` places.
        decimals: places of the seconds.
        hours: False counts minutes beyond 59 instead.
    """
    units = 10**decimals
    minutes, rest = divmod(round(seconds * units), 60 * units)
    shown = f"{rest // units:02d}" + (f".{rest % units:0{decimals}d}" if decimals else "")
    if hours and minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{shown}"
    return f"{minutes}:{shown}"


def format_position(seconds: float) -> str:
    """`format_clock` with tenths of a second where they are not 0: 0:12, 0:16.5, 1:02:03."""
    return format_clock(seconds, decimals=1).removesuffix(".0")


def format_length(seconds: float, longest_s: float | None = None) -> str:
    """Tenths of a second where the longest length that it is compared with is under a minute, else m:ss.

    Args:
        seconds: the length.
        longest_s: of the lengths shown beside it; itself if None.
    """
    return f"{seconds:.1f} s" if (seconds if longest_s is None else longest_s) < 60 else format_clock(seconds)
