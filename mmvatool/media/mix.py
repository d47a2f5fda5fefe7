"""The music of the cues, faded, crossfaded and looped, with the original sound over it where that is kept."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError, OutputError
from mmvatool.files import workspace
from mmvatool.media import audio, ffmpeg, headers, loop, loudness, master
from mmvatool.media.pcm import CHANNELS, PIECE, RATE_HZ, Pcm
from mmvatool.media.probe import MediaInfo, audio_stream
from mmvatool.timeline import Cue, Segment

FADE_IN_S = 0.5
FADE_OUT_S = 2.0
# A cue may ask for so much more than there is of its track, and still ends with the track: it is not looped for a breath.
BREATH_S = 1.0
# Of a track that ffmpeg complains of, so much may be missing of the length it states.
LOST_S = 0.5
ORIGINAL_FADE_S = 0.010
MOST_ORIGINAL_GAIN_DB = 12.0  # more would raise the hiss of a quiet room to the loudness of speech
NOTED_LU = 0.5  # what is missing of the loudness asked for, to be told
DUCK_DB = -12.0
STEP_S = 0.050  # in which the level of the original is looked at
SOUNDING_DBFS = -45.0
SOUNDING_LU = -18.0  # or so far below its own loudness
DUCK_BEFORE_S, DUCK_HOLD_S, DUCK_AFTER_S = 0.2, 0.5, 0.8


@dataclass(frozen=True)
class Mixed:
    """What was written: loudness and true peak as decoded, None for silence, and what was done otherwise than asked."""

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
) -> Mixed:
    """Write the music of a timeline as an encoded sound file: stereo, 48 kHz, to be muxed by copying.

    Args:
        cues: the music. What lies outside of all cues is silence (or the original alone).
        length_s: length of the sound.
        target: where to; an existing file is replaced.
        under: original sound that the music is mixed under and ducked by: where in the result, the video, which stretch of it.
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
            for number, (cue, fade_in_s, fade_out_s) in enumerate(_faded(cues, length_s), 1):
                _lay(cue, fade_in_s, fade_out_s, mix, folder, lufs)
                on_progress(0.3 * number / len(cues))
            originals = [original for start_s, info, stretch in under if (original := _hear(start_s, info, stretch, lufs, warnings))]
            if originals:
                _scale(mix, _ducked(originals, total))
            for original in originals:
                mix.add(original.first, original.pieces())
            on_progress(0.4)
            encoded = folder / "encoded"
            got_lufs, peak = master.encode(mix, lufs, codec, encoded, target, lambda part: on_progress(0.4 + 0.5 * part))
            encoded.replace(target)
        except OSError as error:
            raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
    if got_lufs is not None and got_lufs < lufs - NOTED_LU:
        warnings.append(f"its loudness is {got_lufs:.1f} LUFS, not {lufs:.1f}: more would crush its peaks")
    on_progress(1.0)
    return Mixed(got_lufs, peak, tuple(warnings))


def _faded(cues: Iterable[Cue], length_s: float) -> Iterator[tuple[Cue, float, float]]:
    """Cues in order of time with the lengths of their fades: the overlap with a neighbour, else the usual ones."""
    order = sorted((cue for cue in cues if cue.start_s < min(cue.end_s, length_s)), key=lambda cue: cue.start_s)
    for place, cue in enumerate(order):
        end_s = min(cue.end_s, length_s)
        sooner = min(order[place - 1].end_s, end_s) - cue.start_s if place else 0.0
        later = end_s - order[place + 1].start_s if place + 1 < len(order) else 0.0
        fade_in_s = sooner if sooner > 0 else min(FADE_IN_S, (end_s - cue.start_s) / 4)
        fade_out_s = later if later > 0 else min(FADE_OUT_S, (end_s - cue.start_s) / 2)
        yield cue, fade_in_s, fade_out_s


