"""Audio of a media file, decoded in one pass, sample-exact on the container's clock."""

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import sound
from mmvatool.media.probe import AudioStream, MediaInfo, SoundInfo
from mmvatool.media.sound import Heard
from mmvatool.timeline import Segment

BLOCK_SAMPLES = 1 << 16
SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: nothing at or below it counts
RELATIVE_GATE_LU = 10.0
SAID_S = 0.5  # of sound beyond the picture; less is usual


@dataclass
class Loudness:
    """The integrated loudness of an audio stream, set once it is read to its end: LUFS by ITU-R BS.1770, None for silence and under .4 s."""

    lufs: float | None = None


class SilentError(MediaError):
    """There is an audio stream, of which nothing can be decoded."""


def read_windows(info: MediaInfo, windows: list[Segment], rate_hz: int) -> Iterator[np.ndarray]:
    """Mono audio of windows of the timeline, silence where there is none.

    Args:
        info: a file with an audio stream.
        windows: sorted by start; they may overlap.
        rate_hz: sample rate to resample to.

    Yields:
        float32 (round(length_s * rate_hz),) in [-1, 1] for each window, in order.

    Raises:
        MediaError: the file has no audio, or it cannot be decoded.
    """
    bounds = []
    for window in windows:
        start = round(window.start_s * rate_hz)
        bounds.append((start, start + round(window.length_s * rate_hz)))
    for samples in cut_samples(info, bounds, rate_hz, channels=1):
        yield samples[:, 0].astype(np.float32) / 32768


def cut_samples(
    info: MediaInfo,
    bounds: list[tuple[int, int]],
    rate_hz: int,
    channels: int,
    *,
    layout: str | None = None,
    dtype: str = "<i2",
    heard: Heard | None = None,
) -> Iterator[np.ndarray]:
    """Samples of segments of the timeline, decoded in one pass; outside of the stream there is silence.

    Sample 0 is time 0 of the container: a late start or a gap of the audio stream is filled with silence.

    Args:
        info: a file with an audio stream.
        bounds: (first, stop) sample of each segment, sorted by first.
        rate_hz: sample rate to resample to.
        channels: number of channels to mix to.
        layout: of the channels, by ffmpeg's name; by default the stream's own or, where that has another number of channels, the usual one.
        dtype: "<i2", or "<f4", in which nothing clips.
        heard: receives what was met while decoding.

    Yields:
        (samples, channels) for each segment, in order.

    Raises:
        MediaError: the file has no audio.
        SilentError: not a sample of it can be decoded.
    """
    stream = require(info)
    heard = heard or Heard()
    read = sound.read(info.path, stream.index, rate_hz, layout or layout_of(stream, channels), heard, dtype=dtype, origin_s=info.origin_s)
    with closing(read), closing(_blocks(read)) as blocks:
        buffer = np.empty((0, channels), dtype)  # decoded samples that a segment may still need
        buffer_start = 0
        for first, stop in bounds:
            while buffer_start + len(buffer) < stop and (block := next(blocks, None)) is not None:
                drop = min(max(0, first - buffer_start), len(buffer))
                buffer, buffer_start = np.concatenate([buffer[drop:], block]), buffer_start + drop
            if not heard.samples:
                raise SilentError(
                    info.path, f"its sound ({stream.codec}) cannot be decoded ({heard.error or 'no packets'}): use --by image"
                )
            segment = np.zeros((stop - first, channels), dtype)
            overlap = buffer[max(0, first - buffer_start) : max(0, stop - buffer_start)]
            offset = max(0, buffer_start - first)
            segment[offset : offset + len(overlap)] = overlap
            yield segment


def layout_of(stream: AudioStream, channels: int) -> str:
    """The layout of so many channels of a stream, by ffmpeg's name."""
    if channels in (1, 2):
        return ("mono", "stereo")[channels - 1]
    return stream.layout if stream.layout and channels == stream.channels else f"{channels} channels"


