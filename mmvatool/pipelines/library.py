"""`library list` and `library forget`: what the index holds of a folder, without hearing anything, and how that goes."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvatool.errors import FileError, MediaError, QueryError
from mmvatool.files import natural_key
from mmvatool.library.database import Library, Track
from mmvatool.library.update import below, curve_key, real_path

SORTS = ("name", "length", "valence", "arousal", "tempo", "loudness")


@dataclass(frozen=True)
class Listed:
    """A track under the name that the user knows."""

    path: Path
    track: Track

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        track = self.track
        return {
            "path": str(self.path),
            "duration_s": round(track.duration_s, 3),
            "valence": round(float(track.mean[0]), 6),
            "arousal": round(float(track.mean[1]), 6),
            "valence_spread": round(float(track.spread[0]), 6),
            "arousal_spread": round(float(track.spread[1]), 6),
            "tempo_bpm": None if track.tempo_bpm is None else round(track.tempo_bpm, 2),
            "loudness_lufs": track.loudness_lufs,
            "title": track.title,
            "artist": track.artist,
            "licence": track.licence,
        }


@dataclass(frozen=True)
class Listing:
    """What the index holds of a folder: tracks that the model has felt, how many it has not, and files that cannot be heard."""

    results: tuple[Listed, ...]
    unheard: int
    failures: tuple[FileError, ...]
    model: str

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        return {
            "results": [listed.to_json() for listed in self.results],
            "failures": [{"input": str(error.path), "error": str(error)} for error in self.failures],
            "unheard": self.unheard,
            "model": self.model,
        }


def list_tracks(
    folder: Path | str, *, index_file: Path | str | None = None, model: str = "compact", precision: str = "float32", sort: str = "name"
) -> Listing:
    """What the index holds of a folder, which need not be there any more.

    Args:
        folder: as it was indexed, or one in or above it.
        index_file: where the index lies; in the user's cache folder by default.
        model: whose feelings: a bundled model, or a checkpoint's path.
        precision: its arithmetic.
        sort: one of SORTS; what is alike goes by name, and what has no such value comes last.

    Raises:
        LibraryError: there is no index, or it cannot be used.
        CheckpointError: the model cannot be read.
        QueryError: the index holds no track of this folder that the model has felt.
    """
    from trainer import read_checkpoint

    folder = Path(folder)
    with Library(index_file, create=False) as library:
        predicted_by = read_checkpoint(model)
        key, root = curve_key(predicted_by.fingerprint, precision), real_path(folder)
        tracks, files = library.tracks_below(root, key), library.files(root, key)
    found = [Listed(below(folder, root, track.path), track) for track in tracks]
    broken = [MediaError(below(folder, root, Path(os.fsdecode(path))), row.error) for path, row in files.items() if row.error]
    unheard = sum(not row.predicted and not row.error for row in files.values())
    if not found:
        cure = f"run mmvatool library index {folder}"
        if unheard:
            raise QueryError(
                f"{folder}: {_files(unheard)} in the index, but none that {predicted_by.name} has heard: {cure} with this model"
            )
        if broken:
            raise QueryError(f"{folder}: the index knows {_files(len(broken))} of it, none of which can be heard ({broken[0]})")
        raise QueryError(f"{folder}: nothing of it is in the index: {cure} first")
    found.sort(key=lambda listed: natural_key(listed.path))
    if sort != "name":
        found.sort(key=lambda listed: _value(listed.track, sort))
    return Listing(tuple(found), unheard, tuple(sorted(broken, key=lambda error: natural_key(error.path))), predicted_by.name)


def forget(folder: Path | str | None, *, index_file: Path | str | None = None) -> int:
    """Drop what the index holds of a folder, which need not be there any more, and all that no file in the index has any more.

    Args:
        folder: the folder, with all below it; None for everything.
        index_file: where the index lies; in the user's cache folder by default.

    Returns:
        How many files were forgotten.

    Raises:
        LibraryError: there is no index, or it cannot be used.
        QueryError: nothing of the folder is in the index.
    """
    with Library(index_file, create=False) as library:
        forgotten = library.forget(None if folder is None else real_path(Path(folder)))
    if not forgotten and folder is not None:
        raise QueryError(f"{folder}: nothing of it is in the index: name a folder as it was indexed, or one above it")
    return forgotten


def _value(track: Track, sort: str) -> float:
    values = {
        "length": track.duration_s,
        "valence": float(track.mean[0]),
        "arousal": float(track.mean[1]),
        "tempo": track.tempo_bpm,
        "loudness": track.loudness_lufs,
    }
    value = values[sort]
    return np.inf if value is None else value


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"
