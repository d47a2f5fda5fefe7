"""From the paths on a command line to jobs: which files are read, and where each result goes."""

import glob
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click

from mmvatool.errors import FileError, MediaError
from mmvatool.files import (
    MEDIA_SUFFIXES,
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    default_output,
    describe_left_out,
    is_own_output,
    list_files,
    natural_key,
)
from mmvatool.text import printable

LINE_CHARACTERS = 1 << 16  # of a line in a text file; the rest of a longer one is left out


@dataclass(frozen=True)
class Job:
    """An input and the file to write for it; `files` are all of its files where there are several, `input` being the first.

    `note` says why the target is not the one that its name would give, None where it is.
    """

    input: Path
    target: Path
    files: tuple[Path, ...] = ()
    note: str | None = None


class Found(NamedTuple):
    """What paths on a command line stand for: files, an error for each path without any, and a line for each thing to be said of the rest."""

    files: list[Path]
    errors: list[FileError]
    notes: list[str]


def read_path_list() -> list[str]:
    """Read paths from stdin: each ended by a null byte if there is one, else one a line."""
    data = sys.stdin.buffer.read()
    return [os.fsdecode(line) for line in (data.split(b"\0") if b"\0" in data else data.splitlines()) if line.strip()]


class TextFiles:
    """The lines of text files, stripped, without blank ones; they are read while they are iterated over.

    Attributes:
        errors: of the files that could not be read, are no text or have none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.errors: list[MediaError] = []
        self._paths = [Path(name) for name in names]

    def __iter__(self) -> Iterator[str]:
        for path in self._paths:
            try:
                yield from self._read(path)
            except OSError as error:
                self.errors.append(MediaError(path, f"cannot be read ({error.strerror}): check its name and permissions"))

    def _read(self, path: Path) -> Iterator[str]:
        empty = True
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            while line := file.readline(LINE_CHARACTERS):
                if "\0" in line:
                    self.errors.append(MediaError(path, "is not text: give a UTF-8 text file"))
                    return
                if text := line.strip():
                    empty = False
                    yield text
                while not line.endswith("\n") and (line := file.readline(LINE_CHARACTERS)):
                    pass
        if empty:
            self.errors.append(MediaError(path, "holds no text: give a file with a line or more"))


def find_videos(given: tuple[str, ...]) -> Found:
    """Named videos, videos directly in folders, and matches of patterns, as `find_files` returns them.

    The clips of Live Photos in folders are left out: what was meant to be kept is the picture.
    """
    found = find_files(given, "VIDEO|FOLDER", "video", VIDEO_SUFFIXES, alone=len(given) == 1)
    clips = {clip for text in given if text and os.path.isdir(text) for clip in _live_clips(Path(text), found.files)}  # noqa: PTH112
    clips -= {Path(text) for text in given}
    if not clips:
        return found
    files = [file for file in found.files if file not in clips]
    several = f"{len(clips)} clips of Live Photos" if len(clips) > 1 else f"{next(iter(clips))}: the clip of a Live Photo"
    note = f"{several} left out: name one to summarize it"
    if files or found.errors:
        return Found(files, found.errors, [*found.notes, note])
    return Found([], [MediaError(Path(given[0]), f"holds no video but {note}")], found.notes)


def _live_clips(folder: Path, videos: list[Path]) -> Collection[Path]:
    """The clips of Live Photos among the videos of a folder."""
    from mmvatool.media.live import CLIP_SUFFIXES, STILL_SUFFIXES, live_clips  # here: --help must not wait for numpy

    clips = [file for file in videos if file.parent == folder and file.suffix.lower() in CLIP_SUFFIXES]
    return live_clips([*clips, *list_files(folder, STILL_SUFFIXES)]) if clips else ()


def find_media(given: tuple[str, ...], *, alone: bool) -> Found:
    """Named media files, media directly in folders, and matches of patterns, as `find_files` returns them."""
    return find_files(given, "FILE|FOLDER|-", "media file", MEDIA_SUFFIXES, alone=alone, named=True)


def find_files(given: tuple[str, ...], metavar: str, kind: str, suffixes: Collection[str], *, alone: bool, named: bool = False) -> Found:
    """Named files, files with a suffix directly in folders, and matches of patterns (`**` goes into subfolders).

    This tool's own outputs are left out, unless one is named alone (or with others, if `named`). Patterns skip hidden files, as a shell's do.

    Args:
        given: paths as typed.
        metavar: the argument's name in the usage line.
        kind: a word for such a file in messages.
        suffixes: of the files to read from folders.
        alone: whether a single path is the only input: then it is a usage error if it does not exist.
        named: whether this tool's own outputs are inputs where they are named.

    Returns:
        The files in the order given (folders and patterns in natural order), each once, an error for each path without any, and a line
        about the other files in folders.

    Raises:
        click.BadParameter: a name is empty; a missing file, or a pattern without a match, is given alone.
    """
    files: list[Path] = []
    errors: list[FileError] = []
    left_out: Counter[str] = Counter()
    for text in given:
        if not text:  # an empty variable in a script; Path("") would be the working folder
            raise click.BadParameter(f"an empty name: name a {kind} or a folder", param_hint=metavar)
        path = Path(text)
        try:
            matches = _expand(text, path, suffixes, left_out)
        except _MissingError as error:
            if alone:
                raise click.BadParameter(printable(str(error)), param_hint=metavar) from error
            errors.append(error)
            continue
        except OSError as error:
            errors.append(MediaError(path, f"cannot be read ({error.strerror}): check its name and permissions"))
            continue
        keep_own = matches == [path] and (named or len(given) == 1)
        kept = [file for file in matches if keep_own or not is_own_output(file.name)]
        if not kept and matches != [path]:
            problem = f"holds no {kind} (*.summary.* and *.soundtrack.* are this tool's own): name {kind}s, or a folder with {kind}s in it"
            errors.append(MediaError(path, problem))
        files += kept
    if given and not files and not errors:
        errors.append(MediaError(Path(given[0]), "is a summary already, as all that was named: name one alone to summarize it again"))
    unique: dict[Path, Path] = {}
    for file in files:
        unique.setdefault(_identity(file), file)
    note = describe_left_out(left_out)
    return Found(list(unique.values()), errors, [] if note is None else [note])


class _MissingError(MediaError):
    """A file that does not exist, or a pattern without a match."""


def _expand(text: str, path: Path, suffixes: Collection[str], left_out: Counter[str]) -> list[Path]:
    """The files that a path stands for: itself, those with a suffix in a folder, or the matches of a pattern."""
    if path.is_dir():
        return list_files(path, suffixes, left_out)
    if path.exists():
        return [path]
    if not re.search(r"[*?[]", text):
        raise _MissingError(path, "no such file: check the name")
    # Path.glob matches hidden files and refuses some patterns that every shell accepts.
    matches = [file for name in glob.glob(text, recursive=True) if (file := Path(name)).is_file()]  # noqa: PTH207
    if not matches:
        raise _MissingError(path, "no file matches this pattern: check it")
    return sorted(matches, key=natural_key)


def _identity(path: Path) -> Path:
    """A key that is equal for all spellings of a path."""
    return path.parent.resolve() / path.name


def plan_soundtracks(given: tuple[str, ...], output: str | None) -> tuple[list[Job], list[FileError], list[str]]:
    """A job for each soundtrack: of each folder, and of the named files together if a picture is among them, else of each video.

    Args:
        given: paths as typed.
        output: the -o option, as in `plan_jobs`.

    Returns:
        The jobs, an error for each path without a picture or video, and a line about the other files in folders.

    Raises:
        click.UsageError: as `find_files` and `plan_jobs` raise it.
    """
    folders = [text for text in given if text and os.path.isdir(text)]  # noqa: PTH112 - False for what cannot be a name
    left_out: Counter[str] = Counter()
    for text in folders:
        with suppress(OSError):  # the job will say so
            list_files(Path(text), PICTURE_SUFFIXES | VIDEO_SUFFIXES, left_out)
    groups: list[tuple[Path, tuple[Path, ...]]] = [(Path(text), ()) for text in folders]
    named = tuple(text for text in given if text not in folders)
    files, errors, notes = find_files(
        named, "PICTURES|VIDEO...", "picture or video", PICTURE_SUFFIXES | VIDEO_SUFFIXES, alone=len(given) == 1
    )
    together = [tuple(files)] if any(file.suffix.lower() in PICTURE_SUFFIXES for file in files) else [(file,) for file in files]
    groups += [(group[0], group) for group in together]
    jobs = plan_jobs([path for path, _ in groups], "soundtrack", output, several=len(folders) > 1)
    note = describe_left_out(left_out)
    jobs = [replace(job, files=group) for job, (_, group) in zip(jobs, groups, strict=True)]
    return jobs, errors, notes if note is None else [*notes, note]


def plan_jobs(inputs: list[Path], kind: str, output: str | None, *, several: bool = False) -> list[Job]:
    """A job for each input, with its target.

    `output` is a folder if it ends in a slash, exists as one, or there are several inputs; otherwise a file.

    Args:
        inputs: files or folders.
        kind: of result, "summary" or "soundtrack".
        output: the -o option.
        several: whether several inputs were given, of which some may be missing.

    Raises:
        click.UsageError: the folder is a file.
    """
    if output is None:
        return _tell_apart(inputs, kind, None)
    folder = Path(output)
    if not output:
        raise click.UsageError("-o is empty: name a file or a folder")
    if output.endswith(("/", "\\")) or folder.is_dir() or several or len(inputs) > 1:
        if folder.exists() and not folder.is_dir():
            raise click.UsageError(f"-o {printable(output)}: is a file, but a folder is needed")
        return _tell_apart(inputs, kind, folder)
    return [Job(path, folder) for path in inputs]


def _tell_apart(inputs: list[Path], kind: str, folder: Path | None) -> list[Job]:
    """A job for each input, each with a target of its own.

    Of inputs that would write one file, the one that has written it before keeps the name, else the .mp4, else the first by name: on the
    next run, and in any order, all keep their names. The others write under their full names.

    Args:
        inputs: files or folders.
        kind: of result.
        folder: where to; None: beside each input.
    """
    targets = [default_output(path, kind, folder=folder) for path in inputs]

    def precedence(number: int) -> tuple[bool, bool, object]:
        path = inputs[number]
        return not _made_of(targets[number], path), path.suffix.lower() != ".mp4" and not path.is_dir(), natural_key(path)

    jobs: dict[int, Job] = {}
    owners: dict[Path, Path] = {}
    for number in sorted(range(len(inputs)), key=precedence):
        path, target, note = inputs[number], targets[number], None
        owner = owners.get(_identity(target)) or _other_source(target, path)
        if owner is not None:
            names = ([] if owner.name == path.name else [path.name]) + [f"{path.resolve().parent.name}-{path.name}"]
            names.append(f"{names[-1]}-{hashlib.blake2b(os.fsencode(path.resolve()), digest_size=4).hexdigest()}")
            free = (default_output(path, kind, stem=name, folder=folder) for name in names)
            target = next((one for one in free if _identity(one) not in owners and not _other_source(one, path)), target)
            note = f"{path}: goes to {target}, since {targets[number].name} is that of {owner}"
        owners[_identity(target)] = path
        jobs[number] = Job(path, target, note=note)
    return [jobs[number] for number in range(len(inputs))]


def _made_of(target: Path, path: Path) -> bool:
    """Whether an earlier run has made a target of this input."""
    source = _source(target, path)
    return source is not None and source.samefile(path)


def _other_source(target: Path, path: Path) -> Path | None:
    """The other input, still there, of which an earlier run has made a target."""
    source = _source(target, path)
    return None if source is None or source.samefile(path) else source


def _source(target: Path, path: Path) -> Path | None:
    """The input of which a target was made, by the JSON beside it, if that is still there: beside `path`, or as it was named then."""
    try:
        with target.with_suffix(".json").open("rb") as file:
            stated = re.search(rb'"input": ("(?:[^"\\]|\\.)*")', file.read(LINE_CHARACTERS))
        source = Path(json.loads(stated[1])) if stated else None
    except (OSError, ValueError):
        return None
    if source is None or not source.name or not path.name:
        return None
    beside = path.with_name(source.name)
    places = [beside] if target.parent.resolve() == path.parent.resolve() else [source, beside]
    return next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110
