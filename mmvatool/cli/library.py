"""`mmvatool library`: the index of music that `search` and `soundtrack` read."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli import EXIT_PARTLY
from mmvatool.cli.console import Reporter
from mmvatool.cli.options import Load, index_option, model_option, model_options, output_options, precision_option
from mmvatool.cli.sections import SectionedCommand
from mmvatool.files import describe_left_out
from mmvatool.text import format_clock, printable

FILE_WIDTH = 140  # columns of a table that is not printed on a terminal

if TYPE_CHECKING:
    from mmvatool.pipelines.library import ListedTrack, Listing


@click.group()
def library() -> None:
    """Analyze a folder of music ahead, list its tracks, or forget them.

    \b
    Examples:
      mmvatool library index music/
      mmvatool library list music/ --sort arousal

    The index holds the analysis of each track: valence (how pleasant) and arousal (how exciting) over time, length, tempo, loudness and tags. `search` and
    `soundtrack` update it themselves.
    """


@library.command(cls=SectionedCommand, short_help="Analyze all music below FOLDER that is new or has changed.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@index_option
@model_options
@output_options
def index(
    folder: Path,
    index_file: str | None,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Analyze all music below FOLDER that is new or has changed, so that `search` and `soundtrack` need not wait for it.

    \b
    Examples:
      mmvatool library index music/
      mmvatool library index music/ --index music.sqlite3 --json

    A file that was renamed, moved or copied is not analyzed again. An interrupted run is continued by the next one; several at
    once share the work.
    """
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)

    from mmvatool.errors import QueryError
    from mmvatool.library.database import Library
    from mmvatool.library.update import index as update_index
    from mmvatool.library.update import no_music

    with reporter.busy("loading the model"):
        predictor = load(("music",))
    with reporter.progress() as progress, Library(index_file) as opened:
        indexed = update_index(folder, opened, predictor, progress=progress)
    if not indexed.tracks:
        raise QueryError(no_music(folder, indexed))
    for failure in indexed.broken:
        reporter.error(str(failure))
    if (others := describe_left_out(indexed.left_out)) is not None:
        reporter.say(others)
    reporter.say(f"{folder}: {indexed.summary()}")
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "index": str(opened.path), **indexed.to_json(), "model": predictor.name}, indent=2))
    index_options = [] if index_file is None else ["--index", index_file]
    reporter.suggest(
        ("find music", ["mmvatool", "search", "calm", "--library", folder, *index_options]),
        ("set pictures to it", ["mmvatool", "soundtrack", "pictures/", "--library", folder, *index_options]),
    )
    return EXIT_PARTLY if indexed.broken else 0


@library.command("list", cls=SectionedCommand, short_help="List the tracks of FOLDER with what was predicted.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--sort",
    type=click.Choice(["name", "length", "valence", "arousal", "tempo", "loudness"]),
    default="name",
    help="Ascending order of the tracks; those without the value come last.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")
@index_option
@precision_option
@model_option
@output_options
def list_tracks(
    folder: Path,
    sort: str,
    as_csv: bool,
    index_file: str | None,
    precision: str,
    model: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """List the tracks of FOLDER with what the index holds of them.

    \b
    Examples:
      mmvatool library list music/ --sort arousal
      mmvatool library list music/ --csv > music.csv

    No file is opened, and the folder need not exist. Valence (how pleasant) and arousal (how exciting) are the mean over the track
    and, after the sign, its standard deviation. Tempo is in beats a minute, loudness in
    LUFS (ITU-R BS.1770). Files that cannot be decoded are listed with -v and --json.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be printed at once: give one")
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)

    from mmvatool.pipelines.library import list_tracks as read_listing

    listing = read_listing(folder, index_file=index_file, model=model, precision=precision, sort=sort)
    for failure in listing.failures:
        reporter.detail(f"Broken: {failure}")
    if listing.not_predicted:
        reporter.say(
            f"{listing.not_predicted} more in the index were not analyzed with {listing.model}: run mmvatool library index {folder} with this model"
        )
    if as_json:
        click.echo(json.dumps(listing.to_json(), indent=2))
    elif as_csv:
        _print_csv(listing)
    else:
        _print_table(listing, folder)
    return 0


@library.command(cls=SectionedCommand)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Remove all tracks from the index.")
@index_option
@output_options
def forget(folder: Path | None, everything: bool, index_file: str | None, as_json: bool, quiet: bool, verbose: bool, debug: bool) -> int:
    """Remove the tracks of FOLDER from the index.

    \b
    Examples:
      mmvatool library forget music/old/
      mmvatool library forget --all

    The folder need not exist any more. The analysis of a sound is deleted with the last file that has it. The files themselves are not touched.
    """
    if (folder is None) != everything:
        raise click.UsageError("what to forget: give either FOLDER or --all")
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)

    from mmvatool.pipelines.library import forget as remove

    forgotten = remove(folder, index_file=index_file)
    reporter.say(f"{forgotten} file{'s' if forgotten != 1 else ''} forgotten")
    if as_json:
        click.echo(json.dumps({"folder": None if folder is None else str(folder), "forgotten": forgotten}, indent=2))
    return 0


def _print_csv(listing: "Listing") -> None:
    """Print rows in UTF-8; bytes of names that are not UTF-8 are escaped as in JSON."""
    table = io.StringIO()
    rows = [listed.to_json() for listed in listing.results]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    click.echo(table.getvalue().encode("utf-8", "backslashreplace"), nl=False)


def _print_table(listing: "Listing", folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    count = len(listing.results)
    table = Table(
        title=printable(f"{count} track{'s' if count != 1 else ''} in {folder}, predicted by {listing.model}"), title_justify="left"
    )
    table.add_column("track", overflow="fold", min_width=16)
    for name in ("length", "valence", "arousal", "BPM", "LUFS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("artist, title, licence", overflow="ellipsis", no_wrap=True)
    for listed in listing.results:
        table.add_row(*_cells(listed, folder))
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table)


def _cells(listed: "ListedTrack", folder: Path) -> list[str]:
    track = listed.track
    va = [f"{mean:.2f} ±{spread:.2f}" for mean, spread in zip(track.mean, track.spread, strict=True)]
    return [
        printable(str(listed.path.relative_to(folder))),
        format_clock(track.duration_s),
        *va,
        "-" if track.tempo_bpm is None else f"{track.tempo_bpm:.0f}",
        "-" if track.loudness_lufs is None else f"{track.loudness_lufs:.1f}",
        printable(", ".join(text for text in (track.artist, track.title, track.licence) if text)),
    ]
