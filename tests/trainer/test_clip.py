"""The open_clip tower, with a tiny random configuration of the real class saved to a folder."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from trainer import CheckpointError, Predictor, WeightsError, checkpoint
from trainer.model.clip import ClipImageTower
from trainer.model.mmva import MMVA

IMAGE_PX = 32


def save_tiny_clip(folder: Path, embed_dim: int = 512, **preprocessing: str) -> Path:
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
        **preprocessing,
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


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_preprocessing_is_open_clips_own(tmp_path: Path, interpolation: str, resize_mode: str):
    """MobileCLIP's weights, for example, were trained on bilinear pictures, PE's on squeezed ones."""
    folder = save_tiny_clip(tmp_path / "tiny", interpolation=interpolation, resize_mode=resize_mode)
    # Waves short enough for the two interpolations to differ by more than Pillow's rounding.
    y, x = np.mgrid[:48, :80]
    waves = [np.stack([np.sin(x / 3 + phase), np.cos(y / 3 + phase), np.sin((x + y) / 3)], -1) for phase in range(3)]
    pictures = ((np.stack(waves) + 1) * 127.5).astype(np.uint8)
    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    theirs = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    ours = ClipImageTower(str(folder)).preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert ours.shape == (3, 3, IMAGE_PX, IMAGE_PX)
    step = 1 / 255 / min(open_clip.OPENAI_DATASET_STD)
    torch.testing.assert_close(ours, theirs, atol=1.5 * step, rtol=0)


def test_preprocessing_that_we_do_not_have_is_refused(tmp_path: Path):
    with pytest.raises(
        WeightsError, match=r"take pictures of 32x32 pixels, bicubic, longest: only squares, .* are supported; use another model"
    ):
        ClipImageTower(str(save_tiny_clip(tmp_path / "tiny", resize_mode="longest")))


def cut_down(monkeypatch: pytest.MonkeyPatch, folder: Path, *, quick_gelu: bool) -> tuple[open_clip.model.CLIP, list[str]]:
    """ViT-B-32 with one layer, under its own names and tags; a random model of it, and the repositories asked for its saved weights."""
    config: dict[str, Any] = {
        "embed_dim": 512,
        "vision_cfg": {"image_size": IMAGE_PX, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", config)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32-quickgelu", config | {"quick_gelu": True})
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**config, quick_gelu=quick_gelu).eval()
    nn.init.normal_(model.visual.transformer.resblocks[0].mlp.c_fc.weight)  # far enough from 0 for the two activations to differ
    path = folder / "open_clip_model.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    asked: list[str] = []

    def download(repo_id: str, filename: str, **options: object) -> str:
        asked.append(repo_id)
        return str(path)

    monkeypatch.setattr("open_clip.pretrained.hf_hub_download", download)
    return model, asked


@pytest.mark.parametrize(
    ("source", "pretrained", "quick_gelu", "repository"),
    [
        ("ViT-B-32", "openai", True, "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B/32", "openai", True, "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32-quickgelu", "openai", True, "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32", "metaclip-400m", True, "timm/vit_base_patch32_clip_224.metaclip_400m"),
        ("ViT-B-32", "laion2b_s34b_b79k", False, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ],
)
def test_weights_run_with_the_activation_that_their_tag_asks_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, pretrained: str, quick_gelu: bool, repository: str
):
    reference, asked = cut_down(monkeypatch, tmp_path, quick_gelu=quick_gelu)
    tower = ClipImageTower(source, pretrained)
    batch = tower.preprocess(torch.randint(0, 256, (4, 3, 50, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
    other = open_clip.create_model("ViT-B-32" if quick_gelu else "ViT-B-32-quickgelu").eval()
    other.load_state_dict(reference.state_dict())
    with torch.inference_mode():
        ours, theirs = tower.embed(batch), reference.encode_image(batch)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        assert (other.encode_image(batch) - theirs).abs().max() > 1e-3  # with the other activation
    assert asked == [repository]
    assert tower.configuration["activation"] == ("QuickGELU" if quick_gelu else "GELU")


def test_a_model_of_another_activation_than_its_weights_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    cut_down(monkeypatch, tmp_path, quick_gelu=True)  # for the download: open_clip's own tables disagree on this model
    with pytest.raises(
        WeightsError, match=r"'laion2b_s12b_b32k' do not fit 'roberta-ViT-B-32' \(QuickGELU mismatch .*: use another tag"
    ) as caught:
        ClipImageTower("roberta-ViT-B-32", "laion2b_s12b_b32k")
    assert "\n" not in str(caught.value)


def test_an_activation_that_open_clip_does_not_build_is_an_error(tmp_path: Path):
    config = {
        "embed_dim": 512,
        "quick_gelu": True,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_proj": "linear", "image_size": 160},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
    }
    model = open_clip.model.CLIP(**config)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(WeightsError, match=r"were trained with QuickGELU, open_clip runs the model with GELU: use another model"):
        ClipImageTower(str(tmp_path))


def test_a_file_in_place_of_a_tag_is_refused(tiny_clip: Path):
    """It holds no word of the activation, so that open_clip would run OpenAI's own weights on GELU."""
    with pytest.raises(
        WeightsError, match=r"is no tag of 'ViT-B-32': allowed are openai, laion400m_e31, .*; for other weights name a folder"
    ):
        ClipImageTower("ViT-B-32", str(tiny_clip / "open_clip_model.safetensors"))


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
