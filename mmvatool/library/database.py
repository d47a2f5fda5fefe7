"""The music library's index: one SQLite file with the predictions for each track, and queries on it. Predicts nothing.

    contents     a row for each sound that was ever analyzed, by the hash of its file: what belongs to the sound itself
    curves       for a content and a model: VA in windows of 10 s, their mean and spread
    files        a row for each file as of the last run: size and time, and its content or why it is broken
    predictions  for a file and a model: the mean again, in the order of paths, for quick ranking

A file that is renamed, moved or copied is a new row of `files` for the same content, so that nothing is analyzed twice. A content
stays when its last file goes: it may come back, or belong to a library that is indexed next.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from mmvatool.library.schema import IndexFile


class Stamp(NamedTuple):
    """Size and time of a file: while they are the same, it is not read again."""

    size: int
    mtime_ns: int


class FileRow(NamedTuple):
    """A file as of the last run. `content` is None for a broken one, whose `error` says why; `predicted`: the model's curve is stored.

    A tuple, since an index may hold a million of them.
    """

    size: int
    mtime_ns: int
    content: int | None
    error: str | None
    predicted: bool

    @property
    def stamp(self) -> Stamp:
        """Size and time together."""
        return Stamp(self.size, self.mtime_ns)


@dataclass(frozen=True)
class Content:
    """A sound in the index. `predicted`: the model's curve of it is stored."""

    id: int
    predicted: bool


@dataclass(frozen=True)
class Sound:
    """What belongs to a sound, whatever the model.

    Args:
        duration_s: its length.
        title, artist, licence: from its tags, None where they have none.
        loudness_lufs: integrated, by BS.1770; None for silence.
        tempo_bpm: beats a minute; None without a beat.
    """

    duration_s: float
    title: str | None = None
    artist: str | None = None
    licence: str | None = None
    loudness_lufs: float | None = None
    tempo_bpm: float | None = None


@dataclass(frozen=True)
class Track:
    """A file of the library with a model's predictions: mean and spread (standard deviation) of its VA (2,) over the windows.

    The other fields are those of `Sound`.
    """

    id: int
    path: Path
    duration_s: float
    mean: np.ndarray
    spread: np.ndarray
    title: str | None = None
    artist: str | None = None
    licence: str | None = None
    loudness_lufs: float | None = None
    tempo_bpm: float | None = None


@dataclass(frozen=True)
class Means:
    """What a search ranks: `ids` int64 (N,) of files and the mean `va` float32 (N, 2) of each."""

    ids: np.ndarray
    va: np.ndarray


