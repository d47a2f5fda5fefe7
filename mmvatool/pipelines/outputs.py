"""Targets that are refused before any work is done for them."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmvatool.errors import OutputError
from mmvatool.media.encode import CONTAINERS


def check_writable(files: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse what cannot be written.

    Args:
        files: all that will be written, the video first.
        inputs: what is read.
        overwrite: whether files that exist may be replaced.

    Raises:
        OutputError: a file exists (without `overwrite`), is an input, has a suffix that cannot be written, or its folder
            is not there or not writable.
    """
    target = files[0]
    if target.suffix.lower() not in CONTAINERS:
        raise OutputError(target, f"cannot write {target.suffix or 'a file without suffix'}: name it {', '.join(CONTAINERS)}")
    if target.exists() and any(path.exists() and target.samefile(path) for path in inputs):
        raise OutputError(target, "is the input itself: choose another name with -o")
    check_free(files, overwrite=overwrite)


def check_free(files: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files of any kind that cannot be written.

    Raises:
        OutputError: one exists (without `overwrite`), or its folder is not there or not writable.
    """
    for file in files:
        if not file.parent.is_dir():
            raise OutputError(file, "its folder does not exist: create it, or choose another with -o")
        if not os.access(file.parent, os.W_OK):
            raise OutputError(file, "its folder is not writable: choose another with -o")
        if file.is_dir():
            raise OutputError(file, "is a folder: choose another name with -o")
        if file.exists() and not overwrite:
            raise OutputError(file, "already exists: use --overwrite or --skip-existing")
