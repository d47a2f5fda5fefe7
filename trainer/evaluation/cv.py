"""Cross-validation: how good a recipe is on held-out pictures, tracks and texts, compared with simple baselines.

Each tower is trained alone, with the number of steps and of distinct rows per step of the joint training, and evaluated on the
held-out rows with its last weights: nothing is selected on a fold.

    image   by theme ("unseen themes": no group of pictures is in two folds) and plain (folds of pictures)
    music   by track; a track's prediction and label are the means over its clips
    text    on the published test split of its source, with several seeds

By source instead: trained on all sources of a modality but one, evaluated on that one, which is nearer to what a user's files are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from trainer import loop, session
from trainer.constants import MODALITIES, OnProgress
from trainer.data import manifest as manifests
from trainer.data.manifest import Manifest
from trainer.devices import pick_device
from trainer.distributed import Processes
from trainer.errors import DataError
from trainer.evaluation import baselines
from trainer.evaluation.baselines_text import tfidf_ridge
from trainer.evaluation.va import AXES, agreement, embed_rows
from trainer.session import Data, Job


@dataclass(frozen=True)
class Figure:
    """Pearson's r of one protocol on one source.

    Attributes:
        modality: "image", "music" or "text".
        source: data set.
        protocol: of the split: "unseen themes", "plain", "by track", "test split" or "unseen source"; for pictures also "..., one view".
        rows: number of pictures, tracks or texts evaluated.
        r: valence, arousal: mean over the folds or seeds.
        spread: their standard deviations over the folds or seeds.
        baseline: r of the baseline on the same folds.
        baseline_name: of the baseline.
        mae: mean absolute error of all held-out rows, against labels on the scale that was trained on.
        constant_mae: of the mean label for every row.
    """

    modality: str
    source: str
    protocol: str
    rows: int
    r: tuple[float, float]
    spread: tuple[float, float]
    baseline: tuple[float, float]
    baseline_name: str
    mae: tuple[float, float]
    constant_mae: tuple[float, float]

    def to_json(self) -> dict[str, object]:
        """The fields, VA as {"valence", "arousal"}."""
        return {key: dict(zip(AXES, value, strict=True)) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class CrossValidation:
    """The figures, and the predictions for all held-out rows, for calibration.

    Attributes:
        figures: one for each modality, source and protocol.
        predictions: modality -> predicted VA (n, 2) of held-out rows, in any order; for texts also as many rows of each source without
            held-out rows, so that words and captions have the weight of sentences in the calibration.
        labels: modality -> the labels (n, 2) of these rows, on the scale that was trained on.
    """

    figures: tuple[Figure, ...]
    predictions: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def cross_validate(
    job: Job,
    *,
    folds: int = 5,
    seeds: int = 1,
    only: Sequence[str] = (),
    by_source: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
) -> CrossValidation:
    """Cross-validate the towers of a recipe.

    Args:
        job: with the recipe and the data; only the feature cache is written.
        folds: at least 2.
        seeds: models whose predictions are averaged in each fold (image, music), or the number of runs whose spread is shown (text).
        only: the modalities to cross-validate; empty for all of the recipe's.
        by_source: hold out one source after another instead of folds; modalities of one source are left out.
        on_progress: called before each fold.

    Raises:
        TrainerError: an error in data, recipe or device.
    """
    if folds < 2:
        raise ValueError(f"{folds} folds: at least 2 are needed")
    device = torch.device(pick_device(job.device))
    given = manifests.load(job.data, skip_bad=True, modalities=tuple(job.recipe.towers))
    largest = max(len(given.rows(modality)) for modality in MODALITIES)
    steps = job.recipe.train.epochs * -(-largest // job.recipe.train.batch_size)
    job = _with_towers(job, [modality for modality in job.recipe.towers if not only or modality in only])
    data = session.read_data(job, session.build_model(job.recipe, Processes(), device), Processes(), on_progress)
    figures: list[Figure] = []
    predictions: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    try:
        for modality in job.recipe.towers:
            runner = _Runner(_alone(job, modality), data, given, modality, steps, device, seeds, on_progress)
            if by_source:
                own, predicted, rows = runner.by_source()
            else:
                own, predicted, rows = runner.text() if modality == "text" and _published(data.manifest) else runner.by_folds(folds)
            predictions[modality], labels[modality] = predicted, data.manifest.va(modality)[rows]
            figures += own
    finally:
        data.pool.shutdown(cancel_futures=True)
    return CrossValidation(tuple(figures), predictions, labels)


def _with_towers(job: Job, kept: Sequence[str]) -> Job:
    """The job with only the towers `kept`, and without the similarity predictor."""
    recipe = job.recipe
    towers = {modality: recipe.towers[modality] for modality in kept}
    start = {modality: source for modality, source in recipe.start.items() if modality in kept}
    alone = {"towers": towers, "start": start, "model": recipe.model.model_copy(update={"similarity": False})}
    return replace(job, recipe=recipe.model_copy(update=alone))


def _alone(job: Job, modality: str) -> Job:
    """The job with one tower, and batches of the number of distinct rows in those of the joint training."""
    recipe = _with_towers(job, [modality]).recipe
    batch = int(recipe.pairs.distinct.get(modality, recipe.train.batch_size))
    changed = {
        "train": recipe.train.model_copy(update={"batch_size": batch}),
        "pairs": recipe.pairs.model_copy(update={"distinct": {}}),
    }
    return replace(job, recipe=recipe.model_copy(update=changed))


def _published(manifest: Manifest) -> bool:
    return any(row.split == "test" for row in manifest.texts)


@dataclass(frozen=True)
class _Runner:
    """Cross-validates one tower."""

    job: Job
    data: Data
    given: Manifest  # with the labels of the data folder, which predictions are compared with
    modality: str
    steps: int
    device: torch.device
    seeds: int
    on_progress: OnProgress

    def by_folds(self, folds: int) -> tuple[list[Figure], np.ndarray, np.ndarray]:
        """The figures of each protocol and source, the held-out predictions of the first protocol, and of which rows they are."""
        rows = self.data.manifest.rows(self.modality)
        schemes = {"image": ("unseen themes", "plain"), "music": ("by track",), "text": ("by text",)}[self.modality]
        sources = np.array([row.source for row in rows])
        units = np.array([getattr(row, "track", row.id) for row in rows])
        simple_features = baselines.features(self.modality, rows, self.data.pool)
        figures: list[Figure] = []
        kept = None
        for scheme in schemes:
            keys = [getattr(row, "group", "") or row.id for row in rows] if scheme == "unseen themes" else units.tolist()
            fold = assign_folds(keys, sources.tolist(), folds)
            predicted = self._predict_folds(scheme, fold, folds, simple_features)
            for source in sorted({row.source for row in rows}):
                parts = [np.flatnonzero((fold == number) & (sources == source)) for number in range(folds)]
                figures += self._figures_of(source, scheme, parts, units, predicted)
            kept = predicted[0] if kept is None else kept
        assert kept is not None
        return figures, kept, np.arange(len(rows))

    def by_source(self) -> tuple[list[Figure], np.ndarray, np.ndarray]:
        """A figure of each source, by a model that was trained on the others, the predictions, and of which rows they are."""
        rows = self.data.manifest.rows(self.modality)
        sources = np.array([row.source for row in rows])
        names, fold = np.unique(sources, return_inverse=True)
        if len(names) < 2:
            return [], np.empty((0, 2), np.float32), np.empty(0, np.int64)
        units = np.array([getattr(row, "track", row.id) for row in rows])
        predicted = self._predict_folds("by source", fold, len(names), baselines.features(self.modality, rows, self.data.pool))
        figures: list[Figure] = []
        for number, name in enumerate(names):
            figures += self._figures_of(str(name), "unseen source", [np.flatnonzero(fold == number)], units, predicted)
        return figures, predicted[0], np.arange(len(rows))

    def _predict_folds(self, scheme: str, fold: np.ndarray, folds: int, simple_features: np.ndarray) -> tuple[np.ndarray, ...]:
        """Held-out predictions (n, 2) of all rows: by the tower, by the tower from one view, and by the baseline."""
        trained_on = self.data.manifest.va(self.modality)
        predicted, one_view, simple = (np.empty_like(trained_on) for _ in range(3))
        for number in range(folds):
            self.on_progress(f"{self.modality}, {scheme}", number, folds)
            train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            runs = [self._train(train, held, seed) for seed in range(self.seeds)]
            predicted[held], one_view[held] = np.mean(runs, axis=0)
            simple[held] = baselines.ridge(simple_features[train], trained_on[train], simple_features[held])
        return predicted, one_view, simple

    def _figures_of(
        self, source: str, scheme: str, parts: list[np.ndarray], units: np.ndarray, predicted: tuple[np.ndarray, ...]
    ) -> list[Figure]:
        """The figures of one source; `parts` are the indices of its rows in each fold, `predicted` as from `_predict_folds`."""
        labels = self._labels()
        by_tower, by_one_view, by_baseline = (
            [_r(*_means(units[own], predictions[own], labels[own])) for own in parts] for predictions in predicted
        )
        index = np.concatenate(parts)
        count = len(set(units[index]))
        figures = [self._figure(source, scheme, count, by_tower, by_baseline, index, predicted[0][index])]
        if self.modality == "image" and not np.array_equal(predicted[0], predicted[1]):
            figures.append(self._figure(source, f"{scheme}, one view", count, by_one_view, by_baseline, index, predicted[1][index]))
        return figures

    def text(self) -> tuple[list[Figure], np.ndarray, np.ndarray]:
        """Evaluate on the published test split with several seeds, trained on all texts that are not for validation or testing."""
        texts = self.data.manifest.texts
        labels, trained_on = self._labels(), self.data.manifest.va("text")
        train = np.array([index for index, row in enumerate(texts) if row.split in ("", "train")])
        held = np.array([index for index, row in enumerate(texts) if row.split == "test"])
        held_sources = {texts[index].source for index in held}
        same = [index for index in train if texts[index].source in held_sources]
        simple = tfidf_ridge([texts[index].caption for index in same], trained_on[same], [texts[index].caption for index in held])
        seeds = max(self.seeds, 3)
        # The test rows come first, then as many of each source without a published test split.
        published = {row.source for row in texts if row.split}
        others = [
            np.array([index for index in train if texts[index].source == name])
            for name in sorted({texts[index].source for index in train} - published)
        ]
        asked = np.concatenate([held, *(np.random.default_rng(0).permutation(own)[: len(held)] for own in others)])
        everything = [self._train(train, asked, seed)[0] for seed in range(seeds)]
        runs = [run[: len(held)] for run in everything]
        figures = []
        for source in sorted(held_sources):
            own = np.array([texts[index].source == source for index in held])
            r = [_r(run[own], labels[held][own]) for run in runs]
            base = [_r(simple[own], labels[held][own])]
            figures.append(self._figure(source, "test split", int(own.sum()), r, base, held[own], np.mean(runs, axis=0)[own]))
        return figures, np.mean(everything, axis=0), asked

    def _figure(
        self,
        source: str,
        protocol: str,
        rows: int,
        r: Sequence[np.ndarray],
        simple: Sequence[np.ndarray],
        index: np.ndarray,
        predicted: np.ndarray,
    ) -> Figure:
        """A figure of r (folds or seeds, 2); `predicted` (n, 2) are of the rows `index` (n,)."""
        mean, spread, base = np.mean(r, axis=0), np.std(r, axis=0), np.mean(simple, axis=0)
        labels = self.data.manifest.va(self.modality)[index]
        mae, constant = np.abs(predicted - labels).mean(axis=0), np.abs(labels - labels.mean(axis=0)).mean(axis=0)
        columns = (mean, spread, base, mae, constant)
        r_both, spread_both, base_both, mae_both, constant_both = ((float(pair[0]), float(pair[1])) for pair in columns)
        name = baselines.NAMES[self.modality]
        return Figure(self.modality, source, protocol, rows, r_both, spread_both, base_both, name, mae_both, constant_both)

    def _train(self, train: np.ndarray, held: np.ndarray, seed: int) -> np.ndarray:
        """VA (2, len(held), 2) of the rows `held`, in their order, predicted by a model trained on the rows `train`.

        Of the two predictions the first is from all views of a picture, the second from the first view, as for frames of a video.
        """
        settings = self.job.recipe.train.model_copy(update={"seed": seed})
        job = replace(self.job, recipe=self.job.recipe.model_copy(update={"train": settings}))
        parts = {"train": self._part(train), "val": self._part(held), "test": self._part(held)}
        model = session.build_model(job.recipe, Processes(), self.device)
        run = session.begin(job, Processes(), self.device, model, self.data, parts)
        run.training_mode()
        for step, batch in loop.batches(run, 0, self.steps):
            loop.train_step(run, run.model, batch, step, self.steps)
        kept = run.kept_model().eval()
        features, rows = run.features["test"][self.modality], np.arange(len(held))
        with torch.inference_mode():
            predicted = embed_rows(kept, self.modality, features, rows, self.device)[1]
            first = predicted
            if self.modality not in kept.finetuned and hasattr(tower := kept.tower(self.modality), "as_frames"):
                first = embed_rows(kept, self.modality, lambda index: tower.as_frames(features(index)), rows, self.device)[1]
        back = np.argsort(np.argsort(held))  # a part has its rows in the order of the manifest
        return np.stack([predicted[back], first[back]])

    def _labels(self) -> np.ndarray:
        """The labels (n, 2) of the data folder: standardised ones are clipped."""
        labels = {row.id: row.va for row in self.given.rows(self.modality)}
        return np.array([labels[row.id] for row in self.data.manifest.rows(self.modality)], np.float32)

    def _part(self, index: np.ndarray) -> Manifest:
        manifest, rows = self.data.manifest, index.tolist()
        if self.modality == "image":
            return manifest.subset(rows, [], [])
        return manifest.subset([], [], rows) if self.modality == "text" and manifest.texts else manifest.subset([], rows, [])


def assign_folds(keys: Sequence[str], sources: Sequence[str], folds: int) -> np.ndarray:
    """The fold (n,) of each row: rows with the same key stay together, and each source is spread evenly over the folds.

    With a fixed seed: the largest groups first (equal sizes in random order), each to the fold with the fewest rows of its source.

    Raises:
        DataError: a source with fewer keys than folds.
    """
    groups, fold = np.array(keys), np.empty(len(keys), np.int64)
    for source in sorted(set(sources)):
        own = np.array(sources) == source
        names, counts = np.unique(groups[own], return_counts=True)
        if len(names) < folds:
            raise DataError(f"source {source!r}: {len(names)} groups cannot be spread over {folds} folds: use fewer")
        shuffled = np.random.default_rng(0).permutation(len(names))
        sizes = np.zeros(folds, np.int64)
        for index in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
            least = int(sizes.argmin())
            fold[own & (groups == names[index])] = least
            sizes[least] += counts[index]
    return fold


def table(result: CrossValidation) -> str:
    """The figures as text: r of valence and arousal with their spread, the baseline's r, the error and that of a constant."""
    lines = [f"{'':<42}    n   r valence        r arousal        baseline      MAE           of a constant   (valence, arousal)"]
    for figure in result.figures:
        cells = "  ".join(f"{r:6.3f} ± {spread:.3f}" for r, spread in zip(figure.r, figure.spread, strict=True))
        name = f"{figure.modality}, {figure.source or 'no source'}, {figure.protocol}"
        pairs = "  ".join(f"{pair[0]:6.3f} {pair[1]:.3f}" for pair in (figure.baseline, figure.mae, figure.constant_mae))
        lines.append(f"{name:<42} {figure.rows:>5} {cells} {pairs}   {figure.baseline_name}")
    return "\n".join(lines)


def _means(units: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels (n, 2) as the means over the rows of each unit."""
    _, unit = np.unique(units, return_inverse=True)
    count = np.bincount(unit)[:, None]
    both = np.column_stack([predicted, labels]).astype(np.float64)
    sums = np.column_stack([np.bincount(unit, weights=column) for column in both.T]) / count
    return sums[:, :2], sums[:, 2:]


def _r(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([agreement(predicted[:, axis], labels[:, axis]).r for axis in (0, 1)])
