"""The MMVA model: build it, train it, load it, predict valence and arousal with it. Independent of the application.

The names here are the public interface: the application uses nothing else of this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainer.errors import CheckpointError, DataError, DeviceError, LibraryLoadError, MmvatoolError, RecipeError, TrainerError, WeightsError

if TYPE_CHECKING:
    from trainer.affect import matching_score, score_of_distance, share_below
    from trainer.commands.dataset import dataset as dataset_command
    from trainer.commands.evaluate import evaluate as evaluate_command
    from trainer.commands.export import export as export_command
    from trainer.commands.train import train as train_command
    from trainer.data.files import open_picture, read_picture
    from trainer.data.formats import is_playlist, libav_options
    from trainer.devices import pick_device
    from trainer.evaluation.paper import summary_rows
    from trainer.libraries import explain as explain_import
    from trainer.libraries import first_line
    from trainer.machine import usable_cpus
    from trainer.model.pretrained import quiet_transformers
    from trainer.model.towers import check_modalities
    from trainer.predict import Predictor
    from trainer.problems import first_problem
    from trainer.stored import read as read_checkpoint

# Imported on first use: the errors, the recipes and the command line must not wait seconds for torch.
_PUBLIC = {
    "Predictor": "trainer.predict:Predictor",
    "check_modalities": "trainer.model.towers:check_modalities",
    "dataset_command": "trainer.commands.dataset:dataset",
    "evaluate_command": "trainer.commands.evaluate:evaluate",
    "export_command": "trainer.commands.export:export",
    "explain_import": "trainer.libraries:explain",
    "first_line": "trainer.libraries:first_line",
    "first_problem": "trainer.problems:first_problem",
    "is_playlist": "trainer.data.formats:is_playlist",
    "libav_options": "trainer.data.formats:libav_options",
    "matching_score": "trainer.affect:matching_score",
    "open_picture": "trainer.data.files:open_picture",
    "pick_device": "trainer.devices:pick_device",
    "quiet_transformers": "trainer.model.pretrained:quiet_transformers",
    "read_checkpoint": "trainer.stored:read",
    "read_picture": "trainer.data.files:read_picture",
    "score_of_distance": "trainer.affect:score_of_distance",
    "share_below": "trainer.affect:share_below",
    "train_command": "trainer.commands.train:train",
    "summary_rows": "trainer.evaluation.paper:summary_rows",
    "usable_cpus": "trainer.machine:usable_cpus",
}

__all__ = [
    "CheckpointError",
    "DataError",
    "DeviceError",
    "LibraryLoadError",
    "MmvatoolError",
    "Predictor",
    "RecipeError",
    "TrainerError",
    "WeightsError",
    "check_modalities",
    "dataset_command",
    "evaluate_command",
    "explain_import",
    "export_command",
    "first_line",
    "first_problem",
    "is_playlist",
    "libav_options",
    "matching_score",
    "open_picture",
    "pick_device",
    "quiet_transformers",
    "read_checkpoint",
    "read_picture",
    "score_of_distance",
    "share_below",
    "summary_rows",
    "train_command",
    "usable_cpus",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.libraries import imports

    module, _, attribute = _PUBLIC[name].partition(":")
    with imports():
        return getattr(import_module(module), attribute)
