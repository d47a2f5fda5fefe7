"""Baselines for the towers: ridge regression on simple features.

image   colour: mean, deviation and histogram of hue, saturation and brightness, and differences of neighbouring pixels
music   timbre: mean and deviation of a 40-band log-mel spectrogram, and of its change from frame to frame
text    TF-IDF of words
"""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from PIL import Image
from torchaudio.transforms import MelSpectrogram

from trainer.data.manifest import ClipRow, ImageRow, Row, TextRow, picture_of, sound_of

NAMES = {"image": "ridge on colours", "music": "ridge on mel statistics", "text": "ridge on TF-IDF"}
_RATE_HZ, _SOUND_S, _PICTURE_PX = 22050, 10.0, 96
_STRENGTHS = np.logspace(-1, 6, 29)


def features(modality: str, rows: Sequence[Row], pool: Executor) -> np.ndarray:
    """Simple features float64 (n, ...) of pictures or clips; (n, 0) for texts, which have none.

    Raises:
        DataError: a file that cannot be read.
    """
    return np.stack(list(pool.map(_features, rows))) if modality != "text" else np.zeros((len(rows), 0))


def _features(row: Row) -> np.ndarray:
    match row:
        case ImageRow():
            return colours(picture_of(row))
        case ClipRow():
            return timbre(sound_of(row, _RATE_HZ, _SOUND_S))
        case TextRow():
            raise TypeError("texts have no simple features")


def colours(picture: np.ndarray) -> np.ndarray:
    """Statistics of the colours of a picture, uint8 (H, W, 3) to float64 (36,)."""
    small = Image.fromarray(picture).resize((_PICTURE_PX, _PICTURE_PX), Image.Resampling.BOX).convert("HSV")
    hue, saturation, brightness = np.moveaxis(np.asarray(small, np.float64) / 255, 2, 0)
    counts = [np.histogram(hue, 12, (0, 1), weights=saturation * brightness)[0] / hue.size]
    counts += [np.histogram(channel, 8, (0, 1))[0] / channel.size for channel in (saturation, brightness)]
    steps = [np.abs(np.diff(channel, axis=axis)) for channel in (saturation, brightness) for axis in (0, 1)]
    moments = [saturation.mean(), saturation.std(), brightness.mean(), brightness.std(), *(step.mean() for step in steps)]
    return np.concatenate([*counts, moments])


def timbre(sound: np.ndarray) -> np.ndarray:
    """Statistics of the log-mel spectrogram of mono sound at 22,050 Hz, float32 (n,) to float64 (160,)."""
    mel = MelSpectrogram(_RATE_HZ, n_fft=2048, hop_length=512, n_mels=40)(torch.from_numpy(np.ascontiguousarray(sound)))
    logs = torch.log10(mel + 1e-6).double().numpy()
    change = np.diff(logs, axis=1) if logs.shape[1] > 1 else np.zeros_like(logs)
    return np.concatenate([logs.mean(1), logs.std(1), change.mean(1), change.std(1)])


def ridge(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """Ridge regression with the penalty of each output chosen by leave-one-out error.

    Args:
        train_x: (n, f), standardised here.
        train_y: (n, k).
        test_x: (m, f).

    Returns:
        float64 (m, k).
    """
    if not train_x.shape[1]:
        return np.broadcast_to(train_y.mean(axis=0), (len(test_x), train_y.shape[1])).astype(np.float64)
    mean, deviation = train_x.mean(axis=0), train_x.std(axis=0) + 1e-9
    centre = train_y.mean(axis=0)
    left, singular, right = np.linalg.svd((train_x - mean) / deviation, full_matrices=False)
    rotated = left.T @ (train_y - centre)
    weights = np.empty((train_x.shape[1], train_y.shape[1]))
    for output in range(train_y.shape[1]):
        errors = []
        for strength in _STRENGTHS:
            shrink = singular**2 / (singular**2 + strength)
            rest = train_y[:, output] - centre[output] - left @ (shrink * rotated[:, output])
            errors.append(np.mean((rest / (1 - left**2 @ shrink - 1 / len(train_x))) ** 2))
        best = _STRENGTHS[int(np.argmin(errors))]
        weights[:, output] = right.T @ (singular / (singular**2 + best) * rotated[:, output])
    return (test_x - mean) / deviation @ weights + centre
