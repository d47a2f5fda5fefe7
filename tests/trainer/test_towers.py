import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.transforms.v2 import functional as F
from transformers import BertConfig, BertModel

from tests.helpers import scenery, tiny
from trainer.errors import CheckpointError, RecipeError, WeightsError
from trainer.model.compact_image import DEEP, INPUT_PX, CompactImageTower
from trainer.model.efficientnet_lite import EfficientNetLite
from trainer.model.mert import MertMusicTower
from trainer.model.mmva import build_tower
from trainer.model.roberta import RobertaTextTower


@pytest.fixture(scope="module")
def mert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.mert(tmp_path_factory.mktemp("mert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.roberta(tmp_path_factory.mktemp("roberta"))


def test_mert_loads_every_tensor_of_the_published_form(mert: Path) -> None:
    tower = MertMusicTower(str(mert))
    published = torch.load(mert / "pytorch_model.bin", weights_only=True)
    own = tower.backbone.state_dict()
    weight_v = "encoder.pos_conv_embed.conv.weight_v"
    assert torch.equal(own["encoder.pos_conv_embed.conv.parametrizations.weight.original1"], published[weight_v])
    assert all(torch.equal(own[key], value) for key, value in published.items() if key in own)
    assert len(own) == len(published)


def test_mert_gives_one_vector_a_hidden_state(mert: Path) -> None:
    first, mean = MertMusicTower(str(mert)), MertMusicTower(str(mert), pool="mean")
    batch = first.preprocess(tiny.waves(24000))
    with torch.no_grad():
        states = first.backbone(batch[0][None], output_hidden_states=True).hidden_states
        assert first.encode(batch).shape == (1, tiny.LAYERS + 1, tiny.WIDTH)
        torch.testing.assert_close(first.encode(batch)[0], torch.stack([state[0, 0] for state in states]))
        torch.testing.assert_close(mean.encode(batch)[0], torch.stack([state[0].mean(0) for state in states]))
        assert first.embed(batch).shape == (1, 512)


def test_mert_does_not_mix_windows_of_a_batch(mert: Path) -> None:
    tower = MertMusicTower(str(mert))
    windows = tiny.waves(24000, 12000, 24000, 6000)
    with torch.no_grad():
        together = tower.embed(tower.preprocess(windows))
        alone = torch.cat([tower.embed(tower.preprocess([window])) for window in windows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_mert_normalises_its_input(mert: Path) -> None:
    loud = MertMusicTower(str(mert)).preprocess([0.3 + 0.01 * tiny.waves(24000)[0]])[0]
    assert loud.mean().item() == pytest.approx(0, abs=1e-4)
    assert loud.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("damage", ["missing", "left over", "shape", "truncated", "code"])
def test_mert_refuses_weights_that_do_not_fill_it(tmp_path: Path, damage: str) -> None:
    folder = tiny.mert(tmp_path / "mert")
    file = folder / "pytorch_model.bin"
    weights = torch.load(file, weights_only=True)
    key = "encoder.pos_conv_embed.conv.weight_g"
    match damage:
        case "missing":
            del weights[key]
        case "left over":
            weights["encoder.pos_conv_embed.conv.weight_h"] = weights[key]
        case "shape":
            weights[key] = weights[key][..., :-1]
    torch.save(weights, file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    if damage == "code":
        file.write_bytes(pickle.dumps({"weights": Path("/tmp")}))
    with pytest.raises(WeightsError) as caught:
        MertMusicTower(str(folder))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value).split("(", 1)[0]


def test_mert_refuses_what_is_not_hubert(tmp_path: Path) -> None:
    folder = tiny.mert(tmp_path / "mert")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"deepnorm": True}))
    with pytest.raises(WeightsError, match="deepnorm is True, HuBERT's classes run False only"):
        MertMusicTower(str(folder))


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("config.json", {"sample_rate": 16000}, r"config.json: sample_rate is 16000, this tower takes 24000 only: use MERT-v1-95M"),
        ("preprocessor_config.json", {"sampling_rate": 16000}, "sampling_rate is 16000, this tower takes 24000 only"),
        (
            "preprocessor_config.json",
            {"sampling_rate": 24000, "do_normalize": False},
            "do_normalize is False, this tower takes True only",
        ),
        ("preprocessor_config.json", {"sampling_rate": 24000, "do_normalize": True}, None),
    ],
)
def test_mert_refuses_weights_trained_on_other_audio(tmp_path: Path, file: str, settings: dict[str, Any], message: str | None) -> None:
    folder = tiny.mert(tmp_path / "mert")
    before = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps(before | settings))
    if message is None:
        MertMusicTower(str(folder))
    else:
        with pytest.raises(WeightsError, match=message):
            MertMusicTower(str(folder))