class Library:
    """An open index. Several processes may have one open: transactions are short, and the second one waits.

    Roots and paths are absolute, as bytes (os.fsencode); a root stands for all files below it.
    """

    def __init__(self, path: Path | str | None = None, *, create: bool = True) -> None:
        """Open an index, or create it.

        Args:
            path: the SQLite file; the one in the user's cache folder by default.
            create: create one that is not there. One of an older version is rebuilt in any case.

        Raises:
            LibraryError: it is not there, not an index, of a later version, damaged, or cannot be read and written.
        """
        self._file = IndexFile(path, create=create)
        self.path = self._file.path

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing else can be done with this object then."""
        self._file.close()

    def files(self, root: bytes, model: str) -> dict[bytes, FileRow]:
        """All files below a root by path, as of the last run."""
        query = (
            "SELECT files.path, size, mtime_ns, content, error, predictions.file IS NOT NULL FROM files "
            "LEFT JOIN predictions ON predictions.model = ? AND predictions.path = files.path WHERE files.path >= ? AND files.path < ?"
        )
        return {row[0]: FileRow._make(row[1:]) for row in self._rows(query, (model, *_span(root)))}

    def content(self, digest: bytes, model: str) -> Content | None:
        """The sound with this hash; None if it is not in the index."""
        query = "SELECT id, curves.content IS NOT NULL FROM contents LEFT JOIN curves ON content = id AND model = ? WHERE hash = ?"
        row = self._row(query, (model, digest))
        return None if row is None else Content(row[0], bool(row[1]))

    def put(self, path: bytes, stamp: Stamp, content: int) -> None:
        """Store a file of a known content."""
        with self._file.transaction():
            self._put_file(path, stamp, content, None)

    def put_predicted(self, path: bytes, stamp: Stamp, digest: bytes, sound: Sound, model: str, times_s: np.ndarray, va: np.ndarray) -> int:
        """Store a file and a model's predictions for it, all or nothing.

        Args:
            path: of the file.
            stamp: of the file before it was read.
            digest: hash of its bytes.
            sound: what was measured of it, and its tags.
            model: the model's fingerprint.
            times_s: (N,) centres of the windows, N at least 1.
            va: (N, 2), all finite.

        Returns:
            The id of the content.

        Raises:
            ValueError: an empty curve, or one with a number that is not finite.
            LibraryError: the index cannot be written.
        """
        samples = np.column_stack([times_s, va]).astype("<f4")
        if not len(samples) or not np.isfinite(samples).all():
            raise ValueError(f"a curve of {len(samples)} samples, not all of them finite, cannot be stored")
        exact = np.asarray(va, np.float64)
        statistics = [float(value) for value in (*exact.mean(axis=0), *exact.std(axis=0))]
        with self._file.transaction():
            sql = self._file.sql
            sql.execute(
                "INSERT INTO contents (hash, duration_s, title, artist, licence, loudness_lufs, tempo_bpm) VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (digest, sound.duration_s, sound.title, sound.artist, sound.licence, sound.loudness_lufs, sound.tempo_bpm),
            )
            content: int = sql.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()[0]
            row = (content, model, *statistics, samples.tobytes())
            sql.execute("INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._put_file(path, stamp, content, None)
            # Copies of this file are in the index already if another model has analyzed them.
            self._update_predictions("files.content = ? AND curves.model = ?", (content, model))
        return content

    def put_broken(self, path: bytes, stamp: Stamp, error: str) -> None:
        """Store that a file cannot be decoded, and why, so that it is not tried again until it changes."""
        with self._file.transaction():
            self._put_file(path, stamp, None, error)

    def remove(self, paths: Iterable[bytes]) -> None:
        """Remove files; their contents stay."""
        with self._file.transaction():
            self._file.sql.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def forget(self, root: bytes | None) -> int:
        """Remove all files below a root (None: all there are), and every content that no file has any more; the space is freed.

        Returns:
            How many files were removed.
        """
        sql = self._file.sql
        with self._file.transaction():
            condition, values = ("WHERE path >= ? AND path < ?", _span(root)) if root is not None else ("", ())
            removed = sql.execute(f"DELETE FROM files {condition}", values).rowcount
            orphaned = sql.execute("DELETE FROM contents WHERE NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)").rowcount
        if removed or orphaned:
            self._file.shrink()
        return removed

    def means(self, root: bytes, model: str) -> Means:
        """The mean VA of all tracks below a root that a model has predicted, in no order."""
        # SQLite joins the blobs, byte for byte: a million rows as Python's tuples took six times as long.
        query = "SELECT count(*), CAST(group_concat(mean, '') AS BLOB) FROM predictions WHERE model = ? AND path >= ? AND path < ?"
        count, blob = self._row(query, (model, *_span(root)))
        if len(blob or b"") != count * _MEAN.size:
            raise self._file.damaged(f"{count} means of {len(blob)} bytes")
        table = np.frombuffer(blob or b"", np.dtype([("id", "<i8"), ("va", "<f4", 2)]))
        return Means(table["id"].astype(np.int64), table["va"].astype(np.float32))

    def tracks(self, ids: Iterable[int], model: str) -> list[Track]:
        """Tracks by their ids, in the order given; one that has gone in the meantime is left out."""
        query = f"SELECT {_TRACK} FROM files {_JOIN_FILES} WHERE files.id = ?"
        return [_track(row) for number in ids for row in self._rows(query, (model, int(number)))]

    def tracks_below(self, root: bytes, model: str) -> list[Track]:
        """All tracks below a root that a model has predicted, in the order of their paths' bytes."""
        query = f"SELECT {_TRACK} FROM predictions {_JOIN_PREDICTIONS}"
        return [_track(row) for row in self._rows(query, (model, *_span(root)))]

    def curve(self, track: int, model: str) -> tuple[np.ndarray, np.ndarray]:
        """A model's predictions for a track over time.

        Returns:
            `times_s` float32 (N,), centres of the windows, and VA float32 (N, 2).

        Raises:
            KeyError: there is no such track, or the model has not predicted it.
            LibraryError: the index is damaged.
        """
        query = "SELECT samples FROM files JOIN curves ON curves.content = files.content AND model = ? WHERE files.id = ?"
        row = self._row(query, (model, track))
        if row is None:
            raise KeyError(track)
        return self._samples(row[0])

    def _row(self, query: str, values: tuple[object, ...]) -> Any:
        with self._file.explained():
            return self._file.sql.execute(query, values).fetchone()

    def _rows(self, query: str, values: tuple[object, ...]) -> Iterator[Any]:
        with self._file.explained():
            yield from self._file.sql.execute(query, values)

    def _samples(self, blob: bytes) -> tuple[np.ndarray, np.ndarray]:
        if not blob or len(blob) % 12:
            raise self._file.damaged(f"a curve of {len(blob)} bytes")
        samples = np.frombuffer(blob, "<f4").reshape(-1, 3)
        return samples[:, 0], samples[:, 1:]

    def _put_file(self, path: bytes, stamp: Stamp, content: int | None, error: str | None) -> None:
        sql = self._file.sql
        # Not INSERT OR REPLACE: the row keeps its id.
        sql.execute(
            "INSERT INTO files (path, size, mtime_ns, content, error) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, error = excluded.error",
            (path, stamp.size, stamp.mtime_ns, content, error),
        )
        sql.execute("DELETE FROM predictions WHERE file = (SELECT id FROM files WHERE path = ?)", (path,))
        self._update_predictions("files.path = ?", (path,))

    def _update_predictions(self, condition: str, values: tuple[object, ...]) -> None:
        """Copy the means of some files from `curves` to `predictions`."""
        sql = self._file.sql
        query = "SELECT model, path, files.id, mean_valence, mean_arousal FROM files JOIN curves ON curves.content = files.content WHERE"
        for model, path, file, *mean in sql.execute(f"{query} {condition}", values).fetchall():
            sql.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?)", (model, path, file, _MEAN.pack(file, *mean)))


