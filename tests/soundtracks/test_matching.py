"""The ranking by VA, and the best stretch of a track."""

import time

import numpy as np
import pytest

from mmvatool.soundtracks import matching
from mmvatool.soundtracks.matching import (
    LOOP_COST,
    PLACES,
    SPREAD,
    Steps,
    Tracks,
    best_matches,
    distances,
    distances_from,
    nearest_by_mean,
    rank,
    shuffle_near,
    steps,
)

CALM, EXCITING = (0.6, 0.2), (0.6, 0.9)


def test_distances_by_hand():
    found = distances(np.array([0.2, 0.4]), np.array([[0.2, 0.4], [0.5, 0.8], [0.2, 0.0]]))
    np.testing.assert_allclose(found, [0, 0.5, 0.4], atol=1e-12)


def test_the_nearest_first_with_the_score_of_equation_1():
    va = np.array([[0.9, 0.9], [0.1, 0.5], [0.1, 0.1], [0.4, 0.5]])
    found = rank(np.array([0.1, 0.2]), va, 3, sigma=0.5)
    assert found.indices.tolist() == [2, 1, 3]
    np.testing.assert_allclose(found.distances, [0.1, 0.3, np.hypot(0.3, 0.3)], atol=10**-PLACES)
    np.testing.assert_allclose(found.scores, np.exp(-found.distances / 0.5), atol=1e-6)


def test_without_a_sigma_there_is_no_score():
    assert rank(np.array([0.1, 0.2]), np.zeros((2, 2)), 1, sigma=None).scores is None


def test_all_that_tie_with_the_last_come_along():
    va = np.array([[0.5, 0.5], [0.3, 0.5], [0.2, 0.5], [0.5, 0.3], [0.5, 0.7], [0.9, 0.5]])
    assert rank(np.array([0.5, 0.5]), va, 2, None).indices.tolist() == [0, 1, 3, 4]
    assert rank(np.array([0.5, 0.5]), va, 99, None).indices.tolist() == [0, 1, 3, 4, 2, 5]


def test_it_is_the_order_of_a_full_sort():
    rng = np.random.default_rng(0)
    va, query = rng.random((500, 2)), rng.random(2)
    expected = np.argsort(np.linalg.norm(va - query, axis=1))[:20]
    np.testing.assert_array_equal(rank(query, va, 20, 0.3).indices, expected)


def test_nothing_to_rank():
    found = rank(np.array([0.5, 0.5]), np.empty((0, 2)), 5, 0.3)
    assert (len(found.indices), found.nearest_distance) == (0, np.inf)


@pytest.mark.parametrize(
    ("query", "va", "words"),
    [
        (np.zeros(3), np.zeros((1, 2)), "must be"),
        (np.zeros(2), np.zeros((2, 3)), "must be"),
        (np.zeros(2), np.array([[np.nan, 0.5]]), "not finite"),
        (np.array([np.inf, 0]), np.zeros((1, 2)), "not finite"),
    ],
)
def test_what_has_no_distance(query: np.ndarray, va: np.ndarray, words: str):
    with pytest.raises(ValueError, match=words):
        matching.distances(query, va)


def test_top_must_be_one_at_least():
    with pytest.raises(ValueError, match="top 0"):
        rank(np.zeros(2), np.zeros((1, 2)), 0, None)


def _plan(*parts: tuple[tuple[float, float], int]) -> np.ndarray:
    """VA (N, 2) of parts: each a VA and how many windows it lasts."""
    return np.concatenate([np.tile(va, (count, 1)) for va, count in parts])


def test_steps_are_means_over_time():
    found = steps(np.array([[0.0, 0.2], [1.0, 0.4], [0.5, 0.6]]), np.array([3.0, 7.0, 15.0, 16.0]))  # lasts 13 s
    np.testing.assert_allclose(found.lengths_s, [10, 3])
    np.testing.assert_allclose(found.va, [[0.6, (4 * 0.2 + 6 * 0.4) / 10], [(2 * 1 + 0.5) / 3, (2 * 0.4 + 0.6) / 3]], atol=1e-12)
    np.testing.assert_allclose(found.mean, [8.5 / 13, (4 * 0.2 + 8 * 0.4 + 0.6) / 13], atol=1e-12)
    assert found.length_s == pytest.approx(13)


