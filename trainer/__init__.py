"""The MMVA model: build it, train it, load it, predict valence and arousal with it. Knows nothing of the application."""

from typing import TYPE_CHECKING, Any

from trainer.errors import CheckpointError, DataError, DeviceError, LibraryLoadError, RecipeError, TrainerError, WeightsError

if TYPE_CHECKING:
    from trainer.predict import Predictor

__all__ = [
    "CheckpointError",
    "DataError",
    "DeviceError",
    "LibraryLoadError",
    "Predictor",
    "RecipeError",
    "TrainerError",
    "WeightsError",
]


def __getattr__(name: str) -> Any:
    # The errors, the recipes and the command line must not wait seconds for torch.
    if name == "Predictor":
        from trainer.libraries import imports

        with imports():
            from trainer.predict import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
