"""Distances in VA, and in ranks within a library."""

import numpy as np
import pytest

from mmvatool.soundtracks.matching import Tracks, best_matches, distances_from, nearest_by_mean, rank, steps
from mmvatool.soundtracks.pacing import best_endings
from mmvatool.soundtracks.scale import ABSOLUTE, Scale
from trainer import share_below

HAPPY, SAD = np.array([0.9, 0.5]), np.array([0.2, 0.5])
BAND = np.array([[0.11, 0.5], [0.05, 0.5], [0.08, 0.5], [0.07, 0.5], [0.1, 0.5]])  # all sad, and as exciting as each other
PLACES = 1e-6


def test_the_absolute_scale_changes_nothing():
    va = np.random.default_rng(0).random((3, 4, 2))
    np.testing.assert_array_equal(ABSOLUTE.of_query(va), va)
    np.testing.assert_array_equal(ABSOLUTE.of_tracks(va), va)


def test_ranks_by_hand():
    scale = Scale.of_library(np.array([[0.2, 0.9], [0.6, 0.3], [0.2, 0.4], [0.3, 0.5]]))
    expected = [[0.25, 0.875], [0.875, 0.125], [0.25, 0.375], [0.625, 0.625]]
    np.testing.assert_allclose(scale.of_tracks(np.array([[0.2, 0.9], [0.6, 0.3], [0.2, 0.4], [0.3, 0.5]])), expected)
    np.testing.assert_allclose(scale.of_tracks(np.array([0.45, 0.35])), [0.75, 0.25])  # between two tracks
    np.testing.assert_allclose(scale.of_tracks(np.array([0.1, 1.0])), [0.25 - 0.1, 0.875 + 0.1])  # beyond all of them
    np.testing.assert_allclose(scale.of_query(HAPPY), share_below(HAPPY))


def test_what_differs_by_rounding_has_the_same_rank():
    means = np.full((4, 2), 0.3, np.float32)
    means[::2] += np.float32(3e-8)
    np.testing.assert_allclose(Scale.of_library(means).of_tracks(means), 0.5, atol=PLACES)


@pytest.mark.parametrize("seed", range(20))
def test_ranks_rise_with_va_without_a_jump(seed: int):
    rng = np.random.default_rng(seed)
    means = rng.normal(0.4, rng.uniform(0.01, 0.2), (rng.integers(1, 40), 2)).clip(0, 1).round(2)  # some of them equal
    line = np.linspace(0, 1, 20_001)
    ranks = Scale.of_library(means).of_tracks(np.column_stack([line, line]))
    assert (np.diff(ranks, axis=0) > 0).all()
    # From one mean to the next at least 0.01 away, that is 200 steps, no rank changes by more than 1.
    assert np.diff(ranks, axis=0).max() < 1 / 200 + PLACES


@pytest.mark.parametrize("seed", range(20))
def test_ranks_are_the_same_however_the_library_is_scaled(seed: int):
    rng = np.random.default_rng(seed)
    means = rng.random((30, 2)).round(2)
    for scaled in (0.3 + 0.1 * means, means**3, np.exp(means) / 3):
        np.testing.assert_allclose(Scale.of_library(scaled).of_tracks(scaled), Scale.of_library(means).of_tracks(means))
        for query in rng.random((5, 2)):
            expected, found = (rank(query, va, 30, None, Scale.of_library(va)).indices for va in (means, scaled))
            np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("query", [HAPPY, SAD])
def test_in_va_one_track_is_the_nearest_to_all(query: np.ndarray):
    assert rank(query, BAND, 1, None).indices.tolist() == [0]


def test_by_rank_a_sad_library_has_its_happiest_and_its_saddest_track():
    scale = Scale.of_library(BAND)
    assert rank(HAPPY, BAND, 5, None, scale).indices.tolist() == [0, 4, 2, 3, 1]
    assert rank(SAD, BAND, 5, None, scale).indices.tolist() == [1, 3, 2, 4, 0]
    assert rank(np.array([0.5, 0.5]), BAND, 1, None, scale).indices.tolist() == [2]


def test_distances_and_scores_are_those_in_va():
    found = rank(SAD, BAND, 2, 0.3, Scale.of_library(BAND))
    np.testing.assert_allclose(found.distances, [0.15, 0.13], atol=PLACES)
    np.testing.assert_allclose(found.scores, np.exp(-found.distances / 0.3), atol=PLACES)
    np.testing.assert_allclose(found.apart, [0.1 - share_below(SAD)[0], 0.3 - share_below(SAD)[0]], atol=PLACES)
    assert found.nearest_distance == pytest.approx(0.09)  # of the track that is not among the two
    assert rank(SAD, BAND, 2, 0.3).nearest_distance == pytest.approx(0.09)


