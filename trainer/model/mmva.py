"""MMVA (Choi, Kim & Kang 2025): a tower and a VA head for each modality, and a similarity head over all three."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from trainer.constants import MODALITIES
from trainer.errors import CheckpointError
from trainer.libraries import imports
from trainer.model.heads import DROPOUT, EMBEDDING_DIM, similarity_head, va_head
from trainer.model.towers import VERSIONS, TowerSpec


class Tower(Protocol):
    """The interface of towers: `embed` is `reduce(encode(...))`, and the features that `encode` gives can be cached."""

    backbone: nn.Module | None  # the pretrained part, frozen unless fine-tuned; None: all of the tower is trained
    published: bool  # whether the backbone's weights are published elsewhere, so that checkpoints omit them while it is frozen
    version: str  # its entry of `trainer.model.towers.VERSIONS`
    feature_dtype: torch.dtype  # of features in the cache

    # A published tower also has `configuration`, a JSON table of what its weights' configuration changes in `preprocess` and `encode`
    # (activation, preprocessing) without changing a tensor; and `origin`, the hub names of the weights by setting, {} for a folder.
    # Optional methods: `fit(features, va, weights)`, called once before training with all of the training split; `views(frame)`,
    # several views (V, ...) of a still picture, which `encode` takes instead of one; `unknown(features)`; and for prediction only
    # `fold()`, after which the tower is faster and cannot be trained, and `compile(...)` with the arguments of `torch.compile`.

    def preprocess(self, raw: Any) -> Sequence[torch.Tensor]:
        """Frames (N, 3, H, W) uint8, N sounds or N captions to the input of `encode`."""
        ...

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """The backbone's features (N, ...) of a preprocessed batch."""
        ...

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """Features to (N, 512) embeddings, by the layers trained on top of the backbone."""
        ...

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """A preprocessed batch to (N, 512) embeddings: `reduce(encode(batch))`."""
        ...


def build_tower(modality: str, spec: TowerSpec) -> nn.Module:
    """Build the tower that a recipe or a checkpoint names.

    Args:
        modality: "image", "music" or "text".
        spec: its "name" and its settings, as a recipe has them.

    Raises:
        CheckpointError: no tower of that name, or a setting it does not have.
        WeightsError: the tower's pretrained weights are not available.
        LibraryLoadError: a library that the tower needs does not load.
    """
    name = spec.get("name")
    settings: dict[str, Any] = {key: value for key, value in spec.items() if key != "name"}
    if (modality, name) not in VERSIONS:
        allowed = ", ".join(tower for kind, tower in VERSIONS if kind == modality)
        raise CheckpointError(f"unknown {modality} tower {name!r}: allowed are {allowed}")
    # Imported here: the compact model must not wait for timm and transformers, and a library that does not load must only break the towers
    # that need it.
    Kind: Any
    with imports():
        match modality, name:
            case "image", "clip":
                from trainer.model.clip import ClipImageTower as Kind
            case "music", "mert":
                from trainer.model.mert import MertMusicTower as Kind
            case "text", "roberta":
                from trainer.model.roberta import RobertaTextTower as Kind
            case "text", _:
                from trainer.model.compact_text import CompactTextTower as Kind
            case "image", _:
                from trainer.model.compact_image import CompactImageTower as Kind
            case _:
                from trainer.model.compact_music import CompactMusicTower as Kind
    try:
        return Kind(**settings)
    except TypeError as error:
        raise CheckpointError(f"{modality} tower {name!r} does not take these settings: {settings}") from error


@dataclass(frozen=True)
class Output:
    """The model's output for a batch: VA (n, 2) and embeddings (n, 512) by modality, similarity (n,) if it has that head."""

    va: dict[str, torch.Tensor]
    embeddings: dict[str, torch.Tensor]
    similarity: torch.Tensor | None


