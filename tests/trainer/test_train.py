"""The training as a whole, on the synthetic IMEMNet-C."""

import csv
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.helpers import synthetic, tiny
from trainer import Predictor, loop, session, state
from trainer import recipe as recipes
from trainer.errors import CheckpointError, DataError, RecipeError, TrainerError
from trainer.loop import BEST, LAST, Result, train
from trainer.session import Job

SMALL = Path(__file__).parent / "small.toml"
# Small pictures and windows: what is to be learned is in their colour, pitch and pulse.
QUICK = ("towers.image.input_px=32", "towers.music.window_s=1.0")
TRACE = (*QUICK, "model.dropout=0.0", "train.freeze_batch_norm=true", "train.batch_size=19", "train.epochs=3", "train.lr=1e-4")


def job(data: Path, out: Path, *changes: str, recipe: str | Path = SMALL, resume: bool = False) -> Job:
    return Job(recipes.load(recipe, changes), data, out, cache=data.parent / f"{data.name}-features", resume=resume, device="cpu")


def losses(out: Path, column: str = "train_loss") -> list[float]:
    with (out / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_compact_learns_the_synthetic_data(tmp_path: Path) -> None:
    data = synthetic.draw(tmp_path / "data", images=320, tracks=320, clips_a_track=1, clip_s=2.0, image_px=32)
    result = train(job(data, tmp_path / "run", "towers.image.input_px=32", "towers.music.window_s=2.0", "train.epochs=16"))
    for modality, axes in result.evaluation.va.items():
        for axis, agreement in zip(("valence", "arousal"), axes, strict=True):
            assert agreement.r > 0.9, f"{modality} {axis}"
    assert result.evaluation.similarity is not None
    assert result.evaluation.similarity.mse < 0.02

    predictor = Predictor.load(result.checkpoint, device="cpu")
    va = predictor.text(["A desperate piece with a frantic beat.", "The song is motionless and the melody sounds blissful."])
    assert va.round().tolist() == [[0, 1], [1, 0]]
    assert predictor.sigma == pytest.approx(0.52, abs=0.05)


def test_shuffled_labels_are_not_learned(tmp_path: Path) -> None:
    data = synthetic.draw(tmp_path / "data", images=120, tracks=60, clips_a_track=2, clip_s=1.0, image_px=32, shuffled=True)
    result = train(job(data, tmp_path / "run", *QUICK, "train.epochs=6", "data.fractions=[0.45, 0.05, 0.5]"))
    # 60 images and 60 clips are held out: by chance |r| stays below .42 in 99.9% of cases.
    assert all(abs(agreement.r) < 0.42 for axes in result.evaluation.va.values() for agreement in axes)


@pytest.fixture(scope="module")
def traced(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trace") / "run"
    train(job(small, out, *TRACE))
    return out


def test_three_steps_have_the_losses_they_always_had(traced: Path) -> None:
    assert losses(traced) == pytest.approx([0.55092, 0.23034, 0.26692], abs=2e-4)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(small: Path, traced: Path, tmp_path: Path) -> None:
    changes = [part for change in TRACE for part in ("--set", change)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(random.randint(20000, 60000))]
    command += ["-m", "trainer", str(SMALL), "--data", str(small), "--out", str(tmp_path / "run"), "--device", "cpu"]
    command += ["--cache", str(tmp_path / "features"), *changes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for column in ("train_loss", "train_image", "train_music", "train_text", "train_similarity", "val_loss"):
        assert losses(tmp_path / "run", column) == pytest.approx(losses(traced, column), abs=1e-5), column
    assert done.stdout.count("MMVA (paper)") == 1


def final(out: Path) -> tuple[object, list[float]]:
    return json.loads((out / "best.json").read_text()), losses(out) + losses(out, "val_loss")


RESUMED = (*QUICK, "train.batch_size=5", "train.epochs=8", "train.save_every_s=0.0")


def _train_in_child(data: Path, out: Path, resume: bool) -> None:
    torch.set_num_threads(1)
    train(job(data, out, *RESUMED, resume=resume))


@pytest.mark.slow
def test_killed_at_ten_random_moments_and_resumed_it_ends_the_same(small: Path, tmp_path: Path) -> None:
    train(job(small, tmp_path / "whole", *RESUMED))
    children = multiprocessing.get_context("forkserver")
    children.set_forkserver_preload(["tests.trainer.test_train"])
    rng, kills, out = random.Random(0), 0, tmp_path / "broken"
    while kills < 10:
        child = children.Process(target=_train_in_child, args=(small, out, (out / session.RUN_FILE).exists()))
        child.start()
        _wait_for_saves(out / state.NAME, rng.randrange(3), child)
        time.sleep(rng.uniform(0, 0.1))
        child.kill()
        child.join()
        if child.exitcode == 0:  # a fast machine
            break
        kills += 1
    assert kills >= 5, "the training was over before it could be killed"
    _train_in_child(small, out, resume=True)
    assert final(out) == final(tmp_path / "whole")


def _wait_for_saves(file: Path, saves: int, child: multiprocessing.process.BaseProcess) -> None:
    """Return when the child has saved its state so many times (0: at some moment before it first does)."""
    states: set[int] = set()
    before = file.stat().st_mtime_ns if file.exists() else 0
    while child.is_alive() and len(states) < saves:
        now = file.stat().st_mtime_ns if file.exists() else 0
        states |= {now} - {before}
        time.sleep(0.002)
    if not saves:
        time.sleep(0.4)


@pytest.mark.parametrize("recipe", ["mmva", "mmva-no-random-matching", "mmva-no-similarity"])
def test_the_paper_s_recipes_train_on_tiny_towers(small: Path, tmp_path: Path, recipe: str) -> None:
    shutil.copytree(small, tmp_path / "data")
    clips = [line.split(",")[1] for line in (small / "music_va.csv").read_text().splitlines()[1:]]
    images = [line.split(",")[1] for line in (small / "image_va.csv").read_text().splitlines()[1:]]
    pairs = [f"{clip} {image} 0.5" for clip, image in zip(clips, images, strict=True)]
    (tmp_path / "data" / "train_matching.txt").write_text("\n".join(pairs) + "\n")
    result = train(job(tmp_path / "data", tmp_path / "run", *tiny_towers(tmp_path), "train.epochs=20", recipe=recipe))
    curve = losses(tmp_path / "run")
    assert curve[-1] < 0.8 * curve[0]
    assert (result.evaluation.similarity is None) == (recipe == "mmva-no-similarity")
    assert (tmp_path / "run" / BEST).stat().st_size < 8_000_000


def test_fine_tuning_lowers_the_loss_and_keeps_the_tower(small: Path, tmp_path: Path) -> None:
    changes = (*tiny_towers(tmp_path), 'train.finetune=["image", "music", "text"]', "train.epochs=8", "train.backbone_lr=1e-4")
    result = train(job(small, tmp_path / "run", *changes, recipe="mmva"))
    curve = losses(tmp_path / "run")
    assert curve[-1] < 0.8 * curve[0]
    before = torch.load(tmp_path / "mert" / "pytorch_model.bin", weights_only=True)["encoder.layers.0.attention.q_proj.weight"]
    after = loop.checkpoint.read(result.checkpoint).tensors["towers.music.backbone.encoder.layers.0.attention.q_proj.weight"]
    assert (before - after.float()).abs().max() > 1e-4
    assert json.loads(loop.checkpoint.read(result.checkpoint).notes["licences"])["music"].startswith("CC BY-NC")


def tiny_towers(folder: Path) -> tuple[str, ...]:
    sources = {"image": tiny.clip(folder / "clip"), "music": tiny.mert(folder / "mert"), "text": tiny.roberta(folder / "roberta")}
    return (
        *(f"towers.{modality}.source={source}" for modality, source in sources.items()),
        "towers.text.max_tokens=32",
        "train.batch_size=8",
    )


def test_cache_on_and_off_give_the_same_losses(small: Path, traced: Path, tmp_path: Path) -> None:
    train(job(small, tmp_path / "run", *TRACE, "data.cache=false"))
    assert losses(tmp_path / "run") == pytest.approx(losses(traced), abs=1e-6)


def test_zhao_pairs_and_a_split_by_clip(small: Path, tmp_path: Path) -> None:
    result = train(job(small, tmp_path / "run", *QUICK, "train.epochs=1", "pairs.matching=zhao2020", "data.split=clip"))
    assert isinstance(result, Result)


def test_pictures_alone_can_be_trained_on(tmp_path: Path) -> None:
    data = synthetic.draw(tmp_path / "data", images=24, tracks=3, clips_a_track=1, clip_s=0.2, image_px=16)
    shutil.rmtree(data / "music")
    (data / "music_va.csv").unlink()
    recipe = tmp_path / "pictures.toml"
    recipe.write_text('[towers.image]\nname = "compact"\ninput_px = 32\n[model]\nsimilarity = false\n[train]\nepochs = 1\nbatch_size = 8\n')
    result = train(job(data, tmp_path / "run", recipe=str(recipe)))
    assert set(result.evaluation.va) == {"image"}
    assert loop.checkpoint.read(result.checkpoint).sigma is None


def test_what_a_run_leaves_behind(traced: Path) -> None:
    names = {path.name for path in traced.iterdir()}
    assert {BEST, LAST, "best.json", "metrics.csv", "losses.png", "state.safetensors", "run.json"} <= names
    read = loop.checkpoint.read(traced / BEST)
    assert {"label_scale", "recipe", "data", "sigma", "metrics", "libraries", "licences", "backbones"} <= set(read.notes)
    assert recipes.from_json(read.notes["recipe"]) == recipes.load(SMALL, TRACE)
    assert read.sigma == float(read.notes["sigma"])
    assert json.loads(read.notes["metrics"])["test"] == json.loads((traced / "best.json").read_text())


def test_a_run_is_not_overwritten_and_resumes_only_as_itself(small: Path, traced: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="already holds a run: resume it"):
        train(job(small, traced, *TRACE))
    shutil.copytree(traced, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"train.lr was 0.0001, now it is 0.1: a resumed run may change train.epochs"):
        train(job(small, tmp_path / "run", *TRACE, "train.lr=0.1", resume=True))
    other = synthetic.draw(tmp_path / "other", images=24, tracks=8, clips_a_track=3, clip_s=0.5, image_px=16, seed=1)
    with pytest.raises(DataError, match="not the data this run began with"):
        train(job(other, tmp_path / "run", *TRACE, resume=True))
    kept = tmp_path / "run" / state.NAME
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable training state"):
        train(job(small, tmp_path / "run", *TRACE, resume=True))


def test_a_resumed_run_can_be_given_more_epochs(small: Path, traced: Path, tmp_path: Path) -> None:
    shutil.copytree(traced, tmp_path / "run")
    changes = [change for change in TRACE if "epochs" not in change]
    train(job(small, tmp_path / "run", *changes, "train.epochs=5", resume=True))
    assert len(losses(tmp_path / "run")) == 5
    assert losses(tmp_path / "run")[:3] == losses(traced)


def test_bad_rows_stop_it_or_are_left_out(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "data")
    synthetic.write_wav(tmp_path / "data" / "music" / "1-10.wav", torch.zeros(24000).numpy())
    (tmp_path / "data" / "images" / "im0001.jpg").write_bytes(b"no picture")
    for cache in ("true", "false"):
        bad = job(tmp_path / "data", tmp_path / f"run-{cache}", *QUICK, "train.epochs=1", f"data.cache={cache}")
        if cache == "true":
            with pytest.raises(TrainerError, match=r"image_va.csv row 3 \(id 'im0001'\): .*im0001.jpg: not a picture"):
                train(bad)
        result = train(Job(**{**bad.__dict__, "skip_bad": True}))
        assert len(result.skipped) == 2
        assert any("im0001.jpg: not a picture" in line for line in result.skipped)
        assert any("1-10.wav: silent" in line for line in result.skipped)


def test_more_processes_than_rows_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train.batch_size: 1: must be at least the number of processes, 2"):
        session.prepare(job(small, tmp_path, "train.batch_size=1"), loop.distributed.Processes(0, 2), torch.device("cpu"), lambda *_: None)
