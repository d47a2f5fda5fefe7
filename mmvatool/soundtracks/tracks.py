"""Candidate tracks for visuals, from a library or from files given one by one, and which of them fit best."""

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
from mmvatool.library.update import display_path, model_key
from mmvatool.library.walk import real_path
from mmvatool.progress import Progress, no_progress
from mmvatool.soundtracks import pacing, scenes
from mmvatool.soundtracks.matching import (
    MAX_CANDIDATES,
    SPREAD,
    Steps,
    TrackMatch,
    Tracks,
    best_matches,
    nearest_by_mean,
    shuffle_near,
)
from mmvatool.soundtracks.scale import ABSOLUTE, PLACES, Scale
from mmvatool.soundtracks.visuals import Visuals
from mmvatool.timeline import Cue

if TYPE_CHECKING:
    from trainer import Predictor

CROSSFADE_S = 3.0  # from track to track


@dataclass(frozen=True)
class CandidateTrack:
    """A track: its path as the user would write it, its VA (M, 2) in windows of 10 s, and what was measured of its sound."""

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
    """A track of the ranking with its best match, its mean VA (2,) and its length."""

    path: Path
    match: TrackMatch
    mean: np.ndarray
    duration_s: float

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "path": str(self.path),
            "distance": round(self.match.distance, 6),
            "score": None if self.match.score is None else round(self.match.score, 6),
            "offset_s": round(self.match.offset_s, 3),
            "valence": round(float(self.mean[0]), 6),
            "arousal": round(float(self.mean[1]), 6),
            "duration_s": round(self.duration_s, 3),
        }


def library_candidates(
    opened: Library, folder: Path, predictor: "Predictor", targets: Sequence[Steps], exclude: Sequence[str], match: str
) -> tuple[list[CandidateTrack], Scale]:
    """The tracks of an indexed library that lie near one of several targets, in no order; and the scale in which they do.

    Args:
        opened: the index, up to date.
        folder: the library.
        predictor: the model whose predictions are used.
        targets: VA over time of each scene, or of all visuals.
        exclude: shell patterns; a track whose path below the folder, name or full path matches one is left out, of ranks as well.
        match: the scale, one of MATCHES.
    """
    root, model = real_path(folder), model_key(predictor)
    means = opened.means(root, model)
    scale = ABSOLUTE
    if match == "library":
        va = means.va
        if exclude:
            va = np.array([track.mean for track in opened.tracks_below(root, model) if not _excluded(track, root, folder, exclude)])
        scale = Scale.of_library(va) if len(va) else ABSOLUTE
    candidates: dict[int, CandidateTrack] = {}
    for target in targets:
        keep, tracks = 0, list[Track]()
        while len(tracks) < MAX_CANDIDATES and keep < len(means.va):  # excluded ones are replaced by the next nearest
            keep = 4 * keep or MAX_CANDIDATES
            near = nearest_by_mean(target, means.va, keep, scale)
            tracks = [track for track in opened.tracks(means.ids[near].tolist(), model) if not _excluded(track, root, folder, exclude)]
        for track in tracks:
            if track.id not in candidates:
                _, va = opened.curve(track.id, model)
                sound = Sound(track.duration_s, track.title, track.artist, track.licence, track.loudness_lufs, track.tempo_bpm)
                candidates[track.id] = CandidateTrack(display_path(folder, root, track.path), va, sound)
    return list(candidates.values()), scale


def file_candidates(
    paths: Sequence[Path], predictor: "Predictor", progress: Progress = no_progress
) -> tuple[list[CandidateTrack], list[MediaError]]:
    """Analyze tracks that are given one by one.

    Returns:
        The tracks, and an error for each file that cannot be decoded.
    """
    tracks: list[CandidateTrack] = []
    errors: list[MediaError] = []
    with progress("analyzing", len(paths)) as on_progress:
        for index, path in enumerate(paths):
            try:
                track = analyze_track(path, predictor)
            except MediaError as error:
                errors.append(error)
            else:
                tracks.append(CandidateTrack(path, track.curve.va, track.sound))
            on_progress(index + 1)
    return tracks, errors


