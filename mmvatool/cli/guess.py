"""What a user meant who named no command."""

import os
import shlex
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from mmvatool.files import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from mmvatool.text import printable


def guess(args: list[str], commands: Collection[str]) -> str:
    """The message of the usage error, with the command line that was probably meant.

    Args:
        args: the command line; the first word is no command.
        commands: names of all commands.
    """
    name, rest = args[0], args[1:]
    suffix = Path(name).suffix.lower()
    if name == "help":
        return f"No such command {name!r}: run {_line(*rest, '--help')}"
    if near := get_close_matches(name, commands, n=1):
        return printable(f"No such command {name!r}. Did you mean: {_line(near[0], *rest)}")
    if os.path.isdir(name):  # noqa: PTH112 - False for what cannot be a name
        return printable(f"{name!r} is a folder: run {_line('summarize', *args)}, or {_line('soundtrack', *args, '--library', 'music/')}")
    if suffix in VIDEO_SUFFIXES:
        return printable(f"{name!r} is a video: run {_line('summarize', *args)}")
    if suffix in PICTURE_SUFFIXES | SOUND_SUFFIXES:
        return printable(f"{name!r} is a {'picture' if suffix in PICTURE_SUFFIXES else 'sound'}: run {_line('score', *args)}")
    return printable(f"No such command {name!r}: mmvatool --help lists them")


def _line(*words: str) -> str:
    return shlex.join(("mmvatool", *words))
