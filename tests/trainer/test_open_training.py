"""Training on several open sets: the paper's towers, mixup, averages and starts, and that a broken run ends as an unbroken one."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers import tiny
from trainer import Predictor, checkpoint
from trainer import recipe as recipes
from trainer.errors import CheckpointError, RecipeError
from trainer.loop import BEST, train
from trainer.report import Report
from trainer.session import Job

SMALL = Path(__file__).parent / "small.toml"
QUICK = ("towers.image.input_px=32", "towers.music.window_s=1.0", "train.batch_size=32", "train.epochs=4", "data.labels=standard")
ALL = ("train.mixup=0.4", "train.ema=0.9", "pairs.distinct={image=8, music=16}", "pairs.shares={sentences=2, words=1}")


def job(data: Path, out: Path, *changes: str, recipe: str | Path = SMALL, resume: bool = False) -> Job:
    return Job(recipes.load(recipe, changes), data, out, cache=data.parent / "features", resume=resume, device="cpu")


def test_the_papers_towers_train_on_open_sets(open_data: Path, tmp_path: Path) -> None:
    sources = [f"towers.{modality}.source={kind(tmp_path / modality)}" for modality, kind in
               (("image", tiny.clip), ("music", tiny.mert), ("text", tiny.roberta))]  # fmt: skip
    shares = "pairs.shares={sentences=2, words=1}"
    result = train(job(open_data, tmp_path / "run", *sources, "train.epochs=1", "train.batch_size=16", shares, recipe="mmva-open"))
    assert set(result.evaluation.va) == {"image", "music", "text"}
    assert result.evaluation.similarity is not None
    loaded = checkpoint.read(result.checkpoint)
    assert not any(".backbone." in key for key in loaded.tensors)  # they come from the hub
    va = Predictor.load(result.checkpoint, device="cpu").text(["a calm night"])
    assert va.shape == (1, 2)


def test_a_run_with_everything_that_is_broken_ends_as_an_unbroken_one(
    open_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (*QUICK, *ALL, "train.save_every_s=0.0")
    train(job(open_data, tmp_path / "whole", *changes))
    epoch = Report.epoch

    def broken(self: Report, row: dict[str, object]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt
        epoch(self, row)

    monkeypatch.setattr(Report, "epoch", broken)
    with pytest.raises(KeyboardInterrupt):
        train(job(open_data, tmp_path / "broken", *changes))
    monkeypatch.undo()
    train(job(open_data, tmp_path / "broken", *changes, resume=True))
    whole, resumed = (checkpoint.read(tmp_path / name / BEST).tensors for name in ("whole", "broken"))
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


def test_the_average_is_kept_and_is_not_the_last_step(open_data: Path, tmp_path: Path) -> None:
    plain, averaged = (
        train(job(open_data, tmp_path / name, *QUICK, *extra)).checkpoint
        for name, extra in (("plain", ()), ("average", ("train.ema=0.9",)))
    )
    one, other = (checkpoint.read(path).tensors["heads.image.8.weight"] for path in (plain, averaged))
    assert not torch.equal(one, other)


def test_a_training_starts_from_a_backbone_and_leaves_it_as_it_is(open_data: Path, tmp_path: Path) -> None:
    result = train(job(open_data, tmp_path / "run", *QUICK, "train.epochs=1", "start.image=compact"))
    bundled, trained = (checkpoint.read(model).tensors for model in ("compact", result.checkpoint))
    for key, value in bundled.items():
        if ".backbone." in key:
            assert torch.equal(value.half(), trained[key].half()), key  # trained checkpoints are in 16 bits
    with pytest.raises(CheckpointError, match="no model 'nothing'"):
        train(job(open_data, tmp_path / "other", *QUICK, "start.image=nothing"))
    with pytest.raises(RecipeError, match=r"start.music: unknown key: allowed are image$"):
        recipes.load(SMALL, ["start.music=compact"])


def test_a_final_training_sees_everything_and_says_so(open_data: Path, tmp_path: Path) -> None:
    result = train(job(open_data, tmp_path / "run", *QUICK, "train.epochs=1", "data.split=all"))
    notes = checkpoint.read(result.checkpoint).notes
    assert recipes.from_json(notes["recipe"]).data.split == "all"
    assert json.loads(notes["metrics"])["test"] == json.loads((tmp_path / "run" / "best.json").read_text())


def test_the_images_backbone_can_be_fine_tuned(open_data: Path, tmp_path: Path) -> None:
    changes = (*QUICK, "train.epochs=1", "start.image=compact", 'train.finetune=["image"]', "train.mixup=0.4", "train.backbone_lr=1e-3")
    result = train(job(open_data, tmp_path / "run", *changes))
    bundled, trained = (checkpoint.read(model).tensors for model in ("compact", result.checkpoint))
    key = "towers.image.backbone.frames.8.0.weight"
    assert not torch.equal(bundled[key], trained[key])
    assert Predictor.load(result.checkpoint, device="cpu").modalities == ("image", "music", "text")
