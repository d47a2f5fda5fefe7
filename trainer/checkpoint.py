"""Checkpoints: safetensors with JSON metadata, never a pickle.

Metadata (all values are strings, as safetensors has it):
    format    "mmvatool.checkpoint/1"
    name      short name, shown with every result
    towers    JSON: modality -> {"name": tower, ...its settings}
    others    free JSON notes for readers: label scale, data, recipe, metrics, licences
Tensors are named as in `MMVA.state_dict()`. A tower that brings its own pretrained weights may be left out.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from trainer.errors import CheckpointError
from trainer.model.mmva import MMVA

FORMAT = "mmvatool.checkpoint/1"
WEIGHTS_DIR = Path(__file__).parent / "weights"
BUNDLED = ("compact",)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: its name, which towers it needs, its tensors and its notes."""

    path: Path
    name: str
    towers: dict[str, dict[str, str]]
    tensors: dict[str, torch.Tensor]
    notes: dict[str, str]


def resolve(model: str | Path) -> Path:
    """The file behind a model name ("compact") or a path.

    Raises:
        CheckpointError: neither a bundled model nor a file.
    """
    if str(model) in BUNDLED:
        return WEIGHTS_DIR / f"{model}.safetensors"
    path = Path(model)
    if not path.is_file():
        raise CheckpointError(f"no model {str(model)!r}: give {' or '.join(BUNDLED)}, or the path of a .safetensors checkpoint")
    return path


def read(model: str | Path) -> Checkpoint:
    """Read a checkpoint by bundled name or path.

    Raises:
        CheckpointError: not there, not safetensors, truncated, or not one of this project's checkpoints.
    """
    path = resolve(model)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors checkpoint ({error}): it may be truncated or a pickle; get it again"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}: not a checkpoint of this version of mmvatool"
        )
    try:
        towers = json.loads(metadata["towers"])
        if "image" not in towers:
            raise CheckpointError(f"{path}: names no image tower, only {sorted(towers)}: use a checkpoint that was trained on images")
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata does not say which towers it needs ('towers'); get the checkpoint again") from error
    notes = {key: value for key, value in metadata.items() if key not in ("format", "name", "towers")}
    return Checkpoint(path, metadata.get("name") or path.stem, towers, tensors, notes)


def build(checkpoint: Checkpoint) -> MMVA:
    """The model of a checkpoint, weights loaded, float32, in eval mode.

    Raises:
        CheckpointError: tensors missing, left over or of the wrong shape.
        WeightsError: a tower's own pretrained weights are not to be had.
    """
    model = MMVA(checkpoint.towers["image"])
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in checkpoint.tensors.items()}
    # A frozen tower (CLIP) loads its own weights; its checkpoint then holds the heads alone.
    own = {key for key in model.state_dict() if key.startswith("towers.") and checkpoint.towers["image"]["name"] != "compact"}
    try:
        result = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.path}: its tensors do not fit its towers: {error}") from error
    missing = [key for key in result.missing_keys if key not in own and not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        raise CheckpointError(
            f"{checkpoint.path}: does not fit its towers: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(result.unexpected_keys)} left over {result.unexpected_keys[:3]}; get the checkpoint again"
        )
    return model.eval()


def save(path: Path, model: nn.Module, name: str, towers: Mapping[str, Mapping[str, str]], notes: Mapping[str, str] | None = None) -> None:
    """Write a checkpoint under a temporary name and rename it; tensors keep their dtype.

    Args:
        path: the target; its folder must exist.
        model: whose `state_dict()` is written.
        name: short name, shown with every result.
        towers: modality -> {"name": tower, ...its settings}.
        notes: further metadata for readers.
    """
    tensors = {key: value.contiguous() for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    metadata = {**(notes or {}), "format": FORMAT, "name": name, "towers": json.dumps(towers)}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".mmvatool-", suffix=".safetensors")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=metadata)
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep other users out
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
