"""Which shots to keep: the exact 0/1 knapsack, by dynamic programming over the capacity. Pure."""

import numpy as np

SIDE_BY_SIDE = 1 << 16  # totals of knapsacks that are solved at once: as many as stay in a core's cache


def solve(values: np.ndarray, weights: np.ndarray, capacity: int) -> np.ndarray:
    """Choose items of the greatest total value whose total weight is within the capacity.

    Exact (to float rounding of the sums) in O(N x capacity) time. The table of decisions is kept as bits: 5,400 items
    and a capacity of 194,400 take 131 MB.

    Args:
        values: float (N,), each >= 0.
        weights: int (N,), each >= 1, in the unit of the capacity.
        capacity: total weight allowed, >= 0.

    Returns:
        bool (N,): which items are chosen.

    Raises:
        ValueError: lengths that differ, a negative or non-finite value, a weight under 1 or a negative capacity.
    """
    values, weights = np.asarray(values, np.float64), np.asarray(weights, np.int64)
    if values.shape != weights.shape or values.ndim != 1:
        raise ValueError(f"values {values.shape} and weights {weights.shape} must be of one length")
    if not (np.isfinite(values).all() and (values >= 0).all() and (weights >= 1).all() and capacity >= 0):
        raise ValueError("values must be finite and >= 0, weights >= 1, the capacity >= 0")
    capacity = min(capacity, int(weights.sum()))
    best, with_item, better = np.zeros(capacity + 1), np.empty(capacity + 1), np.empty(capacity + 1, dtype=bool)
    decisions = []
    for value, weight in zip(values, weights.tolist(), strict=True):
        better[:weight] = False
        if weight <= capacity:
            rest, raised = best[weight:], with_item[weight:]
            np.add(best[: capacity + 1 - weight], value, out=raised)
            np.greater(raised, rest, out=better[weight:])
            np.maximum(rest, raised, out=rest)
        decisions.append(np.packbits(better))
    chosen = np.zeros(len(values), dtype=bool)
    left = capacity
    for item in range(len(values) - 1, -1, -1):
        if decisions[item][left >> 3] >> (7 - (left & 7)) & 1:
            chosen[item] = True
            left -= int(weights[item])
    return chosen


def solve_many(values: np.ndarray, weights: np.ndarray, capacity: int) -> np.ndarray:
    """Solve knapsacks over the same items, each with values of its own: `solve` for each row, side by side.

    About twice as fast as one by one, for the capacities of short videos.

    Args:
        values: float (K, N), each >= 0.
        weights: int (N,), each >= 1, in the unit of the capacity.
        capacity: total weight allowed, >= 0.

    Returns:
        bool (K, N): which items are chosen.

    Raises:
        ValueError: lengths that differ, a negative or non-finite value, a weight under 1 or a negative capacity.
    """
    values, weights = np.asarray(values, np.float64), np.asarray(weights, np.int64)
    if values.ndim != 2 or values.shape[1:] != weights.shape:
        raise ValueError(f"values {values.shape} must have a column for each of the weights {weights.shape}")
    if not (np.isfinite(values).all() and (values >= 0).all() and (weights >= 1).all() and capacity >= 0):
        raise ValueError("values must be finite and >= 0, weights >= 1, the capacity >= 0")
    capacity = min(capacity, int(weights.sum()))
    rows = max(1, SIDE_BY_SIDE // (capacity + 1))
    if len(values) > rows:
        return np.concatenate([solve_many(values[row : row + rows], weights, capacity) for row in range(0, len(values), rows)])
    best = np.zeros((len(values), capacity + 1))
    decisions = []
    for item, weight in enumerate(weights):
        better = np.zeros(best.shape, dtype=bool)
        if weight <= capacity:
            with_item = best[:, : capacity + 1 - weight] + values[:, item, None]
            np.greater(with_item, best[:, weight:], out=better[:, weight:])
            np.maximum(with_item, best[:, weight:], out=best[:, weight:])
        decisions.append(np.packbits(better, axis=1))
    chosen = np.zeros(values.shape, dtype=bool)
    left, row = np.full(len(values), capacity), np.arange(len(values))
    for item in range(len(weights) - 1, -1, -1):
        chosen[:, item] = decisions[item][row, left >> 3] >> (7 - (left & 7)) & 1
        left = left - chosen[:, item] * weights[item]
    return chosen