def _blocks(pieces: Iterable[np.ndarray]) -> Generator[np.ndarray]:
    """Pieces joined to blocks of at least BLOCK_SAMPLES; the last may be shorter."""
    held: list[np.ndarray] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= BLOCK_SAMPLES:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def read_steps(
    info: SoundInfo, every_s: float, window_s: float, rate_hz: int, *, least_s: float, loudness: Loudness | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Mono audio of a file in windows around the centres of steps, to the end of what can be decoded.

    Neither the stated length nor timestamps count, so that recordings joined byte by byte are read in full. A remainder under half a step
    belongs to the last step.

    Args:
        info: an audio file.
        every_s: length of a step.
        window_s: length of a window; those at the start and the end are truncated.
        rate_hz: sample rate to resample to.
        least_s: no window is shorter.
        loudness: receives the loudness of all channels as they are in the file, measured in the same pass.

    Yields:
        The centre of a step in seconds, and float32 (n,) in [-1, 1].

    Raises:
        MediaError: less than `least_s` of audio.
        SilentError: not a sample of it can be decoded.
    """
    every, half, least = every_s * rate_hz, int(window_s * rate_hz / 2), math.ceil(least_s * rate_hz)
    heard = Heard(levels=[] if loudness else None)
    read = sound.read(info.path, info.audio.index, rate_hz, "mono", heard)
    with closing(read), closing(_blocks(read)) as decoded:
        buffer, buffer_start, ended, step = np.empty(0, np.int16), 0, False, 0
        while True:
            # A step is complete once half of the next one is decoded: a shorter remainder would belong to it.
            needed = max(int((step + 0.5) * every) + half, math.ceil((step + 1.5) * every))
            blocks = [buffer]
            stop = buffer_start + len(buffer)
            while not ended and stop < needed:
                block = next(decoded, None)
                ended = block is None
                if block is not None:
                    blocks.append(block[:, 0])
                    stop += len(block)
            buffer = np.concatenate(blocks)
            if ended and stop < least:
                if not stop:
                    problem = f"its sound cannot be decoded ({heard.error})" if heard.error else "holds not a sample of sound"
                    raise SilentError(info.path, f"{problem}: get it again")
                raise MediaError(info.path, f"has {stop / rate_hz:.3f} s of sound: at least {least_s:g} s are needed")
            last = stop < (step + 1.5) * every
            centre = (step * every + (stop if last else (step + 1) * every)) / 2
            # Windows of earlier steps may reach beyond the end as well.
            first, end = max(0, round(centre) - half), min(stop, round(centre) + half)
            first = max(0, min(first, end - least))
            end = max(end, first + least)
            yield centre / rate_hz, buffer[first - buffer_start : end - buffer_start].astype(np.float32) / 32768
            if last and loudness:
                loudness.lufs = gated(np.array(heard.levels))
            if last:
                return
            step += 1
            # A short last step has its centre up to a quarter of a step earlier.
            drop = min(max(0, int((step + 0.25) * every) - half - least - buffer_start), len(buffer))
            buffer, buffer_start = buffer[drop:], buffer_start + drop


def gated(levels: np.ndarray) -> float | None:
    """The integrated loudness of blocks of 400 ms by BS.1770's two gates, all in LUFS; None if none is above the absolute one."""
    loud = levels[levels > SILENCE_LUFS]
    if not len(loud):
        return None
    return _mean(loud[loud > _mean(loud) - RELATIVE_GATE_LU])


def _mean(levels: np.ndarray) -> float:
    """The level of the mean power of levels in dB."""
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def notes(info: MediaInfo, *, whole: bool = True) -> list[str]:
    """What should be said of the sound of a video, a sentence each; `whole`: its end counts."""
    said = []
    if info.audio and info.audio.instead_of:
        said.append(f"its first sound ({info.audio.instead_of}) cannot be decoded: another track is used ({info.audio.codec})")
    longer_s = (info.sound_end_s or 0.0) - info.end_s
    if whole and longer_s > SAID_S and not info.restarts:
        said.append(f"its sound is {longer_s:.1f} s longer than its picture: the rest is left out")
    return said


def require(info: MediaInfo) -> AudioStream:
    """The audio stream of a video.

    Raises:
        MediaError: it has none.
        SilentError: it cannot be decoded.
    """
    if info.audio is None:
        raise MediaError(info.path, "has no sound: use --by image")
    if not info.audio.decodable:
        raise SilentError(info.path, f"its sound ({info.audio.codec}) cannot be decoded: use --by image")
    return info.audio
