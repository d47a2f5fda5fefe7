"""Output files that options name, checked before any work is done for them."""

from pathlib import Path

from mmvatool.errors import OutputError
from mmvatool.files import check_name


def check_target(target: Path, suffix: str, *, overwrite: bool, option: str = "", kind: str = "") -> None:
    """Check that a file can be written.

    Args:
        target: the file.
        suffix: that it must have, in lower case with the dot.
        overwrite: whether it may exist.
        option: that names another, for the message.
        kind: of file, for the message: "the plot is a PNG".

    Raises:
        OutputError: its suffix is another one, its name too long, it is a folder, its folder does not exist, or it exists and `overwrite` is False.
    """
    hint = f" with {option}" if option else ""
    if target.suffix.lower() != suffix:
        raise OutputError(target, f"{f'{kind}: ' if kind else ''}name it {suffix}")
    check_name(target)
    if target.is_dir():
        raise OutputError(target, f"is a folder: choose another name{hint}")
    if not target.parent.is_dir():
        raise OutputError(target, f"its folder does not exist: create it, or choose another{hint}")
    if target.exists() and not overwrite:
        raise OutputError(target, "already exists: use --overwrite")
