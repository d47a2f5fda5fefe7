"""`library list` and `library forget`: show and remove what the index holds of a folder. No track is opened."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvatool.errors import FileError, MediaError, QueryError
from mmvatool.files import natural_key
from mmvatool.library.database import Library, Track
from mmvatool.library.update import NOT_MUSIC, curve_key, display_path
from mmvatool.library.walk import real_path


@dataclass(frozen=True)
class ListedTrack:
    """A track with its path as the user would write it."""

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
    """What the index holds of a folder: the tracks that the model has predicted, how many it has not, and files that cannot be decoded."""

    results: tuple[ListedTrack, ...]
    not_predicted: int
    failures: tuple[FileError, ...]
    model: str

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        return {
            "results": [listed.to_json() for listed in self.results],
            "failures": [{"input": str(error.path), "error": str(error)} for error in self.failures],
            "unheard": self.not_predicted,
            "model": self.model,
        }


def list_tracks(
    folder: Path | str, *, index_file: Path | str | None = None, model: str = "compact", precision: str = "float32", sort: str = "name"
) -> Listing:
    """What the index holds of a folder, which need not be there any more.

    Args:
        folder: as it was indexed, or one in or above it.
        index_file: the index; in the user's cache folder by default.
        model: whose predictions: a bundled model, or a checkpoint's path.
        precision: its arithmetic.
        sort: "name", "length", "valence", "arousal", "tempo" or "loudness"; equal ones go by name, and those without the value come last.

    Raises:
        LibraryError: there is no index, or it cannot be used.
        CheckpointError: the model cannot be read.
        QueryError: the index holds no track of this folder that the model has predicted.
    """
    from trainer import read_checkpoint

    folder = Path(folder)
    with Library(index_file, create=False) as library:
        card = read_checkpoint(model)
        key, root = curve_key(card.fingerprint, precision), real_path(folder)
        tracks, files = library.tracks_below(root, key), library.files(root, key)
    listed = [ListedTrack(display_path(folder, root, track.path), track) for track in tracks]
    broken = [
        MediaError(display_path(folder, root, Path(os.fsdecode(path))), row.error)
        for path, row in files.items()
        if row.error and row.error != NOT_MUSIC
    ]
    not_predicted = sum(not row.predicted and not row.error for row in files.values())
    if not listed:
        cure = f"run mmvatool library index {folder}"
        if not_predicted:
            raise QueryError(
                f"{folder}: {_files(not_predicted)} in the index, but none that {card.name} has predicted: {cure} with this model"
            )
        if broken:
            raise QueryError(f"{folder}: the index knows {_files(len(broken))} of it, none of which can be decoded ({broken[0]})")
        raise QueryError(f"{folder}: nothing of it is in the index: {cure} first")
    listed.sort(key=lambda one: natural_key(one.path))
    if sort != "name":
        listed.sort(key=lambda one: _value(one.track, sort))
    return Listing(tuple(listed), not_predicted, tuple(sorted(broken, key=lambda error: natural_key(error.path))), card.name)


def forget(folder: Path | str | None, *, index_file: Path | str | None = None) -> int:
    """Remove what the index holds of a folder, which need not be there any more, and all that no file in the index has any more.

    Args:
        folder: the folder, with all below it; None for everything.
        index_file: the index; in the user's cache folder by default.

    Returns:
        How many files were removed.

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
