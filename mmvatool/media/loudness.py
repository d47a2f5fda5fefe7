"""Loudness (ITU-R BS.1770-4), true peak, and a true-peak limiter, for audio in pieces of any lengths.

A piece is float32 (n, channels); pieces follow each other without a gap.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyloudnorm
from scipy.ndimage import minimum_filter1d
from scipy.signal import firwin, upfirdn

from mmvatool.media.audio import gated

CHUNK_S, LEAD_S, BLOCK_S, HOP_S = 10, 1, 0.4, 0.1
OVERSAMPLING = 4
TAPS = 12  # of each phase, as in BS.1770's annex 2
LOOK_AHEAD_S = 0.005
RELEASE_S = 0.150
# 4 x 12 taps and one, so that the middle one falls on the samples themselves: of the four phases one is the sound as it is.
_INTERPOLATOR = (OVERSAMPLING * firwin(OVERSAMPLING * TAPS + 1, 1 / OVERSAMPLING, window=("kaiser", 5.0))).astype(np.float32)


def integrated(pieces: Iterable[np.ndarray], rate_hz: int) -> float | None:
    """Integrated loudness of all pieces in LUFS, None for silence: where no block of 0.4 s reaches -70 LUFS.

    pyloudnorm weighs and squares chunk by chunk, each with a second of what came before so that its filters have settled;
    the two gates are set over the blocks of all chunks.
    """
    size, lead, block, hop = (round(seconds * rate_hz) for seconds in (CHUNK_S, LEAD_S, BLOCK_S, HOP_S))
    meter = pyloudnorm.Meter(rate_hz)
    blocks: list[np.ndarray] = []
    total = 0
    for chunk, count in _chunks(pieces, size, lead, block - hop):
        # float64: the filters would round their state to the sound's type.
        meter.integrated_loudness(chunk.astype(np.float64))
        blocks.append(np.array(meter.blockwise_loudness[round(LEAD_S / HOP_S) :])[: size // hop])
        total += count
    # As pyloudnorm counts them: a last block may lack up to half a hop. Audio shorter than a block counts as one.
    levels = np.concatenate([*blocks, np.empty(0)])[: max(1, round((total - block) / hop) + 1)]
    return gated(levels)


def true_peak(pieces: Iterable[np.ndarray]) -> float | None:
    """True peak in dBTP, of the audio oversampled four times; None if all samples are zero."""
    peak = 0.0
    for chunk, count in _chunks(pieces, 1 << 17, TAPS, TAPS):
        peak = max(peak, float(_peaks(chunk)[TAPS : TAPS + count].max()))
    return 20 * np.log10(peak) if peak else None


def limit(pieces: Iterable[np.ndarray], rate_hz: int, gain_db: float, ceiling_db: float) -> Iterator[np.ndarray]:
    """Apply a gain and limit true peaks to `ceiling_db`; the length stays the same.

    The gain falls within LOOK_AHEAD_S before a peak and comes back by e every RELEASE_S. All channels share it.
    """
    gain, ceiling = np.float32(10 ** (gain_db / 20)), 10 ** (ceiling_db / 20)
    ahead = 2 * round(LOOK_AHEAD_S / 2 * rate_hz)
    margin = ahead + TAPS
    release = RELEASE_S * rate_hz
    held = 0.0  # gain reduction at the end of the last chunk
    tail: np.ndarray | None = None  # of the gain of the last chunk before smoothing
    for chunk, count in _chunks(pieces, 1 << 16, margin, margin):
        loud = chunk * gain
        needed = np.minimum(1, ceiling / np.maximum(_peaks(loud), 1e-9))
        # Minimum over the look-ahead: minimum_filter1d centres its window.
        lowest = minimum_filter1d(needed, ahead + 1)[margin - ahead + ahead // 2 :]
        tail, lowest = lowest[:ahead] if tail is None else tail, lowest[ahead:][:count]
        # The largest of all reductions so far, each of which decays exponentially: a running maximum once the decay is divided out.
        fading = np.exp(np.arange(1, count + 1) / release)
        lowered = np.maximum(np.maximum.accumulate((1 - lowest) * fading), held) / fading
        held = float(lowered[-1])
        # A mean over the look-ahead turns steps into slopes that still reach the needed gain at the peak.
        steps = np.concatenate([tail, 1 - lowered])
        tail = steps[-ahead:]
        sums = np.concatenate([[0.0], np.cumsum(steps)])
        smooth = (sums[ahead + 1 :] - sums[1:-ahead]) / ahead
        yield loud[margin : margin + count] * smooth[:, None].astype(np.float32)


def _peaks(sound: np.ndarray) -> np.ndarray:
    """The largest of the four points from each sample to the next, over the channels. float32 (n,)."""
    channels = np.ascontiguousarray(sound.T)
    late = OVERSAMPLING * TAPS // 2
    oversampled = upfirdn(_INTERPOLATOR, channels, OVERSAMPLING, axis=1)[:, late : late + OVERSAMPLING * len(sound)]
    # Reduced over the first axis throughout: numpy is ten times slower over a last axis of two or four.
    fine = np.abs(oversampled).max(axis=0)
    peaks = np.maximum.reduce([fine[phase::OVERSAMPLING] for phase in range(OVERSAMPLING)])
    return np.maximum(peaks, np.abs(channels).max(axis=0))


def _chunks(pieces: Iterable[np.ndarray], size: int, before: int, after: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rearrange pieces in chunks of `size` samples, the last shorter, each with its neighbourhood (zeros outside the audio).

    Yields:
        float32 (before + count + after, channels), and count.
    """
    held: np.ndarray | None = None
    for piece in pieces:
        held = np.concatenate([np.zeros((before, piece.shape[1]), np.float32) if held is None else held, piece])
        while len(held) >= before + size + after:
            yield held[: before + size + after], size
            held = held[size:]
    if held is not None and len(held) > before:
        rest = np.concatenate([held, np.zeros((after, held.shape[1]), np.float32)])
        for first in range(0, len(held) - before, size):
            count = min(size, len(held) - before - first)
            yield rest[first : first + before + count + after], count
