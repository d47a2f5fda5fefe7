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
import sys
from pathlib import Path
from mmvatool.library.locks import TrackLocks
locks = TrackLocks(Path(sys.argv[1]))
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
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_run_that_ends_leaves_the_others_their_locks(tmp_path: Path, holder: "subprocess.Popen[str]"):
    with TrackLocks(tmp_path / "locks") as locks:
        assert locks.acquire(b"two")
    with TrackLocks(tmp_path / "locks") as locks:
        assert not locks.acquire(b"one")
        assert [file.stat().st_size for file in (tmp_path / "locks").iterdir()] == [0]


def test_two_at_once_never_hold_the_same(tmp_path: Path):
    """Each of four processes adds 1 to a number 50 times: none is lost."""
    code = """
import sys
from pathlib import Path
from mmvatool.library.locks import TrackLocks
folder = Path(sys.argv[1])
done = 0
while done < 50:
    with TrackLocks(folder / "locks") as locks:
        if locks.acquire(b"number"):
            (folder / "number").write_text(str(int((folder / "number").read_text()) + 1))
            locks.release(b"number")
            done += 1
"""
    (tmp_path / "number").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "200"


def test_a_lock_ends_when_it_is_released_and_when_the_file_is_closed(tmp_path: Path):
    def other_takes(name: bytes) -> bool:
        code = f"from pathlib import *; from mmvatool.library.locks import TrackLocks; print(TrackLocks({tmp_path / 'locks'!r}).acquire({name!r}))"
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
