"""LP-MusicCaps (Doh, Choi, Lee & Nam 2023): a BART that reads a log-mel spectrogram through strided convolutions.

Rebuilt on transformers' own BART; module names are those of the published checkpoints (`transfer.pth`, `supervised.pth`,
`pretrain.pth`), so that their tensors load as they are.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchaudio
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from trainer.data.files import read_sound
from trainer.errors import WeightsError
from trainer.libraries import first_line

RATE_HZ = 16_000
INPUT_S = 10
HOP = RATE_HZ // 100
N_FFT = 1024
BEAMS, MIN_TOKENS, MAX_TOKENS = 5, 2, 128
BART_GENERATION = ("no_repeat_ngram_size", "early_stopping", "forced_bos_token_id", "forced_eos_token_id")
"""Generation settings in the config.json of facebook/bart-base, which transformers 5 no longer reads from there."""


class _MelEncoder(nn.Module):
    """Sound (N, samples) to log-mel (N, mels, frames) in dB."""

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.spec_fn = torchaudio.transforms.Spectrogram(N_FFT, N_FFT, HOP, power=None)
        self.mel_scale = torchaudio.transforms.MelScale(n_mels, RATE_HZ, 0, RATE_HZ // 2, N_FFT // 2 + 1)
        self.amplitude_to_db = torchaudio.transforms.AmplitudeToDB()

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        # The published weights were trained on the real part of the spectrum alone.
        return self.amplitude_to_db(self.mel_scale(self.spec_fn(sound).real.square()))


class _AudioEncoder(nn.Module):
    """Sound (N, 160000) to the (N, positions, width) that BART's encoder takes instead of word embeddings."""

    positional_embedding: torch.Tensor

    def __init__(self, n_mels: int, width: int, strided: int) -> None:
        super().__init__()
        self.mel_encoder = _MelEncoder(n_mels)
        self.conv1 = nn.Conv1d(n_mels, width, 3, padding=1)
        self.conv_stack = nn.ModuleList(nn.Conv1d(width, width, 3, stride=2, padding=1) for _ in range(strided))
        positions = RATE_HZ * INPUT_S // HOP // 2**strided + 1
        self.register_buffer("positional_embedding", _sinusoids(positions, width))

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        features = F.gelu(self.conv1(self.mel_encoder(sound)))
        for layer in self.conv_stack:
            features = F.gelu(layer(features))
        return features.transpose(1, 2) + self.positional_embedding


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """Positions (length, width): sines in the first half, cosines in the second, wavelengths from 2 pi to 20000 pi."""
    rates = torch.exp(torch.arange(width // 2) * (-math.log(10_000) / (width // 2 - 1)))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class LPMusicCaps(nn.Module):
    """The captioner.

    Args:
        config: of the BART inside (facebook/bart-base's for the published weights).
        n_mels: mel bands of the audio encoder.
        strided: convolutions of stride 2.
    """

    def __init__(self, config: BartConfig, n_mels: int = 128, strided: int = 5) -> None:
        super().__init__()
        self.bart: Any = BartForConditionalGeneration(config)
        self.audio_encoder = _AudioEncoder(n_mels, int(config.d_model or 0), strided)

    @torch.inference_mode()
    def generate(self, sounds: torch.Tensor, **generation: Any) -> torch.Tensor:
        """Token ids (N, at most 128) of captions for sounds (N, 160000), by beam search.

        Args:
            sounds: float32 at 16 kHz.
            generation: further settings of transformers' `generate`.
        """
        hidden = self.bart.model.encoder(inputs_embeds=self.audio_encoder(sounds)).last_hidden_state
        tokens: torch.Tensor = self.bart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device),
            num_beams=BEAMS,
            min_length=MIN_TOKENS,
            max_length=MAX_TOKENS,
            **generation,
        )
        return tokens


class Captioner:
    """LP-MusicCaps with the weights of a folder.

    Args:
        folder: with one checkpoint (.pth or .safetensors) and BART's `config.json` and tokenizer files, as in facebook/bart-base.
        device: where it runs.
        batch_size: clips at a time.

    Raises:
        WeightsError: a file is missing, or the tensors do not fit.
    """

    def __init__(self, folder: str | Path, device: torch.device, batch_size: int = 16) -> None:
        folder = Path(folder)
        tensors = _read_tensors(checkpoint_of(folder))
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config = BartConfig.from_pretrained(folder)
            written = json.loads((folder / "config.json").read_text())
            self.generation = {name: written[name] for name in BART_GENERATION if name in written}
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{folder}: BART's configuration or tokenizer could not be read; copy config.json and the tokenizer files "
                "(vocab.json and merges.txt) of facebook/bart-base there"
            ) from error
        n_mels = tensors["audio_encoder.conv1.weight"].shape[1] if "audio_encoder.conv1.weight" in tensors else 128
        strided = sum(name.startswith("audio_encoder.conv_stack.") and name.endswith(".weight") for name in tensors)
        model = LPMusicCaps(config, n_mels, strided)
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{folder}: the tensors do not fit LP-MusicCaps with its config.json ({reason}); get them again") from error
        self.model = model.to(device).eval()
        self.device, self.batch_size = device, batch_size

    def caption(self, paths: Sequence[Path]) -> Iterator[str]:
        """Captions of the first 10 seconds of sound files, in order; shorter ones are padded with silence.

        Raises:
            DataError: a file is not a sound.
        """
        for start in range(0, len(paths), self.batch_size):
            part = paths[start : start + self.batch_size]
            sounds = torch.zeros(len(part), RATE_HZ * INPUT_S)
            for row, path in zip(sounds, part, strict=True):
                sound = torch.from_numpy(read_sound(path, RATE_HZ, INPUT_S))[: RATE_HZ * INPUT_S]
                row[: len(sound)] = sound
            tokens = self.model.generate(sounds.to(self.device), **self.generation)
            yield from self.tokenizer.batch_decode(tokens, skip_special_tokens=True)


def checkpoint_of(folder: Path) -> Path:
    """The one checkpoint in a folder of weights.

    Raises:
        WeightsError: no such folder, or none or several in it.
    """
    checkpoints = sorted(path for path in folder.glob("*") if path.suffix in (".pth", ".safetensors"))
    if len(checkpoints) != 1:
        problem = (
            "no such folder"
            if not folder.is_dir()
            else f"has {len(checkpoints)} checkpoints ({', '.join(path.name for path in checkpoints)})"
        )
        raise WeightsError(f"{folder}: {problem}; name a folder with one of LP-MusicCaps' checkpoints, such as transfer.pth")
    return checkpoints[0]


def _read_tensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        loaded: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for damaged pickles
        reason = first_line(error)[:200]
        raise WeightsError(f"{path}: not a readable checkpoint ({reason}); get it again") from error
    tensors: Mapping[str, torch.Tensor] = loaded.get("state_dict", loaded)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
