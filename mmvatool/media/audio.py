"""Sound of a media file through ffmpeg: one pass, sample-exact on the container's clock."""

from collections.abc import Iterator

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from mmvatool.media.probe import AudioStream, MediaInfo
from mmvatool.timeline import Segment

BLOCK_SAMPLES = 1 << 16


def read_windows(info: MediaInfo, windows: list[Segment], rate_hz: int) -> Iterator[np.ndarray]:
    """Mono sound of windows of the timeline, silence where there is none.

    Args:
        info: a file with an audio stream.
        windows: sorted by start; they may overlap.
        rate_hz: sample rate to resample to.

    Yields:
        float32 (round(length_s * rate_hz),) in [-1, 1] for each window, in order.

    Raises:
        MediaError: the file has no sound, or it cannot be decoded.
    """
    bounds = []
    for window in windows:
        start = round(window.start_s * rate_hz)
        bounds.append((start, start + round(window.length_s * rate_hz)))
    for samples in cut_samples(info, bounds, rate_hz, channels=1):
        yield samples[:, 0].astype(np.float32) / 32768


def cut_samples(info: MediaInfo, bounds: list[tuple[int, int]], rate_hz: int, channels: int) -> Iterator[np.ndarray]:
    """Samples of stretches of the timeline, decoded in one pass; what lies outside the sound is silence.

    Sample 0 is time 0 of the container: a late start or a gap of the audio stream is filled with silence.

    Args:
        info: a file with an audio stream.
        bounds: (first sample, past the last) of each stretch, sorted by first.
        rate_hz: sample rate to resample to.
        channels: number of channels to mix to.

    Yields:
        int16 (samples, channels) for each stretch, in order.

    Raises:
        MediaError: the file has no sound, or it cannot be decoded.
    """
    stream = _audio(info)
    # first_pts counts in samples of the source's rate, not of the one asked for.
    clock = {"async": 1, "first_pts": round(info.origin_s * stream.rate_hz)}
    node = ffmpeg.source(info.path)[str(stream.index)].filter("aresample", rate_hz, **clock)
    node = node.output("pipe:", format="s16le", acodec="pcm_s16le", ac=channels, ar=rate_hz)
    with ffmpeg.stream(node, info.path) as reader:
        held = np.empty((0, channels), np.int16)  # decoded samples that a stretch may still want
        held_from = 0
        ended = False
        for first, past in bounds:
            while not ended and held_from + len(held) < past:
                data = reader.read(BLOCK_SAMPLES * channels * 2)
                ended = len(data) < BLOCK_SAMPLES * channels * 2
                block = np.frombuffer(data[: len(data) // (channels * 2) * channels * 2], "<i2").reshape(-1, channels)
                drop = min(max(0, first - held_from), len(held))
                held, held_from = np.concatenate([held[drop:], block]), held_from + drop
            if ended and held_from + len(held) == 0:
                raise MediaError(info.path, f"its sound cannot be decoded ({ffmpeg.last_words(reader.errors())}): use --by image")
            stretch = np.zeros((past - first, channels), np.int16)
            there = held[max(0, first - held_from) : max(0, past - held_from)]
            offset = max(0, held_from - first)
            stretch[offset : offset + len(there)] = there
            yield stretch


def _audio(info: MediaInfo) -> AudioStream:
    if info.audio is None:
        raise MediaError(info.path, "has no sound: use --by image")
    return info.audio
