"""Curves of VA over time: of a video's images, of its audio, and of audio files. In batches, in bounded memory."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis.prefetch import prefetch
from mmvatool.analysis.slots import slots
from mmvatool.errors import MediaError, SettingsError
from mmvatool.media import audio
from mmvatool.media.probe import MediaInfo, SoundInfo, probe_media
from mmvatool.media.sampling import Sampler, pick
from mmvatool.progress import Progress, no_progress
from mmvatool.timeline import Curve, Segment

if TYPE_CHECKING:
    from trainer import Predictor

IMAGE_EVERY_S = 2.0
MUSIC_EVERY_S = 10.0
WINDOW_S = 10.0
BATCHES_AHEAD = 2  # decoded while one is predicted
LEAST_S = 0.1  # the shortest sound that a model takes, and the shortest step


def music_curve(
    source: Path | str | SoundInfo | MediaInfo,
    predictor: "Predictor",
    *,
    every_s: float = MUSIC_EVERY_S,
    window_s: float | None = None,
    progress: Progress = no_progress,
) -> Curve:
    """VA of audio over time.

    The sound is divided into steps of `every_s`, a remainder under half a step going to the last one, and a window of
    `window_s` around the centre of each is scored; a window ends where the sound does. Of a video the steps are those of its
    images, so that both curves have the same times; where it has no sound there is silence.

    Args:
        source: an audio file or a video, by its path or as probed.
        predictor: with a music tower.
        every_s: seconds from window to window, at least .1.
        window_s: length of the windows in seconds, at least .1; None for 10, or the model's greatest if that is less.
        progress: is given how many windows are scored.

    Returns:
        The curve: `times_s` (N,) are the centres of the steps, `va` (N, 2).

    Raises:
        MediaError: not readable, without sound, or of less than .1 s of it.
        SettingsError: a step or a window out of range.
        CheckpointError: the model has no music tower.
    """
    window_s = check_window_s(predictor, window_s)
    check_step(every_s)
    info = probe_media(Path(source)) if isinstance(source, Path | str) else source
    if isinstance(info, MediaInfo):
        times_s = slots(info.start_s, info.end_s, every_s).centres_s
        return Curve(times_s, np.concatenate([*predict_audio(info, times_s, predictor, window_s=window_s, progress=progress)]))
    (curve,) = music_curves([info], predictor, every_s=every_s, window_s=window_s, progress=progress)
    if isinstance(curve, MediaError):
        raise curve
    return curve


def music_curves(
    infos: Sequence[SoundInfo],
    predictor: "Predictor",
    *,
    every_s: float = MUSIC_EVERY_S,
    window_s: float | None = None,
    progress: Progress = no_progress,
) -> list[Curve | MediaError]:
    """VA of the sound of many audio files over time, as `music_curve` gives it: batches go across files.

    Returns:
        For each file its curve, or the error.

    Raises:
        SettingsError: a step or a window out of range.
        CheckpointError: the model has no music tower.
    """
    length_s, rate_hz = check_window_s(predictor, window_s), predictor.sample_rate_hz
    check_step(every_s)
    assert rate_hz is not None
    owners: list[int] = []
    times: list[float] = []
    errors: dict[int, MediaError] = {}

    def windows() -> Iterator[np.ndarray]:
        for owner, info in enumerate(infos):
            try:
                for centre_s, window in audio.read_steps(info, every_s, length_s, rate_hz, least_s=LEAST_S):
                    owners.append(owner)
                    times.append(centre_s)
                    yield window
            except MediaError as error:
                errors[owner] = error

    expected = sum(max(1, round((info.stated_s or every_s) / every_s)) for info in infos)
    va = predict_windows(windows(), predictor, expected, progress)
    owned, times_s = np.array(owners, np.int64), np.array(times)
    return [errors.get(owner) or Curve(times_s[owned == owner], va[owned == owner]) for owner in range(len(infos))]


def image_curve(
    info: MediaInfo, predictor: "Predictor", *, every_s: float = IMAGE_EVERY_S, sampling: str = "auto", progress: Progress = no_progress
) -> tuple[Curve, int]:
    """VA of a video's images over time: of a frame in each step of `every_s`.

    Args:
        info: the probed video.
        predictor: with an image tower.
        every_s: length of a step in seconds, at least .1; a remainder under half of it goes to the last.
        sampling: which frame of a step: see `mmvatool.media.sampling.pick`.
        progress: is given how many frames are decoded and scored.

    Returns:
        The curve: `times_s` (N,) are the centres of the steps, `va` (N, 2); and how many frames are damaged.

    Raises:
        MediaError: its frames cannot be decoded.
        SettingsError: a step under .1 s.
        CheckpointError: the model has no image tower.
    """
    check_step(every_s)
    grid = slots(info.start_s, info.end_s, every_s)
    va, _, damaged = predict_frames(info, pick(info, grid.edges_s, sampling).frames, predictor, progress)
    return Curve(grid.centres_s, va), damaged


def predict_frames(
    info: MediaInfo, frames: np.ndarray, predictor: "Predictor", progress: Progress = no_progress
) -> tuple[np.ndarray, np.ndarray, int]:
    """VA (N, 2) and embeddings (N, 512) of N rising frames, and how many are damaged: these have the values of the one before."""
    # At under one frame in a step, steps share a frame.
    indices, inverse = np.unique(frames, return_inverse=True)
    sampler = Sampler(info)
    va: list[np.ndarray] = []
    embeddings: list[np.ndarray] = []
    done = 0
    with (
        progress("decoding", len(indices)) as on_decoded,
        progress("scoring", len(indices)) as on_scored,
        prefetch(sampler.read(indices), BATCHES_AHEAD * predictor.batch_size) as frames_ahead,
    ):
        while batch_frames := list(itertools.islice(frames_ahead, predictor.batch_size)):
            batch = np.stack(batch_frames)
            done += len(batch)
            on_decoded(done)
            for rows, part in zip((va, embeddings), predictor.image(batch, embeddings=True), strict=True):
                rows.append(part)
            on_scored(done)
    used = sampler.substitutes(len(indices))[inverse]
    return np.concatenate(va)[used], np.concatenate(embeddings)[used], len(indices) - done


def predict_audio(
    info: MediaInfo, times_s: np.ndarray, predictor: "Predictor", *, window_s: float | None = None, progress: Progress = no_progress
) -> Iterator[np.ndarray]:
    """VA of a video's audio in windows around N rising times, cut at the bounds of its images.

    Yields:
        Parts of (N, 2), in order.

    Raises:
        MediaError: it has no sound, or none that can be decoded.
        SettingsError: a window out of range.
        CheckpointError: the model has no music tower.
    """
    half_s = check_window_s(predictor, window_s) / 2
    assert predictor.sample_rate_hz is not None
    windows = []
    for time_s in times_s:
        start_s, end_s = max(info.start_s, float(time_s) - half_s), min(info.end_s, float(time_s) + half_s)
        # A video of a few frames is shorter than the least that can be scored: what follows it is silence.
        windows.append(Segment(start_s, max(end_s, start_s + LEAST_S)))
    yield from _predict_batches(audio.read_windows(info, windows, predictor.sample_rate_hz), predictor, len(windows), progress)


def check_window_s(predictor: "Predictor", window_s: float | None) -> float:
    """The length of audio windows to use.

    Args:
        predictor: the model.
        window_s: as requested; None for 10 seconds, or the model's greatest if that is less.

    Raises:
        SettingsError: under .1 s, or over what the model takes.
        CheckpointError: the model has no music tower.
    """
    from trainer import check_modalities

    check_modalities(predictor.modalities, ("music",), predictor.name)
    assert predictor.window_s is not None
    if window_s is None:
        return min(WINDOW_S, predictor.window_s)
    if not LEAST_S <= window_s <= predictor.window_s:
        raise SettingsError(f"window {window_s:g} s: {predictor.name} takes {LEAST_S:g} to {predictor.window_s:g} s of sound at once")
    return window_s


def check_step(every_s: float) -> None:
    """Raise SettingsError for a step between points of a curve that is under .1 s or infinite."""
    if not LEAST_S <= every_s < math.inf:
        raise SettingsError(f"step {every_s:g} s: must be at least {LEAST_S:g} s")


def predict_windows(windows: Iterable[np.ndarray], predictor: "Predictor", total: int = 0, progress: Progress = no_progress) -> np.ndarray:
    """VA (N, 2) of windows, which are read in a thread of their own; `total` is how many are expected."""
    return np.concatenate([*_predict_batches(windows, predictor, total, progress)])


def _predict_batches(windows: Iterable[np.ndarray], predictor: "Predictor", total: int, progress: Progress) -> Iterator[np.ndarray]:
    done = 0
    with progress("scoring audio", total) as on_progress, prefetch(windows, BATCHES_AHEAD * predictor.batch_size) as windows_ahead:
        while batch := list(itertools.islice(windows_ahead, predictor.batch_size)):
            yield predictor.music(batch)
            done += len(batch)
            on_progress(min(done, total))
        yield predictor.music([])  # (0, 2): there may be no window at all
        on_progress(total)
