"""Locks by which several runs share the work: each on a name, and released when the process ends, however it ends."""

import hashlib
import os
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and two runs at once analyze the same tracks
    fcntl = None  # type: ignore[assignment]


class TrackLocks:
    """Locks of the processes on one machine in one file, each on the byte whose offset is the name's hash.

    The file stays empty. The kernel releases the locks of a process that is killed. A process must have only one `TrackLocks` of a file
    open: closing one releases the locks of all.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            OSError: it cannot be written.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)

    def __enter__(self) -> "TrackLocks":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def acquire(self, name: bytes) -> bool:
        """Lock a name without waiting: whether this process has it now."""
        try:
            if fcntl:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name))
        except (BlockingIOError, PermissionError):  # locked by another; the system may raise either
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def release(self, name: bytes) -> None:
        """Release a name."""
        if fcntl:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(name))


def _offset(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 2  # below 2^62: an offset of a file is signed
