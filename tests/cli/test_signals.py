"""Interrupted, ended, or with nobody listening: real processes that leave nothing half-written."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import media


@pytest.fixture(scope="module")
def drawn_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video large enough that rendering it takes seconds."""
    frame = media.SCENES["fireworks"]((1280, 720), 0.0)
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return media.encode(path, lambda number: frame, 300, params=("-c:v", "libx264", "-preset", "ultrafast"))


@pytest.fixture(scope="module")
def hour(drawn_long: Path) -> Path:
    """So long that a signal comes while threads read its pictures and its sound."""
    path = drawn_long.with_name("hour.mp4")
    media.run_ffmpeg("-stream_loop", 360, "-i", drawn_long, "-f", "lavfi", "-i", "sine=d=3600:r=8000", "-c:v", "copy", "-b:a", "8k", path)
    return path


class TestSignals:
    """In a real process, while it renders a video that takes it a while."""

    @pytest.fixture
    def long_clip(self, folder: Path, drawn_long: Path) -> Path:
        return Path(shutil.copy(drawn_long, folder))

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_nothing_half_written_is_left(self, start, long_clip: Path, number: signal.Signals, code: int):
        process: subprocess.Popen[str] = start("summarize", "long.mp4", "--ratio", "0.9", "--shots", "uniform")
        until = time.monotonic() + 60
        while not list(long_clip.parent.glob(".mmvatool-*/summary.mp4")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert out == ""
        assert "Traceback" not in err
        assert [path.name for path in long_clip.parent.iterdir()] == ["long.mp4"]
        if number == signal.SIGINT:
            assert err.strip() == "Interrupted: nothing half-written is left."

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_no_thread_holds_it_while_it_looks_and_listens(self, start, hour: Path, number: signal.Signals, code: int):
        """Nor does ffmpeg outlive the program."""
        process: subprocess.Popen[str] = start("summarize", hour, "--by", "both", "--dry-run")
        tasks = Path(f"/proc/{process.pid}/task")
        if not (tasks / str(process.pid) / "children").exists():
            process.kill()
            process.communicate()
            pytest.skip("no /proc here")
        until = time.monotonic() + 120
        decoders: list[str] = []
        while not decoders:  # those that threads have started, not the main one
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
            with suppress(FileNotFoundError):
                decoders = [
                    pid for task in tasks.iterdir() if task.name != str(process.pid) for pid in (task / "children").read_text().split()
                ]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert out == ""
        assert not [pid for pid in decoders if Path(f"/proc/{pid}").exists()]

    def test_ctrl_c_ends_several_processes(self, start, long_clip: Path):
        """A terminal sends it to all of them."""
        folder = long_clip.parent
        shutil.copy(long_clip, folder / "other.mp4")
        command = ("summarize", "long.mp4", "other.mp4", "--jobs", 2, "--ratio", "0.9", "--shots", "uniform")
        process: subprocess.Popen[str] = start(*command, start_new_session=True)
        until = time.monotonic() + 200
        while not list(folder.glob(".mmvatool-*/summary.mp4")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err.strip()) == (130, "", "Interrupted: nothing half-written is left.")
        assert sorted(path.name for path in folder.iterdir()) == ["long.mp4", "other.mp4"]

    def test_a_reader_that_goes_away(self, start, clip):
        (clip.parent / "clip.summary.mp4").touch()
        process: subprocess.Popen[str] = start("summarize", "clip.mp4", "--skip-existing", "--json", "-q")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == ""
        process.stderr.close()
