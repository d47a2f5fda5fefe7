"""How many pictures, seconds of music and sentences the bundled model scores a second, decoding not counted.

    python -m benchmarks.score

Medians of five runs on drawn data, torch's threads as they are.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from trainer import Predictor

RUNS = 5


def rate(work: Callable[[], object], amount: float) -> float:
    """Amount a second, the median of the runs after one that warms up."""
    work()
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return amount / statistics.median(seconds)


def main() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (64, 270, 480, 3), np.uint8)
    sound = [rng.normal(0, 0.1, 240_000).astype(np.float32) for _ in range(32)]
    words = [
        "calm",
        "furious",
        "euphoric",
        "a",
        "the",
        "slow",
        "fast",
        "song",
        "with",
        "drums",
        "and",
        "piano",
        "in",
        "rain",
        "night",
        "bright",
        "dark",
    ]
    sentences = [" ".join(rng.choice(words, 12)) for _ in range(2048)]
    print(f"{torch.get_num_threads()} threads, {torch.__config__.parallel_info().splitlines()[0]}")
    for batch_size in (32, 256):
        print(f"\nbatch size {batch_size}")
        measure(Predictor.load("compact", device="cpu", batch_size=batch_size), frames, sound, sentences)


def measure(model: Predictor, frames: np.ndarray, sound: list[np.ndarray], sentences: list[str]) -> None:
    print(f"frames of a video, 480 x 270   {rate(lambda: model.image(frames), 64):8.0f} a second")
    print(f"photos, seven views            {rate(lambda: model.image(frames[:16], still=True), 16):8.1f} a second")
    print(f"music                          {rate(lambda: model.music(sound), 320):8.0f} seconds a second")
    print(f"sentences of 12 words          {rate(lambda: model.text(sentences), 2048):8.0f} a second")


if __name__ == "__main__":
    main()
