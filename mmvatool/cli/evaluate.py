"""`mmvatool evaluate`: how good a checkpoint is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trainer.evaluation.opened import Opened

_DEVICES = ("auto", "cpu", "cuda", "mps")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def evaluate() -> None:
    """Measure how good a checkpoint is."""


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.argument("checkpoint", metavar="CHECKPOINT"),
        click.option("--data", required=True, type=_FOLDER, help="Folder with image_va.csv, music_va.csv, images/ and music/."),
        click.option("--images", type=_FOLDER, help="Where the pictures are, if not in DATA/images."),
        click.option("--music", type=_FOLDER, help="Where the clips are, if not in DATA/music."),
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
        click.option(
            "--device", type=click.Choice(("auto", "cpu", "cuda", "mps")), default="auto", show_default=True, help="Where to compute."
        ),
        click.option("--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="Threads that read files."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@evaluate.command()
@_shared
def va(checkpoint: str, as_json: bool, **options: Any) -> None:
    """Valence, arousal and similarity against the labels, beside the rows of the MMVA paper (Tables 1 and 3).

    Errors (MSE, MAE) are the paper's columns; Pearson's r and Lin's concordance (CCC) stand below. The similarity is measured on
    random pairs of the part, the same for every checkpoint. The figures are also saved beside the checkpoint.

    A music MSE far below the paper's other columns can be a leak: with data.split=clip, windows of one track that overlap are in
    the training and in the test part.

    \b
    Example:
      mmvatool evaluate va runs/mmva/best.safetensors --data ~/imemnet-c
    """
    from trainer.evaluation import paper
    from trainer.evaluation import va as evaluation

    with _open(checkpoint, options) as opened:
        found = evaluation.evaluate(opened.model, opened.features, opened.part, opened.sigma, opened.device)
        text = evaluation.table(opened.name, found, paper.va_rows(opened.recipe))
        _print(opened, f"va-{options['part']}", found.to_json(), text, as_json)


@evaluate.command()
@click.option("--pairs", type=click.IntRange(2), default=1000, show_default=True, help="Clips to choose from, drawn from the part.")
@_shared
def retrieval(checkpoint: str, as_json: bool, pairs: int, **options: Any) -> None:
    """Text-to-music retrieval: how often a caption finds its clip by predicted valence and arousal (Tables 2 and 5).

    R@K is the percentage of captions whose clip is among the K found first; mAP@10 counts one over its place.

    \b
    Example:
      mmvatool evaluate retrieval runs/mmva/best.safetensors --data ~/imemnet-c
    """
    from trainer.evaluation import paper
    from trainer.evaluation import retrieval as evaluation

    with _open(checkpoint, options) as opened:
        chosen = evaluation.choose(len(opened.part.clips), pairs)
        found = evaluation.evaluate(opened.model, opened.features, chosen, opened.device)
        text = evaluation.table(opened.name, found, paper.retrieval_rows(opened.recipe))
        _print(opened, f"retrieval-{options['part']}", found.to_json(), text, as_json)


def _open(checkpoint: str, options: dict[str, Any]) -> "AbstractContextManager[Opened]":
    from trainer.evaluation.opened import open_part

    weights = dict(_modality(value) for value in options.pop("weights"))
    return open_part(checkpoint, sources_of=weights, **options)


def _modality(value: str) -> tuple[str, str]:
    modality, equals, source = value.partition("=")
    if not equals or not source or modality not in ("image", "music", "text"):
        raise click.BadParameter(f"{value!r}: must be image=, music= or text= and a folder or hub name", param_hint="--weights")
    return modality, source


def _print(opened: "Opened", kind: str, figures: dict[str, Any], text: str, as_json: bool) -> None:
    for line in opened.part.skipped:
        click.echo(line, err=True)
    if opened.seen:
        click.echo("Some of these rows may have been trained on: the data or the part are not those that were held out.", err=True)
    click.echo(json.dumps(figures) if as_json else text)
    if opened.path.parent.name == "weights":  # of the installed package
        return
    beside = opened.path.with_name(f"{opened.path.stem}.{kind}.json")
    try:
        beside.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    except OSError as error:
        click.echo(f"{beside}: not written ({error.strerror})", err=True)
