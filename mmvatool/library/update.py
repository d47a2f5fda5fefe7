"""Bring a library's index up to date with a folder of music: walk -> compare -> hash -> decode and predict -> store.

A file whose size and time are those of the last run is not opened. One that is new or has changed is hashed, and decoded only if this
model has no curve of the same bytes yet. Each track is stored as soon as it is predicted, so that a run that is killed loses only the
tracks in work.
"""

import hashlib
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmvatool.analysis.curves import check_window_s
from mmvatool.errors import FileError, LibraryError, MediaError
from mmvatool.files import count_left_out, describe_left_out, natural_key
from mmvatool.library.analyze import TrackFeatures, analyze_track
from mmvatool.library.database import Library
from mmvatool.library.locks import TrackLocks
from mmvatool.library.walk import MusicFile, file_error, may_be_video, real_path, stamp_of, walk
from mmvatool.media import headers
from mmvatool.progress import Progress, no_progress
from trainer import TrainerError

if TYPE_CHECKING:
    from trainer import Predictor

WORKERS = 2  # one file is decoded while another is predicted
NOT_MUSIC = "is a video, or nothing that can be read"  # in place of an error: such a file is left out without one
_KINDS = ("added", "changed", "moved", "unchanged", "removed")
WAIT_S = 0.2  # before another run's locks are tried again
PATIENCE_S = 600.0  # with another run that stores nothing in this time: it may be suspended

Submit = Callable[[Path], "Future[TrackFeatures]"]


@dataclass(frozen=True)
class IndexResult:
    """The result of a run over a folder: numbers of files, and those that cannot be decoded with the reason.

    `added` are new; `changed` have another content than before; `moved` are new under their name and known by their content,
    which another name had until now; `removed` are there no more under any name; `predicted` is how many were decoded and predicted.
    `left_out` counts the files that are no music by suffix.
    """

    added: int
    changed: int
    moved: int
    unchanged: int
    removed: int
    predicted: int
    broken: tuple[FileError, ...]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def tracks(self) -> int:
        """How many tracks the index has of the folder now."""
        return self.added + self.changed + self.moved + self.unchanged

    def summary(self) -> str:
        """The numbers in a line."""
        kinds = ", ".join(f"{getattr(self, kind)} {kind}" for kind in _KINDS)
        return f"{self.tracks} track{'s' if self.tracks != 1 else ''}: {kinds}; {self.predicted} predicted"

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        kinds = {kind: getattr(self, kind) for kind in _KINDS}
        failures = [{"input": str(error.path), "error": str(error)} for error in self.broken]
        return {"tracks": self.tracks, **kinds, "predicted": self.predicted, "failures": failures}


def index(root: Path | str, library: Library, predictor: "Predictor", *, progress: Progress = no_progress) -> IndexResult:
    """Bring the index up to date with all music below a folder.

    Args:
        root: the folder.
        library: the index.
        predictor: with a music tower.
        progress: is given how many of the files that must be opened are done.

    Returns:
        How many files were new, changed and so on. A broken file is stored with its size and time and is not tried again until they
        change; one that could not be read (permissions, changed meanwhile) is tried each time.

    Raises:
        MediaError: the folder is not there.
        CheckpointError: the model has no music tower.
        LibraryError: the index cannot be used.
    """
    root = Path(root)
    check_window_s(predictor, None)
    model = model_key(predictor)
    run = _Run(root, library, model)
    with _open_locks(library) as locks, progress("indexing", len(run.todo)) as on_progress, _worker_pool(predictor) as submit:
        queue = _Queue(run, locks, model, submit, on_progress)
        for file in run.todo:
            digest = run.hash(file) if run.is_music(file) else None
            if digest is not None:
                queue.add(file, digest)
        queue.finish()
    return run.result()


