"""`mmvatool dataset`."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.commands.options import FILE, FOLDER, OUT_FOLDER, device_option, json_option, quiet_option

if TYPE_CHECKING:
    from trainer.data.captions import CaptionRecipe
    from trainer.data.imemnet import Captioner

    Bar = Callable[[Iterable[Any], int], Iterable[Any]]


@click.group()
def dataset() -> None:
    """Build data sets to train on.

    \b
    Example:
      mmvatool dataset open --oasis OASIS/ --emobank emobank.csv --out open-va
    """


@dataset.command("imemnet-c", short_help="Build IMEMNet-C from DEAM and the ratings of its pictures.")
@click.option(
    "--deam",
    "deam_dir",
    required=True,
    type=FOLDER,
    help="DEAM as unpacked: its dynamic annotations (valence.csv, arousal.csv) and its sound files, anywhere below.",
)
@click.option(
    "--out",
    default="imemnet-c",
    show_default=True,
    type=OUT_FOLDER,
    help="The data folder. All of DEAM takes about 13 GB: clips overlap.",
)
@click.option("--iaps", type=FILE, help="IAPS ratings as a CSV: id, valence, arousal (1 to 9).")
@click.option("--naps", type=FILE, help="NAPS ratings as a CSV: id, valence, arousal (1 to 9).")
@click.option("--emotic", type=FILE, help="EMOTIC ratings as a CSV: id, valence, arousal (1 to 10); several rows of an id are averaged.")
@click.option(
    "--scale",
    type=click.Choice(["minmax", "nominal"]),
    default="minmax",
    show_default=True,
    help="How ratings become labels in 0..1. minmax: each source's lowest is 0 and its highest 1, as in the published labels; nominal: the "
    "ends of its scale are (DEAM -1..1, IAPS and NAPS 1..9, EMOTIC 1..10).",
)
@click.option("--captions", type=FILE, help="Captions as a CSV: id, caption. They are taken as they are.")
@click.option(
    "--recipe", type=FILE, help="Instead of --captions: a TOML file whose [captions] table says how captions are made and refined."
)
@device_option("Where a captioner or language model of the recipe runs.")
@click.option("--skip-bad", is_flag=True, help="Leave bad tracks, clips and rows out and list them, instead of stopping at the first.")
@click.option("--overwrite", is_flag=True, help="Replace music_va.csv and image_va.csv if they are there.")
@quiet_option
@json_option()
def imemnet_c(
    deam_dir: Path,
    out: Path,
    iaps: Path | None,
    naps: Path | None,
    emotic: Path | None,
    scale: str,
    captions: Path | None,
    recipe: Path | None,
    device: str,
    skip_bad: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Build IMEMNet-C's data folder from DEAM and the ratings of its pictures.

    \b
    Example:
      mmvatool dataset imemnet-c --deam DEAM/ --captions captions.csv

    Cuts DEAM into 2-second clips with their per-second labels (which start at second 15), joins up to five consecutive clips
    to at most 10 seconds, labels each with the mean over its seconds, maps every source to 0..1, and writes music_va.csv,
    music/ and, if a source of pictures is given, image_va.csv. Captions that were made are kept in captions.jsonl, so that a run
    that broke off goes on there.
    """
    if captions and recipe:
        raise click.UsageError("--captions and --recipe: give one of them")
    from trainer.data import imemnet

    console = _console(quiet)
    plan = _read_recipe(recipe) if recipe else None
    bar = _bar(console)
    built = imemnet.build(
        deam_dir,
        out,
        ratings={name: file for name, file in (("iaps", iaps), ("naps", naps), ("emotic", emotic)) if file},
        scale=scale,
        captions=_captioner(captions, plan, out / "captions.jsonl", device, bar),
        skip_bad=skip_bad,
        overwrite=overwrite,
        progress=bar,
    )
    _list_skipped(console, built.skipped)
    console.print(f"{out}: {built.clips} clips" + (f", {built.images} images." if built.images else "."))
    if not built.images:
        console.print("image_va.csv is not written: give --iaps, --naps or --emotic, or put the published file there.")
    if not captions and not recipe:
        console.print("The clips have no captions: give --captions or --recipe.")
    if as_json:
        click.echo(json.dumps({"folder": str(out), "clips": built.clips, "images": built.images, "skipped": built.skipped}))