def _lay(cue: Cue, fade_in_s: float, fade_out_s: float, mix: Pcm, folder: Path, lufs: float) -> None:
    """Mix one cue in, at the loudness of the result, so that no track drowns another."""
    first, past = round(cue.start_s * RATE_HZ), min(round(cue.end_s * RATE_HZ), mix.samples)
    count = past - first
    skipped = round(cue.offset_s * RATE_HZ)
    track = _decode(cue.path, folder / "track.f32", skipped, skipped + count)
    jump = None
    if track.samples >= count - min(BREATH_S * RATE_HZ, count / 10):
        skipped = 0
    else:
        track = _decode(cue.path, folder / "track.f32", 0, skipped + count)
        jump = loop.find(track)
    level = loudness.integrated(loop.play(track, jump, skipped, count), RATE_HZ)
    # Silence has no loudness to bring anywhere.
    gain = 1.0 if level is None else 10 ** ((lufs - level) / 20)
    rise, fall = max(1.0, fade_in_s * RATE_HZ), max(1.0, fade_out_s * RATE_HZ)

    def faded() -> Iterator[np.ndarray]:
        place = 0
        for piece in loop.play(track, jump, skipped, count):
            at = np.arange(place, place + len(piece)) + 0.5
            # Equal power: two of them that cross sum to an even loudness.
            shape = np.sin(np.pi / 2 * np.clip(at / rise, 0, 1)) * np.sin(np.pi / 2 * np.clip((count - at) / fall, 0, 1))
            yield piece * (gain * shape)[:, None].astype(np.float32)
            place += len(piece)

    mix.add(first, faded())
    track.path.unlink()


def _decode(path: Path, into: Path, first: int, past: int) -> Pcm:
    """Samples [first, past) of a track, or those that there are of them.

    Raises:
        MediaError: it cannot be decoded, or parts of it cannot.
    """
    said = headers.read(path, "a sound file")
    if not said.heard:
        raise MediaError(path, "has no sound: choose another track")
    heard = audio_stream(said.heard)
    # Counted by samples, as everything else that hears tracks does: timestamps of recordings joined byte by byte start anew.
    node = audio.mixed(ffmpeg.source(path)[str(heard.index)], heard, CHANNELS).filter("aresample", RATE_HZ)
    got, complaints = _pour(node.filter("atrim", start_sample=first, end_sample=past), path, into)
    # Where something is broken, how much is missing shows at the end only.
    if complaints.strip():
        whole, complaints = _pour(node, path, None)
        stated_s = said.stated_s or 0.0
        if not whole or whole / RATE_HZ < stated_s - LOST_S:
            problem = f"is damaged: {whole / RATE_HZ:.1f} s of its {stated_s:.1f} s can be decoded ({ffmpeg.last_words(complaints)})"
            raise MediaError(path, f"{problem}: get it again or choose another track")
    elif not got and not first:
        raise MediaError(path, "holds not a sample of sound: choose another track")
    return Pcm(into, got)


def _pour(node: object, path: Path, into: Path | None) -> tuple[int, str]:
    """Decode into a raw file, or to count only: the number of samples, and what ffmpeg complained of."""
    node = node.output("pipe:", format="f32le", acodec="pcm_f32le", ac=CHANNELS, ar=RATE_HZ)  # type: ignore[attr-defined]
    size = 0
    with ffmpeg.stream(node, path) as reader, (into or Path(os.devnull)).open("wb") as file:
        while data := reader.read(PIECE * 4 * CHANNELS):
            file.write(data)
            size += len(data)
        reader.finish()
        return size // (4 * CHANNELS), reader.errors()


@dataclass(frozen=True)
class _Original:
    """Original sound: samples [first, past) of the result, the video and where in it, the gain, and the steps in which it sounds."""

    first: int
    past: int
    info: MediaInfo
    start_s: float
    gain: float
    sounding: np.ndarray

    def pieces(self) -> Iterator[np.ndarray]:
        """Its sound as it goes into the mix."""
        yield from _original(self.info, self.start_s, self.past - self.first, self.gain)


