"""Several inputs: what becomes of each, and where it is done."""
