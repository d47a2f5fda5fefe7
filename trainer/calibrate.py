"""Calibrate a trained checkpoint: cross-validated figures, calibrated heads, and a copy in 8 bits."""

import json
from pathlib import Path

import numpy as np
import torch

from trainer import checkpoint
from trainer.affect import COMMON, LEVELS
from trainer.constants import OnProgress
from trainer.evaluation import cv
from trainer.evaluation.va import AXES
from trainer.model.calibration import Calibration
from trainer.session import Job

PLOT, FIGURES, SMALL = "calibration.png", "cv.json", "small.safetensors"
_GRID = np.linspace(0, 1, 201)


def calibrate(job: Job, path: Path, on_progress: OnProgress = lambda what, done, total: None) -> cv.CrossValidation:
    """Cross-validate the recipe of a finished training and calibrate its checkpoint with the held-out predictions.

    Writes into the checkpoint itself (calibrations, figures, order scales), and beside it cv.json (the figures), calibration.png and
    small.safetensors (the checkpoint with its matrices in 8 bits).

    Args:
        job: the training run.
        path: its checkpoint.
        on_progress: as for `cv.cross_validate`.

    Raises:
        TrainerError: as for `cv.cross_validate`.
    """
    result = cv.cross_validate(job, on_progress=on_progress)
    loaded = checkpoint.read(path)
    tensors = {key: value for key, value in loaded.tensors.items() if not key.startswith("calibrations.")}
    scales = {}
    for modality, predictions in result.predictions.items():
        calibration = Calibration(predictions)
        tensors[f"calibrations.{modality}.given"] = calibration.given
        calibrated = calibration(torch.from_numpy(np.asarray(predictions, np.float32))).numpy()
        scales[modality] = order_scale(calibrated, result.labels[modality])
    figures = json.dumps({"figures": [figure.to_json() for figure in result.figures]})
    notes = {**loaded.notes, "cross_validation": figures, "order_scale": json.dumps(scales)}
    metadata = {**notes, "format": checkpoint.FORMAT, "name": loaded.name, "towers": json.dumps(loaded.towers)}
    checkpoint.write(path, tensors, metadata)
    checkpoint.shrink(path, path.with_name(SMALL))
    path.with_name(FIGURES).write_text(figures + "\n", "utf-8")
    path.with_name(PLOT).write_bytes(plot(result.predictions))
    return result


def order_scale(predicted: np.ndarray, labels: np.ndarray) -> list[float]:
    """How far apart two predictions must be for their order to be believed, for valence and for arousal.

    If the difference of two labels is normally distributed around a multiple of the difference d of the predictions, the labels have the
    order of the predictions with probability Phi(d / scale): 84 of 100 pairs at d = scale.

    Args:
        predicted: VA (n, 2) of held-out rows, calibrated.
        labels: (n, 2).

    Returns:
        Two positive numbers, at most 1000 (where the predictions say nothing).
    """
    scales = []
    for given, told in zip(predicted.T.astype(np.float64), labels.T.astype(np.float64), strict=True):
        slope = np.cov(given, told)[0, 1] / given.var(ddof=1)
        rest = np.sqrt(2 * (told - told.mean() - slope * (given - given.mean())).var())  # of a difference of two rows
        scales.append(round(float(min(1000.0, rest / max(slope, 1e-3 * rest, 1e-9))), 4))
    return scales


def plot(predictions: dict[str, np.ndarray]) -> bytes:
    """The calibration as a PNG: the fraction of held-out rows below each value, before and after, valence and arousal.

    Args:
        predictions: modality -> VA (n, 2) of held-out rows.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    colours = {"image": "#2b4c7e", "music": "#d1495b", "text": "#3a7d44"}
    for modality, va in predictions.items():
        after = Calibration(va)(torch.from_numpy(np.asarray(va, np.float32))).numpy()
        for column, values in enumerate((va, after)):
            for row in range(2):
                under = np.searchsorted(np.sort(values[:, row]), _GRID, side="right") / len(values)
                axes[row, column].plot(_GRID, under, color=colours[modality], lw=1.8, label=f"{modality} ({len(values)})")
    for row, axis in enumerate(AXES):
        for column, title in enumerate(("as the head gives it", "calibrated")):
            box = axes[row, column]
            box.set_title(f"{axis}, {title}", loc="left", fontsize=10)
            box.grid(alpha=0.25)
            box.set_xlim(0, 1)
            if column:
                box.plot(COMMON, LEVELS, "k.", ms=6, label="common quantiles")
        axes[row, 0].set_ylabel("part of held-out rows under it")
    axes[0, 1].legend(frameon=False, fontsize=9)
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()
