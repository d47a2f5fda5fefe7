"""Several inputs: tasks, the engines that run them, and their outcomes."""
