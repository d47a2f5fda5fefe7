"""Arrays kept in the user's cache folder from run to run: the predictions for a video, so that another run on it decodes nothing.

A file is written completely or not at all; a damaged one is replaced. Over LIMIT_BYTES, the least recently used ones are removed.
"""

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from mmvatool.errors import OutputError
from mmvatool.files import cache_dir, write_file

LIMIT_BYTES = 1 << 30  # some 250 hours of video


class AnalysisCache:
    """Files of arrays under keys, in the user's cache folder. `problem` is why the last write failed, None if none did."""

    def __init__(self) -> None:
        self.problem: str | None = None

    def read(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of a key; None: missing, not readable, or damaged."""
        try:
            file = self._file(key)
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if str(arrays.pop("key")) != key:
                return None
            with suppress(OSError):
                os.utime(file)  # for the order of use
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile):
            return None
        return arrays

    def write(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Write arrays, and make room for them."""
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, key=np.array(key), **arrays)
        try:
            file = self._file(key)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, data.getvalue())
            _make_room(file)
        except (OSError, RuntimeError, OutputError) as error:
            self.problem = f"the predictions are not kept for the next run ({error}): set XDG_CACHE_HOME to another folder"

    def _file(self, key: str) -> Path:
        return cache_dir() / "analysis" / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:32]}.npz"


def _make_room(fresh: Path) -> None:
    """Remove the least recently used files, so that all take no more than LIMIT_BYTES; the fresh one stays."""
    files = []
    for file in fresh.parent.iterdir():
        with suppress(FileNotFoundError):  # removed by another run
            files.append((file.stat().st_mtime_ns, file.stat().st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= LIMIT_BYTES:
            break
        if file != fresh:
            file.unlink(missing_ok=True)
            total -= size
