"""Pretraining on classes of drawn pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer import checkpoint
from trainer import recipe as recipes
from trainer.errors import CheckpointError, DataError
from trainer.model.mmva import MMVA
from trainer.pretrain import pretrain
from trainer.session import Job

QUICK = ("towers.image.input_px=32", "train.epochs=12", "train.batch_size=12", "train.lr=2e-3", "train.mixup=0.0", "train.ema=0.5")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes in Tiny-ImageNet's layout: stripes that lie, stripes that stand, and noise."""
    folder, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name in ("lying", "standing", "noise"):
        (folder / "train" / name / "images").mkdir(parents=True)
        for number in range(30):
            waves = np.sin(np.arange(48) * rng.uniform(0.5, 1.0) + rng.uniform(0, 6))
            grey = {"lying": np.tile(waves[:, None], 48), "standing": np.tile(waves, (48, 1)), "noise": rng.uniform(-1, 1, (48, 48))}[name]
            picture = ((grey[..., None] * rng.uniform(0.4, 1, 3) + 1) * 127).astype(np.uint8)
            Image.fromarray(picture).save(folder / "train" / name / "images" / f"{number}.JPEG", quality=95)
    return folder


def test_it_learns_the_classes_and_a_training_starts_from_it(classes: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = recipes.load("compact-pretrain", QUICK)
    done = pretrain(Job(recipe, classes, tmp_path / "run", device="cpu", workers=0), lines.append)
    assert len(lines) == 12
    assert done.classes == 3, lines
    assert done.accuracy > 0.75, lines  # by chance .33
    model, kept = MMVA({"image": {"name": "compact"}}), checkpoint.read(done.checkpoint).tensors
    checkpoint.start_backbone(model, "image", done.checkpoint)
    for key, value in model.tower("image").backbone.named_parameters():
        assert torch.equal(value, kept[f"towers.image.backbone.{key}"].float()), key
    with pytest.raises(CheckpointError, match="has no music tower, only image"):
        checkpoint.start_backbone(model, "music", done.checkpoint)
    with pytest.raises(CheckpointError, match="already holds a run"):
        pretrain(Job(recipe, classes, tmp_path / "run", device="cpu", workers=0))


def test_what_cannot_be_pretrained_on(classes: Path, tmp_path: Path) -> None:
    recipe = recipes.load("compact-pretrain", QUICK)
    with pytest.raises(DataError, match="holds no class folders with pictures"):
        pretrain(Job(recipe, tmp_path, tmp_path / "run", device="cpu", workers=0))
    many = recipes.load("compact-pretrain", [*QUICK, "train.batch_size=512"])
    with pytest.raises(DataError, match=r"3 classes, 85 pictures to train on: at least 2 classes and one batch \(512\)"):
        pretrain(Job(many, classes, tmp_path / "run", device="cpu", workers=0))
