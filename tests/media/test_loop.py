"""Tracks that are too short: where the jump goes, and what is heard around it."""

import numpy as np
import pytest

from mmvatool.media import loop
from mmvatool.media.pcm import RATE_HZ, Pcm

BEAT = 20_400  # samples: 0.425 s, 141 beats a minute


def _track(folder, sound: np.ndarray) -> Pcm:
    track = Pcm.silence(folder / "track.f32", len(sound))
    track.write(0, np.repeat(sound.astype(np.float32)[:, None], 2, axis=1))
    return track


def _drums(beats: float, hum: float = 0.01) -> np.ndarray:
    """A click each beat, the first of four higher, over a soft hum."""
    position = np.arange(round(beats * BEAT))
    tone = np.where(position // BEAT % 4 == 0, 2000, 900)
    clicks = 0.5 * np.exp(-(position % BEAT) / 400) * np.sin(2 * np.pi * tone * (position % BEAT) / RATE_HZ)
    return clicks + hum * np.random.default_rng(3).standard_normal(len(position))


def _onsets(sound: np.ndarray) -> np.ndarray:
    """Samples at which a click begins."""
    loud = np.abs(sound) > 0.15
    starts = np.flatnonzero(loud)
    return starts[np.concatenate([[True], np.diff(starts) > BEAT // 4])]


def _played(track: Pcm, jump: loop.Loop | None, first: int, count: int) -> np.ndarray:
    return np.concatenate(list(loop.play(track, jump, first, count)))[:, 0]


@pytest.mark.parametrize("beats", [41, 43.6, 98.3])
@pytest.mark.parametrize("offset_s", [0.0, 9.37])
def test_the_beat_goes_on(tmp_path, beats, offset_s):
    track = _track(tmp_path, _drums(beats))
    jump = loop.find(track)
    assert jump is not None
    first = round(offset_s * RATE_HZ)
    sound = _played(track, jump, first, 3 * track.samples)
    onsets = _onsets(sound) + first
    off = (onsets + BEAT // 2) % BEAT - BEAT // 2
    assert np.abs(off).max() < 0.020 * RATE_HZ
    steps = np.diff(onsets) / BEAT
    np.testing.assert_allclose(steps, 1, atol=0.04)  # none is missing, none comes twice
    assert np.abs(sound).max() < 1.05 * track.read(0, track.samples).max()
    assert (jump.end - jump.start) / track.samples > 0.3
    assert (jump.end - jump.start) / (4 * BEAT) == pytest.approx(round((jump.end - jump.start) / (4 * BEAT)), abs=0.02)  # whole bars


def test_silence_and_a_fade_at_the_end_are_not_played(tmp_path):
    sound = _drums(60)
    fade = np.concatenate([np.ones(len(sound) - 6 * RATE_HZ), np.linspace(1, 0, 6 * RATE_HZ) ** 2, np.zeros(4 * RATE_HZ)])
    track = _track(tmp_path, np.concatenate([sound, np.zeros(4 * RATE_HZ)]) * fade)
    got = _played(track, loop.find(track), 0, 3 * track.samples)
    peaks = np.abs(got[: len(got) // RATE_HZ * RATE_HZ]).reshape(-1, RATE_HZ).max(axis=1)
    assert peaks.min() > 0.25 * peaks.max()


def test_a_melody_goes_on_where_it_was(tmp_path):
    """Chords that come again every eight notes: after the jump the next one follows, not any."""
    note = RATE_HZ // 2
    position = np.arange(90 * note)
    scale = 220 * 2 ** (np.array([0, 4, 7, 11, 2, 5, 9, 12]) / 12)
    sound = 0.3 * np.sin(2 * np.pi * scale[position // note % 8] * (position % note) / RATE_HZ) * np.exp(-(position % note) / 12_000)
    track = _track(tmp_path, sound)
    jump = loop.find(track)
    assert jump is not None
    got = _played(track, jump, 0, 2 * track.samples)
    expected = 0.3 * np.sin(2 * np.pi * scale[np.arange(len(got)) // note % 8] * (np.arange(len(got)) % note) / RATE_HZ)
    expected *= np.exp(-(np.arange(len(got)) % note) / 12_000)
    np.testing.assert_allclose(got, expected, atol=0.02)


@pytest.mark.parametrize("seconds", [0.5, 1.7, 2.9])
def test_very_short_tracks(tmp_path, seconds):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ + 1.0)
    got = _played(_track(tmp_path, tone), loop.find(_track(tmp_path, tone)), 0, 10 * RATE_HZ)
    assert len(got) == 10 * RATE_HZ
    powers = (got.reshape(-1, 2400) ** 2).mean(axis=1)
    assert powers.min() > 0.2 * np.median(powers)  # a blend of two tones in opposite phase dips for a moment
    assert np.abs(got).max() < 0.45
    assert np.abs(np.diff(got)).max() < 0.03  # the tone's own steepest step is .017


def test_noise_keeps_its_level_through_a_jump(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE_HZ)
    track = _track(tmp_path, noise)
    jump = loop.find(track)
    assert jump is not None
    got = _played(track, jump, jump.end - RATE_HZ, 2 * RATE_HZ)
    powers = (got.reshape(-1, 960) ** 2).mean(axis=1)
    assert powers.min() > 0.7 * powers.mean()
    assert powers.max() < 1.4 * powers.mean()


def test_silence_is_not_looped(tmp_path):
    track = _track(tmp_path, np.zeros(4 * RATE_HZ))
    assert loop.find(track) is None
    assert not _played(track, None, 0, 10 * RATE_HZ).any()


def test_a_beginning_past_the_jump_is_taken_from_where_it_leads(tmp_path):
    track = _track(tmp_path, _drums(41))
    jump = loop.find(track)
    assert jump is not None
    late = _played(track, jump, jump.end + 1000, RATE_HZ)
    np.testing.assert_array_equal(late, track.read(jump.start + 1000, jump.start + 1000 + RATE_HZ)[:, 0])
