"""How long each picture is shown."""

import time

import numpy as np
import pytest

from mmvatool.soundtracks import pacing
from mmvatool.soundtracks.matching import LOOP_COST, Tracks, best_matches, distances_from, loops_of, steps
from mmvatool.soundtracks.pacing import (
    FARTHEST_S,
    LEAST_SHOWN_S,
    LONGEST,
    PACE_COST,
    SHORTEST,
    best_endings,
    evenly,
    on_beats,
    picture_seconds,
)

PICTURE = np.nan


def _show(seed: int, clips: float = 0.2) -> np.ndarray:
    """Lengths of up to 40 pictures and clips."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    return np.where(rng.random(count) < clips, rng.uniform(0.2, 20, count), PICTURE)


def test_evenly_by_hand():
    np.testing.assert_allclose(evenly(np.array([PICTURE, 7.5, PICTURE]), 4), [0, 4, 11.5, 15.5])


def _seconds(fixed_s: np.ndarray, seconds: float, duration_s: float, offset_s: float = 0.0) -> float:
    """How long a picture is shown so that the slideshow ends with one track from one in-point; NaN if it cannot."""
    return float(picture_seconds(fixed_s, seconds, np.array([duration_s]), np.array([offset_s]))[0])


def test_a_show_ends_with_its_music():
    seconds = _seconds(np.full(10, PICTURE), 4.0, 95.0, 50.0)
    assert seconds == pytest.approx(4.5)
    np.testing.assert_allclose(evenly(np.full(10, PICTURE), seconds)[-1], 45)
    with_clip = np.array([PICTURE, 20.0, PICTURE, PICTURE])
    np.testing.assert_allclose(np.diff(evenly(with_clip, _seconds(with_clip, 4.0, 95.0, 60.0))), [5, 20, 5, 5])


def test_a_long_show_loops_to_the_end_of_the_track():
    # 60 + k x 90 s: 420 is nearer to 400 than 330
    assert 100 * _seconds(np.full(100, PICTURE), 4.0, 90.0, 30.0) == pytest.approx(420)


@pytest.mark.parametrize("fixed_s", [np.full(3, PICTURE), np.full(3, 9.0), np.array([50.0, PICTURE])])
def test_what_cannot_end_with_the_music(fixed_s: np.ndarray):
    assert np.isnan(_seconds(fixed_s, 4.0, 300.0))
    assert _seconds(np.array([20.0, 30.0]), 4.0, 100.0, 50.0) == 4.0  # clips that happen to


@pytest.mark.parametrize("seed", range(30))
def test_every_ending_is_one(seed: int):
    rng, fixed_s = np.random.default_rng(1000 + seed), _show(seed)
    seconds, duration_s = rng.uniform(1, 8), rng.uniform(0.5, 300)
    pictures = np.isnan(fixed_s)
    for offset_s in 10.0 * np.arange(max(1, int(duration_s / 10 + 0.5))):
        picture_s = _seconds(fixed_s, seconds, duration_s, offset_s)
        # Every end of the track that a show of these pictures could have.
        ends_s = duration_s - offset_s + duration_s * np.arange(2 + pictures.sum() * seconds * LONGEST // duration_s + 1000)
        each = (ends_s - fixed_s[~pictures].sum()) / max(1, pictures.sum()) / seconds
        possible = each[(each >= SHORTEST) & (each <= LONGEST)] if pictures.any() else each[:0]
        assert np.isfinite(picture_s) == bool(len(possible))
        if np.isfinite(picture_s):
            edges_s = evenly(fixed_s, picture_s)
            lengths = np.diff(edges_s)
            np.testing.assert_allclose(lengths[~pictures], fixed_s[~pictures])
            np.testing.assert_allclose(lengths[pictures], picture_s)
            past = (offset_s + edges_s[-1]) / duration_s
            assert past == pytest.approx(round(past), abs=1e-6)
            assert abs(np.log(picture_s / seconds)) == pytest.approx(np.abs(np.log(possible)).min(), abs=1e-6)


def test_the_best_ending_is_the_planted_one():
    """Exciting pictures end with the exciting end of a track that is nearer in its middle, from which the show cannot end."""
    track = np.tile([0.5, 0.2], (30, 1))
    track[10:14] = [0.5, 0.9]
    track[26:] = [0.5, 0.8]
    fixed_s, va = np.full(10, PICTURE), np.tile([0.5, 0.9], (10, 1))
    assert best_matches(steps(va, evenly(fixed_s, 4.0)), Tracks.of([track], [300.0]), 0.3)[0].offset_s == 100
    other = np.full((3, 2), 0.5)  # .. and of several tracks each has its own
    first, found = best_endings(va, fixed_s, 4.0, Tracks.of([other, track], [30.0, 300.0]), 0.3)
    assert first is not None
    assert found is not None
    assert first.match.distance == pytest.approx(0.4)
    assert (found.match.offset_s, found.match.loops) == (260, 0)
    np.testing.assert_allclose(np.diff(found.edges_s), 4)
    assert found.match.distance == pytest.approx(0.1)
    assert found.match.score == pytest.approx(np.exp(-0.1 / 0.3), abs=1e-6)
    # Of a track that is the same all over, the one at which pictures are shown as asked.
    (same,) = best_endings(va, fixed_s, 4.0, Tracks.of([np.full((30, 2), 0.5)], [300.0]), None)
    assert same is not None
    assert (same.match.offset_s, same.match.score) == (260, None)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_best_of_all_endings(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pacing, "CHUNK_PAIRS", 60)  # several blocks
    rng, fixed_s = np.random.default_rng(3000 + seed), _show(seed)
    va, curves = rng.random((len(fixed_s), 2)), [rng.random((rng.integers(1, 20), 2)) for _ in range(8)]
    tracks = Tracks.of(curves, [(len(curve) - 1) * 10 + rng.uniform(5, 15) for curve in curves])
    for track, found in enumerate(best_endings(va, fixed_s, 4.0, tracks, 0.3)):
        duration_s = tracks.durations_s[track]
        in_points = 10.0 * np.arange(max(1, int(duration_s / 10 + 0.5)))
        offsets = [offset_s for offset_s in in_points if not np.isnan(_seconds(fixed_s, 4.0, duration_s, offset_s))]
        costs = []
        for offset_s in offsets:
            picture_s = _seconds(fixed_s, 4.0, duration_s, offset_s)
            edges_s = evenly(fixed_s, picture_s)
            away = distances_from(steps(va, edges_s), tracks, np.array([track]), np.array([offset_s]))[0]
            loops = loops_of(edges_s[-1], duration_s, offset_s)
            costs.append((away + LOOP_COST * loops + PACE_COST * abs(np.log2(picture_s / 4)), away, picture_s))
        if not costs:
            assert found is None
            continue
        assert found is not None
        least = int(np.argmin([cost for cost, _, _ in costs]))
        assert found.match.offset_s == offsets[least]
        assert found.match.distance == pytest.approx(costs[least][1])
        np.testing.assert_allclose(found.edges_s, evenly(fixed_s, costs[least][2]))
        assert (found.match.offset_s + found.edges_s[-1]) / duration_s == pytest.approx(found.match.loops + 1)


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
        lambda: on_beats(np.array([0, 4.0, 4.0]), np.empty(0), np.full(2, PICTURE)),
        lambda: on_beats(np.array([0, 4.0]), np.empty(0), np.full(2, PICTURE)),
        lambda: on_beats(np.array([0, 4.0]), np.array([np.nan]), np.full(1, PICTURE)),
    ],
)
def test_what_cannot_be_paced(call):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        call()
