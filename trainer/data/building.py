"""Helpers for building data folders: work in threads, handling of bad input, CSV files written atomically."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from trainer.errors import DataError
from trainer.machine import usable_cpus

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of work items, given their number, for a progress bar."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def each(work: Callable[[Item], Result], items: Sequence[Item], progress: Progress) -> Iterator[Iterable[Result]]:
    """The results of all items in order, computed in as many threads as there are CPUs to use; for work done by other programs.

    An error in the body of the `with` cancels items that have not begun.
    """
    with ThreadPoolExecutor(usable_cpus()) as threads:
        try:
            yield progress(threads.map(work, items), len(items))
        finally:
            threads.shutdown(cancel_futures=True)


def raise_or_skip(problems: Sequence[str], skip_bad: bool) -> None:
    """Raise if there are problems that may not be skipped.

    Raises:
        DataError: with the first problem and the number of others.
    """
    if problems and not skip_bad:
        more = f" (and {len(problems) - 1} more such)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}; --skip-bad leaves such out and lists them")


def refuse_existing(files: Iterable[Path], overwrite: bool) -> None:
    """Raise if one of the files exists and may not be overwritten.

    Raises:
        DataError: a file exists.
    """
    for file in files:
        if file.exists() and not overwrite:
            raise DataError(f"{file}: is there already; name another folder, or --overwrite replaces it")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV under a temporary name and rename it, so that the file is never partial."""
    temporary = file.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    temporary.replace(file)
