"""The music library's index: one SQLite file that stores what was felt of which track, and finds it. Predicts nothing.

    contents    a row for each sound that was ever heard, by the hash of its file: what belongs to the sound itself
    curves      for a content and a model: VA in windows of 10 s, their mean and spread
    files       a row for each file as it was last seen: size and time, and its content or why it is broken

A file that is renamed, moved or copied is a new row of `files` for the same content, so that nothing is heard twice. A content
stays when its last file goes: it may come back, or stand in a library that is looked at next.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from mmvatool.cache import cache_dir
from mmvatool.errors import LibraryError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6D6D7661  # "mmva", in the file's header
FILE_NAME = "library.sqlite3"
BUSY_LIMIT_S = 30.0
_SCHEMA = """
CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    duration_s REAL NOT NULL
);
CREATE TABLE curves (
    content INTEGER NOT NULL REFERENCES contents ON DELETE CASCADE,
    model TEXT NOT NULL,
    mean_valence REAL NOT NULL,
    mean_arousal REAL NOT NULL,
    spread_valence REAL NOT NULL,
    spread_arousal REAL NOT NULL,
    samples BLOB NOT NULL, -- little-endian float32 (N, 3): time in seconds, valence, arousal
    PRIMARY KEY (content, model)
);
-- A search reads the means of one model and none of the curves.
CREATE INDEX curves_by_model ON curves (model, content, mean_valence, mean_arousal);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE, -- absolute, as bytes: not every name is text
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    content INTEGER REFERENCES contents,
    error TEXT, -- why it is broken
    CHECK ((content IS NULL) <> (error IS NULL))
);
CREATE INDEX files_by_content ON files (content);
"""


@dataclass(frozen=True)
class Stamp:
    """What tells that a file has not changed without reading it."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileRow:
    """A file as it was last seen. `content` is None for a broken one, whose `error` says why; `felt`: the model's curve is there."""

    stamp: Stamp
    content: int | None
    error: str | None
    felt: bool


@dataclass(frozen=True)
class Content:
    """A sound that is known. `felt`: the model's curve is there."""

    id: int
    felt: bool


@dataclass(frozen=True)
class Track:
    """A file of the library with what a model felt: mean and spread (standard deviation) of its VA (2,) over the windows."""

    id: int
    path: Path
    duration_s: float
    mean: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Means:
    """What a search looks through: `ids` int64 (N,) of files and the mean `va` float64 (N, 2) of each."""

    ids: np.ndarray
    va: np.ndarray


def default_index() -> Path:
    """The index in the user's cache folder.

    Raises:
        LibraryError: there is no home folder to have one in.
    """
    try:
        return cache_dir() / FILE_NAME
    except RuntimeError as error:
        raise LibraryError(Path(FILE_NAME), f"has no place ({error}): name one with --index") from error


