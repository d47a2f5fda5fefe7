"""Train MMVA: AdamW, cosine annealing, random matching; the same losses on one process or several, interrupted or not.

The order, pairs, dropout and learning rate of a step depend on the seed and the step's number alone.
"""

import importlib.metadata
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainer import checkpoint, distributed, session, state
from trainer import recipe as recipes
from trainer.constants import MODALITIES
from trainer.data.pairing import scores_of
from trainer.devices import pick_device
from trainer.distributed import Processes
from trainer.errors import CheckpointError, DataError, TrainerError
from trainer.evaluation import va
from trainer.losses import similarity_loss, va_loss
from trainer.model.towers import LICENCES
from trainer.report import Report, plot
from trainer.session import Job, Session
from trainer.state import Progress, State

LAST, BEST, EVALUATION = "last.safetensors", "best.safetensors", "best.json"
_MIXUP = 3  # part of the seed: keeps its random numbers apart from those of the pairs
_PREFETCH = 2  # batches prepared while one is trained on


@dataclass(frozen=True)
class Result:
    """A finished training.

    Attributes:
        checkpoint: the one with the lowest validation loss.
        evaluation: of that checkpoint, on the test split.
        skipped: one line for each bad row that was left out.
        merged: one line for each id whose different labels were averaged.
    """

    checkpoint: Path
    evaluation: va.Evaluation
    skipped: tuple[str, ...]
    merged: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """This process's share of a step's global batch.

    Attributes:
        inputs: modality -> the distinct inputs, (m, ...).
        inverse: modality -> (n,) index of the input that each row has; without an entry row i has input i.
        labels: modality -> (n, 2).
        weights: modality -> (n, 2) of the labels in the loss.
        scores: (n,) of Eq. 1.
    """

    inputs: dict[str, Any]
    inverse: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    scores: torch.Tensor


def train(job: Job) -> Result:
    """Train from the beginning, or continue an interrupted run, then evaluate the best checkpoint.

    Writes into `job.out`: best.safetensors and last.safetensors (checkpoints), best.json (evaluation of the test split),
    metrics.csv, losses.png, state.safetensors (to resume from), run.json.

    Raises:
        TrainerError: an error in recipe, data, weights, device or the run's folder, in one line.
    """
    _check_folder(job)
    processes, device = distributed.start(torch.device(pick_device(job.device)))
    try:
        kept = state.load(job.out / state.NAME) if job.resume and (job.out / state.NAME).exists() else None
        if kept is not None:
            session.check_resumable(job.recipe, recipes.from_json(kept.recipe), kept.path)
        if processes.first:
            job.out.mkdir(parents=True, exist_ok=True)
            session.remember(job)
        with closing(Report(job.out, silent=not processes.first)) as report:
            result = _run(job, processes, device, kept, report)
        if processes.first:
            plot(job.out)
        processes.wait()
        return result
    finally:
        distributed.stop(processes)


