"""Scenes by VA, and the tracks they get."""

import itertools
import time

import numpy as np
import pytest

from mmvatool.soundtracks import scenes
from mmvatool.soundtracks.scenes import LOUDNESS_PER_10_LU, REPEAT, REPEAT_AFTER_NEXT, TEMPO_PER_OCTAVE, sequence, split

CALM, EXCITING = (0.6, 0.25), (0.55, 0.85)


def _planted(counts: list[int], noise: float, seed: int) -> np.ndarray:
    """Calm, exciting, calm ... with noise."""
    va = np.concatenate([np.tile((CALM, EXCITING)[part % 2], (count, 1)) for part, count in enumerate(counts)])
    return va + noise * np.random.default_rng(seed).standard_normal(va.shape)


def _starts(found: list[slice]) -> list[int]:
    return [part.start for part in found]


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_scenes_are_found(seed: int):
    found = split(_planted([12, 9, 20], 0.06, seed), np.full(41, 4.0))
    assert found == [slice(0, 12), slice(12, 21), slice(21, 41)]


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_a_video(seed: int):
    """Noise that neighbours share (a thing stays in the picture for seconds) makes no scenes."""
    rng, noise = np.random.default_rng(seed), np.zeros((300, 2))
    for sample in range(1, 300):
        noise[sample] = 0.7 * noise[sample - 1] + 0.04 * rng.standard_normal(2)
    va = _planted([120, 60, 120], 0.0, 0) + noise
    starts = _starts(split(va, np.full(300, 2.0)))
    assert len(starts) == 3
    np.testing.assert_allclose(starts, [0, 120, 180], atol=2)


@pytest.mark.parametrize("count", [8, 20, 60, 150])
def test_noise_is_one_scene(count: int):
    """At most 5 % of 60, whatever its strength."""
    divided = [
        len(split(0.5 + noise * np.random.default_rng(seed).standard_normal((count, 2)), np.full(count, 4.0))) > 1
        for seed in range(20)
        for noise in (0.03, 0.1, 0.2)
    ]
    assert sum(divided) <= 3


def test_a_constant_is_one_scene():
    assert split(np.full((50, 2), 0.4), np.full(50, 4.0)) == [slice(0, 50)]
    assert split(np.full((1, 2), 0.4), np.array([1.0])) == [slice(0, 1)]
    almost = np.full((50, 2), 0.4)
    almost[25:] += scenes.LEAST_CHANGE / 2  # sharp, but too little for another track
    assert split(almost, np.full(50, 4.0)) == [slice(0, 50)]


def test_two_long_clips_are_two_scenes():
    assert split(np.array([CALM, EXCITING]), np.array([30.0, 40.0])) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("seed", range(10))
def test_scenes_cover_and_keep_the_least_length(seed: int):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 12, 8).tolist()
    lengths = rng.uniform(0.5, 9, sum(counts))
    found = split(_planted(counts, 0.03, seed), lengths, least_s=20)
    assert found[0].start == 0
    assert found[-1].stop == len(lengths)
    assert all(a.stop == b.start for a, b in itertools.pairwise(found))
    assert len(found) > 1
    assert min(lengths[part].sum() for part in found) >= 20 - 1e-6


def test_shorter_than_a_scene_is_one():
    assert split(_planted([2, 2], 0, 0), np.full(4, 4.0), least_s=17) == [slice(0, 4)]
    assert len(split(_planted([4, 4], 0, 0), np.full(8, 4.0), least_s=16)) == 2


def test_hours_are_quick():
    va = _planted([1000, 1500, 1500], 0.1, 0)
    started = time.process_time()
    assert len(split(va, np.full(4000, 2.0))) == 3
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("va", "lengths_s"),
    [
        (np.empty((0, 2)), np.empty(0)),
        (np.zeros((2, 3)), np.ones(2)),
        (np.zeros((2, 2)), np.ones(3)),
        (np.full((2, 2), np.nan), np.ones(2)),
        (np.zeros((2, 2)), np.array([1.0, 0.0])),
    ],
)
def test_what_cannot_be_divided(va: np.ndarray, lengths_s: np.ndarray):
    with pytest.raises(ValueError, match="must be"):
        split(va, lengths_s)


def _cost(tracks: tuple[int, ...], distances: np.ndarray, lengths: np.ndarray, tempos: np.ndarray, loudness: np.ndarray) -> float:
    """The cost by the words of the documentation."""
    total = sum(distances[scene, track] * lengths[scene] / lengths.mean() for scene, track in enumerate(tracks))
    for a, b in itertools.pairwise(tracks):
        total += REPEAT * (a == b)
        if not np.isnan(tempos[[a, b]]).any():
            octaves = abs(np.log2(tempos[a] / tempos[b])) % 1
            total += TEMPO_PER_OCTAVE * min(octaves, 1 - octaves)
        if not np.isnan(loudness[[a, b]]).any():
            total += LOUDNESS_PER_10_LU * abs(loudness[a] - loudness[b]) / 10
    return total + sum(REPEAT_AFTER_NEXT * (a == c) for a, c in zip(tracks, tracks[2:], strict=False))


