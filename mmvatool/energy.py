"""`energy`: arousal of sound by loudness and onsets, a stand-in until the model has a music tower. Pure.

    energy = (loudness + onsets) / 2
    loudness  RMS level of the window, -60 dBFS .. -10 dBFS mapped to 0 .. 1 (louder and faster music is rated as more
              arousing: Gabrielsson & Lindstrom 2010)
    onsets    1 - exp(-f / 1.5), f the mean rise of the log-mel spectrum from frame to frame in dB (spectral flux)

It has no valence, and it is not the model's: results say `energy`.
"""

import numpy as np

NAME = "energy"
RATE_HZ = 16_000
QUIET_DBFS, LOUD_DBFS = -60.0, -10.0
FLUX_SCALE_DB = 1.5
FLOOR_DB = -18.0  # of the mel power: a full-scale sine reaches +42, what is 60 dB under it is not heard


def energy(window: np.ndarray) -> float:
    """Arousal of one window of sound.

    Args:
        window: float (n,) mono in [-1, 1] at RATE_HZ.

    Returns:
        In [0, 1]; 0 for silence or an empty window.
    """
    if not len(window) or not np.any(window):
        return 0.0
    level_db = 10 * np.log10(float(np.mean(np.square(window, dtype=np.float64))) + 1e-12)
    loudness = float(np.clip((level_db - QUIET_DBFS) / (LOUD_DBFS - QUIET_DBFS), 0, 1))
    return (loudness + 1 - float(np.exp(-_flux_db(window) / FLUX_SCALE_DB))) / 2


def _flux_db(window: np.ndarray) -> float:
    import torch
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, n_fft=512, hop_length=256, n_mels=40, pad_mode="constant")
    power = mel(torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32)))
    decibels = (10 * torch.log10(power + 1e-10)).clamp_min(FLOOR_DB)
    rises = (decibels[:, 1:] - decibels[:, :-1]).clamp_min(0)
    return float(rises.mean()) if rises.numel() else 0.0
