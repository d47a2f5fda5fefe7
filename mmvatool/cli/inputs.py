"""From the paths on a command line to jobs: which files are read, and where each result goes."""

import re
from dataclasses import dataclass
from pathlib import Path

import click

from mmvatool.errors import FileError, MediaError, MmvatoolError

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)


@dataclass(frozen=True)
class Job:
    """One input and its target, or why there is none."""

    input: Path
    target: Path
    error: MmvatoolError | None = None


def is_own_output(path: Path) -> bool:
    """Whether a file looks like a summary that this tool wrote: `<name>.summary.<suffix>`."""
    return bool(re.search(r"\.summary\.[^.]+$", path.name))


def find_videos(given: tuple[str, ...]) -> tuple[list[Path], list[FileError]]:
    """Files named, videos directly in folders, and matches of patterns (`**` goes into subfolders).

    The tool's own outputs are left out, unless one is named alone.

    Args:
        given: paths as typed.

    Returns:
        The files in the order given (folders sorted by natural order), each once; and an error for each path that gave none.

    Raises:
        click.BadParameter: a missing file or pattern without a match, given alone.
    """
    files: list[Path] = []
    errors: list[FileError] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            inside = sorted((file for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()), key=_natural)
            found = [file for file in inside if not is_own_output(file) and not file.name.startswith(".")]
            if not found:
                errors.append(MediaError(path, "holds no video: name a folder with videos in it, or a file"))
            files += found
        elif not path.exists() and re.search(r"[*?[]", text):
            root = Path(path.anchor)
            matches = sorted((file for file in root.glob(str(path.relative_to(root))) if file.is_file()), key=_natural)
            if not matches:
                errors.append(MediaError(path, "no file matches this pattern: check it"))
            files += [file for file in matches if not is_own_output(file)]
        elif not path.exists():
            errors.append(MediaError(path, "no such file: check the name"))
        elif len(given) == 1 or not is_own_output(path):
            files.append(path)
    if len(given) == 1 and errors and not Path(given[0]).is_dir():
        raise click.BadParameter(str(errors[0]), param_hint="INPUTS")
    return list(dict.fromkeys(files)), errors


def plan_jobs(files: list[Path], output: str | None, default_suffix: str) -> list[Job]:
    """Give each input its target.

    `output` is a folder if it ends in a slash, exists as one, or there are several inputs; a file otherwise.

    Args:
        files: the inputs.
        output: the -o option.
        default_suffix: what stands behind the input's stem, ".summary.mp4".

    Raises:
        click.UsageError: two inputs would write one file, or a file stands where the folder should be.
    """
    if output is None:
        targets = [file.with_name(file.stem + default_suffix) for file in files]
    else:
        where = Path(output)
        if output.endswith(("/", "\\")) or where.is_dir() or len(files) > 1:
            if where.exists() and not where.is_dir():
                raise click.UsageError(f"-o {output}: is a file, but {len(files)} inputs need a folder")
            targets = [where / (file.stem + default_suffix) for file in files]
        else:
            targets = [where]
    taken: dict[Path, Path] = {}
    for file, target in zip(files, targets, strict=True):
        other = taken.setdefault(target.absolute(), file)
        if other is not file:
            raise click.UsageError(f"{other} and {file} would both write {target}: run them apart, or rename one")
    return [Job(file, target) for file, target in zip(files, targets, strict=True)]


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """clip2 before clip10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part.lower()) for part in re.split(r"(\d+)", path.name)]
