"""Files of pretrained weights: in a folder, in the hub's cache, or on the hub. Code in pickles is never run."""

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from trainer.errors import WeightsError
from trainer.libraries import first_line


def find_file(source: str, names: Sequence[str], how_to_get: str) -> Path:
    """The first of the files `names` that exists in the folder or hub repository `source`.

    Raises:
        WeightsError: none exists; the message ends with `how_to_get`.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        for name in names:
            if (folder / name).is_file():
                return folder / name
        raise WeightsError(f"{folder}: holds no {' or '.join(names)}: {how_to_get}")
    if source.count("/") > 1 or source.startswith((".", "/", "~")):  # not the form of a hub name
        raise WeightsError(f"no folder {source}: {how_to_get}")
    reason: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(source, name))
        except (OSError, ValueError, RuntimeError) as error:  # the hub's errors are one of these, offline or not
            reason = error
    raise WeightsError(f"weights of {source!r} could not be loaded ({first_line(reason)}): connect to the model hub once, or {how_to_get}")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file or of a torch pickle read with `weights_only=True`.

    Raises:
        WeightsError: a damaged file, or a pickle with anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path}: not readable as weights ({first_line(error)}): it may be truncated; get it again") from error


def refuse(path: Path | str, what: str, how_to_get: str) -> WeightsError:
    """The error for weights that do not fit their architecture exactly."""
    return WeightsError(f"{path}: does not fit the architecture ({what}): {how_to_get}")


def fingerprint(module: nn.Module) -> str:
    """Hash of a module's weights (names, shapes, bytes): 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def configuration(config: Any, keys: Sequence[str]) -> dict[str, Any]:
    """Values of a transformers configuration by key, in JSON's types; None for keys that it lacks."""
    values = {key: getattr(config, key, None) for key in keys}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def origin(source: str) -> dict[str, str]:
    """The hub name of weights, as the setting `source`; {} for a folder, whose path does not identify them."""
    return {} if Path(source).expanduser().is_dir() else {"source": source}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers, which reports lengths, token ids and unused tensors on stderr; callers check what matters."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
