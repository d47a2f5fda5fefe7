"""Mixes the music of the cues (faded, crossfaded, looped) with the original audio of videos, under which the music is ducked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError, OutputError
from mmvatool.files import workspace
from mmvatool.media import audio, headers, loop, loudness, master, sound
from mmvatool.media.pcm import CHANNELS, PIECE, RATE_HZ, Pcm
from mmvatool.media.probe import MediaInfo
from mmvatool.media.sound import Heard
from mmvatool.timeline import Cue, Segment

FADE_IN_S = 0.5
FADE_OUT_S = 2.0
# A cue that is longer than its track by no more than this ends with the track instead of looping it.
END_SLACK_S = 1.0
# A track with decoding errors is accepted if no more than this of its stated length is missing.
MISSING_TOLERANCE_S = 0.5
ORIGINAL_FADE_S = 0.010
MOST_ORIGINAL_GAIN_DB = 12.0  # more would raise the hiss of a quiet room to the loudness of speech
WARN_LU = 0.5  # a shortfall of loudness from which on there is a warning
DUCK_DB = -12.0
STEP_S = 0.050  # in which the level of the original audio is measured
ACTIVE_DBFS = -45.0
ACTIVE_LU = -18.0  # or this far below its own loudness
DUCK_BEFORE_S, DUCK_HOLD_S, DUCK_AFTER_S = 0.2, 0.5, 0.8


@dataclass(frozen=True)
class MixResult:
    """What was written: loudness and true peak as decoded, None for silence, and warnings."""

    lufs: float | None
    true_peak_dbtp: float | None
    warnings: tuple[str, ...] = ()


def write_sound(
    cues: Sequence[Cue],
    length_s: float,
    target: Path,
    *,
    under: Sequence[tuple[float, MediaInfo, Segment]] = (),
    lufs: float = -14.0,
    codec: str = "aac",
    on_progress: Callable[[float], None] = lambda _: None,
) -> MixResult:
    """Write the music of a timeline as an encoded audio file: stereo, 48 kHz, to be muxed by copying.

    Args:
        cues: the music. Outside of all cues there is silence (or the original audio alone).
        length_s: length of the result.
        target: file to write; an existing file is replaced.
        under: original audio under which the music is ducked: its start in the result in seconds, the video, and the segment of it.
        lufs: integrated loudness of the result.
        codec: "aac" (an .m4a, for MP4, QuickTime and Matroska) or "opus" (a .webm).
        on_progress: called with the part done, in [0, 1].

    Raises:
        MediaError: a track cannot be decoded, or only in parts.
        OutputError: the target cannot be written.
        RenderError: the encoder failed.
    """
    total = round(length_s * RATE_HZ)
    warnings: list[str] = []
    with workspace(target) as folder:
        try:
            mix = Pcm.silence(folder / "mix.f32", total)
            for number, (cue, fade_in_s, fade_out_s) in enumerate(_with_fades(cues, length_s), 1):
                _mix_cue(cue, fade_in_s, fade_out_s, mix, folder, lufs)
                on_progress(0.3 * number / len(cues))
            originals = [
                original for start_s, info, segment in under if (original := _analyze_original(start_s, info, segment, lufs, warnings))
            ]
            if originals:
                _apply_gains(mix, _ducking_gains(originals, total))
            for original in originals:
                mix.add(original.first, original.pieces())
            on_progress(0.4)
            encoded = folder / "encoded"
            got_lufs, peak = master.encode(mix, lufs, codec, encoded, target, lambda part: on_progress(0.4 + 0.5 * part))
            encoded.replace(target)
        except OSError as error:
            raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
    if got_lufs is not None and got_lufs < lufs - WARN_LU:
        warnings.append(f"its loudness is {got_lufs:.1f} LUFS, not {lufs:.1f}: more would crush its peaks")
    on_progress(1.0)
    return MixResult(got_lufs, peak, tuple(warnings))


def _with_fades(cues: Iterable[Cue], length_s: float) -> Iterator[tuple[Cue, float, float]]:
    """Cues in order of time with the lengths of their fades in and out: the overlap with a neighbour, else the default ones."""
    order = sorted((cue for cue in cues if cue.start_s < min(cue.end_s, length_s)), key=lambda cue: cue.start_s)
    for index, cue in enumerate(order):
        end_s = min(cue.end_s, length_s)
        overlap_before = min(order[index - 1].end_s, end_s) - cue.start_s if index else 0.0
        overlap_after = end_s - order[index + 1].start_s if index + 1 < len(order) else 0.0
        fade_in_s = overlap_before if overlap_before > 0 else min(FADE_IN_S, (end_s - cue.start_s) / 4)
        fade_out_s = overlap_after if overlap_after > 0 else min(FADE_OUT_S, (end_s - cue.start_s) / 2)
        yield cue, fade_in_s, fade_out_s


def _mix_cue(cue: Cue, fade_in_s: float, fade_out_s: float, mix: Pcm, folder: Path, lufs: float) -> None:
    """Add one cue to the mix, at the loudness of the result, so that all tracks are equally loud."""
    first, stop = round(cue.start_s * RATE_HZ), min(round(cue.end_s * RATE_HZ), mix.samples)
    count = stop - first
    skipped = round(cue.offset_s * RATE_HZ)
    track = _decode(cue.path, folder / "track.f32", skipped, skipped + count)
    jump = None
    if track.samples >= count - min(END_SLACK_S * RATE_HZ, count / 10):
        skipped = 0
    else:
        track = _decode(cue.path, folder / "track.f32", 0, skipped + count)
        jump = loop.find(track)
    level = loudness.integrated(loop.play(track, jump, skipped, count), RATE_HZ)
    # Silence has no loudness and stays as it is.
    gain = 1.0 if level is None else 10 ** ((lufs - level) / 20)
    rise, fall = max(1.0, fade_in_s * RATE_HZ), max(1.0, fade_out_s * RATE_HZ)

    def faded() -> Iterator[np.ndarray]:
        position = 0
        for piece in loop.play(track, jump, skipped, count):
            samples = np.arange(position, position + len(piece)) + 0.5
            # Equal power: a crossfade of two such curves keeps the loudness.
            shape = np.sin(np.pi / 2 * np.clip(samples / rise, 0, 1)) * np.sin(np.pi / 2 * np.clip((count - samples) / fall, 0, 1))
            yield piece * (gain * shape)[:, None].astype(np.float32)
            position += len(piece)

    mix.add(first, faded())
    track.path.unlink()


def _decode(path: Path, into: Path, first: int, stop: int) -> Pcm:
    """Decode samples [first, stop) of a track to a raw file; fewer if it ends before.

    Raises:
        MediaError: it cannot be decoded, or parts of it cannot.
    """
    header = headers.read(path, "a sound file")
    if not header.default_audio:
        raise MediaError(path, "has no sound: choose another track")
    # Counted in samples, as wherever tracks are decoded: in recordings joined byte by byte the timestamps start anew.
    heard, decoded = Heard(), 0
    read = sound.read(path, header.default_audio.index, RATE_HZ, "stereo", heard, dtype="<f4")
    with closing(read), into.open("wb") as file:
        for piece in read:
            file.write(piece[max(0, first - decoded) : max(0, stop - decoded)].tobytes())
            decoded += len(piece)
            # After an error the whole track is decoded to see how much of it is missing.
            if decoded >= stop and not heard.errors:
                break
    if heard.errors:
        stated_s = header.stated_s or 0.0
        if not decoded or decoded / RATE_HZ < stated_s - MISSING_TOLERANCE_S:
            problem = f"is damaged: {decoded / RATE_HZ:.1f} s of its {stated_s:.1f} s can be decoded ({heard.error})"
            raise MediaError(path, f"{problem}: get it again or choose another track")
    elif not decoded:
        raise MediaError(path, "holds not a sample of sound: choose another track")
    return Pcm(into, max(0, min(decoded, stop) - first))


@dataclass(frozen=True)
class _Original:
    """Original audio: samples [first, stop) of the result, the video and the time in it, the gain, and in which steps it is audible."""

    first: int
    stop: int
    info: MediaInfo
    start_s: float
    gain: float
    audible: np.ndarray

    def pieces(self) -> Iterator[np.ndarray]:
        """Its samples with the gain applied."""
        yield from _read_original(self.info, self.start_s, self.stop - self.first, self.gain)


def _analyze_original(start_s: float, info: MediaInfo, segment: Segment, lufs: float, warnings: list[str]) -> _Original | None:
    """Measure original audio: how loud it is, and in which steps it is audible. None, with a warning, where there is none."""
    if info.audio is None:
        warnings.append(f"{info.path.name} has no sound: the music is not ducked there")
        return None
    warnings += [f"{info.path.name}: {note}" for note in audio.notes(info, whole=segment.end_s > info.end_s - 1 / info.rate)]
    first, count = round(start_s * RATE_HZ), round(segment.length_s * RATE_HZ)
    step = round(STEP_S * RATE_HZ)
    powers: list[np.ndarray] = []

    def measured() -> Iterator[np.ndarray]:
        for piece in _read_original(info, segment.start_s, count, 1.0):
            squares = (piece.astype(np.float64) ** 2).mean(axis=1)
            powers.append(np.add.reduceat(squares, np.arange(0, len(squares), step)) / step)
            yield piece

    try:
        level = loudness.integrated(measured(), RATE_HZ)
    except audio.SilentError:
        warnings.append(f"the sound of {info.path.name} ({info.audio.codec}) cannot be decoded: the music is not ducked there")
        return None
    gain_db = 0.0 if level is None else min(lufs - level, MOST_ORIGINAL_GAIN_DB)
    levels = 10 * np.log10(np.concatenate(powers) + 1e-12) + gain_db
    least = max(ACTIVE_DBFS, -np.inf if level is None else level + gain_db + ACTIVE_LU)
    return _Original(first, first + count, info, segment.start_s, 10 ** (gain_db / 20), levels > least)


def _read_original(info: MediaInfo, start_s: float, count: int, gain: float) -> Iterator[np.ndarray]:
    """Audio of a video from a time on as float32 (n, 2), in pieces of whole steps, with short fades at its ends."""
    start, size = round(start_s * RATE_HZ), round(5 * RATE_HZ)
    bounds = [(start + done, start + min(done + size, count)) for done in range(0, count, size)]
    fade = min(ORIGINAL_FADE_S * RATE_HZ, count / 2)
    done = 0
    for samples in audio.cut_samples(info, bounds, RATE_HZ, CHANNELS, dtype="<f4"):
        positions = np.arange(done, done + len(samples)) + 0.5
        shape = gain * np.clip(np.minimum(positions, count - positions) / fade, 0, 1)
        yield samples * shape[:, None].astype(np.float32)
        done += len(samples)


def _ducking_gains(originals: list[_Original], total: int) -> np.ndarray:
    """Gain of the music at each STEP_S of the whole result, float64 (steps + 1,), to be interpolated linearly.

    It is down from DUCK_BEFORE_S before the original is audible (so that the beginning of a word is not masked) until DUCK_HOLD_S
    after it. The hold and the slow release over DUCK_AFTER_S avoid pumping in short pauses.
    """
    step = round(STEP_S * RATE_HZ)
    active = np.zeros(total // step + 2, bool)
    for original in originals:
        index = round(original.first / step)
        overlap = original.audible[max(0, -index) : max(0, len(active) - index)]
        active[max(0, index) : max(0, index) + len(overlap)] |= overlap
    if not active.any():
        return np.ones(len(active))
    indices, audible = np.arange(len(active)), np.flatnonzero(active)
    following = np.searchsorted(audible, indices)
    until_s = np.where(following < len(audible), audible[np.minimum(following, len(audible) - 1)] - indices, len(active)) * STEP_S
    since_s = np.where(following > 0, indices - audible[np.maximum(following - 1, 0)], len(active)) * STEP_S
    since_s[active] = 0
    down = np.maximum(1 - until_s / DUCK_BEFORE_S, 1 - (since_s - DUCK_HOLD_S) / DUCK_AFTER_S)
    return 10 ** (DUCK_DB / 20 * np.clip(down, 0, 1))


def _apply_gains(mix: Pcm, gains: np.ndarray) -> None:
    """Multiply a mix by gains given at each STEP_S, interpolated."""
    step = round(STEP_S * RATE_HZ)
    for first in range(0, mix.samples, PIECE):
        stop = min(first + PIECE, mix.samples)
        gain = np.interp(np.arange(first, stop) / step, np.arange(len(gains)), gains)
        mix.write(first, mix.read(first, stop) * gain[:, None].astype(np.float32))
