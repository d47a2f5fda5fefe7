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
PIECE_S = 120.0  # analyzed at once; needs some 300 MB
LEAD_S = 8.0  # of audio on both sides of a piece: the tracker needs the neighbours of the first and the last beat
LEAST_S = 2.0  # of audio: less has no detectable beat
LEAST_GAP_S = 0.15  # between two beats: 400 BPM
# Librosa reports clicks this much late, from 75 to 170 BPM alike.
LATE_S = 0.02


def check_installed() -> None:
    """SettingsError unless librosa can be imported."""
    if importlib.util.find_spec("librosa") is None:
        raise SettingsError('--beats needs librosa: pip install "mmvatool[beats]"')


def beats(path: Path, from_s: float, to_s: float) -> np.ndarray:
    """The times of the beats in a segment of music (Ellis 2007, by librosa).

    Long segments are analyzed in pieces of PIECE_S, each with a tempo of its own.

    Args:
        path: an audio file, or a video with audio.
        from_s: start of the segment, in the time of the file.
        to_s: its end; behind the end of the file there are no beats.

    Returns:
        float64 (N,), rising, within [from_s, to_s), in the time of the file. None of silence.

    Raises:
        SettingsError: librosa is not installed.
        MediaError: the file cannot be decoded, or has less than LEAST_S of audio.
        ValueError: the segment does not end after its start.
    """
    if not from_s < to_s:
        raise ValueError(f"segment [{from_s}, {to_s}): the end must come after the start")
    check_installed()
    from librosa.beat import beat_track  # here: librosa is optional

    beats_s: list[float] = []
    for start_s, part, sound in _pieces(probe_media(path), from_s, to_s):
        if len(sound) < LEAST_S * RATE_HZ or not sound.any():
            continue
        _, times_s = beat_track(y=sound, sr=RATE_HZ, units="time")
        for time_s in (start_s + times_s - LATE_S).tolist():
            # A beat on the edge of two pieces is detected slightly earlier or later in each. Both accept it, so that it is not lost.
            own = abs(time_s - (part.start_s + part.end_s) / 2) <= (part.length_s + LEAST_GAP_S) / 2
            if own and not (beats_s and time_s < beats_s[-1] + LEAST_GAP_S):
                beats_s.append(time_s)
    times = np.array(beats_s, np.float64)
    return times[(times >= from_s) & (times < to_s)]


def _pieces(info: SoundInfo | MediaInfo, from_s: float, to_s: float) -> Iterator[tuple[float, Segment, np.ndarray]]:
    """A segment in pieces: the start of the samples in seconds, the piece, and float32 (n,) with LEAD_S more on both sides."""
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
