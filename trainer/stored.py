"""Checkpoints: safetensors with JSON metadata, never a pickle. Read here without torch.

Metadata (all values are strings, as safetensors has it):
    format    "mmvatool.checkpoint/1"
    name      short name, shown with every result
    towers    JSON: modality -> {"name": tower, ...its settings}
    sigma     Eq. 1's sigma of the training split; without it distances are defined, matching scores are not
    backbones JSON: modality -> fingerprint of the pretrained weights that the heads were trained on
    order_scale JSON: modality -> two numbers, see `trainer.calibrate.order_scale`
    encoders  JSON: modality -> how its tower computed features: its version, and the relevant configuration of its weights
    graphs    JSON: name of a graph -> names of the tensors that it needs
    others    free JSON notes for readers: label scale, data, recipe, metrics, libraries, licences
Tensors are named as in `MMVA.state_dict()`. The backbone of a tower with published pretrained weights may be left out. A matrix
may be stored in 8 bits: int8 `NAME` with float16 `NAME.scale8`, one scale for each row.
A compact tower may be stored as computation graphs, too, which ONNX Runtime runs on the same tensors: `onnx.NAME`, uint8, is an ONNX model
whose weights are left out (`trainer.export`). Their names are image.frames, image.stills, music and text.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from trainer.constants import MODALITIES
from trainer.errors import CheckpointError
from trainer.model.towers import VERSIONS, TowerSpec

if TYPE_CHECKING:
    import torch

FORMAT = "mmvatool.checkpoint/1"
WEIGHTS_DIR = Path(__file__).parent / "weights"
BUNDLED = ("compact",)
SCALE = ".scale8"  # suffix of the name of the tensor with a matrix's row scales
GRAPH = "onnx."  # prefix of the names of graphs
GRAPHS = {"image": ("image.frames", "image.stills"), "music": ("music",), "text": ("text",)}  # of each modality


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: its name, the towers it needs, its tensors (none, where only the rest was read) and its notes."""

    path: Path
    name: str
    towers: dict[str, TowerSpec]
    tensors: "dict[str, torch.Tensor]"
    notes: dict[str, str]
    fingerprint: str = ""  # of the file's bytes and the versions of its towers: 16 hexadecimal digits of a SHA-256
    graphs: dict[str, list[str]] = field(default_factory=dict)  # names of the computation graphs in it -> of the tensors that each needs

    @property
    def card(self) -> str:
        """The model card beside a bundled checkpoint; for others the notes, one per line."""
        beside = self.path.with_suffix(".md")
        if self.path.parent == WEIGHTS_DIR and beside.is_file():
            return beside.read_text("utf-8")
        return "\n".join(f"{key}: {value}" for key, value in sorted(self.notes.items()))

    @property
    def sigma(self) -> float | None:
        """Eq. 1's sigma of the training split, or None: then matching scores are not defined.

        Raises:
            CheckpointError: the note is not a positive number.
        """
        if "sigma" not in self.notes:
            return None
        try:
            sigma = float(self.notes["sigma"])
        except ValueError:
            sigma = math.nan
        if not (math.isfinite(sigma) and sigma > 0):
            raise CheckpointError(f"{self.path}: its sigma is {self.notes['sigma']!r}, not a number above 0; get the checkpoint again")
        return sigma

    @property
    def order_scale(self) -> dict[str, tuple[float, float]]:
        """Modality -> how far apart two predictions of valence, of arousal, must be for their order to be believed; {} if not measured.

        Raises:
            CheckpointError: the note has another form.
        """
        note = read_note(self.path, self.notes, "order_scale", list)
        if not all(
            len(pair) == 2 and all(isinstance(value, int | float) and 0 < value < math.inf for value in pair) for pair in note.values()
        ):
            raise CheckpointError(f"{self.path}: its note 'order_scale' is {note!r}, not two numbers above 0: get the file again")
        return {modality: (float(pair[0]), float(pair[1])) for modality, pair in note.items()}

    def has_graphs(self, modalities: Collection[str]) -> bool:
        """Whether these modalities can be predicted by its graphs alone."""
        return all(name in self.graphs for modality in modalities for name in GRAPHS[modality])


def resolve(model: str | Path) -> Path:
    """The file of a model name ("compact") or a path.

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
    """Read a checkpoint by bundled name or path, without its tensors.

    Raises:
        CheckpointError: missing, not safetensors, truncated, or not one of this project's checkpoints.
    """
    path = resolve(model)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}: not a checkpoint of this version of mmvatool"
        )
    try:
        towers = json.loads(metadata["towers"])
        if not towers or not all(modality in MODALITIES and isinstance(spec, dict) for modality, spec in towers.items()):
            raise TypeError(towers)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata does not say which towers it needs ('towers'); get the checkpoint again") from error
    notes = {key: value for key, value in metadata.items() if key not in ("format", "name", "towers", "graphs")}
    digest.update(repr([VERSIONS.get((modality, spec.get("name"))) for modality, spec in sorted(towers.items())]).encode())
    return Checkpoint(
        path, metadata.get("name") or path.stem, towers, {}, notes, digest.hexdigest()[:16], read_note(path, metadata, "graphs", list)
    )


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Some of a checkpoint's tensors, floats as float32.

    Raises:
        CheckpointError: one is missing, or the file cannot be read.
    """
    arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            stored = set(file.keys())
            missing = [name for name in names if name not in stored]
            if missing:
                raise CheckpointError(
                    f"{path}: does not fit its towers: {len(missing)} tensors missing {missing[:3]}; get the checkpoint again"
                )
            for name in names:
                value = file.get_tensor(name)
                if name + SCALE in stored:
                    value = value.astype(np.float32) * file.get_tensor(name + SCALE).astype(np.float32)[:, None]
                arrays[name] = value.astype(np.float32) if np.issubdtype(value.dtype, np.floating) else value
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    return arrays


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """The error of a file that safetensors cannot read."""
    return CheckpointError(f"{path}: not a readable safetensors checkpoint ({error}): it may be truncated or a pickle; get it again")


def check_encoder(where: Path, modality: str, before: Mapping[str, Any], now: Mapping[str, Any], cure: str) -> None:
    """Check that a tower computes the features that it was trained with.

    Args:
        where: the file with the note `encoders`, for the message.
        modality: of the tower.
        before: its entry of the note.
        now: what the entry would be now.
        cure: what to do about it, for the message.

    Raises:
        CheckpointError: its version or configuration has changed.
    """
    for key in sorted(before, key=lambda key: (key != "version", key)):
        if before[key] != now.get(key):
            raise CheckpointError(
                f"{where}: its {modality} tower was trained with {key} {before[key]!r}, here it has {now.get(key)!r}: {cure}"
            )


def read_note(where: Path, notes: Mapping[str, str], key: str, kind: type) -> dict[str, Any]:
    """A JSON note, modality -> value of type `kind`; {} if it is missing.

    Raises:
        CheckpointError: the note has another form.
    """
    try:
        note = json.loads(notes.get(key, "{}"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{where}: its note {key!r} is not JSON ({error}): get the file again") from error
    if not isinstance(note, dict) or not all(isinstance(value, kind) for value in note.values()):
        raise CheckpointError(f"{where}: its note {key!r} is {note!r}, which is not of its form: get the file again")
    return note
