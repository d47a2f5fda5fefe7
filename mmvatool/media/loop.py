"""A track that is too short goes on at a clean point: where it sounds as it did before, so that the beat is kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import correlate

from mmvatool.media.pcm import PIECE, RATE_HZ, Pcm

# What is over this much quieter than the louder quarter of a track, at its ends, is a fade or silence.
QUIET_DB = 9.0
LEVEL_S, LEVEL_HOP_S = 1.0, 0.1
REGION_S = 30.0  # jumps go from the last so many seconds to the first so many, or a third of the track
CONTEXT_S = 4.0  # of sound that must be alike around both ends of a jump: some beats
HOP, WINDOW = 960, 2048  # 20 ms, 43 ms
BANDS, LOWEST_HZ, HIGHEST_HZ = 24, 60.0, 16_000.0
LOUDNESS_POWER = 0.25  # of a band's power: what is heard as twice as loud is about twice as much
LENGTH_COST = 0.05  # a jump that leaves out all of a track would have to be better by so much, where 1 is any place against any other
SLIP = 720  # 15 ms: how far the waveforms may be moved to fit
BLEND_S = 0.030
SHORTEST_S = 3.0  # shorter tracks are looped whole


@dataclass(frozen=True)
class Loop:
    """Samples [start, end) are played over and over; for `blend` samples what follows `end` fades into what follows `start`.

    `correlation` is the correlation of the two, in [0, 1].
    """

    start: int
    end: int
    blend: int
    correlation: float


def find(track: Pcm) -> Loop | None:
    """The best jump of a track back towards its beginning; None for one that is silent or all but nothing."""
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
    # To the sample: where the waveforms around the two are most alike.
    around = min(RATE_HZ // 2, context * HOP // 2 - SLIP)
    here = track.read(start - around, start + around).mean(axis=1)
    there = track.read(end - around - SLIP, end + around + SLIP).mean(axis=1)
    end += int(np.argmax(correlate(there, here, mode="valid", method="fft"))) - SLIP
    return _loop_between(track, start, end, round(BLEND_S * RATE_HZ))


def play(track: Pcm, loop: Loop | None, first: int, count: int) -> Iterator[np.ndarray]:
    """Sound from sample `first` of a track, as long as is wanted.

    Args:
        track: the track.
        loop: where to jump; None: what follows the track's end is silence.
        first: where in the track to begin; past the jump, where the jump would have led.
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
    jumped = False  # what is next comes after a jump: it begins blended
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
    """The first samples after a jump, with what would have come without it fading out."""
    size = min(loop.blend, len(here))
    turn = (np.arange(size, dtype=np.float32) + 0.5)[:, None] / loop.blend * (np.pi / 2)
    rise, fall = np.sin(turn), np.cos(turn)
    # Equal power for what is unlike; what is alike adds up in amplitude and would swell.
    even = np.sqrt(1 + 2 * loop.correlation * rise * fall)
    blended = (here[:size] * rise + track.read(loop.end, loop.end + size) * fall) / even
    return np.concatenate([blended, here[size:]])


def _loop_between(track: Pcm, start: int, end: int, blend: int) -> Loop:
    one, other = track.read(start, start + blend).ravel(), track.read(end, end + blend).ravel()
    power = float(np.sqrt((one @ one) * (other @ other)))
    return Loop(start, end, blend, max(0.0, float(one @ other) / power) if power else 0.0)


def _active_range(track: Pcm) -> tuple[int, int]:
    """The stretch without silence and fades at the ends, in samples."""
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
    # Means over the second before each point and the second after it: the end is where the one falls, the beginning where the other rises.
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
