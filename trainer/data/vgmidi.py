"""Read VGMIDI (Ferreira & Whitehead 2019): 200 piano arrangements of video game music with valence and arousal over time.

About thirty raters annotated both while listening, a value for each measure in [-1, 1]. The pieces are MIDI files.
"""

import json
import math
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from trainer.data import fluidsynth
from trainer.data.clips import RATE_HZ, Track
from trainer.data.scale import to_unit
from trainer.errors import DataError

LONGEST_S = 3600
"""The longest accepted duration of a piece."""

_CURE = "get VGMIDI's annotations again"


def read(folder: Path, soundfont: Path | None, problems: list[str]) -> list[Track]:
    """The labelled pieces of VGMIDI as cloned: `labelled/annotations/*.json` and `labelled/midi/`.

    A piece's curve is the mean over its raters. Raters whose curve differs in length from most curves of that piece are left out, as are
    annotations without a piece: VGMIDI has a few of both.

    Args:
        folder: VGMIDI, or its `labelled`.
        soundfont: to render with; None to search for a General MIDI one.
        problems: gets a line for each bad piece.

    Raises:
        DataError: a folder or file is missing or invalid, or no usable piece.
    """
    labelled = folder if (folder / "annotations").is_dir() else folder / "labelled"
    for name in ("annotations", "midi"):
        if not (labelled / name).is_dir():
            raise DataError(f"{folder}: no folder labelled/{name}; name the folder that VGMIDI was cloned to")
    files = sorted((labelled / "annotations").glob("*.json"))
    if not files:
        raise DataError(f"{labelled / 'annotations'}: not one .json; {_CURE}")
    fluidsynth.executable()
    font = fluidsynth.find_soundfont(soundfont)
    key = fluidsynth.key(font)

    def play(midi: Path, length_s: float) -> np.ndarray:
        # The decay after the annotated length has no label.
        return fluidsynth.render(midi, font, length_s, RATE_HZ)[: round(length_s * RATE_HZ)]

    tracks = []
    for file in files:
        document = _load(file)
        raters = defaultdict(list)
        for name, annotation in document["annotations"].items():
            raters[name.rsplit("_", 1)[0]].append((name, annotation))
        for name, piece in document["pieces"].items():
            try:
                midi, length_s = _midi(piece, labelled / "midi", f"{file}: piece {name!r}")
                curve = _curve(raters[name], f"{file}: piece {name!r}")
            except DataError as error:
                problems.append(str(error))
                continue
            ident = f"vgmidi-{file.stem.removeprefix('vgmidi_raw_')}-{name.removeprefix('piece')}"
            tracks.append(
                Track(ident, "vgmidi", midi, partial(play, midi, length_s), f"{key} {length_s:g}", to_unit(curve, "vgmidi", "nominal"))
            )
    if not tracks:
        raise DataError(f"{folder}: not one piece of VGMIDI is left{', the first bad one: ' + problems[0] if problems else ''}")
    return tracks


def _load(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not readable JSON ({error}); {_CURE}") from error
    parts = [document.get(part) for part in ("pieces", "annotations")] if isinstance(document, dict) else []
    if not parts or not all(isinstance(part, dict) and part for part in parts):
        raise DataError(f"{file}: has not VGMIDI's tables 'pieces' and 'annotations'; {_CURE}")
    return document


def _midi(piece: Any, folder: Path, where: str) -> tuple[Path, float]:
    """The file of a piece and its length in seconds."""
    entry: dict[str, Any] = piece if isinstance(piece, dict) else {}
    name, length = entry.get("midi", ""), entry.get("duration")
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise DataError(f"{where}: 'midi' {name!r} is not a file name; {_CURE}")
    if not _is_number(length) or not 0 < length <= LONGEST_S:
        raise DataError(f"{where}: 'duration' {length!r} is not a number of seconds up to {LONGEST_S}; {_CURE}")
    if not (folder / name).is_file():
        raise DataError(f"{where}: no file {folder / name}; put it there")
    return folder / name, float(length)


def _curve(raters: list[tuple[str, Any]], where: str) -> np.ndarray:
    """Valence and arousal, each the mean over the raters; float64 (m, 2) in [-1, 1]."""
    if not raters:
        raise DataError(f"{where}: it has no annotations; {_CURE}")
    curves: list[Any] = []
    for name, annotation in raters:
        both: list[Any] = [annotation.get(axis) for axis in ("valence", "arousal")] if isinstance(annotation, dict) else []
        if not both or not all(isinstance(values, list) for values in both):
            raise DataError(f"{where}: annotation {name!r} has no lists 'valence' and 'arousal'; {_CURE}")
        for axis, values in zip(("valence", "arousal"), both, strict=True):
            wrong = [value for value in values if not _is_number(value) or not -1 <= value <= 1]
            if wrong:
                raise DataError(f"{where}: annotation {name!r}: {axis} {wrong[0]!r} is not a number in [-1, 1]; {_CURE}")
        if len(both[0]) == len(both[1]) > 0:
            curves.append(both)
    if not curves:
        raise DataError(f"{where}: no rater's valence and arousal have one length; {_CURE}")
    [(usual, _)] = Counter(len(valence) for valence, _ in curves).most_common(1)
    return np.mean([both for both in curves if len(both[0]) == usual], axis=0).T


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
