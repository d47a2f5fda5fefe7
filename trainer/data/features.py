"""The features of a manifest's rows, from the cache or computed from the files."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from trainer.constants import OnProgress
from trainer.data.cache import SHARD_ITEMS, CachedFeatures, ContentKeys, FeatureCache, text_key
from trainer.data.manifest import ClipRow, ImageRow, Manifest, Row, TextRow, picture_of, sound_of
from trainer.distributed import Processes
from trainer.errors import DataError
from trainer.model.mmva import MMVA
from trainer.model.towers import TowerSpec

ENCODE_BATCH = 32

# Indices of rows -> their features, or their preprocessed inputs for a fine-tuned tower.
Features = Callable[[np.ndarray], Any]
T = TypeVar("T")
R = TypeVar("R")


def prepare(tower: Any, modality: str, row: Row, *, views: bool = False) -> torch.Tensor:
    """Read and preprocess one row; with `views` a picture gives all of the tower's views, if it has any.

    Raises:
        DataError: its file is missing, damaged or silent; the message names file and row.
    """
    match modality, row:
        case "image", ImageRow():
            picture = torch.from_numpy(picture_of(row).copy()).permute(2, 0, 1)
            return tower.views(picture) if views and hasattr(tower, "views") else tower.preprocess(picture[None])[0]
        case "music", ClipRow():
            return tower.preprocess([sound_of(row, tower.sample_rate_hz, tower.window_s)])[0]
        case _, ClipRow() | TextRow():
            return tower.preprocess([row.caption])[0]
    raise TypeError(f"{modality} of {row}")


def encode(tower: Any, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Features of a preprocessed batch, in the dtype they are cached in, on the CPU."""
    with torch.no_grad():  # tensors of inference mode cannot be used in training
        return torch.cat(
            [
                tower.encode(batch[start : start + ENCODE_BATCH]).to(tower.feature_dtype).cpu()
                for start in range(0, len(batch), ENCODE_BATCH)
            ]
        )


class LiveFeatures:
    """Features computed from the files on each call.

    Args:
        tower: of the modality.
        modality: "image", "music" or "text".
        rows: of a split.
        pool: threads that read files.
        encoded: False for preprocessed inputs, for a fine-tuned tower.
    """

    def __init__(self, tower: Any, modality: str, rows: Sequence[Row], pool: Executor, *, encoded: bool) -> None:
        self._tower, self._modality, self._rows, self._pool, self._encoded = tower, modality, rows, pool, encoded

    def __call__(self, indices: np.ndarray) -> Any:
        """Features (len(indices), ...), or that many preprocessed inputs."""
        batch = list(self._pool.map(lambda index: self._read(self._rows[index]), indices))
        return encode(self._tower, batch) if self._encoded else batch

    def _read(self, row: Row) -> torch.Tensor:
        return prepare(self._tower, self._modality, row, views=True)


@dataclass(frozen=True)
class BadRows:
    """Rows whose files cannot be used: index -> error message."""

    images: dict[int, str]
    clips: dict[int, str]