class Library:
    """An open index. Several processes may have one open: transactions are short, and who comes second waits.

    Roots and paths are absolute, as bytes (os.fsencode); a root stands for all files below it.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        """Open an index, or lay it.

        Args:
            path: the SQLite file; the one in the user's cache folder by default.

        Raises:
            LibraryError: it is not an index, of another version, damaged, or cannot be read and written.
        """
        self.path = default_index() if path is None else Path(path)
        self._open: sqlite3.Connection | None = None
        with self._explained():
            if path is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            elif not self.path.parent.is_dir():
                raise LibraryError(self.path, "its folder does not exist: create it, or choose another with --index")
            elif self.path.is_dir():
                raise LibraryError(self.path, "is a folder: name a file with --index")
            self._open = sqlite3.connect(self.path, timeout=BUSY_LIMIT_S, isolation_level=None)
        try:
            with self._explained():
                self._check_or_lay()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing else can be done with this object then."""
        if self._open is not None:
            self._open.close()

    def files(self, root: bytes, model: str) -> dict[bytes, FileRow]:
        """All files below a root by path, as they were last seen."""
        query = (
            "SELECT path, size, mtime_ns, files.content, error, curves.content IS NOT NULL FROM files "
            "LEFT JOIN curves ON curves.content = files.content AND curves.model = ? WHERE path >= ? AND path < ?"
        )
        with self._explained():
            rows = self._sql.execute(query, (model, *_span(root)))
            return {path: FileRow(Stamp(size, mtime_ns), content, error, bool(felt)) for path, size, mtime_ns, content, error, felt in rows}

    def content(self, digest: bytes, model: str) -> Content | None:
        """The sound with this hash, if it is known."""
        query = "SELECT id, curves.content IS NOT NULL FROM contents LEFT JOIN curves ON content = id AND model = ? WHERE hash = ?"
        with self._explained():
            row = self._sql.execute(query, (model, digest)).fetchone()
        return None if row is None else Content(row[0], bool(row[1]))

    def put(self, path: bytes, stamp: Stamp, content: int) -> None:
        """Note a file of a known content."""
        with self._transaction():
            self._put_file(path, stamp, content, None)

    def put_felt(self, path: bytes, stamp: Stamp, digest: bytes, duration_s: float, model: str, times_s: np.ndarray, va: np.ndarray) -> int:
        """Note a file and what a model felt of it, all or nothing.

        Args:
            path: of the file.
            stamp: of the file before it was read.
            digest: hash of its bytes.
            duration_s: its length.
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
        with self._transaction():
            self._sql.execute("INSERT INTO contents (hash, duration_s) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, duration_s))
            content: int = self._sql.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()[0]
            row = (content, model, *statistics, samples.tobytes())
            self._sql.execute("INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._put_file(path, stamp, content, None)
        return content

    def put_broken(self, path: bytes, stamp: Stamp, error: str) -> None:
        """Note that a file cannot be heard, and why, so that it is left alone until it changes."""
        with self._transaction():
            self._put_file(path, stamp, None, error)

    def remove(self, paths: Iterable[bytes]) -> None:
        """Forget files; what is known of their contents stays."""
        with self._transaction():
            self._sql.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def means(self, root: bytes, model: str) -> Means:
        """The mean VA of all tracks below a root that a model has felt, in no order."""
        query = (
            "SELECT files.id, mean_valence, mean_arousal FROM files JOIN curves ON curves.content = files.content "
            "WHERE model = ? AND path >= ? AND path < ?"
        )
        with self._explained():
            rows = self._sql.execute(query, (model, *_span(root))).fetchall()
        table = np.fromiter(rows, np.dtype((np.float64, 3)), len(rows))  # ids are exact in it up to 2^53
        return Means(table[:, 0].astype(np.int64), table[:, 1:])

    def tracks(self, ids: Iterable[int], model: str) -> list[Track]:
        """Tracks by their ids, in the order given; one that has gone in the meantime is left out."""
        query = (
            "SELECT path, duration_s, mean_valence, mean_arousal, spread_valence, spread_arousal FROM files "
            "JOIN contents ON contents.id = files.content JOIN curves ON curves.content = files.content AND model = ? WHERE files.id = ?"
        )
        found = []
        with self._explained():
            for number in ids:
                row = self._sql.execute(query, (model, int(number))).fetchone()
                if row is not None:
                    mean, spread = np.array(row[2:4]), np.array(row[4:6])
                    found.append(Track(int(number), Path(os.fsdecode(row[0])), row[1], mean, spread))
        return found

    def curve(self, track: int, model: str) -> tuple[np.ndarray, np.ndarray]:
        """What a model felt of a track over time.

        Returns:
            `times_s` float32 (N,), centres of the windows, and VA float32 (N, 2).

        Raises:
            KeyError: there is no such track, or the model has not felt it.
            LibraryError: the index is damaged.
        """
        query = "SELECT samples FROM files JOIN curves ON curves.content = files.content AND model = ? WHERE files.id = ?"
        with self._explained():
            row = self._sql.execute(query, (model, track)).fetchone()
        if row is None:
            raise KeyError(track)
        if not row[0] or len(row[0]) % 12:
            raise self._damaged(f"a curve of {len(row[0])} bytes")
        samples = np.frombuffer(row[0], "<f4").reshape(-1, 3)
        return samples[:, 0], samples[:, 1:]

    @property
    def _sql(self) -> sqlite3.Connection:
        assert self._open is not None
        return self._open

    def _check_or_lay(self) -> None:
        made_by, version = self._header()
        if made_by == version == 0 and self._is_empty():
            # Readers do not wait for a writer, nor it for them; a process that is killed leaves the file whole.
            self._sql.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                made_by, version = self._header()  # another process may have been quicker
                if made_by == version == 0 and self._is_empty():
                    for statement in _SCHEMA.split(";"):
                        self._sql.execute(statement)
                    self._sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    made_by, version = APPLICATION_ID, SCHEMA_VERSION
        if made_by != APPLICATION_ID:
            raise LibraryError(self.path, "is another program's SQLite file: choose another with --index")
        if version != SCHEMA_VERSION:
            problem = f"is an index of version {version}, and this mmvatool reads version {SCHEMA_VERSION}: delete it to have it made anew"
            raise LibraryError(self.path, f"{problem}, or choose another with --index")
        self._sql.execute("PRAGMA synchronous = NORMAL")  # in WAL a power cut can cost the last tracks, not the file
        self._sql.execute("PRAGMA foreign_keys = ON")

    def _is_empty(self) -> bool:
        return self._sql.execute("SELECT 1 FROM sqlite_master").fetchone() is None

    def _header(self) -> tuple[int, int]:
        made_by, version = (self._sql.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        return made_by, version

    def _put_file(self, path: bytes, stamp: Stamp, content: int | None, error: str | None) -> None:
        # Not INSERT OR REPLACE: the row keeps its id.
        self._sql.execute(
            "INSERT INTO files (path, size, mtime_ns, content, error) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, error = excluded.error",
            (path, stamp.size, stamp.mtime_ns, content, error),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            finally:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What SQLite and the file system complain of, in a line that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise LibraryError(
                    self.path, f"was locked by another run for {BUSY_LIMIT_S:.0f} s: try again when that has ended"
                ) from error
            raise self._unusable(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        except OSError as error:
            raise self._unusable(str(error.strerror)) from error

    def _damaged(self, detail: str) -> LibraryError:
        return LibraryError(
            self.path, f"is not an index, or a damaged one ({detail}): delete it to have it made anew, or choose another with --index"
        )

    def _unusable(self, detail: str) -> LibraryError:
        return LibraryError(self.path, f"cannot be used ({detail}): check permissions and free space, or choose another with --index")


def _span(root: bytes) -> tuple[bytes, bytes]:
    """The paths below a root are those from the first to before the second."""
    below = os.path.join(root, b"")  # noqa: PTH118 - bytes
    return below, below[:-1] + bytes([below[-1] + 1])
