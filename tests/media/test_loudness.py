import numpy as np
import pyloudnorm
import pytest

from mmvatool.media import loudness

RATE_HZ = 48_000


def _swelling(samples: int, seed: int = 0) -> np.ndarray:
    """Noise, loud and soft by turns, so that both gates matter. float32 (n, 2)."""
    t = np.arange(samples) / RATE_HZ
    level = np.where(np.sin(0.9 * t) > 0, 0.2, np.where(np.sin(0.31 * t) > 0, 0.004, 0.00001))
    return (np.random.default_rng(seed).standard_normal((samples, 2)) * level[:, None]).astype(np.float32)


def _cut(sound: np.ndarray, size: int) -> list[np.ndarray]:
    return [sound[first : first + size] for first in range(0, len(sound), size)]


@pytest.mark.parametrize("samples", [21_000, 3 * RATE_HZ, 10 * RATE_HZ, 10 * RATE_HZ + 1, 25 * RATE_HZ + 2_399, 31 * RATE_HZ + 2_401])
def test_pieces_are_as_loud_as_the_whole(samples):
    sound = _swelling(samples)
    whole = pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.astype(np.float64))
    for size in (777, RATE_HZ, samples):
        assert loudness.integrated(_cut(sound, size), RATE_HZ) == pytest.approx(whole, abs=0.001)


def test_a_known_loudness():
    """EBU Tech 3341, case 1: a sine of 1 kHz at -23 dBFS in both channels is -23 LUFS."""
    t = np.arange(20 * RATE_HZ) / RATE_HZ
    sine = (10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    assert loudness.integrated([np.stack([sine, sine], 1)], RATE_HZ) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("sound", [np.zeros((3 * RATE_HZ, 2)), 1e-5 * np.ones((RATE_HZ, 2)), np.zeros((100, 2)), np.zeros((0, 2))])
def test_silence_has_no_loudness(sound):
    assert loudness.integrated([sound.astype(np.float32)], RATE_HZ) is None


def test_less_than_a_block_is_measured_all_the_same():
    level = loudness.integrated([_swelling(9_000)[:, :1]], RATE_HZ)
    assert level is not None
    assert -40 < level < -5


def test_true_peaks_lie_between_the_samples():
    t = np.arange(2 * RATE_HZ)
    sine = 0.5 * np.sin(2 * np.pi * t / 4 + np.pi / 4)  # sampled at its 0.707 only
    sound = np.stack([sine, 0.1 * sine], 1).astype(np.float32)
    # The ends are cut hard, which rings.
    sound *= np.minimum(1, np.minimum(t, t[::-1]) / 1000)[:, None].astype(np.float32)
    assert 20 * np.log10(np.abs(sound).max()) == pytest.approx(-9.03, abs=0.01)
    assert loudness.true_peak(_cut(sound, 10_000)) == pytest.approx(-6.02, abs=0.15)
    assert loudness.true_peak([np.zeros((500, 2), np.float32)]) is None


@pytest.mark.parametrize("size", [999, 65_536, 400_000])
def test_the_limiter_lets_no_peak_through(size):
    noise = _swelling(4 * RATE_HZ)
    limited = list(loudness.limit(_cut(noise, size), RATE_HZ, 12.0, -1.5))
    sound = np.concatenate(limited)
    assert len(sound) == len(noise)
    assert np.abs(sound).max() <= 10 ** (-1.5 / 20) + 1e-6
    assert loudness.true_peak([sound]) == pytest.approx(-1.5, abs=0.05)
    whole = np.concatenate(list(loudness.limit([noise], RATE_HZ, 12.0, -1.5)))
    np.testing.assert_allclose(sound, whole, atol=1e-6, rtol=0)


def test_the_limiter_leaves_alone_what_is_below_the_ceiling():
    sound = 0.05 * _swelling(RATE_HZ)
    got = np.concatenate(list(loudness.limit([sound], RATE_HZ, 6.0, -1.5)))
    np.testing.assert_allclose(got, sound * 10 ** (6 / 20), rtol=1e-5, atol=0)


@pytest.mark.parametrize("peak", [24_000, 65_530])  # the second just before the end of a chunk
def test_the_gain_falls_smoothly_before_a_peak_and_comes_back_after_it(peak):
    level = np.full((2 * RATE_HZ, 2), 0.1, np.float32)
    level[peak] = 2.0
    gain = (np.concatenate(list(loudness.limit([level], RATE_HZ, 0.0, -1.0))) / level)[:, 0]
    assert gain[peak] == pytest.approx(10 ** (-1 / 20) / 2, rel=0.01)
    assert gain[peak - round(0.006 * RATE_HZ)] == pytest.approx(1, abs=1e-6)
    assert np.abs(np.diff(gain)).max() < 0.005  # no step that would click
    assert gain[peak + round(loudness.RELEASE_S * RATE_HZ)] == pytest.approx(1 - (1 - gain[peak]) / np.e, abs=0.02)
