"""Four short tunes of planted moods, played by sums of sines and noise: calm or wild, happy or not.

A test holds the moods to what the bundled model hears in them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

RATE_HZ = 48_000
PEAK = 0.89  # -1 dBFS

Sound = np.ndarray


def hz(note: float) -> float:
    """Of a note counted as MIDI does: 60 is the middle C."""
    return 440 * 2 ** ((note - 69) / 12)


def seconds(length_s: float) -> np.ndarray:
    return np.arange(round(length_s * RATE_HZ)) / RATE_HZ


def faded(sound: Sound, attack_s: float, release_s: float) -> Sound:
    """Begun and ended softly."""
    at = np.arange(len(sound)) / RATE_HZ
    return sound * np.minimum(1, at / attack_s) * np.minimum(1, (len(sound) / RATE_HZ - at) / release_s)


@cache
def pluck(note: float, length_s: float, bright: float = 0.5, decay: float = 1.6) -> Sound:
    """A string plucked: high overtones die first."""
    sound = np.zeros(round(length_s * RATE_HZ))
    for n in range(1, 2 + int(10 * bright)):
        # Powers of one complex number are a sine that dies away, at a sixth of the price of a sine and an exponential.
        turn = 2j * np.pi * hz(note) * n * np.sqrt(1 + 2e-4 * n * n) - decay * n**0.8
        sound += bright ** (n - 1) * np.cumprod(np.full(len(sound), np.exp(turn / RATE_HZ))).imag
    return faded(sound, 0.004, min(0.08, length_s / 3))


def overtones(phase: np.ndarray, volumes: Iterable[float]) -> Sound:
    """Sines of the phase, twice the phase and so on."""
    one = np.exp(1j * phase)
    wave, sound = np.ones_like(one), np.zeros(len(phase))
    for volume in volumes:
        wave *= one
        sound += volume * wave.imag
    return sound


@cache
def bowed(note: float, length_s: float, attack_s: float = 0.12, bright: float = 0.5, vibrato: float = 0.004) -> Sound:
    """A bowed string, or with little brightness a flute: slow to begin, trembling once it sounds."""
    t = seconds(length_s)
    phase = 2 * np.pi * hz(note) * t + vibrato * hz(note) / 5.3 * np.minimum(1, t / 0.5) * np.cos(2 * np.pi * 5.3 * t)
    sound = overtones(phase, (bright ** (n - 1) / n**0.5 for n in range(1, 2 + int(12 * bright))))
    return faded(sound, min(attack_s, length_s / 3), min(0.15, length_s / 3))


@cache
def saw(note: float, length_s: float, most: int = 16, detune: float = 0.004) -> Sound:
    """A synthesizer: two saws a little apart."""
    phase = 2 * np.pi * hz(note) * seconds(length_s)
    sound = sum(overtones(phase * side, (0.5 / n for n in range(1, most + 1))) for side in (1 - detune, 1 + detune))
    return faded(np.asarray(sound), 0.005, min(0.05, length_s / 3))


@cache
def hiss(length_s: float, seed: int, low_hz: float, high_hz: float = 20_000) -> Sound:
    """Noise within a band."""
    count = round(length_s * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    at = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum[(at < low_hz) | (at > high_hz)] = 0
    noise = np.fft.irfft(spectrum, count)
    return noise / (np.abs(noise).max() + 1e-9)


@cache
def kick() -> Sound:
    t = seconds(0.28)
    return faded(np.sin(2 * np.pi * (48 * t + 9 * (1 - np.exp(-28 * t)))) * np.exp(-9 * t), 0.001, 0.05)


@cache
def snare(seed: int = 1) -> Sound:
    t = seconds(0.22)
    return faded(0.8 * hiss(0.22, seed, 900, 12_000) * np.exp(-18 * t) + 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-26 * t), 0.001, 0.03)


@cache
def hat(length_s: float = 0.06) -> Sound:
    return hiss(length_s, 2, 6_000) * np.exp(-np.linspace(0, 6, round(length_s * RATE_HZ)))


@cache
def crash() -> Sound:
    return hiss(1.6, 3, 3_000) * np.exp(-np.linspace(0, 6, round(1.6 * RATE_HZ)))


class Band:
    """Where notes are laid down: time in beats, a place from left (-1) to right (1)."""

    def __init__(self, beats: float, tempo: float, tail_s: float) -> None:
        self.beat_s = 60 / tempo
        self.sound = np.zeros((round((beats * self.beat_s + tail_s) * RATE_HZ), 2))

    def play(self, sound: Sound, beat: float, volume: float, place: float = 0.0) -> None:
        start = round(beat * self.beat_s * RATE_HZ)
        part = self.sound[start : start + len(sound)]
        part += volume * sound[: len(part), None] * np.sqrt(np.array([1 - place, 1 + place]) / 2)

    def room(self, length_s: float, share: float) -> None:
        """Reverberation: the sound once more, through noise that dies away, another at each ear."""
        t = seconds(length_s)
        tail = np.random.default_rng(7).standard_normal((len(t), 2)) * np.exp(-6.9 * t / length_s)[:, None]
        tail = np.cumsum(tail, axis=0) * 0.25 + tail * 0.25  # darker than white
        tail -= tail.mean(axis=0)
        tail /= np.sqrt((tail**2).sum(axis=0))
        count = 1 << (len(self.sound) + len(t)).bit_length()
        wet = np.fft.irfft(np.fft.rfft(self.sound, count, axis=0) * np.fft.rfft(tail, count, axis=0), count, axis=0)
        self.sound = self.sound + share * wet[: len(self.sound)]

    def done(self, peak: float, fade_s: float) -> Sound:
        self.sound -= self.sound.mean(axis=0)
        fade = round(fade_s * RATE_HZ)
        self.sound[-fade:] *= (np.linspace(1, 0, fade) ** 2)[:, None]
        return (self.sound * peak / np.abs(self.sound).max()).astype(np.float32)


def calm_happy() -> Sound:
    """A harp and a flute in G major, without haste."""
    band = Band(30, 100, 1.4)
    g, c, d = (43, 55, 59, 62, 67), (48, 55, 60, 64, 67), (50, 57, 62, 66, 69)
    for bar, chord in enumerate((g, c, g, d, c, g, d, g)):
        last = bar == 7
        for step, tone in enumerate((0, 1, 2, 3, 4, 3, 2, 1)[: 5 if last else 8]):
            band.play(pluck(chord[tone], 2.6, 0.7, 1.4), 4 * bar + step / 2, 0.30 if step else 0.38, -0.4 + 0.2 * tone)
        for tone in chord[1:4]:
            band.play(bowed(tone, (2 if last else 4) * band.beat_s + 0.4, 0.7, 0.18, 0.001), 4 * bar, 0.05, 0.3)
    melody = [(0, 74, 1.5), (1.5, 76, 0.5), (2, 79, 2), (4, 76, 1.5), (5.5, 74, 0.5), (6, 72, 2), (8, 71, 1), (9, 74, 1), (10, 79, 2)]
    melody += [(12, 78, 1.5), (13.5, 76, 0.5), (14, 74, 2), (16, 76, 1), (17, 79, 1), (18, 84, 2), (20, 83, 1.5), (21.5, 81, 0.5)]
    melody += [(22, 79, 2), (24, 78, 1), (25, 76, 1), (26, 74, 1), (27, 78, 1), (28, 79, 2.4)]
    for beat, tone, long in melody:
        band.play(bowed(tone, long * band.beat_s + 0.1, 0.09, 0.14), beat, 0.2, 0.15)
    band.room(1.8, 0.35)
    return band.done(0.6, 1.2)


def calm_sad() -> Sound:
    """A cello over low strings plucked, in A minor, slower still."""
    band = Band(15, 56, 1.4)
    chords = [(45, 52, 57, 60), (41, 53, 57, 60), (38, 50, 57, 62), (40, 52, 56, 59), (45, 52, 57, 60)]
    for bar, chord in enumerate(chords):
        for step, tone in enumerate((0, 1, 2, 3, 2, 1)[: 4 if bar == 4 else 6]):
            band.play(pluck(chord[tone], 3.2, 0.3, 1.1), 3 * bar + step / 2, 0.32 if step else 0.4, -0.3 + 0.2 * tone)
        for tone in chord[:3]:
            band.play(bowed(tone, 3 * band.beat_s + 0.5, 0.9, 0.22, 0.001), 3 * bar, 0.04, -0.3)
    melody = [
        (0, 64, 2),
        (2, 60, 1),
        (3, 65, 2),
        (5, 64, 1),
        (6, 62, 1.5),
        (7.5, 60, 0.5),
        (8, 59, 1),
        (9, 59, 1),
        (10, 56, 2),
        (12, 57, 3.2),
    ]
    for beat, tone, long in melody:
        band.play(bowed(tone, long * band.beat_s + 0.15, 0.2, 0.55, 0.005), beat, 0.2, 0.2)
    band.room(2.4, 0.5)
    return band.done(0.45, 1.2)


def wild_happy() -> Sound:
    """A dance in C major, fast: drums, bass, chords on the offbeat, a bright lead."""
    band = Band(51, 184, 1.0)
    chords = [(48, 64, 67, 72), (53, 65, 69, 72), (55, 62, 67, 71), (48, 64, 67, 72)]
    drums = kick(), snare(), hat(), hat(0.14)
    band.play(crash(), 0, 0.25)
    for bar in range(13):
        chord = chords[bar % 4] if bar < 12 else chords[0]
        for beat in range(4 if bar < 12 else 1):
            at = 4 * bar + beat
            band.play(drums[0], at, 0.7)
            band.play(drums[2], at, 0.16, 0.3)
            band.play(drums[3], at + 0.5, 0.2, 0.3)
            if beat % 2:
                band.play(drums[1], at, 0.55, -0.1)
            for half in (0, 0.5):
                band.play(saw(chord[0] - 12 + 12 * (half > 0), 0.42 * band.beat_s), at + half, 0.32)
            for side, tone in enumerate(chord[1:]):
                band.play(saw(tone, 0.3 * band.beat_s, 28, 0.006), at + 0.5, 0.14, 0.6 * (side - 1))
    hook = [(0, 76), (0.5, 79), (1, 84), (2, 83), (2.5, 84), (3, 79), (4, 81), (4.5, 84), (5, 81), (6, 77), (6.5, 81), (7, 84)]
    hook += [(8, 83), (8.5, 79), (9, 86), (10, 83), (10.5, 86), (11, 88), (12, 84), (12.5, 88), (13, 84), (13.5, 79), (14, 84), (15, 79)]
    for start in (0, 16, 32):
        for beat, tone in hook:
            if start + beat < 48:
                band.play(saw(tone, 0.5 * band.beat_s, 10, 0.003), start + beat, 0.2, 0.1)
                band.play(pluck(tone + 12, 0.4, 0.5, 5), start + beat, 0.12, -0.3)
    for tone in (72, 76, 79, 84):
        band.play(pluck(tone, 1.6, 0.6, 2), 48, 0.2)
    band.play(crash(), 48, 0.3)
    band.room(0.7, 0.16)
    return band.done(PEAK, 0.8)


def wild_tense() -> Sound:
    """Distorted strings and hard drums, fast, in tritones over E."""
    guitar, band = Band(54, 190, 1.0), Band(54, 190, 1.0)
    riff = [40, 40, 46, 40, 41, 40, 46, 47, 40, 40, 46, 40, 49, 48, 47, 46]
    drums = kick(), snare(4), hat(0.05), crash()
    for step in range(104):
        tone = riff[step % 16] + (1 if step // 32 == 1 else 0)
        guitar.play(saw(tone, 0.46 * band.beat_s, 14), step / 2, 0.35)
        guitar.play(saw(tone + 6, 0.46 * band.beat_s, 12), step / 2, 0.25)
        guitar.play(saw(tone + 12, 0.46 * band.beat_s, 12), step / 2, 0.4)
        if step % 4 != 2:
            band.play(drums[0], step / 2, 0.6)
        band.play(drums[2], step / 2, 0.22, 0.3)
        if step % 4 == 2:
            band.play(drums[1], step / 2, 0.7)
        if step % 32 == 0:
            band.play(drums[3], step / 2, 0.35)
    guitar.sound = 0.42 * np.tanh(5 * guitar.sound)
    for start in range(0, 52, 8):
        for place, tone in enumerate((76, 77, 82, 83)):
            band.play(bowed(tone, 7.6 * band.beat_s, 0.3, 0.5, 0.012), start, 0.045 + 0.01 * (start // 8), 0.3 * place - 0.4)
    for tone in (28, 34, 40, 46):
        guitar.play(np.tanh(4 * saw(tone, 1.2, 16)), 52, 0.2)
    band.play(drums[0], 52, 0.9)
    band.play(drums[3], 52, 0.4)
    band.sound += guitar.sound
    band.room(0.9, 0.2)
    return band.done(PEAK, 0.7)


@dataclass(frozen=True)
class Tune:
    """What is drawn, and what its file says about it."""

    play: Callable[[], Sound]
    title: str
    mood: str


TUNES: dict[str, Tune] = {
    "calm-happy": Tune(calm_happy, "Boat on a Lake", "calm and happy"),
    "calm-sad": Tune(calm_sad, "Snow at Night", "calm and sad"),
    "wild-happy": Tune(wild_happy, "Fireworks", "wild and happy"),
    "wild-tense": Tune(wild_tense, "The Forest Burns", "wild and tense"),
}
ARTIST, LICENCE = "mmvatool demo", "CC0-1.0"


def _scattered(length_s: float, each_s: float, seed: int, draw_one: Callable[[np.random.Generator], Sound]) -> Sound:
    """Short sounds at random times, one in so many seconds."""
    sound, draw = np.zeros(round(length_s * RATE_HZ)), np.random.default_rng(seed)
    for start in draw.integers(0, len(sound), round(length_s / each_s)):
        part = sound[start:]
        one = draw_one(draw)[: len(part)]
        part[: len(one)] += one
    return sound


def _chirp(draw: np.random.Generator) -> Sound:
    t = seconds(0.14)
    return faded(np.sin(2 * np.pi * (draw.uniform(2800, 4200) * t + draw.uniform(-5000, 5000) * t * t)), 0.02, 0.05) * draw.uniform(0.3, 1)


def _crack(draw: np.random.Generator) -> Sound:
    return draw.standard_normal(600) * np.exp(-np.arange(600) / draw.uniform(20, 130)) * draw.uniform(0.1, 1)


def _boom(draw: np.random.Generator) -> Sound:
    t = seconds(0.7)
    return hiss(0.7, int(draw.integers(6)), 30, 500) * np.exp(-7 * t) * draw.uniform(0.5, 1)


def _swell(length_s: float, every_s: float) -> Sound:
    return 0.55 + 0.45 * np.sin(2 * np.pi * seconds(length_s) / every_s)


AMBIENCE: dict[str, Callable[[float], Sound]] = {
    "meadow": lambda length_s: 0.05 * _scattered(length_s, 0.35, 1, _chirp) + 0.02 * hiss(length_s, 2, 200, 1500) * _swell(length_s, 5),
    "lake": lambda length_s: 0.06 * hiss(length_s, 3, 150, 900) * _swell(length_s, 3.1) ** 2,
    "snow": lambda length_s: 0.05 * hiss(length_s, 4, 250, 700) * _swell(length_s, 4.3),
    "storm": lambda length_s: 0.25 * hiss(length_s, 5, 800, 9000) + 0.9 * _scattered(length_s, 0.5, 6, _boom),
    "fire": lambda length_s: 0.2 * hiss(length_s, 7, 60, 700) + 0.4 * _scattered(length_s, 0.02, 8, _crack),
    "fireworks": lambda length_s: 0.7 * _scattered(length_s, 0.22, 9, _boom) + 0.3 * _scattered(length_s, 0.01, 10, _crack),
}
