"""Values that several modules share. No torch: recipes and the command line are checked before torch is imported."""

from collections.abc import Callable

MODALITIES = ("image", "music", "text")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bf16")
TRAIN_PRECISIONS = ("auto", *PRECISIONS)  # auto: bf16 on a GPU, else float32
SPLIT_BY = ("track", "clip", "all")
SILENCE_PEAK = 1e-4
"""Sound whose peak stays below this amplitude (-80 dBFS, three steps of 16-bit sound) is silent."""

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the work, how much of it is done, and the total."""
