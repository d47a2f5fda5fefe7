"""How many pictures, seconds of music and sentences the bundled model scores a second, decoding not counted.

    python -m benchmarks.score

By ONNX Runtime and by torch in turn: medians of five runs on drawn data, on all CPUs of this process, and on one thread the
processor time of each input.
"""

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line sets it, before numpy is imported

import numpy as np

from trainer import Predictor, stored, usable_cpus
from trainer.engines.torch_engine import TorchEngine

RUNS = 5
WORDS = [
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


def main() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (64, 270, 480, 3), np.uint8)
    sound = [rng.normal(0, 0.1, 240_000).astype(np.float32) for _ in range(32)]
    sentences = [" ".join(rng.choice(WORDS, 12)) for _ in range(2048)]
    works: list[tuple[str, float, Callable[[Predictor], object]]] = [
        ("frames of a video, 480 x 270", 64, lambda model: model.image(frames)),
        ("photos, 480 x 270", 16, lambda model: model.image(frames[:16], still=True)),
        ("seconds of music", 320, lambda model: model.music(sound)),
        ("sentences of 12 words", 2048, lambda model: model.text(sentences)),
    ]
    for threads in sorted({usable_cpus(), 1}, reverse=True):
        engines = [
            Predictor.load(device="cpu", threads=threads),
            Predictor(TorchEngine("compact", threads=threads), stored.read("compact")),
        ]
        print(f"\n{threads} threads: ONNX Runtime and torch, a second; processor time of each in ms")
        for name, amount, work in works:
            (ours, our_cpu), (theirs, their_cpu) = measure(work, engines)
            rates = f"{amount / ours:9.0f} {amount / theirs:9.0f}   x {theirs / ours:4.2f}"
            print(f"{name:30}{rates}   {1000 * our_cpu / amount:9.3f} {1000 * their_cpu / amount:9.3f}")


def measure(work: Callable[[Predictor], object], engines: list[Predictor]) -> list[tuple[float, float]]:
    """Seconds and processor seconds by each engine, in turn: medians of the runs after one that warms up."""
    seconds: list[list[tuple[float, float]]] = [[] for _ in engines]
    for run in range(RUNS + 1):
        for engine, measured in zip(engines, seconds, strict=True):
            started, started_cpu = time.perf_counter(), time.process_time()
            work(engine)
            if run:
                measured.append((time.perf_counter() - started, time.process_time() - started_cpu))
    return [(statistics.median(wall for wall, _ in one), statistics.median(cpu for _, cpu in one)) for one in seconds]


if __name__ == "__main__":
    main()
