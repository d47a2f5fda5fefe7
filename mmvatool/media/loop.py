"""Loops a track that is too short: it jumps back to a point that sounds alike, so that the beat continues."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import correlate

from mmvatool.media.pcm import PIECE, RATE_HZ, Pcm

# The ends of a track that are more than this quieter than its louder quarter are fades or silence.
QUIET_DB = 9.0
LEVEL_S, LEVEL_HOP_S = 1.0, 0.1
REGION_S = 30.0  # jumps go from the last so many seconds to the first so many, or a third of the track
CONTEXT_S = 4.0  # around both ends of a jump that are compared: some beats
HOP, WINDOW = 960, 2048  # 20 ms, 43 ms
BANDS, LOWEST_HZ, HIGHEST_HZ = 24, 60.0, 16_000.0
LOUDNESS_POWER = 0.25  # of a band's power: about proportional to perceived loudness
LENGTH_COST = 0.05  # of a jump that would leave out the whole track, where 1 is the mean distance between two positions
SLIP = 720  # 15 ms: the most that waveforms are shifted to match
BLEND_S = 0.030
SHORTEST_S = 3.0  # shorter tracks are looped whole


@dataclass(frozen=True)
class Loop:
    """Samples [start, end) are repeated; after each jump the `blend` samples from `end` are crossfaded into those from `start`.

    `correlation` is the correlation of the two, in [0, 1].
    """

    start: int
    end: int
    blend: int
    correlation: float


def find(track: Pcm) -> Loop | None:
    """Find the best jump from near the end of a track back towards its beginning; None if it is silent or too short."""
    first, stop = _active_range(track)
    length = stop - first
    if length < BLEND_S * RATE_HZ:
        return None
    if length < SHORTEST_S * RATE_HZ:
        blend = min(round(BLEND_S * RATE_HZ), length // 8)
        return _loop_between(track, first, stop - blend, blend)
    region = min(round(REGION_S * RATE_HZ), length // 3)
    context = min(round(CONTEXT_S * RATE_HZ), region // 2) // (2 * HOP) * 2  # in hops
    heads, tails = _spectra(track, first, first + region), _spectra(track, stop - region, stop)
    usual = np.concatenate([heads, tails]).mean(axis=0)
    heads, tails = heads - usual, tails - usual
    # Squared distance of every frame near the end from every frame near the beginning, and its mean over the context.
    apart = (tails**2).sum(1)[:, None] + (heads**2).sum(1)[None] - 2 * (tails @ heads.T)
    apart /= apart.mean() + 1e-20
    rows, columns = (size - context + 1 for size in apart.shape)
    cost = np.zeros((rows, columns), np.float32)
    for index in range(context):
        cost += apart[index : index + rows, index : index + columns]
    left_out = (np.arange(rows)[::-1, None] + np.arange(columns)[None]) * HOP / length
    tail, head = np.unravel_index(np.argmin(cost / context + LENGTH_COST * left_out), cost.shape)
    start = first + (int(head) + context // 2) * HOP
    end = stop - region + (int(tail) + context // 2) * HOP
    end = _align(track, start, end, min(RATE_HZ // 2, context * HOP // 2 - SLIP))
    return _loop_between(track, start, end, round(BLEND_S * RATE_HZ))


def _align(track: Pcm, start: int, end: int, around: int) -> int:
    """The end within SLIP samples of `end` at which the waveform `around` it correlates most with that around `start`."""
    head = track.read(start - around, start + around).mean(axis=1)
    tail = track.read(end - around - SLIP, end + around + SLIP).mean(axis=1)
    return end + int(np.argmax(correlate(tail, head, mode="valid", method="fft"))) - SLIP


def play(track: Pcm, loop: Loop | None, first: int, count: int) -> Iterator[np.ndarray]:
    """Play a looped track from sample `first` on, for any length.

    Args:
        track: the track.
        loop: the jump; None: silence follows the track's end.
        first: the sample to begin with; behind the jump it is wrapped into the loop.
        count: number of samples.

    Yields:
        float32 (n, 2), `count` samples in all.
    """
    if loop is None:
        for done in range(0, count, PIECE):
            yield track.read(first + done, first + min(done + PIECE, count))
        return
    if first >= loop.end:
        first = loop.start + (first - loop.start) % (loop.end - loop.start)
    jumped = False  # the next piece follows a jump: it begins with a crossfade
    while count > 0:
        here = track.read(first, first + min(PIECE, loop.end - first, count))
        if jumped:
            here = _blend(track, loop, here)
        yield here
        count -= len(here)
        first += len(here)
        jumped = first == loop.end
        first = loop.start if jumped else first


def _blend(track: Pcm, loop: Loop, here: np.ndarray) -> np.ndarray:
    """The first samples after a jump, crossfaded with those that would have followed without it."""
    size = min(loop.blend, len(here))
    turn = (np.arange(size, dtype=np.float32) + 0.5)[:, None] / loop.blend * (np.pi / 2)
    rise, fall = np.sin(turn), np.cos(turn)
    # Equal power for uncorrelated signals; correlated ones add up in amplitude and would get louder.
    even = np.sqrt(1 + 2 * loop.correlation * rise * fall)
    blended = (here[:size] * rise + track.read(loop.end, loop.end + size) * fall) / even
    return np.concatenate([blended, here[size:]])


def _loop_between(track: Pcm, start: int, end: int, blend: int) -> Loop:
    one, other = track.read(start, start + blend).ravel(), track.read(end, end + blend).ravel()
    power = float(np.sqrt((one @ one) * (other @ other)))
    return Loop(start, end, blend, max(0.0, float(one @ other) / power) if power else 0.0)


def _active_range(track: Pcm) -> tuple[int, int]:
    """The range of samples (first, stop) without silence and fades at the ends."""
    hop = round(LEVEL_HOP_S * RATE_HZ)
    powers: list[np.ndarray] = []
    for position in range(0, track.samples, 50 * hop):
        sound = track.read(position, position + 50 * hop)
        powers.append((sound.astype(np.float64) ** 2).mean(axis=1).reshape(-1, hop).mean(axis=1))
    fine = np.concatenate([*powers, np.empty(0)])[: -(-track.samples // hop)]
    if not fine.any():
        return 0, 0
    wide = round(LEVEL_S / LEVEL_HOP_S)
    sums = np.concatenate([[0.0], np.cumsum(fine)])
    ends = np.arange(1, len(fine) + 1)
    # Means over the second before each point and over the second after it: the first falls at the end, the second rises at the beginning.
    before = (sums[ends] - sums[np.maximum(0, ends - wide)]) / wide
    after = (sums[np.minimum(len(fine), ends - 1 + wide)] - sums[ends - 1]) / wide
    least = np.quantile(before, 0.75) * 10 ** (-QUIET_DB / 10)
    loud = fine > least / wide
    first = int(np.flatnonzero((after > least) & loud)[0])
    stop = int(np.flatnonzero((before > least) & loud)[-1]) + 1
    return first * hop, min(stop * hop, track.samples)


def _spectra(track: Pcm, first: int, stop: int) -> np.ndarray:
    """Loudness of bands, float32 (frames, BANDS), a frame each HOP samples, centred there."""
    edges_hz = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    bins = np.maximum(np.arange(1, BANDS + 1), np.round(edges_hz[:-1] * WINDOW / RATE_HZ).astype(int))
    window = np.hanning(WINDOW).astype(np.float32)
    levels = []
    for position in range(first, stop - 49 * HOP, 50 * HOP):
        sound = track.read(position - WINDOW // 2, position + 49 * HOP + WINDOW // 2).mean(axis=1)
        frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP] * window
        power = np.abs(np.fft.rfft(frames)) ** 2
        levels.append(np.add.reduceat(power, bins, axis=1) ** LOUDNESS_POWER)
    return np.concatenate(levels).astype(np.float32)
