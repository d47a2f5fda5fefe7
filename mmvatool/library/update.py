"""Bring a library's index up to date with a folder of music: walk -> compare -> hash -> decode and predict -> store.

A file whose size and time are those of the last time is not opened. One that is new or has changed is hashed, and heard only if
no file with the same bytes was heard by this model before. Each track is stored as soon as it is felt, so that a run that is
killed loses the tracks in work alone.
"""

import hashlib
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mmvatool.analysis.curves import check_window_s
from mmvatool.errors import FileError, LibraryError, MediaError
from mmvatool.files import is_own_output, natural_key
from mmvatool.library.analyze import TrackFeatures, analyze_track
from mmvatool.library.database import Library, Stamp
from mmvatool.library.locks import TrackLocks
from mmvatool.progress import Progress, no_progress
from trainer import TrainerError

if TYPE_CHECKING:
    from trainer import Predictor

MUSIC_SUFFIXES = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff", ".aif", ".aac", ".wma")
WORKERS = 2  # one file is decoded while another is predicted
_KINDS = ("added", "changed", "moved", "unchanged", "removed")
WAIT_S = 0.2  # for another run, before it is asked again what that has heard
PATIENCE_S = 600.0  # with a run that has heard nothing more in this time: it may be halted


@dataclass(frozen=True)
class Indexed:
    """What a run over a folder found: numbers of files, and those that cannot be heard with the reason.

    `added` are new; `changed` have another content than before; `moved` are new under their name and known by their content,
    which another name had until now; `removed` are there no more under any name; `predicted` is how many were decoded and predicted.
    """

    added: int
    changed: int
    moved: int
    unchanged: int
    removed: int
    predicted: int
    broken: tuple[FileError, ...]

    @property
    def tracks(self) -> int:
        """How many can be found now."""
        return self.added + self.changed + self.moved + self.unchanged

    def summary(self) -> str:
        """The numbers in a line."""
        kinds = ", ".join(f"{getattr(self, kind)} {kind}" for kind in _KINDS)
        return f"{self.tracks} track{'s' if self.tracks != 1 else ''}: {kinds}; {self.predicted} heard"

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        failures = [{"input": str(error.path), "error": str(error)} for error in self.broken]
        return {"tracks": self.tracks, **{kind: getattr(self, kind) for kind in _KINDS}, "heard": self.predicted, "failures": failures}


class MusicFile(NamedTuple):
    """A file of the walk: its absolute path without links, its name as the user would write it, and what it looked like."""

    path: bytes
    shown: Path
    stamp: Stamp


def index(root: Path | str, library: Library, predictor: "Predictor", *, progress: Progress = no_progress) -> Indexed:
    """Bring the index up to date with all music below a folder.

    Args:
        root: the folder.
        library: the index.
        predictor: with a music tower.
        progress: told how many of the files that must be looked into are done.

    Returns:
        What was found. A file that is broken is remembered with its size and time and is not tried again until they change;
        one that could not be read (permissions, changed meanwhile) is tried each time.

    Raises:
        MediaError: the folder is not there.
        CheckpointError: the model has no music tower.
        LibraryError: the index cannot be used.
    """
    root = Path(root)
    check_window_s(predictor, None)
    model = model_key(predictor)
    run = _Run(root, library, model)
    with _claims(library) as claims, progress("indexing", len(run.todo)) as indexed, _listeners(predictor) as submit:
        working: dict[Future[TrackFeatures], tuple[bytes, list[MusicFile]]] = {}

        def collect(at_most: int) -> None:
            """Store what is felt until no more than so many are being heard."""
            while len(working) > at_most:
                for future in wait(working, return_when=FIRST_COMPLETED).done:
                    digest, files = working.pop(future)
                    for file in files:
                        run.store(file, digest, future)
                    claims.drop(claim(digest))
                    run.counts["predicted"] += future.exception() is None
                    indexed(run.done)

        waiting: deque[tuple[bytes, MusicFile]] = deque()

        def claim(digest: bytes) -> bytes:
            return digest + model.encode()

        def look_into(file: MusicFile, digest: bytes, *, patient: bool = True) -> None:
            """Have a file heard, unless it is known or, while there is patience, another run does it."""
            twins = next((files for other, files in working.values() if other == digest), None)
            if twins is not None:  # a copy of what is being heard
                twins.append(file)
            elif not claims.take(claim(digest)) and patient:
                waiting.append((digest, file))
            elif not run.is_known(file, digest):  # asked after the claim: whoever had it before has stored what it heard
                working[submit(file.shown)] = digest, [file]
                collect(at_most=WORKERS)  # one more than are in work: no worker waits for this loop
            else:
                claims.drop(claim(digest))
                indexed(run.done)

        for file in run.todo:
            digest = run.hash(file)
            if digest is not None:
                look_into(file, digest)
        collect(at_most=0)
        until = time.monotonic() + PATIENCE_S
        while count := len(waiting):  # for what another run is hearing: if that ends without a result, it is heard here
            for _ in range(count):
                digest, file = waiting.popleft()
                look_into(file, digest, patient=time.monotonic() < until)
            collect(at_most=0)  # nobody waits for one who waits
            if len(waiting) == count:
                time.sleep(WAIT_S)
            else:
                until = time.monotonic() + PATIENCE_S
    return run.result()


