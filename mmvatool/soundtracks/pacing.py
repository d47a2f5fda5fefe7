"""How long each picture is shown: evenly, so that the show ends with its music, and with cuts on its beats. Pure numpy.

A show is told by `fixed_s` (N,): the length of each video clip in seconds, which it keeps, and NaN for a picture, which has none.
"""

import math
from dataclasses import dataclass

import numpy as np

from mmvatool.soundtracks.matching import LOOP, PAIRS, STEP_S, TrackMatch, Tracks, distances_from, loops_of, steps
from trainer import score_of_distance

# How much shorter and longer than asked for a picture may be shown so that the show ends with the music.
SHORTEST, LONGEST = 0.5, 2.0
STRAY = 0.02  # what it costs, in VA, to show pictures for half or double the time that was asked for
LEAST_SHOWN_S = 0.5  # no cut moves so near to another one
FARTHEST_S = 1.0  # that a cut is moved to a beat
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Pace:
    """When what is shown: picture n in [edges_s[n], edges_s[n + 1]), `edges_s` float64 (N + 1,) from 0.

    `seconds` is how long each picture stands; `ends`: the show ends where the music does.
    """

    edges_s: np.ndarray
    seconds: float
    ends: bool

    @property
    def length_s(self) -> float:
        """Length of the show in seconds."""
        return float(self.edges_s[-1])


@dataclass(frozen=True)
class Ending:
    """A stretch of a track that a show ends with, and the pace that makes it."""

    stretch: TrackMatch
    pace: Pace


def evenly(fixed_s: np.ndarray, seconds: float) -> np.ndarray:
    """Edges (N + 1,) from 0 of a show whose pictures are shown for `seconds` each.

    Raises:
        ValueError: nothing to show, or a length that is not above 0.
    """
    fixed = np.asarray(fixed_s, np.float64)
    lengths = np.where(np.isnan(fixed), seconds, fixed)
    if lengths.ndim != 1 or not len(lengths) or not (np.isfinite(lengths).all() and (lengths > 0).all() and 0 < seconds < np.inf):
        raise ValueError(f"{lengths.size} pictures and clips, {seconds} s a picture: lengths must be finite and above 0")
    return np.concatenate([[0.0], np.cumsum(lengths)])


def to_music(fixed_s: np.ndarray, seconds: float, duration_s: float, offset_s: float = 0.0) -> Pace:
    """A show that ends with its music: the time of the pictures is stretched, clips keep their length.

    The music plays from `offset_s` to the end of the track, and then as often from its start to its end as brings the pictures nearest
    to `seconds`. Where none of these ends can be met with SHORTEST to LONGEST x `seconds` a picture (few pictures and a long track,
    clips only), pictures are shown for `seconds`, and the music has to be faded out: `ends` is False.

    Args:
        fixed_s: (N,) lengths of clips, NaN for pictures.
        seconds: how long a picture should be shown.
        duration_s: length of the track.
        offset_s: in-point in the track.

    Raises:
        ValueError: nothing to show, a length that is not above 0, or an in-point outside of the track.
    """
    fixed = np.asarray(fixed_s, np.float64)
    edges = evenly(fixed, seconds)
    if not 0 <= offset_s < duration_s < np.inf:
        raise ValueError(f"in-point {offset_s} s: the track has {duration_s} s")
    (each,) = _seconds_to_end(fixed, seconds, np.array([duration_s]), np.array([offset_s])).tolist()
    return Pace(edges, seconds, False) if math.isnan(each) else Pace(evenly(fixed, each), each, True)


def endings(fixed_s: np.ndarray, seconds: float, duration_s: float) -> np.ndarray:
    """In-points of a track, STEP_S apart, from which `to_music` ends a show with the music: float64, rising, perhaps none."""
    fixed = np.asarray(fixed_s, np.float64)
    evenly(fixed, seconds)  # for its errors
    offsets_s = STEP_S * np.arange(max(1, int(duration_s / STEP_S + 0.5)))
    return offsets_s[~np.isnan(_seconds_to_end(fixed, seconds, np.full(len(offsets_s), duration_s), offsets_s))]


def _seconds_to_end(fixed: np.ndarray, seconds: float, durations_s: np.ndarray, offsets_s: np.ndarray) -> np.ndarray:
    """How long a picture is shown so that the show ends with the music: (R,) for R in-points, NaN where it cannot."""
    even_s = float(np.where(np.isnan(fixed), seconds, fixed).sum())
    pictures, clips_s = int(np.isnan(fixed).sum()), float(np.nansum(fixed))
    left_s = durations_s - offsets_s
    # The ends before and after the one of the even show: the others are farther.
    passes = np.maximum(0, np.floor((even_s - left_s) / durations_s))[:, None] + [0, 1]
    ends_s = left_s[:, None] + durations_s[:, None] * passes
    if not pictures:
        return np.where((np.abs(ends_s - even_s) < _ROUNDING).any(axis=1), seconds, np.nan)
    each = (ends_s - clips_s) / pictures / seconds
    stray = np.abs(np.log(np.maximum(each, _ROUNDING)))
    stray[(each < SHORTEST - _ROUNDING) | (each > LONGEST + _ROUNDING)] = np.inf
    nearest = stray.argmin(axis=1)[:, None]
    return np.where(np.isfinite(stray.min(axis=1)), np.take_along_axis(each, nearest, axis=1)[:, 0] * seconds, np.nan)


