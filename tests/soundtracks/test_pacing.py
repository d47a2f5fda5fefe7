"""How long each picture is shown."""

import time

import numpy as np
import pytest

from mmvatool.soundtracks import pacing
from mmvatool.soundtracks.matching import LOOP, Tracks, best, distances_from, loops_of, steps
from mmvatool.soundtracks.pacing import (
    FARTHEST_S,
    LEAST_SHOWN_S,
    LONGEST,
    SHORTEST,
    STRAY,
    best_endings,
    endings,
    evenly,
    on_beats,
    to_music,
)

PICTURE = np.nan


def _show(seed: int, clips: float = 0.2) -> np.ndarray:
    """Lengths of up to 40 pictures and clips."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    return np.where(rng.random(count) < clips, rng.uniform(0.2, 20, count), PICTURE)


def test_evenly_by_hand():
    np.testing.assert_allclose(evenly(np.array([PICTURE, 7.5, PICTURE]), 4), [0, 4, 11.5, 15.5])


def test_a_show_ends_with_its_music():
    pace = to_music(np.full(10, PICTURE), 4.0, 95.0, 50.0)
    assert (pace.ends, pace.seconds, pace.length_s) == (True, pytest.approx(4.5), pytest.approx(45))
    np.testing.assert_allclose(np.diff(pace.edges_s), 4.5)
    with_clip = to_music(np.array([PICTURE, 20.0, PICTURE, PICTURE]), 4.0, 95.0, 60.0)
    np.testing.assert_allclose(np.diff(with_clip.edges_s), [5, 20, 5, 5])


def test_a_long_show_loops_to_the_end_of_the_track():
    pace = to_music(np.full(100, PICTURE), 4.0, 90.0, 30.0)  # 60 + k x 90 s: 420 is nearer to 400 than 330
    assert (pace.ends, pace.length_s) == (True, pytest.approx(420))


@pytest.mark.parametrize("fixed_s", [np.full(3, PICTURE), np.full(3, 9.0), np.array([50.0, PICTURE])])
def test_what_cannot_end_with_the_music_is_shown_as_asked(fixed_s: np.ndarray):
    pace = to_music(fixed_s, 4.0, 300.0)
    assert (pace.ends, pace.seconds) == (False, 4.0)
    np.testing.assert_array_equal(pace.edges_s, evenly(fixed_s, 4.0))
    assert to_music(np.array([20.0, 30.0]), 4.0, 100.0, 50.0).ends  # clips that happen to


@pytest.mark.parametrize("seed", range(30))
def test_every_ending_is_one(seed: int):
    rng, fixed_s = np.random.default_rng(1000 + seed), _show(seed)
    seconds, duration_s = rng.uniform(1, 8), rng.uniform(0.5, 300)
    pictures = np.isnan(fixed_s)
    can_end = []
    for offset_s in 10.0 * np.arange(max(1, int(duration_s / 10 + 0.5))):
        pace = to_music(fixed_s, seconds, duration_s, offset_s)
        lengths = np.diff(pace.edges_s)
        np.testing.assert_allclose(lengths[~pictures], fixed_s[~pictures])
        np.testing.assert_allclose(lengths[pictures], pace.seconds)
        # Every end of the track that a show of these pictures could have.
        ends_s = duration_s - offset_s + duration_s * np.arange(2 + pictures.sum() * seconds * LONGEST // duration_s + 1000)
        each = (ends_s - fixed_s[~pictures].sum()) / max(1, pictures.sum()) / seconds
        possible = each[(each >= SHORTEST) & (each <= LONGEST)] if pictures.any() else each[:0]
        assert pace.ends == bool(len(possible))
        if pace.ends:
            past = (offset_s + pace.length_s) / duration_s
            assert past == pytest.approx(round(past), abs=1e-6)
            assert abs(np.log(pace.seconds / seconds)) == pytest.approx(np.abs(np.log(possible)).min(), abs=1e-6)
            can_end.append(offset_s)
    assert endings(fixed_s, seconds, duration_s).tolist() == can_end


def test_the_best_ending_is_the_planted_one():
    """Exciting pictures end with the exciting end of a track that is nearer in its middle, from which the show cannot end."""
    track = np.tile([0.5, 0.2], (30, 1))
    track[10:14] = [0.5, 0.9]
    track[26:] = [0.5, 0.8]
    fixed_s, va = np.full(10, PICTURE), np.tile([0.5, 0.9], (10, 1))
    assert best(steps(va, evenly(fixed_s, 4.0)), Tracks.of([track], [300.0]), 0.3)[0].offset_s == 100
    other = np.full((3, 2), 0.5)  # .. and of several tracks each has its own
    first, found = best_endings(va, fixed_s, 4.0, Tracks.of([other, track], [30.0, 300.0]), 0.3)
    assert first is not None
    assert found is not None
    assert first.stretch.distance == pytest.approx(0.4)
    assert (found.stretch.offset_s, found.pace.seconds, found.stretch.loops) == (260, pytest.approx(4), 0)
    assert found.stretch.distance == pytest.approx(0.1)
    assert found.stretch.score == pytest.approx(np.exp(-0.1 / 0.3), abs=1e-6)
    # Of a track that is the same all over, the one at which pictures are shown as asked.
    (same,) = best_endings(va, fixed_s, 4.0, Tracks.of([np.full((30, 2), 0.5)], [300.0]), None)
    assert same is not None
    assert (same.stretch.offset_s, same.stretch.score) == (260, None)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_best_of_all_endings(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pacing, "PAIRS", 60)  # several blocks
    rng, fixed_s = np.random.default_rng(3000 + seed), _show(seed)
    va, curves = rng.random((len(fixed_s), 2)), [rng.random((rng.integers(1, 20), 2)) for _ in range(8)]
    tracks = Tracks.of(curves, [(len(curve) - 1) * 10 + rng.uniform(5, 15) for curve in curves])
    for track, found in enumerate(best_endings(va, fixed_s, 4.0, tracks, 0.3)):
        duration_s = tracks.durations_s[track]
        offsets = endings(fixed_s, 4.0, duration_s)
        costs = []
        for offset_s in offsets:
            pace = to_music(fixed_s, 4.0, duration_s, offset_s)
            away = distances_from(steps(va, pace.edges_s), tracks, np.array([track]), np.array([offset_s]))[0]
            loops = loops_of(pace.length_s, duration_s, offset_s)
            costs.append((away + LOOP * loops + STRAY * abs(np.log2(pace.seconds / 4)), away, pace.seconds))
        if not costs:
            assert found is None
            continue
        assert found is not None
        least = int(np.argmin([cost for cost, _, _ in costs]))
        assert found.stretch.offset_s == offsets[least]
        assert (found.stretch.distance, found.pace.seconds) == (pytest.approx(costs[least][1]), pytest.approx(costs[least][2]))
        assert (found.stretch.offset_s + found.pace.length_s) / duration_s == pytest.approx(found.stretch.loops + 1)


def test_a_thousand_tracks_are_quick():
    rng = np.random.default_rng(0)
    tracks = Tracks.of([rng.random((20, 2)) for _ in range(1000)], rng.uniform(195, 205, 1000))
    started = time.process_time()
    found = best_endings(rng.random((50, 2)), np.full(50, PICTURE), 4.0, tracks, 0.3)
    assert time.process_time() - started < 2
    assert all(found)


def test_a_show_of_clips_has_no_ending():
    assert best_endings(np.full((2, 2), 0.5), np.array([9.0, 9.0]), 4.0, Tracks.of([np.full((30, 2), 0.5)], [300.0]), 0.3) == [None]


def test_cuts_move_to_the_nearest_beat():
    beats = np.arange(0.25, 20, 0.5)
    found = on_beats(np.array([0, 4.0, 8.1, 12.4, 16.0]), beats, np.full(4, PICTURE))
    np.testing.assert_allclose(found, [0, 3.75, 8.25, 12.25, 16.0])


def test_cuts_without_a_beat_near_them_stay():
    edges = np.array([0, 4.0, 8.0, 12.0])
    np.testing.assert_array_equal(on_beats(edges, np.array([2.0, 9.5]), np.full(3, PICTURE)), edges)
    np.testing.assert_array_equal(on_beats(edges, np.empty(0), np.full(3, PICTURE)), edges)


def test_a_clip_is_not_shown_for_longer_than_it_lasts():
    fixed_s = np.array([PICTURE, 4.0, PICTURE])
    np.testing.assert_allclose(on_beats(np.array([0, 4.0, 8.0, 12.0]), np.array([3.8, 8.2]), fixed_s), [0, 4, 8, 12])
    np.testing.assert_allclose(on_beats(np.array([0, 4.0, 8.0, 12.0]), np.array([4.2, 8.2]), fixed_s), [0, 4.2, 8.2, 12])
    np.testing.assert_allclose(on_beats(np.array([0, 4.0, 8.0, 12.0]), np.array([4.2, 7.9]), fixed_s), [0, 4.2, 7.9, 12])


@pytest.mark.parametrize("seed", range(60))
def test_moved_cuts_keep_to_the_bounds(seed: int):
    rng, fixed_s = np.random.default_rng(2000 + seed), _show(seed, clips=0.4)
    edges = evenly(fixed_s, rng.uniform(0.3, 6))
    beats = np.sort(rng.uniform(-5, edges[-1] + 5, int(edges[-1] * rng.uniform(0.2, 4))))
    found = on_beats(edges, beats, fixed_s)
    before, lengths = np.diff(edges), np.diff(found)
    assert found[[0, -1]].tolist() == edges[[0, -1]].tolist()
    assert (lengths >= np.minimum(LEAST_SHOWN_S, before) - 1e-9).all()
    assert (lengths <= np.where(np.isnan(fixed_s), np.inf, fixed_s) + 1e-6).all()
    assert (np.abs(found - edges)[1:-1] <= np.minimum(FARTHEST_S, np.minimum(before[:-1], before[1:]) / 2) + 1e-9).all()
    moved = found != edges
    assert np.isin(found[moved], beats).all()


def test_most_cuts_of_a_show_reach_a_beat():
    edges = evenly(np.full(100, PICTURE), 4.03)
    beats = np.arange(0, edges[-1], 60 / 96)
    assert np.isin(on_beats(edges, beats, np.full(100, PICTURE))[1:-1], beats).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: evenly(np.empty(0), 4.0),
        lambda: evenly(np.array([PICTURE]), 0.0),
        lambda: evenly(np.array([3.0]), np.nan),
        lambda: evenly(np.array([-1.0, PICTURE]), 4.0),
        lambda: to_music(np.array([PICTURE]), 4.0, 10.0, 10.0),
        lambda: to_music(np.array([PICTURE]), 4.0, np.inf),
        lambda: on_beats(np.array([0, 4.0, 4.0]), np.empty(0), np.full(2, PICTURE)),
        lambda: on_beats(np.array([0, 4.0]), np.empty(0), np.full(2, PICTURE)),
        lambda: on_beats(np.array([0, 4.0]), np.array([np.nan]), np.full(1, PICTURE)),
    ],
)
def test_what_cannot_be_paced(call):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        call()
