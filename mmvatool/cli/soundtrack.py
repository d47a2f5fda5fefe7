"""`mmvatool soundtrack`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.choices import LIVES
from mmvatool.cli.console import Reporter, Step, again, opener
from mmvatool.cli.inputs import Job, plan_soundtracks
from mmvatool.cli.jobs.batch import Batch, make_folder, place_plan
from mmvatool.cli.options import (
    PICTURE_OPTIONS,
    Load,
    Rate,
    Size,
    Time,
    existing_options,
    index_option,
    match_option,
    model_options,
    output_options,
    plan_options,
    settings_options,
)
from mmvatool.cli.sections import SectionedCommand
from mmvatool.text import format_clock, printable

if TYPE_CHECKING:
    from mmvatool.progress import Progress
    from mmvatool.soundtracks.result import Soundtrack, SoundtrackSettings
    from mmvatool.timeline import Cue


@click.command(
    cls=SectionedCommand,
    sections={
        "The music": ("library", "tracks", "match", "exclude", "per_scene", "seed", "index_file"),
        "The sound": ("duck", "lufs"),
        "Slideshows": ("order", "seconds", "fit", "beats", "crossfade_s", "still", "live", "fill", "size", "rate"),
        "A video that cannot be copied": ("interlaced", "to_sdr"),
        "Files": ("output", "report", "plan", "exports", "dry_run", "top"),
    },
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(), metavar="PICTURES|VIDEO...")
@click.option(
    "--library",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of music to choose from, with all below it.",
)
@click.option(
    "--track",
    "tracks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Choose from this music file instead of a library; where it begins is still chosen. Repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE|FOLDER",
    help="Where to write. A folder if it ends in /, exists as one, or several shows are given; else a file, whose suffix chooses the "
    "container (.mp4 .m4v .mov .mkv .webm).  [default: NAME.soundtrack.mp4 beside the input]",
)
@settings_options(
    "mmvatool.soundtracks.result:SoundtrackSettings",
    click.option(
        "--order",
        type=click.Choice(["name", "time", "given"]),
        help="Of the pictures: natural order of names, when they were taken (EXIF, a clip's creation date), or as given.  [default: name for a "
        "folder, given for a list]",
    ),
    click.option(
        "--live",
        type=click.Choice(LIVES),
        default="still",
        help="Of a Live Photo (IMG_0001.HEIC beside IMG_0001.MOV of 6 s at most): show the still, the clip, or both.",
    ),
    click.option("--seconds", type=Time(), default="4s", help="How long a picture is shown."),
    click.option(
        "--fit",
        type=click.Choice(["pictures", "music"]),
        default="pictures",
        help="The music ends with the pictures; or the pictures with the music, each shown from half to twice --seconds.",
    ),
    click.option(
        "--beats", is_flag=True, help="Move the changes of pictures to the nearest beat (needs librosa: pip install 'mmvatool[beats]')."
    ),
    match_option,
    click.option("--per-scene", is_flag=True, help="Split into scenes by valence and arousal, and choose a track for each, crossfaded."),
    click.option("--size", type=Size(), default="1920x1080", help="Size of a slideshow."),
    click.option("--fps", "rate", type=Rate(), default="30", help="Frames a second of a slideshow, e.g. 25 or 30000/1001."),
    click.option(
        "--fill",
        type=click.Choice(["blur", "black", "crop"]),
        default="blur",
        help="Around a picture of another shape: a blurred copy of it, or black; or cut it to fill.",
    ),
    click.option("--crossfade", "crossfade_s", type=Time(), default="1s", help="From picture to picture; 0 for hard cuts."),
    click.option("--still", is_flag=True, help="No slow pan and zoom."),
    click.option(
        "--duck/--replace",
        default=False,
        help="Keep a video's own sound, the music 12 dB lower under it; or the music alone.",
    ),
    click.option("--lufs", type=click.FloatRange(-70, -5), default=-14.0, help="Loudness of the result, in LUFS."),
    *PICTURE_OPTIONS,
    click.option(
        "--seed", type=click.IntRange(min=0), help="Draw among the tracks that are nearly as near, for variety.  [default: the nearest]"
    ),
    click.option("--top", type=click.IntRange(min=1), default=5, help="How many tracks of the ranking to print."),
    click.option(
        "--exclude", multiple=True, metavar="PATTERN", help="Leave out tracks whose path or name matches, e.g. 'xmas/*'. Repeatable."
    ),
)
@index_option
@click.option("--report", is_flag=True, help="Also write NAME.soundtrack.html: a page with curves, pictures, tracks and credits.")
@plan_options
@click.option("--dry-run", is_flag=True, help="Choose only: print the ranking, write nothing but --plan and --export.")
@existing_options("what has a soundtrack already")
@model_options
@output_options
def soundtrack(
    inputs: tuple[str, ...],
    library: Path | None,
    tracks: tuple[Path, ...],
    output: str | None,
    make_settings: "Callable[[], SoundtrackSettings]",
    index_file: str | None,
    report: bool,
    plan: str | None,
    exports: tuple[Path, ...],
    dry_run: bool,
    overwrite: bool,
    skip_existing: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Put music under pictures or a video that feels the same: nearest in valence (how pleasant) and arousal (how exciting).

    \b
    Examples:
      mmvatool soundtrack slideshow/ --library music/
      mmvatool soundtrack holiday.mp4 --library music/ --per-scene --duck
      mmvatool soundtrack *.jpg --track song.mp3 --fit music --beats
      mmvatool soundtrack trips/*/ --library music/ --top 3 --dry-run --json

    Each folder of pictures (and short clips) becomes a slideshow, pictures given one by one become one together, and a video keeps its
    picture untouched. The music is the track, and the segment of it, that lies nearest to what is shown: score is
    exp(-distance / sigma), Eq. 1 of the MMVA paper. Writes NAME.soundtrack.mp4 and NAME.soundtrack.json.
    """
    if (library is None) == (not tracks):
        raise click.UsageError("where the music comes from: give either --library FOLDER or --track FILE")
    jobs, missing, notes = plan_soundtracks(inputs, output)
    plan_to = place_plan(plan, exports, jobs)
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)
    for note in (*notes, *(job.note for job in jobs if job.note)):
        reporter.say(note)

    from mmvatool.pipelines.soundtrack import soundtrack as make_soundtrack

    settings = make_settings()
    batch = Batch["Soundtrack"](reporter, debug=debug)
    todo = batch.leave_existing(jobs) if skip_existing and not dry_run else jobs
    for absent in missing:
        batch.failed(absent, absent.path)
    if todo:
        try:
            if not dry_run:
                make_folder(todo[0].target, output)
            with reporter.busy("loading the model"):
                predictor = load(("image", "music"))
        except Exception as error:
            batch.failed(error, *(job.input for job in todo))
        else:

            def work(job: Job, progress: "Progress") -> "Soundtrack":
                return make_soundtrack(
                    job.files or job.input,
                    job.target,
                    library=library,
                    tracks=tracks,
                    index_file=index_file,
                    predictor=predictor,
                    settings=settings,
                    report=report,
                    plan=plan_to,
                    exports=exports,
                    dry_run=dry_run,
                    overwrite=overwrite,
                    progress=progress,
                )

            printed: set[str] = set()

            def report_result(result: "Soundtrack", seconds: float) -> None:
                for failure in result.failures:
                    if str(failure) not in printed:  # those of the library come with each result
                        printed.add(str(failure))
                        batch.failed(failure, failure.path)
                _report(result, reporter, seconds, table=dry_run and not as_json)

            batch.run(todo, work, report_result)
    if as_json:
        click.echo(batch.to_json())
    batch.conclude(*(_next_steps(batch.results[0], todo[0].target, report=report, plan=plan_to) if batch.results else ()))
    return batch.exit_code


