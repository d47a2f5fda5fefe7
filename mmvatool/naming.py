"""The natural order of file names. Pure."""

import re
from pathlib import Path


def natural(path: Path) -> tuple[list[list[tuple[bool, int, str]]], str]:
    """A key to sort by: clip before clip2 before clip10, folder by folder; what differs in zeros or case alone by its spelling."""
    pieces = [re.split(r"(\d+)", name) for name in (*path.parent.parts, path.stem)]
    return [[(part.isdecimal(), int(part) if part.isdecimal() else 0, part.lower()) for part in parts] for parts in pieces], str(path)