@pytest.mark.parametrize("means", [np.array([[0.3, 0.6]]), np.tile([0.3, 0.6], (5, 1))])
def test_one_track_and_equal_tracks_are_in_the_middle(means: np.ndarray):
    """Of moments in them, ranks are VA about the mean."""
    scale = Scale.of_library(means)
    np.testing.assert_allclose(scale.of_tracks(means), 0.5)
    np.testing.assert_allclose(scale.of_tracks(np.array([[0.1, 0.7]])), [[0.3, 0.6]])
    found = rank(HAPPY, means, 5, None, scale)
    assert found.indices.tolist() == list(range(len(means)))


def test_two_tracks_are_the_lower_and_the_higher():
    means = np.array([[0.8, 0.5], [0.7, 0.5]])
    assert rank(HAPPY, means, 1, None, Scale.of_library(means)).indices.tolist() == [0]
    assert rank(SAD, means, 1, None, Scale.of_library(means)).indices.tolist() == [1]


@pytest.mark.parametrize("means", [np.empty((0, 2)), np.zeros(2), np.zeros((3, 3)), np.array([[0.5, np.nan]])])
def test_what_has_no_ranks(means: np.ndarray):
    with pytest.raises(ValueError, match="must be"):
        Scale.of_library(means)


def test_within_a_track_moments_are_moved_by_the_same_map():
    """Of a sad library's tracks the happiest moments, and the saddest."""
    curves = [np.column_stack([mean + np.array([-0.04, -0.04, 0, 0, 0.04, 0.04]), np.full(6, 0.5)]) for mean in (0.2, 0.25, 0.3)]
    tracks = Tracks.of(curves, [60.0] * 3)
    scale = Scale.of_library(np.array([curve.mean(axis=0) for curve in curves]))
    show = np.array([0, 10.0, 20.0])
    for va, order, offsets_s in ((HAPPY, [2, 1, 0], [40, 40, 40]), (np.array([0.12, 0.5]), [0, 1, 2], [0, 0, 0])):
        target = steps(np.tile(va, (2, 1)), show)
        found = best_matches(target, tracks, 0.3, scale)
        assert [match.offset_s for match in found] == offsets_s
        assert np.argsort([match.apart for match in found]).tolist() == order
        in_va = distances_from(target, tracks, np.arange(3), np.array(offsets_s, float))
        np.testing.assert_allclose([match.distance for match in found], in_va)
        np.testing.assert_allclose([match.score for match in found], np.exp(-in_va / 0.3), atol=PLACES)


def test_moments_beyond_all_tracks_stay_apart():
    """A library of one track whose moments differ: the most exciting ones for fireworks, whatever the track is on average."""
    curve = np.column_stack([np.full(6, 0.5), [0.1, 0.1, 0.2, 0.2, 0.35, 0.35]])
    tracks = Tracks.of([curve], [60.0])
    scale = Scale.of_library(curve.mean(axis=0)[None])
    for arousal, offset_s in ((0.95, 40), (0.5, 20), (0.1, 0)):
        (found,) = best_matches(steps(np.array([[0.5, arousal]]), np.array([0, 20.0])), tracks, None, scale)
        assert found.offset_s == offset_s


def test_in_va_both_distances_are_one():
    rng = np.random.default_rng(0)
    tracks = Tracks.of([rng.random((8, 2)), rng.random((3, 2))], [80.0, 30.0])
    target = steps(rng.random((5, 2)), np.cumsum([0, *rng.uniform(1, 9, 5)]))
    assert all(match.apart == match.distance for match in best_matches(target, tracks, 0.3))


def test_a_slideshow_that_ends_with_its_music():
    """By rank it takes the happier track's happiest end; the distance is that in VA at the pace it is shown with."""
    curves = [np.tile([valence, 0.5], (12, 1)) for valence in (0.2, 0.25)]
    tracks = Tracks.of(curves, [120.0, 120.0])
    va = np.tile(HAPPY, (10, 1))
    scale = Scale.of_library(np.array([[0.2, 0.5], [0.25, 0.5]]))
    sadder, happier = best_endings(va, np.full(10, np.nan), 4.0, tracks, 0.3, scale)
    assert happier.match.apart == pytest.approx(share_below(HAPPY)[0] - 0.75)
    assert sadder.match.apart == pytest.approx(share_below(HAPPY)[0] - 0.25)
    assert (sadder.match.distance, happier.match.distance) == pytest.approx((0.7, 0.65))
    assert happier.match.score == pytest.approx(np.exp(-0.65 / 0.3), abs=PLACES)


def test_candidates_of_a_big_library_are_those_near_by_rank():
    means = np.column_stack([np.linspace(0.1, 0.2, 100), np.full(100, 0.5)])
    scale = Scale.of_library(means)
    target = steps(np.array([[0.5, 0.5]]), np.array([0, 10.0]))
    assert nearest_by_mean(target, means, keep=2).tolist() == [98, 99]
    assert nearest_by_mean(target, means, keep=2, scale=scale).tolist() == [49, 50]
