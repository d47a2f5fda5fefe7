"""Towers as ONNX models: files of their own for other programs, and graphs inside a checkpoint, for ONNX Runtime."""

import io
import json
import tempfile
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from trainer import checkpoint
from trainer.errors import TrainerError
from trainer.libraries import imports
from trainer.model import text_tokens
from trainer.model.mmva import MMVA
from trainer.stored import GRAPH, GRAPHS

TOLERANCE = 1e-3
"""How far VA may differ from torch's, and embeddings, as a part of the largest number in them."""
_OPSET = 18
_OUTPUTS = {
    "va": "float32 (N, 2): valence, arousal, each from 0 (unpleasant, calm) to 1 (pleasant, excited)",
    "embedding": "float32 (N, 512)",
    "unknown": "bool (N,): no word of the text is known, so its VA is meaningless",
}


@dataclass(frozen=True)
class _Given:
    """An input of a graph: an example (N, ...), which of its axes have any length, and what it is."""

    example: torch.Tensor
    axes: dict[int, str]
    meaning: str


class _Graph(nn.Module):
    """A tower, its head and its calibration, under the names that their tensors have in the model: what a graph computes."""

    def __init__(self, model: MMVA, modality: str, still: bool) -> None:
        super().__init__()
        self.towers = nn.ModuleDict({modality: model.tower(modality)})
        self.heads = nn.ModuleDict({modality: model.heads[modality]})
        self.calibrations = nn.ModuleDict({modality: model.calibrations[modality]} if modality in model.calibrations else {})
        self._modality, self._still = modality, still

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The inputs of `_inputs` to VA (N, 2), embeddings (N, 512) and, where the tower has a vocabulary, `unknown` (N,)."""
        tower: Any = self.towers[self._modality]
        if self._modality == "image" and hasattr(tower, "views"):
            embedding = tower.embed(tower.views(given[0]) if self._still else tower.preprocess(given[0]))
        elif self._modality == "image":
            embedding = tower.embed(tower.normalise(given[0].float() / 255))
        elif not hasattr(tower, "states"):
            embedding = tower.reduce(given[0])
        elif self._modality == "music":
            embedding = tower.reduce(tower.states(tower.normalise(given[0])))
        else:
            embedding = tower.reduce(tower.states(*given))
        va = self.heads[self._modality](embedding)
        va = self.calibrations[self._modality](va) if self._modality in self.calibrations else va
        return (va, embedding, tower.unknown(given[0])) if hasattr(tower, "unknown") else (va, embedding)


def attach_graphs(path: Path) -> None:
    """Write into a checkpoint the graphs of its compact towers, whose numbers are checked.

    Args:
        path: of the checkpoint, whose tensors stay as they are; graphs that it holds are replaced.

    Raises:
        CheckpointError: not a checkpoint.
        LibraryLoadError: onnx is not installed.
        TrainerError: ONNX Runtime gives other numbers than torch.
    """
    loaded = checkpoint.read(path)
    compact = [modality for modality, spec in loaded.towers.items() if spec.get("name") == "compact"]
    if not compact:
        return
    model = checkpoint.build(loaded, compact)
    names = set(model.state_dict())
    graphs, needed = {}, {}
    for modality in compact:
        for name in GRAPHS[modality]:
            proto = _traced(model, name)
            needed[name] = _leave_out(proto, names)
            graphs[GRAPH + name] = torch.frombuffer(bytearray(proto.SerializeToString()), dtype=torch.uint8)
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if not key.startswith(GRAPH)}  # noqa: SIM118 - not a dict
        metadata = dict(file.metadata())
    checkpoint.write(path, {**tensors, **graphs}, {**metadata, "graphs": json.dumps(needed)})


def export(
    model: str | Path, out: Path, towers: Collection[str] | None = None, form: str | None = None, *, overwrite: bool = False
) -> list[Path]:
    """Write towers of a checkpoint as ONNX files for other programs, which need nothing else.

    Args:
        model: "compact", or the path of a checkpoint.
        out: the file; where several are written, the name of each comes before the suffix: model.image.frames.onnx, model.music.onnx.
        towers: their modalities; None for all of the checkpoint's.
        form: of an image tower that sees stills otherwise: "frames" or "stills"; None for both.
        overwrite: replace files that exist.

    Returns:
        What was written.

    Raises:
        CheckpointError: no such model, not a checkpoint, or one without such a tower.
        WeightsError: a tower's pretrained weights are not available.
        LibraryLoadError: onnx is not installed.
        TrainerError: a file exists or cannot be written, its folder does not exist, or ONNX Runtime gives other numbers than torch.
    """
    if not out.parent.is_dir():
        raise TrainerError(f"{out}: no folder {out.parent}: make it first")
    loaded = checkpoint.read(model)
    built = checkpoint.build(loaded, towers)
    names = [
        name
        for modality in built.modalities
        for name in _graphs(built, modality)
        if form is None or not name.startswith("image.") or name.endswith(form)
    ]
    paths = [out if len(names) == 1 else out.with_name(f"{out.stem}.{name}{out.suffix}") for name in names]
    for path in paths if not overwrite else ():
        if path.exists():
            raise TrainerError(f"{path}: exists: give --overwrite, or another name")
    for name, path in zip(names, paths, strict=True):
        proto = _traced(built, name)
        given, modality = _inputs(built, name), name.partition(".")[0]
        about = {
            "model": loaded.name,
            "fingerprint": loaded.fingerprint,
            "tower": str(built.tower(modality).version),
            "graph": name,
            "inputs": json.dumps({key: one.meaning for key, one in given.items()}),
            "outputs": json.dumps({output.name: _OUTPUTS[output.name] for output in proto.graph.output}),
        }
        for key, value in about.items():
            proto.metadata_props.add(key=key, value=value)
        try:
            with tempfile.TemporaryDirectory(prefix=".mmvatool-", dir=path.parent, ignore_cleanup_errors=True) as folder:
                written = Path(folder) / "model.onnx"
                written.write_bytes(proto.SerializeToString())
                written.replace(path)
        except OSError as error:
            raise TrainerError(f"{path}: cannot be written ({error.strerror}); make room, or name another file") from error
    return paths


def _graphs(model: MMVA, modality: str) -> tuple[str, ...]:
    """The names of a tower's graphs."""
    return GRAPHS["image"] if hasattr(model.tower(modality), "views") else (modality,)