class MMVA(nn.Module):
    """Towers and heads.

    Args:
        towers: modality -> spec, as for `build_tower`; at least one.
        similarity: whether there is a similarity head, which needs all three towers.
        dropout: of the heads, in [0, 1); 0 also disables the compact towers' dropout and stochastic depth.
    """

    def __init__(self, towers: Mapping[str, TowerSpec], *, similarity: bool = False, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.modalities = tuple(modality for modality in MODALITIES if modality in towers)
        self.towers = nn.ModuleDict({modality: build_tower(modality, towers[modality]) for modality in self.modalities})
        self.heads = nn.ModuleDict({modality: va_head(dropout) for modality in self.modalities})
        self.similarity = similarity_head(dropout) if similarity else None
        self.calibrations = nn.ModuleDict()  # by modality; added after training
        self.finetuned: frozenset[str] = frozenset()
        if dropout == 0:
            # Published backbones keep their own dropout.
            own = [tower for tower in self.towers.values() if tower.backbone is None or not tower.published]
            module: Any
            for module in (module for tower in own for module in tower.modules()):
                # By name: torchvision is only imported by the image towers.
                if isinstance(module, nn.Dropout) or type(module).__name__ == "StochasticDepth":
                    module.p = 0.0

    def freeze(self, finetuned: Iterable[str] = ()) -> None:
        """Freeze the pretrained backbones of all towers except those of the modalities in `finetuned`."""
        self.finetuned = frozenset(finetuned)
        for modality, tower in self.towers.items():
            if tower.backbone is not None:
                tower.backbone.requires_grad_(modality in self.finetuned)

    def train(self, mode: bool = True) -> "MMVA":
        """Set the training mode; frozen backbones stay in eval mode throughout: a thread may be computing the next batch with them."""
        frozen = {module for modality in self.frozen_modalities() for module in self.tower(modality).backbone.modules()}
        for module in self.modules():
            module.training = mode and module not in frozen
        return self

    def tower(self, modality: str) -> Any:
        """The tower of a modality: a module and a `Tower`."""
        return self.towers[modality]

    def frozen_modalities(self) -> tuple[str, ...]:
        """Modalities whose tower has a backbone that is not fine-tuned."""
        return tuple(
            modality for modality in self.modalities if self.tower(modality).backbone is not None and modality not in self.finetuned
        )

    def encoders(self) -> dict[str, dict[str, Any]]:
        """What determines features besides settings and weights: modality -> the tower's version and, if published, its configuration."""
        towers = {modality: self.tower(modality) for modality in self.modalities}
        return {modality: {"version": tower.version, **getattr(tower, "configuration", {})} for modality, tower in towers.items()}

    def frozen_prefixes(self) -> tuple[str, ...]:
        """Prefixes of the tensors that checkpoints leave out: those of frozen published backbones."""
        return tuple(f"towers.{modality}.backbone." for modality in self.frozen_modalities() if self.tower(modality).published)

    def forward(self, inputs: Mapping[str, Any], inverse: Mapping[str, torch.Tensor] | None = None) -> Output:
        """Predict a training batch.

        Args:
            inputs: modality -> features, or the preprocessed batch for a fine-tuned tower.
            inverse: modality -> (n,) index of the input that each row has, where rows share inputs.
        """
        embeddings = {modality: self.embed(modality, inputs[modality]) for modality in self.modalities}
        va = {modality: self.heads[modality](embedding) for modality, embedding in embeddings.items()}
        for modality, index in (inverse or {}).items():
            embeddings[modality], va[modality] = embeddings[modality][index], va[modality][index]
        return Output(va, embeddings, self.similarity_of(embeddings) if self.similarity is not None else None)

    def embed(self, modality: str, inputs: Any) -> torch.Tensor:
        """Embeddings (N, 512) of features on the model's device, or of the preprocessed batch for a fine-tuned tower."""
        tower = self.tower(modality)
        return tower.embed(inputs) if modality in self.finetuned else tower.reduce(inputs)

    def similarity_of(self, embeddings: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The predicted matching score (N,) of N images, clips and captions from their embeddings (N, 512)."""
        assert self.similarity is not None
        return self.similarity(torch.cat([embeddings[modality] for modality in MODALITIES], 1)).squeeze(1)

    def predict(self, modality: str, raw: Any, *, still: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """VA (N, 2) in [0, 1] and embeddings (N, 512) of frames (N, 3, H, W) uint8, of N sounds or of N captions.

        Pictures of several sizes are an iterable of (3, H, W). With `still`, predictions are from several views of each if the
        tower has `views`.
        """
        tower = self.tower(modality)
        if still and hasattr(tower, "views"):
            batch = [tower.views(picture) for picture in raw]
        elif modality == "image" and not isinstance(raw, torch.Tensor):
            batch = [tower.preprocess(picture[None])[0] for picture in raw]
        else:
            batch = tower.preprocess(raw)
        embeddings = tower.embed(batch)
        if embeddings.shape[1] != EMBEDDING_DIM:
            raise CheckpointError(
                f"the {modality} tower gives {embeddings.shape[1]}-d embeddings, the VA head takes {EMBEDDING_DIM}: "
                "use a tower with 512-d embeddings, such as ViT-B-32"
            )
        va = self.heads[modality](embeddings)
        return self.calibrations[modality](va) if modality in self.calibrations else va, embeddings


def freeze_batch_norm(model: nn.Module) -> None:
    """Put all batch norms in eval mode, so that a row's result does not depend on the rest of its batch."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
