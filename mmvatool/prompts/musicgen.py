"""`prompt --generate`: music for a prompt, by MusicGen (Copet et al. 2023) through transformers.

MusicGen's published weights are CC-BY-NC 4.0. They are never downloaded here: where they are missing, the error says how to get them.
"""

import io
import json
import math
import os
import pickle
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool.errors import OutputError, RenderError
from mmvatool.files import write_file
from mmvatool.progress import Progress, no_progress
from trainer import WeightsError

if TYPE_CHECKING:
    pass

MUSICGEN = "facebook/musicgen-small"
LICENCE = "CC-BY-NC-4.0"
SECONDS, LEAST_S, MOST_S = 15.0, 1.0, 30.0
"""In seconds. MusicGen was trained on 30; beyond that its music falls apart."""

_GUIDANCE = 3.0  # as in MusicGen's paper: the weight of the words


@dataclass(frozen=True)
class Generated:
    """A generated WAV file, with all that is needed to generate it again."""

    output: Path
    prompt: str
    seconds: float
    rate_hz: int
    seed: int
    musicgen: str
    licence: str = LICENCE

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {**vars(self), "output": str(self.output), "seconds": round(self.seconds, 6)}


def generate(
    prompt: str,
    target: Path | str,
    *,
    seconds: float = SECONDS,
    musicgen: str = MUSICGEN,
    device: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Generated:
    """Music for a prompt, as a 16-bit WAV.

    Args:
        prompt: what it should sound like.
        target: the .wav file to write.
        seconds: its length, LEAST_S to MOST_S.
        musicgen: a folder with MusicGen's weights, or its hub name, which is looked up in the hub's cache on this machine.
        device: "auto", "cpu", "cuda" or "mps".
        seed: another seed, another music; the same seed, the same music on the same machine.
        overwrite: replace the target; otherwise it is an error.
        progress: is given how many tokens are done.

    Raises:
        OutputError: the target exists, or cannot be written.
        WeightsError: the weights are not on this machine, or are not MusicGen's.
        RenderError: the model failed, or its output is not finite.
        DeviceError: the device is not there.
        ValueError: an impossible length.
    """
    from trainer import pick_device

    target = Path(target)
    check(target, seconds=seconds, musicgen=musicgen, overwrite=overwrite)
    where = pick_device(device)
    sound, rate_hz = _compose(prompt, target, seconds, locate(musicgen), where, seed, progress)
    if not np.isfinite(sound).all():
        raise RenderError(target, "MusicGen made numbers that are no sound: its weights may be damaged; get them again")
    write_file(target, _wav(sound, rate_hz))
    return Generated(target, prompt, sound.shape[1] / rate_hz, rate_hz, seed, musicgen)


def _compose(prompt: str, target: Path, seconds: float, folder: Path, device: str, seed: int, progress: Progress) -> tuple[np.ndarray, int]:
    """Music as float32 (channels, n), and its sample rate; errors name the target."""
    import torch

    from trainer import first_line, quiet_transformers

    # Loading draws random numbers, too; the caller's generators must not change.
    cards = [0] if device == "cuda" else []
    with torch.random.fork_rng(cards), torch.inference_mode():
        model, processor = _load(folder, device)
        codec = model.config.audio_encoder
        # Its codebooks are delayed by a token each: so many more until the last one is complete.
        tokens = math.ceil(seconds * codec.frame_rate) + model.config.decoder.num_codebooks
        torch.manual_seed(seed)
        words = processor(text=[prompt], return_tensors="pt").to(device)
        try:
            with quiet_transformers(), progress("composing", tokens) as composed:
                samples = model.generate(
                    **words, do_sample=True, guidance_scale=_GUIDANCE, max_new_tokens=tokens, stopping_criteria=_token_counter(composed)
                )
        except RuntimeError as error:
            raise RenderError(target, f"MusicGen failed ({first_line(error)}): ask for fewer --seconds, or try --device cpu") from error
    sound = samples[0, :, : round(seconds * codec.sampling_rate)].float().cpu().numpy()
    return sound, codec.sampling_rate


def check(target: Path, *, seconds: float, musicgen: str, overwrite: bool) -> None:
    """Check a length, a target and that the weights are there, before any work is done.

    Raises: see `generate`.
    """
    if not LEAST_S <= seconds <= MOST_S:
        raise ValueError(f"{seconds:g} seconds of music: must be {LEAST_S:g} to {MOST_S:g}")
    if target.suffix.lower() != ".wav":
        raise OutputError(target, f"cannot write {target.suffix or 'a file without suffix'}: name it .wav")
    if not target.parent.is_dir():
        raise OutputError(target, "its folder does not exist: create it, or choose another")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(target, "its folder is not writable: choose another")
    if target.is_dir():
        raise OutputError(target, "is a folder: choose another name")
    if target.exists() and not overwrite:
        raise OutputError(target, "already exists: use --overwrite, or choose another name")
    locate(musicgen)


def locate(musicgen: str) -> Path:
    """The folder of MusicGen's weights: as given, or in the hub's cache. The network is not used.

    Raises:
        WeightsError: not there, or another model's.
    """
    folder = Path(musicgen).expanduser()
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(musicgen, local_files_only=True))
        except (OSError, ValueError) as error:  # LocalEntryNotFoundError is both; HFValidationError the latter
            raise WeightsError(
                f"MusicGen's weights {musicgen!r} are not on this machine: `hf download {MUSICGEN}` gets them (2 GB, licence {LICENCE}: "
                "not for commercial use), or name a folder that holds them with --musicgen"
            ) from error
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{folder}: holds no config.json that can be read: name a folder with MusicGen's weights") from error
    if kind != "musicgen":
        raise WeightsError(f"{folder}: holds a model of type {kind!r}, not 'musicgen': name a folder with MusicGen's weights")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        # transformers would go on with an empty tokenizer.
        raise WeightsError(f"{folder}: holds no tokenizer.json or spiece.model: get MusicGen's weights again, all files of them")
    return folder


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    """The model in eval mode, and the processor that turns words into its input.

    Raises:
        WeightsError: files are missing, damaged, or do not fill the model.
    """
    from safetensors import SafetensorError
    from transformers import AutoProcessor, MusicgenForConditionalGeneration

    from trainer import first_line, quiet_transformers

    try:
        with quiet_transformers():
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            loaded: Any = MusicgenForConditionalGeneration.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{folder}: cannot be loaded as MusicGen ({first_line(error)}): get it again") from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):  # transformers would fill them with noise
        raise WeightsError(f"{folder}: lacks {len(missing)} of MusicGen's tensors ({missing[0]}, ...): get it again")
    return model.eval().to(device), processor


def _token_counter(composed: Callable[[int], None]) -> Any:
    """A stopping criterion that never stops, and reports the number of tokens."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Count(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            composed(input_ids.shape[1] - 1)
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    return StoppingCriteriaList([Count()])


def _wav(sound: np.ndarray, rate_hz: int) -> bytes:
    """Float (channels, n) as a 16-bit WAV; samples beyond [-1, 1] are clipped."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(sound.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").T.tobytes())
    return buffer.getvalue()
