"""Checkpoints and the Predictor that loads them."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from trainer import CheckpointError, Predictor, WeightsError, checkpoint
from trainer.model.mmva import MMVA
from trainer.model.pretrained import fingerprint

COMPACT = {modality: {"name": "compact"} for modality in ("image", "music", "text")}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "all.safetensors"
    torch.manual_seed(0)
    checkpoint.save(path, MMVA(COMPACT, similarity=True), "all", COMPACT, {"sigma": "0.5"})
    return path


@pytest.fixture(scope="module")
def predictor(saved: Path) -> Predictor:
    return Predictor.load(saved, device="cpu", batch_size=2)


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)


def test_the_bundled_model_predicts_the_same_values() -> None:
    bundled = Predictor.load(device="cpu")
    picture = np.zeros((1, 100, 200, 3), np.uint8)
    picture[:, :50] = (255, 120, 0)
    assert bundled.name == "compact"
    assert bundled.sample_rate_hz == 24000
    np.testing.assert_allclose(bundled.image(picture), [[0.50260, 0.10660]], atol=2e-4)
    np.testing.assert_allclose(bundled.text(["calm", "a furious drum solo"]), [[0.70186, 0.05360], [0.23539, 0.87159]], atol=2e-4)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 24000).astype(np.float32)
    np.testing.assert_allclose(bundled.music([tone]), [[0.19363, 0.35397]], atol=5e-4)
    va, vectors = bundled.image(frames(3), embeddings=True)
    assert va.shape == (3, 2)
    assert vectors.shape == (3, 512)


def test_a_tower_that_is_not_loaded_is_not_there() -> None:
    pictures = Predictor.load(device="cpu", modalities=("image",))
    assert pictures.modalities == ("image",)
    assert pictures.sample_rate_hz is None
    with pytest.raises(CheckpointError, match="compact: has no music tower, only image: use one that was trained on music"):
        pictures.music([np.zeros(24000, np.float32)])
    with pytest.raises(CheckpointError, match="has no text tower"):
        pictures.text(["calm"])


def test_all_modalities_in_batches_of_any_size(saved: Path, predictor: Predictor) -> None:
    assert predictor.modalities == ("image", "music", "text")
    assert predictor.sigma == 0.5
    assert predictor.sample_rate_hz == 24000
    assert predictor.window_s == 10.0
    alone = Predictor.load(saved, device="cpu", batch_size=1)
    for method, raw in (
        ("image", frames(5)),
        ("music", tiny.waves(24000, 36000, 24000, 2400, 240000)),
        ("text", ["calm", "", "a b c", "x", "y"]),
    ):
        va, vectors = getattr(predictor, method)(raw, embeddings=True)
        assert va.dtype == vectors.dtype == np.float32
        assert va.shape == (5, 2)
        assert vectors.shape == (5, 512)
        assert ((va >= 0) & (va <= 1)).all()
        np.testing.assert_allclose(va, getattr(alone, method)(raw), atol=1e-5)
        assert getattr(predictor, method)(raw[:0]).shape == (0, 2)
    stacked = np.stack(tiny.waves(24000, 24000))
    np.testing.assert_allclose(predictor.music(stacked), predictor.music(list(stacked)))


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([np.zeros((2, 24000), np.float32)], r"window 0 must be \(n,\) floats"),
        ([np.zeros(24000, np.int16)], r"not \(24000,\) int16"),
        ([np.full(24000, np.nan, np.float32)], "all finite"),
        ([np.zeros(24000, np.float32), np.zeros(100, np.float32)], r"window 1 has 0.00 s at 24000 Hz: must be 0.1 to 10 s"),
        ([np.zeros(240_001 + 24000, np.float32)], "must be 0.1 to 10 s"),
    ],
)
def test_impossible_windows_are_refused(predictor: Predictor, windows: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.music(windows)


def test_impossible_frames_and_captions_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="frames must be"):
        predictor.image(np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="a sequence of texts, not one text"):
        predictor.text("calm")


def test_one_tower_alone_can_be_loaded(saved: Path, predictor: Predictor) -> None:
    image = Predictor.load(saved, device="cpu", modalities=("image",))
    assert image.modalities == ("image",)
    np.testing.assert_allclose(image.image(frames(2)), predictor.image(frames(2)), atol=1e-6)


def test_heads_of_pretrained_towers_stay_small_and_need_the_weights_they_were_trained_on(tmp_path: Path) -> None:
    folder = tiny.mert(tmp_path / "mert")
    towers = {"music": {"name": "mert", "source": str(folder)}}
    model = MMVA(towers)
    notes = {"backbones": json.dumps({"music": fingerprint(model.tower("music").backbone)})}
    path = tmp_path / "heads.safetensors"
    checkpoint.save(path, model, "heads", towers, notes)
    assert path.stat().st_size < 2.5e6
    assert not any("backbone" in key for key in checkpoint.read(path).tensors)
    wave = tiny.waves(24000)
    before = Predictor.load(path, device="cpu").music(wave)

    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(WeightsError, match=r"no folder .*mert: name a folder that holds config.json"):
        Predictor.load(path, device="cpu")
    np.testing.assert_allclose(Predictor.load(path, device="cpu", sources={"music": str(moved)}).music(wave), before, atol=1e-6)
    tiny.mert(folder, seed=1)
    with pytest.raises(CheckpointError, match="was trained on other weights of its music tower"):
        Predictor.load(path, device="cpu")


def test_embeddings_of_another_width_are_refused(tmp_path: Path) -> None:
    towers = {"image": {"name": "clip", "source": str(tiny.clip(tmp_path / "clip", width=64))}}
    path = tmp_path / "narrow.safetensors"
    checkpoint.save(path, MMVA(towers), "narrow", towers)
    with pytest.raises(CheckpointError, match="gives 64-d embeddings, the VA head takes 512"):
        Predictor.load(path, device="cpu").image(frames(1))


def test_files_that_are_no_sound_checkpoint(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="may be truncated or a pickle; get it again"):
        Predictor.load(path)
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    with pytest.raises(CheckpointError, match="may be truncated or a pickle; get it again"):
        Predictor.load(path)
    with pytest.raises(CheckpointError, match="no model 'nothing': give compact, or the path"):
        Predictor.load("nothing")
    read = checkpoint.read(saved)
    image, vgg = (json.dumps({"image": {"name": name}}) for name in ("compact", "vgg"))
    for metadata, message in (
        ({"format": "other/1", "towers": json.dumps(COMPACT)}, "format 'other/1', expected"),
        ({"format": checkpoint.FORMAT}, r"does not say which towers it needs"),
        ({"format": checkpoint.FORMAT, "towers": '{"video": {}}'}, r"does not say which towers it needs"),
        (
            {"format": checkpoint.FORMAT, "towers": vgg},
            "unknown image tower 'vgg': allowed are compact, clip",
        ),
        (
            {"format": checkpoint.FORMAT, "towers": image},
            "does not fit its towers: 0 tensors missing .* left over",
        ),
        ({"format": checkpoint.FORMAT, "towers": json.dumps(COMPACT), "sigma": "-1"}, "its sigma is '-1', not a number above 0"),
    ):
        checkpoint.write(path, read.tensors, metadata)
        with pytest.raises(CheckpointError, match=message):
            Predictor.load(path)
    kept = {key: value for key, value in read.tensors.items() if key != "heads.text.0.weight"}
    checkpoint.write(path, kept, {"format": checkpoint.FORMAT, "towers": json.dumps(COMPACT)})
    with pytest.raises(CheckpointError, match=r"1 tensors missing \['heads.text.0.weight'\]"):
        Predictor.load(path)


def test_a_checkpoint_is_written_whole_or_not_at_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr("trainer.checkpoint.save_file", lambda tensors, path, metadata: Path(path).write_bytes(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpoint.save(saved, MMVA({"text": {"name": "compact"}}), "half", {"text": {"name": "compact"}})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_errors_and_recipes_do_not_wait_for_torch() -> None:
    code = "import sys, trainer, trainer.errors, trainer.recipe, trainer.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_frozen_backbones_are_never_in_training_mode_for_a_moment() -> None:
    """Another thread may be computing the next batch with them: batch norm would take the batch's own statistics."""
    seen: list[bool] = []

    class Watched(torch.nn.Identity):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "training":
                seen.append(bool(value))
            super().__setattr__(name, value)

    model = MMVA({"image": {"name": "compact"}})
    model.tower("image").backbone["watched"] = watched = Watched().eval()
    seen.clear()
    assert model.train().training
    assert not watched.training
    assert not any(seen)
    assert not model.eval().tower("image").project.training
