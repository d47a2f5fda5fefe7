"""The ranking by VA."""

import numpy as np
import pytest

from mmvatool import matching
from mmvatool.matching import FAR, PLACES, distances, rank


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
    assert (len(found.indices), found.is_far) == (0, False)


@pytest.mark.parametrize(("away", "far"), [(FAR - 0.01, False), (FAR + 0.01, True)])
def test_far_is_over_a_fifth_of_the_scale(away: float, far: bool):
    assert rank(np.array([0.5, 0.5]), np.array([[0.5 + away, 0.5], [1.0, 1.0]]), 2, None).is_far is far


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
