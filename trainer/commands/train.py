"""`mmvatool train`, and `python -m trainer`."""

from pathlib import Path

import click

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bf16")
_FOLDER = click.Path(path_type=Path, file_okay=False)
_THERE = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("--data", type=_THERE, help="Folder with image_va.csv and music_va.csv, and images/ and music/ beside them.")
@click.option("--out", type=_FOLDER, help="Folder for the run; made if it is not there.")
@click.option("--resume", type=_THERE, help="Go on with the run in this folder, after a kill or a power cut, to the same result.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, such as train.epochs=20; may be repeated.")
@click.option("--images", type=_THERE, help="Where the pictures are, if not in DATA/images.")
@click.option("--music", type=_THERE, help="Where the clips are, if not in DATA/music.")
@click.option("--captions", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="A CSV of captions to use instead.")
@click.option("--cache", type=_FOLDER, help="Folder of the feature cache, which runs can share; default: DATA/features.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out, list them and count them at the end.")
@click.option("--strict-data", is_flag=True, help="Refuse ids that come twice with differing labels, instead of averaging them.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to compute.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="The recipe's train.precision; auto: bf16 on a GPU, else float32.")
@click.option("--batch-size", type=click.IntRange(1), help="The recipe's train.batch_size: of all processes together.")
@click.option("--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="Threads that read files.")
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
    """Train a model by RECIPE: a .toml file, or the name of one that comes along (mmva, mmva-no-random-matching,
    mmva-no-similarity, mmva-open, compact, compact-pretrain).

    Images and tracks are split into training, validation and test parts; --set data.split=clip splits at random by clip
    instead, which lets overlapping windows of one track leak into the test part.

    \b
    Examples:
      mmvatool train mmva --data ~/imemnet-c --out runs/mmva
      mmvatool train mmva --set train.epochs=20 --resume runs/mmva
      torchrun --nproc-per-node 4 -m trainer mmva --data ~/imemnet-c --out runs/mmva
    """
    if resume is None and (data is None or out is None):
        raise click.UsageError("give --data and --out, or --resume")
    if resume is not None and (data, out, images, music, captions, cache) != (None,) * 6:
        raise click.UsageError("--resume knows the run's data and folder: leave --data, --out and the other places away")
    from trainer import recipe as recipes

    shorthand = [f"train.precision={precision}"] if precision else []
    shorthand += [f"train.batch_size={batch_size}"] if batch_size else []
    checked = recipes.load(recipe, [*changes, *shorthand])

    if checked.classes is not None:
        if data is None or out is None:
            raise click.UsageError("a pretraining cannot be resumed: give --data and --out")
        from trainer import pretrain
        from trainer.session import Job

        done = pretrain.pretrain(Job(checked, data, out, device=device, workers=workers), lambda line: click.echo(line, err=True))
        click.echo(f"{done.checkpoint}: names the class of {done.accuracy:.1%} of held-out pictures of {done.classes} classes")
        return

    from trainer import loop, session
    from trainer.evaluation import paper, va

    if resume is not None:
        job = session.recall(resume, checked, device=device, workers=workers)
    else:
        assert data is not None
        assert out is not None
        job = session.Job(checked, data, out, images, music, captions, cache, False, device, skip_bad, strict_data, workers)
    result = loop.train(job)
    if not result.evaluation.va:  # of the processes, the first speaks
        return
    for line in (*result.merged, *result.skipped):
        click.echo(line, err=True)
    if result.skipped or result.merged:
        click.echo(f"{len(result.skipped)} bad rows left out, {len(result.merged)} ids with differing labels averaged", err=True)
    click.echo(va.table(checked.name, result.evaluation, paper.va_rows(checked)))
    if checked.data.split == "all":
        click.echo("These rows were trained on: only cross-validation says how good the model is.", err=True)
    if checked.train.calibrate:
        from trainer import calibrate
        from trainer.evaluation import cv

        click.echo(cv.table(calibrate.calibrate(job, result.checkpoint)))
