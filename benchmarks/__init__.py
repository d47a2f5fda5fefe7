"""Measurements of speed and memory, for people who work on it: see speed.py."""

import os

# As the console script does, before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
