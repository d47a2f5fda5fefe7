"""How long look-ups in an index take, and a check that nothing has changed, on made-up rows.

    python -m benchmarks.library [--rows 1000 1000000]

Medians of five lookups. The index is a temporary file: a million rows take about 800 MB and two minutes to create.
"""

import argparse
import os
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmvatool.library.database import Library
from mmvatool.soundtracks.matching import rank

RUNS = 5
ROOT, MODEL = b"/music", "0123456789abcdef"
WINDOWS = 20  # of a track's curve: 200 s
TOP = 10


def create_index(path: Path, count: int, *, seed: int = 0) -> np.ndarray:
    """Create an index of made-up tracks in folders of a hundred below ROOT.

    Returns:
        The mean VA float64 (count, 2), each in [0, 1], of the tracks with ids from 1 on.
    """
    rng = np.random.default_rng(seed)
    va = rng.random((count, 2))
    samples = np.column_stack([np.arange(WINDOWS) * 10 + 5, rng.random((WINDOWS, 2))]).astype("<f4").tobytes()
    # Folders in random order: a walk does not give files in the order of their names.
    folders = rng.permutation((count + 99) // 100).tolist()
    paths = [b"%s/artist %d/album/%02d track %d.mp3" % (ROOT, folders[n // 100], n % 100, n) for n in range(count)]
    with Library(path) as library, library._file.transaction():
        sql = library._file.sql
        sql.executemany(
            "INSERT INTO contents VALUES (?, ?, 200.0, 'A title', 'An artist', 'CC BY 4.0', -14.0, 120.0)",
            ((n + 1, os.urandom(20)) for n in range(count)),
        )
        rows = ((n + 1, MODEL, *point, 0.1, 0.1, samples) for n, point in enumerate(va.tolist()))
        sql.executemany("INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        sql.executemany("INSERT INTO files VALUES (?, ?, 1000, 1, ?, NULL)", ((n + 1, path, n + 1) for n, path in enumerate(paths)))
        order = sorted(range(count), key=paths.__getitem__)
        means = ((MODEL, paths[n], n + 1, struct.pack("<qff", n + 1, *va[n])) for n in order)
        sql.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?)", means)
    return va


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median of the runs after one that warms up."""
    taken = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def search(library: Library, root: bytes = ROOT) -> list[int]:
    """The queries of `search`: the means of a library, the nearest of them, and their tracks."""
    means = library.means(root, MODEL)
    ranking = rank(np.array([0.3, 0.8]), means.va, TOP, 0.3)
    return [track.id for track in library.tracks(means.ids[ranking.indices], MODEL)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 1_000_000])
    for count in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.sqlite3"
            create_index(path, count)
            print(f"\n{count:,} rows, {path.stat().st_size / 1e6:.0f} MB")
            with Library(path) as library:
                report(library)


def report(library: Library) -> None:
    few = ROOT + b"/artist 1"
    print(f"  all means            {seconds(lambda: library.means(ROOT, MODEL)) * 1e3:10.1f} ms")
    print(f"  search               {seconds(lambda: search(library)) * 1e3:10.1f} ms   means, ranking and {TOP} tracks")
    print(f"  one folder's search  {seconds(lambda: search(library, few)) * 1e3:10.1f} ms   100 tracks")
    print(f"  one folder's tracks  {seconds(lambda: library.tracks_below(few, MODEL)) * 1e3:10.1f} ms")
    print(f"  all tracks           {seconds(lambda: library.tracks_below(ROOT, MODEL), 1) * 1e3:10.1f} ms")
    print(f"  all files            {seconds(lambda: library.files(ROOT, MODEL), 1) * 1e3:10.1f} ms   to see that nothing has changed")


if __name__ == "__main__":
    main()
