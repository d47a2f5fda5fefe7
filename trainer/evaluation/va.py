"""VA prediction and similarity against the labels of a split: the columns of the paper's Table 1, with r and CCC beside."""

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
    """How predictions agree with labels: mean squared and mean absolute error, Pearson's r, Lin's concordance.

    r and ccc are NaN where either side does not vary.
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
    """What was measured on a split.

    Attributes:
        va: modality -> (valence, arousal).
        similarity: of the similarity predictor; None without one, or without a sigma.
    """

    va: dict[str, tuple[Agreement, Agreement]]
    similarity: Agreement | None

    def to_json(self) -> dict[str, Any]:
        """`{"image": {"valence": {"mse", "mae", "r", "ccc"}, "arousal": ...}, ..., "similarity": {"mse", "mae"}}`."""
        result: dict[str, Any] = {}
        for modality, axes in self.va.items():
            result[modality] = {axis: found.to_json() for axis, found in zip(AXES, axes, strict=True)}
        if self.similarity is not None:
            result["similarity"] = {"mse": self.similarity.mse, "mae": self.similarity.mae}
        return result

    def loss(self) -> float:
        """Eq. 4 on this split: squared L2 distances of VA and the similarity's squared error, added up."""
        va = sum(valence.mse + arousal.mse for valence, arousal in self.va.values())
        return va + (self.similarity.mse if self.similarity is not None else 0.0)

    def table1(self) -> tuple[float | None, ...]:
        """The 14 numbers of the paper's Table 1, None where this model has none."""
        return tuple(value for found in self._columns() for value in ((found.mse, found.mae) if found is not None else (None, None)))

    def agreements(self) -> tuple[float | None, ...]:
        """r and CCC in the order of Table 1, None where this model has none and for the similarity."""
        columns = [None, *self._columns()[1:]]
        return tuple(value for found in columns for value in ((found.r, found.ccc) if found is not None else (None, None)))

    def _columns(self) -> list[Agreement | None]:
        return [self.similarity, *(found for modality in MODALITIES for found in self.va.get(modality, (None, None)))]


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
    """Evaluate a model on a split, in float32: bf16's rounding is as large as differences that matter.

    Args:
        model: on `device`; it is put in eval mode.
        features: of the split, by modality.
        part: the split.
        sigma: Eq. 1's, of the training split; None leaves the similarity out.
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
            pairs, scores = evaluation_pairs(part, sigma)
            found = []
            for at in range(0, len(pairs), BATCH):
                rows = torch.from_numpy(pairs[at : at + BATCH]).to(device).T
                chosen = {modality: embeddings[modality][own] for modality, own in zip(MODALITIES, rows, strict=True)}
                found.append(model.similarity_of(chosen).float().cpu())
            similarity = agreement(torch.cat(found).numpy(), scores)
    return Evaluation(va, similarity)


def embed_rows(model: MMVA, modality: str, features: Features, rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    """Embeddings (n, 512) on `device` and predicted VA float32 (n, 2) of n rows of a split."""
    embedded, predicted = [], []
    for at in range(0, len(rows), BATCH):
        inputs = features(rows[at : at + BATCH])
        embedded.append(model.embed(modality, inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs))
        predicted.append(model.heads[modality](embedded[-1]).float().cpu())
    return torch.cat(embedded), torch.cat(predicted).numpy()


def table(name: str, found: Evaluation, rows: tuple[PaperRow, ...]) -> str:
    """The evaluation as text, beside rows of the paper: Table 1's layout, then r and CCC."""
    width = max(len(name), *(len(row.name) for row in rows), 10)
    heads = [("similarity", ""), *((modality, axis) for modality in MODALITIES for axis in AXES)]
    lines = [
        " " * width + "".join(f" | {' '.join(head).strip():^15}" for head in heads),
        " " * width + " |     MSE     MAE" * len(heads),
        _line(name, width, found.table1()),
        *(_line(row.name, width, row.values) for row in rows),
        "",
        " " * width + " |       r     CCC" * len(heads),
    ]
    return "\n".join([*lines, _line(name, width, found.agreements())])


def _line(name: str, width: int, values: tuple[float | None, ...]) -> str:
    cells = ["      -" if value is None or value != value else f"{value:7.4f}" for value in values]
    return f"{name:<{width}}" + "".join(f" | {cells[at]} {cells[at + 1]}" for at in range(0, len(cells), 2))
