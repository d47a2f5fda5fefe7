"""Heads that agree on what 0.2 and 0.8 mean, and checkpoints with matrices in 8 bits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from trainer import Predictor, calibrate, checkpoint
from trainer.affect import COMMON, LEVELS
from trainer.evaluation.cv import CrossValidation, Figure
from trainer.model.calibration import Calibration
from trainer.model.mmva import MMVA
from trainer.session import Job

TOWERS = {"text": {"name": "compact"}}


def test_shrunk_predictions_get_the_common_quantiles_in_the_same_order() -> None:
    rng = np.random.default_rng(0)
    shrunk = np.column_stack([rng.normal(0.5, 0.05, 4000), rng.beta(2, 8, 4000)]).clip(0, 1).astype(np.float32)
    calibration = Calibration(shrunk)
    after = calibration(torch.from_numpy(shrunk)).numpy()
    for axis in (0, 1):
        np.testing.assert_allclose(np.quantile(after[:, axis], LEVELS), COMMON, atol=0.005)
        order = np.argsort(shrunk[:, axis], kind="stable")
        assert (np.diff(after[order, axis]) >= -1e-6).all()
    ends = calibration(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).numpy()
    np.testing.assert_allclose(ends, [[0, 0], [1, 1]], atol=1e-6)


def test_the_order_of_two_predictions_is_believed_as_far_as_it_was_right() -> None:
    """Phi(difference / scale) is how often held-out pairs are in order; where predictions say nothing, no difference is believed."""
    rng = np.random.default_rng(0)
    predicted = rng.normal(0.5, 0.18, (20000, 2))
    labels = np.column_stack([0.5 * predicted[:, 0] + rng.normal(0, 0.15, 20000), rng.normal(0.5, 0.18, 20000)])
    scale, blind = calibrate.order_scale(predicted, labels)
    assert scale == pytest.approx(np.sqrt(2) * 0.15 / 0.5, rel=0.03)
    apart, labels_apart = np.diff(predicted[:, 0].reshape(-1, 2)).ravel(), np.diff(labels[:, 0].reshape(-1, 2)).ravel()
    near = np.abs(np.abs(apart) - 0.2) < 0.05
    right = np.mean(np.sign(apart[near]) == np.sign(labels_apart[near]))
    assert right == pytest.approx(0.5 * (1 + math.erf(0.2 / scale / math.sqrt(2))), abs=0.03)
    assert blind > 10


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_predictions_that_are_all_the_same_stay_in_range(constant: float) -> None:
    calibration = Calibration(np.full((10, 2), constant, np.float32))
    after = calibration(torch.linspace(0, 1, 101)[:, None].repeat(1, 2)).numpy()
    assert np.isfinite(after).all()
    assert after.min() >= 0
    assert after.max() <= 1
    assert (np.diff(after, axis=0) >= 0).all()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "best.safetensors"
    checkpoint.save(path, MMVA(TOWERS), "mine", TOWERS, {"sigma": "0.3", "recipe": "kept"}, torch.float16)
    return path


def test_a_finished_training_is_calibrated_by_what_was_held_out(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [f"{mood} {thing}" for mood in ("calm", "furious", "sad", "bright") for thing in ("song", "cello", "drums", "night", "rain")]
    before = Predictor.load(trained, device="cpu").text(captions)
    figure = Figure("text", "mine", "test split", 20, (0.6, 0.5), (0.01, 0.02), (0.5, 0.4), "ridge on TF-IDF", (0.1, 0.1), (0.15, 0.15))
    result = CrossValidation((figure,), {"text": before}, {"text": before[::-1]})
    monkeypatch.setattr(calibrate.cv, "cross_validate", lambda job, on_progress: result)
    assert calibrate.calibrate(Job(None, trained.parent, trained.parent), trained) is result  # type: ignore[arg-type]

    loaded = checkpoint.read(trained)
    assert loaded.order_scale["text"] == Predictor.load(trained, device="cpu").order_scale["text"]
    assert (loaded.name, loaded.sigma, loaded.notes["recipe"]) == ("mine", 0.3, "kept")
    figures = json.loads(loaded.notes["cross_validation"])["figures"]
    assert figures[0]["r"] == {"valence": 0.6, "arousal": 0.5}
    assert json.loads((trained.parent / calibrate.FIGURES).read_text())["figures"] == figures
    assert (trained.parent / calibrate.PLOT).read_bytes().startswith(b"\x89PNG")

    after = Predictor.load(trained, device="cpu").text(captions)
    np.testing.assert_allclose(after.mean(0), 0.5, atol=0.05)
    np.testing.assert_allclose(after.std(0), 0.18, atol=0.05)
    assert before.std(0).max() < 0.1  # it was not so before
    for axis in (0, 1):
        np.testing.assert_array_equal(np.argsort(before[:, axis], kind="stable"), np.argsort(after[:, axis], kind="stable"))

    small = trained.parent / calibrate.SMALL
    assert small.stat().st_size < 0.9 * trained.stat().st_size
    assert Predictor.load(small, device="cpu").text(captions).std(0).min() > 0.1  # it is calibrated, too


def test_what_8_bits_hold(trained: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    checkpoint.shrink(trained, small)
    before, after = checkpoint.read(trained).tensors, checkpoint.read(small).tensors
    assert before.keys() == after.keys()
    with safe_open(small, framework="pt") as file:
        kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 - not a dict
    assert kinds["heads.text.0.weight"] == "I8"
    assert kinds["heads.text.0.bias"] == "F16"
    captions = ["a calm night", "furious drums", "rain"]
    whole, eight = (Predictor.load(path, device="cpu").text(captions) for path in (trained, small))
    np.testing.assert_allclose(whole, eight, atol=0.004)
    for key, value in before.items():
        if kinds[key] == "I8":
            step = value.float().abs().amax(1, keepdim=True) / 127
            assert ((after[key] - value.float()).abs() <= 0.51 * step + 1e-6).all(), key
        else:
            assert torch.equal(after[key], value), key
