"""`mmvatool search`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli import EXIT_PARTLY
from mmvatool.cli.console import Reporter, opener
from mmvatool.cli.options import VA, Load, index_option, match_option, model_options, output_options
from mmvatool.cli.sections import SectionedCommand
from mmvatool.text import format_clock, printable

if TYPE_CHECKING:
    from mmvatool.pipelines.search import SearchResult
    from trainer import Predictor


@click.command(cls=SectionedCommand)
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@click.option(
    "--library",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of music to search, with all below it.",
)
@click.option(
    "--like",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead of words: find music with the predicted emotion of this picture, song or video (of its pictures).",
)
@click.option("--va", type=VA(), help="Instead of words: find music near this valence and arousal, each from 0 to 1.")
@click.option("--top", type=click.IntRange(min=1), default=10, help="How many tracks at most.")
@match_option
@index_option
@click.option("--paths", is_flag=True, help="Print the paths alone, one a line.")
@click.option("-0", "--print0", is_flag=True, help="Print the paths alone, each ended by a NUL, for xargs -0.")
@model_options
@output_options
def search(
    words: tuple[str, ...],
    library: Path,
    like: Path | None,
    va: tuple[float, float] | None,
    top: int,
    match: str,
    index_file: str | None,
    paths: bool,
    print0: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Find music that feels like words, a picture, a song or a video.

    \b
    Examples:
      mmvatool search "something dreamy for a sunset" --library music/
      mmvatool search --like photo.jpg --library music/ --top 3 --json
      mmvatool search --va 0.3,0.8 --library music/ --print0 | xargs -0 mpv

    Ranks the tracks of a folder by the distance of their mean valence (how pleasant) and arousal (how exciting), as predicted, from
    those of the query: score is
    exp(-distance / sigma), Eq. 1 of the MMVA paper. The first run analyzes all of the music; later ones only what is new or
    has changed.
    """
    if as_json + paths + print0 > 1:
        raise click.UsageError("--json, --paths and --print0 each choose the output: give one")
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)

    from mmvatool.pipelines.search import Query
    from mmvatool.pipelines.search import search as search_music

    query = Query(" ".join(words) if words else None, like, va)
    # The modality of --like is only known once the file is opened: all towers are loaded.
    with reporter.busy("loading the model"):
        predictor = load(None if query.like else ("music", "text") if query.text else ("music",))
    with reporter.progress() as progress:
        result = search_music(
            query.text,
            like=query.like,
            va=query.va,
            library=library,
            top=top,
            match=match,
            index_file=index_file,
            predictor=predictor,
            progress=progress,
        )
    for failure in result.failures:
        reporter.error(str(failure))
    _report(result, predictor, reporter)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    elif paths or print0:
        _print_paths(result, b"\0" if print0 else b"\n")
    else:
        _print_table(result, library)
        reporter.suggest(("listen to the first", opener(result.hits[0].path)))
    return EXIT_PARTLY if result.failures else 0


def _report(result: "SearchResult", predictor: "Predictor", reporter: Reporter) -> None:
    reporter.detail(result.indexed.summary())
    if predictor.sigma is None:
        reporter.say(f"{result.model} has no sigma: ranked by distance, without a score")
    if result.is_far:
        reporter.say(f"Nothing in the library is near: the nearest track lies {result.nearest_distance:.2f} away")


def _print_paths(result: "SearchResult", end: bytes) -> None:
    for hit in result.hits:
        path = os.fsencode(hit.path)
        click.echo((b"./" if path.startswith(b"-") else b"") + path + end, nl=False)


def _print_table(result: "SearchResult", library: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    valence, arousal = result.va.tolist()
    by_rank = " by rank" if result.match == "library" else ""
    table = Table(title=printable(f"nearest{by_rank} to valence {valence:.3f}, arousal {arousal:.3f} in {library}"), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("track", overflow="fold")
    for name in ("score", "distance", "valence", "arousal", "length"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank, hit in enumerate(result.hits, start=1):
        table.add_row(
            str(rank),
            printable(str(hit.path.relative_to(library))),
            "-" if hit.score is None else f"{hit.score:.3f}",
            f"{hit.distance:.3f}",
            f"{hit.valence:.3f}",
            f"{hit.arousal:.3f}",
            format_clock(hit.duration_s),
        )
    Console(markup=False, emoji=False, highlight=False).print(table)
