import numpy as np
import pytest

from mmvatool.energy import RATE_HZ, energy

T = np.arange(2 * RATE_HZ) / RATE_HZ
PAD = np.sin(2 * np.pi * 220 * T)
DRUMS = np.random.default_rng(0).standard_normal(len(T)) * np.exp(-20 * (T % 0.25)) * 0.3


def test_silence_and_nothing_are_zero():
    assert energy(np.zeros(RATE_HZ)) == 0
    assert energy(np.zeros(0)) == 0


def test_louder_is_more():
    levels = [energy(0.5 * PAD * 10 ** (gain_db / 20)) for gain_db in (-50, -30, -10, 0)]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 0.2


def test_drums_are_more_than_a_pad_of_the_same_level():
    pad = PAD * np.sqrt(np.mean(DRUMS**2) / np.mean(PAD**2))
    assert energy(DRUMS) > energy(pad) + 0.2


@pytest.mark.parametrize("window", [np.ones(RATE_HZ), PAD, DRUMS, np.sign(PAD), PAD[:7], np.full(300, -1.0)])
def test_range(window):
    assert 0 <= energy(window) <= 1


def test_inaudible_noise_has_no_onsets():
    noise = np.random.default_rng(1).standard_normal(len(T)) * 1e-5
    assert energy(noise) < 0.02
