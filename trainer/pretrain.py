"""Pretraining of the compact image tower: its backbone is trained as a classifier of pictures.

The result is a checkpoint for the [start] table of a recipe; its VA head is not trained.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from trainer import checkpoint
from trainer.errors import CheckpointError, DataError, TrainerError
from trainer.loop import BEST, learning_rate
from trainer.model.compact_image import IMAGENET_MEAN, IMAGENET_STD
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.mmva import MMVA
from trainer.predict import pick_device
from trainer.recipe import ClassesRecipe, Recipe
from trainer.session import Job


@dataclass(frozen=True)
class Result:
    """A finished pretraining: its checkpoint, the number of classes, and the accuracy on held-out pictures."""

    checkpoint: Path
    accuracy: float
    classes: int


def pretrain(job: Job, log: Callable[[str], None] = lambda line: None) -> Result:
    """Train the image tower's backbone as a classifier.

    Args:
        job: its recipe has an image tower named "compact" and a [classes] table; its data folder holds one folder for each class,
            with pictures anywhere below it, or a folder `train` with these (Tiny-ImageNet's layout).
        log: called with a line for each epoch.

    Raises:
        DataError: no folder of classes, or too few pictures.
        CheckpointError: the run's folder holds a run already.
        TrainerError: the loss is not finite.
    """
    recipe, classes = job.recipe, job.recipe.classes
    assert classes is not None
    if (job.out / BEST).exists():
        raise CheckpointError(f"{job.out}: already holds a run: name another folder")
    device = pick_device(job.device)
    torch.manual_seed(recipe.train.seed)
    model = MMVA({"image": recipe.towers["image"]})
    train, held, count = _read(job, classes, model.tower("image").input_px)
    classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(EMBEDDING_DIM, count))
    network = nn.ModuleDict({"backbone": model.tower("image").backbone, "classifier": classifier}).to(device)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    beta1, beta2 = recipe.train.betas
    optimizer = torch.optim.AdamW(network.parameters(), recipe.train.lr, betas=(beta1, beta2), weight_decay=recipe.train.weight_decay)
    mixup = v2.MixUp(alpha=recipe.train.mixup, num_classes=count) if recipe.train.mixup else None
    total, started = recipe.train.epochs * len(train), time.monotonic()
    for epoch in range(recipe.train.epochs):
        network.train()
        losses = 0.0
        for step, (pictures, labels) in enumerate(train, epoch * len(train)):
            inputs, targets = mixup(pictures, labels) if mixup is not None else (pictures, labels)
            losses += _train_step(network, optimizer, recipe, inputs.to(device), targets.to(device), step, total)
            _update_average(average, network, step, recipe.train.ema)
        if not math.isfinite(losses):
            raise TrainerError(f"epoch {epoch + 1}: the loss is {losses}: lower train.lr and start again")
        accuracy = _accuracy(average, held, device)
        log(f"epoch {epoch + 1}: loss {losses / len(train):.4f}, {accuracy:.1%} of held-out pictures, {time.monotonic() - started:.0f} s")
    model.tower("image").backbone.load_state_dict(average["backbone"].state_dict())
    job.out.mkdir(parents=True, exist_ok=True)
    notes = {
        "recipe": recipe.to_json(),
        "metrics": json.dumps({"classes": count, "accuracy": accuracy}),
        "label_scale": "none: its head is not trained",
    }
    checkpoint.save(job.out / BEST, model.cpu(), recipe.name, {"image": recipe.towers["image"]}, notes, torch.float16)
    return Result(job.out / BEST, accuracy, count)


def _train_step(
    network: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    pictures: torch.Tensor,
    targets: torch.Tensor,
    step: int,
    total: int,
) -> float:
    """One step of the optimizer, with linear warm-up in the first 5 % of the steps; returns the loss."""
    assert recipe.classes is not None
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe.train.lr, step, total) * min(1.0, (step + 1) / (0.05 * total + 1))
    half = pictures.device.type == "cuda" and recipe.train.precision != "float32"
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=half):
        logits = _classify(network, pictures)
    loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.classes.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), recipe.train.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _read(job: Job, classes: ClassesRecipe, input_px: int) -> tuple[DataLoader, DataLoader, int]:
    """Batches for training, batches of held-out pictures (every n-th), and the number of classes."""
    folder = job.data / "train" if (job.data / "train").is_dir() else job.data
    finish = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    jitter = v2.ColorJitter(0.3, 0.3, 0.3)
    augmentation = v2.Compose([v2.RandomResizedCrop(input_px, (classes.least_crop, 1.0)), v2.RandomHorizontalFlip(), jitter, *finish])
    evaluation = v2.Compose([v2.Resize((input_px, input_px)), *finish])
    try:
        training, held_out = ImageFolder(str(folder), augmentation), ImageFolder(str(folder), evaluation)
    except (FileNotFoundError, OSError) as error:
        raise DataError(
            f"{folder}: holds no class folders with pictures ({error}): give a folder that holds one folder for each class"
        ) from error
    count, batch = len(training.classes), job.recipe.train.batch_size
    held = range(0, len(training), classes.hold_out_every)
    kept = [index for index in range(len(training)) if index % classes.hold_out_every]
    if count < 2 or len(kept) < batch:
        raise DataError(
            f"{folder}: {count} classes, {len(kept)} pictures to train on: at least 2 classes and one batch ({batch}) are needed"
        )
    order = torch.Generator().manual_seed(job.recipe.train.seed)

    def batches(data: Dataset, *, shuffled: bool) -> DataLoader:
        return DataLoader(data, batch, shuffle=shuffled, num_workers=job.workers, drop_last=shuffled, generator=order)

    return batches(Subset(training, kept), shuffled=True), batches(Subset(held_out, held), shuffled=False), count


def _classify(network: nn.ModuleDict, pictures: torch.Tensor) -> torch.Tensor:
    """Logits (N, classes) of preprocessed pictures."""
    hidden = network["backbone"](pictures.contiguous(memory_format=torch.channels_last))
    return network["classifier"](hidden.float().mean((2, 3)))


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Update the moving average of the weights after step `step`; see `trainer.average`."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
    for own, new in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(new)


@torch.inference_mode()
def _accuracy(network: nn.ModuleDict, batches: DataLoader, device: torch.device) -> float:
    network.eval()
    right = [(_classify(network, pictures.to(device)).argmax(1).cpu() == labels).float() for pictures, labels in batches]
    return float(torch.cat(right).mean())
