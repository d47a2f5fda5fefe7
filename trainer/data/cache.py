"""The feature cache: the features of a frozen backbone, computed once per file and memory-mapped afterwards.

Each tower with its weights has a folder of safetensors shards, which are written under a temporary name and renamed:

    <cache>/<modality>-<tower's key>/<first item's key>.safetensors    "features" (n, ...), metadata "items": their keys
    <cache>/contents-<process>.tsv                                     path, size, modification time, hash of a file

An item's key is the hash of its content, so moved files keep their features and changed files are computed again. An
interrupted build keeps its finished shards.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainer.errors import DataError

SHARD_ITEMS = 256


def text_key(text: str) -> str:
    """The key of a caption."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class ContentKeys:
    """Keys of files: hashes of their bytes, stored by path, size and modification time so that no file is read twice.

    Args:
        folder: of the cache.
        process: rank of this process; each process writes its own file.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self._known: dict[tuple[str, str, str], str] = {}
        self._own = folder / f"contents-{process}.tsv"
        for file in sorted(folder.glob("contents-*.tsv")):
            for line in file.read_text("utf-8", errors="replace").splitlines():
                match line.split("\t"):
                    case [size, changed, digest, path] if len(digest) == 32:  # an interrupted process may leave a partial line
                        self._known[path, size, changed] = digest

    def keys(self, paths: Iterable[Path]) -> list[str]:
        """The keys of files; only new and changed files are read.

        Raises:
            DataError: a file cannot be read.
        """
        keys = []
        with self._own.open("a", encoding="utf-8") as stored:
            stored.write("\n")
            for path in paths:
                try:
                    status = path.stat()
                    name = (str(path.resolve()), str(status.st_size), str(status.st_mtime_ns))
                    if name not in self._known:
                        with path.open("rb") as file:
                            self._known[name] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
                        stored.write("\t".join((name[1], name[2], self._known[name], name[0])) + "\n")
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror}): check the file and its permissions") from error
                keys.append(self._known[name])
        return keys


class FeatureCache:
    """The cached features of one tower.

    Args:
        folder: of the cache, created if missing.
        modality: "image", "music" or "text".
        tower_key: identifies what determines the features besides the content: tower, version, settings, weights.

    Raises:
        DataError: the folder cannot be created, or a shard is damaged.
    """

    def __init__(self, folder: Path, modality: str, tower_key: str) -> None:
        digest = hashlib.blake2b(tower_key.encode(), digest_size=8).hexdigest()
        self.folder = folder / f"{modality}-{digest}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be made ({error.strerror}): name a writable folder with --cache") from error
        self._shards: list[torch.Tensor] = []
        self._position: dict[str, tuple[int, int]] = {}
        self._read: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Open shards that were added since, by this or another process."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._read:
                continue
            try:
                with safe_open(path, framework="pt") as file:
                    items = json.loads(file.metadata()["items"])
                    self._shards.append(file.get_tensor("features"))  # memory-mapped, rows are read on access
            except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
                raise DataError(f"{path}: damaged feature cache ({error}): delete the file, it is computed again") from error
            self._read.add(path.name)
            for row, item in enumerate(items):
                self._position[item] = (len(self._shards) - 1, row)

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Indices of keys without features, only the first of equal keys."""
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        return [index for index, key in enumerate(keys) if key not in self._position and first[key] == index]

    def add(self, keys: Sequence[str], features: torch.Tensor) -> None:
        """Store the features (n, ...) of n keys as one shard."""
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".partial")
        os.close(handle)
        try:
            save_file({"features": features.cpu().contiguous()}, temporary, metadata={"items": json.dumps(list(keys))})
            Path(temporary).replace(self.folder / f"{keys[0]}.safetensors")
        finally:
            Path(temporary).unlink(missing_ok=True)

    def get(self, keys: Sequence[str]) -> torch.Tensor:
        """The features (n, ...) of n keys, in their order."""
        return torch.stack([self._shards[shard][row] for shard, row in (self._position[key] for key in keys)])


class CachedFeatures:
    """The cached features of a list of rows, by index.

    Args:
        cache: that contains all of them.
        keys: of the rows.
    """

    def __init__(self, cache: FeatureCache, keys: Sequence[str]) -> None:
        self._cache, self._keys = cache, list(keys)

    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        """Features (len(indices), ...) in the dtype they are stored in."""
        return self._cache.get([self._keys[index] for index in indices])
