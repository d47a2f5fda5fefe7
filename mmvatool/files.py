"""Files: their kinds by suffix, their natural order, the user's cache folder, and writing them completely or not at all."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmvatool.errors import OutputError


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


# What folders are searched for, in lower case: the one list of suffixes.
PICTURE_SUFFIXES = _suffixes("apng avif bmp gif heic heif hif jfif jp2 jpe jpeg jpg png tga tif tiff webp")
SOUND_SUFFIXES = _suffixes(
    "3ga aac ac3 aif aifc aiff amr ape au caf dff dsf dts eac3 flac m4a m4b m4r mka mp2 mp3 mpc oga ogg opus ra snd spx tak tta "
    "w64 wav wave weba wma wv"
)
# Any of these may hold sound alone: where music is wanted, the content decides.
VIDEO_SUFFIXES = _suffixes(
    "3g2 3gp asf avi divx dv f4v flv insv m2p m2t m2ts m4v mk3d mkv mod mov mp4 mpe mpeg mpg mts mxf ogm ogv qt rm rmvb tod trp ts "
    "vob vro webm wmv wtv"
)
MEDIA_SUFFIXES = PICTURE_SUFFIXES | SOUND_SUFFIXES | VIDEO_SUFFIXES

NAME_BYTES = 255  # of a file name at most, on nearly all file systems
_KINDS_SHOWN = 5  # of files that are left out
_SUFFIX_CHARACTERS = 8  # a longer one is part of a name: "Mr. Smith's holiday"
# A move that a file system refuses between any two names, though it takes the file: unions of disks, object stores.
_NO_RENAME = (errno.EXDEV, errno.ENOSYS, errno.ENOTSUP)
_PREFIX = ".mmvatool-"
_mark = ""  # in the names of this process's temporary files


def is_own_output(name: str) -> bool:
    """Whether a name is one that this tool gives its outputs: `<name>.summary.<suffix>` or `<name>.soundtrack.<suffix>`, and their plans."""
    return bool(re.search(r"\.(summary|soundtrack)\.(plan\.json|[^.]+)$", name))


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
    # Not mkstemp, whose file others may not read until chmod is called, which network mounts refuse.
    temporary = target.with_name(f"{_PREFIX}{_mark}{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        move(temporary, target)
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror}): choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def move(file: Path, target: Path) -> None:
    """Rename a file, replacing the target; where the file system renames nothing, copy it, whole or not at all.

    Raises:
        OSError: the target cannot be written.
    """
    try:
        file.replace(target)
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        try:
            shutil.copyfile(file, target)
        except OSError:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise


def list_files(folder: Path, suffixes: Collection[str], left_out: Counter[str] | None = None) -> list[Path]:
    """Files directly in a folder with one of these suffixes, in natural order; hidden ones are left out.

    Args:
        folder: the folder.
        suffixes: in lower case, with the dot.
        left_out: is given the suffixes of the other files, as `describe_left_out` wants them.

    Raises:
        OSError: the folder cannot be read.
    """
    files = []
    for file in folder.iterdir():
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.lower() in suffixes:
            files.append(file)
        elif left_out is not None:
            count_left_out(left_out, file.name)
    return sorted(files, key=natural_key)


def count_left_out(left_out: Counter[str], name: str) -> None:
    """Count a file that is not read by its suffix, unless it is hidden or one of this tool's own."""
    if not name.startswith(".") and not is_own_output(name):
        suffix = Path(name).suffix.lower()
        left_out[suffix if len(suffix) <= _SUFFIX_CHARACTERS and " " not in suffix else ""] += 1


def describe_left_out(left_out: Counter[str]) -> str | None:
    """What is beside the files that were wanted: "12 other files left out: 8 .txt, 3 .srt, 1 .db"; None if there is nothing."""
    total = left_out.total()
    if not total:
        return None
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], not item[0], item[0]))
    shown = [f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds[:_KINDS_SHOWN]]
    rest = sum(count for _, count in kinds[_KINDS_SHOWN:])
    return f"{total} other file{'s' if total != 1 else ''} left out: {', '.join(shown)}{f' and {rest} more' if rest else ''}"


def default_output(path: Path, kind: str, *, stem: str | None = None, folder: Path | None = None) -> Path:
    """The default path of a result: `<name>.<kind>.mp4`, beside the input file or folder.

    Args:
        path: the input.
        kind: of result, "summary" or "soundtrack".
        stem: the name to use; the input's own, without its suffix, by default.
        folder: where to, instead of beside the input.
    """
    name, beside = path.stem, path.parent
    if path.is_dir():
        resolved = path.resolve()
        name, beside = resolved.name, resolved.parent if path.name in ("", "..") else path.parent
    spare = len(".html") - len(".mp4")  # the report lies beside it
    return fitting(beside if folder is None else folder, name if stem is None else stem, f".{kind}.mp4", spare)


def fitting(folder: Path, stem: str, ending: str, spare: int = 0) -> Path:
    """A file in a folder, its stem shortened where the name would be too long: to its first characters and a hash of all.

    Args:
        folder: need not be there yet.
        stem: the beginning of the name.
        ending: the rest of it.
        spare: bytes by which other files under this name end longer.
    """
    return folder / f"{_shortened(stem, _name_bytes(folder) - len(os.fsencode(ending)) - spare)}{ending}"


def check_name(target: Path) -> None:
    """Refuse a name that is too long for its folder.

    Raises:
        OutputError: it is.
    """
    if len(os.fsencode(target.name)) > (longest := _name_bytes(target.parent)):
        raise OutputError(target, f"its name is too long: choose one of {longest} bytes at most")


def _shortened(stem: str, room: int) -> str:
    """A stem in so many bytes, no character of it cut in two."""
    encoded = os.fsencode(stem)
    if len(encoded) <= room:
        return stem
    digest = hashlib.blake2b(encoded, digest_size=4).hexdigest()
    cut = max(0, room - len(digest) - 1)
    while cut and encoded[cut] & 0xC0 == 0x80:  # the next byte goes on with a character
        cut -= 1
    return f"{os.fsdecode(encoded[:cut]).rstrip()}~{digest}"


def _name_bytes(folder: Path) -> int:
    """How long a name in this folder may be."""
    for place in (folder, *folder.parents):
        try:
            return min(NAME_BYTES, os.pathconf(place, "PC_NAME_MAX"))  # less in encrypted folders
        except (AttributeError, OSError, ValueError):  # it is not there yet, or the system does not say
            continue
    return NAME_BYTES


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
