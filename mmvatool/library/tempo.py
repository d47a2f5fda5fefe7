"""The tempo of music: beats a minute, as most of it keeps. Numpy and scipy alone, in memory that does not grow.

Onset strength is the rise of a spectrum in logarithmic bands, a beat its period: the peak of its autocorrelation, weighted by how
people tap (Ellis 2007, Beat Tracking by Dynamic Programming).
"""

import numpy as np

FRAMES_PER_S = 100
SLOWEST_BPM, FASTEST_BPM = 40.0, 220.0
# People tap near 120 beats a minute, and an octave more or less rather than two.
PREFERRED_BPM, OCTAVES = 120.0, 0.9
BANDS, LOWEST_HZ, HIGHEST_HZ = 32, 40.0, 8000.0
FLOOR = 1e-3  # of a band's amplitude, about 1 for a full sine: below is noise, whose logarithms mean nothing
# Autocorrelation at the beat against that at 0. Of music with a beat it is .3 to .8; of noise it stays below CHANCE / sqrt(frames).
LEAST_REGULARITY = 0.1
CHANCE = 4.0
LEAST_RISE = 0.005  # of the logarithm in a frame, root mean square: below it there are no onsets
LEAST_S = 4.0
HARMONICS = 4  # beats ahead by which the period is refined


class Tempo:
    """Measures the tempo of sound that comes in pieces; `bpm` is that of the pieces so far."""

    def __init__(self, rate_hz: int) -> None:
        """Args: rate_hz: sample rate of the pieces."""
        from scipy import fft  # not needed for less, and slow to import

        self._fft = fft
        self._hop = max(1, round(rate_hz / FRAMES_PER_S))
        self._frame_hz = rate_hz / self._hop
        self._size = 2 ** round(np.log2(rate_hz * 0.043))
        self._window = np.hanning(self._size).astype(np.float32)
        edges_hz = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, rate_hz / 2), BANDS + 1)
        self._edges = np.unique(np.round(edges_hz * self._size / rate_hz).astype(int))  # fewer than BANDS: low ones are under a bin wide
        self._scale = np.float32(2 / self._size)  # a full sine comes to about 1
        self._lags = int(np.ceil(HARMONICS * 60 / SLOWEST_BPM * self._frame_hz)) + 2
        self._products = np.zeros(self._lags)
        self._pairs = np.zeros(self._lags)

    def add(self, samples: np.ndarray) -> None:
        """Add a piece, float32 (n,) in [-1, 1]; pieces are not joined, so they should last some seconds each."""
        if len(samples) < self._size + 2 * self._hop:
            return
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._size)[:: self._hop]
        spectrum = np.abs(self._fft.rfft(frames * self._window, axis=1))
        # Sums, no product with a matrix: its threads would wait for each other where others work, too.
        bands = np.add.reduceat(spectrum[:, : self._edges[-1]], self._edges[:-1], axis=1)
        level = np.log(bands * self._scale + np.float32(FLOOR))
        onsets = np.maximum(np.diff(level, axis=0), 0).mean(axis=1).astype(np.float64)
        # Slow changes are no beats: each onset counts relative to the second around it.
        onsets -= _smooth(onsets, int(self._frame_hz))
        size = 1 << (len(onsets) + self._lags).bit_length()
        power = np.abs(self._fft.rfft(onsets, size)) ** 2
        self._products += self._fft.irfft(power, size)[: self._lags]
        self._pairs += np.maximum(len(onsets) - np.arange(self._lags), 0)

    @property
    def bpm(self) -> float | None:
        """Beats a minute, between SLOWEST_BPM and FASTEST_BPM; None without a beat, and after less than LEAST_S."""
        if self._pairs[0] < LEAST_S * self._frame_hz or self._products[0] < LEAST_RISE**2 * self._pairs[0]:
            return None
        # Of lags with too few pairs of frames the mean would be noise.
        known = self._pairs > 0.2 * self._pairs[0]
        curve = np.where(known, self._products / np.maximum(self._pairs, 1), 0)
        curve = curve / curve[0]
        peak = self._beat_peak(curve)
        if peak is None:
            return None
        lag, period, height = peak
        if height < max(LEAST_REGULARITY, CHANCE / np.sqrt(self._pairs[lag])):
            return None
        period = self._refined(curve, known, period)
        return float(np.clip(60 * self._frame_hz / period, SLOWEST_BPM, FASTEST_BPM))

    def _beat_peak(self, curve: np.ndarray) -> tuple[int, float, float] | None:
        """The peak of the autocorrelation that is the beat: its lag, and the period and height between the lags; None without a peak."""
        first, last = int(np.floor(60 * self._frame_hz / FASTEST_BPM)), int(np.ceil(60 * self._frame_hz / SLOWEST_BPM))
        lags = first + np.flatnonzero(
            (curve[first : last + 1] > curve[first - 1 : last]) & (curve[first : last + 1] >= curve[first + 1 : last + 2])
        )
        if not len(lags):
            return None
        tops = np.array([_peak(curve, int(lag)) for lag in lags])
        # A beat comes again after two and after four periods; a chance peak does not.
        support = tops[:, 1] + 0.5 * _around(curve, 2 * tops[:, 0]) + 0.25 * _around(curve, 4 * tops[:, 0])
        octaves = np.log2(60 * self._frame_hz / tops[:, 0] / PREFERRED_BPM)
        best = int(np.argmax(support * np.exp(-0.5 * (octaves / OCTAVES) ** 2)))
        period, height = tops[best]
        return int(lags[best]), period, height

    def _refined(self, curve: np.ndarray, known: np.ndarray, period: float) -> float:
        """The period by beats further ahead: each of them gives it more finely."""
        for beats in range(2, HARMONICS + 1):
            near = round(beats * period)
            if near + 2 >= self._lags or not known[near + 2]:
                break
            near += int(np.argmax(curve[near - 2 : near + 3])) - 2
            if curve[near] < LEAST_REGULARITY:
                break
            period = _peak(curve, near)[0] / beats
        return period


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean; at the ends over fewer values."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    indices = np.arange(len(values))
    low, high = np.maximum(indices - width // 2, 0), np.minimum(indices + width // 2 + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _around(curve: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """The largest value at lags that need not be integers, or beside them; 0 beyond the end."""
    nearest = np.round(lags).astype(int)
    padded = np.concatenate([curve, np.zeros(max(0, int(nearest.max()) + 2 - len(curve)))])
    return np.maximum(np.maximum(padded[nearest - 1], padded[nearest]), padded[nearest + 1])


def _peak(curve: np.ndarray, index: int) -> tuple[float, float]:
    """Position and height of the top of a parabola through a sample and its neighbours."""
    left, top, right = (float(value) for value in curve[index - 1 : index + 2])
    bend = left - 2 * top + right
    aside = min(max(0.5 * (left - right) / bend, -0.5), 0.5) if bend < 0 else 0.0
    return index + aside, top - 0.25 * (left - right) * aside
