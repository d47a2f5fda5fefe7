"""How long each picture is shown: evenly, so that the slideshow ends with its music, and with changes on its beats. Pure numpy.

A slideshow is given by `fixed_s` (N,): the length of each video clip in seconds, which it keeps, and NaN for a picture, which has none.
"""

from dataclasses import dataclass

import numpy as np

from mmvatool.soundtracks.matching import CHUNK_PAIRS, LOOP_COST, TrackMatch, Tracks, distances_from, loops_of, steps
from mmvatool.soundtracks.scale import ABSOLUTE, Scale
from trainer import score_of_distance

# The least and the greatest factor by which the time of a picture may change so that the slideshow ends with the music.
SHORTEST, LONGEST = 0.5, 2.0
PACE_COST = 0.02  # in VA, for pictures shown for half or double the time that was asked for
LEAST_SHOWN_S = 0.5  # a change moved to a beat leaves each picture at least so much
FARTHEST_S = 1.0  # a change moves to a beat at most so far away
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Ending:
    """A match with which the slideshow ends where the track does.

    `edges_s` float64 (N + 1,) from 0: item n is shown in [edges_s[n], edges_s[n + 1]).
    """

    match: TrackMatch
    edges_s: np.ndarray


def evenly(fixed_s: np.ndarray, seconds: float) -> np.ndarray:
    """Edges (N + 1,) from 0 of a slideshow whose pictures are shown for `seconds` each.

    Raises:
        ValueError: no item, or a length that is not above 0.
    """
    fixed = np.asarray(fixed_s, np.float64)
    lengths = np.where(np.isnan(fixed), seconds, fixed)
    if lengths.ndim != 1 or not len(lengths) or not (np.isfinite(lengths).all() and (lengths > 0).all() and 0 < seconds < np.inf):
        raise ValueError(f"{lengths.size} pictures and clips, {seconds} s a picture: lengths must be finite and above 0")
    return np.concatenate([[0.0], np.cumsum(lengths)])


def picture_seconds(fixed_s: np.ndarray, seconds: float, durations_s: np.ndarray, offsets_s: np.ndarray) -> np.ndarray:
    """How long a picture is shown so that the slideshow ends with the music; clips keep their length.

    The music plays from the in-point to the end of the track, and then as often from start to end as brings the pictures nearest to
    `seconds`. There is no such length where none of these ends can be met with SHORTEST to LONGEST x `seconds` a picture (few pictures
    and a long track, clips only).

    Args:
        fixed_s: (N,) lengths of clips, NaN for pictures.
        seconds: how long a picture should be shown.
        durations_s: (R,) lengths of the tracks.
        offsets_s: (R,) in-points in them.

    Returns:
        Seconds (R,), NaN where there is no such length.
    """
    fixed = np.asarray(fixed_s, np.float64)
    even_s = float(np.where(np.isnan(fixed), seconds, fixed).sum())
    pictures, clips_s = int(np.isnan(fixed).sum()), float(np.nansum(fixed))
    left_s = durations_s - offsets_s
    # The last end of the track before the even slideshow's end, and the first after it: the others are farther.
    passes = np.maximum(0, np.floor((even_s - left_s) / durations_s))[:, None] + [0, 1]
    ends_s = left_s[:, None] + durations_s[:, None] * passes
    if not pictures:
        return np.where((np.abs(ends_s - even_s) < _ROUNDING).any(axis=1), seconds, np.nan)
    factors = (ends_s - clips_s) / pictures / seconds
    deviations = np.abs(np.log(np.maximum(factors, _ROUNDING)))
    deviations[(factors < SHORTEST - _ROUNDING) | (factors > LONGEST + _ROUNDING)] = np.inf
    nearest = deviations.argmin(axis=1)[:, None]
    return np.where(np.isfinite(deviations.min(axis=1)), np.take_along_axis(factors, nearest, axis=1)[:, 0] * seconds, np.nan)


