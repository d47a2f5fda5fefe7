"""`evaluate tvsum`: how near summaries by arousal come to people's, and what that is worth.

Scores of a video (the summarizer's own, or from a file) -> for each segmentation the 15 % by knapsack, of users and predictions alike -> F
against each user -> beside it, in the same run, what predictors reach that see nothing, and what people reach.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.pipelines.summarize import summarize
from mmvatool.progress import Progress, no_progress
from mmvatool.summary.settings import SummarySettings
from mmvatool.tvsum import protocol
from mmvatool.tvsum.files import PAPER, TITLES, Shots
from mmvatool.tvsum.protocol import Agreement, Annotation

if TYPE_CHECKING:
    from trainer import Predictor

REFERENCES = (
    "random",
    "constant",
    "evenly_spaced",
    "decreasing",
    "sine",
    "human_loo",
    "oracle",
)  # from what knows nothing to what knows all
# Frames that a file may have more or less than its annotation, as a part: decoders differ by a few.
FRAMES_TOLERANCE = 0.02
EPSILON_S = 1e-6
_UNRANKED = Agreement(float("nan"), float("nan"))


@dataclass(frozen=True)
class Prediction:
    """Scores (frames,) of a video, the shots (S, 2) that it was cut into by us, if it was, and what was done otherwise than usual."""

    scores: np.ndarray
    pieces: np.ndarray | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """What a predictor reaches on a video: F in percent, tau and rho (None where undefined)."""

    video: str
    protocol: str
    name: str
    f: float
    tau: float | None
    rho: float | None


@dataclass(frozen=True)
class Row:
    """A predictor's figures under a protocol: means over `videos` videos; F in percent.

    `f_sd` is over the draws for random, over the videos otherwise; None of a single one, and of the paper's rows.
    """

    name: str
    protocol: str
    f: float
    f_sd: float | None
    tau: float | None
    rho: float | None
    videos: int | None


@dataclass(frozen=True)
class Evaluation:
    """All rows, the paper's first; `rank` by the definitions' names; `figures` by video; `same_summaries` (equal, all) of the h5's users."""

    model: str | None
    rows: tuple[Row, ...]
    rank: dict[str, Agreement]
    figures: tuple[Figure, ...]
    same_summaries: tuple[int, int] | None

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "model": self.model,
            "rows": [asdict(row) for row in self.rows],
            "rank": {name: {"tau": _known(found.tau), "rho": _known(found.rho)} for name, found in self.rank.items()},
        }


def predict_video(path: Path, annotation: Annotation, predictor: "Predictor", progress: Progress = no_progress) -> Prediction:
    """Run the summarizer over a video: its arousal for each annotated frame, and the shots it finds.

    Raises:
        MediaError: it cannot be read, or its length is not the annotation's.
    """
    summary = summarize(
        path, predictor=predictor, settings=SummarySettings(value="mean", sampling="exact"), dry_run=True, progress=progress
    )
    decoded, frames = summary.info.times_s, annotation.frames
    if abs(len(decoded) - frames) > FRAMES_TOLERANCE * frames:
        raise MediaError(path, f"has {len(decoded)} frames, its annotation {frames}: give the video that was annotated")
    times_s = decoded[((np.arange(frames) + 0.5) * len(decoded) / frames).astype(np.int64)]
    curve = summary.curve
    nearest = np.searchsorted((curve.times_s[1:] + curve.times_s[:-1]) / 2, times_s, side="right")
    starts = np.unique(np.searchsorted(times_s, [shot.segment.start_s - EPSILON_S for shot in summary.shots]))
    starts = np.append(0, starts[(starts > 0) & (starts < frames)])
    pieces = np.stack([starts, np.append(starts[1:], frames)], 1)
    return Prediction(curve.va[nearest, 1].astype(np.float64), pieces, summary.warnings)


