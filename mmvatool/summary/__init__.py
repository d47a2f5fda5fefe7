"""Which part of a video to keep: shots, selection, the exact knapsack."""
