"""The features of `music_features` in numpy, for predictions on CPUs: the same numbers up to rounding, without torch.

The torch version is the definition; the functions bear the names of its methods.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from trainer.model.music_filters import (
    COUNT,
    FAINT,
    FINE,
    FRAMES_HZ,
    GATE,
    MIDDLE,
    PITCHES,
    QUICK,
    RATE_HZ,
    SLOW,
    SLOW_HZ,
    THIN,
    WINDOW_S,
    filled,
    filters,
    modulation_size,
    pulse_filters,
)
from trainer.model.spectra import Spectrum

_CHUNK = 2  # windows whose features are computed at once: more do not fit into a CPU's caches
_PER_NEPER = np.float32(1 / math.log(10))

Groups = dict[str, np.ndarray]


def music_features(windows: Sequence[np.ndarray], window_s: float = WINDOW_S, threads: int = 1) -> np.ndarray:
    """Features of windows, repeated to fill `window_s` so that the features do not depend on their length.

    Args:
        windows: float32 (n_i,) mono at 24 kHz, each in [-1, 1], n_i at least 1; longer ones are truncated.
        window_s: length in seconds that the windows are repeated or truncated to, at least 1.
        threads: compute so many windows at once.

    Returns:
        (N, COUNT) float32, which depends neither on the order nor on the number of the windows nor on the threads.
    """
    samples = round(window_s * RATE_HZ)
    features = np.empty((len(windows), COUNT), np.float32)

    def compute(start: int) -> None:
        chunk = np.stack([filled(window, samples) for window in windows[start : start + _CHUNK]])
        np.concatenate(list(groups(chunk).values()), 1, out=features[start : start + len(chunk)])

    starts = range(0, len(windows), _CHUNK)
    if threads > 1 and len(starts) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(compute, starts))
    else:
        for start in starts:
            compute(start)
    return features


def groups(samples: np.ndarray) -> Groups:
    """Groups of features by name, (N, k) each, of windows (N, n), all float32; n at least 10592. Silence gives finite ones."""
    samples = samples / np.sqrt(np.square(samples).mean(1, keepdims=True)).clip(1e-5)
    power = _spectrum(*QUICK).power(samples)
    level = power.sum(1)
    gate = (GATE * level.max(1, keepdims=True)).clip(1e-8)
    audible = (_log10(level, 1e-12) - _log10(gate) + 0.5).clip(0, 1)
    power /= _mean(level, audible)[:, None, None].clip(1e-6)
    mel = filters()["mel"] @ power
    return {**_timbre(samples, power, mel, audible), **_pulse(mel, audible), **_onsets(samples), **_harmony(samples)}


@cache
def _spectrum(size: int, hop: int) -> Spectrum:
    constants = filters()
    if (size, hop) == QUICK:
        return Spectrum(size, hop, constants["quick_window"], range(size // 2 + 1))
    window, used = ("middle_window", "notes") if (size, hop) == MIDDLE else ("slow_window", "pitch")
    return Spectrum(size, hop, constants[window], range(1, constants[used].shape[1] + 1))


def _timbre(samples: np.ndarray, power: np.ndarray, mel: np.ndarray, audible: np.ndarray) -> Groups:
    """Mel bands, cepstra, brightness, noisiness and dynamics."""
    constants = filters()
    hz, octaves = constants["hz"], constants["octaves"]
    level = power.sum(1)
    mel = _log10(mel, 1e-6)
    bands = (mel[:, ::2] + mel[:, 1::2]) / 2
    cepstra = constants["dct"] @ mel
    flat = _log10(octaves @ power, 1e-9) - octaves @ _log10(power, 1e-9)
    centre = (hz @ power) / level.clip(1e-9)
    bright = _log10(centre, 50)
    spread = _log10(np.sqrt(((np.square(hz) @ power) / level.clip(1e-9) - np.square(centre)).clip(0)), 50)
    loud = _log10(level, 1e-6)
    second = min(round(FRAMES_HZ), audible.shape[1])
    slow = _pool(cepstra * audible[:, None], second, round(FRAMES_HZ) // 2)
    steady = _pool(loud * audible, second, round(FRAMES_HZ) // 2)
    ordered = np.sort(_mean(loud, audible)[:, None] * (1 - audible) + loud * audible)
    quantiles = [ordered[:, int(part * (ordered.shape[1] - 1))] for part in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)]
    blocks = samples[:, : samples.shape[1] // QUICK[1] * QUICK[1]].reshape(len(samples), -1, QUICK[1])[:, : audible.shape[1]]
    peaks = np.maximum(blocks.max(2), -blocks.min(2))
    crest = _log10(peaks.clip(1e-5) / np.sqrt(np.square(blocks).mean(2)).clip(1e-5))
    # A soft sign, as samples 60 dB below the window's mean may be rounding: they count as no zero crossing.
    signs = blocks / FAINT
    np.tanh(signs, out=signs)
    crossings = signs[..., 1:] * signs[..., :-1]
    crossings = -crossings.clip(max=0, out=crossings).mean(2)
    curves = np.stack([bright, spread, loud, crest, _log10(crossings, 0.005)], 1)
    change = np.diff(bands.reshape(len(bands), 8, -1, bands.shape[2]).mean(2))
    both = audible[:, None, 1:] * audible[:, None, :-1]
    time = np.linspace(-1, 1, audible.shape[1], dtype=np.float32)
    swell = _mean(loud * time, audible) - _mean(loud, audible) * _mean(time * audible, audible)
    return {
        "cepstra": np.concatenate([_mean(cepstra, audible[:, None]), _std(cepstra, audible[:, None])], 1),
        "cepstra change": _std(np.diff(cepstra), both),
        "cepstra drift": slow.std(2),
        "mel": np.concatenate([_mean(bands, audible[:, None]), _std(bands, audible[:, None])], 1),
        "flatness": np.concatenate([_mean(flat, audible[:, None]), _std(flat, audible[:, None])], 1),
        "curves": np.concatenate([_mean(curves, audible[:, None]), _std(curves, audible[:, None]), _std(np.diff(curves), both)], 1),
        "levels": np.stack([*quantiles, steady.std(1), swell, np.log10(level.max(1).clip(1e-6))], 1),
        "rise and fall": np.concatenate([_mean(change.clip(0), both), _mean(change.clip(max=0), both)], 1),
    }


def _pulse(mel: np.ndarray, audible: np.ndarray) -> Groups:
    """Onsets of four bands and of all together, and their modulation spectrum at .4 to 16 Hz."""
    rises = np.diff(_log10(mel, 1e-5)).clip(0)
    count, _, frames = rises.shape
    parts = rises.reshape(count, 16, -1, frames).mean(2)
    bands = rises.reshape(count, 4, -1, frames).mean(2)
    onsets = np.concatenate([bands, bands.mean(1, keepdims=True)], 1)
    centred = onsets - onsets.mean(2, keepdims=True)
    hann, rates, lags_s, likely = pulse_filters(frames)
    spectrum = np.abs(np.fft.rfft(centred * hann, modulation_size(frames))).astype(np.float32) / hann.sum()
    modulation = _log10(np.square(spectrum) @ rates.T, 1e-7)
    echo = np.fft.irfft(np.square(np.abs(np.fft.rfft(centred[:, 4], 2 * frames))))[:, :frames].astype(np.float32)
    echo /= echo[:, :1] + np.float32(1e-4 * frames)
    weight = _softmax(40 * echo * likely) * (likely > 0)
    weight /= weight.sum(1, keepdims=True).clip(1e-9)
    beat = [weight @ np.log(lags_s.clip(0.2)), (weight * echo).sum(1), (echo * likely).max(1)]
    peaks = _sigmoid(30 * (onsets[:, 4] - 1.5 * _smooth(onsets[:, 4], 25) - 0.02))
    return {
        "onsets": np.concatenate([parts.mean(2), parts.std(2), onsets.max(2)], 1),
        "modulation": modulation.reshape(count, -1),
        "beat": np.stack([*beat, peaks.mean(1), audible.mean(1)], 1),
    }


def _onsets(samples: np.ndarray) -> Groups:
    """How many notes begin, how clear their onsets are, and how long notes last."""
    power = _spectrum(*MIDDLE).power(samples)
    power /= power.sum(1).mean(1).clip(1e-6)[:, None, None]
    strength = _log10(filters()["notes"] @ power, 1e-4) + 4
    rises = np.diff(strength).clip(0)
    rise = rises.mean(1)
    around = _smooth(rise, 51)
    padded = np.pad(rise, ((0, 0), (3, 3)), constant_values=-np.inf)
    highest = _sigmoid(2000 * (rise - np.lib.stride_tricks.sliding_window_view(padded, 7, axis=1).max(2) + 0.002))
    peaks = [(highest * _sigmoid(100 * (rise - 1.2 * around - least))).mean(1) for least in (0.005, 0.01, 0.02, 0.04, 0.08)]
    parts = [(0.3, slice(0, 20)), (0.3, slice(20, 40)), (0.3, slice(40, 60)), (0.15, slice(60)), (0.3, slice(60)), (0.6, slice(60))]
    onsets = [(10 * (rises[:, notes] - least) + 0.5).clip(0, 1).mean((1, 2)) for least, notes in parts]
    energy = np.square(strength).sum((1, 2)).clip(1)
    lasting = []
    for values in (strength, strength - strength.mean(2, keepdims=True)):
        total = np.maximum(np.square(values).sum((1, 2)), FAINT**2 * energy)
        for gap in (2, 5, 10, 25, 50, 100):
            gap = min(gap, values.shape[2] - 1)
            lasting.append((values[..., :-gap] * values[..., gap:]).sum((1, 2)) / total)
    return {"note onsets": np.stack([*peaks, *onsets], 1), "lasting": np.stack(lasting, 1)}


def _harmony(samples: np.ndarray) -> Groups:
    """Key, mode, chords, intervals, register, tonality and roughness."""
    magnitude = _spectrum(*SLOW).power(samples)
    np.sqrt(magnitude, out=magnitude)
    # Tones stand out from the neighbouring frequencies; the rest is noise.
    tones = magnitude - _smooth(magnitude, 25, axis=1)
    tones.clip(0, out=tones)
    fine = np.sqrt(filters()["pitch"] @ np.square(tones))
    fine /= fine.mean((1, 2), keepdims=True).clip(1e-6)
    fine = np.sqrt(fine) * (fine / FAINT - 1).clip(0, 1)
    notes = fine.reshape(len(fine), -1, FINE, fine.shape[2]).sum(2)
    rows = {"chroma": _fold(notes), "bass": _fold(notes[:, :24]), "treble": _fold(notes[:, 24:])}
    total = magnitude.sum((1, 2)).clip(1e-6)
    bands = [slice(0, 90), slice(90, 270), slice(270, 700), slice(700, None)]
    tonalness = [tones[:, band].sum((1, 2)) / np.maximum(magnitude[:, band].sum((1, 2)), FAINT * total) for band in bands]
    return {
        **_key(rows),
        **_chords(rows),
        **_register(notes),
        "tonalness": np.stack(tonalness, 1),
        "roughness": _roughness(fine),
    }


def _key(rows: Groups) -> Groups:
    """Fits of major and minor, and the pitch classes relative to the tonic."""
    keys, chroma = filters()["keys"], rows["chroma"]
    mean, frames = _share(chroma.mean(2)), chroma.shape[2]
    fits = _standard(mean) @ keys.T
    quarters = [chroma[..., part * frames // 4 : -(-(part + 1) * frames // 4)].mean(2) for part in range(4)]
    parts = np.stack([_standard(_share(quarter)) @ keys.T for quarter in quarters], 1)
    local = np.stack([_best(parts[..., :12]), _best(parts[..., 12:])], 2)
    return {
        "mode": np.concatenate([_mode(_best(fits[:, :12]), _best(fits[:, 12:])), _mode(*local.mean(1).T), local.std(1)], 1),
        "from the tonic": np.concatenate([_transpose(_share(row.mean(2)), fits) for row in rows.values()], 1),
        "from the major tonic": _transpose(mean, fits[:, :12]),
    }


def _transpose(chroma: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """Chroma (N, 12) transposed so that the tonic comes first, given the fits of 24 or 12 keys."""
    tonic = _softmax(40 * fits).reshape(len(fits), -1, 12).sum(1)
    return (tonic[:, None] @ chroma[:, filters()["turns"]])[:, 0]


def _chords(rows: Groups) -> Groups:
    """Kinds of chords, how often they change, and simultaneous and successive intervals."""
    chroma = rows["chroma"]
    frames = chroma.shape[2]
    smooth = _smooth(chroma, 3) * (3 / _smooth(np.full(frames, 3, np.float32), 3))
    weight = smooth.sum(1)
    unit = smooth / np.sqrt(np.square(smooth).sum(1, keepdims=True)).clip(THIN)
    fits = 25 * (filters()["chords"] @ unit)
    kinds = _logsumexp(fits.reshape(len(fits), -1, 12, frames), 2) / 25
    triads = _softmax(fits[:, :24])
    mean = _share(chroma.mean(2))
    keys = _standard(mean) @ filters()["keys"].T
    degrees = [_transpose(_mean(triads[:, first : first + 12], weight[:, None]), keys) for first in (0, 12)]
    now = _share(chroma)
    waves = np.abs(np.fft.rfft(now, axis=1)).astype(np.float32)[:, 1:]
    step = round(SLOW_HZ / 2)
    later = [
        _intervals(now[..., :-gap], now[..., gap:]) / max(frames - gap, 1) for gap in (min(step, frames - 1), min(2 * step, frames - 1))
    ]
    change = np.abs(np.diff(now)).sum(1)
    return {
        "chord kinds": np.concatenate([_mean(kinds, weight[:, None]), _std(kinds, weight[:, None])], 1),
        "degrees": np.concatenate(degrees, 1),
        "chord change": np.stack([np.abs(np.diff(triads)).sum(1).mean(1), change.mean(1), change.std(1)], 1),
        "circles": np.concatenate(
            [np.abs(np.fft.rfft(mean))[:, 1:].astype(np.float32), _mean(waves, weight[:, None]), _std(waves, weight[:, None])], 1
        ),
        "intervals": _intervals(now, now)[:, :7] / frames,
        "above the bass": _intervals(_share(rows["bass"]), _share(rows["treble"])) / frames,
        "steps": np.concatenate(later, 1),
    }


def _intervals(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How often pitch classes of `low` and `high`, (N, 12, T) each, are 0 to 11 semitones apart: (N, 12)."""
    pairs = low @ high.transpose(0, 2, 1)
    return pairs[:, np.arange(12), filters()["turns"]].sum(2)


