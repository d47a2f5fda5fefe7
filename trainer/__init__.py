"""The MMVA model: build it, load it, predict valence and arousal with it. Knows nothing of the application."""

from trainer.errors import CheckpointError, DeviceError, TrainerError, WeightsError
from trainer.predict import Predictor

__all__ = ["CheckpointError", "DeviceError", "Predictor", "TrainerError", "WeightsError"]
