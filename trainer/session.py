"""Set up a training run from a job: data, model, features, pairs, optimizer."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW

from trainer import checkpoint
from trainer.affect import mean_distance
from trainer.average import Average
from trainer.constants import OnProgress
from trainer.data import manifest as manifests
from trainer.data.cache import FeatureCache
from trainer.data.features import BadRows, Features, bad_rows, build_cache, reading_pool, sources
from trainer.data.manifest import Manifest
from trainer.data.pairing import Pairing, row_weights, training_pairs
from trainer.data.scale import standardise
from trainer.data.split import split
from trainer.distributed import Processes
from trainer.errors import DataError, RecipeError
from trainer.model.mmva import MMVA, freeze_batch_norm
from trainer.model.pretrained import fingerprint
from trainer.recipe import Recipe

RUN_FILE = "run.json"
# Keys of the recipe that a resumed run may change; any other would make it a different run.
RESUMABLE = ("train.epochs", "train.validate_every", "train.save_every_s")


@dataclass(frozen=True)
class Job:
    """A training run to be done.

    Attributes:
        recipe: the checked recipe.
        data: folder with the manifests.
        out: the run's folder.
        images, music: folders of the pictures and clips, if not beside the manifests.
        captions: a CSV of captions that replace those of the manifest.
        cache: folder of the feature cache; None for `data/features`.
        resume: continue the run in `out`.
        device: "auto", "cpu", "cuda" or "mps".
        skip_bad: leave bad rows out instead of raising.
        strict: raise on ids that occur twice with different labels.
        workers: threads that read files.
    """

    recipe: Recipe
    data: Path
    out: Path
    images: Path | None = None
    music: Path | None = None
    captions: Path | None = None
    cache: Path | None = None
    resume: bool = False
    device: str = "auto"
    skip_bad: bool = False
    strict: bool = False
    workers: int = 4


@dataclass(frozen=True)
class Session:
    """A job with everything that training it needs.

    Attributes:
        parts: the manifest's splits: "train", "val", "test".
        train_va: modality -> labels float32 (n, 2) of the training split.
        label_weights: modality -> weights float32 (n, 2) of these labels in the loss.
        features: split -> modality -> the features of its rows.
        sigma: Eq. 1's sigma of the training split; None without images or without clips.
        weights: modality -> fingerprint of its frozen backbone.
        ema: the moving average of the weights, if the recipe has one.
    """

    job: Job
    processes: Processes
    device: torch.device
    model: MMVA
    optimizer: AdamW
    base_lrs: tuple[float, ...]
    manifest: Manifest
    parts: dict[str, Manifest]
    train_va: dict[str, np.ndarray]
    label_weights: dict[str, np.ndarray]
    features: dict[str, dict[str, Features]]
    pairing: Pairing
    sigma: float | None
    weights: dict[str, str]
    pool: ThreadPoolExecutor
    ema: Average | None = None

    @property
    def recipe(self) -> Recipe:
        """The job's recipe."""
        return self.job.recipe

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 autocast if the recipe says so, or on a GPU if its precision is "auto"."""
        precision = self.recipe.train.precision
        enabled = precision == "bf16" or (precision == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def kept_model(self) -> MMVA:
        """The model that is evaluated and saved: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.model

    def training_mode(self) -> None:
        """Put the model in training mode, batch norms frozen if the recipe says so."""
        self.model.train()
        if self.recipe.train.freeze_batch_norm:
            freeze_batch_norm(self.model)


@dataclass(frozen=True)
class Data:
    """Data that are read once and can be trained on many times, in parts.

    Attributes:
        manifest: the rows that can be trained on, with the labels that the recipe asks for.
        caches: modality -> its cached features; modalities without an entry are read from the files.
        keys_of: modality -> row id -> key in the cache.
        pool: threads that read files.
    """

    manifest: Manifest
    caches: dict[str, FeatureCache]
    keys_of: dict[str, dict[str, str]]
    pool: ThreadPoolExecutor