def _inputs(model: MMVA, name: str) -> dict[str, _Given]:
    """The inputs of a graph."""
    modality, _, form = name.partition(".")
    tower = model.tower(modality)
    draw = torch.Generator().manual_seed(0)
    if modality == "image":
        speck = torch.zeros(3, 8, 8, dtype=torch.uint8)
        side = (tower.views(speck) if form == "stills" else tower.preprocess(speck[None])).shape[-1]
        noise = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=draw)
        across, down = torch.linspace(0, 255, side).expand(side, side), torch.linspace(40, 200, side)[:, None].expand(side, side)
        drawn = torch.stack([across, down, 255 - across]).byte()
        shaded = torch.stack([down, (across * 0.3 + down * 0.5), torch.full((side, side), 90.0)]).byte()
        scale = "only scaled, whatever their shape" if hasattr(tower, "views") else json.dumps(tower.configuration)
        kind = {"frames": " (frames of a video)", "stills": " (photos)"}.get(form, "")
        meaning = f"uint8 (N, 3, {side}, {side}): RGB pictures{kind} of {side} x {side} pixels, {scale}; normalised in the graph"
        return {"image": _Given(torch.cat([noise, drawn[None], shaded[None]]), {0: "N"}, meaning)}
    if modality == "music":
        times_s = np.arange(2 * tower.sample_rate_hz) / tower.sample_rate_hz
        tone = (0.3 * np.sin(2 * np.pi * 220 * times_s) * np.exp(-3 * (times_s % 0.5))).astype(np.float32)
        hiss = np.random.default_rng(0).normal(0, 0.1, len(tone)).astype(np.float32)
        sound = f"mono sound at {tower.sample_rate_hz} Hz, .1 to {tower.window_s:g} s"
        if hasattr(tower, "states"):
            windows = torch.from_numpy(np.stack([tone, hiss, tone + hiss]))
            return {"sound": _Given(windows, {0: "N", 1: "samples"}, f"float32 (N, samples): {sound}, in [-1, 1]; normalised in the graph")}
        features = tower.preprocess([tone, hiss, tone + hiss])
        meaning = f"float32 (N, {features.shape[1]}): features of {sound} (trainer.model.music_features_numpy)"
        return {"features": _Given(features, {0: "N"}, meaning)}
    captions = ["a calm evening by the sea", "Stop! A furious, terrible fight over 100 dogs?", "joy", "..."]
    if hasattr(tower, "states"):
        rows = [row.tolist() for row in tower.preprocess(captions)]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [tower.padding] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        axes = {0: "N", 1: "T"}
        return {
            "ids": _Given(ids, axes, f"int64 (N, T): ids of the tokenizer's tokens, special ones included; {tower.padding} for padding"),
            "mask": _Given(mask, axes, "int64 (N, T): 1 for tokens, 0 for padding"),
        }
    tokens = torch.from_numpy(text_tokens.trimmed(text_tokens.numbers(captions)))
    return {"tokens": _Given(tokens, {0: "N", 1: "T"}, "int32 (N, T, 19): tokens as numbers (trainer.model.text_tokens); T at least 2")}


