"""The paper's image tower: CLIP ViT-B/32 (Radford et al. 2021) through open_clip."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from trainer.errors import WeightsError
from trainer.libraries import first_line
from trainer.model.towers import VERSIONS

HOW_TO_GET = "name a folder that holds open_clip_config.json and open_clip_model.safetensors as the tower's source"
# "random" is for training: open_clip itself evaluates with bicubic.
_INTERPOLATIONS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR, "random": InterpolationMode.BICUBIC}
_RESIZE_MODES = ("shortest", "squash")


class ClipImageTower(nn.Module):
    """RGB pictures to CLIP's projected class-token embedding (512-d for ViT-B/32), run as the weights were trained.

    Activation and preprocessing are those that open_clip lists for the tag, or those of the folder's configuration: OpenAI's
    weights run with QuickGELU under either name, "ViT-B-32" or "ViT-B-32-quickgelu".

    Args:
        source: an open_clip model name such as "ViT-B-32", "hf-hub:OWNER/NAME", or a folder that holds `open_clip_config.json` and weights.
        pretrained: open_clip's tag of the weights, for a model name; folders and repositories have their own.

    Raises:
        WeightsError: the weights are neither in the folder nor in the hub's cache nor on the hub; the model has no such tag; its activation
            is not the one that the weights were trained with; or their preprocessing is not supported.
    """

    version = VERSIONS["image", "clip"]
    published = True
    feature_dtype = torch.float32

    def __init__(self, source: str = "ViT-B-32", pretrained: str = "openai") -> None:
        super().__init__()
        model, self.origin = _load(source, pretrained)
        config = _preprocessing(model, source)
        self.input_px: int = config["input_px"]
        self._mean, self._std = config["mean"], config["std"]
        self._interpolation, self._squash = _INTERPOLATIONS[config["interpolation"]], config["resize_mode"] == "squash"
        self.backbone: nn.Module | None = model.visual.eval()
        self.configuration: dict[str, Any] = {"activation": ", ".join(sorted(_activations(model.visual))), **config}

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        """The weights' own preprocessing; for OpenAI's: shorter side to the input size (bicubic), centre crop, normalise.

        Args:
            frames: (N, 3, H, W) uint8 RGB, any size.

        Returns:
            (N, 3, input_px, input_px) float32.
        """
        scaled = F.to_dtype(frames, torch.float32, scale=True)
        size = [self.input_px] * 2 if self._squash else [self.input_px]  # a single number is the length of the shorter side
        scaled = F.resize(scaled, size, interpolation=self._interpolation, antialias=True)
        return self.normalise(F.center_crop(scaled.clamp(0, 1), [self.input_px]))

    def normalise(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, input_px, input_px), float32 in [0, 1], as the weights take them."""
        return F.normalize(pictures, self._mean, self._std)

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the backbone, with the arguments of `torch.compile`."""
        assert self.backbone is not None
        self.backbone.compile(*args, **options)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures, N of (3, input_px, input_px), to (N, 512)."""
        assert self.backbone is not None
        pictures = batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))
        return self.backbone(pictures.to(next(self.backbone.parameters()).device))

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """CLIP's embedding unchanged: only the heads are trained on top of it."""
        return features

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Preprocessed pictures to (N, 512)."""
        return self.encode(batch)


def _load(source: str, pretrained: str) -> tuple[Any, dict[str, str]]:
    """The open_clip model, with the activation of its weights; and its name and tag, {} for a folder."""
    name, origin = f"local-dir:{source}" if Path(source).is_dir() else source, {}
    try:
        with _silence(), warnings.catch_warnings():
            warnings.filterwarnings("error", "QuickGELU mismatch", UserWarning)
            if name.startswith(("local-dir:", "hf-hub:")):
                model = open_clip.create_model(name, require_pretrained=True)
                asked = open_clip.get_model_config(name)
                if name.startswith("hf-hub:"):
                    origin = {"source": name}
            else:
                name = name.replace("/", "-")  # as open_clip reads it
                asked = open_clip.get_pretrained_cfg(name, pretrained)
                if not asked and name in open_clip.list_models():  # open_clip would accept a file, which has no record of its activation
                    tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
                    raise WeightsError(f"{pretrained!r} is no tag of {source!r}: allowed are {tags}; for other weights {HOW_TO_GET}")
                quick = bool(asked.get("quick_gelu"))
                model = open_clip.create_model(name, pretrained=pretrained, force_quick_gelu=quick, require_pretrained=True)
                origin = {"source": name, "pretrained": pretrained}
    except UserWarning as warning:
        reason = first_line(warning).rstrip(".")
        raise WeightsError(f"CLIP weights {pretrained!r} do not fit {source!r} ({reason}): use another tag, or {HOW_TO_GET}") from warning
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"CLIP weights for {source!r} could not be loaded ({first_line(error)}): connect to the model hub once, or {HOW_TO_GET}"
        ) from error
    # Check the modules themselves: timm's models have an activation of their own, and open_clip ignores QuickGELU for them without a warning.
    runs = _activations(model.visual)
    if asked.get("quick_gelu") and any(kind.startswith("GELU") for kind in runs):
        ran = ", ".join(sorted(runs))
        raise WeightsError(
            f"CLIP weights for {source!r} were trained with QuickGELU, open_clip runs the model with {ran}: use another model"
        )
    return model, origin


def _activations(module: nn.Module) -> set[str]:
    """The activation functions in a module: {"QuickGELU"}, {"GELU"}, {"GELU tanh"}."""
    parts = [part for part in module.modules() if "LU" in type(part).__name__]
    return {f"{type(part).__name__} {getattr(part, 'approximate', 'none')}".removesuffix(" none") for part in parts}


def _preprocessing(model: Any, source: str) -> dict[str, Any]:
    """input_px, mean, std, interpolation and resize_mode of a model; WeightsError for values that are not supported."""
    config = open_clip.get_model_preprocess_cfg(model)
    size = config["size"] if isinstance(config["size"], tuple | list) else (config["size"],)
    chosen = {key: config[key] for key in ("interpolation", "resize_mode")}
    if len(set(size)) > 1 or chosen["interpolation"] not in _INTERPOLATIONS or chosen["resize_mode"] not in _RESIZE_MODES:
        raise WeightsError(
            f"CLIP weights for {source!r} take pictures of {'x'.join(map(str, size))} pixels, {chosen['interpolation']}, {chosen['resize_mode']}: "
            f"only squares, {' or '.join(_INTERPOLATIONS)}, {' or '.join(_RESIZE_MODES)} are supported; use another model"
        )
    return {"input_px": size[0], "mean": list(config["mean"]), "std": list(config["std"]), **chosen}


@contextmanager
def _silence() -> Iterator[None]:
    """Silence logging: open_clip and the hub also log the errors that they raise."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
