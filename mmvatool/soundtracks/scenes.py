"""Scenes of a sequence by their VA, and which track each of them gets. Pure numpy.

A scene is a run of pictures (or samples of a video) around one VA. Its end is exact, by dynamic programming over all
divisions: the sum of squares of the distances from the scenes' means, and a penalty for each scene.
"""

import itertools

import numpy as np

LEAST_SCENE_S = 15.0  # a track needs so much time to have an effect
# What one more scene costs, in squares of the noise x the logarithm of the number of pictures: one for the position of the change and two
# for its VA would be Schwarz's criterion. Half as much again, since the noise, too, is only estimated: of 10 to 300 pictures of pure
# noise under 3 % are divided.
PENALTY = 4.5
# Standard deviation of the noise of a picture's VA. The least: smaller differences are the model's own. The usual: assumed of few
# pictures at most, whose differences do not show it.
LEAST_NOISE, USUAL_NOISE = 0.02, 0.1
FEW = 6
# Neighbouring samples of a video share their noise: the share is at most MOST_SHARED, and measured from MANY samples on.
MOST_SHARED, MANY = 0.85, 100
LEAST_CHANGE = 0.08  # between two scenes, in VA; a slow drift is not worth a new track at each step

# Costs of a choice of tracks, in VA: a step from track to track weighs as much as so much more distance in one scene of mean length.
REPEAT = 0.1  # the track of the scene before: another one is taken that lies up to so much further away
REPEAT_AFTER_NEXT = 0.05  # the track of the scene before that
TEMPO_PER_OCTAVE = 0.1  # half and double are the same tempo to a listener, so that half an octave (.05) is the most
LOUDNESS_PER_10_LU = 0.03
CANDIDATES = 20  # tracks a scene chooses from: its nearest. More than two of them are only needed for tempo and loudness.


