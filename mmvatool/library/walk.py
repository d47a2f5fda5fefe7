"""The files below a folder of music, as the index knows them."""

import os
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

from mmvatool.errors import FileError, MediaError
from mmvatool.files import SOUND_SUFFIXES, VIDEO_SUFFIXES, count_left_out, is_own_output
from mmvatool.library.database import Stamp


class MusicFile(NamedTuple):
    """A file below the folder: its absolute path without links, its path as the user would write it, and its size and time."""

    path: bytes
    display_path: Path
    stamp: Stamp


def walk(root: Path, left_out: Counter[str] | None = None) -> tuple[list[MusicFile], list[FileError]]:
    """List all files below a folder that are music by suffix, or may be: any video may hold sound alone.

    Links are followed; each folder is visited once, under its own name if it has one there. Hidden files and folders and this tool's own
    outputs are left out.

    Args:
        root: the folder.
        left_out: is given the suffixes of the other files.

    Returns:
        The files, and an error for each folder and file that cannot be read.

    Raises:
        MediaError: the folder is not there.
    """
    if not root.is_dir():
        raise MediaError(root, "no such folder: name one with music in it")
    real = real_path(root)
    files: list[MusicFile] = []
    errors: list[FileError] = []
    visited: set[tuple[int, int]] = set()
    folders, links = deque([b""]), deque[bytes]()
    while folders or links:
        inside = folders.popleft() if folders else links.popleft()
        folder = os.path.join(real, inside)  # noqa: PTH118 - bytes
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            errors.append(file_error(error, root / os.fsdecode(inside)))
            continue
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            name = os.path.join(inside, entry.name)  # noqa: PTH118
            music = _is_music(os.fsdecode(entry.name))
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(name)
                elif music and entry.is_file():
                    files.append(MusicFile(entry.path, root / os.fsdecode(name), stamp_of(entry.stat())))
                elif left_out is not None and entry.is_file():
                    count_left_out(left_out, os.fsdecode(entry.name))
            except OSError as error:  # a link to itself, say
                if music:
                    errors.append(file_error(error, root / os.fsdecode(name)))
    return files, errors


def _is_music(name: str) -> bool:
    return Path(name).suffix.lower() in SOUND_SUFFIXES | VIDEO_SUFFIXES and not is_own_output(name)


def may_be_video(name: str) -> bool:
    """Whether a file has the suffix of a video: only its content tells whether it is music."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def real_path(root: Path) -> bytes:
    """The path of a folder in the index: absolute and without links."""
    return os.fsencode(root.resolve())


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file by its status."""
    return Stamp(status.st_size, status.st_mtime_ns)


def file_error(error: Exception, path: Path) -> FileError:
    """Any error as that of a file, with its path as the user would write it."""
    if isinstance(error, FileError):
        return MediaError(path, error.problem)
    if isinstance(error, OSError) and error.strerror:
        return MediaError(path, f"cannot be read ({error.strerror}): check its name and permissions")
    return MediaError(path, f"failed unexpectedly ({type(error).__name__}: {error}): please report it if the machine is well")
