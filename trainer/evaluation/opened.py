"""A checkpoint and the part of a data folder to evaluate it on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer import checkpoint
from trainer import recipe as recipes
from trainer.data import manifest as manifests
from trainer.data.features import Features, bad_rows, reading_pool, sources
from trainer.data.manifest import Manifest
from trainer.data.split import split
from trainer.devices import pick_device
from trainer.distributed import Processes
from trainer.model.mmva import MMVA
from trainer.recipe import DataRecipe, Recipe


@dataclass(frozen=True)
class Opened:
    """The inputs of an evaluation.

    Attributes:
        path: of the checkpoint.
        name: of the model.
        model: on `device`, in eval mode.
        recipe: it was trained by; None if the checkpoint lacks it.
        sigma: Eq. 1's sigma of its training split; None if the checkpoint lacks it.
        part: the rows to evaluate on.
        features: their features, by modality.
        device: where to compute.
        may_be_trained_on: whether some of the rows may have been training data.
    """

    path: Path
    name: str
    model: MMVA
    recipe: Recipe | None
    sigma: float | None
    part: Manifest
    features: Mapping[str, Features]
    device: torch.device
    may_be_trained_on: bool


@contextmanager
def open_part(
    model: str | Path,
    data: Path,
    *,
    part: str = "test",
    images: Path | None = None,
    music: Path | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    workers: int = 4,
    sources_of: Mapping[str, str] | None = None,
) -> Iterator[Opened]:
    """Load a checkpoint and open a data folder, split as the checkpoint's recipe split it.

    Args:
        model: "compact", or the path of a checkpoint.
        data: folder with the manifests.
        part: "test", "val", "train" or "all".
        images, music: folders of the pictures and clips, if not beside the manifests.
        device: "auto", "cpu", "cuda" or "mps".
        skip_bad: leave bad rows out.
        workers: threads that read files.
        sources_of: modality -> folder or hub name of a tower's pretrained weights, instead of their location in training.

    Raises:
        TrainerError: an error in checkpoint, data, weights or device, in one line.
    """
    where = torch.device(pick_device(device))
    loaded = checkpoint.read(model)
    manifest = manifests.load(data, images_dir=images, music_dir=music, skip_bad=skip_bad, modalities=tuple(loaded.towers))
    built = checkpoint.build(loaded, sources=sources_of).to(where)
    recipe = recipes.from_json(loaded.notes["recipe"], where=str(loaded.path)) if "recipe" in loaded.notes else None
    how = recipe.data if recipe is not None else DataRecipe()
    with reading_pool(workers) as pool:
        if skip_bad:
            bad = bad_rows(built, manifest, pool, Processes())
            manifest = manifest.without(bad.images, bad.clips)
        chosen = manifest if part == "all" else split(manifest, how.split, how.fractions, how.split_seed)[part]
        features = sources(built, chosen, {}, {}, pool)
        may_be_trained_on = recipe is not None and (part in ("train", "all") or loaded.notes.get("data") != manifest.fingerprint)
        yield Opened(loaded.path, loaded.name, built, recipe, loaded.sigma, chosen, features, where, may_be_trained_on)
