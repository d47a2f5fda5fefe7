"""Files: their kinds by suffix, their natural order, the user's cache folder, and writing them completely or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmvatool.errors import OutputError

# In lower case, with the dot.
PICTURE_SUFFIXES = frozenset(
    f".{name}" for name in ["avif", "bmp", "gif", "heic", "heif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"]
)
SOUND_SUFFIXES = frozenset(
    f".{name}"
    for name in ["aac", "ac3", "aif", "aiff", "amr", "ape", "flac", "m4a", "mka", "mp2", "mp3", "oga", "ogg", "opus", "wav", "wma", "wv"]
)
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in [
        "3gp",
        "asf",
        "avi",
        "flv",
        "m2ts",
        "m4v",
        "mkv",
        "mov",
        "mp4",
        "mpeg",
        "mpg",
        "mts",
        "mxf",
        "ogv",
        "ts",
        "vob",
        "webm",
        "wmv",
    ]
)
# What an index takes for music in a folder, in the order of messages: of SOUND_SUFFIXES those that music is kept in.
MUSIC_SUFFIXES = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff", ".aif", ".aac", ".wma")
MEDIA_SUFFIXES = PICTURE_SUFFIXES | SOUND_SUFFIXES | VIDEO_SUFFIXES

_PREFIX = ".mmvatool-"
_mark = ""  # in the names of this process's temporary files


def is_own_output(name: str) -> bool:
    """Whether a name is one that this tool gives its outputs: `<name>.summary.<suffix>` or `<name>.soundtrack.<suffix>`."""
    return bool(re.search(r"\.(summary|soundtrack)\.[^.]+$", name))


def natural_key(path: Path) -> tuple[list[list[tuple[bool, int, str]]], str]:
    """A key to sort by: clip before clip2 before clip10, folder by folder; names that differ in zeros or case alone by spelling."""
    pieces = [re.split(r"(\d+)", name) for name in (*path.parent.parts, path.stem)]
    return [[(part.isdecimal(), int(part) if part.isdecimal() else 0, part.lower()) for part in parts] for parts in pieces], str(path)


def cache_dir() -> Path:
    """The folder of this program's caches, where the system keeps such: on Linux `$XDG_CACHE_HOME/mmvatool`, else `~/.cache/mmvatool`.

    It may not exist yet.

    Raises:
        RuntimeError: the user has no home folder.
    """
    from platformdirs import user_cache_path

    found = user_cache_path("mmvatool", appauthor=False)
    if not found.is_absolute():
        raise RuntimeError("no home folder")
    return found


def set_temp_prefix(text: str) -> None:
    """Put a mark in the names of this process's temporary files, by which `remove_temp_files` finds them after a crash."""
    global _mark
    _mark = f"{text}-"


def remove_temp_files(folder: Path, text: str) -> None:
    """Remove the temporary files with this mark that a process left directly in a folder."""
    with suppress(OSError):
        for left in list(folder.iterdir()):
            if left.name.startswith(f"{_PREFIX}{text}-"):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def write_file(target: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it.

    Raises:
        OutputError: it cannot be written; no part of it is left.
    """
    temporary = target
    try:
        handle, name = tempfile.mkstemp(prefix=f"{_PREFIX}{_mark}", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror}): choose another place") from error
    finally:
        if temporary != target:
            temporary.unlink(missing_ok=True)


def list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files directly in a folder with one of these suffixes, in natural order; hidden ones are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith("."))
    return sorted((file for file in files if file.is_file()), key=natural_key)


def default_output(path: Path, kind: str) -> Path:
    """The default path of a result: `<name>.<kind>.mp4`, beside the input file or folder."""
    if not path.is_dir():
        return path.with_name(f"{path.stem}.{kind}.mp4")
    resolved = path.resolve()
    return (resolved.parent if path.name in ("", "..") else path.parent) / f"{resolved.name}.{kind}.mp4"


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A temporary folder beside the target, so that the last step is a rename; it is removed afterwards in any case.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{_mark}", dir=target.parent))
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