def split(va: np.ndarray, lengths_s: np.ndarray, least_s: float = LEAST_SCENE_S) -> list[slice]:
    """Divide a sequence into scenes by VA.

    Noise is estimated from the differences of neighbours: by their median, so that the changes of scene themselves do not count. A
    picture counts once however long it is shown; time only bounds the scenes.

    Args:
        va: (N, 2) of pictures or samples, in order.
        lengths_s: (N,) how long each is shown, above 0.
        least_s: the shortest scene. A sequence that is shorter is one scene.

    Returns:
        Slices that cover 0..N in order.

    Raises:
        ValueError: no sample, another shape, or a number that is not finite.
    """
    va, lengths = np.asarray(va, np.float64), np.asarray(lengths_s, np.float64)
    if va.ndim != 2 or va.shape[1] != 2 or not len(va) or lengths.shape != va.shape[:1]:
        raise ValueError(f"VA {va.shape} and lengths {lengths.shape}: must be (N, 2) and (N,), N at least 1")
    if not (np.isfinite(va).all() and np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("VA must be finite, lengths finite and above 0")
    edges = _divide(va, lengths, least_s, PENALTY * _noise(va) ** 2 * np.log(max(len(va), FEW)))
    while len(edges) > 2:
        means = np.array([va[start:end].mean(0) for start, end in itertools.pairwise(edges)])
        change = np.hypot(*np.diff(means, axis=0).T)
        least = int(change.argmin())
        if change[least] >= LEAST_CHANGE:
            break
        del edges[least + 1]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def sequence(distances: np.ndarray, lengths_s: np.ndarray, tempos_bpm: np.ndarray, loudness_lufs: np.ndarray) -> list[int]:
    """Which track each scene gets: the sequence of least cost, exact by dynamic programming over the last two tracks.

    The cost is the sum of the scenes' distances, weighted by their length over the mean length, and for each step from scene to scene
    REPEAT, REPEAT_AFTER_NEXT and the changes of tempo and loudness. Unknown tempos and loudness cost nothing. Each scene chooses from its
    CANDIDATES nearest tracks; among these the sequence is the best there is.

    Args:
        distances: (S, T) of each scene from each track, in VA.
        lengths_s: (S,) of the scenes.
        tempos_bpm: (T,), NaN where not known.
        loudness_lufs: (T,), NaN where not known.

    Returns:
        S numbers of tracks.

    Raises:
        ValueError: no scene or no track, another shape, a distance that is not finite, a length or tempo that is not above 0, or infinity.
    """
    distances, lengths = np.asarray(distances, np.float64), np.asarray(lengths_s, np.float64)
    tempos, loudness = _check_sequence(distances, lengths, tempos_bpm, loudness_lufs)
    weighted = distances * (lengths / lengths.mean())[:, None]
    candidates = np.argsort(distances, axis=1, kind="stable")[:, :CANDIDATES]
    chosen = np.take_along_axis(weighted, candidates, axis=1)
    if len(distances) == 1:
        return [int(candidates[0, 0])]
    # costs[a, b]: the least cost up to a scene with candidate b, whose predecessor has candidate a.
    costs = chosen[0][:, None] + _step_costs(candidates[0], candidates[1], tempos, loudness) + chosen[1]
    predecessors = []  # predecessors[scene - 2][b, c]: the a of least cost
    for scene in range(2, len(distances)):
        again = REPEAT_AFTER_NEXT * (candidates[scene - 2][:, None] == candidates[scene])
        to_next = costs[:, :, None] + again[:, None, :]
        predecessors.append(to_next.argmin(axis=0))
        costs = to_next.min(axis=0) + _step_costs(candidates[scene - 1], candidates[scene], tempos, loudness) + chosen[scene]
    ranks = [int(rank) for rank in np.unravel_index(costs.argmin(), costs.shape)]
    for predecessor in reversed(predecessors):
        ranks.insert(0, int(predecessor[ranks[0], ranks[1]]))
    return [int(candidates[scene, rank]) for scene, rank in enumerate(ranks)]


def _check_sequence(
    distances: np.ndarray, lengths: np.ndarray, tempos_bpm: np.ndarray, loudness_lufs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tempos and loudness as float64; ValueError as `sequence` says."""
    if distances.ndim != 2 or not distances.size or not np.isfinite(distances).all():
        raise ValueError(f"distances {distances.shape}: must be finite, of a scene and a track at least")
    if lengths.shape != distances.shape[:1] or not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError(f"lengths {lengths.shape} of {len(distances)} scenes: must be one each, finite and above 0")
    tempos, loudness = np.asarray(tempos_bpm, np.float64), np.asarray(loudness_lufs, np.float64)
    if not tempos.shape == loudness.shape == distances.shape[1:]:
        raise ValueError(f"tempos {tempos.shape} and loudness {loudness.shape} of {distances.shape[1]} tracks: must be one each")
    if (tempos <= 0).any() or np.isinf(tempos).any() or np.isinf(loudness).any():
        raise ValueError("tempos must be above 0, and unknown ones NaN")
    return tempos, loudness


def _step_costs(tracks: np.ndarray, following: np.ndarray, tempos: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """Costs (A, B) of steps from A tracks to B others."""
    octaves = np.mod(np.abs(np.log2(tempos[following] / tempos[tracks][:, None])), 1)
    tempo = TEMPO_PER_OCTAVE * np.minimum(octaves, 1 - octaves)
    louder = LOUDNESS_PER_10_LU * np.abs(loudness[following] - loudness[tracks][:, None]) / 10
    return np.nan_to_num(tempo) + np.nan_to_num(louder) + REPEAT * (tracks[:, None] == following)


def _noise(va: np.ndarray) -> float:
    """Standard deviation of the noise of the noisier of valence and arousal, as large as it is in means over many samples.

    1.4826 makes a median absolute value a standard deviation. Differences of neighbours have twice the variance of the noise if that
    is new in each. If the part p of it stays from one to the next, it is 2 (1 - p), of next but one 2 (1 - p^2), and of means
    (1 + p) / (1 - p) times the variance of one sample over their number.
    """
    if len(va) < 2:
        return LEAST_NOISE
    variances = (1.4826 * np.median(np.abs(np.diff(va, axis=0)), axis=0)) ** 2 / 2
    if len(va) >= MANY:
        next_but_one = (1.4826 * np.median(np.abs(va[2:] - va[:-2]), axis=0)) ** 2 / 2
        shared = np.clip(next_but_one.sum() / max(variances.sum(), 1e-12) - 1, 0, MOST_SHARED)
        variances = variances / (1 - shared) * (1 + shared) / (1 - shared)
    noise = float(np.sqrt(variances.max()))
    return max(LEAST_NOISE, min(noise, USUAL_NOISE) if len(va) < FEW else noise)


def _divide(va: np.ndarray, lengths: np.ndarray, least_s: float, penalty: float) -> list[int]:
    """Edges of the division of least cost, each part at least `least_s` long."""
    count = len(va)
    ends_s = np.concatenate([[0.0], np.cumsum(lengths)])
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(va - va.mean(0), axis=0)])
    squares = np.concatenate([[0.0], np.cumsum(((va - va.mean(0)) ** 2).sum(1))])
    costs = np.full(count + 1, np.inf)
    costs[0] = 0.0
    start = np.zeros(count + 1, np.int64)
    stops = np.searchsorted(ends_s, ends_s - least_s + 1e-6, side="right")  # a part that ends at k begins before stops[k]
    for end in range(1, count + 1):
        stop = stops[end]
        if not stop:
            continue
        apart = sums[end] - sums[:stop]
        within = squares[end] - squares[:stop] - (apart**2).sum(1) / (end - np.arange(stop))
        total = costs[:stop] + within
        start[end] = total.argmin()
        costs[end] = total[start[end]] + penalty
    edges = [count]
    while edges[0] > 0:
        edges.insert(0, int(start[edges[0]]))
    return edges
