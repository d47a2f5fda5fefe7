from fractions import Fraction

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import audio
from mmvatool.media.audio import cut_samples, read_windows
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import probe
from mmvatool.timeline import Segment
from tests.helpers import media

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def flashes(drawn):
    return media.draw_flashes(drawn / "flashes.mp4", 8, Fraction(25))


def _onset_s(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.flatnonzero(np.abs(samples) > 0.2 * np.abs(samples).max())[0]) / rate_hz


def test_windows_are_where_they_were_asked_for(flashes):
    windows = [Segment(start - 0.25, start + 0.25) for start in range(1, 8)]
    got = list(read_windows(probe(flashes), windows, RATE_HZ))
    assert [len(window) for window in got] == [RATE_HZ // 2] * 7
    for window in got:
        assert _onset_s(window, RATE_HZ) == pytest.approx(0.25, abs=0.003)


def test_overlapping_windows_across_blocks(flashes, monkeypatch):
    whole = next(read_windows(probe(flashes), [Segment(0, 8)], RATE_HZ))
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1000)
    windows = [Segment(start / 10, start / 10 + 1.5) for start in range(0, 60, 4)]
    for window, got in zip(windows, read_windows(probe(flashes), windows, RATE_HZ), strict=True):
        start = round(window.start_s * RATE_HZ)
        np.testing.assert_array_equal(got, whole[start : start + len(got)])


def test_beyond_the_end_is_silence(flashes):
    *_, last = read_windows(probe(flashes), [Segment(0, 1), Segment(9, 10)], RATE_HZ)
    assert len(last) == RATE_HZ
    assert not last.any()


def test_a_late_start_of_the_sound_is_kept(flashes, tmp_path):
    """The sound begins 1.5 s after the picture: its clicks must come 1.5 s later."""
    path = tmp_path / "late.mkv"
    media.run_ffmpeg("-i", flashes, "-itsoffset", 1.5, "-i", flashes, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    window = next(read_windows(probe(path), [Segment(1.25, 1.75)], RATE_HZ))
    assert _onset_s(window, RATE_HZ) == pytest.approx(0.25, abs=0.003)


def test_what_follows_a_short_loss_of_sound_is_in_step(flashes, tmp_path):
    """60 ms are missing at 2.4 s: less than swresample fills by itself, more than lip sync allows."""
    path = tmp_path / "loss.mkv"
    lose = "asetnsamples=480,aselect='not(between(t,2.4,2.455))'"
    media.run_ffmpeg("-i", flashes, "-c:v", "copy", "-af", lose, "-c:a", "pcm_s16le", path)
    for window in read_windows(probe(path), [Segment(second - 0.25, second + 0.25) for second in (2, 3, 7)], RATE_HZ):
        assert _onset_s(window, RATE_HZ) == pytest.approx(0.25, abs=0.005)


def test_transport_stream_sound_is_on_the_pictures_clock(drawn, tmp_path):
    aac = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")  # MP2 smears a click over 20 ms before it
    path = media.draw_flashes(tmp_path / "a.ts", 4, Fraction(25), params=aac)
    info = probe(path)
    frames = FFmpegFrames(info).read(np.arange(len(info.times_s)))
    flash = int(np.flatnonzero(frames.mean((1, 2, 3)) > 200)[1])
    window = next(read_windows(info, [Segment(info.times_s[flash] - 0.25, info.times_s[flash] + 0.25)], RATE_HZ))
    assert _onset_s(window, RATE_HZ) == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 7])
def test_channels(tmp_path, channels):
    path = media.draw_flashes(tmp_path / "a.mp4", 2, Fraction(25), channels=channels)
    info = probe(path)
    assert info.audio is not None
    assert info.audio.channels == channels
    got = next(cut_samples(info, [(0, 48000)], 48000, channels))
    assert got.shape == (48000, channels)
    assert got.any()


def test_no_sound_is_an_error_with_the_cure(silent):
    with pytest.raises(MediaError, match="no sound: use --by image"):
        next(read_windows(probe(silent), [Segment(0, 1)], RATE_HZ))
