import statistics
import time
import tracemalloc

import numpy as np
import pytest

from trainer.affect import COMMON, LEVELS, matching_score, mean_distance, share_below


def test_matching_score_is_equation_1() -> None:
    a, b = np.array([[0.0, 0.0], [0.2, 0.7]]), np.array([[0.3, 0.4], [0.2, 0.7]])
    np.testing.assert_allclose(matching_score(a, b, 0.5), [np.exp(-1), 1.0], rtol=1e-6)
    np.testing.assert_allclose(matching_score(a[:, None], b[None], 0.5)[1, 0], np.exp(-np.hypot(0.1, 0.3) / 0.5), rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_matching_score_refuses_impossible_sigma(sigma: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number above 0"):
        matching_score(np.zeros((1, 2)), np.ones((1, 2)), sigma)


def test_the_share_below_is_that_of_the_common_scale() -> None:
    """A normal distribution with mean .5 and deviation .18, but for its tails, which end at 0 and 1."""
    np.testing.assert_allclose(share_below(np.array(COMMON)), LEVELS)
    np.testing.assert_allclose(share_below(np.array([[0.0, 1.0]])), [[0, 1]])
    inside = np.linspace(0.1, 0.9, 41)
    normal = np.array([statistics.NormalDist(0.5, 0.18).cdf(value) for value in inside])
    np.testing.assert_allclose(share_below(inside), normal, atol=0.02)
    assert (np.diff(share_below(np.linspace(0, 1, 1001))) > 0).all()


@pytest.mark.parametrize(("a", "b"), [(1, 1), (33, 1), (70, 5000), (31, 4097)])
def test_mean_distance_is_the_plain_double_loop(a: int, b: int) -> None:
    rng = np.random.default_rng(a)
    va_a, va_b = rng.random((a, 2)), rng.random((b, 2)) ** 2
    plain = sum(float(np.hypot(*(one - va_b).T).sum()) for one in va_a) / (a * b)
    assert mean_distance(va_a, va_b) == pytest.approx(plain, abs=1e-6)


def test_mean_distance_needs_labels_on_both_sides() -> None:
    with pytest.raises(ValueError, match="at least 1 on both sides"):
        mean_distance(np.zeros((0, 2)), np.ones((3, 2)))


def test_mean_distance_of_25000_by_24000_is_fast_and_small() -> None:
    rng = np.random.default_rng(0)
    va_a, va_b = rng.random((25_000, 2)), rng.random((24_000, 2))
    tracemalloc.start()
    mean_distance(va_a[:1000], va_b)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    start = time.thread_time()  # seconds of this one core: another process may hold it for a while
    mean_distance(va_a, va_b)
    assert time.thread_time() - start < 2
    assert peak_bytes < 50e6