class _Run:
    """The books of a run: what was there, what is to do, and what was found."""

    def __init__(self, root: Path, library: Library, model: str) -> None:
        found, self.errors = walk(root)
        self._library, self._model = library, model
        self._known = library.files(real_path(root), model)
        gone = self._known.keys() - {file.path for file in found}
        if gone:
            library.remove(gone)
        self._gone = len(gone)
        self._left = Counter(self._known[path].content for path in gone)
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.todo: list[MusicFile] = []
        for file in found:
            before = self._known.get(file.path)
            if before is None or before.stamp != file.stamp or not (before.predicted or before.error):
                self.todo.append(file)
            elif before.error:
                self.errors.append(MediaError(file.shown, before.error))
            else:
                self.counts["unchanged"] += 1

    def hash(self, file: MusicFile) -> bytes | None:
        """The hash of a file; None if it cannot be read."""
        try:
            return _hash(file.path)
        except OSError as error:
            self._fail(file, error)
            return None

    def is_known(self, file: MusicFile, digest: bytes) -> bool:
        """Whether the model has heard these bytes; then the file is noted."""
        content = self._library.content(digest, self._model)
        if content is None or not content.predicted:
            return False
        self._library.put(file.path, file.stamp, content.id)
        self._count(file, content.id)
        return True

    def store(self, file: MusicFile, digest: bytes, future: "Future[TrackFeatures]") -> None:
        """Note what was heard, or why nothing was."""
        try:
            heard = future.result()
            meanwhile = _stamp(os.stat(file.path))  # noqa: PTH116 - bytes
        except TrainerError:
            raise
        except Exception as error:  # whatever it is, the other files go on
            if isinstance(error, MediaError):
                self._library.put_broken(file.path, file.stamp, error.problem)
            self._fail(file, error)
            return
        if meanwhile != file.stamp:
            self._fail(file, MediaError(file.shown, "changed while it was read: run again when it is whole"))
            return
        curve = heard.curve
        self._count(file, self._library.put_predicted(file.path, file.stamp, digest, heard.sound, self._model, curve.times_s, curve.va))

    def result(self) -> Indexed:
        """What was found."""
        counts = self.counts
        return Indexed(
            added=counts["added"],
            changed=counts["changed"],
            moved=counts["moved"],
            unchanged=counts["unchanged"],
            removed=self._gone - counts["moved"],
            predicted=counts["predicted"],
            broken=tuple(sorted(self.errors, key=lambda error: natural_key(error.path))),
        )

    def _fail(self, file: MusicFile, error: Exception) -> None:
        self.errors.append(_named(error, file.shown))
        self.done += 1

    def _count(self, file: MusicFile, content: int) -> None:
        before = self._known.get(file.path)
        if before is not None:
            self.counts["unchanged" if before.content == content else "changed"] += 1
        elif self._left[content] > 0:
            self._left[content] -= 1
            self.counts["moved"] += 1
        else:
            self.counts["added"] += 1
        self.done += 1


def model_key(predictor: "Predictor") -> str:
    """What curves are kept under: equal keys mean equal numbers."""
    return curve_key(predictor.fingerprint, predictor.precision)