def best_endings(va: np.ndarray, fixed_s: np.ndarray, seconds: float, tracks: Tracks, sigma: float | None) -> list[Ending | None]:
    """The stretch of each track that a show ends with, and that is nearest to it: `matching.best` among `endings`.

    What `matching.best` adds to the distance for the choice is added here too, and STRAY for each doubling or halving of `seconds`.

    Args:
        va: (N, 2) of the pictures and clips.
        fixed_s: (N,) lengths of clips, NaN for pictures.
        seconds: how long a picture should be shown.
        tracks: T of them.
        sigma: Eq. 1's sigma of the model; None: there is no score.

    Returns:
        T endings, the earliest of equals; None: the show cannot end with this track.

    Raises:
        ValueError: another shape, a number that is not finite, or a length that is not above 0.
    """
    fixed = np.asarray(fixed_s, np.float64)
    evenly(fixed, seconds)  # for its errors
    owners, offsets_s = tracks.in_points()
    each = _seconds_to_end(fixed, seconds, tracks.durations_s[owners], offsets_s)
    costs, away, loops = np.full(len(each), np.inf), np.full(len(each), np.inf), np.zeros(len(each), np.int64)
    possible = np.flatnonzero(~np.isnan(each))
    rows = max(1, PAIRS // len(fixed))
    for start in range(0, len(possible), rows):
        part = possible[start : start + rows]
        lengths = np.where(np.isnan(fixed), each[part, None], fixed)
        edges = np.concatenate([np.zeros((len(part), 1)), np.cumsum(lengths, axis=1)], axis=1)
        away[part] = distances_from(steps(va, edges), tracks, owners[part], offsets_s[part])
        loops[part] = loops_of(edges[:, -1], tracks.durations_s[owners[part]], offsets_s[part])
        costs[part] = away[part] + LOOP * loops[part] + STRAY * np.abs(np.log2(each[part] / seconds))
    found: list[Ending | None] = []
    for window in tracks.least(costs).tolist():
        if np.isinf(costs[window]):
            found.append(None)
            continue
        score = None if sigma is None else float(score_of_distance(away[window], sigma))
        stretch = TrackMatch(float(offsets_s[window]), float(away[window]), score, int(loops[window]))
        found.append(Ending(stretch, Pace(evenly(fixed, each[window]), float(each[window]), True)))
    return found


def on_beats(edges_s: np.ndarray, beats_s: np.ndarray, fixed_s: np.ndarray) -> np.ndarray:
    """Move each cut to the nearest beat in reach; the first and the last edge stay.

    In reach is what lies within FARTHEST_S and within half of the shorter of the two pictures beside the cut, leaves each of them
    LEAST_SHOWN_S (or what it had, if that is less), and asks no clip for more than it has. A cut without such a beat stays.

    Args:
        edges_s: (N + 1,) rising.
        beats_s: (B,) rising, in the time of the show; B may be 0.
        fixed_s: (N,) lengths of clips, NaN for pictures.

    Returns:
        float64 (N + 1,), rising.

    Raises:
        ValueError: edges that do not rise, another shape, or a beat that is not finite.
    """
    edges, beats = np.array(edges_s, np.float64), np.asarray(beats_s, np.float64)
    lengths = np.diff(edges)
    if edges.ndim != 1 or not len(lengths) or not (np.isfinite(edges).all() and (lengths > 0).all()):
        raise ValueError(f"edges {edges.shape}: must be two at least, finite and rising")
    if np.shape(fixed_s) != lengths.shape or beats.ndim != 1 or not np.isfinite(beats).all():
        raise ValueError(f"lengths {np.shape(fixed_s)} of {len(lengths)} pictures and beats {beats.shape}: must be one each, and finite")
    material = np.fmax(np.where(np.isnan(fixed_s), np.inf, fixed_s), lengths)
    least = np.minimum(LEAST_SHOWN_S, lengths)
    for cut in range(1, len(lengths)):
        reach = min(FARTHEST_S, lengths[cut - 1] / 2, lengths[cut] / 2)
        # The next cut has not moved yet: it must be able to stay where it is.
        low = max(edges[cut] - reach, edges[cut - 1] + least[cut - 1], edges[cut + 1] - material[cut])
        high = min(edges[cut] + reach, edges[cut + 1] - least[cut], edges[cut - 1] + material[cut - 1])
        there = beats[np.searchsorted(beats, low - 1e-9) : np.searchsorted(beats, high + 1e-9, side="right")]
        if len(there):
            edges[cut] = there[np.abs(there - edges[cut]).argmin()]
    return edges
