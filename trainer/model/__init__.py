"""The parts of MMVA: one file per tower, the heads, and the model that joins them."""