def prepare(job: Job, processes: Processes, device: torch.device, on_progress: OnProgress) -> Session:
    """Build the model, read the data, fill the cache, split.

    Args:
        job: the training run.
        processes: all processes of the run.
        device: of this process.
        on_progress: called while the cache is filled with modality, rows done, rows in all.

    Raises:
        DataError: bad data, or a training split that cannot be trained on.
        WeightsError: a tower's weights are not available.
        RecipeError: a batch smaller than the number of processes.
        CheckpointError: a checkpoint to start from is missing, or has another tower.
    """
    recipe = job.recipe
    if recipe.train.batch_size < processes.count:
        raise RecipeError(f"train.batch_size: {recipe.train.batch_size}: must be at least the number of processes, {processes.count}")
    model = build_model(recipe, processes, device)
    data = read_data(job, model, processes, on_progress)
    parts = split(data.manifest, recipe.data.split, recipe.data.fractions, recipe.data.split_seed)
    return begin(job, processes, device, model, data, parts)


def build_model(recipe: Recipe, processes: Processes, device: torch.device) -> MMVA:
    """The recipe's model with its initial weights, on the device, in eval mode.

    Raises:
        WeightsError, CheckpointError: as `prepare`.
    """
    _seed(recipe, device)
    model = MMVA(recipe.towers, similarity=recipe.model.similarity, dropout=recipe.model.dropout)
    for modality, source in recipe.start.items():
        checkpoint.start_backbone(model, modality, source)
    model.freeze(recipe.train.finetune)
    for modality in model.frozen_modalities():
        if not model.tower(modality).published:  # checkpoints store it in float16: the heads must train on the stored weights
            model.tower(modality).backbone.half().float()
    if processes.count > 1 and device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # with gloo every process has its own statistics
    return model.to(device).eval()


def read_data(job: Job, model: MMVA, processes: Processes, on_progress: OnProgress) -> Data:
    """Read the manifest and fill the cache of every tower that is not fine-tuned.

    Raises:
        DataError: bad data.
    """
    recipe = job.recipe
    manifest = manifests.load(
        job.data,
        images_dir=job.images,
        music_dir=job.music,
        skip_bad=job.skip_bad,
        strict=job.strict,
        caption_csv=job.captions,
        modalities=tuple(recipe.towers),
    )
    pool = reading_pool(job.workers)
    caches: dict[str, FeatureCache] = {}
    keys_of: dict[str, dict[str, str]] = {}
    if recipe.data.cache:
        folder = job.cache or job.data / "features"
        _make(folder)
        weights = _fingerprints(model)
        caches, keys, bad = build_cache(
            model, recipe.towers, weights, manifest, folder, pool=pool, processes=processes, skip_bad=job.skip_bad, on_progress=on_progress
        )
        keys_of = {
            modality: {row.id: key for row, key in zip(manifest.rows(modality), row_keys, strict=True)}
            for modality, row_keys in keys.items()
        }
    else:
        bad = bad_rows(model, manifest, pool, processes, on_progress) if job.skip_bad else BadRows({}, {})
    if bad.images or bad.clips:
        manifest = manifest.without(bad.images, bad.clips)
    if recipe.data.labels == "standard":
        manifest = standardise(manifest)
    return Data(manifest, caches, keys_of, pool)