@pytest.mark.parametrize("seed", range(40))
def test_no_assignment_is_better(seed: int):
    rng = np.random.default_rng(seed)
    scene_count, track_count = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    distances, lengths = 0.2 * rng.random((scene_count, track_count)), rng.uniform(15, 90, scene_count)
    tempos = np.where(rng.random(track_count) < 0.3, np.nan, rng.uniform(60, 180, track_count))
    loudness = np.where(rng.random(track_count) < 0.3, np.nan, rng.uniform(-30, -6, track_count))
    found = sequence(distances, lengths, tempos, loudness)
    least = min(_cost(each, distances, lengths, tempos, loudness) for each in itertools.product(range(track_count), repeat=scene_count))
    assert _cost(tuple(found), distances, lengths, tempos, loudness) == pytest.approx(least, abs=1e-12)


def test_a_track_is_repeated_only_where_the_others_are_far():
    unknown = np.full(3, np.nan)
    near = np.tile([0.05, 0.07, 0.08], (4, 1))
    found = sequence(near, np.ones(4), unknown, unknown)
    assert all(a not in (b, c) for a, b, c in zip(found, found[1:], found[2:], strict=False))
    far = np.tile([0.05, 0.4, 0.5], (4, 1))
    assert sequence(far, np.ones(4), unknown, unknown) == [0, 0, 0, 0]
    assert sequence(far[:, :1], np.ones(4), unknown[:1], unknown[:1]) == [0, 0, 0, 0]


def test_a_long_scene_gets_the_nearer_track():
    unknown = np.full(2, np.nan)
    distances = np.tile([0.05, 0.1], (2, 1))
    assert sequence(distances, np.array([100.0, 20.0]), unknown, unknown) == [0, 1]
    assert sequence(distances, np.array([20.0, 100.0]), unknown, unknown) == [1, 0]


def test_half_and_double_are_the_same_tempo():
    tempos, loudness = np.array([120.0, 60.0, 170.0, np.nan]), np.array([-14.0, -14.0, -14.0, -24.0])
    costs = scenes._step_costs(np.arange(4), np.arange(4), tempos, loudness)
    assert costs[0, 1] == pytest.approx(0)
    assert costs[0, 2] == pytest.approx(TEMPO_PER_OCTAVE * (1 - np.log2(170 / 120)))
    assert costs[0, 3] == pytest.approx(LOUDNESS_PER_10_LU)
    assert costs[2, 2] == pytest.approx(REPEAT)
    # Of two tracks equally near to the second scene, the one in the tempo of the first.
    assert sequence(np.array([[0.0, 1, 1], [1, 0.1, 0.1]]), np.ones(2), np.array([100.0, 140, 205]), np.full(3, np.nan)) == [0, 2]


def test_sixty_scenes_of_a_thousand_tracks_are_quick():
    rng = np.random.default_rng(0)
    started = time.process_time()
    found = sequence(rng.random((60, 1000)), np.ones(60), rng.uniform(60, 180, 1000), rng.uniform(-30, -6, 1000))
    assert time.process_time() - started < 2
    assert len(found) == 60


@pytest.mark.parametrize(
    ("distances", "lengths_s", "tempos", "loudness"),
    [
        (np.empty((0, 3)), np.empty(0), np.ones(3), np.ones(3)),
        (np.empty((2, 0)), np.ones(2), np.empty(0), np.empty(0)),
        (np.array([[np.nan]]), np.ones(1), np.ones(1), np.ones(1)),
        (np.ones((2, 2)), np.ones(1), np.ones(2), np.ones(2)),
        (np.ones((2, 2)), np.array([1.0, 0]), np.ones(2), np.ones(2)),
        (np.ones((2, 2)), np.ones(2), np.ones(3), np.ones(2)),
        (np.ones((2, 2)), np.ones(2), np.zeros(2), np.ones(2)),
        (np.ones((2, 2)), np.ones(2), np.ones(2), np.full(2, -np.inf)),
    ],
)
def test_what_has_no_sequence(distances: np.ndarray, lengths_s: np.ndarray, tempos: np.ndarray, loudness: np.ndarray):
    with pytest.raises(ValueError, match="must be"):
        sequence(distances, lengths_s, tempos, loudness)
