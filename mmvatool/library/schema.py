"""The file of a library's index: SQLite's schema, opening and creating it, and its errors in a line each."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvatool.errors import LibraryError
from mmvatool.files import cache_dir

SCHEMA_VERSION = 3
APPLICATION_ID = 0x6D6D7661  # "mmva", in the file's header
FILE_NAME = "library.sqlite3"
BUSY_LIMIT_S = 30.0
_SCHEMA = """
CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    duration_s REAL NOT NULL,
    title TEXT,
    artist TEXT,
    licence TEXT,
    loudness_lufs REAL, -- NULL: silence
    tempo_bpm REAL -- NULL: no beat was detected
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
-- What a search reads, in the order in which it is read, without a join: the means of one model below one root.
CREATE TABLE predictions (
    model TEXT NOT NULL,
    path BLOB NOT NULL,
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    mean BLOB NOT NULL, -- little-endian: int64 file, float32 valence, arousal
    PRIMARY KEY (model, path)
) WITHOUT ROWID;
CREATE INDEX predictions_by_file ON predictions (file);
"""


def default_index() -> Path:
    """The index in the user's cache folder.

    Raises:
        LibraryError: there is no home folder to have one in.
    """
    try:
        return cache_dir() / FILE_NAME
    except RuntimeError as error:
        raise LibraryError(Path(FILE_NAME), f"has no place ({error}): name one with --index") from error


class IndexFile:
    """An open index file of this version. Several processes may have one open: of two writers the second waits."""

    def __init__(self, path: Path | str | None, *, create: bool) -> None:
        """Open it.

        An index of an older version is emptied and rebuilt: all in it can be computed again, and no user should have to delete a file for that.

        Args:
            path: the SQLite file; the one in the user's cache folder by default.
            create: create one that is not there.

        Raises:
            LibraryError: it is not there, not an index, of a later version, damaged, or cannot be read and written.
        """
        self.path = default_index() if path is None else Path(path)
        self._open: sqlite3.Connection | None = None
        with self.explained():
            if not create and not self.path.exists():
                raise LibraryError(
                    self.path, "there is no index yet: run mmvatool library index FOLDER first, or name another with --index"
                )
            if path is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            elif not self.path.parent.is_dir():
                raise LibraryError(self.path, "its folder does not exist: create it, or choose another with --index")
            elif self.path.is_dir():
                raise LibraryError(self.path, "is a folder: name a file with --index")
            self._open = sqlite3.connect(self.path, timeout=BUSY_LIMIT_S, isolation_level=None)
        try:
            with self.explained():
                self._check_or_create()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; nothing else can be done with this object then."""
        if self._open is not None:
            self._open.close()

    @property
    def sql(self) -> sqlite3.Connection:
        """The connection."""
        assert self._open is not None
        return self._open

    def header(self) -> tuple[int, int]:
        """The application id in the file, and the version of its tables."""
        application, version = (self.sql.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        return application, version

    def shrink(self) -> None:
        """Give free space back to the file system; while another run has the file open, it is left for new rows."""
        with self.explained():
            try:
                self.sql.execute("VACUUM")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        with self.explained():
            self.sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.sql.execute("COMMIT")
            finally:
                if self.sql.in_transaction:
                    self.sql.execute("ROLLBACK")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise errors of SQLite and the file system as a LibraryError that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise LibraryError(
                    self.path, f"was locked by another run for {BUSY_LIMIT_S:.0f} s: try again when that has ended"
                ) from error
            raise self._unusable(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error
        except OSError as error:
            raise self._unusable(str(error.strerror)) from error

    def damaged(self, detail: str) -> LibraryError:
        """The error of an index whose content is damaged."""
        return LibraryError(
            self.path, f"is not an index, or a damaged one ({detail}): delete it to have it rebuilt, or choose another with --index"
        )

    def _unusable(self, detail: str) -> LibraryError:
        return LibraryError(self.path, f"cannot be used ({detail}): check permissions and free space, or choose another with --index")

    def _check_or_create(self) -> None:
        if self._needs_tables():
            # Readers do not wait for a writer, nor it for them; a process that is killed leaves the file intact.
            self.sql.execute("PRAGMA journal_mode = WAL")
            with self.transaction():
                if self._needs_tables():  # else another process was quicker
                    self._create_tables()
        application, version = self.header()
        if application != APPLICATION_ID:
            raise LibraryError(self.path, "is another program's SQLite file: choose another with --index")
        if version != SCHEMA_VERSION:
            problem = f"is an index of version {version}, and this mmvatool reads version {SCHEMA_VERSION}: delete it to have it rebuilt"
            raise LibraryError(self.path, f"{problem}, or choose another with --index")
        self.sql.execute("PRAGMA synchronous = NORMAL")  # in WAL a power cut can cost the last tracks, not the file
        self.sql.execute("PRAGMA foreign_keys = ON")

    def _needs_tables(self) -> bool:
        application, version = self.header()
        if application == version == 0:
            return self.sql.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        return application == APPLICATION_ID and version < SCHEMA_VERSION

    def _create_tables(self) -> None:
        # Foreign keys are not enforced yet, so that the order does not matter.
        for (name,) in self.sql.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall():
            self.sql.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";"):
            self.sql.execute(statement)
        self.sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self.sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
