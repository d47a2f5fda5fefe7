"""`evaluate tvsum`: compare summaries by arousal with people's, and with those of trivial predictors.

Scores of a video (the summarizer's own, or from a file) -> for each segmentation the 15 % by knapsack, of users and predictions alike -> F
against each user -> in the same run, F of predictors that know nothing of the video, and of people.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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

# From the one that knows nothing of the video to the one that knows all annotations.
REFERENCES = ("random", "constant", "evenly_spaced", "decreasing", "sine", "human_loo", "oracle")
# The share of frames that a file may have more or less than its annotation: decoders differ by a few.
FRAMES_TOLERANCE = 0.02
EPSILON_S = 1e-6
_UNRANKED = Agreement(float("nan"), float("nan"))


@dataclass(frozen=True)
class Prediction:
    """Scores (frames,) of a video; the shots (S, 2) of the summarizer, if it made them, as frames [first, stop); and warnings."""

    scores: np.ndarray
    pieces: np.ndarray | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """The figures of a predictor on a video: F in percent, tau and rho (None where undefined)."""

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
            "rank": {name: {"tau": _known(agreement.tau), "rho": _known(agreement.rho)} for name, agreement in self.rank.items()},
        }


def predict_video(path: Path, annotation: Annotation, predictor: "Predictor", progress: Progress = no_progress) -> Prediction:
    """Run the summarizer on a video: its arousal for each annotated frame, and its shots.

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


@dataclass(frozen=True)
class _Measured:
    """The figures of one video; F (draws,) of random by segmentation; agreement in rank by definition; equal and all h5 summaries."""

    figures: list[Figure]
    random_f: dict[str, np.ndarray]
    rank: dict[str, Agreement]
    same: int
    total: int


def evaluate(
    annotations: Sequence[Annotation],
    shots: Shots | None,
    predictions: Mapping[str, Prediction],
    name: str | None,
    paper: Mapping[str, float],
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure predictions and the references, under each segmentation that there is.

    Args:
        annotations: in the order of the .mat, on which the random draws depend.
        shots: a segmentation from a file.
        predictions: of some or all of the videos, or of none.
        name: of the model or file that they come from; None without predictions.
        paper: F of the paper's table, by name.
        progress: gets the number of videos that are measured.
    """
    if name in REFERENCES:
        name = f"{name} (predicted)"
    draws = [np.random.RandomState(seed) for seed in protocol.SEEDS]
    videos: list[_Measured] = []
    with progress("measuring", len(annotations)) as on_video:
        for count, annotation in enumerate(annotations, start=1):
            noise = np.stack([draw.rand(annotation.frames) for draw in draws])
            videos.append(_measure(annotation, noise, shots, predictions.get(annotation.video), name))
            on_video(count)
    figures = [figure for video in videos for figure in video.figures]
    random_f: dict[str, list[np.ndarray]] = {}
    for video in videos:
        for segmentation, f in video.random_f.items():
            random_f.setdefault(segmentation, []).append(f)
    rows = [Row(f"{who} ({PAPER})", PAPER, value, None, None, None, None) for who, value in paper.items()]
    rows += _rows(figures, random_f, [*([] if shots is None else [shots.name]), *TITLES], name)
    means = {
        key: Agreement(*(_mean([getattr(video.rank[key], axis) for video in videos]) for axis in ("tau", "rho"))) for key in videos[0].rank
    }
    same, total = sum(video.same for video in videos), sum(video.total for video in videos)
    return Evaluation(name, tuple(rows), means, tuple(figures), (same, total) if total else None)


def _measure(annotation: Annotation, noise: np.ndarray, shots: Shots | None, prediction: Prediction | None, name: str | None) -> _Measured:
    """Measure one video; `noise` (draws, frames) are the scores of random."""
    scores = protocol.predictors(annotation)
    if prediction is not None and name is not None:
        scores[name] = prediction.scores
    rank = {who: protocol.against_users(row[None], annotation) for who, row in scores.items()}
    rank |= {"random": protocol.against_users(noise, annotation), "human_loo": protocol.against_others(annotation)}
    definitions = {
        "human_pairwise_15": protocol.pairwise(annotation),
        "human_vs_mean_of_other19_15": rank["human_loo"],
        "mean_vs_each_user_shot": rank["oracle"],
        "random_vs_mean_shot": protocol.against_mean(noise, annotation),
    }
    measured = _Measured([], {}, definitions, 0, 0)
    same = total = 0
    for segmentation, pieces in _segmentations(annotation, shots, prediction):
        users = protocol.summaries(annotation.scores, pieces)
        if shots is not None and segmentation == shots.name and annotation.video in shots.summaries:
            same, total = same + _equal(users, pieces, shots.summaries[annotation.video]), total + len(users)
        chosen = protocol.summaries(np.concatenate([*(row[None] for row in scores.values()), noise]), pieces)
        chosen = np.concatenate([chosen, protocol.evenly_spaced(pieces, annotation.frames)[None]])
        f = 100 * protocol.f_measures(chosen, users, pieces).mean(1)
        measured.random_f[segmentation] = f[len(scores) : -1]
        f_by_name = dict(zip(scores, f, strict=False)) | {
            "random": f[len(scores) : -1].mean(),
            "evenly_spaced": f[-1],
            "human_loo": 100 * protocol.leave_one_out(users, pieces),
        }
        for who, value in f_by_name.items():
            agreement = rank.get(who, _UNRANKED)
            figure = Figure(annotation.video, segmentation, who, float(value), _known(agreement.tau), _known(agreement.rho))
            measured.figures.append(figure)
    return replace(measured, same=same, total=total)


def _segmentations(annotation: Annotation, shots: Shots | None, prediction: Prediction | None) -> Iterator[tuple[str, np.ndarray]]:
    if shots is not None and annotation.video in shots.pieces:
        yield shots.name, shots.pieces[annotation.video]
    if prediction is not None and prediction.pieces is not None:
        yield "kts_own", prediction.pieces
    yield "uniform60", protocol.uniform(annotation.frames)
    yield "native2s", annotation.pieces


def _rows(figures: Sequence[Figure], random_f: Mapping[str, list[np.ndarray]], protocols: Sequence[str], name: str | None) -> list[Row]:
    """Means over videos: of each protocol the prediction first."""
    order = [*([] if name is None else [name]), *REFERENCES]
    rows = []
    for segmentation in dict.fromkeys(protocols):
        for who in order:
            own = [figure for figure in figures if figure.protocol == segmentation and figure.name == who]
            if not own:
                continue
            spread = np.mean(random_f[segmentation], axis=0) if who == "random" else [figure.f for figure in own]
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
    """How many users' summaries (U, S) are equal to those given frame by frame (U, frames)."""
    if frames.shape[0] != len(users):
        return 0
    ours = np.zeros(frames.shape, bool)
    for (first, stop), chosen in zip(pieces, users.T, strict=True):
        ours[:, first:stop] = chosen[:, None]
    return int((ours == frames).all(1).sum())


def _mean(values: Sequence[float | None]) -> float:
    """Mean of the values that are defined; NaN if none is."""
    known = [value for value in values if value is not None and value == value]
    return float(np.mean(known)) if known else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
