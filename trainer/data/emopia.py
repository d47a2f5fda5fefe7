"""Read EMOPIA (Hung et al. 2021): 1,078 excerpts of piano music from videos, transcribed to MIDI, each with its quadrant of the VA plane.

Of each clip four annotators agreed on the quadrant, which its file name begins with: Q1 is pleasant and exciting, Q2 unpleasant and
exciting, Q3 unpleasant and calm, Q4 pleasant and calm.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from trainer.data import fluidsynth
from trainer.data.clips import RATE_HZ, Track
from trainer.errors import DataError

LONGEST_S = 180.0
"""The longest accepted excerpt; most have half a minute."""
QUADRANTS = {"1": (0.75, 0.75), "2": (0.25, 0.75), "3": (0.25, 0.25), "4": (0.75, 0.25)}
"""Valence and arousal in the middle of each."""

_NAME = re.compile(
    r"Q(?P<quadrant>[1-4])_(?P<song>.+)_(?P<number>\d+)", re.IGNORECASE
)  # the song: a video's id, which may hold an underscore


def read(folder: Path, soundfont: Path | None, problems: list[str]) -> list[Track]:
    """The excerpts of EMOPIA as unpacked: MIDI files named Q1_SONG_0.mid, anywhere below. Those of a song are one group.

    Args:
        folder: with the MIDI files.
        soundfont: to render with; None to search for a General MIDI one.
        problems: gets a line for each MIDI file with another name.

    Raises:
        DataError: no such folder, or no excerpt in it; fluidsynth or the soundfont is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name the folder that EMOPIA's MIDI files were unpacked to")
    fluidsynth.executable()
    font = fluidsynth.find_soundfont(soundfont)
    key = fluidsynth.key(font)
    tracks = []
    for midi in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi")):
        named = _NAME.fullmatch(midi.stem)
        if named is None:
            problems.append(f"{midi}: its name does not say quadrant, song and number, as Q1_SONG_0.mid does; name it so or take it out")
            continue
        play = partial(fluidsynth.render, midi, font, LONGEST_S, RATE_HZ)
        label = np.array([QUADRANTS[named["quadrant"]]])
        tracks.append(Track(f"emopia-{midi.stem}", "emopia", midi, play, key, label, group=f"emopia-{named['song']}"))
    if not tracks:
        raise DataError(f"{folder}: not one excerpt of EMOPIA (Q1_SONG_0.mid){', the first problem: ' + problems[0] if problems else ''}")
    return tracks