def curve_key(fingerprint: str, precision: str) -> str:
    """`model_key` of a checkpoint that is not loaded."""
    return fingerprint + ("" if precision == "float32" else f":{precision}")


def real_path(root: Path) -> bytes:
    """How the index knows a folder: absolute and without links."""
    return os.fsencode(root.resolve())


def below(folder: Path, root: bytes, path: Path) -> Path:
    """A file of the index under the name that the user knows: below the folder, whose real path is `root`, as it was given."""
    return folder / os.path.relpath(path, os.fsdecode(root))


def no_music(folder: Path, indexed: Indexed) -> str:
    """Why there is nothing to choose from."""
    if indexed.broken:
        several = f" and {len(indexed.broken) - 1} more cannot be heard either" if len(indexed.broken) > 1 else ""
        return f"{folder}: holds no music that can be heard ({indexed.broken[0]}{several})"
    return f"{folder}: holds no music: name a folder with {', '.join(suffix[1:] for suffix in MUSIC_SUFFIXES)} in it"


def walk(root: Path) -> tuple[list[MusicFile], list[FileError]]:
    """All music below a folder: links are followed, each folder is visited once, under its own name where it has one there.

    Hidden files and folders and this tool's own outputs are left out.

    Returns:
        The files, and an error for each folder and file that cannot be read.

    Raises:
        MediaError: the folder is not there.
    """
    if not root.is_dir():
        raise MediaError(root, "no such folder: name one with music in it")
    real = real_path(root)
    files: list[MusicFile] = []
    errors: list[FileError] = []
    visited: set[tuple[int, int]] = set()
    folders, links = deque([b""]), deque[bytes]()
    while folders or links:
        inside = folders.popleft() if folders else links.popleft()
        folder = os.path.join(real, inside)  # noqa: PTH118 - bytes
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            errors.append(_named(error, root / os.fsdecode(inside)))
            continue
        for entry in entries:
            name = os.path.join(inside, entry.name)  # noqa: PTH118
            music = entry.name.lower().endswith(tuple(suffix.encode() for suffix in MUSIC_SUFFIXES)) and not is_own_output(
                os.fsdecode(entry.name)
            )
            if entry.name.startswith(b"."):
                continue
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(name)
                elif music and entry.is_file():
                    files.append(MusicFile(entry.path, root / os.fsdecode(name), _stamp(entry.stat())))
            except OSError as error:  # a link to itself, say
                if music:
                    errors.append(_named(error, root / os.fsdecode(name)))
    return files, errors


def _claims(library: Library) -> TrackLocks:
    """What several runs on one index share the hearing by."""
    path = library.path.with_name(f"{library.path.name}-hearing")
    try:
        return TrackLocks(path)
    except OSError as error:
        raise LibraryError(path, f"cannot be used ({error.strerror}): check permissions, or choose another index with --index") from error


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def _hash(path: bytes) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - bytes
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest()


def _named(error: Exception, shown: Path) -> FileError:
    """An error in the words of a file's own, under the name that the user knows."""
    if isinstance(error, FileError):
        return MediaError(shown, error.problem)
    if isinstance(error, OSError) and error.strerror:
        return MediaError(shown, f"cannot be read ({error.strerror}): check its name and permissions")
    return MediaError(shown, f"failed unexpectedly ({type(error).__name__}: {error}): please report it if the machine is well")


class _Stopped(Exception):
    """The run ends: what is being heard is dropped."""


class _InTurn:
    """A predictor for several threads: one predicts while another decodes."""

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor
        self._turn = threading.Lock()
        self.stopped = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def music(self, windows: Any) -> Any:
        with self._turn:
            if self.stopped.is_set():
                raise _Stopped
            return self._predictor.music(windows)


@contextmanager
def _listeners(predictor: "Predictor") -> Iterator[Any]:
    """A function that has a file heard by one of WORKERS threads."""
    in_turn = _InTurn(predictor)

    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="listener")
    try:
        yield lambda path: pool.submit(analyze_track, path, cast("Predictor", in_turn))
    finally:
        in_turn.stopped.set()
        pool.shutdown(cancel_futures=True)
