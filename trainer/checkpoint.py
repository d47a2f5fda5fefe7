"""Checkpoints with torch: the model that one describes is built and saved. `trainer.stored` says how the file is laid out."""

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainer import stored
from trainer.constants import MODALITIES
from trainer.errors import CheckpointError
from trainer.model.calibration import Calibration
from trainer.model.mmva import MMVA
from trainer.model.pretrained import fingerprint
from trainer.model.towers import TowerSpec, check_modalities
from trainer.stored import BUNDLED, FORMAT, GRAPH, SCALE, WEIGHTS_DIR, Checkpoint, check_encoder, read_note, resolve

__all__ = [
    "BUNDLED",
    "FORMAT",
    "WEIGHTS_DIR",
    "Checkpoint",
    "build",
    "check_encoders",
    "read",
    "read_note",
    "resolve",
    "save",
    "shrink",
    "start_backbone",
    "write",
]


def read(model: str | Path) -> Checkpoint:
    """Read a checkpoint by bundled name or path, with its tensors but without its graphs, which belong to the tensors as they are.

    Raises:
        CheckpointError: missing, not safetensors, truncated, or not one of this project's checkpoints.
    """
    loaded = stored.read(model)
    try:
        with safe_open(loaded.path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if not key.startswith(GRAPH)}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise stored.unreadable(loaded.path, error) from error
    for key in [key for key in tensors if key.endswith(SCALE)]:
        matrix = key.removesuffix(SCALE)
        tensors[matrix] = tensors[matrix].float() * tensors.pop(key).float()[:, None]
    return replace(loaded, tensors=tensors)


def build(checkpoint: Checkpoint, modalities: Collection[str] | None = None, sources: Mapping[str, str] | None = None) -> MMVA:
    """Build the model of a checkpoint with its weights loaded, float32, in eval mode.

    Args:
        checkpoint: as read.
        modalities: which towers to build; None for all. The similarity head is built if all three are.
        sources: modality -> folder or hub name of a tower's pretrained weights, instead of their location in training.

    Raises:
        CheckpointError: a tower that it does not have; tensors missing, left over or of the wrong shape; pretrained weights, or a
            configuration of them, other than in training.
        WeightsError: a tower's own pretrained weights are not available.
    """
    wanted = tuple(checkpoint.towers) if modalities is None else tuple(modalities)
    check_modalities(checkpoint.towers, wanted, str(checkpoint.path))
    towers = {modality: dict(checkpoint.towers[modality]) for modality in wanted}
    for modality, source in (sources or {}).items():
        if modality in towers and "source" in towers[modality]:
            towers[modality]["source"] = source
    similarity = set(wanted) == set(MODALITIES) and any(key.startswith("similarity.") for key in checkpoint.tensors)
    model = MMVA(towers, similarity=similarity)
    for modality in wanted:
        if f"calibrations.{modality}.given" in checkpoint.tensors:
            model.calibrations[modality] = Calibration()
    others = tuple(
        f"{part}.{modality}." for part in ("towers", "heads", "calibrations") for modality in checkpoint.towers if modality not in wanted
    )
    tensors = {
        key: value.float() if value.is_floating_point() else value
        for key, value in checkpoint.tensors.items()
        if not key.startswith(others) and (similarity or not key.startswith("similarity."))
    }
    # A frozen published backbone has loaded its own weights; the checkpoint then stores only what was trained on top of it.
    own = tuple(prefix for prefix in model.frozen_prefixes() if not any(key.startswith(prefix) for key in tensors))
    _load_exactly(checkpoint, model, tensors, own)
    _check_backbones(checkpoint, model, own, {modality: spec.get("source") for modality, spec in towers.items()})
    check_encoders(
        checkpoint.path, checkpoint.notes, model, "give it the weights with the configuration that it was trained on, or train it again"
    )
    return model.eval()


