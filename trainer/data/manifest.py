"""The manifest of a data folder: pictures, clips and texts with their valence and arousal.

The folder has the layout of the published IMEMNet-C: `image_va.csv` and `music_va.csv`, with `images/` and `music/` beside them.
Texts are the captions of the clips, or, if there is a `text_va.csv`, texts with labels of their own.
Labels, captions and the existence of all files are checked here; contents of files are checked when they are first read.
"""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainer.constants import MODALITIES, SILENCE_PEAK
from trainer.data.files import read_picture, read_sound
from trainer.data.table import Row as TableRow
from trainer.data.table import read_captions, read_rows
from trainer.errors import DataError

IMAGE_CSV, MUSIC_CSV, TEXT_CSV = "image_va.csv", "music_va.csv", "text_va.csv"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MUSIC_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a")

_LABEL_CURE = "map the labels to 0..1 or delete the row"
_CLIP_OF_TRACK = re.compile(r"(.+)-\d+")


@dataclass(frozen=True)
class ImageRow:
    """One labelled picture.

    Attributes:
        id: as in the CSV.
        path: the picture.
        va: valence, arousal, each in [0, 1].
        row: row in the CSV; the header is row 1.
        group: of similar pictures (a theme, a series); the id if the CSV has none.
        source: the data set it is from, "" if the CSV has none.
    """

    id: str
    path: Path
    va: tuple[float, float]
    row: int
    group: str = ""
    source: str = ""


@dataclass(frozen=True)
class ClipRow:
    """One labelled clip with its caption.

    Attributes:
        id: as in the CSV.
        track: the recording that it is from; clips of one track may overlap.
        path: the sound file.
        va: valence, arousal, each in [0, 1].
        caption: a description of the sound.
        row: row in the CSV; the header is row 1.
        source: the data set it is from, "" if the CSV has none.
    """

    id: str
    track: str
    path: Path
    va: tuple[float, float]
    caption: str
    row: int
    source: str = ""


@dataclass(frozen=True)
class TextRow:
    """One labelled text without a clip.

    Attributes:
        id: as in the CSV.
        caption: the text.
        va: valence, arousal, each in [0, 1].
        row: row in the CSV; the header is row 1.
        source: the data set it is from, "" if the CSV has none.
        split: "train", "val" or "test" as published by the source, "" if it has none.
    """

    id: str
    caption: str
    va: tuple[float, float]
    row: int
    source: str = ""
    split: str = ""


