"""Tiny random configurations of the real tower classes, saved like hub repositories."""

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import HubertConfig, HubertModel, RobertaConfig, RobertaForMaskedLM, RobertaTokenizer

from tests.helpers.synthetic import AROUSAL_WORDS, TEMPLATES, VALENCE_WORDS

WIDTH, LAYERS = 32, 2


def mert(folder: Path, seed: int = 0) -> Path:
    """MERT as published: pytorch_model.bin with weight_g and weight_v, a configuration of its own type."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = HubertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_proj_layer_norm=True,
    )
    weights = {
        key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): value
        for key, value in HubertModel(config).state_dict().items()
    }
    torch.save(weights, folder / "pytorch_model.bin")
    settings = {**config.to_dict(), "model_type": "mert_model", "auto_map": {"AutoModel": "modeling_MERT.MERTModel"}}
    settings |= {"feature_extractor_cqt": False, "attention_relax": -1.0, "deepnorm": False}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def roberta(folder: Path, seed: int = 0) -> Path:
    """RoBERTa with its language-model head and a byte-level BPE tokenizer of the words of synthetic captions."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    bpe = ByteLevelBPETokenizer()
    texts = [*VALENCE_WORDS, *AROUSAL_WORDS, *TEMPLATES] * 3
    bpe.train_from_iterator(texts, vocab_size=600, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    bpe.save_model(str(folder))
    tokenizer = RobertaTokenizer.from_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=66,
    )
    RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def clip(folder: Path, seed: int = 0, width: int = 512) -> Path:
    """A one-layer ViT with 512-d embeddings in open_clip's local-dir form."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = {
        "embed_dim": width,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
    }
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    weights = open_clip.model.CLIP(**model).state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "open_clip_model.safetensors")
    return folder


def waves(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, length).astype(np.float32) for length in lengths]