def _traced(model: MMVA, name: str) -> Any:
    """A graph with its weights, an onnx.ModelProto, whose numbers were checked against torch's."""
    with imports():
        import onnx
    modality, _, form = name.partition(".")
    module = _Graph(model, modality, form == "stills").eval()
    given = _inputs(model, name)
    inputs = tuple(one.example for one in given.values())
    with torch.inference_mode():
        expected = [value.numpy() for value in module(*inputs)]
    outputs = list(_OUTPUTS)[: len(expected)]
    data = io.BytesIO()
    with warnings.catch_warnings(), torch.enable_grad():  # with gradients a tower does not divide its batch
        warnings.simplefilter("ignore")  # about shapes that become constants, as they are meant to
        torch.onnx.export(
            module,
            inputs,
            data,  # type: ignore[arg-type]  # a buffer is what this exporter writes into
            dynamo=False,
            do_constant_folding=False,  # tensors keep their names
            opset_version=_OPSET,
            input_names=list(given),
            output_names=outputs,
            dynamic_axes={**{key: one.axes for key, one in given.items()}, **{key: {0: "N"} for key in outputs}},
        )
    proto = onnx.load_model_from_string(data.getvalue())
    for node in proto.graph.node:
        node.doc_string = ""  # where each was traced
    _check(name, proto.SerializeToString(), {key: one.example.numpy() for key, one in given.items()}, expected)
    return proto


def _check(name: str, data: bytes, given: Mapping[str, np.ndarray], expected: list[np.ndarray]) -> None:
    """Raise TrainerError unless ONNX Runtime computes what was expected, for all rows at once and for the last one alone."""
    with imports():
        import onnxruntime
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for rows in (slice(None), slice(-1, None)):
        results = session.run(None, {key: value[rows] for key, value in given.items()})
        for key, result, wanted in zip(_OUTPUTS, results, expected, strict=False):
            apart = np.abs(result.astype(np.float64) - wanted[rows]).max()
            if not apart <= TOLERANCE * (np.abs(wanted).max() if key == "embedding" else 1):
                raise TrainerError(f"{name}: {key} of the exported graph differs from torch's by {apart:.2g}: it was not written")


def _leave_out(proto: Any, names: Collection[str]) -> list[str]:
    """Leave the model's tensors out of a graph, which then refers to them by their names: those that it needs."""
    needed = []
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            needed.append(tensor.name)
            size = len(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = 1  # external
            # ONNX Runtime wants a place and a length though it is given the tensors themselves.
            for key, value in (("location", "tensors"), ("offset", "0"), ("length", str(size))):
                tensor.external_data.add(key=key, value=value)
    return needed