def _run(job: Job, processes: Processes, device: torch.device, kept: State | None, report: Report) -> Result:
    """Set up the session, restore the state `kept` if there is one, train, and evaluate."""
    run = session.prepare(job, processes, device, report.step)
    try:
        if kept is not None:
            _restore(run, kept)
        progress = kept.progress if kept is not None else Progress()
        report.begin(progress.step // run.pairing.steps)
        progress = _epochs(run, progress, report)
        return _finish(run, progress, report)
    finally:
        run.pool.shutdown(cancel_futures=True)


def _restore(run: Session, kept: State) -> None:
    """Load a saved state into the session.

    Raises:
        DataError: the data changed since.
        CheckpointError: a tower's weights or configuration changed since.
    """
    if kept.data != run.manifest.fingerprint:
        raise DataError(f"{run.job.data}: not the data this run began with: restore them, or start a new run with another --out")
    cure = "restore the weights and their configuration, or start a new run with another --out"
    for modality, weights in checkpoint.read_note(kept.path, kept.notes, "backbones", str).items():
        if run.weights.get(modality) != weights:
            raise CheckpointError(f"{kept.path}: began with other weights of its {modality} tower: {cure}")
    checkpoint.check_encoders(kept.path, kept.notes, run.model, cure)
    kept.restore(run.model, run.optimizer, run.ema.model if run.ema is not None else None)


def _epochs(run: Session, progress: Progress, report: Report) -> Progress:
    """Train from `progress` to the end; validate at the end of epochs, save the state in between."""
    steps = run.pairing.steps
    total = run.recipe.train.epochs * steps
    model: nn.Module = run.model
    if run.processes.count > 1:
        devices = [run.device] if run.device.type == "cuda" else None
        # A fine-tuned transformer has parameters without gradients, such as its mask embedding.
        model = DistributedDataParallel(run.model, device_ids=devices, find_unused_parameters=bool(run.recipe.train.finetune))
    sums = torch.tensor(progress.sums, device=run.device)
    saved_s = time.monotonic()
    run.training_mode()
    for step, batch in batches(run, progress.step, total):
        sums += train_step(run, model, batch, step, total)
        progress = replace(progress, step=step + 1)
        report.step("training", step + 1, total)
        if progress.step % steps == 0:
            progress = _end_of_epoch(run, progress, sums / steps, report)
            sums.zero_()
            run.training_mode()
        if progress.step == total or time.monotonic() - saved_s >= run.recipe.train.save_every_s:
            progress = replace(progress, sums=tuple(sums.tolist()))
            _save(run, progress)
            saved_s = time.monotonic()
    return progress


def train_step(run: Session, model: nn.Module, batch: Batch, step: int, total: int) -> torch.Tensor:
    """One step of the optimizer.

    Args:
        run: the session.
        model: its model, or the DistributedDataParallel that wraps it.
        batch: this process's share.
        step: number of the step, from 0.
        total: number of steps in all, for the learning rate.

    Returns:
        (4,) losses of the global batch: image, music, text, similarity; 0 for those the recipe lacks.
    """
    for group, lr in zip(run.optimizer.param_groups, run.base_lrs, strict=True):
        group["lr"] = learning_rate(lr, step, total)
    torch.manual_seed(int(np.random.SeedSequence([run.recipe.train.seed, step, run.processes.rank]).generate_state(1)[0]))
    size = run.recipe.train.batch_size
    with run.autocast():
        output = model(batch.inputs, batch.inverse)
        zero = torch.zeros((), device=run.device)
        losses = [
            va_loss(output.va[modality], batch.labels[modality], size, batch.weights[modality]) if modality in output.va else zero
            for modality in MODALITIES
        ]
        losses.append(similarity_loss(output.similarity, batch.scores, size) if output.similarity is not None else zero)
    loss = torch.stack(losses).sum()
    run.optimizer.zero_grad(set_to_none=True)
    (loss * run.processes.count).backward()  # DistributedDataParallel averages gradients that have to be added up
    parameters = [parameter for group in run.optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(parameters, run.recipe.train.clip_norm)
    run.optimizer.step()
    if run.ema is not None:
        run.ema.update(run.model, step)
    return run.processes.add(torch.stack(losses).detach())


def learning_rate(base: float, step: int, total: int) -> float:
    """Cosine annealing from `base` to 0 over `total` steps."""
    return base * 0.5 * (1 + math.cos(math.pi * step / total))


def batches(run: Session, first: int, total: int) -> Iterator[tuple[int, Batch]]:
    """The steps from `first` on with this process's share of each, prefetched in a thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="batch") as maker:
        waiting = [(step, maker.submit(make_batch, run, step)) for step in range(first, min(first + _PREFETCH, total))]
        try:
            while waiting:
                step, future = waiting.pop(0)
                if step + _PREFETCH < total:
                    waiting.append((step + _PREFETCH, maker.submit(make_batch, run, step + _PREFETCH)))
                yield step, future.result()
        finally:
            maker.shutdown(wait=False, cancel_futures=True)


def make_batch(run: Session, step: int) -> Batch:
    """This process's share of a step."""
    rows, scores = run.pairing(step)
    share = run.processes.share(len(rows))
    inputs, inverse, labels, weights = {}, {}, {}, {}
    for column, modality in enumerate(MODALITIES):
        if modality not in run.model.modalities:
            continue
        # Rows i and i + count have the same input, which is read, mixed and computed once.
        count = min(int(run.recipe.pairs.distinct.get(modality, len(rows))), len(rows))
        slots, index_of = np.unique(np.arange(len(rows))[share] % count, return_inverse=True)
        inputs[modality], va, weight = _distinct_inputs(run, step, column, rows[:count, column], slots)
        labels[modality], weights[modality] = va[index_of], weight[index_of]
        if count < len(rows):
            inverse[modality] = torch.from_numpy(index_of).to(run.device)
    scores = scores_of(labels, run.sigma) if run.recipe.train.mixup else scores[share]
    return Batch(
        {modality: value.to(run.device) if isinstance(value, torch.Tensor) else value for modality, value in inputs.items()},
        inverse,
        {modality: torch.from_numpy(value).to(run.device) for modality, value in labels.items()},
        {modality: torch.from_numpy(value).to(run.device) for modality, value in weights.items()},
        torch.from_numpy(scores).to(run.device),
    )


def _distinct_inputs(run: Session, step: int, column: int, rows: np.ndarray, slots: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Inputs, labels and their weights (m, 2) of one modality for the m `slots` of a step's distinct rows (count,), with mixup if the recipe
    has it."""
    modality, alpha = MODALITIES[column], run.recipe.train.mixup
    features, labels, weights = run.features["train"][modality], run.train_va[modality], run.label_weights[modality]
    index = rows[slots]
    if not alpha or (modality not in run.model.finetuned and not getattr(run.model.tower(modality), "mixes", True)):
        return features(index), labels[index], weights[index]
    rng = np.random.default_rng([run.recipe.train.seed, step, _MIXUP, column])
    part = rng.beta(alpha, alpha, len(rows))[slots, None].astype(np.float32)
    weight, mates = np.maximum(part, 1 - part), rows[rng.permutation(len(rows))[slots]]
    mixed_labels, mixed_weights = (weight * values[index] + (1 - weight) * values[mates] for values in (labels, weights))
    return mix(features(index), features(mates), weight), mixed_labels, mixed_weights


def mix(inputs: Any, mates: Any, weight: np.ndarray) -> Any:
    """Mixup (Zhang et al. 2018): weight x inputs + (1 - weight) x mates, row by row; (n, ...) each, weight (n, 1)."""
    if not isinstance(inputs, torch.Tensor):  # a fine-tuned tower's preprocessed batch
        return [mix(own[None], mate[None], row[None])[0] for own, mate, row in zip(inputs, mates, weight, strict=True)]
    part = torch.from_numpy(weight).reshape(-1, *[1] * (inputs.ndim - 1))
    return part * inputs.float() + (1 - part) * mates.float()


def _end_of_epoch(run: Session, progress: Progress, means: torch.Tensor, report: Report) -> Progress:
    """Validate if it is due, save the checkpoint if it is the best so far, and report the epoch's mean losses (4,)."""
    epoch, losses = progress.step // run.pairing.steps, means.tolist()
    if not all(math.isfinite(value) for value in losses):
        raise TrainerError(f"epoch {epoch}: the loss is {sum(losses)}: lower train.lr and start again")
    val_loss = None
    due = epoch % run.recipe.train.validate_every == 0 or epoch == run.recipe.train.epochs
    if due and run.processes.first:  # the other processes wait in their next step
        evaluation = va.evaluate(run.kept_model(), run.features["val"], run.parts["val"], run.sigma, run.device)
        val_loss = evaluation.loss()
        if progress.best is None or val_loss < progress.best:
            progress = replace(progress, best=val_loss, best_epoch=epoch)
            _save_checkpoint(run, BEST, {"epoch": epoch, "val": evaluation.to_json()})
    row = dict(zip(("train_image", "train_music", "train_text", "train_similarity"), losses, strict=True))
    lr = learning_rate(run.base_lrs[0], progress.step - 1, run.recipe.train.epochs * run.pairing.steps)
    report.epoch({
        "epoch": epoch, "step": progress.step, "lr": f"{lr:.4g}", "train_loss": f"{sum(losses):.8f}",
        **{key: f"{value:.8f}" for key, value in row.items()},
        "val_loss": "" if val_loss is None else f"{val_loss:.8f}", "best": "*" if progress.best_epoch == epoch else "",
    })  # fmt: skip
    return progress


def _save(run: Session, progress: Progress) -> None:
    if run.processes.first:
        path = run.job.out / state.NAME
        average = run.ema.model if run.ema is not None else None
        state.save(path, run.model, run.optimizer, progress, run.recipe.to_json(), run.manifest.fingerprint, run.weights, average)
        _save_checkpoint(run, LAST, {"epoch": progress.step // run.pairing.steps})


def _finish(run: Session, progress: Progress, report: Report) -> Result:
    """Evaluate the best checkpoint on the test split and write the figures into it and into best.json."""
    path = run.job.out / BEST
    if not run.processes.first:
        return Result(path, va.Evaluation({}, None), run.manifest.skipped, run.manifest.merged)
    best = checkpoint.read(path)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in best.tensors.items()}
    model = run.kept_model()
    model.load_state_dict(tensors, strict=False)
    evaluation = va.evaluate(model, run.features["test"], run.parts["test"], run.sigma, run.device)
    metrics = {**json.loads(best.notes["metrics"]), "test": evaluation.to_json()}
    _save_checkpoint(run, BEST, metrics)
    (run.job.out / EVALUATION).write_text(json.dumps(evaluation.to_json(), indent=1) + "\n", "utf-8")
    report.note(f"{path}: best of {run.recipe.train.epochs} epochs, after epoch {progress.best_epoch}")
    return Result(path, evaluation, run.manifest.skipped, run.manifest.merged)


def _save_checkpoint(run: Session, name: str, metrics: dict[str, Any]) -> None:
    pretrained = {modality: str(spec["name"]) for modality, spec in run.recipe.towers.items() if spec["name"] in LICENCES}
    inside = {modality: LICENCES[tower] for modality, tower in pretrained.items() if modality in run.model.finetuned}
    libraries = {library: importlib.metadata.version(library) for library in ("torch", "safetensors", "transformers", "open_clip_torch")}
    notes = {
        "label_scale": "valence, arousal in [0, 1], as in the data's CSVs",
        "recipe": run.recipe.to_json(),
        "data": run.manifest.fingerprint,
        **({"sigma": repr(run.sigma)} if run.sigma is not None else {}),
        "metrics": json.dumps(metrics),
        "libraries": json.dumps(libraries),
        "licences": json.dumps(inside),
        "backbones": json.dumps(run.weights),
    }
    checkpoint.save(run.job.out / name, run.kept_model(), run.recipe.name, run.recipe.towers, notes, torch.float16)


def _check_folder(job: Job) -> None:
    if job.out.exists() and not job.out.is_dir():
        raise CheckpointError(f"{job.out}: is a file: name a folder for the run")
    if not job.resume and ((job.out / state.NAME).exists() or (job.out / BEST).exists()):
        raise CheckpointError(f"{job.out}: already holds a run: resume it (--resume {job.out}), or name another folder")
