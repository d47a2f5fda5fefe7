"""Locks by which several runs share the work: each on a name, and released when the process ends, however it ends."""

import hashlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


class TrackLocks:
    """Locks of the processes on one machine, each a file in one folder that bears the hash of its name.

    The folder stays, empty. The system releases the locks of a process that is killed; its files, which are empty, serve the next run.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder if it is not there.

        Raises:
            OSError: it cannot be created.
        """
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._held: dict[bytes, BaseFileLock] = {}

    def __enter__(self) -> "TrackLocks":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in list(self._held):
            self.release(name)

    def acquire(self, name: bytes) -> bool:
        """Lock a name without waiting: whether this process has it now."""
        from filelock import FileLock, Timeout

        if name in self._held:
            return True
        lock = FileLock(self._folder / hashlib.blake2b(name, digest_size=20).hexdigest())
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # a file system without locks
            return True
        self._held[name] = lock
        return True

    def release(self, name: bytes) -> None:
        """Release a name; nothing happens if this process does not have it."""
        if lock := self._held.pop(name, None):
            # Removed while it is held: whoever waits for it sees that the file is gone, and makes another. Windows removes it itself.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()
