"""What both computations of the music features have in common: how windows are filled, the sizes of spectra, and the filters. No torch.

`music_features` computes them in torch, for training; `music_features_numpy` in numpy, for predictions without torch.
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from trainer.constants import SILENCE_PEAK

RATE_HZ = 24000
WINDOW_S = 10.0
QUICK = (1024, 480)  # window and hop in samples
MIDDLE = (2048, 480)
SLOW = (8192, 2400)
FRAMES_HZ = RATE_HZ / QUICK[1]
SLOW_HZ = RATE_HZ / SLOW[1]
GATE = 1e-6  # frames 60 dB below the loudest have a weight of .5, 5 dB below that 0
FAINT = 1e-3  # samples and tones 60 dB below the mean are ignored
THIN = 0.3  # frames with a lower sum of note strengths have no harmony; typical ones have about a hundred times as much
MELS = 64
CEPSTRA = 20
PITCHES = range(33, 105)  # MIDI numbers: 55 to 3520 Hz
FINE = 3  # bins a semitone
NOTES = range(45, 105)  # MIDI numbers for onset detection: 110 to 3520 Hz
RATES_HZ = np.geomspace(0.4, 16, 24).astype(np.float32).tolist()
COUNT = 597

_BLOCK = 240  # samples, 10 ms
_MEL_HZ = (30, 11000)
# Krumhansl & Kessler 1982: how well each pitch class fits a key, from the tonic upwards.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_CHORDS = {
    "major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8), "fourth": (0, 5, 7),
    "fifth": (0, 7), "major seventh": (0, 4, 7, 11), "minor seventh": (0, 3, 7, 10), "dominant seventh": (0, 4, 7, 10),
}  # fmt: skip


def filled(window: np.ndarray, samples: int) -> np.ndarray:
    """The window without the silence at its ends, repeated to a length of `samples`.

    Args:
        window: float32 (n,) in [-1, 1], n at least 1; a longer one than `samples` is truncated first.
        samples: of the result.

    Returns:
        float32 (samples,).
    """
    window = window[:samples]
    length = len(window) // _BLOCK * _BLOCK
    peaks = np.abs(window[:length]).reshape(-1, _BLOCK).max(1)
    # Sound 60 dB below the peak is silence, too: codecs do not keep digital silence.
    audible = np.flatnonzero(peaks > max(SILENCE_PEAK, 1e-3 * peaks.max(initial=0)))
    if len(audible):
        window = window[audible[0] * _BLOCK : (audible[-1] + 1) * _BLOCK if audible[-1] + 1 < len(peaks) else len(window)]
    return np.tile(window, math.ceil(samples / len(window)))[:samples].astype(np.float32)


@cache
def filters() -> dict[str, np.ndarray]:
    """The constants by name, float32 unless said otherwise; not to be written to.

    Returns:
        `quick_window`, `middle_window`, `slow_window` (window,) of the three spectra; `hz` (513,), of the quick one's lines;
        `mel` (MELS, 513); `octaves` (7, 513), means over octaves; `dct` (CEPSTRA, MELS); `pitch` (pitches, lines) and `notes` (notes,
        lines), from the slow and the middle spectrum without their first lines; `keys` (24, 12), major ones first; `chords`
        (12 kinds, 12); `rough` (pitches, pitches), how rough two tones are together; `turns` int64 (12, 12), how chroma are transposed.
    """
    hz = _linspace(0, RATE_HZ / 2, QUICK[0] // 2 + 1)
    octaves = np.stack([(hz >= low) & (hz < 2 * low) for low in (94, 188, 375, 750, 1500, 3000, 6000)]).astype(np.float32)
    fine = np.arange(PITCHES.start * FINE - 1, PITCHES.stop * FINE - 1, dtype=np.float32) / FINE
    profiles = np.array([_MAJOR, _MINOR])
    profiles -= profiles.mean(1, keepdims=True)
    profiles /= np.sqrt(np.square(profiles).mean(1, keepdims=True) + 1e-6)
    chords = np.zeros((len(_CHORDS), 12, 12))
    for kind, intervals in enumerate(_CHORDS.values()):
        for root in range(12):
            chords[kind, root, [(root + step) % 12 for step in intervals]] = len(intervals) ** -0.5
    centres = fine.astype(float)
    mean_hz = 440 * 2 ** (((centres[:, None] + centres) / 2 - 69) / 12)
    # Plomp & Levelt 1965: two tones are roughest a quarter of a critical band apart.
    bark = np.abs(centres[:, None] - centres) * mean_hz * math.log(2) / 12 / (0.0207 * mean_hz + 18.96) / 4
    turns = (np.arange(12)[:, None] + np.arange(12)) % 12
    constants = {
        "quick_window": _hann(QUICK[0], QUICK[0]), "middle_window": _hann(MIDDLE[0], MIDDLE[0]),
        "slow_window": _hann(SLOW[0], SLOW[0]), "hz": hz, "mel": _mel(hz),
        "octaves": octaves / octaves.sum(1, keepdims=True), "dct": _dct(), "pitch": _pitch_filters(SLOW[0], fine, 1 / FINE),
        "notes": _pitch_filters(MIDDLE[0], np.arange(NOTES.start, NOTES.stop, dtype=np.float32), 1.0),
        "keys": np.stack([np.roll(profile, step) for profile in profiles for step in range(12)]) / 12,
        "chords": chords.reshape(-1, 12),
        "rough": np.exp(-3.5 * bark) - np.exp(-5.75 * bark),
    }  # fmt: skip
    return {name: np.ascontiguousarray(value, np.float32) for name, value in constants.items()} | {"turns": turns}


class PulseFilters(NamedTuple):
    """What the pulse of a number of frames is computed with, float32."""

    hann: np.ndarray
    """(frames,), symmetric."""
    rates: np.ndarray
    """(rates, lines): triangles over the lines of the modulation spectrum, of a sum of 1."""
    lags_s: np.ndarray
    """(frames,), of the autocorrelation."""
    likely: np.ndarray
    """(frames,) in [0, 1]: how likely the lag is a beat; 0 below .2 and above 2 s."""


def modulation_size(frames: int) -> int:
    """The length of the modulation spectrum's transform: zero padding interpolates the spectrum."""
    return max(frames, 1024)