@dataset.command("open")
@click.option("--oasis", type=FOLDER, help="OASIS as unpacked: OASIS.csv and images/. 900 pictures.")
@click.option("--emotion6", type=FOLDER, help="Emotion6 as unpacked: ground_truth.txt and images/. 1,980 photographs.")
@click.option("--emotify", type=FOLDER, help="Emotify as unpacked: data.csv and a folder of mp3 files for each genre. 400 tracks.")
@click.option("--vgmidi", type=FOLDER, help="VGMIDI as cloned, with labelled/. 200 pieces, which fluidsynth renders.")
@click.option("--emopia", type=FOLDER, help="EMOPIA's MIDI files, Q1_SONG_0.mid and so on. 1,078 excerpts, which fluidsynth renders.")
@click.option("--emobank", type=FILE, help="EmoBank's emobank.csv. 10,000 sentences.")
@click.option("--norms", type=FILE, help="Warriner's word norms, Ratings_Warriner_et_al.csv: words, and captions of music made of them.")
@click.option(
    "--out",
    default="open-va",
    show_default=True,
    type=OUT_FOLDER,
    help="The data folder. All four take about 2.2 GB.",
)
@click.option(
    "--soundfont", type=FILE, help="A General MIDI soundfont (.sf2) for VGMIDI and EMOPIA. Looked for in the usual folders without."
)
@click.option("--skip-bad", is_flag=True, help="Leave bad pictures, tracks and rows out and list them, instead of stopping at the first.")
@click.option("--overwrite", is_flag=True, help="Replace the CSV files if they are there. Clips cut from the same files are kept.")
@quiet_option
@json_option()
def open_sets(
    oasis: Path | None,
    emotion6: Path | None,
    emotify: Path | None,
    vgmidi: Path | None,
    emopia: Path | None,
    emobank: Path | None,
    norms: Path | None,
    out: Path,
    soundfont: Path | None,
    skip_bad: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Lay open data sets out as one data folder to train on.

    \b
    Example:
      mmvatool dataset open --oasis OASIS/ --emobank emobank.csv --out open-va

    Name those that you have; each is to be had from its authors. Labels are each source's own scale brought to 0..1: OASIS 1..7, Emotion6 1..9,
    VGMIDI -1..1, EmoBank 1..5, words 1..9; Emotify's nine emotions stand for the valence and arousal of their words. Music is cut into 10-second
    clips that do not overlap. A run that broke off goes on where it was.
    """
    from trainer.data import open_sets

    sources = open_sets.Sources(oasis, emotify, vgmidi, emobank, norms, emotion6, emopia)
    if sources == open_sets.Sources():
        raise click.UsageError("no source: give at least one of --oasis, --emotion6, --emotify, --vgmidi, --emopia, --emobank and --norms")
    console = _console(quiet)
    built = open_sets.build(sources, out, soundfont=soundfont, skip_bad=skip_bad, overwrite=overwrite, progress=_bar(console))
    _list_skipped(console, built.skipped)
    console.print(f"{out}: {', '.join(f'{count} rows of {source}' for source, count in built.rows.items())}.")
    if as_json:
        click.echo(json.dumps({"folder": str(out), "rows": built.rows, "skipped": built.skipped}))


def _console(quiet: bool) -> Any:
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, soft_wrap=True, quiet=quiet)


def _list_skipped(console: Any, skipped: Sequence[str]) -> None:
    for line in skipped:
        console.print(f"Skipped: {line}")
    if skipped:
        console.print(f"Skipped {len(skipped)} in all.")


def _read_recipe(file: Path) -> "CaptionRecipe":
    import tomllib

    from trainer.data.captions import parse
    from trainer.errors import RecipeError

    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("captions")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: not TOML ({error}); correct the file") from error
    if not isinstance(table, dict):
        raise RecipeError(f"{file}: no [captions] table; it must say how captions are made")
    try:
        return parse(table)
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from error


def _captioner(csv: Path | None, plan: "CaptionRecipe | None", cache: Path, device: str, bar: "Bar") -> "Captioner | None":
    from trainer.data.captions import CaptionRecipe, make

    recipe = CaptionRecipe(csv=str(csv), refine=()) if csv else plan
    if recipe is None:
        return None
    return lambda clips: make([(clip.id, clip.path) for clip in clips], recipe, cache, device=device, progress=bar)


def _bar(console: Any) -> "Bar":
    """A progress bar on a terminal; nothing elsewhere."""
    from rich.progress import track

    def wrapped(items: Iterable[Any], total: int) -> Iterator[Any]:
        return iter(track(items, total=total, console=console, transient=True, description="", disable=not console.is_terminal))

    return wrapped