Row = ImageRow | ClipRow | TextRow
AnyRow = TypeVar("AnyRow", ImageRow, ClipRow, TextRow)
SPLITS = {"": "", "train": "train", "dev": "val", "val": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Manifest:
    """The rows that can be trained on.

    Attributes:
        images: in the CSV's order, one for each id.
        clips: likewise.
        skipped: one line for each bad row that was left out.
        merged: one line for each id with several different labels, which were averaged.
        fingerprint: SHA-256 over ids, labels and captions.
        texts: of `text_va.csv`; empty if the captions of the clips are the texts.
    """

    images: tuple[ImageRow, ...]
    clips: tuple[ClipRow, ...]
    skipped: tuple[str, ...]
    merged: tuple[str, ...]
    fingerprint: str
    texts: tuple[TextRow, ...] = ()

    def rows(self, modality: str) -> Sequence["Row"]:
        """The rows of a modality: images; clips; for "text" the texts, or the clips with their captions."""
        return self.images if modality == "image" else self.texts if modality == "text" and self.texts else self.clips

    def va(self, modality: str) -> np.ndarray:
        """Labels of `rows(modality)`, float32 (n, 2)."""
        return np.array([row.va for row in self.rows(modality)], np.float32).reshape(-1, 2)

    def image_va(self) -> np.ndarray:
        """Labels of the images, float32 (len(images), 2)."""
        return self.va("image")

    def clip_va(self) -> np.ndarray:
        """Labels of the clips, float32 (len(clips), 2)."""
        return self.va("music")

    def subset(self, images: Iterable[int], clips: Iterable[int], texts: Iterable[int] | None = None) -> "Manifest":
        """The rows with these indices (all texts if `texts` is None), in the same order, with their own fingerprint."""
        kept_images = tuple(self.images[index] for index in sorted(images))
        kept_clips = tuple(self.clips[index] for index in sorted(clips))
        kept_texts = self.texts if texts is None else tuple(self.texts[index] for index in sorted(texts))
        fingerprint = _fingerprint(kept_images, kept_clips, kept_texts)
        return replace(self, images=kept_images, clips=kept_clips, texts=kept_texts, fingerprint=fingerprint)

    def without(self, images: Mapping[int, str], clips: Mapping[int, str]) -> "Manifest":
        """Leave out bad rows (index -> error message); the messages are added to `skipped`."""
        kept = self.subset(set(range(len(self.images))) - images.keys(), set(range(len(self.clips))) - clips.keys())
        return replace(kept, skipped=(*self.skipped, *images.values(), *clips.values()))


def load(
    folder: str | Path,
    *,
    images_dir: str | Path | None = None,
    music_dir: str | Path | None = None,
    skip_bad: bool = False,
    strict: bool = False,
    caption_csv: str | Path | None = None,
    modalities: Collection[str] = MODALITIES,
) -> Manifest:
    """Read and check the CSVs of a data folder.

    Columns are identified by name (valence, arousal, caption; optionally `track`), the id by position, see
    `table.read_rows`. An id is a file name with or without its suffix, relative to the images or music folder, or a path.

    Args:
        folder: holds `image_va.csv` and `music_va.csv`.
        images_dir: folder of the pictures, if not `folder/images`.
        music_dir: folder of the clips, if not `folder/music`.
        skip_bad: leave bad rows out and list them in `skipped`, instead of raising on the first.
        strict: raise on an id that occurs twice with different labels, instead of averaging.
        caption_csv: a CSV with ids and a `caption` column, whose captions replace those of `music_va.csv`.
        modalities: of the model; data of others need not exist.

    Returns:
        The manifest: all labels in [0, 1], all files existing and not empty, all captions valid text. Without "image" it has no
        images, without "music" and "text" no clips, without "text" no captions.

    Raises:
        DataError: a CSV or folder is missing or has the wrong header, a row is bad, or no row is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such data folder; it must hold {IMAGE_CSV} and {MUSIC_CSV}, images/ and music/")
    problems: list[str] = []
    captions = read_captions(Path(caption_csv), problems) if caption_csv else None
    images = _images(folder, Path(images_dir or folder / "images"), problems) if "image" in modalities else []
    music = Path(music_dir or folder / "music")
    own_texts = "text" in modalities and captions is None and (folder / TEXT_CSV).is_file()
    clip_modalities = set(modalities) - ({"text"} if own_texts else set())
    clips = _clips(folder, music, captions, clip_modalities, problems) if {"music", "text"} & clip_modalities else []
    texts = _texts(folder, problems) if own_texts else []

    if problems and not skip_bad:
        raise DataError(f"{problems[0]}{_and_more(problems)}; --skip-bad leaves bad rows out and lists them")
    tables: tuple[tuple[str, Sequence[Row], bool], ...] = (
        (IMAGE_CSV, images, "image" in modalities),
        (MUSIC_CSV, clips, bool({"music", "text"} & clip_modalities)),
        (TEXT_CSV, texts, own_texts),
    )
    for name, rows, needed in tables:
        if not rows and needed:
            bad = next((f", the first bad one: {line}" for line in problems if name in line), "")
            raise DataError(f"{folder / name}: not one usable row{bad}; correct the file")
    merged: list[str] = []
    kept_images = _merge(images, folder / IMAGE_CSV, merged)
    kept_clips = _merge(clips, folder / MUSIC_CSV, merged)
    kept_texts = _merge(texts, folder / TEXT_CSV, merged)
    if merged and strict:
        raise DataError(f"{merged[0]}{_and_more(merged)}; keep one row of each id, or leave out --strict-data to average them")
    fingerprint = _fingerprint(kept_images, kept_clips, kept_texts)
    return Manifest(kept_images, kept_clips, tuple(problems), tuple(merged), fingerprint, kept_texts)


def _images(folder: Path, pictures: Path, problems: list[str]) -> list[ImageRow]:
    files, images = _Folder(pictures, IMAGE_SUFFIXES), []
    for row in read_rows(folder / IMAGE_CSV, ("valence", "arousal"), problems):
        try:
            group = row.cells.get("group", "").strip() or row.id
            images.append(ImageRow(row.id, files.find(row), _va(row), row.number, group, _source(row)))
        except DataError as error:
            problems.append(str(error))
    return images


def _clips(folder: Path, music: Path, captions: dict[str, str] | None, modalities: Collection[str], problems: list[str]) -> list[ClipRow]:
    files = _Folder(music, MUSIC_SUFFIXES) if "music" in modalities else None
    in_manifest = "text" in modalities and captions is None
    clips = []
    for row in read_rows(folder / MUSIC_CSV, ("valence", "arousal", *(["caption"] if in_manifest else [])), problems):
        try:
            caption = row.text("caption") if in_manifest else ""
            if captions is not None:
                if row.id not in captions:
                    raise DataError(f"{row.where}: the CSV of captions has none for it; add one")
                if not (caption := captions[row.id]):  # already among the problems
                    continue
            path = files.find(row) if files else music / row.id
            track = row.cells.get("track", "").strip() or track_of(row.id)
            clips.append(ClipRow(row.id, track, path, _va(row), caption, row.number, _source(row)))
        except DataError as error:
            problems.append(str(error))
    return clips


def _texts(folder: Path, problems: list[str]) -> list[TextRow]:
    texts = []
    for row in read_rows(folder / TEXT_CSV, ("valence", "arousal", "text"), problems):
        try:
            split = row.cells.get("split", "").strip().lower()
            if split not in SPLITS:
                raise DataError(f"{row.where}: split {split!r}: must be {', '.join(name for name in SPLITS if name)}, or nothing")
            texts.append(TextRow(row.id, row.text("text"), _va(row), row.number, _source(row), SPLITS[split]))
        except DataError as error:
            problems.append(str(error))
    return texts


def _source(row: TableRow) -> str:
    return row.cells.get("source", "").strip()


def track_of(clip_id: str) -> str:
    """The track of a clip id in IMEMNet's form, "725" for "725-16"; an id of another form is its own track."""
    match = _CLIP_OF_TRACK.fullmatch(clip_id)
    return match[1] if match else clip_id


def picture_of(row: ImageRow) -> np.ndarray:
    """The picture of a row, uint8 (H, W, 3) RGB.

    Raises:
        DataError: as for `read_picture`, with the row.
    """
    try:
        return read_picture(row.path)
    except DataError as error:
        raise DataError(f"{IMAGE_CSV} row {row.row} (id {row.id!r}): {error}, or leave the row out") from error


def sound_of(row: ClipRow, rate_hz: int, max_s: float | None = None) -> np.ndarray:
    """The sound of a row, float32 (n,) mono in [-1, 1].

    Raises:
        DataError: as for `read_sound`, with the row; or the clip is silent.
    """
    try:
        sound = read_sound(row.path, rate_hz, max_s)
        if np.abs(sound).max() < SILENCE_PEAK:
            raise DataError(f"{row.path}: silent ({len(sound) / rate_hz:.1f} s below {SILENCE_PEAK:g}); get the file again")
    except DataError as error:
        raise DataError(f"{MUSIC_CSV} row {row.row} (id {row.id!r}): {error}, or leave the row out") from error
    return sound


class _Folder:
    """Finds files by id in a listing of the folder: on a network disk 25,000 single checks take minutes, a listing a second."""

    def __init__(self, folder: Path, suffixes: tuple[str, ...]) -> None:
        self.folder, self.suffixes = folder, suffixes
        try:
            with os.scandir(folder) as entries:
                self.sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError as error:
            raise DataError(f"{folder}: no such folder ({error.strerror}); put the files there or name their folder") from error

    def find(self, row: TableRow) -> Path:
        """The file of a row: its id, as it is or with one of the suffixes in lower or upper case.

        Raises:
            DataError: missing or empty.
        """
        names = [row.id, *(row.id + form for suffix in self.suffixes for form in (suffix, suffix.upper()))]
        for name in names:
            size = self.sizes.get(name)
            if size is None and "/" in name and (self.folder / name).is_file():
                size = (self.folder / name).stat().st_size
            if size == 0:
                raise DataError(f"{row.where}: {self.folder / name} has zero length; get the file again or delete the row")
            if size is not None:
                return self.folder / name
        wanted = " or ".join((self.suffixes[0], self.suffixes[0].upper()))
        raise DataError(f"{row.where}: no file {self.folder / row.id}{wanted}; put it there or delete the row")


def _va(row: TableRow) -> tuple[float, float]:
    return row.number_in("valence", 0.0, 1.0, _LABEL_CURE), row.number_in("arousal", 0.0, 1.0, _LABEL_CURE)


def _merge(rows: list[AnyRow], file: Path, merged: list[str]) -> tuple[AnyRow, ...]:
    """One row for each id, in the order of their first rows; different labels are averaged and listed, the first caption is kept."""
    by_id: dict[str, list[AnyRow]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    kept = []
    for same in by_id.values():
        if len({row.va for row in same}) == 1:
            kept.append(same[0])
            continue
        valence, arousal = (sum(row.va[axis] for row in same) / len(same) for axis in (0, 1))
        labels = ", ".join(f"({row.va[0]:.3f}, {row.va[1]:.3f})" for row in same)
        numbers = ", ".join(str(row.row) for row in same)
        merged.append(f"{file} rows {numbers}: id {same[0].id!r} has differing labels {labels}, mean ({valence:.3f}, {arousal:.3f})")
        kept.append(replace(same[0], va=(valence, arousal)))
    return tuple(kept)


def _fingerprint(images: tuple[ImageRow, ...], clips: tuple[ClipRow, ...], texts: tuple[TextRow, ...]) -> str:
    content: list[list[tuple[object, ...]]] = [
        [(row.id, row.va) for row in images],
        [(row.id, row.track, row.va, row.caption) for row in clips],
    ]
    content += [[(row.id, row.va, row.caption) for row in texts]] if texts else []
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _and_more(lines: list[str]) -> str:
    return f" (and {len(lines) - 1} more such)" if len(lines) > 1 else ""