@lru_cache(maxsize=8)
def pulse_filters(frames: int) -> PulseFilters:
    """The filters of `frames` frames of the quick spectrum; not to be written to."""
    lines_hz = _linspace(0, FRAMES_HZ / 2, modulation_size(frames) // 2 + 1)
    step = math.log(RATES_HZ[1] / RATES_HZ[0])
    apart = _rounded(np.log, lines_hz.clip(1e-3)) - _rounded(np.log, np.array(RATES_HZ, np.float32))[:, None]
    rates = (1 - np.abs(apart) / step).clip(0)
    lags_s = np.arange(frames, dtype=np.float32) / FRAMES_HZ
    likely = np.exp(-0.5 * np.square(np.log2(lags_s.clip(0.02) / 0.5) / 0.9)) * (lags_s >= 0.2) * (lags_s <= 2)
    return PulseFilters(_hann(frames, frames - 1), rates / rates.sum(1, keepdims=True).clip(1e-6), lags_s, likely)


def _hann(size: int, period: int) -> np.ndarray:
    """A Hann window; symmetric where `period` is `size` - 1."""
    angles = np.arange(size, dtype=np.float32) * np.float32(2 * math.pi / period)
    return np.float32(0.5) - np.float32(0.5) * _rounded(np.cos, angles)


def _rounded(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """A function of float32 numbers, rounded once, so that it does not depend on the processor."""
    return function(values.astype(float)).astype(np.float32)


def _linspace(start: float, stop: float, count: int) -> np.ndarray:
    """float32 numbers evenly spaced, rounded as torch does: the step first, then each number."""
    first, last = np.float32(start), np.float32(stop)
    step, at = float((last - first) / np.float32(count - 1)), np.arange(count)
    return np.where(at < count // 2, float(first) + step * at, float(last) - step * at[::-1]).astype(np.float32)


def _mel(hz: np.ndarray) -> np.ndarray:
    """Triangular filters (MELS, lines) on the mel scale of HTK, over lines at `hz`."""
    # Rounded step by step as torchaudio's melscale_fbanks, which the bundled model was trained with.
    low, high = (2595 * math.log10(1 + limit_hz / 700) for limit_hz in _MEL_HZ)
    powers = _rounded(lambda exponents: 10**exponents, _linspace(low, high, MELS + 2) / np.float32(2595))
    edges_hz = np.float32(700) * (powers - np.float32(1))
    slopes = edges_hz[:, None] - hz
    widths_hz = np.diff(edges_hz)[:, None]
    return np.minimum(-slopes[:-2] / widths_hz[:-1], slopes[2:] / widths_hz[1:]).clip(0)


def _dct() -> np.ndarray:
    """The orthonormal DCT-II (CEPSTRA, MELS)."""
    # The angles are rounded as those of torchaudio's create_dct.
    angles = (
        np.float32(math.pi / MELS) * (np.arange(MELS, dtype=np.float32) + np.float32(0.5)) * np.arange(CEPSTRA, dtype=np.float32)[:, None]
    )
    dct = np.cos(angles.astype(float)) * math.sqrt(2 / MELS)
    dct[0] /= math.sqrt(2)
    return dct


def _pitch_filters(window: int, notes: np.ndarray, width: float) -> np.ndarray:
    """Triangular filters (notes, lines) over the lines of a spectrum without the first, up to the highest line that is used.

    Args:
        window: of the spectrum, in samples.
        notes: centres, MIDI numbers.
        width: half width of a triangle in semitones; at least the distance of two lines.
    """
    lines_hz = _linspace(0, RATE_HZ / 2, window // 2 + 1)[1:]
    reach = np.maximum(np.diff(lines_hz, prepend=np.float32(0)) / lines_hz * 12 / np.float32(math.log(2)), np.float32(width))
    filters = (1 - np.abs(69 + 12 * _rounded(np.log2, lines_hz / 440) - notes[:, None]) / reach).clip(0)
    return filters[:, : int(np.flatnonzero(filters.sum(0)).max()) + 1]
