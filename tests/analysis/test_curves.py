"""Curves over time, on drawn sounds and videos, by an untrained model that hears and sees."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.analysis.curves import image_curve, music_curve, music_curves
from mmvatool.errors import MediaError, SettingsError
from mmvatool.media import audio
from mmvatool.media.audio import read_steps
from mmvatool.media.probe import MediaInfo, SoundInfo, probe, probe_media
from tests.helpers import media
from trainer import CheckpointError, Predictor

RATE_HZ = 24_000
T = np.arange(7 * media.RATE_HZ) / media.RATE_HZ
# A tone that rises and swells: every window sounds different.
RISING = (0.1 + 0.1 * T) * np.sin(2 * np.pi * (200 + 40 * T) * T)


@pytest.fixture(scope="module")
def rising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write_wav(tmp_path_factory.mktemp("curves") / "rising.wav", RISING)


def coded(path: Path, source: Path, *params: object) -> Path:
    media.run_ffmpeg("-i", source, *params, path)
    return path


def steps(path: Path, every_s: float, window_s: float) -> list[tuple[float, np.ndarray]]:
    info = probe_media(path)
    assert isinstance(info, SoundInfo)
    return list(read_steps(info, every_s, window_s, RATE_HZ, least_s=0.1))


@pytest.mark.parametrize(
    ("suffix", "params"),
    [
        (".wav", ()),
        (".flac", ()),
        (".mp3", ("-c:a", "libmp3lame")),
        (".ogg", ("-c:a", "libvorbis")),
        (".opus", ("-c:a", "libopus")),
        (".m4a", ("-c:a", "aac")),
        (".aiff", ()),
        (".mka", ("-c:a", "aac")),
    ],
)
def test_audio_files_of_all_kinds(rising, tmp_path, whole_predictor, suffix: str, params: tuple[str, ...]):
    path = coded(tmp_path / f"a{suffix}", rising, *params)
    info = probe_media(path)
    assert isinstance(info, SoundInfo)
    assert info.stated_s == pytest.approx(7, abs=0.1)
    curve = music_curve(path, whole_predictor, every_s=2)
    # 7 s are three steps of 2 s and one of 1 s, half of 2: it counts as one.
    np.testing.assert_allclose(curve.times_s, [1, 3, 5, 6.5], atol=0.04)
    assert (curve.va.shape, curve.va.dtype) == ((4, 2), np.float32)
    # The same sound, as loud, at the same places; codecs change the rest a little.
    levels, expected = ([float(window.std()) for _, window in steps(file, 1, 1)] for file in (path, rising))
    assert levels[:7] == pytest.approx(expected, rel=0.1)


def test_windows_lie_around_the_centres_of_the_steps(rising):
    whole = steps(rising, 100, 7)[0][1]
    assert len(whole) == 7 * RATE_HZ
    for centre_s, window in steps(rising, 0.9, 2):
        start, end = round(max(0, centre_s - 1) * RATE_HZ), round(min(7, centre_s + 1) * RATE_HZ)
        np.testing.assert_array_equal(window, whole[start:end])


@pytest.mark.parametrize("every_s", [0.1, 0.33, 1.5, 4.0, 4.6, 4.7, 7.0, 10.0, 14.1, 1e6])
@pytest.mark.parametrize("window_s", [0.1, 1.0, 10.0])
def test_steps_cover_the_sound_and_no_window_is_too_short(rising, monkeypatch, every_s: float, window_s: float):
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 5000)
    got = steps(rising, every_s, window_s)
    edges = np.minimum(np.arange(len(got) + 1) * every_s, 7)
    edges[-1] = 7
    np.testing.assert_allclose([centre_s for centre_s, _ in got], (edges[:-1] + edges[1:]) / 2, atol=1e-4)
    assert len(got) == max(1, int(7 / every_s + 0.5))
    for centre_s, window in got:
        expected_s = min(7, centre_s + window_s / 2) - max(0, centre_s - window_s / 2)
        assert len(window) / RATE_HZ == pytest.approx(max(0.1, expected_s), abs=2 / RATE_HZ)


def test_ten_second_tiles_by_default(tmp_path, whole_predictor):
    path = media.write_wav(tmp_path / "a.wav", np.tile(RISING, 4)[: 24 * media.RATE_HZ])
    curve = music_curve(path, whole_predictor)
    np.testing.assert_allclose(curve.times_s, [5, 17])
    sound = steps(path, 100, 30)[0][1]
    windows = [sound[: 10 * RATE_HZ], sound[12 * RATE_HZ : 22 * RATE_HZ]]
    np.testing.assert_allclose(curve.va, whole_predictor.music(windows), atol=1e-5)


def test_batches_change_nothing_and_go_across_files(rising, tmp_path, whole, whole_predictor, monkeypatch):
    paths = [rising, media.write_wav(tmp_path / "b.wav", RISING[::-1].copy()), rising]
    infos = [probe_media(path) for path in paths]
    alone = Predictor.load(whole, device="cpu", batch_size=1, modalities=("music",))
    sizes: list[int] = []
    predict = Predictor.music
    monkeypatch.setattr(Predictor, "music", lambda self, windows, **rest: sizes.append(len(windows)) or predict(self, windows, **rest))
    together = music_curves([info for info in infos if isinstance(info, SoundInfo)], whole_predictor, every_s=2)
    assert sizes[0] == 12
    for path, curve in zip(paths, together, strict=True):
        assert not isinstance(curve, MediaError)
        expected = music_curve(path, alone, every_s=2)
        np.testing.assert_array_equal(curve.times_s, expected.times_s)
        np.testing.assert_allclose(curve.va, expected.va, atol=1e-5)


def test_a_file_that_fails_takes_no_other_with_it(rising, tmp_path, whole_predictor):
    short = media.write_wav(tmp_path / "short.wav", RISING[: media.RATE_HZ // 20])
    infos = [info for path in (short, rising) if isinstance(info := probe_media(path), SoundInfo)]
    bad, good = music_curves(infos, whole_predictor, every_s=2)
    assert isinstance(bad, MediaError)
    assert not isinstance(good, MediaError)
    np.testing.assert_allclose(good.va, music_curve(rising, whole_predictor, every_s=2).va, atol=1e-5)


def test_a_tenth_of_a_second_is_enough_and_less_is_an_error(tmp_path, whole_predictor):
    curve = music_curve(media.write_wav(tmp_path / "a.wav", RISING[: media.RATE_HZ // 10]), whole_predictor, every_s=2)
    np.testing.assert_allclose(curve.times_s, [0.05])
    assert curve.va.shape == (1, 2)
    with pytest.raises(MediaError, match=r"b\.wav: has 0\.050 s of sound: at least 0\.1 s are needed"):
        music_curve(media.write_wav(tmp_path / "b.wav", RISING[: media.RATE_HZ // 20]), whole_predictor)
    with pytest.raises(MediaError, match=r"c\.wav: holds not a sample of sound: get it again"):
        music_curve(media.write_wav(tmp_path / "c.wav", RISING[:0]), whole_predictor)


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 9])
def test_channels_are_mixed_without_clipping(tmp_path, channels: int):
    """9 channels have no layout that ffmpeg knows."""
    loud = 0.98 * np.sin(2 * np.pi * 220 * T[: media.RATE_HZ])
    path = media.write_wav(tmp_path / "a.wav", loud, channels)
    ((_, window),) = steps(path, 10, 10)
    assert np.abs(window).max() == pytest.approx(0.98, abs=0.02)
    # A clipped sine has more than its one tone.
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
    peak = int(spectrum.argmax())
    assert spectrum[: peak - 5].max() < 0.01 * spectrum[peak]
    assert spectrum[peak + 5 :].max() < 0.01 * spectrum[peak]


def test_each_of_eight_channels_is_heard(tmp_path):
    """All but the one of deep effects, which a mix leaves out."""
    for channel in (0, 2, 4, 7):
        pan = f"pan=7.1|c{channel}=c0"
        path = coded(tmp_path / f"{channel}.wav", media.write_wav(tmp_path / "mono.wav", RISING), "-af", pan)
        ((_, window),) = steps(path, 10, 10)
        assert np.abs(window).max() > 0.05, channel


def test_recordings_joined_byte_by_byte_are_heard_to_the_end(rising, tmp_path):
    part = coded(tmp_path / "a.ogg", rising, "-c:a", "libvorbis")
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(part.read_bytes() * 2)
    assert sum(len(window) for _, window in steps(joined, 1, 1)) / RATE_HZ == pytest.approx(14, abs=0.1)


def test_cover_art_is_no_video(rising, tmp_path, whole_predictor):
    cover = tmp_path / "cover.png"
    media.run_ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64:d=0.1:r=10", "-frames:v", 1, cover)
    params = ("-i", cover, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic", "-id3v2_version", 3)
    path = coded(tmp_path / "a.mp3", rising, *params)
    assert isinstance(probe_media(path), SoundInfo)
    assert len(music_curve(path, whole_predictor, every_s=2).times_s) == 4
    with pytest.raises(MediaError, match="has sound but no video stream"):
        probe(path)


def test_the_curves_of_a_video_have_the_same_times(vlog, whole_predictor):
    info = probe_media(vlog)
    assert isinstance(info, MediaInfo)
    (image, damaged), music = image_curve(info, whole_predictor, every_s=3), music_curve(vlog, whole_predictor, every_s=3)
    np.testing.assert_array_equal(image.times_s, music.times_s)
    np.testing.assert_allclose(image.times_s, np.arange(8) * 3 + 1.5, atol=0.02)
    assert image.va.shape == music.va.shape == (8, 2)
    assert damaged == 0


def test_a_video_of_one_frame_is_heard(tmp_path, whole_predictor):
    path = media.encode(tmp_path / "a.mp4", lambda n: media.wall((160, 90), 0), 1, Fraction(25), RISING[: media.RATE_HZ])
    assert music_curve(path, whole_predictor).va.shape == (1, 2)


def test_settings_that_cannot_be(rising, vlog, silent, predictor, whole_predictor):
    for path in (rising, vlog):
        with pytest.raises(SettingsError, match=r"window 11 s: whole takes 0\.1 to 10 s of sound at once"):
            music_curve(path, whole_predictor, window_s=11)
        with pytest.raises(SettingsError, match=r"step 0\.05 s: must be at least 0\.1 s"):
            music_curve(path, whole_predictor, every_s=0.05)
    with pytest.raises(SettingsError, match=r"step nan s"):
        image_curve(probe(vlog), whole_predictor, every_s=float("nan"))
    with pytest.raises(MediaError, match="has no sound"):
        music_curve(silent, whole_predictor)
    if "music" not in predictor.modalities:
        with pytest.raises(CheckpointError, match="has no music tower"):
            music_curve(rising, predictor)


def test_progress_is_told_in_windows(rising, whole_predictor):
    from contextlib import contextmanager

    told: list[tuple[str, int, int]] = []

    @contextmanager
    def progress(stage: str, total: int):
        yield lambda done: told.append((stage, total, done))

    music_curve(rising, whole_predictor, every_s=2, progress=progress)
    assert told[-1] == ("scoring audio", 4, 4)