def evaluate(
    annotations: Sequence[Annotation],
    shots: Shots | None,
    predictions: Mapping[str, Prediction],
    name: str | None,
    paper: Mapping[str, float],
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure predictions and what to compare them with, under each segmentation that there is.

    Args:
        annotations: in the order of the .mat, on which the random draws depend.
        shots: a segmentation from a file.
        predictions: of some or all of the videos, or of none.
        name: of what made them; None without predictions.
        paper: F of the paper's table, by name.
        progress: told how many videos are done.
    """
    if name in REFERENCES:
        name = f"{name} (predicted)"
    draws = [np.random.RandomState(seed) for seed in protocol.SEEDS]
    figures: list[Figure] = []
    drawn: dict[str, list[np.ndarray]] = {}
    ranks: list[dict[str, Agreement]] = []
    same = total = 0
    with progress("measuring", len(annotations)) as measured:
        for done, annotation in enumerate(annotations):
            noise = np.stack([draw.rand(annotation.frames) for draw in draws])
            scores = protocol.predictors(annotation)
            prediction = predictions.get(annotation.video)
            if prediction is not None and name is not None:
                scores[name] = prediction.scores
            rank = {who: protocol.against_users(rows[None], annotation) for who, rows in scores.items()}
            rank |= {"random": protocol.against_users(noise, annotation), "human_loo": protocol.against_others(annotation)}
            ranks.append(
                {
                    "human_pairwise_15": protocol.pairwise(annotation),
                    "human_vs_mean_of_other19_15": rank["human_loo"],
                    "mean_vs_each_user_shot": rank["oracle"],
                    "random_vs_mean_shot": protocol.against_mean(noise, annotation),
                }
            )
            for segmentation, pieces in _segmentations(annotation, shots, prediction):
                users = protocol.summaries(annotation.scores, pieces)
                if shots is not None and segmentation == shots.name and annotation.video in shots.summaries:
                    same, total = same + _equal(users, pieces, shots.summaries[annotation.video]), total + len(users)
                chosen = protocol.summaries(np.concatenate([*(rows[None] for rows in scores.values()), noise]), pieces)
                chosen = np.concatenate([chosen, protocol.evenly_spaced(pieces, annotation.frames)[None]])
                f = 100 * protocol.f_measures(chosen, users, pieces).mean(1)
                drawn.setdefault(segmentation, []).append(f[len(scores) : -1])
                found = dict(zip(scores, f, strict=False))
                found |= {
                    "random": f[len(scores) : -1].mean(),
                    "evenly_spaced": f[-1],
                    "human_loo": 100 * protocol.leave_one_out(users, pieces),
                }
                for who, value in found.items():
                    own = rank.get(who, _UNRANKED)
                    figures.append(Figure(annotation.video, segmentation, who, float(value), _known(own.tau), _known(own.rho)))
            measured(done + 1)
    rows = [Row(f"{who} ({PAPER})", PAPER, value, None, None, None, None) for who, value in paper.items()]
    rows += _rows(figures, drawn, [*([] if shots is None else [shots.name]), *TITLES], name)
    means = {key: Agreement(*(_mean([getattr(rank[key], axis) for rank in ranks]) for axis in ("tau", "rho"))) for key in ranks[0]}
    return Evaluation(name, tuple(rows), means, tuple(figures), (same, total) if total else None)


def _segmentations(annotation: Annotation, shots: Shots | None, prediction: Prediction | None) -> Iterator[tuple[str, np.ndarray]]:
    if shots is not None and annotation.video in shots.pieces:
        yield shots.name, shots.pieces[annotation.video]
    if prediction is not None and prediction.pieces is not None:
        yield "kts_own", prediction.pieces
    yield "uniform60", protocol.uniform(annotation.frames)
    yield "native2s", annotation.pieces


def _rows(figures: Sequence[Figure], drawn: Mapping[str, list[np.ndarray]], protocols: Sequence[str], name: str | None) -> list[Row]:
    """Means over videos: of each protocol the prediction first."""
    order = [*([] if name is None else [name]), *REFERENCES]
    rows = []
    for segmentation in dict.fromkeys(protocols):
        for who in order:
            own = [figure for figure in figures if figure.protocol == segmentation and figure.name == who]
            if not own:
                continue
            spread = np.mean(drawn[segmentation], axis=0) if who == "random" else [figure.f for figure in own]
            rows.append(
                Row(
                    who,
                    segmentation,
                    float(np.mean([figure.f for figure in own])),
                    float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
                    _known(_mean([figure.tau for figure in own])),
                    _known(_mean([figure.rho for figure in own])),
                    len(own),
                )
            )
    return rows


def _equal(users: np.ndarray, pieces: np.ndarray, frames: np.ndarray) -> int:
    """How many users' summaries (U, S) are those given frame by frame (U, frames), bit by bit."""
    if frames.shape[0] != len(users):
        return 0
    ours = np.zeros(frames.shape, bool)
    for (first, past), chosen in zip(pieces, users.T, strict=True):
        ours[:, first:past] = chosen[:, None]
    return int((ours == frames).all(1).sum())


def _mean(values: Sequence[float | None]) -> float:
    """Mean of what is defined; NaN of nothing."""
    known = [value for value in values if value is not None and value == value]
    return float(np.mean(known)) if known else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
