"""Build IMEMNet-C's data folder from its source data sets."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.data import deam
from trainer.data.building import Progress, each, raise_or_skip, refuse_existing, write_csv
from trainer.data.manifest import IMAGE_CSV, MUSIC_CSV
from trainer.data.scale import NOMINAL, to_unit
from trainer.data.table import read_rows
from trainer.errors import DataError

Captioner = Callable[[Sequence[deam.Clip]], tuple[dict[str, str], list[str]]]
"""Gives the captions of clips by id, and a line for each clip without one."""


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes:
        clips: rows of `music_va.csv`.
        images: rows of `image_va.csv`; 0 if it was not written.
        skipped: one line for each bad track, clip or rating that was left out.
    """

    clips: int
    images: int
    skipped: tuple[str, ...]


def build(
    deam_dir: str | Path,
    out: str | Path,
    *,
    ratings: Mapping[str, str | Path] | None = None,
    scale: str = "minmax",
    captions: Captioner | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda items, total: items,
) -> Built:
    """Cut DEAM into `out/music/`, map every source's ratings to [0, 1] and write the manifests.

    The manifests are written last and atomically, so that a folder with manifests is complete.

    Args:
        deam_dir: DEAM as unpacked: its dynamic annotations and its sound files, anywhere below.
        out: the data folder, created if missing.
        ratings: source ("iaps", "naps", "emotic") -> CSV of ids with valence and arousal on the source's own scale. Without
            any, `image_va.csv` is not written.
        scale: "minmax" or "nominal", see `scale.to_unit`.
        captions: generates the captions; without it `music_va.csv` has no caption column.
        skip_bad: leave out bad items and list them, instead of raising.
        overwrite: replace existing manifests.
        progress: wraps the iterable of tracks, for a progress bar.

    Raises:
        DataError: a source is missing or bad, no item is usable, or a manifest exists.
    """
    deam_dir, out = Path(deam_dir), Path(out)
    refuse_existing([out / name for name in (MUSIC_CSV, *([IMAGE_CSV] if ratings else []))], overwrite)
    if not deam_dir.is_dir():
        raise DataError(f"{deam_dir}: no such folder; name the folder that DEAM was unpacked to")
    problems: list[str] = []
    images = [row for source, file in (ratings or {}).items() for row in _read_ratings(source, Path(file), scale, problems)]
    raise_or_skip(problems, skip_bad)
    try:
        (out / "music").mkdir(parents=True, exist_ok=True)
        clips = _cut_all(deam_dir, out / "music", problems, skip_bad, progress)
        labels = to_unit(np.array([clip.ratings for clip in clips]), "deam", scale)
        header = ["", "clip_id", "valence", "arousal"]
        rows: list[list[object]] = [[clip.id, *va] for clip, va in zip(clips, labels.tolist(), strict=True)]
        if captions is not None:
            texts, missing = captions(clips)
            problems += missing
            rows = [[*row, texts[str(row[0])]] for row in rows if row[0] in texts]
            header.append("caption")
        raise_or_skip(problems, skip_bad)
        if not rows:
            raise DataError(f"{deam_dir}: not one clip is left; the first bad one: {problems[0]}")
        write_csv(out / MUSIC_CSV, header, ([number, *row] for number, row in enumerate(rows)))
        if ratings:
            write_csv(out / IMAGE_CSV, ["", "img", "valence", "arousal"], ([number, *row] for number, row in enumerate(images)))
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); make room, or name another folder with --out") from error
    return Built(len(rows), len(images), tuple(problems))


def _cut_all(folder: Path, music: Path, problems: list[str], skip_bad: bool, progress: Progress) -> list[deam.Clip]:
    annotations, sounds = deam.read_annotations(folder), deam.find_sounds(folder)
    problems += deam.missing_sounds(annotations, sounds, folder)
    raise_or_skip(problems, skip_bad)

    def cut(track: str) -> tuple[list[deam.Clip], list[str]]:
        try:
            return deam.cut(track, sounds[track], annotations[track], music)
        except DataError as error:
            return [], [str(error)]

    tracks = [track for track in annotations if track in sounds]
    clips: list[deam.Clip] = []
    with each(cut, tracks, progress) as results:
        for cut_clips, bad in results:
            clips += cut_clips
            problems += bad
            raise_or_skip(problems, skip_bad)
    if not clips:
        raise DataError(f"{folder}: not one clip could be cut{', the first bad one: ' + problems[0] if problems else ''}")
    return clips


def _read_ratings(source: str, file: Path, scale: str, problems: list[str]) -> list[list[object]]:
    """Rows id, valence, arousal in [0, 1]; an id rated several times (EMOTIC: each person in it) gets the mean."""
    low, high = NOMINAL[source]
    cure = f"{source} is rated from {low:g} to {high:g}; correct or delete the row"
    rated: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in read_rows(file, ("valence", "arousal"), problems):
        try:
            va = row.number_in("valence", low, high, cure), row.number_in("arousal", low, high, cure)
            rated[row.id].append(va)
        except DataError as error:
            problems.append(str(error))
    if not rated:
        raise DataError(f"{problems[-1] if problems else f'{file}: not one row'}; no usable row is left in {file.name}")
    labels = to_unit(np.array([np.mean(values, axis=0) for values in rated.values()]), source, scale)
    return [[name, *va] for name, va in zip(rated, labels.tolist(), strict=True)]