def best_endings(
    va: np.ndarray, fixed_s: np.ndarray, seconds: float, tracks: Tracks, sigma: float | None, scale: Scale = ABSOLUTE
) -> list[Ending | None]:
    """The match of each track that is nearest to a slideshow and ends with it: `matching.best_matches` among those that can.

    What `matching.best_matches` adds to the distance for the choice is added here too, and PACE_COST for each doubling or halving of
    `seconds`.

    Args:
        va: (N, 2) of the pictures and clips.
        fixed_s: (N,) lengths of clips, NaN for pictures.
        seconds: how long a picture should be shown.
        tracks: T of them.
        sigma: Eq. 1's sigma of the model; None: there is no score.
        scale: in which they are compared.

    Returns:
        T endings, the earliest of equals; None: the slideshow cannot end with this track.

    Raises:
        ValueError: another shape, a number that is not finite, or a length that is not above 0.
    """
    fixed = np.asarray(fixed_s, np.float64)
    evenly(fixed, seconds)  # for its errors
    owners, offsets_s = tracks.in_points()
    picture_s = picture_seconds(fixed, seconds, tracks.durations_s[owners], offsets_s)
    costs, apart, loops = _ending_costs(va, fixed, seconds, picture_s, tracks, scale)
    endings: list[Ending | None] = []
    for window in tracks.least(costs).tolist():
        if np.isinf(costs[window]):
            endings.append(None)
            continue
        edges_s = evenly(fixed, picture_s[window])
        away = distances_from(steps(va, edges_s), tracks, owners[[window]], offsets_s[[window]])
        score = None if sigma is None else float(score_of_distance(away, sigma)[0])
        match = TrackMatch(float(offsets_s[window]), float(away[0]), score, int(loops[window]), float(apart[window]))
        endings.append(Ending(match, edges_s))
    return endings


def _ending_costs(
    va: np.ndarray, fixed: np.ndarray, seconds: float, picture_s: np.ndarray, tracks: Tracks, scale: Scale
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs, distances in a scale and loops (W,) of each in-point with its `picture_s` (W,); both infinite where that is NaN."""
    owners, offsets_s = tracks.in_points()
    among = tracks.on(scale)
    costs, apart, loops = np.full(len(picture_s), np.inf), np.full(len(picture_s), np.inf), np.zeros(len(picture_s), np.int64)
    possible = np.flatnonzero(~np.isnan(picture_s))
    rows = max(1, CHUNK_PAIRS // len(fixed))
    for start in range(0, len(possible), rows):
        part = possible[start : start + rows]
        lengths = np.where(np.isnan(fixed), picture_s[part, None], fixed)
        edges = np.concatenate([np.zeros((len(part), 1)), np.cumsum(lengths, axis=1)], axis=1)
        apart[part] = distances_from(steps(va, edges).on(scale), among, owners[part], offsets_s[part])
        loops[part] = loops_of(edges[:, -1], tracks.durations_s[owners[part]], offsets_s[part])
        costs[part] = apart[part] + LOOP_COST * loops[part] + PACE_COST * np.abs(np.log2(picture_s[part] / seconds))
    return costs, apart, loops


def on_beats(edges_s: np.ndarray, beats_s: np.ndarray, fixed_s: np.ndarray) -> np.ndarray:
    """Move each change from item to item to the nearest beat in reach; the first and the last edge stay.

    In reach is what lies within FARTHEST_S and within half of the shorter of the two items beside the change, leaves each of them
    LEAST_SHOWN_S (or what it had, if that is less), and shows no clip for longer than it lasts. A change without such a beat stays.

    Args:
        edges_s: (N + 1,) rising.
        beats_s: (B,) rising, in the time of the slideshow; B may be 0.
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
    longest = np.fmax(np.where(np.isnan(fixed_s), np.inf, fixed_s), lengths)
    least = np.minimum(LEAST_SHOWN_S, lengths)
    for change in range(1, len(lengths)):
        reach = min(FARTHEST_S, lengths[change - 1] / 2, lengths[change] / 2)
        # The next change has not moved yet: it must be able to stay where it is.
        low = max(edges[change] - reach, edges[change - 1] + least[change - 1], edges[change + 1] - longest[change])
        high = min(edges[change] + reach, edges[change + 1] - least[change], edges[change - 1] + longest[change - 1])
        in_reach = beats[np.searchsorted(beats, low - 1e-9) : np.searchsorted(beats, high + 1e-9, side="right")]
        if len(in_reach):
            edges[change] = in_reach[np.abs(in_reach - edges[change]).argmin()]
    return edges
