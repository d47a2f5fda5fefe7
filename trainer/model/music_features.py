"""Music features that need no training: timbre, dynamics, pulse, key, chords, intervals, register.

All of them are computed from three spectrograms: a quick one (43 ms windows) that resolves attacks and timbre, a slow one (341 ms)
that resolves semitones, and one between them (85 ms) for note onsets. Everything is batched torch on the device of the samples. The
features are continuous: keys and tempos are chosen by a sharp softmax instead of an argmax, and the denominators of ratios have floors far
above rounding. So neither rounding, which differs between machines and numbers of threads, nor noise of 1e-6 makes a feature jump.
"""

import torch
from torch import nn
from torch.nn import functional as F

from trainer.model.music_filters import (
    FAINT,
    FINE,
    FRAMES_HZ,
    GATE,
    MIDDLE,
    PITCHES,
    QUICK,
    SLOW,
    SLOW_HZ,
    THIN,
    filters,
    modulation_size,
    pulse_filters,
)


class MusicFeatures(nn.Module):
    """Samples to features, without parameters.

    Each window is normalised to the same mean power, which keeps the dynamics within it; silent frames are left out of
    all means.
    """

    quick_window: torch.Tensor
    slow_window: torch.Tensor
    hz: torch.Tensor
    mel: torch.Tensor
    octaves: torch.Tensor
    dct: torch.Tensor
    pitch: torch.Tensor
    notes: torch.Tensor
    middle_window: torch.Tensor
    keys: torch.Tensor
    chords: torch.Tensor
    rough: torch.Tensor
    turns: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in filters().items():
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Features (N, COUNT) of windows (N, n), all float32; n at least 8192. Silence gives finite ones."""
        return torch.cat(list(self.groups(samples).values()), 1)

    def groups(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """Groups of features by name: (N, k) each."""
        with torch.autocast(samples.device.type, enabled=False):
            samples = samples.float()
            samples = samples / samples.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5)
            power = _power(samples, QUICK, self.quick_window)
            level = power.sum(1)
            gate = (GATE * level.amax(1, keepdim=True)).clamp(min=1e-8)
            audible = (torch.log10(level + 1e-12) - torch.log10(gate) + 0.5).clamp(0, 1)
            power = power / _mean(level, audible)[:, None, None].clamp(min=1e-6)
            return {
                **self._timbre(samples, power, audible),
                **self._pulse(power, audible),
                **self._onsets(samples),
                **self._harmony(samples),
            }

    def _timbre(self, samples: torch.Tensor, power: torch.Tensor, audible: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mel bands, cepstra, brightness, noisiness and dynamics."""
        level = power.sum(1)
        mel = torch.log10(self.mel @ power + 1e-6)
        bands = F.avg_pool1d(mel.transpose(1, 2), 2).transpose(1, 2)
        cepstra = self.dct @ mel
        flat = torch.log10(self.octaves @ power + 1e-9) - self.octaves @ torch.log10(power + 1e-9)
        centre = (self.hz @ power) / level.clamp(min=1e-9)
        bright = torch.log10(centre + 50)
        spread = torch.log10((((self.hz.square() @ power) / level.clamp(min=1e-9)) - centre.square()).clamp(min=0).sqrt() + 50)
        loud = torch.log10(level + 1e-6)
        second = round(FRAMES_HZ)
        slow = F.avg_pool1d(cepstra * audible[:, None], min(second, audible.shape[1]), second // 2)
        steady = F.avg_pool1d(loud[:, None] * audible[:, None], min(second, audible.shape[1]), second // 2)[:, 0]
        ordered = torch.lerp(_mean(loud, audible)[:, None], loud, audible).sort(1).values
        quantiles = [ordered[:, int(part * (ordered.shape[1] - 1))] for part in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)]
        blocks = samples[:, : samples.shape[1] // QUICK[1] * QUICK[1]].unflatten(1, (-1, QUICK[1]))
        crest = torch.log10(blocks.abs().amax(2).clamp(min=1e-5) / blocks.square().mean(2).sqrt().clamp(min=1e-5))[:, : audible.shape[1]]
        # A soft sign, as samples 60 dB below the window's mean may be rounding: they count as no zero crossing.
        signs = torch.tanh(blocks / FAINT)
        crossings = (-signs[..., 1:] * signs[..., :-1]).clamp(min=0).mean(2)[:, : audible.shape[1]]
        curves = torch.stack([bright, spread, loud, crest, torch.log10(crossings + 0.005)], 1)
        change = bands.unflatten(1, (8, -1)).mean(2).diff(dim=2)
        both = audible[:, None, 1:] * audible[:, None, :-1]
        time = torch.linspace(-1, 1, audible.shape[1], device=audible.device)
        swell = _mean(loud * time, audible) - _mean(loud, audible) * _mean(time * audible, audible)
        return {
            "cepstra": torch.cat([_mean(cepstra, audible[:, None]), _std(cepstra, audible[:, None])], 1),
            "cepstra change": _std(cepstra.diff(dim=2), both),
            "cepstra drift": slow.std(2, correction=0),
            "mel": torch.cat([_mean(bands, audible[:, None]), _std(bands, audible[:, None])], 1),
            "flatness": torch.cat([_mean(flat, audible[:, None]), _std(flat, audible[:, None])], 1),
            "curves": torch.cat([_mean(curves, audible[:, None]), _std(curves, audible[:, None]), _std(curves.diff(dim=2), both)], 1),
            "levels": torch.stack([*quantiles, steady.std(1, correction=0), swell, level.amax(1).clamp(min=1e-6).log10()], 1),
            "rise and fall": torch.cat([_mean(change.clamp(min=0), both), _mean(change.clamp(max=0), both)], 1),
        }

    def _pulse(self, power: torch.Tensor, audible: torch.Tensor) -> dict[str, torch.Tensor]:
        """Onsets of four bands and of all together, and their modulation spectrum at .4 to 16 Hz."""
        mel = torch.log10(self.mel @ power + 1e-5)
        rises = mel.diff(dim=2).clamp(min=0)
        parts = rises.unflatten(1, (16, -1)).mean(2)
        bands = rises.unflatten(1, (4, -1)).mean(2)
        onsets = torch.cat([bands, bands.mean(1, keepdim=True)], 1)
        frames = onsets.shape[2]
        centred = onsets - onsets.mean(2, keepdim=True)
        hann, rates, lags_s, likely = (torch.from_numpy(values).to(onsets) for values in pulse_filters(frames))
        spectrum = torch.fft.rfft(centred * hann, n=modulation_size(frames)).abs() / hann.sum()
        modulation = torch.log10(spectrum.square() @ rates.T + 1e-7)
        echo = torch.fft.irfft(torch.fft.rfft(centred[:, 4], n=2 * frames).abs().square())[:, :frames]
        echo = echo / (echo[:, :1] + 1e-4 * frames)
        weight = torch.softmax(40 * echo * likely, 1) * (likely > 0)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        beat = torch.stack([weight @ lags_s.clamp(min=0.2).log(), (weight * echo).sum(1), (echo * likely).amax(1)], 1)
        peaks = torch.sigmoid(30 * (onsets[:, 4] - 1.5 * F.avg_pool1d(onsets[:, 4:], 25, 1, 12)[:, 0] - 0.02))
        return {
            "onsets": torch.cat([parts.mean(2), parts.std(2, correction=0), onsets.amax(2)], 1),
            "modulation": modulation.flatten(1),
            "beat": torch.cat([beat, peaks.mean(1, keepdim=True), audible.mean(1, keepdim=True)], 1),
        }

    def _onsets(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """How many notes begin, how clear their onsets are, and how long notes last."""
        power = _power(samples, MIDDLE, self.middle_window, slice(1, self.notes.shape[1] + 1))
        strength = torch.log10(self.notes @ power / power.sum(1).mean(1).clamp(min=1e-6)[:, None, None] + 1e-4) + 4
        rises = strength.diff(dim=2).clamp(min=0)
        rise = rises.mean(1)
        around = F.avg_pool1d(rise[:, None], 51, 1, 25)[:, 0]
        highest = torch.sigmoid(2000 * (rise - F.max_pool1d(rise[:, None], 7, 1, 3)[:, 0] + 0.002))
        peaks = [(highest * torch.sigmoid(100 * (rise - 1.2 * around - least))).mean(1) for least in (0.005, 0.01, 0.02, 0.04, 0.08)]
        onsets = []
        for least, notes in (
            (0.3, slice(0, 20)),
            (0.3, slice(20, 40)),
            (0.3, slice(40, 60)),
            (0.15, slice(60)),
            (0.3, slice(60)),
            (0.6, slice(60)),
        ):
            onsets.append((10 * (rises[:, notes] - least) + 0.5).clamp(0, 1).mean((1, 2)))
        centred = strength - strength.mean(2, keepdim=True)
        energy = strength.square().sum((1, 2)).clamp(min=1)
        lasting = []
        for values in (strength, centred):
            total = torch.maximum(values.square().sum((1, 2)), FAINT**2 * energy)
            for gap in (2, 5, 10, 25, 50, 100):
                gap = min(gap, values.shape[2] - 1)
                lasting.append((values[..., :-gap] * values[..., gap:]).sum((1, 2)) / total)
        return {"note onsets": torch.stack([*peaks, *onsets], 1), "lasting": torch.stack(lasting, 1)}

    def _harmony(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """Key, mode, chords, intervals, register, tonality and roughness."""
        magnitude = _power(samples, SLOW, self.slow_window, slice(1, self.pitch.shape[1] + 1)).sqrt()
        # Tones stand out from the neighbouring frequencies; the rest is noise.
        around = F.avg_pool1d(magnitude.transpose(1, 2), 25, 1, 12).transpose(1, 2)
        tones = (magnitude - around).clamp(min=0)
        fine = (self.pitch @ tones.square()).sqrt()
        loud = fine.mean((1, 2), keepdim=True).clamp(min=1e-6)
        fine = fine / loud
        fine = fine.sqrt() * (fine / FAINT - 1).clamp(0, 1)
        notes = fine.unflatten(1, (-1, FINE)).sum(2)
        rows = {"chroma": _fold(notes), "bass": _fold(notes[:, :24]), "treble": _fold(notes[:, 24:])}
        chroma = rows["chroma"]
        total = magnitude.sum((1, 2)).clamp(min=1e-6)
        return {
            **self._key(rows),
            **self._chords(chroma, rows),
            **self._register(notes),
            "tonalness": torch.stack(
                [
                    tones[:, a:b].sum((1, 2)) / torch.maximum(magnitude[:, a:b].sum((1, 2)), FAINT * total)
                    for a, b in ((0, 90), (90, 270), (270, 700), (700, None))
                ],
                1,
            ),
            "roughness": self._roughness(fine),
        }

    def _key(self, rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Fits of major and minor, and the pitch classes relative to the tonic."""
        chroma = rows["chroma"]
        mean = _share(chroma.mean(2))
        fits = _standard(mean) @ self.keys.T
        parts = _standard(_share(F.adaptive_avg_pool1d(chroma, 4)).transpose(1, 2)) @ self.keys.T
        local = torch.stack([_best(parts[..., :12]), _best(parts[..., 12:])], 2)
        transposed = {name: self._transpose(_share(row.mean(2)), fits) for name, row in rows.items()}
        as_major = self._transpose(mean, fits[:, :12])
        return {
            "mode": torch.cat([_mode(_best(fits[:, :12]), _best(fits[:, 12:])), _mode(*local.mean(1).T), local.std(1, correction=0)], 1),
            "from the tonic": torch.cat(list(transposed.values()), 1),
            "from the major tonic": as_major,
        }

    def _transpose(self, chroma: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
        """Chroma (N, 12) transposed so that the tonic comes first, given the fits of 24 or 12 keys."""
        tonic = torch.softmax(40 * fits, 1).unflatten(1, (-1, 12)).sum(1)
        return torch.einsum("nt,nti->ni", tonic, chroma[:, self.turns])

    def _chords(self, chroma: torch.Tensor, rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Kinds of chords, how often they change, and simultaneous and successive intervals."""
        smooth = F.avg_pool1d(chroma, 3, 1, 1, count_include_pad=False)
        weight = smooth.sum(1)
        unit = smooth / smooth.norm(dim=1, keepdim=True).clamp(min=THIN)
        fits = (self.chords @ unit).unflatten(1, (-1, 12))
        kinds = torch.logsumexp(25 * fits, 2) / 25
        triads = torch.softmax(25 * fits[:, :2].flatten(1, 2), 1)
        mean = _share(chroma.mean(2))
        degrees = torch.cat(
            [self._transpose(_mean(triads[:, first : first + 12], weight[:, None]), _standard(mean) @ self.keys.T) for first in (0, 12)], 1
        )
        now = _share(chroma)
        waves = torch.fft.rfft(now, dim=1).abs()[:, 1:]
        step = round(SLOW_HZ / 2)
        later = [torch.einsum("nit,nkit->nk", now[..., :-gap], now[..., gap:][:, self.turns]) / max(now.shape[2] - gap, 1)
                 for gap in (min(step, now.shape[2] - 1), min(2 * step, now.shape[2] - 1))]  # fmt: skip
        change = (now[..., 1:] - now[..., :-1]).abs().sum(1)
        return {
            "chord kinds": torch.cat([_mean(kinds, weight[:, None]), _std(kinds, weight[:, None])], 1),
            "degrees": degrees,
            "chord change": torch.stack(
                [(triads[..., 1:] - triads[..., :-1]).abs().sum(1).mean(1), change.mean(1), change.std(1, correction=0)], 1
            ),
            "circles": torch.cat(
                [torch.fft.rfft(mean, dim=1).abs()[:, 1:], _mean(waves, weight[:, None]), _std(waves, weight[:, None])], 1
            ),
            "intervals": torch.einsum("nit,nkit->nk", now, now[:, self.turns[:7]]) / now.shape[2],
            "above the bass": torch.einsum("nit,nkit->nk", _share(rows["bass"]), _share(rows["treble"])[:, self.turns]) / now.shape[2],
            "steps": torch.cat(later, 1),
        }

    def _register(self, notes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Pitch of the notes and their fundamentals, and how much it changes."""
        number = torch.arange(notes.shape[1], device=notes.device) / 12
        padded = F.pad(notes, (0, 0, 0, 36))
        # Overtones are 12, 19, 24, 28 and 31 semitones above their fundamental.
        harmonic = sum(0.8**order * padded[:, step : step + notes.shape[1]] for order, step in enumerate((0, 12, 19, 24, 28, 31)))
        assert isinstance(harmonic, torch.Tensor)
        voice = torch.softmax(2 * harmonic, 1)
        weight = notes.sum(1)
        heights = [torch.einsum("p,npt->nt", number, share) for share in (_share(notes), voice)]
        spread = (torch.einsum("p,npt->nt", number.square(), _share(notes)) - heights[0].square()).clamp(min=0).sqrt()
        lines = torch.stack([*heights, spread], 1)
        entropy = -(voice * (voice + 1e-9).log()).sum(1)
        flux = (notes[..., 1:] - notes[..., :-1]).clamp(min=0).sum(1) / (weight[:, 1:] + weight[:, :-1]).clamp(min=THIN)
        return {
            "register": _share(notes.mean(2).unflatten(1, (18, 4)).sum(2)),
            "fundamentals": _mean(voice, weight[:, None]).unflatten(1, (12, 6)).sum(2),
            "heights": torch.cat([_mean(lines, weight[:, None]), _std(lines, weight[:, None]), lines.diff(dim=2).abs().mean(2)], 1),
            "density": torch.stack([entropy.mean(1), entropy.std(1, correction=0), flux.mean(1), flux.std(1, correction=0)], 1),
        }

    def _roughness(self, fine: torch.Tensor) -> torch.Tensor:
        """Mean and deviation of the fraction of a frame's energy in rough pairs of tones."""
        strength = fine.square()
        rough = (strength * (self.rough @ strength)).sum(1) / strength.sum(1).square().clamp(min=THIN**2)
        return torch.stack([rough.mean(1), rough.std(1, correction=0)], 1)


def _power(samples: torch.Tensor, size: tuple[int, int], window: torch.Tensor, lines: slice = slice(None)) -> torch.Tensor:
    """Power spectrogram (N, frequencies, frames) without padding at the ends."""
    spectrum = torch.stft(samples, *size, window=window, center=False, return_complex=True)[:, lines]
    # abs() of complex numbers would take six times as long, as it guards against overflow.
    return spectrum.real.square().add_(spectrum.imag.square())


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the last axis."""
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1e-6)


def _std(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted standard deviation over the last axis."""
    return (_mean((values - _mean(values, weight)[..., None]).square(), weight) + 1e-8).sqrt()


def _standard(rows: torch.Tensor) -> torch.Tensor:
    """Rows scaled to mean 0 and deviation 1, nearly constant ones to less."""
    centred = rows - rows.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def _share(rows: torch.Tensor) -> torch.Tensor:
    """(N, k, ...) scaled so that the second axis sums to 1, or to less where the sum is below THIN."""
    return rows / rows.sum(1, keepdim=True).clamp(min=THIN)


def _fold(notes: torch.Tensor) -> torch.Tensor:
    """Notes (N, 12 k, T) to pitch classes (N, 12, T), C first."""
    return notes.unflatten(1, (-1, 12)).sum(1).roll(PITCHES.start % 12, 1)


def _best(fits: torch.Tensor) -> torch.Tensor:
    """A smooth maximum over the last axis."""
    return torch.logsumexp(40 * fits, -1) / 40


def _mode(major: torch.Tensor, minor: torch.Tensor) -> torch.Tensor:
    return torch.stack([major, minor, major - minor, torch.maximum(major, minor)], 1)
