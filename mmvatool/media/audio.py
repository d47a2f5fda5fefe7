"""Audio of a media file, decoded by ffmpeg in one pass, sample-exact on the container's clock."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from mmvatool.media.probe import AudioStream, MediaInfo, SoundInfo
from mmvatool.timeline import Segment

BLOCK_SAMPLES = 1 << 16
# How far audio may drift from its timestamps before it is padded with silence or trimmed: below the 40 ms of lip sync, above the jitter
# of coarse container clocks.
MAX_SLIP_S = 0.030
SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: nothing at or below it counts


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


def cut_samples(info: MediaInfo, bounds: list[tuple[int, int]], rate_hz: int, channels: int) -> Iterator[np.ndarray]:
    """Samples of segments of the timeline, decoded in one pass; outside of the stream there is silence.

    Sample 0 is time 0 of the container: a late start or a gap of the audio stream is filled with silence.

    Args:
        info: a file with an audio stream.
        bounds: (first, stop) sample of each segment, sorted by first.
        rate_hz: sample rate to resample to.
        channels: number of channels to mix to.

    Yields:
        int16 (samples, channels) for each segment, in order.

    Raises:
        MediaError: the file has no audio.
        SilentError: not a sample of it can be decoded.
    """
    stream = _require_audio(info)
    # first_pts counts in samples of the source's rate, not of the one asked for.
    # min_hard_comp: by default swresample tolerates a gap of up to 0.1 s before it fills it.
    clock = {"async": 1, "first_pts": round(info.origin_s * stream.rate_hz), "min_hard_comp": MAX_SLIP_S}
    node = remix(ffmpeg.source(info.path)[str(stream.index)], stream, channels).filter("aresample", rate_hz, **clock)
    node = node.output("pipe:", format="s16le", acodec="pcm_s16le", ac=channels, ar=rate_hz)
    with ffmpeg.stream(node, info.path) as reader:
        buffer = np.empty((0, channels), np.int16)  # decoded samples that a segment may still need
        buffer_start = 0
        ended = False
        for first, stop in bounds:
            while not ended and buffer_start + len(buffer) < stop:
                data = reader.read(BLOCK_SAMPLES * channels * 2)
                ended = len(data) < BLOCK_SAMPLES * channels * 2
                if ended:
                    reader.finish()
                block = np.frombuffer(data[: len(data) // (channels * 2) * channels * 2], "<i2").reshape(-1, channels)
                drop = min(max(0, first - buffer_start), len(buffer))
                buffer, buffer_start = np.concatenate([buffer[drop:], block]), buffer_start + drop
            if ended and buffer_start + len(buffer) == 0:
                raise SilentError(info.path, f"its sound cannot be decoded ({ffmpeg.last_error(reader.errors())}): use --by image")
            segment = np.zeros((stop - first, channels), np.int16)
            overlap = buffer[max(0, first - buffer_start) : max(0, stop - buffer_start)]
            offset = max(0, buffer_start - first)
            segment[offset : offset + len(overlap)] = overlap
            yield segment


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
    node = ffmpeg.source(info.path)[str(info.audio.index)]
    if loudness:
        node = node.filter("ebur128", framelog="quiet")
    node = remix(node, info.audio, 1).filter("aresample", rate_hz)
    node = node.output("pipe:", format="s16le", acodec="pcm_s16le", ac=1, ar=rate_hz)
    with ffmpeg.stream(node, info.path, log="info" if loudness else "error") as reader:
        buffer, buffer_start, ended, step = np.empty(0, np.int16), 0, False, 0
        while True:
            # A step is complete once half of the next one is decoded: a shorter remainder would belong to it.
            needed = max(int((step + 0.5) * every) + half, math.ceil((step + 1.5) * every))
            blocks = [buffer]
            stop = buffer_start + len(buffer)
            while not ended and stop < needed:
                data = reader.read(BLOCK_SAMPLES * 2)
                ended = len(data) < BLOCK_SAMPLES * 2
                if ended:
                    reader.finish()
                blocks.append(np.frombuffer(data[: len(data) // 2 * 2], "<i2"))
                stop += len(blocks[-1])
            buffer = np.concatenate(blocks)
            if ended and stop < least:
                if not stop:
                    errors = reader.errors()
                    problem = (
                        f"its sound cannot be decoded ({ffmpeg.last_error(errors)})" if errors.strip() else "holds not a sample of sound"
                    )
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
                loudness.lufs = _parse_loudness(reader.stderr())
            if last:
                return
            step += 1
            # A short last step has its centre up to a quarter of a step earlier.
            drop = min(max(0, int((step + 0.25) * every) - half - least - buffer_start), len(buffer))
            buffer, buffer_start = buffer[drop:], buffer_start + drop


def _parse_loudness(stderr: str) -> float | None:
    """The integrated loudness that ebur128 prints at the end; the loudest where a file of joined recordings has several."""
    values = [float(value) for value in re.findall(r"^    I: +(-?\d+\.\d+) LUFS", stderr, re.MULTILINE)]
    return max((value for value in values if value > SILENCE_LUFS), default=None)


def remix(node: Any, stream: AudioStream, channels: int) -> Any:
    """Remix to a number of channels; of an unknown layout, which ffmpeg cannot remix, the mean of all where one or two are asked for."""
    if channels in (1, 2) and channels != stream.channels and stream.layout is None:
        # "<" divides by the sum of the parts.
        mean = "<" + "+".join(f"c{channel}" for channel in range(stream.channels))
        return node.filter("pan", "|".join(["mono" if channels == 1 else "stereo", *(f"c{channel}{mean}" for channel in range(channels))]))
    return node


def _require_audio(info: MediaInfo) -> AudioStream:
    if info.audio is None:
        raise MediaError(info.path, "has no sound: use --by image")
    if not info.audio.decodable:
        raise SilentError(info.path, f"its sound ({info.audio.codec}) cannot be decoded: use --by image")
    return info.audio