def _load_exactly(checkpoint: Checkpoint, model: MMVA, tensors: Mapping[str, torch.Tensor], own: tuple[str, ...]) -> None:
    """Load the tensors; only those whose names begin with one of `own` may be missing, and none may be left over."""
    try:
        result = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.path}: its tensors do not fit its towers: {error}") from error
    missing = [key for key in result.missing_keys if not key.startswith(own or ("\0",)) and not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        raise CheckpointError(
            f"{checkpoint.path}: does not fit its towers: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(result.unexpected_keys)} left over {result.unexpected_keys[:3]}; get the checkpoint again"
        )


def _check_backbones(checkpoint: Checkpoint, model: MMVA, own: tuple[str, ...], sources: Mapping[str, object]) -> None:
    """Raise CheckpointError if a backbone that the checkpoint leaves out has other weights than in training."""
    trained_on = read_note(checkpoint.path, checkpoint.notes, "backbones", str)
    for modality in model.frozen_modalities():
        left_out = f"towers.{modality}.backbone." in own and modality in trained_on
        if left_out and trained_on[modality] != fingerprint(model.tower(modality).backbone):
            raise CheckpointError(
                f"{checkpoint.path}: was trained on other weights of its {modality} tower than {sources[modality]!r} holds: "
                "give it the weights it was trained on"
            )


def check_encoders(where: Path, notes: Mapping[str, str], model: MMVA, cure: str) -> None:
    """Check that a model's towers compute the features recorded in the note `encoders`.

    Equal weights are not enough: the activation, for example, is not among the tensors.

    Args:
        where: the file with the notes, for the message.
        notes: its metadata.
        model: the model to check.
        cure: what to do about it, for the message.

    Raises:
        CheckpointError: a tower's version or configuration has changed.
    """
    noted = read_note(where, notes, "encoders", dict)
    for modality, now in model.encoders().items():
        if modality in noted:
            before = noted[modality]
        elif hasattr(model.tower(modality), "configuration"):  # older than the note: all towers had their first version
            before = {"version": now["version"].split("/")[0] + "/1"}
        else:
            continue
        check_encoder(where, modality, before, now, cure)


def start_backbone(model: MMVA, modality: str, source: str | Path) -> None:
    """Load the backbone of a checkpoint's tower of the same kind into a tower, and nothing on top of it.

    Args:
        model: the model to be trained.
        modality: of the tower.
        source: name of a bundled checkpoint, or the path of one.

    Raises:
        CheckpointError: no such checkpoint, or its tower has no backbone that fits.
    """
    loaded = read(source)
    check_modalities(loaded.towers, (modality,), str(loaded.path))
    prefix = f"towers.{modality}.backbone."
    tensors = {key.removeprefix(prefix): value.float() for key, value in loaded.tensors.items() if key.startswith(prefix)}
    try:
        result = model.tower(modality).backbone.load_state_dict(tensors, strict=False)
        missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
        if missing or result.unexpected_keys:
            raise RuntimeError(f"{len(missing)} tensors missing, {len(result.unexpected_keys)} left over")
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{loaded.path}: its {modality} tower {loaded.towers[modality].get('name')!r} has no backbone that fits: start from another"
        ) from error


def save(
    path: Path,
    model: MMVA,
    name: str,
    towers: Mapping[str, TowerSpec],
    notes: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a checkpoint under a temporary name and rename it; frozen backbones are left out.

    Args:
        path: the target; its folder must exist.
        model: whose `state_dict()` is written.
        name: short name, shown with every result.
        towers: modality -> {"name": tower, ...its settings}.
        notes: further metadata for readers; the note `encoders` is added to it.
        dtype: of the floats in the file; None keeps the model's own.
    """
    frozen = model.frozen_prefixes() or ("\0",)
    tensors = {
        key: value.to(dtype) if dtype is not None and value.is_floating_point() else value
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked") and not key.startswith(frozen)
    }
    encoders = json.dumps(model.encoders())
    write(path, tensors, {**(notes or {}), "encoders": encoders, "format": FORMAT, "name": name, "towers": json.dumps(towers)})


def shrink(path: Path, out: Path) -> None:
    """Copy a checkpoint with its large matrices in 8 bits with a scale per row; matrices with short rows stay in 16 bits.

    The rounding is 0.4 % of a row's largest number; on the bundled model it moved no prediction by more than 0.0013.

    Raises:
        CheckpointError: as `read`.
    """
    loaded = read(path)
    small: dict[str, torch.Tensor] = {}
    for key, value in loaded.tensors.items():
        if value.is_floating_point() and value.ndim == 2 and value.shape[1] >= 24 and value.numel() >= 1 << 14:
            scale = (value.float().abs().amax(1) / 127).clamp_min(1e-7).half()
            small[key] = (value.float() / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
            small[key + SCALE] = scale
        else:
            small[key] = value.half() if value.is_floating_point() else value
    write(out, small, {**loaded.notes, "format": FORMAT, "name": loaded.name, "towers": json.dumps(loaded.towers)})


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name and rename it, so that `path` is never partial."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".mmvatool-", suffix=".safetensors")
    os.close(handle)
    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary, metadata=dict(metadata))
        with suppress(OSError):  # network mounts have no permissions to set
            Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep other users out
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