# The columns of a Track, and the joins they come from; CROSS JOIN keeps SQLite to this order, whatever its estimate of the tables' sizes.
_TRACK = (
    "files.id, files.path, duration_s, curves.mean_valence, curves.mean_arousal, spread_valence, spread_arousal, title, artist, licence, "
    "loudness_lufs, tempo_bpm"
)
_JOIN_FILES = "CROSS JOIN contents ON contents.id = files.content CROSS JOIN curves ON curves.content = files.content AND curves.model = ?"
_JOIN_PREDICTIONS = (
    "CROSS JOIN files ON files.id = predictions.file CROSS JOIN contents ON contents.id = files.content "
    "CROSS JOIN curves ON curves.content = files.content AND curves.model = predictions.model "
    "WHERE predictions.model = ? AND predictions.path >= ? AND predictions.path < ? ORDER BY predictions.path"
)
_MEAN = struct.Struct("<qff")  # `predictions.mean`


def _track(row: tuple[Any, ...]) -> Track:
    number, path, duration_s, mean_valence, mean_arousal, spread_valence, spread_arousal, *rest = row
    mean, spread = np.array([mean_valence, mean_arousal]), np.array([spread_valence, spread_arousal])
    return Track(number, Path(os.fsdecode(path)), duration_s, mean, spread, *rest)


def _span(root: bytes) -> tuple[bytes, bytes]:
    """The first path below a root, and the first one after all of them."""
    first = os.path.join(root, b"")  # noqa: PTH118 - bytes
    return first, first[:-1] + bytes([first[-1] + 1])
