"""The MMVA model: build it, load it, predict valence and arousal with it. Knows nothing of the application."""

from typing import Any

from trainer.errors import CheckpointError, DeviceError, TrainerError, WeightsError

__all__ = ["CheckpointError", "DeviceError", "Predictor", "TrainerError", "WeightsError"]


def __getattr__(name: str) -> Any:
    """`Predictor`, imported when first used: it brings torch, which errors and --help must not wait for."""
    if name == "Predictor":
        from trainer.predict import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