def _register(notes: np.ndarray) -> Groups:
    """Pitch of the notes and their fundamentals, and how much it changes."""
    count, pitches = notes.shape[:2]
    number = np.arange(pitches, dtype=np.float32) / 12
    harmonic = notes.copy()
    # Overtones are 12, 19, 24, 28 and 31 semitones above their fundamental.
    for order, step in enumerate((12, 19, 24, 28, 31), 1):
        harmonic[:, :-step] += np.float32(0.8**order) * notes[:, step:]
    voice = _softmax(2 * harmonic)
    weight, shares = notes.sum(1), _share(notes)
    heights = [number @ shares, number @ voice]
    spread = np.sqrt((np.square(number) @ shares - np.square(heights[0])).clip(0))
    lines = np.stack([*heights, spread], 1)
    entropy = -(voice * np.log(voice + 1e-9)).sum(1)
    flux = np.diff(notes).clip(0).sum(1) / (weight[:, 1:] + weight[:, :-1]).clip(THIN)
    return {
        "register": _share(notes.mean(2).reshape(count, 18, 4).sum(2)),
        "fundamentals": _mean(voice, weight[:, None]).reshape(count, 12, 6).sum(2),
        "heights": np.concatenate([_mean(lines, weight[:, None]), _std(lines, weight[:, None]), np.abs(np.diff(lines)).mean(2)], 1),
        "density": np.stack([entropy.mean(1), entropy.std(1), flux.mean(1), flux.std(1)], 1),
    }


