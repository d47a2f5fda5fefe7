"""Which of several runs hears what: a claim on a name that ends with the process that made it, however that ends."""

import hashlib
import os
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows: nothing is claimed, and two runs at once hear the same tracks
    fcntl = None  # type: ignore[assignment]


class TrackLocks:
    """Claims that processes on one machine make in one file, each a lock on the byte whose place is the name's hash.

    The file stays empty. The kernel lets go of the locks of a process that is killed. A process has only one `TrackLocks` of a file open: closing
    one ends the claims of all.
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

    def take(self, name: bytes) -> bool:
        """Claim a name, without waiting: whether it is this process's now."""
        try:
            if fcntl:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
        except (BlockingIOError, PermissionError):  # taken by another; the system may say either
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def drop(self, name: bytes) -> None:
        """Let others have a name."""
        if fcntl:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(name))


def _place(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 2  # below 2^62: an offset of a file is signed
