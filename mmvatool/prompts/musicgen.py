"""`prompt --generate`: music for a prompt, by MusicGen (Copet et al. 2023) through transformers.

MusicGen's published weights are CC-BY-NC 4.0. They are never downloaded here: they are on this machine, or it is said how to get them.
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
    import torch

MUSICGEN = "facebook/musicgen-small"
LICENCE = "CC-BY-NC-4.0"
SECONDS, LEAST_S, MOST_S = 15.0, 1.0, 30.0
"""MusicGen was trained on 30 seconds; what it makes beyond falls apart."""

_GUIDANCE = 3.0  # as in MusicGen's paper: how much more the words count than without


@dataclass(frozen=True)
class Generated:
    """A WAV file that was made, and what is needed to make it again."""

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
        progress: told how far it is.

    Raises:
        OutputError: the target exists, or cannot be written.
        WeightsError: the weights are not on this machine, or are not MusicGen's.
        RenderError: the model failed, or made something that is no sound.
        DeviceError: the device is not there.
        ValueError: an impossible length.
    """
    import torch

    from trainer import first_line, pick_device, quiet_transformers

    target = Path(target)
    check(target, seconds=seconds, musicgen=musicgen, overwrite=overwrite)
    where = pick_device(device)
    # Loading draws random numbers, too; the caller's own go on as if nothing had been.
    cards = [where.index or 0] if where.type == "cuda" else []
    with torch.random.fork_rng(cards), torch.inference_mode():
        model, processor = _load(locate(musicgen), where)
        codec = model.config.audio_encoder
        # Its codebooks are delayed by a token each: so many more until the last one is whole.
        tokens = math.ceil(seconds * codec.frame_rate) + model.config.decoder.num_codebooks
        torch.manual_seed(seed)
        words = processor(text=[prompt], return_tensors="pt").to(where)
        try:
            with quiet_transformers(), progress("composing", tokens) as composed:
                found = model.generate(
                    **words, do_sample=True, guidance_scale=_GUIDANCE, max_new_tokens=tokens, stopping_criteria=_counted(composed)
                )
        except RuntimeError as error:
            raise RenderError(target, f"MusicGen failed ({first_line(error)}): ask for fewer --seconds, or try --device cpu") from error
    sound = found[0, :, : round(seconds * codec.sampling_rate)].float().cpu().numpy()
    if not np.isfinite(sound).all():
        raise RenderError(target, "MusicGen made numbers that are no sound: its weights may be damaged; get them again")
    write_file(target, _wav(sound, codec.sampling_rate))
    return Generated(target, prompt, sound.shape[1] / codec.sampling_rate, codec.sampling_rate, seed, musicgen)


def check(target: Path, *, seconds: float, musicgen: str, overwrite: bool) -> None:
    """Refuse what cannot be before any work is done for it: a length, a target, weights that are not there.

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
    """The folder of MusicGen's weights: as named, or in the hub's cache. The network is not asked.

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
        # transformers would go on with a tokenizer that knows no word.
        raise WeightsError(f"{folder}: holds no tokenizer.json or spiece.model: get MusicGen's weights again, all files of them")
    return folder


def _load(folder: Path, device: "torch.device") -> tuple[Any, Any]:
    """The model in eval mode and what turns words into its input.

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


def _counted(composed: Callable[[int], None]) -> Any:
    """A stopping criterion that stops nothing and tells how many tokens there are."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Count(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            composed(input_ids.shape[1] - 1)
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    return StoppingCriteriaList([Count()])


def _wav(sound: np.ndarray, rate_hz: int) -> bytes:
    """Float (channels, n) as a 16-bit WAV; what is beyond [-1, 1] is clipped."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(sound.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").T.tobytes())
    return buffer.getvalue()