def test_weights_that_are_nowhere_say_how_to_get_them(tmp_path: Path) -> None:
    for build, source in ((MertMusicTower, "m-a-p/MERT-v1-95M"), (RobertaTextTower, "FacebookAI/roberta-base")):
        with pytest.raises(WeightsError, match=rf"weights of '{source}' could not be loaded .*connect to the model hub once, or name"):
            build(source)
    with pytest.raises(WeightsError, match=r"holds no config.json: name a folder that holds config.json and pytorch_model.bin"):
        MertMusicTower(str(tmp_path))
    with pytest.raises(WeightsError, match="no folder /nowhere/mert: name a folder"):
        MertMusicTower("/nowhere/mert")
    with pytest.raises(RecipeError, match="pool 'max': allowed are first, mean"):
        MertMusicTower(str(tmp_path), pool="max")


def test_roberta_gives_one_vector_a_hidden_state(roberta: Path) -> None:
    first, mean = RobertaTextTower(str(roberta), max_tokens=64), RobertaTextTower(str(roberta), pool="mean", max_tokens=64)
    batch = first.preprocess(["a calm song"])
    with torch.no_grad():
        states = first.backbone(batch[0][None], output_hidden_states=True).hidden_states
        torch.testing.assert_close(first.encode(batch)[0], torch.stack([state[0, 0] for state in states]))
        torch.testing.assert_close(mean.encode(batch)[0], torch.stack([state[0].mean(0) for state in states]))


@pytest.mark.parametrize("pool", ["first", "mean"])
def test_roberta_does_not_mix_captions_of_a_batch(roberta: Path, pool: str) -> None:
    tower = RobertaTextTower(str(roberta), pool=pool, max_tokens=64)
    captions = ["calm", "A blissful tune, played at a frantic pace, features a synthesizer. " * 3, ""]
    with torch.no_grad():
        together = tower.embed(tower.preprocess(captions))
        alone = torch.cat([tower.embed(tower.preprocess([caption])) for caption in captions])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_roberta_cuts_long_captions_and_refuses_missing_tensors(roberta: Path, tmp_path: Path) -> None:
    assert len(RobertaTextTower(str(roberta), max_tokens=16).preprocess(["frantic " * 500])[0]) == 16
    folder = tiny.roberta(tmp_path / "roberta")
    weights = load_file(folder / "model.safetensors")
    del weights["roberta.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 tensors missing or of another shape \['encoder.layer.1.output.dense.weight'\]"):
        RobertaTextTower(str(folder))


def test_roberta_refuses_weights_of_another_model(tmp_path: Path) -> None:
    """BERT's tensors have the same names, but its positions are counted from 0, RoBERTa's from 2."""
    folder = tiny.roberta(tmp_path / "roberta")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "xlm-roberta"}))
    RobertaTextTower(str(folder))  # the same forward pass under another name
    sizes = {key: settings[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    with pytest.raises(WeightsError, match=r"weights of bert, this tower runs roberta, xlm-roberta, camembert only: name a folder"):
        RobertaTextTower(str(folder))


def test_roberta_refuses_layers_that_would_not_run(tmp_path: Path) -> None:
    folder = tiny.roberta(tmp_path / "roberta")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 1}))
    with pytest.raises(WeightsError, match=r"16 tensors left over \['roberta.encoder.layer.1.attention"):
        RobertaTextTower(str(folder))


def test_clip_from_a_folder(tmp_path: Path) -> None:
    tower = build_tower("image", {"name": "clip", "source": str(tiny.clip(tmp_path / "clip"))})
    pictures = tower.preprocess(torch.randint(0, 256, (2, 3, 50, 40), dtype=torch.uint8))
    assert pictures.shape == (2, 3, 32, 32)
    assert tower.embed(list(pictures)).shape == (2, 512)
    with pytest.raises(WeightsError, match=r"name a folder that holds open_clip_config.json"):
        build_tower("image", {"name": "clip", "source": str(tmp_path)})


