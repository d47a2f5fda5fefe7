"""Read Emotify (Aljanaki, Wiering & Veltkamp 2016): 400 one-minute excerpts and the emotions that they induced in listeners.

Listeners chose up to three of nine emotions (the Geneva Emotional Music Scale). Each emotion has the valence and arousal that
Warriner, Kuperman & Brysbaert (2013) measured for its word; a track has the mean over the emotions weighted by its votes.
"""

import os
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from trainer.data.clips import RATE_HZ, Track
from trainer.data.files import read_sound
from trainer.data.manifest import MUSIC_SUFFIXES
from trainer.data.scale import to_unit
from trainer.data.table import read_rows
from trainer.errors import DataError

EMOTIONS = {
    "amazement": (7.29, 6.30),
    "solemnity": (4.66, 2.90),
    "tenderness": (6.89, 3.10),
    "nostalgia": (6.65, 4.38),
    "calmness": (6.89, 1.67),
    "power": (5.97, 5.41),
    "joyful_activation": (8.21, 5.53),
    "tension": (3.60, 5.08),
    "sadness": (2.40, 2.81),
}
"""Mean valence and arousal of each emotion's word, or of the closest rated word ("solemn", "calm", "joyful"), 1 to 9."""

_CURE = "correct or delete the row"


def read(folder: Path, problems: list[str]) -> list[Track]:
    """The tracks of Emotify as unpacked: `data.csv` and a folder of sound files for each genre, anywhere below.

    Files are numbered over all genres (`rock/101.mp3`) or within each (`rock/1.mp3`).

    Args:
        folder: with the table and the folders of sound files.
        problems: gets a line for each bad row, and each rated track without a file or without a vote.

    Raises:
        DataError: no folder, no `data.csv` or several, an unexpected header, or no usable track.
    """
    table = _find_table(folder)
    votes: dict[int, np.ndarray] = {}
    genres: dict[int, str] = {}
    for row in read_rows(table, ("genre", *EMOTIONS), problems, "track id"):
        try:
            if not row.id.isdecimal():
                raise DataError(f"{row.where}: the track id is not a number; {_CURE}")
            ticks = np.array([row.number_in(emotion, 0.0, 1.0, f"a vote is 0 or 1; {_CURE}") for emotion in EMOTIONS])
            votes[int(row.id)] = votes.get(int(row.id), 0.0) + ticks
            genres[int(row.id)] = row.cells["genre"].strip().lower()
        except DataError as error:
            problems.append(str(error))
    sounds = _find_sounds(folder, genres)
    norms = to_unit(np.array(list(EMOTIONS.values())), "norms", "nominal")
    tracks = []
    for number in sorted(votes):
        if number not in sounds:
            problems.append(
                f"{folder}: track {number} ({genres[number]}) is rated but has no sound file {_wanted(number, genres)}; put it there"
            )
        elif not votes[number].sum():
            problems.append(f"{table}: track {number} has no vote for any emotion; delete its rows")
        else:
            label = votes[number] @ norms / votes[number].sum()
            sound = partial(read_sound, sounds[number], RATE_HZ)
            tracks.append(Track(f"emotify-{number}", "emotify", sounds[number], sound, "", label[None]))
    if not tracks:
        raise DataError(f"{folder}: not one track of Emotify is left{', the first bad one: ' + problems[0] if problems else ''}")
    return tracks


def _find_table(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name the folder that Emotify was unpacked to")
    tables = sorted(folder.rglob("data.csv"))
    if len(tables) != 1:
        where = f"several: {', '.join(map(str, tables))}; name the folder of one Emotify" if tables else "none"
        raise DataError(f"{folder}: Emotify's table data.csv is needed once, there are {where}")
    return tables[0]


def _find_sounds(folder: Path, genres: dict[int, str]) -> dict[int, Path]:
    """Track -> its sound file."""
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if path.stem.isdecimal() and name.lower().endswith(MUSIC_SUFFIXES):
                files[path.parent.name.lower()].setdefault(int(path.stem), path)
    sounds = {}
    for genre, numbered in files.items():
        tracks = {number for number, named in genres.items() if named == genre}
        if tracks:
            # Numbered over all genres or within each: whichever matches more tracks of this genre.
            shift = max((0, _first(genre, genres) - 1), key=lambda by: len({number + by for number in numbered} & tracks))
            sounds.update({number + shift: path for number, path in numbered.items() if number + shift in tracks})
    return sounds


def _first(genre: str, genres: dict[int, str]) -> int:
    """The number of a genre's first track: genres have a hundred each, of which a subset may lack the first."""
    lowest = min(number for number, named in genres.items() if named == genre)
    return (lowest - 1) // 100 * 100 + 1


def _wanted(number: int, genres: dict[int, str]) -> str:
    genre = genres[number]
    within = number - _first(genre, genres) + 1
    return f"{genre}/{within}.mp3" + (f" or {genre}/{number}.mp3" if within != number else "")