def _next_steps(result: "Soundtrack", target: Path, *, report: bool, plan: Path | None) -> list[Step]:
    if result.output is None:
        from mmvatool.plan.files import plan_file

        return [("render it", again(without=["--dry-run"]) if plan is None else ["mmvatool", "render", plan_file(plan, target)])]
    why = opener(result.output.with_suffix(".html")) if report else again("--report", "--overwrite", without=["--skip-existing"])
    return [("watch it", opener(result.output)), ("why this music", why)]


def _report(result: "Soundtrack", reporter: Reporter, seconds: float, *, table: bool) -> None:
    if table:
        _print_ranking(result)
    for warning in result.warnings:
        reporter.detail(f"{result.input}: {warning}")
    if result.is_far:
        reporter.say(f"{result.input}: nothing in the library is near: the nearest track lies {result.nearest_distance:.2f} away")
    music = ", ".join(_cue(cue) for cue in result.timeline.cues)
    where = "would be chosen" if result.output is None else f"-> {result.output}"
    reporter.say(f"{result.input}: {format_clock(result.timeline.duration_s)} with {music} {where} in {seconds:.1f} s")


def _cue(cue: "Cue") -> str:
    fit = f"distance {cue.distance:.2f}" if cue.score is None else f"score {cue.score:.2f}"
    return f"{cue.path.name} from {format_clock(cue.offset_s)} ({fit})"


def _print_ranking(result: "Soundtrack") -> None:
    from rich.console import Console
    from rich.table import Table

    valence, arousal = result.va.tolist()
    by_rank = ", nearest by rank" if result.settings.match == "library" else ""
    table = Table(title=printable(f"{result.input}: valence {valence:.3f}, arousal {arousal:.3f}{by_rank}"), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("track", overflow="fold")
    for name in ("score", "distance", "valence", "arousal", "from", "length"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, ranked in enumerate(result.ranking, start=1):
        table.add_row(
            str(number),
            printable(str(ranked.path)),
            "-" if ranked.match.score is None else f"{ranked.match.score:.3f}",
            f"{ranked.match.distance:.3f}",
            f"{ranked.mean[0]:.3f}",
            f"{ranked.mean[1]:.3f}",
            format_clock(ranked.match.offset_s),
            format_clock(ranked.duration_s),
        )
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(table)
    for cue in result.timeline.cues if len(result.timeline.cues) > 1 else ():
        console.print(
            f"{format_clock(cue.start_s)} - {format_clock(cue.end_s)}  {printable(str(cue.path))} from {format_clock(cue.offset_s)}, distance {cue.distance:.3f}"
        )
