"""The music that a show can have, from a library or from files that are named, and which of it fits best."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.library.analyze import analyze_track
from mmvatool.library.database import Library, Sound, Track
from mmvatool.library.update import below, model_key, real_path
from mmvatool.progress import Progress, no_progress
from mmvatool.soundtracks import pacing, scenes
from mmvatool.soundtracks.matching import LIKELY, PLACES, SPREAD, Steps, TrackMatch, Tracks, best, likely, shuffle_near, steps
from mmvatool.soundtracks.visuals import Visuals
from mmvatool.timeline import Cue

if TYPE_CHECKING:
    from trainer import Predictor

CROSSFADE_S = 3.0  # from track to track


@dataclass(frozen=True)
class CandidateTrack:
    """A track: its path as the user would write it, its VA (M, 2) in windows of 10 s, and what belongs to its sound."""

    path: Path
    va: np.ndarray
    sound: Sound

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.sound.duration_s

    @property
    def mean(self) -> np.ndarray:
        """Mean VA (2,)."""
        return self.va.mean(0, dtype=np.float64)


@dataclass(frozen=True)
class Ranked:
    """A track of the ranking: its best stretch from `offset_s` on, how far that lies, and VA (2,) of the whole track."""

    path: Path
    stretch: TrackMatch
    mean: np.ndarray
    duration_s: float

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "path": str(self.path),
            "distance": round(self.stretch.distance, 6),
            "score": None if self.stretch.score is None else round(self.stretch.score, 6),
            "offset_s": round(self.stretch.offset_s, 3),
            "valence": round(float(self.mean[0]), 6),
            "arousal": round(float(self.mean[1]), 6),
            "duration_s": round(self.duration_s, 3),
        }


def of_library(
    opened: Library, folder: Path, predictor: "Predictor", shows: Sequence[Steps], exclude: Sequence[str]
) -> list[CandidateTrack]:
    """The tracks of an indexed library that lie near one of several shows, in no order.

    Args:
        opened: the index, up to date.
        folder: the library.
        predictor: what felt it.
        shows: what is wanted: the scenes of a show, or the whole.
        exclude: patterns of shells; a track whose path below the folder, name or whole path matches one is left out.
    """
    root, model = real_path(folder), model_key(predictor)
    means = opened.means(root, model)
    found: dict[int, CandidateTrack] = {}
    for show in shows:
        keep, tracks = 0, list[Track]()
        while len(tracks) < LIKELY and keep < len(means.va):  # some may be left out
            keep = 4 * keep or LIKELY
            near = likely(show, means.va, keep=keep)
            tracks = [track for track in opened.tracks(means.ids[near].tolist(), model) if not _excluded(track, root, folder, exclude)]
        for track in tracks:
            if track.id not in found:
                _, va = opened.curve(track.id, model)
                path = below(folder, root, track.path)
                sound = Sound(track.duration_s, track.title, track.artist, track.licence, track.loudness_lufs, track.tempo_bpm)
                found[track.id] = CandidateTrack(path, va, sound)
    return list(found.values())


def of_files(
    paths: Sequence[Path], predictor: "Predictor", progress: Progress = no_progress
) -> tuple[list[CandidateTrack], list[MediaError]]:
    """Tracks that are named, each heard.

    Returns:
        The tracks, and an error for each file that cannot be heard.
    """
    tracks: list[CandidateTrack] = []
    errors: list[MediaError] = []
    with progress("listening", len(paths)) as heard:
        for place, path in enumerate(paths):
            try:
                track = analyze_track(path, predictor)
            except MediaError as error:
                errors.append(error)
            else:
                tracks.append(CandidateTrack(path, track.curve.va, track.sound))
            heard(place + 1)
    return tracks, errors


def rank(show: Visuals, music: list[CandidateTrack], sigma: float | None, seed: int | None) -> list[Ranked]:
    """The whole show against each track, the nearest first; with a seed those that are nearly as near in a drawn order."""
    stretches = best(show.wanted, _felt(music), sigma)
    order = shuffle_near(np.array([stretch.distance for stretch in stretches]).round(PLACES), seed, SPREAD)
    return [Ranked(music[place].path, stretches[place], music[place].mean, music[place].duration_s) for place in order]


def rank_endings(
    show: Visuals, music: list[CandidateTrack], sigma: float | None, seconds: float, seed: int | None
) -> tuple[list[Ranked], Visuals]:
    """As `rank`, of the tracks that the show can end with, and the show at the pace that ends with the first."""
    endings = pacing.best_endings(show.va, show.fixed_s, seconds, _felt(music), sigma)
    found = [(track, ending) for track, ending in zip(music, endings, strict=True) if ending is not None]
    if not found:
        note = "no track ends when the pictures can: the music is faded out with them"
        return rank(show, music, sigma, seed), replace(show, warnings=[*show.warnings, note])
    order = shuffle_near(np.array([ending.stretch.distance for _, ending in found]).round(PLACES), seed, SPREAD)
    ranking = [Ranked(track.path, ending.stretch, track.mean, track.duration_s) for track, ending in (found[place] for place in order)]
    return ranking, replace(show, edges_s=found[order[0]][1].pace.edges_s)


def score_scenes(show: Visuals, parts: list[slice], music: list[CandidateTrack], sigma: float | None, seed: int | None) -> list[Cue]:
    """A cue for each scene, neighbours of the same track joined; a seed draws among tracks that are nearly equal."""
    felt = _felt(music)
    wanted = [steps(show.va[part], show.edges_s[part.start : part.stop + 1]) for part in parts]
    away = np.array([[stretch.distance for stretch in best(part, felt, sigma)] for part in wanted])
    chosen = scenes.sequence(
        away if seed is None else away + np.random.default_rng(seed).uniform(0, SPREAD, away.shape),
        np.array([part.length_s for part in wanted]),
        np.array([np.nan if track.sound.tempo_bpm is None else track.sound.tempo_bpm for track in music]),
        np.array([np.nan if track.sound.loudness_lufs is None else track.sound.loudness_lufs for track in music]),
    )
    runs = [list(run) for _, run in itertools.groupby(range(len(chosen)), key=lambda part: chosen[part])]
    bounds_s = [float(show.edges_s[parts[run[0]].start]) for run in runs] + [float(show.edges_s[-1])]
    cues: list[Cue] = []
    for number, run in enumerate(runs):
        track, part = music[chosen[run[0]]], slice(parts[run[0]].start, parts[run[-1]].stop)
        wished = steps(show.va[part], show.edges_s[part.start : part.stop + 1])
        (stretch,) = best(wished, _felt([track]), sigma)
        # Where one track goes over into the next both sound, half of the time before the bound and half after.
        lead_s = min(CROSSFADE_S / 2, stretch.offset_s) if number else 0.0
        tail_s = CROSSFADE_S / 2 if number + 1 < len(runs) else 0.0
        start_s, end_s = bounds_s[number] - lead_s, bounds_s[number + 1] + tail_s
        cues.append(Cue(track.path, start_s, end_s, stretch.offset_s - lead_s, stretch.distance, stretch.score))
    return cues


def _felt(music: Sequence[CandidateTrack]) -> Tracks:
    return Tracks.of([track.va for track in music], [track.duration_s for track in music])


def _excluded(track: Track, root: bytes, folder: Path, patterns: Sequence[str]) -> bool:
    path = below(folder, root, track.path)
    names = (str(path.relative_to(folder)), path.name, str(path))
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)
