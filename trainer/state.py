"""The state that an interrupted training resumes from: `state.safetensors`, written atomically, no pickle.

Dropout's random numbers, pairs and learning rate depend on seed and step alone, so none of them is stored.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.optim import Optimizer

from trainer import checkpoint
from trainer.errors import CheckpointError
from trainer.model.mmva import MMVA

NAME = "state.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a training run is.

    Attributes:
        step: the next step, from 0.
        sums: sums of the losses of the epoch's steps so far: image, music, text, similarity.
        best: lowest validation loss; None before the first validation.
        best_epoch: the epoch that reached it, from 1.
    """

    step: int = 0
    sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    best: float | None = None
    best_epoch: int = 0


def save(
    path: Path,
    model: MMVA,
    optimizer: Optimizer,
    progress: Progress,
    recipe: str,
    data: str,
    backbones: Mapping[str, str],
    average: MMVA | None = None,
) -> None:
    """Write the state of a training run.

    Args:
        path: the file.
        model: stored without its frozen backbones, in full precision.
        optimizer: of the trained parameters.
        progress: how far the run is.
        recipe: `Recipe.to_json()`.
        data: the manifest's fingerprint.
        backbones: modality -> fingerprint of its frozen backbone.
        average: the moving average of the model's weights.
    """
    frozen = model.frozen_prefixes() or ("\0",)
    tensors = {f"model.{key}": value for key, value in model.state_dict().items() if not key.startswith(frozen)}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.named_parameters() if not name.startswith(frozen)}
    for name, parameter in _trained(model):
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
    notes = {"recipe": recipe, "data": data, "backbones": json.dumps(backbones), "encoders": json.dumps(model.encoders())}
    checkpoint.write(path, tensors, {"progress": json.dumps(asdict(progress)), **notes})


@dataclass(frozen=True)
class State:
    """A state as read; its notes include `backbones` and `encoders`, as a checkpoint's do."""

    path: Path
    progress: Progress
    recipe: str
    data: str
    notes: dict[str, str]
    tensors: dict[str, torch.Tensor]

    def restore(self, model: MMVA, optimizer: Optimizer, average: MMVA | None = None) -> None:
        """Load the state into model, optimizer and moving average.

        Raises:
            CheckpointError: the state belongs to another model.
        """
        own = {key.removeprefix("model."): value for key, value in self.tensors.items() if key.startswith("model.")}
        frozen = model.frozen_prefixes() or ("\0",)
        try:
            result = model.load_state_dict(own, strict=False)
        except RuntimeError as error:
            raise CheckpointError(f"{self.path}: is of another model ({error}): start a new run") from error
        if result.unexpected_keys or any(not key.startswith(frozen) for key in result.missing_keys):
            raise CheckpointError(f"{self.path}: is of another model: start a new run with another --out")
        if average is not None:
            average.load_state_dict(model.state_dict())
            averaged = {key.removeprefix("average."): value for key, value in self.tensors.items() if key.startswith("average.")}
            average.load_state_dict(averaged, strict=False)
        for name, parameter in _trained(model):
            prefix = f"optimizer.{name}."
            values = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
            if values:
                optimizer.state[parameter] = {
                    key: value.clone() if key == "step" else value.clone().to(parameter.device) for key, value in values.items()
                }


def load(path: Path) -> State:
    """Read a state.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: holds no {NAME}: there is nothing to resume; start the run without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - not a dict
        kept = json.loads(metadata["progress"])
        progress = Progress(kept["step"], tuple(kept["sums"]), kept["best"], kept["best_epoch"])
        return State(path, progress, metadata["recipe"], metadata["data"], metadata, tensors)
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a readable training state ({error}): delete the run's folder and start again") from error


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