class _Run:
    """The state of a run: the files before, those to do, and counts and errors so far."""

    def __init__(self, root: Path, library: Library, model: str) -> None:
        self.left_out: Counter[str] = Counter()
        files, self.errors = walk(root, self.left_out)
        self._library, self._model = library, model
        self._known = library.files(real_path(root), model)
        gone = self._known.keys() - {file.path for file in files}
        if gone:
            library.remove(gone)
        self._gone = sum(self._known[path].error != NOT_MUSIC for path in gone)
        self._gone_contents = Counter(self._known[path].content for path in gone)
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.todo: list[MusicFile] = []
        for file in files:
            before = self._known.get(file.path)
            if before is None or before.stamp != file.stamp or not (before.predicted or before.error):
                self.todo.append(file)
            elif before.error == NOT_MUSIC:
                count_left_out(self.left_out, file.display_path.name)
            elif before.error:
                self.errors.append(MediaError(file.display_path, before.error))
            else:
                self.counts["unchanged"] += 1

    def is_music(self, file: MusicFile) -> bool:
        """Whether a file holds sound and no moving picture. One that does not is remembered, so that it is opened once only."""
        if not may_be_video(file.display_path.name):
            return True
        try:
            header = headers.read(file.display_path, "a sound file")
        except MediaError as error:
            if isinstance(error.__cause__, OSError):  # it may be readable next time
                return True
        else:
            if header.default_audio and not header.video:
                return True
        self._library.put_broken(file.path, file.stamp, NOT_MUSIC)
        count_left_out(self.left_out, file.display_path.name)
        self.done += 1
        return False

    def hash(self, file: MusicFile) -> bytes | None:
        """The hash of a file; None if it cannot be read."""
        try:
            return _hash(file.path)
        except OSError as error:
            self._fail(file, error)
            return None

    def store_known(self, file: MusicFile, digest: bytes) -> bool:
        """Store a file whose bytes the model has predicted already; False if it has not."""
        content = self._library.content(digest, self._model)
        if content is None or not content.predicted:
            return False
        self._library.put(file.path, file.stamp, content.id)
        self._count(file, content.id)
        return True

    def store(self, file: MusicFile, digest: bytes, future: "Future[TrackFeatures]") -> None:
        """Store what was predicted for a file, or why that failed."""
        try:
            features = future.result()
            stamp = stamp_of(os.stat(file.path))  # noqa: PTH116 - bytes
        except TrainerError:
            raise
        except Exception as error:  # whatever it is, the other files go on
            if isinstance(error, MediaError):
                self._library.put_broken(file.path, file.stamp, error.problem)
            self._fail(file, error)
            return
        if stamp != file.stamp:
            self._fail(file, MediaError(file.display_path, "changed while it was read: run again when it is complete"))
            return
        curve = features.curve
        self._count(file, self._library.put_predicted(file.path, file.stamp, digest, features.sound, self._model, curve.times_s, curve.va))

    def result(self) -> IndexResult:
        """The counts and errors of all files."""
        counts = self.counts
        return IndexResult(
            added=counts["added"],
            changed=counts["changed"],
            moved=counts["moved"],
            unchanged=counts["unchanged"],
            removed=self._gone - counts["moved"],
            predicted=counts["predicted"],
            broken=tuple(sorted(self.errors, key=lambda error: natural_key(error.path))),
            left_out=self.left_out,
        )

    def _fail(self, file: MusicFile, error: Exception) -> None:
        self.errors.append(file_error(error, file.display_path))
        self.done += 1

    def _count(self, file: MusicFile, content: int) -> None:
        before = self._known.get(file.path)
        if before is not None:
            self.counts["unchanged" if before.content == content else "changed"] += 1
        elif self._gone_contents[content] > 0:
            self._gone_contents[content] -= 1
            self.counts["moved"] += 1
        else:
            self.counts["added"] += 1
        self.done += 1


