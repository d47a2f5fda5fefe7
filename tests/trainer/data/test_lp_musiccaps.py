import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BartConfig
from transformers.convert_slow_tokenizer import bytes_to_unicode

from trainer.data import lp_musiccaps
from trainer.data.captions import CaptionRecipe, make
from trainer.data.lp_musiccaps import Captioner, LPMusicCaps
from trainer.errors import WeightsError

CPU = torch.device("cpu")


def byte_vocabulary() -> list[str]:
    return ["<s>", "<pad>", "</s>", "<unk>", *bytes_to_unicode().values(), "<mask>"]


def lp_folder(folder: Path, suffix: str = ".pth", prefix: str = "module.") -> LPMusicCaps:
    """A folder as a user makes it of transfer.pth and BART's files, with a tiny random model."""
    folder.mkdir()
    config = BartConfig(
        vocab_size=len(byte_vocabulary()), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=160, dropout=0.0,
    )  # fmt: skip
    generation = {"no_repeat_ngram_size": 3, "early_stopping": True, "forced_bos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config.to_dict() | generation | {"model_type": "bart"}))
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(byte_vocabulary())}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    model = LPMusicCaps(config, n_mels=16)
    tensors = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}, folder / "transfer.pth")
    else:
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "transfer.safetensors")
    return model.eval()


@pytest.mark.parametrize(("suffix", "prefix"), [(".pth", "module."), (".safetensors", "")])
def test_lp_musiccaps_loads_from_a_folder_and_captions_in_batches(
    clips: list[tuple[str, Path]], tmp_path: Path, suffix: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lp_musiccaps, "MAX_TOKENS", 10)
    published = lp_folder(tmp_path / "lp", suffix, prefix)
    captioner = Captioner(tmp_path / "lp", CPU, batch_size=3)
    for name, tensor in published.state_dict().items():
        torch.testing.assert_close(captioner.model.state_dict()[name], tensor, rtol=0, atol=0)
    together = list(captioner.caption([path for _, path in clips]))
    assert len(together) == 4
    alone = [text for _, path in clips for text in captioner.caption([path])]
    assert together == alone
    assert captioner.generation == {"no_repeat_ngram_size": 3, "early_stopping": True, "forced_bos_token_id": 0, "forced_eos_token_id": 2}
    recipe = CaptionRecipe(captioner="lp-musiccaps", weights=str(tmp_path / "lp"), refine=())
    monkeypatch.setattr(Captioner, "caption", lambda self, paths: iter([f"Heard {path.stem}." for path in paths]))
    assert make(clips, recipe, tmp_path / "cache.jsonl", device="cpu")[0] == {name: f"Heard {name}." for name, _ in clips}


def test_lp_musiccaps_has_the_published_shape() -> None:
    names = LPMusicCaps(BartConfig(vocab_size=99, d_model=48, encoder_layers=1, decoder_layers=1), n_mels=128).state_dict()
    assert names["audio_encoder.positional_embedding"].shape == (32, 48)
    assert names["audio_encoder.conv1.weight"].shape == (48, 128, 3)
    assert names["audio_encoder.conv_stack.4.weight"].shape == (48, 48, 3)
    assert names["audio_encoder.mel_encoder.mel_scale.fb"].shape == (513, 128)
    assert "audio_encoder.mel_encoder.spec_fn.window" in names
    assert "bart.model.encoder.layers.0.self_attn.k_proj.weight" in names
    assert "audio_encoder.conv_stack.5.weight" not in names


def test_lp_musiccaps_hears_the_sound(tmp_path: Path) -> None:
    model = lp_folder(tmp_path / "lp")
    time_s = torch.arange(160_000) / 16_000
    tones = torch.stack([torch.sin(6.2832 * pitch * time_s) for pitch in (220.0, 3000.0)])
    features = model.audio_encoder(tones)
    assert features.shape == (2, 32, 32)
    assert (features[0] - features[1]).abs().mean() > 0.01
    with torch.no_grad():
        mel = model.audio_encoder.mel_encoder(tones)
    assert mel.shape == (2, 16, 1001)
    assert mel[0].mean(1).argmax() < mel[1].mean(1).argmax()


def test_lp_musiccaps_weights_that_are_not_there_or_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere: no such folder; name a folder with one of LP-MusicCaps' checkpoints"):
        Captioner(tmp_path / "nowhere", CPU)
    lp_folder(tmp_path / "lp")
    (tmp_path / "lp/vocab.json").rename(tmp_path / "vocab.json")
    (tmp_path / "lp/config.json").rename(tmp_path / "config.json")
    with pytest.raises(WeightsError, match=r"lp: BART's configuration or tokenizer could not be read; copy config.json"):
        Captioner(tmp_path / "lp", CPU)
    (tmp_path / "vocab.json").rename(tmp_path / "lp/vocab.json")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "lp/config.json").write_text(json.dumps(config | {"decoder_layers": 2}))
    with pytest.raises(WeightsError, match=r"lp: the tensors do not fit LP-MusicCaps with its config.json \(.*Missing key"):
        Captioner(tmp_path / "lp", CPU)
    (tmp_path / "lp/transfer.pth").write_bytes(b"\x80\x02cos\nsystem\nq\x00.")
    with pytest.raises(WeightsError, match=r"transfer.pth: not a readable checkpoint"):
        Captioner(tmp_path / "lp", CPU)
