from itertools import product

import numpy as np
import pytest

from mmvatool.knapsack import solve


def _brute_force(values: np.ndarray, weights: np.ndarray, capacity: int) -> float:
    choices = np.array(list(product([0, 1], repeat=len(values))))
    return float((choices @ values)[choices @ weights <= capacity].max())


@pytest.mark.parametrize("seed", range(200))
def test_equals_brute_force(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 11))
    values, weights = random.random(count), random.integers(1, 30, count)
    capacity = int(random.integers(0, weights.sum() + 5))
    chosen = solve(values, weights, capacity)
    assert chosen.dtype == bool
    assert weights[chosen].sum() <= capacity
    assert values[chosen].sum() == pytest.approx(_brute_force(values, weights, capacity), abs=1e-12)


def test_beats_greedy_by_density():
    # By density the first item goes in and shuts out the other two.
    values, weights = np.array([6.0, 5.0, 5.0]), np.array([5, 5, 5]) + np.array([0, 0, 0])
    assert solve(np.array([7.0, 5.0, 5.0]), np.array([6, 5, 5]), 10).tolist() == [False, True, True]
    assert solve(values, weights, 10).sum() == 2


def test_nothing_fits_and_nothing_there():
    assert solve(np.array([1.0, 2.0]), np.array([5, 6]), 4).tolist() == [False, False]
    assert solve(np.array([]), np.array([]), 10).shape == (0,)
    assert solve(np.array([1.0]), np.array([1]), 0).tolist() == [False]


def test_all_fits():
    assert solve(np.array([1.0, 2.0]), np.array([5, 6]), 10**9).all()


def test_capacity_that_is_not_a_multiple_of_eight_bits():
    for capacity in range(1, 40):
        assert solve(np.ones(40), np.ones(40, int), capacity).sum() == capacity


@pytest.mark.parametrize(
    ("values", "weights", "capacity"),
    [([1.0], [1, 2], 3), ([-1.0], [1], 3), ([np.nan], [1], 3), ([1.0], [0], 3), ([1.0], [1], -1), ([[1.0]], [[1]], 1)],
)
def test_refuses_nonsense(values, weights, capacity):
    with pytest.raises(ValueError, match="must be"):
        solve(np.array(values), np.array(weights), capacity)
