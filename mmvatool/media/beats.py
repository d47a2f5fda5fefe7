"""The beats of music, through librosa: an optional library, imported when it is needed (it takes seconds)."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmvatool.errors import SettingsError
from mmvatool.media import audio
from mmvatool.media.probe import MediaInfo, SoundInfo, probe_media
from mmvatool.timeline import Segment

RATE_HZ = 22_050  # what librosa's settings are made for
PIECE_S = 120.0  # heard at once; needs some 300 MB
LEAD_S = 8.0  # of sound on both sides of what is asked for: the first and the last beats are found by their neighbours
LEAST_S = 2.0  # of sound: in less there is no beat to be told
LEAST_GAP_S = 0.15  # between two beats: 400 BPM
# Librosa finds clicks so much after they sound, from 75 to 170 BPM alike.
LATE_S = 0.02


def check_installed() -> None:
    """SettingsError unless librosa can be imported."""
    if importlib.util.find_spec("librosa") is None:
        raise SettingsError('--beats needs librosa: pip install "mmvatool[beats]"')


def beats(path: Path, from_s: float, to_s: float) -> np.ndarray:
    """When the beats of a stretch of music fall (Ellis 2007, by librosa).

    Long stretches are heard in pieces of PIECE_S, each of which may have a tempo of its own.

    Args:
        path: an audio file, or a video with sound.
        from_s: start of the stretch, in the time of the file.
        to_s: its end; what lies behind the end of the file has no beats.

    Returns:
        float64 (N,), rising, within [from_s, to_s), in the time of the file. None of silence.

    Raises:
        SettingsError: librosa is not installed.
        MediaError: the file cannot be heard, or has less than LEAST_S of sound.
        ValueError: a stretch that ends where it starts or before.
    """
    if not from_s < to_s:
        raise ValueError(f"stretch [{from_s}, {to_s}): the end must come after the start")
    check_installed()
    from librosa.beat import beat_track  # here: librosa is optional

    found: list[float] = []
    for start_s, part, sound in _pieces(probe_media(path), from_s, to_s):
        if len(sound) < LEAST_S * RATE_HZ or not sound.any():
            continue
        _, times_s = beat_track(y=sound, sr=RATE_HZ, units="time")
        for time_s in (start_s + times_s - LATE_S).tolist():
            # One on the edge of two pieces is found a little sooner or later by each: by both, so that it is not lost.
            own = abs(time_s - (part.start_s + part.end_s) / 2) <= (part.length_s + LEAST_GAP_S) / 2
            if own and not (found and time_s < found[-1] + LEAST_GAP_S):
                found.append(time_s)
    times = np.array(found, np.float64)
    return times[(times >= from_s) & (times < to_s)]


def _pieces(info: SoundInfo | MediaInfo, from_s: float, to_s: float) -> Iterator[tuple[float, Segment, np.ndarray]]:
    """A stretch in pieces: each as where its samples begin, what they are asked for, and float32 (n,) with LEAD_S more on both sides."""
    if isinstance(info, MediaInfo):
        starts_s = np.arange(from_s, min(to_s, info.end_s), PIECE_S).tolist()
        parts = [Segment(start_s, min(start_s + PIECE_S, to_s, info.end_s)) for start_s in starts_s]
        wider = [Segment(max(0.0, part.start_s - LEAD_S), part.end_s + LEAD_S) for part in parts]
        for part, around, sound in zip(parts, wider, audio.read_windows(info, wider, RATE_HZ), strict=True):
            yield around.start_s, part, sound
        return
    window_s = 1.5 * PIECE_S + 2 * LEAD_S  # the last step is up to half as long again
    for step, (centre_s, sound) in enumerate(audio.read_steps(info, PIECE_S, window_s, RATE_HZ, least_s=LEAST_S)):
        start_s, end_s = max(from_s, step * PIECE_S), min(to_s, 2 * centre_s - step * PIECE_S)
        if start_s < end_s:
            window_start = max(0, round(centre_s * RATE_HZ) - int(window_s * RATE_HZ / 2))
            first = max(0, int((start_s - LEAD_S) * RATE_HZ) - window_start)
            stop = max(0, int((end_s + LEAD_S) * RATE_HZ) - window_start)
            yield (window_start + first) / RATE_HZ, Segment(start_s, end_s), sound[first:stop]
        if end_s >= to_s:
            return
