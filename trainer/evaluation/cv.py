"""Cross-validation: how good a recipe is on pictures, tracks and texts it was not trained on, beside simple baselines.

Each tower is trained alone, for as many steps as in the joint training and with as many different rows a step, and judged on what
was held out by its last weights: no fold chooses anything.

    image   by theme ("unseen themes": no group of pictures is in two folds) and plain (any picture may be in any fold)
    music   by track; a track's prediction and label are the means over its clips
    text    on the test split that its source publishes, from several seeds
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from trainer import loop, session
from trainer.constants import MODALITIES, OnProgress
from trainer.data import manifest as manifests
from trainer.data.manifest import Manifest
from trainer.distributed import Processes
from trainer.errors import DataError
from trainer.evaluation import baselines
from trainer.evaluation.baselines_text import tfidf_ridge
from trainer.evaluation.va import AXES, agreement, embed_rows
from trainer.predict import pick_device
from trainer.session import Data, Job


@dataclass(frozen=True)
class Figure:
    """Pearson's r of one protocol on one source.

    Attributes:
        modality: "image", "music" or "text".
        source: data set.
        protocol: how it was split: "unseen themes", "plain", "by track" or "test split"; of pictures also "..., one view".
        rows: pictures, tracks or texts judged in all.
        r: valence, arousal: mean over the folds or seeds.
        spread: their standard deviations over the folds or seeds.
        baseline: what the baseline reaches on the same folds.
        baseline_name: what it is.
    """

    modality: str
    source: str
    protocol: str
    rows: int
    r: tuple[float, float]
    spread: tuple[float, float]
    baseline: tuple[float, float]
    baseline_name: str

    def to_json(self) -> dict[str, object]:
        """The fields, VA as {"valence", "arousal"}."""
        return {key: dict(zip(AXES, value, strict=True)) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class CrossValidation:
    """What was measured, and what of every held-out row was said, for calibration.

    Attributes:
        figures: one for each modality, source and protocol.
        predictions: modality -> VA (n, 2) predicted of rows that were held out, any order; of texts also as many of each source that
            has none held out, so that words and captions count for the calibration as sentences do.
    """

    figures: tuple[Figure, ...]
    predictions: dict[str, np.ndarray]


def cross_validate(
    job: Job, *, folds: int = 5, seeds: int = 1, only: Sequence[str] = (), on_progress: OnProgress = lambda what, done, total: None
) -> CrossValidation:
    """Cross-validate the towers of a recipe.

    Args:
        job: whose recipe and data are used; nothing is written but the feature cache.
        folds: at least 2.
        seeds: models whose predictions are averaged in each fold (image, music), or the runs whose spread is shown (text).
        only: the modalities to cross-validate; empty for all that the recipe has.
        told: is told of the runs: what, done, total.

    Raises:
        TrainerError: whatever is wrong with data, recipe or device.
    """
    if folds < 2:
        raise ValueError(f"{folds} folds: at least 2 are needed")
    device = pick_device(job.device)
    given = manifests.load(job.data, skip_bad=True, modalities=tuple(job.recipe.towers))
    largest = max(len(given.rows(modality)) for modality in MODALITIES)
    steps = job.recipe.train.epochs * -(-largest // job.recipe.train.batch_size)
    job = _with_towers(job, [modality for modality in job.recipe.towers if not only or modality in only])
    data = session.read_data(job, session.build_model(job.recipe, Processes(), device), Processes(), on_progress)
    found: list[Figure] = []
    predictions: dict[str, np.ndarray] = {}
    try:
        for modality in job.recipe.towers:
            runner = _Runner(_alone(job, modality), data, given, modality, steps, device, seeds, on_progress)
            figures, predictions[modality] = runner.text() if modality == "text" and _published(data.manifest) else runner.by_folds(folds)
            found += figures
    finally:
        data.pool.shutdown(cancel_futures=True)
    return CrossValidation(tuple(found), predictions)


def _with_towers(job: Job, kept: Sequence[str]) -> Job:
    """The job with some of its towers, and without the similarity predictor."""
    recipe = job.recipe
    towers = {modality: recipe.towers[modality] for modality in kept}
    start = {modality: source for modality, source in recipe.start.items() if modality in kept}
    return replace(job, recipe=replace(recipe, towers=towers, start=start, model=replace(recipe.model, similarity=False)))


def _alone(job: Job, modality: str) -> Job:
    """The job with one tower, and batches of as many rows as are different in those of the joint training."""
    recipe = _with_towers(job, [modality]).recipe
    batch = int(recipe.pairs.distinct.get(modality, recipe.train.batch_size))
    train, pairs = replace(recipe.train, batch_size=batch), replace(recipe.pairs, distinct={})
    return replace(job, recipe=replace(recipe, train=train, pairs=pairs))


def _published(manifest: Manifest) -> bool:
    return any(row.split == "test" for row in manifest.texts)


@dataclass(frozen=True)
class _Runner:
    job: Job
    data: Data
    given: Manifest  # with the labels as they are in the data folder: what is judged by
    modality: str
    steps: int
    device: torch.device
    seeds: int
    on_progress: OnProgress

    def by_folds(self, folds: int) -> tuple[list[Figure], np.ndarray]:
        """Figures of each protocol and source, and the held-out predictions of the last protocol but plain."""
        rows = self.data.manifest.rows(self.modality)
        labels, trained_on = self._labels(), self.data.manifest.va(self.modality)
        schemes = {"image": ("unseen themes", "plain"), "music": ("by track",), "text": ("by text",)}[self.modality]
        sources = np.array([row.source for row in rows])
        units = np.array([getattr(row, "track", row.id) for row in rows])
        plain = baselines.features(self.modality, rows, self.data.pool)
        figures, kept = [], None
        for scheme in schemes:
            keys = [getattr(row, "group", "") or row.id for row in rows] if scheme == "unseen themes" else units.tolist()
            fold = assign_folds(keys, sources.tolist(), folds)
            predicted, glanced, simple = (np.empty_like(labels) for _ in range(3))
            for number in range(folds):
                self.on_progress(f"{self.modality}, {scheme}", number, folds)
                train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
                runs = [self._train(train, held, seed) for seed in range(self.seeds)]
                predicted[held], glanced[held] = np.mean(runs, axis=0)
                simple[held] = baselines.ridge(plain[train], trained_on[train], plain[held])
            for source in sorted({row.source for row in rows}):
                parts = [np.flatnonzero((fold == number) & (sources == source)) for number in range(folds)]

                def by_part(predictions: np.ndarray, parts: list[np.ndarray] = parts) -> list[np.ndarray]:
                    return [_r(*_means(units[own], predictions[own], labels[own])) for own in parts]

                count, base = len(set(units[sources == source])), by_part(simple)
                figures.append(self._figure(source, scheme, count, by_part(predicted), base))
                if self.modality == "image" and not np.array_equal(predicted, glanced):
                    figures.append(self._figure(source, f"{scheme}, one view", count, by_part(glanced), base))
            kept = predicted if kept is None else kept
        assert kept is not None
        return figures, kept

    def text(self) -> tuple[list[Figure], np.ndarray]:
        """The published test split, from several seeds; every text that is not for testing is trained on, but those for validation."""
        texts = self.data.manifest.texts
        labels, trained_on = self._labels(), self.data.manifest.va("text")
        train = np.array([at for at, row in enumerate(texts) if row.split in ("", "train")])
        held = np.array([at for at, row in enumerate(texts) if row.split == "test"])
        same = [at for at in train if texts[at].source in {texts[index].source for index in held}]
        simple = tfidf_ridge([texts[at].caption for at in same], trained_on[same], [texts[at].caption for at in held])
        seeds = max(self.seeds, 3)
        # What is judged comes first, then as many of each source that publishes no test split.
        published = {row.source for row in texts if row.split}
        others = [
            np.array([at for at in train if texts[at].source == name]) for name in sorted({texts[at].source for at in train} - published)
        ]
        asked = np.concatenate([held, *(np.random.default_rng(0).permutation(own)[: len(held)] for own in others)])
        everything = [self._train(train, asked, seed)[0] for seed in range(seeds)]
        runs = [run[: len(held)] for run in everything]
        figures = []
        for source in sorted({texts[at].source for at in held}):
            own = np.array([texts[at].source == source for at in held])
            r = [_r(run[own], labels[held][own]) for run in runs]
            figures.append(self._figure(source, "test split", int(own.sum()), r, [_r(simple[own], labels[held][own])]))
        return figures, np.mean(everything, axis=0)

    def _figure(self, source: str, protocol: str, rows: int, r: Sequence[np.ndarray], simple: Sequence[np.ndarray]) -> Figure:
        mean, spread, base = np.mean(r, axis=0), np.std(r, axis=0), np.mean(simple, axis=0)
        name = baselines.NAMES[self.modality]
        return Figure(self.modality, source, protocol, rows, (mean[0], mean[1]), (spread[0], spread[1]), (base[0], base[1]), name)

    def _train(self, train: np.ndarray, held: np.ndarray, seed: int) -> np.ndarray:
        """VA (2, len(held), 2) of the rows `held`, in their order, by a model trained on `train` alone: of pictures by all of their
        views and by the first, as frames of a video are looked at.
        """
        job = replace(self.job, recipe=replace(self.job.recipe, train=replace(self.job.recipe.train, seed=seed)))
        parts = {"train": self._part(train), "val": self._part(held), "test": self._part(held)}
        model = session.build_model(job.recipe, Processes(), self.device)
        run = session.begin(job, Processes(), self.device, model, self.data, parts)
        run.training_mode()
        for step, batch in loop.batches(run, 0, self.steps):
            loop.train_step(run, run.model, batch, step, self.steps)
        kept = run.kept_model().eval()
        features, rows = run.features["test"][self.modality], np.arange(len(held))
        with torch.inference_mode():
            found = embed_rows(kept, self.modality, features, rows, self.device)[1]
            first = (
                embed_rows(kept, self.modality, lambda index: features(index)[:, :1], rows, self.device)[1]
                if self.modality == "image"
                else found
            )
        back = np.argsort(np.argsort(held))  # a part has its rows in the manifest's order
        return np.stack([found[back], first[back]])

    def _labels(self) -> np.ndarray:
        """The given labels (n, 2) of the rows that are trained and judged: standardised ones are cut at the ends of the scale."""
        found = {row.id: row.va for row in self.given.rows(self.modality)}
        return np.array([found[row.id] for row in self.data.manifest.rows(self.modality)], np.float32)

    def _part(self, index: np.ndarray) -> Manifest:
        manifest, rows = self.data.manifest, index.tolist()
        if self.modality == "image":
            return manifest.subset(rows, [], [])
        return manifest.subset([], [], rows) if self.modality == "text" and manifest.texts else manifest.subset([], rows, [])


def assign_folds(keys: Sequence[str], sources: Sequence[str], folds: int) -> np.ndarray:
    """The fold (n,) of each row: rows of one key stay together, and each source is spread evenly over the folds.

    Drawn with a fixed seed: largest keys first (of the same size in random order), each to the fold with the fewest rows of its source.

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
        for at in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
            least = int(sizes.argmin())
            fold[own & (groups == names[at])] = least
            sizes[least] += counts[at]
    return fold


def table(found: CrossValidation) -> str:
    """The figures as text: r of valence and arousal with their spread, and the baseline's beside them."""
    lines = [f"{'':<34}    n   r valence        r arousal        baseline (valence, arousal)"]
    for figure in found.figures:
        cells = "  ".join(f"{r:6.3f} ± {spread:.3f}" for r, spread in zip(figure.r, figure.spread, strict=True))
        name = f"{figure.modality}, {figure.source or 'no source'}, {figure.protocol}"
        lines.append(f"{name:<34} {figure.rows:>5} {cells}   {figure.baseline[0]:.3f} {figure.baseline[1]:.3f}  {figure.baseline_name}")
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
