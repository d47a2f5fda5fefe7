"""From the paths on a command line to jobs: which files are read, and where each result goes."""

import glob
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import click

from mmvatool.cli.console import clean
from mmvatool.errors import FileError, MediaError
from mmvatool.files import MEDIA_SUFFIXES, PICTURE_SUFFIXES, VIDEO_SUFFIXES, default_output, is_own_output, list_files, natural_key


@dataclass(frozen=True)
class Job:
    """One input and its target; `files` are all that belong to it, where it is the first of several."""

    input: Path
    target: Path
    files: tuple[Path, ...] = ()


def find_videos(given: tuple[str, ...]) -> tuple[list[Path], list[FileError]]:
    """Files named, videos directly in folders, and matches of patterns, as `find_files` gives them."""
    return find_files(given, "VIDEO|FOLDER", "video", VIDEO_SUFFIXES, alone=len(given) == 1)


def find_media(given: tuple[str, ...], *, alone: bool) -> tuple[list[Path], list[FileError]]:
    """Files named, media directly in folders, and matches of patterns, as `find_files` gives them."""
    return find_files(given, "FILE|FOLDER|-", "media file", MEDIA_SUFFIXES, alone=alone, named=True)


def find_files(
    given: tuple[str, ...], metavar: str, what: str, suffixes: Collection[str], *, alone: bool, named: bool = False
) -> tuple[list[Path], list[FileError]]:
    """Files named, files with a suffix directly in folders, and matches of patterns (`**` goes into subfolders).

    The tool's own outputs are left out, unless one is named alone (or with others, if `named`); patterns pass over hidden files, as a shell's do.

    Args:
        given: paths as typed.
        metavar: the argument's name in the usage line.
        what: a word for such a file.
        suffixes: of the files to take from folders.
        alone: whether a single path is all that was asked for: then it is a usage error if it is not there.
        named: whether this tool's outputs count where they are named.

    Returns:
        The files in the order given (folders and patterns in natural order), each once; and an error for each path that
        gave none.

    Raises:
        click.BadParameter: an empty name; a missing file, or a pattern without a match, given alone.
    """
    files: list[Path] = []
    errors: list[FileError] = []
    for text in given:
        if not text:  # an empty variable in a script; Path("") would be the working folder
            raise click.BadParameter(f"an empty name: name a {what} or a folder", param_hint=metavar)
        path = Path(text)
        try:
            found = _look_up(text, path, suffixes)
        except _NotThereError as error:
            if alone:
                raise click.BadParameter(clean(str(error)), param_hint=metavar) from error
            errors.append(error)
            continue
        except OSError as error:
            errors.append(MediaError(path, f"cannot be read ({error.strerror}): check its name and permissions"))
            continue
        meant = found == [path] and (named or len(given) == 1)
        fresh = [file for file in found if meant or not is_own_output(file.name)]
        if not fresh and found != [path]:
            problem = f"holds no {what} (*.summary.* and *.soundtrack.* are this tool's own): name {what}s, or a folder with {what}s in it"
            errors.append(MediaError(path, problem))
        files += fresh
    if given and not files and not errors:
        errors.append(MediaError(Path(given[0]), "is a summary already, as all that was named: name one alone to summarize it again"))
    once: dict[Path, Path] = {}
    for file in files:
        once.setdefault(_identity(file), file)
    return list(once.values()), errors


class _NotThereError(MediaError):
    """A file that does not exist, or a pattern without a match."""


def _look_up(text: str, path: Path, suffixes: Collection[str]) -> list[Path]:
    """What one path gives: itself, the files with a suffix in a folder, or the matches of a pattern."""
    if path.is_dir():
        return list_files(path, suffixes)
    if path.exists():
        return [path]
    if not re.search(r"[*?[]", text):
        raise _NotThereError(path, "no such file: check the name")
    # Not Path.glob: it gives hidden files and refuses some patterns that every shell takes.
    matches = [file for name in glob.glob(text, recursive=True) if (file := Path(name)).is_file()]  # noqa: PTH207
    if not matches:
        raise _NotThereError(path, "no file matches this pattern: check it")
    return sorted(matches, key=natural_key)


def _identity(path: Path) -> Path:
    """The same for all spellings of one name in one folder."""
    return path.parent.resolve() / path.name


def plan_shows(given: tuple[str, ...], output: str | None) -> tuple[list[Job], list[FileError]]:
    """What gets a soundtrack: each folder, each video, or all files named together where there are pictures among them.

    Args:
        given: paths as typed.
        output: the -o option, as in `plan_jobs`.

    Returns:
        The jobs, and an error for each path that gave nothing.

    Raises:
        click.UsageError: as `find_files` and `plan_jobs` raise.
    """
    folders = [text for text in given if text and Path(text).is_dir()]
    shows: list[tuple[Path, Path, tuple[Path, ...]]] = [(Path(text), default_output(Path(text), "soundtrack"), ()) for text in folders]
    named = tuple(text for text in given if text not in folders)
    files, errors = find_files(named, "PICTURES|VIDEO...", "picture or video", PICTURE_SUFFIXES | VIDEO_SUFFIXES, alone=len(given) == 1)
    together = [tuple(files)] if any(file.suffix.lower() in PICTURE_SUFFIXES for file in files) else [(file,) for file in files]
    shows += [(group[0], default_output(group[0], "soundtrack"), group) for group in together]
    jobs = plan_jobs([(show, target) for show, target, _ in shows], output, several=len(folders) > 1)
    return [Job(job.input, job.target, group) for job, (_, _, group) in zip(jobs, shows, strict=True)], errors


def plan_jobs(wanted: list[tuple[Path, Path]], output: str | None, *, several: bool = False) -> list[Job]:
    """Give each input its target.

    `output` is a folder if it ends in a slash, exists as one, or there are several inputs; a file otherwise.

    Args:
        wanted: each input with its target where -o names none; in a folder that -o names it keeps its name.
        output: the -o option.
        several: whether several inputs were given, though not all of them may be there.

    Raises:
        click.UsageError: two inputs would write one file, or a file stands where the folder should be.
    """
    targets = [target for _, target in wanted]
    if output is not None:
        where = Path(output)
        if not output:
            raise click.UsageError("-o is empty: name a file or a folder")
        if output.endswith(("/", "\\")) or where.is_dir() or several or len(wanted) > 1:
            if where.exists() and not where.is_dir():
                raise click.UsageError(f"-o {clean(output)}: is a file, but a folder is needed")
            targets = [where / target.name for target in targets]
        else:
            targets = [where]
    jobs = [Job(given, target) for (given, _), target in zip(wanted, targets, strict=False)]
    taken: dict[Path, Path] = {}
    for job in jobs:
        other = taken.setdefault(_identity(job.target), job.input)
        if other is not job.input:
            raise click.UsageError(clean(f"{other} and {job.input} would both write {job.target}: run them apart, or rename one"))
    return jobs
