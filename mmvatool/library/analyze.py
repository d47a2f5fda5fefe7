"""All that the index keeps of one music file, in one pass of decoding: VA over time, loudness and tempo; and its tags."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis.curves import LEAST_S, MUSIC_EVERY_S, check_window_s, predict_windows
from mmvatool.library.database import Sound
from mmvatool.library.tags import read_credits
from mmvatool.library.tempo import Tempo
from mmvatool.media import audio
from mmvatool.media.probe import probe_audio
from mmvatool.timeline import Curve

if TYPE_CHECKING:
    from trainer import Predictor


@dataclass(frozen=True)
class TrackFeatures:
    """What was measured of a file, and the model's curve of it as `music_curve` gives it."""

    sound: Sound
    curve: Curve


def analyze_track(path: Path, predictor: "Predictor") -> TrackFeatures:
    """Decode a music file and predict its VA. Of a file with pictures the sound alone counts, from its first sample on.

    Raises:
        MediaError: not readable, without sound, or of less than .1 s of it.
        CheckpointError: the model has no music tower.
    """
    info = probe_audio(path)
    length_s, rate_hz = check_window_s(predictor, None), predictor.sample_rate_hz
    assert rate_hz is not None
    loudness, tempo = audio.Loudness(), Tempo(rate_hz)
    times: list[float] = []

    def windows() -> Iterator[np.ndarray]:
        for centre_s, window in audio.read_steps(info, MUSIC_EVERY_S, length_s, rate_hz, least_s=LEAST_S, loudness=loudness):
            tempo.add(window)
            times.append(centre_s)
            yield window

    va = predict_windows(windows(), predictor)
    # The length of what was decoded, from the centre of the last step: headers may be wrong.
    duration_s = 2 * times[-1] - (len(times) - 1) * MUSIC_EVERY_S
    credits = read_credits(info.tags)
    sound = Sound(duration_s, credits.title, credits.artist, credits.licence, loudness.lufs, tempo.bpm)
    return TrackFeatures(sound, Curve(np.array(times), va))
