"""`mmvatool export`: a checkpoint's towers for other programs."""

from pathlib import Path

import click

from trainer.commands.options import OUT_FILE
from trainer.constants import MODALITIES


@click.command(short_help="Write a model as ONNX, for other programs.")
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option(
    "-o", "--out", type=OUT_FILE, required=True, metavar="FILE.onnx", help="The file; of several, their names come before its suffix."
)
@click.option("--tower", "towers", type=click.Choice(MODALITIES), multiple=True, help="Only this one. Repeatable.  [default: all]")
@click.option(
    "--form",
    type=click.Choice(("frames", "stills")),
    help="Of a compact image tower only that which sees frames of videos, or photos.  [default: both]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.  [default: an error]")
def export(checkpoint: str, out: Path, towers: tuple[str, ...], form: str | None, overwrite: bool) -> None:
    """Write the towers of CHECKPOINT (compact, or the path of one) as ONNX files, which need nothing else.

    \b
    Examples:
      mmvatool export compact -o model.onnx
      mmvatool export runs/mmva/best.safetensors --tower image -o clip.onnx

    Each is a file of its own: model.image.frames.onnx, model.image.stills.onnx, model.music.onnx, model.text.onnx. Its
    metadata say what goes in and what comes out. ONNX Runtime must give torch's numbers to .001, or nothing is written.
    """
    if out.suffix != ".onnx":
        raise click.UsageError(f"{out}: give a name that ends in .onnx")
    from trainer.export import export as write

    for path in write(checkpoint, out, towers or None, form, overwrite=overwrite):
        click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
