"""`mmvatool evaluate va` and `retrieval`: how good a checkpoint is."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.commands.options import FOLDER, OUT_FOLDER, device_option, images_option, json_option, music_option, workers_option
from trainer.constants import MODALITIES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trainer.evaluation.opened import Opened


@click.group()
def evaluate() -> None:
    """Measure how good a model is.

    \b
    Examples:
      mmvatool evaluate va runs/mmva/best.safetensors --data imemnet-c
      mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --videos TVSum/
    """


def _shared(command: Callable[..., None], subject: str = "CHECKPOINT") -> Callable[..., None]:
    """Add the argument and the options that all evaluations have."""
    options = [
        click.argument("checkpoint", metavar=subject),
        click.option("--data", required=True, type=FOLDER, help="Folder with image_va.csv, music_va.csv, images/ and music/."),
        images_option,
        music_option,
        click.option(
            "--part",
            type=click.Choice(("test", "val", "train", "all")),
            default="test",
            show_default=True,
            help="Which part of the data, split as the checkpoint's recipe says.",
        ),
        click.option(
            "--weights",
            multiple=True,
            metavar="MODALITY=SOURCE",
            help="Folder or hub name of a tower's pretrained weights (image=, music=, text=), if not where they were in training.",
        ),
        click.option("--skip-bad", is_flag=True, help="Leave bad rows out and list them."),
        device_option(),
        workers_option,
        json_option("Print one JSON document."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@evaluate.command(short_help="Compare predictions with the labels of a data set.")
@partial(_shared, subject="CHECKPOINT|RECIPE")
@click.option("--cv", is_flag=True, help="Cross-validate a recipe instead: train it on parts of the data, judge it on the rest.")
@click.option(
    "--folds", type=click.IntRange(2, 100), default=5, show_default=True, help="Parts that pictures and tracks are divided into (--cv)."
)
@click.option(
    "--by",
    type=click.Choice(("fold", "source")),
    default="fold",
    show_default=True,
    help="What is held out (--cv): parts of each source, or one source after another.",
)
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Models averaged in each part (--cv).")
@click.option("--only", multiple=True, type=click.Choice(MODALITIES), help="Only this tower (--cv). Repeatable.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe (--cv). Repeatable.")
@click.option("--cache", type=OUT_FOLDER, help="Folder of the feature cache (--cv).  [default: DATA/features]")
def va(
    checkpoint: str,
    as_json: bool,
    cv: bool,
    folds: int,
    by: str,
    seeds: int,
    only: tuple[str, ...],
    changes: tuple[str, ...],
    cache: Path | None,
    **options: Any,
) -> None:
    """Compare predicted valence (how pleasant), arousal (how exciting) and similarity with the labels of a data set.

    \b
    Examples:
      mmvatool evaluate va runs/mmva/best.safetensors --data imemnet-c
      mmvatool evaluate va compact --cv --by source --data open-va

    The rows of the MMVA paper (Tables 1 and 3) stand beside. Errors (MSE, MAE) are the paper's columns; Pearson's r and Lin's concordance (CCC) stand below. Heads are measured as they were
    trained, before any calibration. The similarity is measured on
    random pairs of the part, the same for every checkpoint. The figures are also saved beside the checkpoint.

    A music MSE far below the paper's other columns can be a leak: with data.split=clip, windows of one track that overlap are in
    the training and in the test part.

    With --cv, a recipe is cross-validated: no theme, track or text is in both the training and the held-out part; each figure
    stands beside a simple baseline's on the same parts. --by source trains on all sources but one and judges on that one, which is
    nearer to what your files are.
    """
    if cv:
        _cross_validate(checkpoint, as_json, folds, by, seeds, only, changes, cache, options)
        return
    if only or changes or cache or by == "source":
        raise click.UsageError("--by, --only, --set and --cache go with --cv")
    from trainer.evaluation import paper
    from trainer.evaluation import va as evaluation

    with _open(checkpoint, options) as opened:
        result = evaluation.evaluate(opened.model, opened.features, opened.part, opened.sigma, opened.device)
        text = evaluation.table(opened.name, result, paper.va_rows(opened.recipe))
        _print(opened, f"va-{options['part']}", result.to_json(), text, as_json)


@evaluate.command(short_help="Measure how often a caption finds its clip of music.")
@_shared
@click.option("--pairs", type=click.IntRange(2), default=1000, show_default=True, help="Clips to choose from, drawn from the part.")
def retrieval(checkpoint: str, as_json: bool, pairs: int, **options: Any) -> None:
    """Measure how often a caption finds its clip of music by predicted valence (how pleasant) and arousal (how exciting).

    \b
    Example:
      mmvatool evaluate retrieval runs/mmva/best.safetensors --data imemnet-c

    Text-to-music retrieval, Tables 2 and 5 of the MMVA paper: R@K is the percentage of captions whose clip is among the K found first;
    mAP@10 counts one over its place.
    """
    from trainer.evaluation import paper
    from trainer.evaluation import retrieval as evaluation

    with _open(checkpoint, options) as opened:
        chosen = evaluation.choose(len(opened.part.clips), pairs)
        result = evaluation.evaluate(opened.model, opened.features, chosen, opened.device)
        text = evaluation.table(opened.name, result, paper.retrieval_rows(opened.recipe))
        _print(opened, f"retrieval-{options['part']}", result.to_json(), text, as_json)


def _cross_validate(
    recipe: str,
    as_json: bool,
    folds: int,
    by: str,
    seeds: int,
    only: tuple[str, ...],
    changes: tuple[str, ...],
    cache: Path | None,
    options: dict[str, Any],
) -> None:
    if options["weights"] or options["part"] != "test":
        raise click.UsageError("--weights and --part do not go with --cv")
    from rich.console import Console

    from trainer import recipe as recipes
    from trainer.evaluation import cv
    from trainer.session import Job

    console = Console(stderr=True, markup=False, highlight=False)
    given = {key: options[key] for key in ("images", "music", "device", "skip_bad", "workers")}
    job = Job(recipes.load(recipe, changes), options["data"], options["data"], cache=cache, **given)

    def on_progress(what: str, done: int, total: int) -> None:
        if console.is_terminal:
            console.print(f"{what}: {done} of {total}", end="\r")

    result = cv.cross_validate(job, folds=folds, seeds=seeds, only=only, by_source=by == "source", on_progress=on_progress)
    click.echo(json.dumps({"figures": [figure.to_json() for figure in result.figures]}) if as_json else cv.table(result))


def _open(checkpoint: str, options: dict[str, Any]) -> "AbstractContextManager[Opened]":
    from trainer.evaluation.opened import open_part

    weights = dict(_modality(value) for value in options.pop("weights"))
    return open_part(checkpoint, sources_of=weights, **options)


def _modality(value: str) -> tuple[str, str]:
    modality, equals, source = value.partition("=")
    if not equals or not source or modality not in MODALITIES:
        raise click.BadParameter(f"{value!r}: must be image=, music= or text= and a folder or hub name", param_hint="--weights")
    return modality, source


def _print(opened: "Opened", kind: str, figures: dict[str, Any], text: str, as_json: bool) -> None:
    for line in opened.part.skipped:
        click.echo(line, err=True)
    if opened.may_be_trained_on:
        click.echo("Some of these rows may have been trained on: the data or the part are not those that were held out.", err=True)
    click.echo(json.dumps(figures) if as_json else text)
    if opened.path.parent.name == "weights":  # of the installed package
        return
    beside = opened.path.with_name(f"{opened.path.stem}.{kind}.json")
    try:
        beside.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    except OSError as error:
        click.echo(f"{beside}: not written ({error.strerror})", err=True)
    else:
        if not as_json:
            click.echo(f"{beside}: these figures", err=True)
