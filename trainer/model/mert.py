"""The paper's music tower: MERT-v1-95M (Li et al. 2024) in transformers' HuBERT classes, no remote code.

MERT is published as `pytorch_model.bin` with a configuration of its own type; with `feature_extractor_cqt` false its
forward pass is HuBERT's. Every tensor must be loaded: a weight that stays randomly initialised is an error.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import HubertConfig, HubertModel

from trainer.errors import WeightsError
from trainer.model.pretrained import configuration, find_file, origin, read_tensors, refuse
from trainer.model.reduction import HiddenStateReduction, check_pool, pool_states
from trainer.model.towers import VERSIONS

HOW_TO_GET = "name a folder that holds config.json and pytorch_model.bin (or model.safetensors)"
# Settings of MERT that HuBERT lacks, with the only value under which the two forward passes are equal.
_HUBERT_LIKE = {"feature_extractor_cqt": False, "attention_relax": -1.0, "deepnorm": False}
# The audio that MERT-v1-95M was trained on and `preprocess` gives (MERT-v0: 16 kHz), by file; files and keys may be missing.
_AUDIO_SETTINGS = {"config.json": {"sample_rate": 24000}, "preprocessor_config.json": {"sampling_rate": 24000, "do_normalize": True}}
# Configuration keys that change the forward pass without changing names or shapes of tensors.
_CONFIGURATION = ("hidden_act", "feat_extract_activation", "layer_norm_eps", "do_stable_layer_norm", "num_attention_heads", "conv_stride")
# Names of torch's weight norm from before it became a parametrization.
_RENAMED = {"conv.weight_g": "conv.parametrizations.weight.original0", "conv.weight_v": "conv.parametrizations.weight.original1"}


class MertMusicTower(nn.Module):
    """Sound of up to 10 s to embeddings.

    Args:
        source: a hub name such as "m-a-p/MERT-v1-95M", or a folder.
        pool: "first" (the paper: the first position's vector of each hidden state) or "mean" over time.

    Raises:
        WeightsError: the weights are not available, do not fit the architecture exactly, or were trained on audio of another format.
    """

    sample_rate_hz = 24000
    window_s = 10.0
    version = VERSIONS["music", "mert"]
    published = True
    feature_dtype = torch.float16

    def __init__(self, source: str = "m-a-p/MERT-v1-95M", pool: str = "first") -> None:
        super().__init__()
        self._pool = check_pool(pool)
        self.backbone: nn.Module | None = _load(source)
        self.origin = origin(source)
        config = self.backbone.config
        self.configuration: dict[str, Any] = configuration(config, _CONFIGURATION)
        self.reduction = HiddenStateReduction(config.num_hidden_layers + 1, config.hidden_size)

    def preprocess(self, windows: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Normalise each window to zero mean and unit variance, as MERT was trained.

        Args:
            windows: float32 (n_i,) mono at 24 kHz, each in [-1, 1].

        Returns:
            The windows as float32 tensors (n_i,).
        """
        tensors = [torch.from_numpy(np.ascontiguousarray(window, np.float32)) for window in windows]
        return [self.normalise(x) for x in tensors]

    @staticmethod
    def normalise(windows: torch.Tensor) -> torch.Tensor:
        """Windows (..., n) with zero mean and unit variance."""
        return (windows - windows.mean(-1, keepdim=True)) / (windows.var(-1, correction=0, keepdim=True) + 1e-7).sqrt()

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone, with the arguments of `torch.compile`."""
        assert self.backbone is not None
        self.backbone.compile(*args, **options)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed windows to pooled hidden states (N, layers, width); windows are batched by length, without padding."""
        device = self.reduction.project.weight.device
        rows_of: dict[int, list[int]] = {}
        for row, window in enumerate(batch):
            rows_of.setdefault(len(window), []).append(row)
        parts = [self.states(torch.stack([batch[row] for row in rows]).to(device)) for rows in rows_of.values()]
        order = torch.tensor([row for rows in rows_of.values() for row in rows], device=device)
        return torch.cat(parts)[order.argsort()]

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, layers, width) to (N, 512)."""
        return self.reduction(features)

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed windows to (N, 512)."""
        return self.reduce(self.encode(batch))

    def states(self, waves: torch.Tensor) -> torch.Tensor:
        """Pooled hidden states (N, layers, width) of normalised windows of one length (N, n)."""
        assert self.backbone is not None
        return pool_states(self.backbone(waves, output_hidden_states=True).hidden_states, self._pool)


def _load(source: str) -> HubertModel:
    config_path = find_file(source, ("config.json",), HOW_TO_GET)
    settings = json.loads(config_path.read_text("utf-8"))
    for key, value in _HUBERT_LIKE.items():
        if settings.get(key, value) != value:
            raise WeightsError(f"{config_path}: {key} is {settings[key]!r}, HuBERT's classes run {value!r} only: use MERT-v1-95M")
    for name, expected in _AUDIO_SETTINGS.items():
        path = _optional(source, name)
        audio = json.loads(path.read_text("utf-8")) if path is not None else {}
        for key, value in expected.items():
            if audio.get(key, value) != value:
                raise WeightsError(f"{path}: {key} is {audio[key]!r}, this tower takes {value!r} only: use MERT-v1-95M")
    config = HubertConfig.from_dict(
        {key: value for key, value in settings.items() if key not in ("model_type", "auto_map", "architectures")}
    )
    # Random masking of time steps and layer drop are for training only.
    config.apply_spec_augment, config.layerdrop = False, 0.0
    weights_path = find_file(source, ("model.safetensors", "pytorch_model.bin"), HOW_TO_GET)
    model = HubertModel(config)
    _fill(model, read_tensors(weights_path), weights_path)
    return model.eval()


def _optional(source: str, name: str) -> Path | None:
    try:
        return find_file(source, (name,), HOW_TO_GET)
    except WeightsError:
        return None


def _fill(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    renamed = {}
    for key, tensor in tensors.items():
        for old, new in _RENAMED.items():
            key = key.removesuffix(old) + new if key.endswith(old) else key
        renamed[key] = tensor
    try:
        result = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:
        raise refuse(path, str(error), HOW_TO_GET) from error
    if result.missing_keys or result.unexpected_keys:
        raise refuse(
            path,
            f"{len(result.missing_keys)} tensors missing {result.missing_keys[:3]}, "
            f"{len(result.unexpected_keys)} left over {result.unexpected_keys[:3]}",
            HOW_TO_GET,
        )
