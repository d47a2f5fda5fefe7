"""Tempo: the beat that was drawn is found, and none where there is none."""

import numpy as np
import pytest

from mmvatool.library.tempo import Tempo

RATE_HZ = 24_000
PIECE_S = 10
TOLERANCE = 0.005


def clicks(bpm: float, seconds: float = 30, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Short tones of 1 kHz on every beat."""
    sound = np.zeros(int(seconds * rate_hz), np.float32)
    time_s = np.arange(int(0.08 * rate_hz)) / rate_hz
    click = 0.6 * np.sin(2 * np.pi * 1000 * time_s) * np.exp(-80 * time_s)
    for beat in np.arange(0, seconds - 0.1, 60 / bpm):
        start = int(beat * rate_hz)
        sound[start : start + len(click)] += click
    return sound


def drums(bpm: float, seconds: float = 30) -> np.ndarray:
    """A kick and a snare in turn, a hi-hat twice a beat, a chord that stands and a little noise."""
    rng = np.random.default_rng(0)
    time_s = np.arange(int(0.15 * RATE_HZ)) / RATE_HZ
    kick = np.sin(2 * np.pi * 60 * time_s) * np.exp(-30 * time_s)
    snare = rng.normal(0, 0.3, len(time_s)) * np.exp(-40 * time_s)
    hat = np.diff(rng.normal(0, 0.1, len(time_s)) * np.exp(-120 * time_s), prepend=0)
    whole = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sound = 0.05 * sum(np.sin(2 * np.pi * hertz * whole) for hertz in (220, 277, 330)) + rng.normal(0, 0.002, len(whole))
    for number in range(int((seconds - 0.3) * bpm / 30)):
        start = int(number * 30 / bpm * RATE_HZ)
        piece = hat if number % 2 else hat + (snare if number % 4 else kick)
        sound[start : start + len(piece)] += piece
    return np.clip(sound, -1, 1).astype(np.float32)


def tempo(sound: np.ndarray, rate_hz: int = RATE_HZ, piece_s: float = PIECE_S) -> float | None:
    heard = Tempo(rate_hz)
    for start in range(0, len(sound), int(piece_s * rate_hz)):
        heard.add(sound[start : start + int(piece_s * rate_hz)].astype(np.float32))
    return heard.bpm


@pytest.mark.parametrize("bpm", [45, 60, 70, 80, 92.5, 100, 110, 120, 128, 133.3, 140, 150, 160])
def test_clicks(bpm: float):
    assert tempo(clicks(bpm)) == pytest.approx(bpm, rel=TOLERANCE)


@pytest.mark.parametrize("bpm", [80, 90, 100, 110, 120, 128, 140, 150])
def test_drums(bpm: float):
    assert tempo(drums(bpm)) == pytest.approx(bpm, rel=TOLERANCE)


@pytest.mark.parametrize("bpm", [170, 180, 200, 220])
def test_fast_beats_may_be_taken_for_every_other_one(bpm: float):
    found = tempo(clicks(bpm))
    assert found is not None
    assert min(abs(found / bpm - ratio) for ratio in (0.5, 1)) < TOLERANCE
    assert found <= 170  # the nearer to 120 the likelier


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 32_000])
def test_at_any_rate(rate_hz: int):
    assert tempo(clicks(100, rate_hz=rate_hz), rate_hz) == pytest.approx(100, rel=TOLERANCE)


def test_pieces_of_any_length_and_quiet_sound():
    assert tempo(clicks(120), piece_s=5.3) == pytest.approx(120, rel=TOLERANCE)
    assert tempo(clicks(120) * 0.02) == pytest.approx(120, rel=TOLERANCE)


TIME_S = np.arange(30 * RATE_HZ) / RATE_HZ
RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(30 * RATE_HZ),
        np.full(30 * RATE_HZ, 0.5),
        RNG.normal(0, 0.2, 30 * RATE_HZ),
        RNG.normal(0, 0.2, 6 * RATE_HZ),
        0.3 * np.sin(2 * np.pi * 440 * TIME_S),
        0.3 * np.sin(2 * np.pi * 440 * TIME_S) * np.linspace(0, 1, len(TIME_S)),
        clicks(120, 3),
        np.zeros(10),
        np.zeros(0),
    ],
    ids=["silence", "constant", "noise", "short noise", "tone", "swelling tone", "3 s", "10 samples", "nothing"],
)
def test_no_beat(sound: np.ndarray):
    assert tempo(sound) is None


def test_memory_does_not_grow():
    heard = Tempo(RATE_HZ)
    held = {name: value.nbytes for name, value in vars(heard).items() if isinstance(value, np.ndarray)}
    for _ in range(3):
        heard.add(clicks(100, PIECE_S))
    assert {name: value.nbytes for name, value in vars(heard).items() if isinstance(value, np.ndarray)} == held
