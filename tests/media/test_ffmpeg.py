import threading

import numpy as np
import pytest

from mmvatool.errors import EngineError, MediaError
from mmvatool.media import ffmpeg
from tests.helpers import media


def test_failure_carries_ffmpegs_last_words(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(ffmpeg.FFmpegError, match="Invalid data") as caught:
        ffmpeg.run(ffmpeg.source(path).output("pipe:", format="null"), path)
    assert "Invalid data" in caught.value.stderr
    assert "\n" not in str(caught.value)


def test_time_limit(silent):
    node = ffmpeg.source(silent, re=None).output("pipe:", format="null")
    with pytest.raises(MediaError, match="did not finish"):
        ffmpeg.run(node, silent, limit_s=0.5)


def test_a_stalled_stream_is_ended(silent, monkeypatch):
    monkeypatch.setattr(ffmpeg, "STALL_LIMIT_S", 0.3)
    node = ffmpeg.source(silent, re=None).output("pipe:", format="rawvideo", pix_fmt="rgb24")
    with ffmpeg.stream(node, silent) as reader, pytest.raises(MediaError, match="gave nothing"):
        reader.read(320 * 180 * 3 * 250)


def test_leaving_a_stream_ends_ffmpeg(silent):
    node = ffmpeg.source(silent).output("pipe:", format="rawvideo", pix_fmt="rgb24")
    with ffmpeg.stream(node, silent) as reader:
        frame = np.frombuffer(reader.read(320 * 180 * 3), np.uint8).reshape(180, 320, 3)
        process = reader._process
    assert media.read_stamp(frame) == 0
    assert process.poll() is not None


def test_an_interrupt_leaves_no_thread_that_the_program_waits_for(song, monkeypatch):
    start = threading.Timer.start

    def interrupted(timer: threading.Timer) -> None:
        start(timer)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Timer, "start", interrupted)
    node = ffmpeg.source(song).output("pipe:", format="s16le")
    with pytest.raises(KeyboardInterrupt), ffmpeg.stream(node, song) as reader:
        reader.read(16)
    left = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert left
    assert all(thread.daemon for thread in left)
    for thread in left:
        thread.cancel()


def test_what_is_fed_is_encoded(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2)).astype("<f4")
    node = ffmpeg.output([ffmpeg.raw_audio(48_000, 2)], tmp_path / "out.wav", format="wav", acodec="pcm_f32le")
    ffmpeg.feed(node, (sound[at : at + 700].tobytes() for at in range(0, len(sound), 700)), tmp_path)
    np.testing.assert_array_equal(media.decode_audio(tmp_path / "out.wav"), sound)


def test_an_encoder_that_ends_before_the_data_do_says_why(tmp_path):
    node = ffmpeg.output([ffmpeg.raw_audio(48_000, 2)], tmp_path / "out.xyz", format="nonsense")
    with pytest.raises(ffmpeg.FFmpegError, match=r"out\.xyz: ffmpeg failed: .*muxer"):
        ffmpeg.feed(node, (bytes(1 << 20) for _ in range(1000)), tmp_path / "out.xyz")


def test_a_failure_in_making_the_data_ends_the_encoder(tmp_path, monkeypatch):
    started = []
    popen = ffmpeg.subprocess.Popen
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1])

    def pieces():
        yield bytes(8000)
        raise KeyboardInterrupt

    node = ffmpeg.output([ffmpeg.raw_audio(48_000, 2)], tmp_path / "out.wav", format="wav")
    with pytest.raises(KeyboardInterrupt):
        ffmpeg.feed(node, pieces(), tmp_path)
    assert [process.poll() for process in started] == [-9]


@pytest.fixture
def named(tmp_path, monkeypatch):
    """An ffmpeg that the user names, which says this of itself."""

    def name(stderr: str, mode: int = 0o755) -> str:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\necho '{stderr}'\n")
        path.chmod(mode)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
        return str(path)

    ffmpeg.executable.cache_clear()
    yield name
    monkeypatch.undo()
    ffmpeg.executable.cache_clear()


@pytest.mark.parametrize("stderr", ["ffmpeg version 7.0.2-static", "ffmpeg version n9.0.2-17-g2a57", "ffmpeg version N-119000-gabc"])
def test_an_ffmpeg_of_the_users_own(named, stderr):
    assert named(stderr) == ffmpeg.executable()


def test_an_old_ffmpeg_of_the_users_own_is_refused(named):
    path = named("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers")
    with pytest.raises(EngineError, match=r"is ffmpeg 5, .*: name ffmpeg 7.0 or newer by IMAGEIO_FFMPEG_EXE, or unset it") as caught:
        ffmpeg.executable()
    assert str(caught.value).startswith(path)


def test_another_program_is_refused(named):
    named("hello")
    with pytest.raises(EngineError, match=r"is not ffmpeg: name ffmpeg 7\.0 or newer"):
        ffmpeg.executable()


def test_what_is_no_program_is_refused(named):
    named("ffmpeg version 7.0", mode=0o644)
    with pytest.raises(EngineError, match="cannot be run as ffmpeg"):
        ffmpeg.executable()
