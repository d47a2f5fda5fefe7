"""`mmvatool train`, and `python -m trainer`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainer.commands.options import FILE, FOLDER, OUT_FOLDER, device_option, images_option, music_option, workers_option
from trainer.constants import TRAIN_PRECISIONS
from trainer.errors import LibraryLoadError

if TYPE_CHECKING:
    from trainer.recipe import Recipe
    from trainer.session import Job


@click.command(short_help="Train a model of your own.")
@click.argument("recipe", metavar="RECIPE")
@click.option("--data", type=FOLDER, help="Folder with image_va.csv and music_va.csv, and images/ and music/ beside them.")
@click.option("--out", type=OUT_FOLDER, help="Folder for the run; made if it is not there.")
@click.option("--resume", type=FOLDER, help="Go on with the run in this folder, after a kill or a power cut, to the same result.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, such as train.epochs=20; may be repeated.")
@images_option
@music_option
@click.option("--captions", type=FILE, help="A CSV of captions to use instead.")
@click.option("--cache", type=OUT_FOLDER, help="Folder of the feature cache, which runs can share.  [default: DATA/features]")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out, list them and count them at the end.")
@click.option("--strict-data", is_flag=True, help="Refuse ids that come twice with differing labels, instead of averaging them.")
@device_option()
@click.option(
    "--precision", type=click.Choice(TRAIN_PRECISIONS), help="Arithmetic; auto: bf16 on a GPU, else float32.  [default: the recipe's]"
)
@click.option("--batch-size", type=click.IntRange(1), help="Rows in a step, of all processes together.  [default: the recipe's]")
@workers_option
def train(
    recipe: str,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    changes: tuple[str, ...],
    images: Path | None,
    music: Path | None,
    captions: Path | None,
    cache: Path | None,
    skip_bad: bool,
    strict_data: bool,
    device: str,
    precision: str | None,
    batch_size: int | None,
    workers: int,
) -> None:
    """Train a model by RECIPE, a .toml file or the name of one that comes along.

    \b
    Examples:
      mmvatool train mmva --data imemnet-c --out runs/mmva
      mmvatool train mmva --set train.epochs=20 --resume runs/mmva
      torchrun --nproc-per-node 4 -m trainer mmva --data imemnet-c --out runs/mmva

    Those that come along: mmva, mmva-no-random-matching, mmva-no-similarity, mmva-open, compact, compact-pretrain. Images and tracks are split into training, validation and test parts; --set data.split=clip splits at random by clip
    instead, which lets overlapping windows of one track leak into the test part.
    """
    if resume is None and (data is None or out is None):
        raise click.UsageError("give --data and --out, or --resume")
    if resume is not None and (data, out, images, music, captions, cache) != (None,) * 6:
        raise click.UsageError("--resume knows the run's data and folder: leave --data, --out and the other places away")
    from trainer import recipe as recipes

    shorthand = [f"train.precision={precision}"] if precision else []
    shorthand += [f"train.batch_size={batch_size}"] if batch_size else []
    checked = recipes.load(recipe, [*changes, *shorthand])

    if checked.distill is not None:
        if data is None or out is None:
            raise click.UsageError("a distillation cannot be resumed: give --data and --out")
        _distill(checked, data, out, device, workers)
        return

    from trainer import session

    if resume is not None:
        job = session.recall(resume, checked, device=device, workers=workers)
    else:
        assert data is not None
        assert out is not None
        job = session.Job(checked, data, out, images, music, captions, cache, False, device, skip_bad, strict_data, workers)
    _train(job)


def _distill(recipe: "Recipe", data: Path, out: Path, device: str, workers: int) -> None:
    from trainer import distill
    from trainer.session import Job

    result = distill.distill(Job(recipe, data, out, device=device, workers=workers), lambda line: click.echo(line, err=True))
    click.echo(f"{result.checkpoint}: trained on {result.pictures} pictures")


def _train(job: "Job") -> None:
    """Train, print the evaluation, and calibrate if the recipe says so."""
    from trainer import loop
    from trainer.evaluation import paper, va

    result = loop.train(job)
    if not result.evaluation.va:  # only the first process reports
        return
    for line in (*result.merged, *result.skipped):
        click.echo(line, err=True)
    if result.skipped or result.merged:
        click.echo(f"{len(result.skipped)} bad rows left out, {len(result.merged)} ids with differing labels averaged", err=True)
    click.echo(va.table(job.recipe.name, result.evaluation, paper.va_rows(job.recipe)))
    if job.recipe.data.split == "all":
        click.echo("These rows were trained on: only cross-validation says how good the model is.", err=True)
    if job.recipe.train.calibrate:
        from trainer import calibrate
        from trainer.evaluation import cv

        click.echo(cv.table(calibrate.calibrate(job, result.checkpoint)))
        _attach_graphs(result.checkpoint.with_name(calibrate.SMALL))
    _attach_graphs(result.checkpoint)
    click.echo(f"{result.checkpoint}: the trained model", err=True)


def _attach_graphs(path: Path) -> None:
    """Add what ONNX Runtime needs to a finished checkpoint; a line says if that cannot be done here."""
    from trainer.export import attach_graphs

    try:
        attach_graphs(path)
    except LibraryLoadError as error:
        click.echo(f"{path}: for torch only, without graphs for ONNX Runtime: {error}", err=True)