def rank(visuals: Visuals, music: list[CandidateTrack], sigma: float | None, scale: Scale, seed: int | None) -> list[Ranked]:
    """All tracks by their best match with the visuals in a scale, the nearest first; with a seed those nearly as near in random order."""
    matches = best_matches(visuals.target, _windows(music), sigma, scale)
    order = shuffle_near(np.array([match.apart for match in matches]).round(PLACES), seed, SPREAD)
    return [Ranked(music[index].path, matches[index], music[index].mean, music[index].duration_s) for index in order]


def rank_endings(
    visuals: Visuals, music: list[CandidateTrack], sigma: float | None, scale: Scale, seconds: float, seed: int | None
) -> tuple[list[Ranked], Visuals]:
    """As `rank`, of the tracks that the visuals can end with; and the visuals at the pace that ends with the first."""
    endings = pacing.best_endings(visuals.va, visuals.fixed_s, seconds, _windows(music), sigma, scale)
    possible = [(track, ending) for track, ending in zip(music, endings, strict=True) if ending is not None]
    if not possible:
        warning = "no track ends when the pictures can: the music is faded out with them"
        return rank(visuals, music, sigma, scale, seed), replace(visuals, warnings=[*visuals.warnings, warning])
    order = shuffle_near(np.array([ending.match.apart for _, ending in possible]).round(PLACES), seed, SPREAD)
    ranking = [Ranked(track.path, ending.match, track.mean, track.duration_s) for track, ending in (possible[index] for index in order)]
    return ranking, replace(visuals, edges_s=possible[order[0]][1].edges_s)


def scene_cues(
    visuals: Visuals, parts: list[slice], music: list[CandidateTrack], sigma: float | None, scale: Scale, seed: int | None
) -> list[Cue]:
    """A cue for each scene, neighbours with the same track joined; a seed draws among tracks that are nearly equal.

    Args:
        visuals: what the music goes with.
        parts: the scenes, as slices of `visuals.va`.
        music: tracks to choose from.
        sigma: Eq. 1's sigma of the model; None: cues have no score.
        scale: in which tracks and scenes are compared.
        seed: of the draw; None takes the sequence of least cost.
    """
    chosen = _tracks_of_scenes(visuals, parts, music, scale, seed)
    runs = [list(run) for _, run in itertools.groupby(range(len(chosen)), key=lambda part: chosen[part])]
    bounds_s = [float(visuals.edges_s[parts[run[0]].start]) for run in runs] + [float(visuals.edges_s[-1])]
    cues: list[Cue] = []
    for index, run in enumerate(runs):
        track, part = music[chosen[run[0]]], slice(parts[run[0]].start, parts[run[-1]].stop)
        (match,) = best_matches(visuals.part_target(part), _windows([track]), sigma, scale)
        # Neighbouring tracks are crossfaded, half of the time before the bound and half after.
        lead_s = min(CROSSFADE_S / 2, match.offset_s) if index else 0.0
        tail_s = CROSSFADE_S / 2 if index + 1 < len(runs) else 0.0
        start_s, end_s = bounds_s[index] - lead_s, bounds_s[index + 1] + tail_s
        cues.append(Cue(track.path, start_s, end_s, match.offset_s - lead_s, match.distance, match.score))
    return cues


def _tracks_of_scenes(visuals: Visuals, parts: list[slice], music: list[CandidateTrack], scale: Scale, seed: int | None) -> list[int]:
    """The index of the track of each scene."""
    windows = _windows(music)
    targets = [visuals.part_target(part) for part in parts]
    apart = np.array([[match.apart for match in best_matches(target, windows, None, scale)] for target in targets])
    return scenes.sequence(
        apart if seed is None else apart + np.random.default_rng(seed).uniform(0, SPREAD, apart.shape),
        np.array([target.length_s for target in targets]),
        np.array([np.nan if track.sound.tempo_bpm is None else track.sound.tempo_bpm for track in music]),
        np.array([np.nan if track.sound.loudness_lufs is None else track.sound.loudness_lufs for track in music]),
    )


def _windows(music: Sequence[CandidateTrack]) -> Tracks:
    return Tracks.of([track.va for track in music], [track.duration_s for track in music])


def _excluded(track: Track, root: bytes, folder: Path, patterns: Sequence[str]) -> bool:
    path = display_path(folder, root, track.path)
    names = (str(path.relative_to(folder)), path.name, str(path))
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)