def build_cache(
    model: MMVA,
    towers: dict[str, TowerSpec],
    weights: dict[str, str],
    manifest: Manifest,
    folder: Path,
    *,
    pool: Executor,
    processes: Processes,
    skip_bad: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> tuple[dict[str, FeatureCache], dict[str, list[str]], BadRows]:
    """Compute the features that the cache lacks, for every tower that is not fine-tuned; processes share the work.

    Args:
        model: with the towers.
        towers: their specs, part of the cache's key.
        weights: fingerprints of their backbones by modality, part of the cache's key.
        manifest: the rows of all splits.
        folder: of the cache.
        pool: threads that read files.
        processes: of the training run.
        skip_bad: continue after bad rows.
        on_progress: called with modality, rows done, rows in all.

    Returns:
        The caches and the rows' keys by modality, and the bad rows (empty unless `skip_bad`).

    Raises:
        DataError: a bad row, or the cache cannot be read or written.
    """
    caches: dict[str, FeatureCache] = {}
    keys: dict[str, list[str]] = {}
    bad = BadRows({}, {})
    for modality in model.modalities:
        tower = model.tower(modality)
        if modality in model.finetuned:
            continue
        caches[modality] = FeatureCache(folder, modality, tower_key(tower, towers[modality], weights.get(modality, "")))
        rows = manifest.rows(modality)
        keys[modality] = _row_keys(rows, modality, folder, processes)
        unreadable = _fill(caches[modality], keys[modality], tower, modality, rows, pool, processes, skip_bad, on_progress)
        (bad.images if modality == "image" else bad.clips).update(unreadable)
    return caches, keys, bad


def bad_rows(
    model: MMVA, manifest: Manifest, pool: Executor, processes: Processes, on_progress: OnProgress = lambda what, done, total: None
) -> BadRows:
    """Read every row once to collect the bad ones, for `skip_bad` without a cache."""
    bad = BadRows({}, {})
    for modality in model.modalities:
        rows = manifest.rows(modality)
        own = range(processes.rank, len(rows), processes.count)
        shards = [own[start : start + SHARD_ITEMS] for start in range(0, len(own), SHARD_ITEMS)]
        unreadable: dict[int, str] = {}

        def read(index: int, modality: str = modality, rows: Sequence[Row] = rows) -> str | None:
            try:
                prepare(model.tower(modality), modality, rows[index])
            except DataError as error:
                return str(error)
            return None

        for number, (indices, lines) in enumerate(zip(shards, prefetch(pool, read, shards), strict=True)):
            unreadable.update({index: line for index, line in zip(indices, lines, strict=True) if line})
            on_progress(modality, number + 1, len(shards))
        for part in processes.gather(unreadable):
            (bad.images if modality == "image" else bad.clips).update(part)
    return bad


def tower_key(tower: Any, spec: TowerSpec, weights: str) -> str:
    """What determines features besides the content: tower, version, settings, the backbone's weights and their configuration.

    The path of a folder of weights does not count; the hub's name and tag do.
    """
    settings = {key: value for key, value in spec.items() if key not in ("source", "pretrained")}
    published = [tower.origin, tower.configuration] if hasattr(tower, "configuration") else []
    return json.dumps([tower.version, settings, weights, *published], sort_keys=True)


def _row_keys(rows: Sequence[Row], modality: str, folder: Path, processes: Processes) -> list[str]:
    if modality == "text":
        return [text_key(row.caption) for row in rows if not isinstance(row, ImageRow)]
    # Every process hashes its share and stores the keys for the others.
    ContentKeys(folder, processes.rank).keys(_paths(rows[processes.rank :: processes.count]))
    processes.wait()
    return ContentKeys(folder, processes.rank).keys(_paths(rows))


def _paths(rows: Sequence[Row]) -> list[Path]:
    return [row.path for row in rows if not isinstance(row, TextRow)]


def _fill(
    cache: FeatureCache,
    keys: list[str],
    tower: Any,
    modality: str,
    rows: Sequence[Row],
    pool: Executor,
    processes: Processes,
    skip_bad: bool,
    on_progress: OnProgress,
) -> dict[int, str]:
    todo = cache.missing(keys)
    processes.wait()  # no process adds shards before all have listed what is missing
    own = todo[processes.rank :: processes.count]
    shards = [own[start : start + SHARD_ITEMS] for start in range(0, len(own), SHARD_ITEMS)]
    bad: dict[int, str] = {}

    def read(index: int) -> torch.Tensor | DataError:
        try:
            return prepare(tower, modality, rows[index], views=True)
        except DataError as error:
            if not skip_bad:
                raise
            return error

    done = 0
    for indices, prepared in zip(shards, prefetch(pool, read, shards), strict=True):
        bad.update({index: str(item) for index, item in zip(indices, prepared, strict=True) if isinstance(item, DataError)})
        good = [(keys[index], item) for index, item in zip(indices, prepared, strict=True) if isinstance(item, torch.Tensor)]
        if good:
            cache.add([key for key, _ in good], encode(tower, [item for _, item in good]))
        done += len(indices)
        on_progress(modality, done, len(own))
    bad = {index: line for part in processes.gather(bad) for index, line in part.items()}  # also waits for all processes
    cache.refresh()
    by_key = {keys[index]: line for index, line in bad.items()}
    return {index: by_key[key] for index, key in enumerate(keys) if key in by_key}


def prefetch(pool: Executor, function: Callable[[T], R], batches: Iterable[Sequence[T]], depth: int = 2) -> Iterator[list[R]]:
    """Yield `[function(item) for item in batch]` for every batch, computed by the pool up to `depth` batches in advance."""
    waiting: deque[list[Future[R]]] = deque()
    for batch in batches:
        waiting.append([pool.submit(function, item) for item in batch])
        if len(waiting) > depth:
            yield [future.result() for future in waiting.popleft()]
    while waiting:
        yield [future.result() for future in waiting.popleft()]


def sources(
    model: MMVA, manifest: Manifest, caches: dict[str, FeatureCache], keys_of: dict[str, dict[str, str]], pool: Executor
) -> dict[str, Features]:
    """The features of a split by modality: from the cache if there is one, else from the files.

    Args:
        model: with the towers.
        manifest: of the split.
        caches: by modality.
        keys_of: modality -> row id -> key in the cache.
        pool: threads that read files.
    """
    features: dict[str, Features] = {}
    for modality in model.modalities:
        rows = manifest.rows(modality)
        if modality in caches:
            features[modality] = CachedFeatures(caches[modality], [keys_of[modality][row.id] for row in rows])
        else:
            encoded = modality not in model.finetuned
            features[modality] = LiveFeatures(model.tower(modality), modality, rows, pool, encoded=encoded)
    return features


def reading_pool(workers: int) -> ThreadPoolExecutor:
    """Threads that read files: decoders release Python's lock, and ffmpeg is a separate process."""
    return ThreadPoolExecutor(workers, thread_name_prefix="read")