def _roughness(fine: np.ndarray) -> np.ndarray:
    """Mean and deviation of the fraction of a frame's energy in rough pairs of tones."""
    strength = np.square(fine)
    rough = (strength * (filters()["rough"] @ strength)).sum(1) / np.square(strength.sum(1)).clip(THIN**2)
    return np.stack([rough.mean(1), rough.std(1)], 1)


def _log10(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """The logarithm of `values` + `floor`, in one new array."""
    logarithms = values + floor
    # Of logarithms, numpy has vector instructions for the natural one only, unless the processor has AVX-512.
    np.log(logarithms, out=logarithms)
    logarithms *= _PER_NEPER
    return logarithms


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis."""
    return (values * weight).sum(-1) / weight.sum(-1).clip(1e-6)


def _std(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted standard deviation over the last axis."""
    return np.sqrt(_mean(np.square(values - _mean(values, weight)[..., None]), weight) + 1e-8)


def _smooth(values: np.ndarray, width: int, axis: int = -1) -> np.ndarray:
    """Sums of `width` (odd) neighbours along an axis, divided by `width`; there are zeros beyond the ends."""
    values = np.moveaxis(values, axis, 0)
    sums = np.zeros((len(values) + width - 1, *values.shape[1:]), np.float32)
    sums[width // 2 : len(sums) - width // 2] = values
    total, reach, done = np.zeros_like(values), 1, 0
    while reach <= width:  # sums of 1, 2, 4 ... neighbours
        if width & reach:
            total += sums[done : done + len(values)]
            done += reach
        sums = sums[:-reach] + sums[reach:]
        reach *= 2
    return np.moveaxis(total / np.float32(width), 0, axis)


def _pool(values: np.ndarray, width: int, step: int) -> np.ndarray:
    """Means of `width` neighbours, every `step`, along the last axis."""
    return np.lib.stride_tricks.sliding_window_view(values, width, axis=-1)[..., ::step, :].mean(-1)


def _standard(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to mean 0 and deviation 1, nearly constant ones to less."""
    centred = rows - rows.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-6)


def _share(rows: np.ndarray) -> np.ndarray:
    """(N, k, ...) scaled so that the second axis sums to 1, or to less where the sum is below THIN."""
    return rows / rows.sum(1, keepdims=True).clip(THIN)


def _fold(notes: np.ndarray) -> np.ndarray:
    """Notes (N, 12 k, T) to pitch classes (N, 12, T), C first."""
    return np.roll(notes.reshape(len(notes), -1, 12, notes.shape[2]).sum(1), PITCHES.start % 12, 1)


def _softmax(values: np.ndarray) -> np.ndarray:
    """Over the second axis."""
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _logsumexp(values: np.ndarray, axis: int) -> np.ndarray:
    highest = values.max(axis, keepdims=True)
    return np.log(np.exp(values - highest).sum(axis)) + highest.squeeze(axis)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def _best(fits: np.ndarray) -> np.ndarray:
    """A smooth maximum over the last axis."""
    return _logsumexp(40 * fits, -1) / 40


def _mode(major: np.ndarray, minor: np.ndarray) -> np.ndarray:
    return np.stack([major, minor, major - minor, np.maximum(major, minor)], 1)
