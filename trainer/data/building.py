"""What building any data folder takes: work in threads, the rule for bad input, CSV files that are whole or not there."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from trainer.errors import DataError

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps the iterable of pieces of work (and their number), for a progress bar."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def each(work: Callable[[Item], Result], items: Sequence[Item], progress: Progress) -> Iterator[Iterable[Result]]:
    """The result of each item in order, worked out in as many threads as there are cores; for work that other programs do.

    An error inside the `with` drops what has not begun.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            yield progress(threads.map(work, items), len(items))
        finally:
            threads.shutdown(cancel_futures=True)


def raise_or_skip(problems: Sequence[str], skip_bad: bool) -> None:
    """Nothing if there are no problems or they may be skipped.

    Raises:
        DataError: the first problem and how many more there are.
    """
    if problems and not skip_bad:
        more = f" (and {len(problems) - 1} more such)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}; --skip-bad leaves such out and lists them")


def refuse_existing(files: Iterable[Path], overwrite: bool) -> None:
    """Nothing if none of the files is there or they may be overwritten.

    Raises:
        DataError: one is there.
    """
    for file in files:
        if file.exists() and not overwrite:
            raise DataError(f"{file}: is there already; name another folder, or --overwrite replaces it")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV under a temporary name and rename it, so that a file that is there is whole."""
    temporary = file.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    temporary.replace(file)