class _Queue:
    """Files in work, and those that another run is working on.

    Not a `mmvatool.analysis.prefetch` queue: results are stored in the order in which they are ready, a copy joins the file of the same
    bytes in work, and what another run has locked is tried again later.
    """

    def __init__(self, run: _Run, locks: TrackLocks, model: str, submit: Submit, on_progress: Callable[[int], None]) -> None:
        self._run, self._locks, self._model, self._submit, self._on_progress = run, locks, model, submit, on_progress
        self._working: dict[Future[TrackFeatures], tuple[bytes, list[MusicFile]]] = {}
        self._waiting: deque[tuple[bytes, MusicFile]] = deque()

    def add(self, file: MusicFile, digest: bytes, *, patient: bool = True) -> None:
        """Have a file analyzed, unless its content is known or, if `patient`, locked by another run."""
        copies = next((files for other, files in self._working.values() if other == digest), None)
        if copies is not None:
            copies.append(file)
        elif not self._locks.acquire(self._lock_name(digest)) and patient:
            self._waiting.append((digest, file))
        elif not self._run.store_known(file, digest):  # checked after locking: whoever had the lock before has stored its result
            self._working[self._submit(file.display_path)] = digest, [file]
            self._store_results(at_most=WORKERS)  # one more than are in work: no worker waits for this loop
        else:
            self._locks.release(self._lock_name(digest))
            self._on_progress(self._run.done)

    def finish(self) -> None:
        """Store all results, also of the files that other runs had locked: if those end without a result, they are analyzed here."""
        self._store_results(at_most=0)
        deadline = time.monotonic() + PATIENCE_S
        while count := len(self._waiting):
            for _ in range(count):
                digest, file = self._waiting.popleft()
                self.add(file, digest, patient=time.monotonic() < deadline)
            self._store_results(at_most=0)  # no lock is held while waiting: two runs that wait for each other would never end
            if len(self._waiting) == count:
                time.sleep(WAIT_S)
            else:
                deadline = time.monotonic() + PATIENCE_S

    def _store_results(self, at_most: int) -> None:
        """Store results until at most so many files are in work."""
        while len(self._working) > at_most:
            for future in wait(self._working, return_when=FIRST_COMPLETED).done:
                digest, files = self._working.pop(future)
                for file in files:
                    self._run.store(file, digest, future)
                self._locks.release(self._lock_name(digest))
                self._run.counts["predicted"] += future.exception() is None
                self._on_progress(self._run.done)

    def _lock_name(self, digest: bytes) -> bytes:
        return digest + self._model.encode()


def model_key(predictor: "Predictor") -> str:
    """The key of a model's curves in the index: equal keys mean equal numbers."""
    return curve_key(predictor.fingerprint, predictor.precision)


def curve_key(fingerprint: str, precision: str) -> str:
    """`model_key` of a checkpoint that is not loaded."""
    return fingerprint + ("" if precision == "float32" else f":{precision}")


def display_path(folder: Path, root: bytes, path: Path) -> Path:
    """The path of a file of the index as the user would write it: below the folder as it was given, whose real path is `root`."""
    return folder / os.path.relpath(path, os.fsdecode(root))


def no_music(folder: Path, indexed: IndexResult) -> str:
    """The message for a folder without a usable track."""
    if indexed.broken:
        several = f" and {len(indexed.broken) - 1} more cannot be decoded either" if len(indexed.broken) > 1 else ""
        return f"{folder}: holds no music that can be decoded ({indexed.broken[0]}{several})"
    others = describe_left_out(indexed.left_out)
    return f"{folder}: holds no music{f' ({others})' if others else ''}: name a folder with mp3, flac, m4a, wav or other sound in it"


def _open_locks(library: Library) -> TrackLocks:
    """The locks by which several runs on one index share the work."""
    path = library.path.with_name(f"{library.path.name}.locks")
    try:
        return TrackLocks(path)
    except OSError as error:
        raise LibraryError(path, f"cannot be used ({error.strerror}): check permissions, or choose another index with --index") from error


def _hash(path: bytes) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - bytes
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest()


class _Stopped(Exception):
    """The run has ended: files in work are dropped."""


class _LockedPredictor:
    """A predictor for several threads: one predicts while another decodes."""

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def music(self, windows: Any) -> Any:
        with self._lock:
            if self.stopped.is_set():
                raise _Stopped
            return self._predictor.music(windows)


@contextmanager
def _worker_pool(predictor: "Predictor") -> Iterator[Submit]:
    """A function that has a file analyzed by one of WORKERS threads."""
    shared = _LockedPredictor(predictor)
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="analyze")
    try:
        yield lambda path: pool.submit(analyze_track, path, cast("Predictor", shared))
    finally:
        shared.stopped.set()
        pool.shutdown(cancel_futures=True)
