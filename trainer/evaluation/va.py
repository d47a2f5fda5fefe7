"""VA and similarity predictions compared with the labels of a split: the columns of the paper's Table 1, and r and CCC."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from trainer.constants import MODALITIES
from trainer.data.features import Features
from trainer.data.manifest import Manifest
from trainer.data.pairing import evaluation_pairs
from trainer.evaluation.paper import PaperRow
from trainer.model.mmva import MMVA

AXES = ("valence", "arousal")
BATCH = 256


@dataclass(frozen=True)
class Agreement:
    """Mean squared error, mean absolute error, Pearson's r and Lin's concordance of predictions and labels.

    r and ccc are NaN if either side is constant.
    """

    mse: float
    mae: float
    r: float
    ccc: float

    def to_json(self) -> dict[str, float | None]:
        """The fields, NaN as None."""
        return {key: None if np.isnan(value) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Evaluation:
    """The agreements measured on a split.

    Attributes:
        va: modality -> (valence, arousal).
        similarity: of the similarity predictor; None without one, or without sigma.
    """

    va: dict[str, tuple[Agreement, Agreement]]
    similarity: Agreement | None

    def to_json(self) -> dict[str, Any]:
        """`{"image": {"valence": {"mse", "mae", "r", "ccc"}, "arousal": ...}, ..., "similarity": {"mse", "mae"}}`."""
        result: dict[str, Any] = {}
        for modality, axes in self.va.items():
            result[modality] = {axis: measured.to_json() for axis, measured in zip(AXES, axes, strict=True)}
        if self.similarity is not None:
            result["similarity"] = {"mse": self.similarity.mse, "mae": self.similarity.mae}
        return result

    def loss(self) -> float:
        """Eq. 4 on this split: the sum of the squared L2 distances of VA and the similarity's squared error."""
        va = sum(valence.mse + arousal.mse for valence, arousal in self.va.values())
        return va + (self.similarity.mse if self.similarity is not None else 0.0)

    def table1(self) -> tuple[float | None, ...]:
        """The 14 numbers of the paper's Table 1, None for what this model lacks."""
        return tuple(value for column in self._columns() for value in ((column.mse, column.mae) if column is not None else (None, None)))

    def agreements(self) -> tuple[float | None, ...]:
        """r and CCC in the order of Table 1, None for the similarity and what this model lacks."""
        columns = [None, *self._columns()[1:]]
        return tuple(value for column in columns for value in ((column.r, column.ccc) if column is not None else (None, None)))

    def _columns(self) -> list[Agreement | None]:
        return [self.similarity, *(column for modality in MODALITIES for column in self.va.get(modality, (None, None)))]


def agreement(predicted: np.ndarray, labels: np.ndarray) -> Agreement:
    """Compare predictions (N,) with labels (N,), N at least 1."""
    x, y = np.asarray(predicted, np.float64), np.asarray(labels, np.float64)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    deviations = x.std() * y.std()
    r = covariance / deviations if deviations > 1e-12 else float("nan")
    ccc = 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2) if deviations > 1e-12 else float("nan")
    return Agreement(float(((x - y) ** 2).mean()), float(np.abs(x - y).mean()), float(r), float(ccc))


def evaluate(
    model: MMVA,
    features: Mapping[str, Features],
    part: Manifest,
    sigma: float | None,
    device: torch.device,
) -> Evaluation:
    """Evaluate a model on a split, in float32, as the rounding of bf16 is as large as relevant differences.

    Args:
        model: on `device`; it is put in eval mode.
        features: of the split, by modality.
        part: the split.
        sigma: Eq. 1's sigma of the training split; None leaves the similarity out.
        device: where to compute.
    """
    embeddings, va = {}, {}
    with torch.inference_mode():
        for modality in model.eval().modalities:
            embeddings[modality], predicted = embed_rows(model, modality, features[modality], np.arange(len(part.rows(modality))), device)
            labels = part.va(modality)
            va[modality] = (agreement(predicted[:, 0], labels[:, 0]), agreement(predicted[:, 1], labels[:, 1]))
        similarity = None
        if model.similarity is not None and sigma is not None:
            similarity = _evaluate_similarity(model, embeddings, part, sigma, device)
    return Evaluation(va, similarity)


def _evaluate_similarity(
    model: MMVA, embeddings: Mapping[str, torch.Tensor], part: Manifest, sigma: float, device: torch.device
) -> Agreement:
    pairs, scores = evaluation_pairs(part, sigma)
    predicted = []
    for start in range(0, len(pairs), BATCH):
        rows = torch.from_numpy(pairs[start : start + BATCH]).to(device).T
        chosen = {modality: embeddings[modality][own] for modality, own in zip(MODALITIES, rows, strict=True)}
        predicted.append(model.similarity_of(chosen).float().cpu())
    return agreement(torch.cat(predicted).numpy(), scores)


def embed_rows(model: MMVA, modality: str, features: Features, rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    """Embeddings (n, 512) on `device` and predicted VA float32 (n, 2) of n rows of a split."""
    embedded, predicted = [], []
    for start in range(0, len(rows), BATCH):
        inputs = features(rows[start : start + BATCH])
        embedded.append(model.embed(modality, inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs))
        predicted.append(model.heads[modality](embedded[-1]).float().cpu())
    return torch.cat(embedded), torch.cat(predicted).numpy()


def table(name: str, evaluation: Evaluation, rows: tuple[PaperRow, ...]) -> str:
    """The evaluation as text, above rows of the paper: Table 1's layout, then r and CCC."""
    width = max(len(name), *(len(row.name) for row in rows), 10)
    heads = [("similarity", ""), *((modality, axis) for modality in MODALITIES for axis in AXES)]
    lines = [
        " " * width + "".join(f" | {' '.join(head).strip():^15}" for head in heads),
        " " * width + " |     MSE     MAE" * len(heads),
        _line(name, width, evaluation.table1()),
        *(_line(row.name, width, row.values) for row in rows),
        "",
        " " * width + " |       r     CCC" * len(heads),
    ]
    return "\n".join([*lines, _line(name, width, evaluation.agreements())])


def _line(name: str, width: int, values: tuple[float | None, ...]) -> str:
    cells = ["      -" if value is None or value != value else f"{value:7.4f}" for value in values]
    return f"{name:<{width}}" + "".join(f" | {cells[column]} {cells[column + 1]}" for column in range(0, len(cells), 2))
