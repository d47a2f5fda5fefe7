import time
import tracemalloc
from itertools import product

import numpy as np
import pytest

from mmvatool.summary.knapsack import solve


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


@pytest.mark.parametrize("capacity", [1, 500, 2000])
def test_equals_a_search_over_all_totals(capacity):
    """More items than brute force can: the best value of each total weight, by a dictionary."""
    random = np.random.default_rng(capacity)
    values, weights = random.random(120), random.integers(1, 90, 120)
    best = {0: 0.0}
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        for total, worth in list(best.items()):  # a copy: an item counts once
            if total + weight <= capacity:
                best[total + weight] = max(best.get(total + weight, 0.0), worth + value)
    chosen = solve(values, weights, capacity)
    assert weights[chosen].sum() <= capacity
    assert values[chosen].sum() == pytest.approx(max(best.values()), abs=1e-9)


def test_half_a_day_of_shots_in_seconds_and_little_memory():
    """12 hours at 30 frames a second: 5,400 shots, 15 % of 1,296,000 ticks."""
    random = np.random.default_rng(0)
    weights = random.integers(30, 450, 5400)
    values = random.uniform(0.3, 0.6, 5400) * weights / 30
    started = time.process_time()
    chosen = solve(values, weights, 194_400)
    assert time.process_time() - started < 4  # 1.9 s on a busy core
    assert weights[chosen].sum() <= 194_400
    # The fraction of a shot that the relaxed problem keeps bounds the exact one from above, its whole shots from below.
    by_density = np.argsort(-values / weights)
    whole = int((np.cumsum(weights[by_density]) <= 194_400).sum())
    least, most = values[by_density[:whole]].sum(), values[by_density[: whole + 1]].sum()
    assert least <= values[chosen].sum() <= most


def test_the_table_is_kept_as_bits():
    """A quarter of the items of half a day in a quarter of the memory: 35 MB, where bytes would take 262."""
    random = np.random.default_rng(1)
    weights = random.integers(100, 400, 1350)
    tracemalloc.start()
    try:
        solve(random.random(1350), weights, 194_400)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6  # 4 x that is 200 MB
