"""The open_clip tower, with a tiny random configuration of the real class saved to a folder."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from trainer import CheckpointError, Predictor, WeightsError, checkpoint
from trainer.model.clip import ClipImageTower
from trainer.model.mmva import MMVA

IMAGE_PX = 32


def save_tiny_clip(folder: Path, embed_dim: int = 512) -> Path:
    """One layer, 32 pixels, random weights from a fixed seed, saved as open_clip saves its models."""
    config = {
        "embed_dim": embed_dim,
        "vision_cfg": {"image_size": IMAGE_PX, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
    }
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    folder.mkdir()
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**config)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


def save_checkpoint(path: Path, source: Path, *, heads_only: bool = False) -> Path:
    """A checkpoint that names the tower in a folder, its head random from a fixed seed."""
    torch.manual_seed(1)
    towers = {"image": {"name": "clip", "source": str(source)}}
    model = MMVA(towers)
    if not heads_only:
        model.freeze(("image",))  # a tower that is fine-tuned is saved whole
    checkpoint.save(path, model, "tiny", towers)
    return path


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture
def pictures() -> np.ndarray:
    """(3, 48, 80, 3) smooth pictures: resizing them leaves no doubt of more than a rounding step."""
    y, x = np.mgrid[:48, :80]
    waves = [np.stack([np.sin(x / 9 + phase), np.cos(y / 7 + phase), np.sin((x + y) / 11)], -1) for phase in range(3)]
    return ((np.stack(waves) + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize("heads_only", [False, True], ids=["all tensors", "heads alone"])
def test_embeddings_are_open_clips_own(tiny_clip: Path, tmp_path: Path, pictures: np.ndarray, heads_only: bool):
    loaded = Predictor.load(save_checkpoint(tmp_path / "tiny.safetensors", tiny_clip, heads_only=heads_only), device="cpu")
    va, embeddings = loaded.image(pictures, embeddings=True)

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    with torch.inference_mode():
        theirs = model.eval().encode_image(torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])).numpy()

    assert loaded.name == "tiny"
    assert embeddings.shape == (3, 512)
    # Theirs resizes through Pillow and rounds to 8 bits, ours does not round: 1/255 of the range.
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(embeddings / scale, theirs / scale, atol=0.02)
    assert np.abs(theirs[0] - theirs[1]).max() / scale > 0.05  # other pictures differ by more than the tolerance
    assert va.shape == (3, 2)
    assert ((va >= 0) & (va <= 1)).all()


def test_preprocessing_is_open_clips_own(tiny_clip: Path, pictures: np.ndarray):
    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    theirs = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    ours = ClipImageTower(str(tiny_clip)).preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert ours.shape == (3, 3, IMAGE_PX, IMAGE_PX)
    step = 1 / 255 / min(open_clip.OPENAI_DATASET_STD)
    torch.testing.assert_close(ours, theirs, atol=1.5 * step, rtol=0)


def test_another_embedding_size_is_refused(tmp_path: Path, pictures: np.ndarray):
    path = save_checkpoint(tmp_path / "small.safetensors", save_tiny_clip(tmp_path / "small", embed_dim=256))
    with pytest.raises(CheckpointError, match="256-d embeddings, the VA head takes 512: use a tower with 512-d embeddings"):
        Predictor.load(path, device="cpu").image(pictures)


def test_a_folder_without_weights(tiny_clip: Path, tmp_path: Path):
    path = save_checkpoint(tmp_path / "gone.safetensors", tiny_clip, heads_only=True)
    towers = {"image": {"name": "clip", "source": str(tmp_path / "empty")}}
    (tmp_path / "empty").mkdir()
    read = checkpoint.read(path)
    with pytest.raises(WeightsError, match=r"could not be loaded .*: connect to the model hub once, or name a folder"):
        checkpoint.build(checkpoint.Checkpoint(path, "gone", towers, read.tensors, {}))


def test_weights_that_only_the_hub_has_are_an_error_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets at import
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(WeightsError, match="CLIP weights for 'ViT-B-32' could not be loaded") as caught:
        ClipImageTower("ViT-B-32")
    assert time.monotonic() - started < 20  # it does not try the network again and again
    assert "\n" not in str(caught.value)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]  # the error says it, once


def test_an_unknown_model_name():
    with pytest.raises(WeightsError, match="CLIP weights for 'ViT-Z-1' could not be loaded"):
        ClipImageTower("ViT-Z-1")
    assert not logging.root.manager.disable  # silenced for the loading alone


def test_a_setting_the_tower_does_not_have():
    with pytest.raises(CheckpointError, match="image tower 'clip' does not take these settings"):
        MMVA({"image": {"name": "clip", "revision": "main"}})