def _hear(start_s: float, info: MediaInfo, stretch: Segment, lufs: float, warnings: list[str]) -> _Original | None:
    """Listen to original sound: how loud it is, and where it is to be heard over the music."""
    if info.audio is None:
        warnings.append(f"{info.path.name} has no sound: the music is not ducked there")
        return None
    first, count = round(start_s * RATE_HZ), round(stretch.length_s * RATE_HZ)
    step = round(STEP_S * RATE_HZ)
    powers: list[np.ndarray] = []

    def heard() -> Iterator[np.ndarray]:
        for piece in _original(info, stretch.start_s, count, 1.0):
            squares = (piece.astype(np.float64) ** 2).mean(axis=1)
            powers.append(np.add.reduceat(squares, np.arange(0, len(squares), step)) / step)
            yield piece

    try:
        level = loudness.integrated(heard(), RATE_HZ)
    except audio.SilentError:
        warnings.append(f"the sound of {info.path.name} cannot be decoded: the music is not ducked there")
        return None
    gain_db = 0.0 if level is None else min(lufs - level, MOST_ORIGINAL_GAIN_DB)
    levels = 10 * np.log10(np.concatenate(powers) + 1e-12) + gain_db
    least = max(SOUNDING_DBFS, -np.inf if level is None else level + gain_db + SOUNDING_LU)
    return _Original(first, first + count, info, stretch.start_s, 10 ** (gain_db / 20), levels > least)


def _original(info: MediaInfo, start_s: float, count: int, gain: float) -> Iterator[np.ndarray]:
    """Sound of a video from a time on as float32 (n, 2), in pieces of whole steps, with short fades at its ends."""
    start, size = round(start_s * RATE_HZ), round(5 * RATE_HZ)
    bounds = [(start + done, start + min(done + size, count)) for done in range(0, count, size)]
    fade = min(ORIGINAL_FADE_S * RATE_HZ, count / 2)
    done = 0
    for samples in audio.cut_samples(info, bounds, RATE_HZ, CHANNELS):
        at = np.arange(done, done + len(samples)) + 0.5
        shape = gain / 32768 * np.clip(np.minimum(at, count - at) / fade, 0, 1)
        yield samples * shape[:, None].astype(np.float32)
        done += len(samples)


def _ducked(originals: list[_Original], total: int) -> np.ndarray:
    """Gain of the music in steps of STEP_S over the whole result, float64 (steps + 1,), to be drawn as straight lines.

    It is down from DUCK_BEFORE_S before the original sounds (so that a word's beginning is not covered) until DUCK_HOLD_S
    after it; pauses shorter than both together and the way back up are not heard as pumping.
    """
    step = round(STEP_S * RATE_HZ)
    active = np.zeros(total // step + 2, bool)
    for original in originals:
        place = round(original.first / step)
        there = original.sounding[max(0, -place) : max(0, len(active) - place)]
        active[max(0, place) : max(0, place) + len(there)] |= there
    if not active.any():
        return np.ones(len(active))
    places, sounding = np.arange(len(active)), np.flatnonzero(active)
    following = np.searchsorted(sounding, places)
    until_s = np.where(following < len(sounding), sounding[np.minimum(following, len(sounding) - 1)] - places, len(active)) * STEP_S
    since_s = np.where(following > 0, places - sounding[np.maximum(following - 1, 0)], len(active)) * STEP_S
    since_s[active] = 0
    down = np.maximum(1 - until_s / DUCK_BEFORE_S, 1 - (since_s - DUCK_HOLD_S) / DUCK_AFTER_S)
    return 10 ** (DUCK_DB / 20 * np.clip(down, 0, 1))


def _scale(mix: Pcm, gains: np.ndarray) -> None:
    """Multiply a mix by gains given at each STEP_S."""
    step = round(STEP_S * RATE_HZ)
    for first in range(0, mix.samples, PIECE):
        past = min(first + PIECE, mix.samples)
        gain = np.interp(np.arange(first, past) / step, np.arange(len(gains)), gains)
        mix.write(first, mix.read(first, past) * gain[:, None].astype(np.float32))
