"""Locks between processes, also of those that are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmvatool.library.locks import TrackLocks

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from mmvatool.library.locks import TrackLocks
locks = TrackLocks(sys.argv[1])
print(locks.acquire(b"one"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that has locked b"one"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "locks")], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_what_another_process_has_is_not_taken(tmp_path: Path, holder: "subprocess.Popen[str]"):
    with TrackLocks(tmp_path / "locks") as locks:
        assert not locks.acquire(b"one")
        assert locks.acquire(b"two")
        locks.release(b"one")  # not ours: nothing happens
        assert not locks.acquire(b"one")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert locks.acquire(b"one")
    assert (tmp_path / "locks").stat().st_size == 0


def test_a_lock_ends_when_it_is_released_and_when_the_file_is_closed(tmp_path: Path):
    def other_takes(name: bytes) -> bool:
        code = f"from mmvatool.library.locks import TrackLocks; print(TrackLocks({str(tmp_path / 'locks')!r}).acquire({name!r}))"
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "True\n"

    with TrackLocks(tmp_path / "locks") as locks:
        assert locks.acquire(b"one")
        assert locks.acquire(b"one")  # its own
        assert not other_takes(b"one")
        locks.release(b"one")
        assert other_takes(b"one")
        locks.acquire(b"two")
    assert other_takes(b"two")


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(OSError, match="No such file"):
        TrackLocks(tmp_path / "missing" / "locks")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
