"""The same numbers on every machine: rounding differs with the processor and the number of threads, and must not move a prediction.

What another machine does to a feature is done here by noise of 1e-6 of full scale, below the last bit of any recording.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from tests.helpers import media
from trainer import Predictor, stored
from trainer.engines.torch_engine import TorchEngine
from trainer.model import compact_image

RATE_HZ = 24_000
NOISE = 1e-6
SEEDS = range(20)
MOST = 0.002  # of valence and arousal
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ  # the tower repeats it to 10 s


def tone(*hz: float) -> np.ndarray:
    return sum((0.15 * np.sin(2 * np.pi * frequency * TIME_S) for frequency in hz), np.zeros(len(TIME_S)))


def click() -> np.ndarray:
    sound = np.zeros(len(TIME_S))
    sound[RATE_HZ : RATE_HZ + 120] = 0.9
    return sound


def faint_between() -> np.ndarray:
    """A chord, the same 60 dB below, and the chord again: on the threshold between what counts and what does not."""
    return tone(220, 277.18, 329.63) * np.where(np.abs(TIME_S - 1) > 0.5, 1, 1e-3)


def music() -> np.ndarray:
    """Four chords, plucked, with drums."""
    roots = np.array([220.0, 174.61, 130.81, 196.0])[(2 * TIME_S).astype(int) % 4]
    plucked = sum(np.sin(2 * np.pi * np.cumsum(roots * ratio) / RATE_HZ) for ratio in (1, 1.26, 1.5, 2)) * np.exp(-3 * (TIME_S % 0.5))
    drums = np.random.default_rng(0).standard_normal(len(TIME_S)) * np.exp(-30 * (TIME_S % 0.25))
    return 0.1 * plucked + 0.1 * drums


def low_tone() -> np.ndarray:
    """One register is filled, the others hold nothing but rounding."""
    return tone(65.41)


SOUNDS: dict[str, Callable[[], np.ndarray]] = {
    "tone": lambda: tone(440),
    "chord": lambda: tone(261.63, 329.63, 392),
    "click": click,
    "faint between": faint_between,
    "low tone": low_tone,
    "square": lambda: 0.3 * np.sign(tone(440) + 1e-9),
    "noise": lambda: 0.1 * np.random.default_rng(1).standard_normal(len(TIME_S)),
    "music": music,
    "music that fades": lambda: music() * np.linspace(1, 0, len(TIME_S)) ** 4,
}
SIZE = (160, 90)
GRADIENT = np.linspace(0, 255, SIZE[0]).astype(np.uint8)
PICTURES: dict[str, np.ndarray] = {
    "grey": np.full((*SIZE[::-1], 3), 128, np.uint8),
    "black": np.zeros((*SIZE[::-1], 3), np.uint8),
    "white": np.full((*SIZE[::-1], 3), 255, np.uint8),
    "gradient": np.repeat(np.repeat(GRADIENT[None, :, None], SIZE[1], 0), 3, 2),
    **{name: draw(SIZE, 0.0) for name, draw in media.SCENES.items()},
}


@pytest.fixture(scope="module")
def with_torch() -> Predictor:
    return Predictor(TorchEngine("compact"), stored.read("compact"))


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SOUNDS)
def test_rounding_moves_no_sound(predictor: Predictor, with_torch: Predictor, threads: Callable[[int], None], name: str) -> None:
    clean = SOUNDS[name]()
    noisy = [clean + NOISE * np.random.default_rng(seed).standard_normal(len(clean)) for seed in SEEDS]
    windows = [sound.astype(np.float32) for sound in (clean, *noisy)]
    threads(1)
    predicted = [predictor.music(windows), with_torch.music(windows[:1])]
    threads(2)
    predicted.append(with_torch.music(windows))
    assert np.ptp(np.concatenate(predicted), axis=0).max() < MOST


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("name", PICTURES)
def test_rounding_moves_no_picture(
    predictor: Predictor, with_torch: Predictor, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, name: str, still: bool
) -> None:
    """The noise is added to what the tower is given: bytes know nothing that small."""
    kind = compact_image.CompactImageTower
    preprocess, views = kind.preprocess, kind.views
    noise = torch.Generator().manual_seed(0)

    def noisy(clean: torch.Tensor) -> torch.Tensor:
        return clean + NOISE * 255 / 128 * torch.randn(clean.shape, generator=noise)

    threads(1)
    predicted = [engine.image([PICTURES[name]], still=still) for engine in (predictor, with_torch)]
    threads(2)
    predicted.append(with_torch.image([PICTURES[name]], still=still))
    if still:
        monkeypatch.setattr(kind, "views", lambda tower, frame: noisy(views(tower, frame)))
    else:
        monkeypatch.setattr(kind, "preprocess", lambda tower, frames: noisy(preprocess(tower, frames)))
    seeds = SEEDS if not still else SEEDS[:5]  # two views and two networks each
    va, vectors = with_torch.image([PICTURES[name] for _ in seeds], still=still, embeddings=True)
    assert np.ptp(vectors, axis=0).max() > 0  # the noise is there
    assert np.ptp(np.concatenate([*predicted, va]), axis=0).max() < MOST


def test_every_kind_of_processor_squeezes_a_picture_to_the_same_bytes() -> None:
    """torchvision takes floats where a processor has no AVX2, which moved VA by up to .003."""
    code = (
        "import torch; from trainer.model.compact_image import CompactImageTower as Tower;"
        "picture = torch.randint(0, 256, (3, 90, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8);"
        "views = Tower().views(torch.nn.functional.interpolate(picture[None], (360, 640))[0]);"
        "print(torch.backends.cpu.get_cpu_capability(), views.sum(dtype=torch.float64).item(), views.double().square().sum().item())"
    )
    kinds = set()
    sums = set()
    for kind in (None, "default"):
        environment = {**os.environ, **({"ATEN_CPU_CAPABILITY": kind} if kind else {})}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        capability, *values = done.stdout.split()
        kinds.add(capability)
        sums.add(tuple(round(float(value), 3) for value in values))
    assert "DEFAULT" in kinds
    assert len(sums) == 1