@pytest.mark.parametrize("seconds", [0.5, 4.0, 10.0, 10 / 3])
def test_steps_of_equal_pictures(seconds: float):
    """No sliver of a step at the end by rounding, and a constant stays one."""
    found = steps(np.full((30, 2), 0.3), np.cumsum([0, *[seconds] * 30]))
    assert len(found.lengths_s) == np.ceil(30 * seconds / 10 - 1e-6)
    np.testing.assert_allclose(found.va, 0.3, atol=1e-12)


def test_several_paces_of_one_show():
    rng = np.random.default_rng(0)
    va, paces = rng.random((7, 2)), np.cumsum(np.concatenate([np.zeros((5, 1)), rng.uniform(0.5, 9, (5, 7))], axis=1), axis=1)
    tracks = Tracks.of([rng.random((6, 2)), rng.random((4, 2))], [57.0, 43.0])
    owners, offsets = np.array([0, 1, 0, 1, 1]), np.array([0, 10, 20, 0, 30.0])
    together = distances_from(steps(va, paces), tracks, owners, offsets)
    apart = [distances_from(steps(va, paces[row]), tracks, owners[row : row + 1], offsets[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_the_in_point_falls_in_the_planted_stretch():
    track = _plan((CALM, 6), (EXCITING, 5), ((0.2, 0.5), 9))
    tracks = Tracks.of([track], [200.0])
    (calm,) = best_matches(steps(_plan((CALM, 10)), np.arange(11) * 4.0), tracks, 0.3)
    assert (calm.offset_s, calm.loops) == (0, 0)
    assert calm.distance == pytest.approx(0, abs=1e-9)
    assert calm.score == pytest.approx(1)
    (exciting,) = best_matches(steps(_plan((EXCITING, 10)), np.arange(11) * 4.0), tracks, None)
    assert (exciting.offset_s, exciting.score) == (60, None)
    (rising,) = best_matches(steps(_plan((CALM, 10), (EXCITING, 10)), np.arange(21) * 4.0), tracks, 0.3)
    assert rising.offset_s == 20  # the change comes at 40 s of the show and at 60 s of the track
    assert rising.distance == pytest.approx(0, abs=1e-9)


def test_the_order_counts_and_so_does_the_mean():
    """Of two tracks of one mean the one in the order of the show is nearer; both halves of the formula by hand."""
    show = steps(_plan((CALM, 2), (EXCITING, 2)), np.arange(5) * 10.0)
    rising, falling = _plan((CALM, 2), (EXCITING, 2)), _plan((EXCITING, 2), (CALM, 2))
    tracks = Tracks.of([rising, falling, _plan((CALM, 4))], [40] * 3)
    found = distances_from(show, tracks, np.arange(3), np.zeros(3))
    np.testing.assert_allclose(found, [0, (0 + 0.7) / 2, (0.35 + 0.35) / 2], atol=1e-12)


@pytest.mark.parametrize(("away", "offset_s", "loops"), [(1.5 * LOOP_COST, 0, 0), (3 * LOOP_COST, 30, 1)])
def test_a_stretch_that_fits_whole_is_preferred_when_nearly_equal(away: float, offset_s: float, loops: int):
    """From its last window the track would loop into its first and fit exactly; from its first it plays through, half of it `away`."""
    show = steps(_plan((CALM, 2)), np.arange(3) * 10.0)
    (found,) = best_matches(show, Tracks.of([_plan((CALM, 1), ((0.6, 0.2 + away), 2), (CALM, 1))], [40.0]), None)
    assert (found.offset_s, found.loops) == (offset_s, loops)
    assert found.distance == pytest.approx(0 if loops else away / 2)  # without what the loop costs


def test_a_show_longer_than_the_track():
    show = steps(_plan((CALM, 3), (EXCITING, 3), (CALM, 3), (EXCITING, 3)), np.arange(13) * 10.0)
    (found,) = best_matches(show, Tracks.of([_plan((CALM, 3), (EXCITING, 3))], [60.0]), 0.3)
    assert (found.offset_s, found.loops, found.distance) == (0, 1, pytest.approx(0, abs=1e-9))
    (short,) = best_matches(show, Tracks.of([np.array([CALM])], [0.5]), 0.3)
    assert (short.offset_s, short.loops) == (0, 239)


def test_equals_go_to_the_earliest():
    assert best_matches(steps(np.full((2, 2), 0.4), np.array([0, 4, 8.0])), Tracks.of([np.full((9, 2), 0.5)], [90.0]), 0.3)[0].offset_s == 0


def test_what_differs_by_rounding_is_equal():
    track = np.full((5, 2), 0.5)
    track[0] += 1e-8
    assert best_matches(steps(np.full((1, 2), 0.2), np.array([0, 10.0])), Tracks.of([track], [50.0]), None)[0].offset_s == 0


def _slowly(show: Steps, va: np.ndarray, duration_s: float, offset_s: float) -> float:
    """The distance by the words of the documentation, a step at a time."""
    at, heard = 0.0, []
    for length_s in show.lengths_s:
        time_s = (offset_s + at + length_s / 2) % duration_s
        heard.append(va[min(int(time_s // 10), len(va) - 1)])
        at += length_s
    mean = np.average(heard, axis=0, weights=show.lengths_s)
    apart = np.average(np.linalg.norm(np.array(heard) - show.va, axis=1), weights=show.lengths_s)
    return (np.linalg.norm(mean - show.mean) + apart) / 2


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_best_of_all_in_points(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matching, "CHUNK_PAIRS", 40)  # several blocks
    rng = np.random.default_rng(seed)
    show = steps(rng.random((9, 2)), np.cumsum([0, *rng.uniform(0.5, 12, 9)]))
    curves = [rng.random((rng.integers(1, 15), 2)) for _ in range(12)]
    durations = [(len(curve) - 1) * 10 + rng.uniform(5, 15) for curve in curves]
    found = best_matches(show, Tracks.of(curves, durations), 0.3)
    for match, curve, duration_s in zip(found, curves, durations, strict=True):
        offsets = np.arange(len(curve)) * 10.0
        away = np.array([_slowly(show, curve, duration_s, offset_s) for offset_s in offsets])
        loops = np.ceil((offsets + show.length_s) / duration_s) - 1
        cost = away + LOOP_COST * np.maximum(0, loops)
        assert match.offset_s == offsets[cost.argmin()]
        assert match.distance == pytest.approx(away[cost.argmin()], abs=1e-9)
        assert match.loops == loops[cost.argmin()]
        assert match.score == pytest.approx(np.exp(-match.distance / 0.3), abs=1e-6)


def test_a_thousand_tracks_are_quick():
    rng = np.random.default_rng(0)
    tracks = Tracks.of([rng.random((20, 2)) for _ in range(1000)], [200.0] * 1000)
    show = steps(rng.random((150, 2)), np.arange(151) * 4.0)
    started = time.process_time()
    assert len(best_matches(show, tracks, 0.3)) == 1000
    assert time.process_time() - started < 1


def test_likely_tracks_of_a_big_library():
    show = steps(np.full((3, 2), 0.5), np.arange(4) * 4.0)
    means = np.array([[0.9, 0.5], [0.55, 0.5], [0.5, 0.7], [0.1, 0.5], [0.5, 0.51]])
    assert nearest_by_mean(show, means, keep=2).tolist() == [1, 4]
    assert nearest_by_mean(show, means).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "call",
    [
        lambda: steps(np.empty((0, 2)), np.zeros(1)),
        lambda: steps(np.zeros((2, 2)), np.array([0, 4.0])),
        lambda: steps(np.zeros((2, 2)), np.array([0, 4.0, 4.0])),
        lambda: steps(np.full((1, 2), np.nan), np.array([0, 4.0])),
        lambda: Tracks.of([], []),
        lambda: Tracks.of([np.empty((0, 2))], [5.0]),
        lambda: Tracks.of([np.full((1, 2), np.inf)], [5.0]),
        lambda: Tracks.of([np.zeros((3, 2))], [20.0]),
        lambda: Tracks.of([np.zeros((1, 2))], [np.nan]),
        lambda: best_matches(steps(np.zeros((1, 2)), np.array([0, 4.0])), Tracks.of([np.zeros((1, 2))], [9.0]), 0.0),
        lambda: nearest_by_mean(steps(np.zeros((1, 2)), np.array([0, 4.0])), np.full((1, 2), np.nan)),
    ],
)
def test_what_has_no_best_stretch(call):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        call()


def test_a_seed_draws_among_the_near_ones():
    away = np.array([0.3, 0.111, 0.1, 0.12, 0.121])

    def first(seed: int) -> int:
        return int(shuffle_near(away, seed, SPREAD + 1e-9)[0])

    assert {first(seed) for seed in range(40)} == {1, 2, 3}  # .12 is at most .02 further, .121 is not
    assert [first(seed) for seed in range(9)] == [first(seed) for seed in range(9)]
    assert shuffle_near(away, None, 0.02).tolist() == [2, 1, 3, 4, 0]
    drawn = shuffle_near(away, 5, 0.02).tolist()
    assert sorted(drawn[:3]) == [1, 2, 3]
    assert drawn[3:] == [4, 0]
