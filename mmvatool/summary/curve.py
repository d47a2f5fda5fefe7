"""The VA curve that shots are chosen by: of the image, of the audio, or of both."""

import numpy as np

from mmvatool.analysis.prefetch import prefetch
from mmvatool.analysis.slots import Slots
from mmvatool.analysis.video import VideoAnalysis
from mmvatool.media.probe import MediaInfo
from mmvatool.media.sampling import Samples
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Curve


def modalities(settings: SummarySettings) -> tuple[str, ...]:
    """The towers that settings need: shots are found in the image, whatever they are chosen by."""
    if settings.by == "image":
        return ("image",)
    return ("music",) if settings.by == "audio" and settings.shots == "uniform" else ("image", "music")


def predict_curve(
    info: MediaInfo, grid: Slots, samples: Samples, analysis: VideoAnalysis, settings: SummarySettings
) -> tuple[Curve, list[str]]:
    """Predict VA at each sample.

    Args:
        info: the probed video.
        grid: its slots.
        samples: the frame of each slot; 10 seconds of audio around it are predicted, too, if they count.
        analysis: of these samples.
        settings: what counts.

    Returns:
        The curve, and warnings, a sentence each.

    Raises:
        MediaError: the image or the audio cannot be decoded, or there is no audio where only that counts.
        CheckpointError: the model has no tower for what counts.
    """
    warnings: list[str] = []
    by = settings.by
    if by == "both" and info.audio is None:
        warnings.append("no sound: scored by its pictures alone")
        by = "image"
    if by == "audio" and settings.shots == "uniform":
        return Curve(grid.centres_s, np.concatenate([*analysis.audio(grid.centres_s)])), warnings
    # VA of the audio is small: all of it may be predicted while the image is.
    audio_parts = analysis.audio(samples.times_s) if by != "image" else ()
    with prefetch(audio_parts, 0) as parts:
        image, _ = analysis.image
        audio = np.concatenate([np.empty((0, 2), np.float32), *parts])
    if by == "both":
        va = (image + audio) / 2
        va[:, 1] = (_ranks(image[:, 1]) + _ranks(audio[:, 1])) / 2
        return Curve(samples.times_s, va), warnings
    return Curve(samples.times_s, image if by == "image" else audio), warnings


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks scaled to [0, 1], equal values sharing their mean rank; a constant is .5 throughout."""
    from scipy.stats import rankdata  # here: --help must not wait for it

    if len(values) == 1:
        return np.full(1, 0.5, np.float32)
    return ((rankdata(values) - 1) / (len(values) - 1)).astype(np.float32)
