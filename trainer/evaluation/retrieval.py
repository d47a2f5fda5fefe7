"""Text-to-music retrieval (Table 2 of the paper): a caption finds its clip by the VA that the model predicts of both."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from trainer.data.features import Features
from trainer.data.manifest import Manifest
from trainer.errors import CheckpointError
from trainer.evaluation.paper import PaperRow
from trainer.evaluation.va import embed_part
from trainer.model.mmva import MMVA

PAIRS = 1000


@dataclass(frozen=True)
class Retrieval:
    """Percent of captions whose clip is among the 1, 5, 10 found first, and mean average precision at 10, in percent.

    Attributes:
        pairs: how many clips there were to choose from.
    """

    pairs: int
    recall_1: float
    recall_5: float
    recall_10: float
    map_10: float

    def to_json(self) -> dict[str, float]:
        """The fields, as they are."""
        return asdict(self)


def choose(part: Manifest, pairs: int = PAIRS, seed: int = 0) -> Manifest:
    """At most `pairs` clips of a split, drawn at random."""
    if len(part.clips) <= pairs:
        return part
    return part.subset((), np.random.default_rng(seed).choice(len(part.clips), pairs, replace=False).tolist())


def evaluate(model: MMVA, features: Mapping[str, Features], part: Manifest, device: torch.device) -> Retrieval:
    """Rank the clips of a split for every caption by the distance of their predicted VA (Eq. 1 has the same order).

    Args:
        model: on `device`; it is put in eval mode.
        features: of the split, with "music" and "text".
        part: the split.
        device: where to compute.

    Raises:
        CheckpointError: the model lacks the music or the text tower.
    """
    if not {"music", "text"} <= set(model.modalities):
        raise CheckpointError(
            f"retrieval needs a music and a text tower, the model has {', '.join(model.modalities)}: use another checkpoint"
        )
    with torch.inference_mode():
        model.eval()
        music, text = (embed_part(model, modality, features[modality], len(part.clips), device)[1] for modality in ("music", "text"))
    return recalls(ranks(text, music))


def ranks(queries: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """At which place, from 1, query i finds clip i: VA (N, 2) each; clips at the same distance count as found before it.

    Memory is O(N): one query at a time.
    """
    clips = clips.astype(np.float64)
    places = np.empty(len(queries), np.int64)
    for index, query in enumerate(queries.astype(np.float64)):
        distance = np.hypot(*(clips - query).T)
        places[index] = np.count_nonzero(distance <= distance[index])
    return places


def recalls(places: np.ndarray) -> Retrieval:
    """The figures of places (N,) from 1; with one clip to find, average precision is one over its place."""
    within = {k: float((places <= k).mean() * 100) for k in (1, 5, 10)}
    precision = np.where(places <= 10, 1 / places, 0)
    return Retrieval(len(places), within[1], within[5], within[10], float(precision.mean() * 100))


def table(name: str, found: Retrieval, rows: tuple[PaperRow, ...]) -> str:
    """The evaluation as text, beside rows of the paper."""
    width = max(len(name), *(len(row.name) for row in rows))
    lines = [f"{'':<{width}}    R@1    R@5   R@10  mAP@10   ({found.pairs} pairs; the paper: {PAIRS})"]
    own = PaperRow(name, (found.recall_1, found.recall_5, found.recall_10, found.map_10))
    for row in (own, *rows):
        lines.append(f"{row.name:<{width}} " + " ".join("     -" if value is None else f"{value:6.2f}" for value in row.values))
    return "\n".join(lines)
