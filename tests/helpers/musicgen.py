"""A tiny random MusicGen of the real classes, saved as a hub repository would hold it."""

from pathlib import Path

import torch
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenProcessor,
    T5Config,
    T5TokenizerFast,
)

CODES = 16


def save(folder: Path, *, rate_hz: int = 800, channels: int = 1, seed: int = 0) -> Path:
    """Frames of 16 samples: rate_hz / 16 tokens a second."""
    torch.manual_seed(seed)
    words = ["<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyzT.,-"]
    tokenizer = T5TokenizerFast(vocab=[(word, -1.0) for word in words], extra_ids=0)
    text = T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    audio = EncodecConfig(
        target_bandwidths=[rate_hz / 16 * 2 * 4 / 1000],  # kbit/s of two codebooks of 16
        sampling_rate=rate_hz,
        audio_channels=1,
        num_filters=2,
        num_residual_layers=1,
        upsampling_ratios=[4, 4],
        codebook_size=CODES,
        codebook_dim=8,
        hidden_size=8,
        num_lstm_layers=1,
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=CODES,
        pad_token_id=CODES,
        bos_token_id=CODES,
        max_position_embeddings=64,
        num_hidden_layers=1,
        ffn_dim=16,
        num_attention_heads=2,
        hidden_size=16,
        initializer_factor=0.3,  # at 0.02 all codes are as likely, whatever the words
        num_codebooks=2 * channels,
        audio_channels=channels,
    )
    model = MusicgenForConditionalGeneration(MusicgenConfig(text_encoder=text, audio_encoder=audio, decoder=decoder))
    for name, buffer in model.audio_encoder.named_buffers():
        if name.endswith("codebook.embed"):  # zeros before training: every code would sound alike
            buffer.normal_()
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = model.generation_config.bos_token_id = CODES
    model.save_pretrained(folder)
    processor = MusicgenProcessor(EncodecFeatureExtractor(feature_size=channels, sampling_rate=rate_hz), tokenizer)
    processor.save_pretrained(folder)
    return folder
