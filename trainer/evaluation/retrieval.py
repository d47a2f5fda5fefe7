"""Text-to-music retrieval (Table 2 of the paper): captions retrieve their clips by the predicted VA of both."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from trainer.data.features import Features
from trainer.evaluation.paper import PaperRow
from trainer.evaluation.va import embed_rows
from trainer.model.mmva import MMVA
from trainer.model.towers import check_modalities

PAIRS = 1000


@dataclass(frozen=True)
class Retrieval:
    """Recall at 1, 5 and 10 and mean average precision at 10, in percent.

    Attributes:
        pairs: number of clips to retrieve from.
    """

    pairs: int
    recall_1: float
    recall_5: float
    recall_10: float
    map_10: float

    def to_json(self) -> dict[str, float]:
        """The fields as a table."""
        return asdict(self)


def choose(clips: int, pairs: int = PAIRS, seed: int = 0) -> np.ndarray:
    """Indices of at most `pairs` of `clips` clips, drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(clips)[:pairs])


def evaluate(model: MMVA, features: Mapping[str, Features], chosen: np.ndarray, device: torch.device) -> Retrieval:
    """Rank clips for each of their captions by the distance of predicted VA (Eq. 1 has the same order).

    Args:
        model: on `device`; it is put in eval mode.
        features: of a split, with "music" and "text".
        chosen: indices of the clips in the split.
        device: where to compute.

    Raises:
        CheckpointError: the model lacks the music or the text tower.
    """
    check_modalities(model.modalities, ("music", "text"), "retrieval")
    with torch.inference_mode():
        model.eval()
        music, text = (embed_rows(model, modality, features[modality], chosen, device)[1] for modality in ("music", "text"))
    return recalls(ranks(text, music))


def ranks(queries: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """The rank (N,), from 1, of clip i among all clips for query i, by VA (N, 2) each; clips at equal distances rank before it.

    Memory is O(N): one query at a time.
    """
    clips = clips.astype(np.float64)
    result = np.empty(len(queries), np.int64)
    for index, query in enumerate(queries.astype(np.float64)):
        distance = np.hypot(*(clips - query).T)
        result[index] = np.count_nonzero(distance <= distance[index])
    return result


def recalls(positions: np.ndarray) -> Retrieval:
    """The figures from ranks (N,), from 1; with one relevant clip, average precision is one over its rank."""
    within = {k: float((positions <= k).mean() * 100) for k in (1, 5, 10)}
    precision = np.where(positions <= 10, 1 / positions, 0)
    return Retrieval(len(positions), within[1], within[5], within[10], float(precision.mean() * 100))


def table(name: str, result: Retrieval, rows: tuple[PaperRow, ...]) -> str:
    """The evaluation as text, above rows of the paper."""
    width = max(len(name), *(len(row.name) for row in rows))
    lines = [f"{'':<{width}}    R@1    R@5   R@10  mAP@10   ({result.pairs} pairs; the paper: {PAIRS})"]
    own = PaperRow(name, (result.recall_1, result.recall_5, result.recall_10, result.map_10))
    for row in (own, *rows):
        lines.append(f"{row.name:<{width}} " + " ".join("     -" if value is None else f"{value:6.2f}" for value in row.values))
    return "\n".join(lines)
