"""The music features in numpy, held to those in torch, and the filters of both to torchaudio's."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torchaudio.functional import create_dct, melscale_fbanks

from tests.helpers import media, tunes
from trainer.model import music_features_numpy
from trainer.model.compact_music import CompactMusicTower
from trainer.model.music_features import MusicFeatures
from trainer.model.music_features_numpy import groups, music_features
from trainer.model.music_filters import COUNT, MELS, MIDDLE, QUICK, RATE_HZ, RATES_HZ, SLOW, filters, pulse_filters

TIME_S = np.arange(10 * RATE_HZ) / RATE_HZ
MOST = 1e-5  # times the value where that is above 1
# Far from the pitch of a tone there is nothing but the rounding of its spectrum, of which the mean over hundreds of lines is a feature:
# from one in float64, torch is up to 9e-5 away and numpy up to 1.2e-4.
MOST_OF_TONES = {"tonalness": 2e-4}
# There are no tones in a constant: what is taken for them is rounding, in torch and numpy.
OF_TONES = (
    "mode", "from the tonic", "from the major tonic", "chord kinds", "degrees", "chord change", "circles", "intervals", "above the bass", "steps",
    "register", "fundamentals", "heights", "density", "tonalness", "roughness",
)  # fmt: skip


@cache
def tune(name: str) -> np.ndarray:
    """The first 10 s of one, mono at 24 kHz."""
    return tunes.TUNES[name].play()[: 20 * RATE_HZ : 2].mean(1)


def tone(*hz: float) -> np.ndarray:
    return sum((0.15 * np.sin(2 * np.pi * frequency * TIME_S) for frequency in hz), np.zeros(len(TIME_S)))


def noise(count: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(count)


def click(count: int, at: int) -> np.ndarray:
    sound = np.zeros(count)
    sound[at] = 1
    return sound


def with_a_gap() -> np.ndarray:
    return np.where((TIME_S > 3) & (TIME_S < 7), 0, tune("calm-happy"))


MUSIC: dict[str, Callable[[], np.ndarray]] = {
    **{name: lambda name=name: tune(name) for name in tunes.TUNES},
    "music with a gap": with_a_gap,
    "music that fades": lambda: tune("wild-happy") * np.linspace(1, 0, len(TIME_S)) ** 4,
    "music 60 dB quieter": lambda: 1e-3 * tune("wild-happy"),
    "music and an offset": lambda: tune("calm-sad") + 0.3,
    "7 s of music": lambda: tune("wild-tense")[: 7 * RATE_HZ + 123],
    "noise": lambda: noise(12 * RATE_HZ),
    ".1 s of noise": lambda: noise(2400),
    "silence": lambda: np.zeros(RATE_HZ),
    "a click": lambda: click(RATE_HZ, 100),
    "a click within silence": lambda: click(10 * RATE_HZ, 100_000),
    "a square wave": lambda: np.sign(tone(440) + 1e-9),
}
TONES: dict[str, Callable[[], np.ndarray]] = {
    "a tone": lambda: tone(440),
    ".1 s of a tone": lambda: tone(440)[:2400],
    "a low tone": lambda: tone(65.41),
    "a chord": lambda: tone(220, 277.18, 329.63),
    "a chord 60 dB quieter between": lambda: tone(220, 277.18, 329.63) * np.where(np.abs(TIME_S - 5) > 2, 1, 1e-3),
}


@cache
def widths() -> dict[str, int]:
    """The groups of the torch version in order, and their numbers of features."""
    return {name: group.shape[1] for name, group in MusicFeatures().groups(torch.zeros(1, RATE_HZ)).items()}


def differences(sound: np.ndarray, window_s: float) -> dict[str, float]:
    """The largest difference of each group, relative to values above 1."""
    window = sound.astype(np.float32)
    expected = CompactMusicTower(window_s).preprocess([window])[0].numpy()
    got = music_features([window], window_s)
    assert (got.shape, got.dtype) == ((1, COUNT), np.float32)
    apart = np.abs(got[0] - expected) / np.maximum(1, np.abs(expected))
    return {name: float(part.max()) for name, part in zip(widths(), np.split(apart, np.cumsum(list(widths().values()))[:-1]), strict=True)}


@pytest.mark.parametrize("window_s", [1.0, 10.0])
@pytest.mark.parametrize("name", MUSIC)
def test_features_are_those_of_torch(name: str, window_s: float) -> None:
    assert {group: most for group, most in differences(MUSIC[name](), window_s).items() if most > MOST} == {}


@pytest.mark.parametrize("window_s", [1.0, 10.0])
@pytest.mark.parametrize("name", TONES)
def test_features_of_tones_are_those_of_torch(name: str, window_s: float) -> None:
    found = differences(TONES[name](), window_s)
    assert {group: most for group, most in found.items() if most > MOST_OF_TONES.get(group, MOST)} == {}


@pytest.mark.parametrize("count", [1, 2400, 10 * RATE_HZ])
def test_a_constant_has_finite_features(count: int) -> None:
    constant = np.full(count, 0.5, np.float32)
    found = differences(constant, 10.0)
    assert {group: most for group, most in found.items() if most > MOST and group not in OF_TONES} == {}
    assert np.isfinite(music_features([constant])).all()
    assert np.abs(music_features([constant])).max() < 1000


def test_features_of_a_compressed_file_are_those_of_torch(tmp_path: Path) -> None:
    source = media.write_wav(tmp_path / "tune.wav", tunes.TUNES["calm-happy"].play()[: 10 * tunes.RATE_HZ])
    media.run_ffmpeg("-i", source, "-b:a", "64k", tmp_path / "tune.mp3")
    decoded = media.decode_audio(tmp_path / "tune.mp3")
    assert max(differences(decoded.reshape(len(decoded), -1)[::2].mean(1), 10.0).values()) <= MOST


@pytest.mark.parametrize("window_s", [1.0, 1.37, 2.5, 61 / 24, 30.0])
def test_windows_may_have_any_length(window_s: float) -> None:
    assert max(differences(tune("wild-tense"), window_s).values()) <= MOST


def test_features_depend_neither_on_the_batch_nor_on_threads() -> None:
    sounds = [MUSIC[name]().astype(np.float32) for name in MUSIC]
    together = music_features(sounds, 2.0)
    assert np.ptp(together, axis=0).max() > 1
    np.testing.assert_allclose(together, np.concatenate([music_features([sound], 2.0) for sound in sounds]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(together[::-1], music_features(sounds[::-1], 2.0), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(together, music_features(sounds, 2.0, threads=3))
    assert music_features([]).shape == (0, COUNT)


def test_groups_are_those_of_torch() -> None:
    found = groups(np.zeros((2, RATE_HZ), np.float32))
    assert {name: group.shape for name, group in found.items()} == {name: (2, width) for name, width in widths().items()}
    assert list(found) == list(widths())
    assert {group.dtype for group in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("size", [QUICK, MIDDLE, SLOW])
def test_spectra_are_as_exact_as_float32_allows(size: tuple[int, int]) -> None:
    spectrum = music_features_numpy._spectrum(*size)
    samples = (noise(4 * RATE_HZ).reshape(2, -1) + tone(440)[: 2 * RATE_HZ]).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(float), size[0], axis=1)[:, :: size[1]]
    name = {QUICK: "quick_window", MIDDLE: "middle_window", SLOW: "slow_window"}[size]
    expected = np.abs(np.fft.rfft(frames * filters()[name])).transpose(0, 2, 1)
    first = 0 if size == QUICK else 1
    got = np.sqrt(spectrum.power(samples))
    lines = got.shape[1]
    assert lines == {QUICK: 513, MIDDLE: filters()["notes"].shape[1], SLOW: filters()["pitch"].shape[1]}[size]
    np.testing.assert_allclose(got, expected[:, first : first + lines], rtol=0, atol=5e-7 * expected.max())


def test_filters_are_those_of_torchaudio() -> None:
    # Their edges are powers of ten, which torch rounds wrongly in the last bit here and there: a thousandth of a hertz.
    mel = melscale_fbanks(QUICK[0] // 2 + 1, 30, 11000, MELS, RATE_HZ).T
    np.testing.assert_allclose(filters()["mel"], mel, rtol=0, atol=4e-6)
    assert np.median(np.abs(filters()["mel"] - mel.numpy())[mel > 0]) < 1e-7
    np.testing.assert_allclose(filters()["dct"], create_dct(len(filters()["dct"]), MELS, "ortho").T, rtol=0, atol=1e-6)


def test_windows_are_those_of_torch() -> None:
    for name, size in (("quick_window", QUICK), ("middle_window", MIDDLE), ("slow_window", SLOW)):
        np.testing.assert_allclose(filters()[name], torch.hann_window(size[0]), rtol=0, atol=1e-7)
    np.testing.assert_allclose(pulse_filters(498).hann, torch.hann_window(498, periodic=False), rtol=0, atol=1e-7)
    assert pytest.approx([0.4 * 40 ** (step / 23) for step in range(24)], rel=1e-6) == RATES_HZ


def test_neither_torch_nor_scipy_is_imported() -> None:
    code = (
        "import sys, numpy; from trainer.model.music_features_numpy import music_features;"
        "music_features([numpy.ones(99, 'f4')]); print({'torch', 'torchaudio', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