def begin(job: Job, processes: Processes, device: torch.device, model: MMVA, data: Data, parts: dict[str, Manifest]) -> Session:
    """Set up a session on given splits of the data.

    Raises:
        DataError: a training split that cannot be trained on.
    """
    recipe, train = job.recipe, parts["train"]
    # Matching scores need both images and clips.
    sigma = mean_distance(train.image_va(), train.clip_va()) if train.images and train.clips else None
    if sigma == 0:
        raise DataError(f"{job.data}: all labels of the training split are the same: there is nothing to learn; check the CSVs")
    pairs = recipe.pairs
    pairing = training_pairs(
        pairs.matching, train, sigma, recipe.train.batch_size, recipe.train.seed, job.data, pairs.shares, pairs.distinct
    )
    features = {name: sources(model, part, data.caches, data.keys_of, data.pool) for name, part in parts.items()}
    label_weights = {modality: _label_weights(train, modality, recipe.data.arousal_weight) for modality in model.modalities}
    for modality in model.modalities:
        if modality not in model.finetuned and hasattr(model.tower(modality), "fit"):
            everything = features["train"][modality](np.arange(len(train.rows(modality))))
            weights = row_weights(train, modality, pairs.shares)[:, None] * label_weights[modality]
            model.tower(modality).fit(everything, torch.from_numpy(train.va(modality)), torch.from_numpy(weights))
    optimizer, base_lrs = _optimizer(model, recipe)
    va = {modality: train.va(modality) for modality in model.modalities}
    ema = Average(model, recipe.train.ema) if recipe.train.ema else None
    return Session(
        job,
        processes,
        device,
        model,
        optimizer,
        base_lrs,
        data.manifest,
        parts,
        va,
        label_weights,
        features,
        pairing,
        sigma,
        _fingerprints(model),
        data.pool,
        ema,
    )


def _label_weights(train: Manifest, modality: str, arousal: Mapping[str, float]) -> np.ndarray:
    return np.array([(1, arousal.get(row.source, 1)) for row in train.rows(modality)], np.float32).reshape(-1, 2)


def _fingerprints(model: MMVA) -> dict[str, str]:
    return {modality: fingerprint(model.tower(modality).backbone) for modality in model.frozen_modalities()}


def check_resumable(now: Recipe, before: Recipe, where: Path) -> None:
    """Raise RecipeError if a resumed run's recipe differs in a key other than `RESUMABLE`."""
    old, new = _flat(before), _flat(now)
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key) and key not in RESUMABLE:
            raise RecipeError(
                f"{where}: {key} was {old.get(key)!r}, now it is {new.get(key)!r}: a resumed run may change {', '.join(RESUMABLE)} only; "
                "start a new one with another --out"
            )


def _flat(recipe: Recipe) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else key)
        else:
            flat[name] = value

    walk(json.loads(recipe.to_json()), "")
    return flat


def remember(job: Job) -> None:
    """Write the locations of the run's data to run.json, for `recall`."""
    paths = {"data": job.data, "images": job.images, "music": job.music, "captions": job.captions, "cache": job.cache}
    locations = {key: str(path.resolve()) if path is not None else None for key, path in paths.items()}
    text = json.dumps({**locations, "skip_bad": job.skip_bad, "strict": job.strict}, indent=1)
    (job.out / RUN_FILE).write_text(text + "\n", "utf-8")


def recall(out: Path, recipe: Recipe, *, device: str, workers: int) -> Job:
    """The job of a run to resume, read from run.json.

    Raises:
        RecipeError: the folder holds no run.
    """
    try:
        kept = json.loads((out / RUN_FILE).read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RecipeError(f"{out}: holds no run to resume ({RUN_FILE}: {error}): name a folder that --out wrote") from error
    images, music, captions, cache = (Path(kept[key]) if kept[key] else None for key in ("images", "music", "captions", "cache"))
    return Job(recipe, Path(kept["data"]), out, images, music, captions, cache, True, device, kept["skip_bad"], kept["strict"], workers)


def _seed(recipe: Recipe, device: torch.device) -> None:
    torch.manual_seed(recipe.train.seed)
    if recipe.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    elif device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True


def _optimizer(model: MMVA, recipe: Recipe) -> tuple[AdamW, tuple[float, ...]]:
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    backbones = [parameter for name, parameter in trained if ".backbone." in name]
    others = [parameter for name, parameter in trained if ".backbone." not in name]
    groups = [(others, recipe.train.lr), *([(backbones, recipe.train.backbone_lr)] if backbones else [])]
    beta1, beta2 = recipe.train.betas
    optimizer = AdamW([{"params": group, "lr": lr} for group, lr in groups], betas=(beta1, beta2), weight_decay=recipe.train.weight_decay)
    return optimizer, tuple(lr for _, lr in groups)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}): name a writable folder with --cache") from error
