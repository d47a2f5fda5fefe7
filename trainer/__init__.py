"""The MMVA model: build it, load it, predict valence and arousal with it. Knows nothing of the application."""

from trainer.errors import CheckpointError, DataError, DeviceError, TrainerError, WeightsError
from trainer.predict import Predictor

__all__ = ["CheckpointError", "DataError", "DeviceError", "Predictor", "TrainerError", "WeightsError"]
