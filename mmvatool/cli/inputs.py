"""From the paths on a command line to jobs: which files are read, and where each result goes."""

import glob
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mmvatool.errors import FileError, MediaError
from mmvatool.files import MEDIA_SUFFIXES, PICTURE_SUFFIXES, VIDEO_SUFFIXES, default_output, is_own_output, list_files, natural_key
from mmvatool.text import printable

LINE_CHARACTERS = 1 << 16  # of a line in a text file; the rest of a longer one is left out


@dataclass(frozen=True)
class Job:
    """An input and the file to write for it; `files` are all of its files where there are several, `input` being the first."""

    input: Path
    target: Path
    files: tuple[Path, ...] = ()


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


def find_videos(given: tuple[str, ...]) -> tuple[list[Path], list[FileError]]:
    """Named videos, videos directly in folders, and matches of patterns, as `find_files` returns them."""
    return find_files(given, "VIDEO|FOLDER", "video", VIDEO_SUFFIXES, alone=len(given) == 1)


def find_media(given: tuple[str, ...], *, alone: bool) -> tuple[list[Path], list[FileError]]:
    """Named media files, media directly in folders, and matches of patterns, as `find_files` returns them."""
    return find_files(given, "FILE|FOLDER|-", "media file", MEDIA_SUFFIXES, alone=alone, named=True)


def find_files(
    given: tuple[str, ...], metavar: str, kind: str, suffixes: Collection[str], *, alone: bool, named: bool = False
) -> tuple[list[Path], list[FileError]]:
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
        The files in the order given (folders and patterns in natural order), each once, and an error for each path without
        any.

    Raises:
        click.BadParameter: a name is empty; a missing file, or a pattern without a match, is given alone.
    """
    files: list[Path] = []
    errors: list[FileError] = []
    for text in given:
        if not text:  # an empty variable in a script; Path("") would be the working folder
            raise click.BadParameter(f"an empty name: name a {kind} or a folder", param_hint=metavar)
        path = Path(text)
        try:
            matches = _expand(text, path, suffixes)
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
    return list(unique.values()), errors


class _MissingError(MediaError):
    """A file that does not exist, or a pattern without a match."""


def _expand(text: str, path: Path, suffixes: Collection[str]) -> list[Path]:
    """The files that a path stands for: itself, those with a suffix in a folder, or the matches of a pattern."""
    if path.is_dir():
        return list_files(path, suffixes)
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


def plan_soundtracks(given: tuple[str, ...], output: str | None) -> tuple[list[Job], list[FileError]]:
    """A job for each soundtrack: of each folder, and of the named files together if a picture is among them, else of each video.

    Args:
        given: paths as typed.
        output: the -o option, as in `plan_jobs`.

    Returns:
        The jobs, and an error for each path without a picture or video.

    Raises:
        click.UsageError: as `find_files` and `plan_jobs` raise it.
    """
    folders = [text for text in given if text and Path(text).is_dir()]
    groups: list[tuple[Path, Path, tuple[Path, ...]]] = [(Path(text), default_output(Path(text), "soundtrack"), ()) for text in folders]
    named = tuple(text for text in given if text not in folders)
    files, errors = find_files(named, "PICTURES|VIDEO...", "picture or video", PICTURE_SUFFIXES | VIDEO_SUFFIXES, alone=len(given) == 1)
    together = [tuple(files)] if any(file.suffix.lower() in PICTURE_SUFFIXES for file in files) else [(file,) for file in files]
    groups += [(group[0], default_output(group[0], "soundtrack"), group) for group in together]
    jobs = plan_jobs([(path, target) for path, target, _ in groups], output, several=len(folders) > 1)
    return [Job(job.input, job.target, group) for job, (_, _, group) in zip(jobs, groups, strict=True)], errors


def plan_jobs(wanted: list[tuple[Path, Path]], output: str | None, *, several: bool = False) -> list[Job]:
    """A job for each input, with its target.

    `output` is a folder if it ends in a slash, exists as one, or there are several inputs; otherwise a file.

    Args:
        wanted: each input with its default target, whose name is kept in a folder that -o names.
        output: the -o option.
        several: whether several inputs were given, of which some may be missing.

    Raises:
        click.UsageError: two inputs would write one file, or the folder is a file.
    """
    targets = [target for _, target in wanted]
    if output is not None:
        folder = Path(output)
        if not output:
            raise click.UsageError("-o is empty: name a file or a folder")
        if output.endswith(("/", "\\")) or folder.is_dir() or several or len(wanted) > 1:
            if folder.exists() and not folder.is_dir():
                raise click.UsageError(f"-o {printable(output)}: is a file, but a folder is needed")
            targets = [folder / target.name for target in targets]
        else:
            targets = [folder]
    jobs = [Job(given, target) for (given, _), target in zip(wanted, targets, strict=False)]
    writers: dict[Path, Path] = {}
    for job in jobs:
        other = writers.setdefault(_identity(job.target), job.input)
        if other is not job.input:
            raise click.UsageError(printable(f"{other} and {job.input} would both write {job.target}: run them apart, or rename one"))
    return jobs