@pytest.mark.parametrize("views", [False, True])
def test_folded_batch_norms_change_nothing(views: bool) -> None:
    torch.manual_seed(0)
    tower = CompactImageTower(input_px=64).eval()
    for norm in (module for module in tower.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    pictures = torch.randint(0, 256, (3, 3, 40, 60), dtype=torch.uint8)
    batch = [tower.views(picture) for picture in pictures] if views else tower.preprocess(pictures)
    with torch.inference_mode():
        before = tower.encode(batch)
        tower.fold()
        after = tower.encode(batch)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in tower.modules())
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert before.std() > 0.1  # there is something to change


def test_compact_image_features_are_means_and_deviations_of_the_last_layers() -> None:
    tower = CompactImageTower(input_px=64).eval()
    batch = tower.preprocess(torch.randint(0, 256, (2, 3, 40, 60), dtype=torch.uint8))
    seen: dict[str, list[torch.Tensor]] = {"frames": [], "stills": []}
    for name, outputs in seen.items():
        for layer in list(tower.backbone[name].children())[-DEEP:]:
            layer.register_forward_hook(lambda module, inputs, output, outputs=outputs: outputs.insert(0, output))
    with torch.inference_mode():
        features = tower.encode(batch[:, None])[:, 0]
        embedding = tower.backbone["embedding"](seen["frames"][0].mean((2, 3)))
    expected = [embedding]
    for outputs in seen.values():
        expected += [output.mean((2, 3)) for output in outputs] + [output.std((2, 3)) for output in outputs]
    torch.testing.assert_close(features, torch.cat(expected, 1), atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        as_frames = tower.encode(batch)
    torch.testing.assert_close(tower.as_frames(features[:, None]), as_frames, atol=1e-5, rtol=1e-5)


def test_a_still_is_seen_as_it_is_and_mirrored_and_by_the_first_network_as_a_frame_is() -> None:
    tower = CompactImageTower().eval()
    picture = torch.from_numpy(np.asarray(scenery.meadow((640, 360), 0.0)).copy()).permute(2, 0, 1)
    views = tower.views(picture)
    assert views.shape == (2, 3, 260, 260)
    assert torch.equal(views[0], views[1].flip(-1))
    with torch.inference_mode():
        as_frame, frame = tower.as_frames(tower.encode(views[None])), tower.encode(tower.preprocess(picture[None]))
    # The same but for the way on which it became 208 pixels wide.
    assert (as_frame - frame).square().mean() < 0.02 * frame.var()


def test_stills_and_frames_have_regressions_of_their_own() -> None:
    torch.manual_seed(0)
    tower = CompactImageTower(input_px=64)
    features = torch.randn(40, 2, tower.frame_width + 3920)
    va = torch.rand(40, 2)
    tower.fit(features, va)
    tower.eval()
    still, frame = tower.reduce(features), tower.reduce(tower.as_frames(features))
    for embedding, seen, ridge, given in (
        (still, features.mean(1), tower.still_ridge, features.mean(1)),
        (frame, features[:, 0], tower.frame_ridge, features[:, 0, : tower.frame_width]),
    ):
        said = ridge(given[:, 512:])
        torch.testing.assert_close(embedding, seen[:, :512] + tower.project(said), atol=1e-5, rtol=1e-5)
        assert torch.corrcoef(torch.stack([said[:, 0], va[:, 0]]))[0, 1] > 0.5
    tower.train()
    tower.forget.p = 1e-9
    taken = (tower.reduce(torch.cat([features] * 10)) - torch.cat([features.mean(1)] * 10)[:, :512]).unflatten(0, (10, 40))
    by_frame = tower.project(tower.frame_ridge(features[:, 0, 512 : tower.frame_width]))
    frames = [torch.allclose(row, own, atol=1e-4) for rows in taken for row, own in zip(rows, by_frame, strict=True)]
    assert 0.3 < np.mean(frames) < 0.7  # of the rows in training, half are taken for frames


def test_in_training_what_the_backbone_sees_is_anothers() -> None:
    torch.manual_seed(0)
    tower = CompactImageTower(input_px=64).train()
    nn.init.zeros_(tower.project.weight)
    features = torch.randn(30, 2, tower.frame_width + 3920)
    seen = features.mean(1)[:, :512]
    given = tower.reduce(features) - tower.project.bias
    apart = torch.cdist(given, seen)
    assert apart.amin(1).max() < 0.1  # each is one of them
    assert (apart.argmin(1) == torch.arange(30)).float().mean() < 0.3
    for module in (module for module in tower.modules() if isinstance(module, nn.Dropout)):
        module.p = 0  # model.dropout = 0: deterministic
    assert torch.equal(tower.reduce(features), seen + tower.project.bias)


@pytest.mark.parametrize("side", [64, 65, 66, 67])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_convolutions_are_padded_as_tensorflow_does(side: int, kernel: int, stride: int) -> None:
    """Its rule: as many outputs as inputs / stride, rounded up; what is missing is added half at each end, the odd pixel at the far one."""
    network = EfficientNetLite()
    convs = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    conv = next(conv for conv in convs if (conv.kernel_size, conv.stride) == ((kernel, kernel), (stride, stride)))
    given = torch.randn(1, conv.in_channels, side, side - 3)
    out = conv(given)
    assert out.shape[2:] == (-(-side // stride), -(-(side - 3) // stride))
    missing = [max((size - 1) * stride + kernel - whole, 0) for size, whole in zip(out.shape[2:], given.shape[2:], strict=True)]
    padded = nn.functional.pad(given, [missing[1] // 2, -(-missing[1] // 2), missing[0] // 2, -(-missing[0] // 2)])
    torch.testing.assert_close(out, nn.functional.conv2d(padded, conv.weight, None, stride, 0, 1, conv.groups), atol=1e-5, rtol=1e-5)


def test_a_constant_channel_has_gradients() -> None:
    """Its deviation is 0, and the root of 0 has no derivative."""
    torch.manual_seed(0)
    tower = CompactImageTower(input_px=64).train()
    norm = tower.backbone["frames"][-1][1]
    norm.weight.data[0] = norm.bias.data[0] = 0
    tower.encode(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in tower.parameters())


def test_compact_image_squeezes_photos_as_bytes() -> None:
    """A photo of 12 megapixels takes a few times its 36 MB, not the 144 MB and more that it is as floats; little is lost by it."""
    tower = CompactImageTower()
    frames = torch.randint(0, 256, (2, 3, 300, 400), dtype=torch.uint8)
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        squeezed = tower.preprocess(frames)
    taken = sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())
    assert taken < 4 * (frames.nbytes + squeezed.nbytes)
    floats = (F.resize(frames.float(), [INPUT_PX] * 2, antialias=True) - 127) / 128
    assert (squeezed - floats).abs().max() < 1.1 / 128  # to a level of 255


def test_compact_image_takes_another_size() -> None:
    assert CompactImageTower(input_px=64).preprocess(torch.zeros(1, 3, 10, 20, dtype=torch.uint8)).shape == (1, 3, 64, 64)


def test_unknown_towers_and_settings_are_refused() -> None:
    with pytest.raises(CheckpointError, match="unknown music tower 'clip': allowed are compact, mert"):
        build_tower("music", {"name": "clip"})
    with pytest.raises(CheckpointError, match="does not take these settings"):
        build_tower("text", {"name": "compact", "pool": "first"})


@pytest.mark.parametrize("modality", ["image", "music", "text"])
def test_published_towers_can_be_compiled(modality: str, mert: Path, roberta: Path, tmp_path: Path) -> None:
    torch._dynamo.reset()
    sources = {"image": ("clip", tiny.clip(tmp_path / "clip")), "music": ("mert", mert), "text": ("roberta", roberta)}
    raw = {
        "image": torch.randint(0, 256, (2, 3, 50, 40), dtype=torch.uint8),
        "music": [np.random.default_rng(0).standard_normal(n).astype(np.float32) for n in (8000, 9000)],
        "text": ["a calm sea", "fireworks"],
    }
    name, source = sources[modality]
    tower: Any = build_tower(modality, {"name": name, "source": str(source)}).eval()
    with torch.inference_mode():
        before = tower.embed(tower.preprocess(raw[modality]))
        calls: list[object] = []

        def backend(graph, inputs):
            calls.append(graph)
            return graph.forward

        tower.compile(backend=backend, dynamic=True)
        torch.testing.assert_close(tower.embed(tower.preprocess(raw[modality])), before, atol=1e-5, rtol=1e-4)
    assert calls
