"""Cut DEAM (Aljanaki, Yang & Soleymani 2017) into labelled clips by IMEMNet's method.

DEAM's dynamic annotations are two tables, `valence.csv` and `arousal.csv`: a row for each song, a column `sample_15000ms`,
`sample_15500ms`, ... for each half second, values in [-1, 1]. They start at second 15, as raters need
time for their first judgement.
"""

import csv
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.constants import SILENCE_PEAK
from trainer.data.files import read_sound, write_wav
from trainer.data.manifest import MUSIC_SUFFIXES
from trainer.errors import DataError

FIRST_LABEL_S = 15
CLIP_S = 2
JOINED = 5
"""Number of consecutive clips in a joined clip of at most 10 seconds, the length of MERT's input."""
RATE_HZ = 24_000
"""MERT's sample rate; joined clips overlap and would take twice the space at 44.1 kHz."""

_SAMPLE = re.compile(r"sample_(\d+)ms")

Seconds = Mapping[int, tuple[float, float]]
"""Second of the track -> its mean valence and arousal."""


@dataclass(frozen=True)
class Window:
    """A joined clip: its position in its track, and its label.

    Attributes:
        number: of its first 2-second clip; clip k covers seconds [2k - 2, 2k), so the first labelled one is 9, as in IMEMNet.
        start_s: first second.
        end_s: exclusive; at most 10 after `start_s`.
        ratings: mean valence and arousal over its seconds, in [-1, 1].
    """

    number: int
    start_s: int
    end_s: int
    ratings: tuple[float, float]


@dataclass(frozen=True)
class Clip:
    """A joined clip on disk: `id` is "track-number"; ratings as in `Window`."""

    id: str
    path: Path
    ratings: tuple[float, float]


def read_annotations(folder: Path) -> dict[str, Seconds]:
    """The per-second labels of every track, from the two tables anywhere below the folder.

    Raises:
        DataError: the tables are missing or several, or a cell is not a number in [-1, 1].
    """
    folders = sorted(path.parent for path in folder.rglob("valence.csv") if (path.parent / "arousal.csv").is_file())
    if len(folders) != 1:
        where = f"several: {', '.join(map(str, folders))}; name the folder of one DEAM" if folders else "none"
        raise DataError(f"{folder}: DEAM's dynamic annotations (valence.csv beside arousal.csv) are needed once, there are {where}")
    valence, arousal = (_read_table(folders[0] / name) for name in ("valence.csv", "arousal.csv"))
    tracks = {}
    for track in valence.keys() & arousal.keys():
        both = valence[track].keys() & arousal[track].keys()
        tracks[track] = {second: (valence[track][second], arousal[track][second]) for second in sorted(both)}
    if not tracks:
        raise DataError(f"{folders[0]}: valence.csv and arousal.csv have no song in common; get the annotations again")
    return dict(sorted(tracks.items(), key=lambda item: (len(item[0]), item[0])))


def _read_table(file: Path) -> dict[str, dict[int, float]]:
    """Song -> second -> mean of the second's samples; seconds with empty cells have no label."""
    tracks: dict[str, dict[int, float]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            header = [name.strip() for name in next(reader, [])]
            columns = {column: int(match[1]) // 1000 for column, name in enumerate(header) if (match := _SAMPLE.fullmatch(name))}
            if not columns or "song_id" not in header:
                raise DataError(f"{file} row 1: not DEAM's header 'song_id,sample_15000ms,...'; get the annotations again")
            for number, cells in enumerate(reader, 2):
                if any(cell.strip() for cell in cells):
                    song = cells[header.index("song_id")].strip().removesuffix(".0")
                    tracks[song] = _seconds(cells, columns, header, f"{file} row {number} (song {song})")
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a readable CSV ({error}); get DEAM's annotations again") from error
    return tracks


def _seconds(cells: list[str], columns: dict[int, int], header: list[str], where: str) -> dict[int, float]:
    samples: dict[int, list[float]] = defaultdict(list)
    for column, second in columns.items():
        text = cells[column].strip() if column < len(cells) else ""
        if second < FIRST_LABEL_S or text.lower() in ("", "nan"):
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not -1 <= value <= 1:
            raise DataError(f"{where}: {header[column]} {text!r} is not a number in [-1, 1]; get DEAM's annotations again")
        samples[second].append(value)
    return {second: sum(values) / len(values) for second, values in samples.items()}


def windows(seconds: Seconds, duration_s: float) -> list[Window]:
    """The joined clips of one track: from each labelled 2-second clip up to five consecutive ones.

    Windows overlap, and the last ones are shorter, so that there are as many as 2-second clips.

    Args:
        seconds: labels.
        duration_s: of the sound; seconds that are not completely in it are ignored.
    """
    # Decoders may lose a few milliseconds of the last second.
    labelled = {second for second in seconds if second + 1 <= duration_s + 0.05}
    clips = sorted(start // CLIP_S + 1 for start in labelled if start % CLIP_S == 0 and start + 1 in labelled)
    numbers = set(clips)
    joined = []
    for number in clips:
        last = number
        while last + 1 in numbers and last + 1 < number + JOINED:
            last += 1
        start_s, end_s = (number - 1) * CLIP_S, last * CLIP_S
        mean = np.mean([seconds[second] for second in range(start_s, end_s)], axis=0)
        joined.append(Window(number, start_s, end_s, (float(mean[0]), float(mean[1]))))
    return joined


def find_sounds(folder: Path) -> dict[str, Path]:
    """Track -> sound file for all sound files below the folder, by name without suffix."""
    sounds: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(MUSIC_SUFFIXES):
                sounds.setdefault(Path(name).stem, Path(parent) / name)
    return sounds


def cut(track: str, sound_file: Path, seconds: Seconds, music: Path) -> tuple[list[Clip], list[str]]:
    """Write the joined clips of one track as 16-bit mono WAV files `music/track-number.wav`.

    Returns:
        The clips, and a line for each that is silent and was not written.

    Raises:
        DataError: the sound cannot be decoded, or ends before the first labelled clip does.
    """
    sound = read_sound(sound_file, RATE_HZ)
    planned = windows(seconds, len(sound) / RATE_HZ)
    if not planned:
        raise DataError(
            f"{sound_file}: lasts {len(sound) / RATE_HZ:.1f} s and has no whole 2-second clip among its {len(seconds)} labelled seconds; "
            "get the file again"
        )
    clips, problems = [], []
    for window in planned:
        samples = sound[window.start_s * RATE_HZ : window.end_s * RATE_HZ]
        name = f"{track}-{window.number}"
        if np.abs(samples).max() < SILENCE_PEAK:
            problems.append(f"{sound_file}: silent from {window.start_s} to {window.end_s} s (clip {name}); get the file again")
            continue
        path = music / f"{name}.wav"
        write_wav(path, samples, RATE_HZ)
        clips.append(Clip(name, path, window.ratings))
    return clips, problems


def missing_sounds(tracks: Iterable[str], sounds: Mapping[str, Path], folder: Path) -> list[str]:
    """A line for each annotated track without a sound file."""
    return [f"{folder}: song {track} is annotated but has no file {track}.mp3; put it there" for track in tracks if track not in sounds]
