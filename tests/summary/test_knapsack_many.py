import numpy as np
import pytest

from mmvatool.summary import knapsack
from mmvatool.summary.knapsack import solve, solve_many


@pytest.mark.parametrize("seed", range(30))
def test_every_row_is_solved_as_if_alone(seed, monkeypatch):
    random = np.random.default_rng(seed)
    count, rows = int(random.integers(1, 40)), int(random.integers(1, 9))
    # Few distinct values: ties must be broken alike, too.
    values, weights = random.integers(0, 4, (rows, count)) / 3, random.integers(1, 30, count)
    capacity = int(random.integers(0, weights.sum() + 5))
    alone = np.array([solve(row, weights, capacity) for row in values])
    assert (solve_many(values, weights, capacity) == alone).all()
    monkeypatch.setattr(knapsack, "SIDE_BY_SIDE", 2 * (capacity + 1))  # two rows at a time
    assert (solve_many(values, weights, capacity) == alone).all()


def test_nothing_there():
    assert solve_many(np.zeros((0, 3)), np.ones(3, int), 2).shape == (0, 3)
    assert solve_many(np.zeros((2, 0)), np.ones(0, int), 2).shape == (2, 0)
    assert not solve_many(np.ones((2, 1)), np.array([5]), 4).any()


@pytest.mark.parametrize(
    ("values", "weights", "capacity"),
    [([[1.0]], [1, 2], 3), ([1.0], [1], 3), ([[-1.0]], [1], 3), ([[np.nan]], [1], 3), ([[1.0]], [0], 3), ([[1.0]], [1], -1)],
)
def test_refuses_nonsense(values, weights, capacity):
    with pytest.raises(ValueError, match="must"):
        solve_many(np.array(values), np.array(weights), capacity)
