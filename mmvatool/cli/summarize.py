"""`mmvatool summarize`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli.console import Reporter, Step, again, opener
from mmvatool.cli.inputs import find_videos, plan_jobs
from mmvatool.cli.jobs.batch import Batch, make_folder, place_plan
from mmvatool.cli.jobs.engines import many_options, pick_engine
from mmvatool.cli.jobs.work import Task
from mmvatool.cli.options import (
    Load,
    SignalChoice,
    Time,
    TimeRange,
    cache_option,
    exclusive,
    existing_options,
    model_options,
    output_options,
    picture_options,
    plan_options,
    sampling_option,
    settings_options,
)
from mmvatool.cli.sections import SectionedCommand
from mmvatool.text import format_clock, format_length, printable

if TYPE_CHECKING:
    from mmvatool.summary.result import Summary
    from mmvatool.summary.settings import SummarySettings


@click.command(
    cls=SectionedCommand,
    sections={
        "What to keep": ("ratio", "duration_s", "keep", "drop", "by"),
        "How shots are found and weighed": ("shots", "value", "min_shot_s", "max_shot_s", "sampling"),
        "The video": ("output", "lossless", "encoder", "interlaced", "to_sdr", "chapters"),
        "Files beside it": ("report", "plot", "plan", "exports", "dry_run"),
        "Many videos": ("cache", "jobs", "engine"),
    },
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(), metavar="VIDEO|FOLDER...")
@click.option(
    "-o",
    "--output",
    type=click.Path(),  # a shell completes file names for this type
    metavar="FILE|FOLDER",
    help="Where to write. A folder if it ends in /, exists as one, or several videos are given; else a file, whose suffix chooses the "
    "container (.mp4 .m4v .mov .mkv .webm).  [default: NAME.summary.mp4 beside the video]",
)
@exclusive("ratio", "duration_s", "--ratio and --duration say the same thing twice: give one")
@settings_options(
    "mmvatool.summary.settings:SummarySettings",
    click.option("--ratio", type=float, help="Part of the video to keep at most, between 0 and 1.  [default: 0.15]"),
    click.option("--duration", "duration_s", type=Time(), help="Length to keep at most, instead of --ratio: 90, 1m30s, 1:30."),
    click.option(
        "--by",
        type=SignalChoice(["image", "audio", "both"]),
        default="image",
        help="Whose arousal counts: that of the image, of the audio (10 seconds around each moment), or the mean of both ranks.",
    ),
    click.option(
        "--shots",
        type=click.Choice(["auto", "uniform"]),
        default="auto",
        help="Where shots begin and end: at change points of the model's embeddings, or every 2 seconds.",
    ),
    click.option(
        "--value",
        type=click.Choice(["integral", "mean"]),
        default="integral",
        help="Worth of a shot: mean arousal x length, or the mean alone (TVSum's protocol; prefers short shots).",
    ),
    click.option("--keep", type=TimeRange(), multiple=True, help="Keep this range whatever it shows, e.g. 1:20-1:35. Repeatable."),
    click.option("--drop", type=TimeRange(), multiple=True, help="Leave this range out, e.g. 0-10. Repeatable."),
    click.option("--min-shot", "min_shot_s", type=Time(), default="1s", help="Shortest shot."),
    click.option("--max-shot", "max_shot_s", type=Time(), default="15s", help="Longest shot, at least 4s."),
    sampling_option,
    click.option(
        "--lossless", is_flag=True, help="Copy instead of encoding: fast, the source's own quality, cuts at keyframes where they can be."
    ),
)
@click.option(
    "--encoder",
    type=click.Choice(["software", "auto"]),
    default="software",
    help="software renders to the same frames on every machine; auto encodes in hardware (NVENC, VideoToolbox, Quick Sync) where a trial of "
    "two frames shows that it works.",
)
@picture_options
@click.option("--plot", is_flag=True, help="Also write NAME.summary.png: the arousal curve with the kept parts shaded.")
@click.option(
    "--report",
    is_flag=True,
    help="Also write NAME.summary.html: a page with the curve, every shot and why it was kept or not.",
)
@click.option("--chapters", is_flag=True, help="Make a chapter for each kept segment.  [default: the source's chapters, moved]")
@plan_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Choose only: print the shots, write nothing but --plan and --export; without these, cuts are estimated.",
)
@existing_options("videos whose summary exists")
@cache_option
@many_options
@model_options
@output_options
def summarize(
    inputs: tuple[str, ...],
    output: str | None,
    make_settings: "Callable[[], SummarySettings]",
    encoder: str,
    interlaced: str,
    to_sdr: bool,
    plot: bool,
    report: bool,
    plan: str | None,
    exports: tuple[Path, ...],
    chapters: bool,
    dry_run: bool,
    overwrite: bool,
    skip_existing: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
    engine: str,
    jobs: int | None,
    cache: bool,
) -> int:
    """Cut videos down to their most exciting moments: those of the highest predicted arousal.

    \b
    Examples:
      mmvatool summarize vlog.mp4
      mmvatool summarize *.mp4 -o out/ --ratio 0.2 --json
      mmvatool summarize talk.mkv --duration 1m30s --by audio
      mmvatool summarize vlog.mp4 --keep 1:20-1:35 --drop 0-10 --dry-run

    Writes NAME.summary.mp4 and NAME.summary.json for each video; of two of one name, A.mp4 and A.MOV, the second goes to
    A.MOV.summary.mp4. Folders give the videos directly in them; the tool's own outputs (*.summary.*) and the clips of Live Photos are
    left out.
    """
    files, missing, notes = find_videos(inputs)
    planned = plan_jobs(files, "summary", output, several=len(inputs) > 1)
    plan_to = place_plan(plan, exports, planned)
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)
    for note in (*notes, *(job.note for job in planned if job.note)):
        reporter.say(note)

    from mmvatool.pipelines.summarize import summarize as summarize_video
    from mmvatool.summary.curve import modalities

    settings = make_settings()
    batch = Batch["Summary"](reporter, debug=debug)
    todo = batch.leave_existing(planned) if skip_existing and not dry_run else planned
    for absent in missing:
        batch.failed(absent, absent.path)
    if todo:
        work: Task[Summary] = Task(
            partial(load.shared(min(jobs or 1, len(todo))), modalities(settings)),
            partial(
                summarize_video,
                settings=settings,
                plot=plot,
                report=report,
                plan=plan_to,
                exports=exports,
                chapters=chapters,
                dry_run=dry_run,
                encoder=encoder,
                interlaced=interlaced,
                to_sdr=to_sdr,
                cache=cache,
            ),
            overwrite,
        )
        workers = pick_engine(engine, jobs, len(todo), load.device)
        try:
            if not dry_run:
                make_folder(todo[0].target, output)
            if workers is None:
                with reporter.busy("loading the model"):
                    _ = work.predictor
        except Exception as error:
            batch.failed(error, *(job.input for job in todo))
        else:
            batch.run(todo, work, lambda summary, seconds: _report(summary, reporter, seconds, table=dry_run and not as_json), workers)
    if as_json:
        click.echo(batch.to_json())
    batch.conclude(*(_next_steps(batch.results[0], todo[0].target, report=report, plan=plan_to) if batch.results else ()))
    return batch.exit_code


def _next_steps(summary: "Summary", target: Path, *, report: bool, plan: Path | None) -> list[Step]:
    if summary.output is None:
        from mmvatool.plan.files import plan_file

        return [("render it", again(without=["--dry-run"]) if plan is None else ["mmvatool", "render", plan_file(plan, target)])]
    why = opener(summary.output.with_suffix(".html")) if report else again("--report", "--overwrite", without=["--skip-existing"])
    return [("watch it", opener(summary.output)), ("why these shots", why)]


def _report(summary: "Summary", reporter: Reporter, seconds: float, *, table: bool) -> None:
    if table:
        _print_table(summary)
    for warning in summary.warnings:
        reporter.detail(f"{summary.input}: {warning}")
    kept = [shot for shot in summary.shots if shot.kept]
    length_s, whole_s = summary.timeline.duration_s, summary.info.duration_s
    where = "would be kept" if summary.output is None else f"-> {summary.output}"
    shots = f"{len(kept)} shot{'s' if len(kept) != 1 else ''}"
    reporter.say(
        f"{summary.input}: {shots}, {format_length(length_s, whole_s)} of {format_length(whole_s)} ({length_s / whole_s:.1%}) {where} in {seconds:.1f} s"
    )


def _print_table(summary: "Summary") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=printable(str(summary.input)), title_justify="left")
    for name in ("start", "end", "length s", "valence", "arousal"):
        table.add_column(name, justify="right")
    table.add_column("kept")
    for shot in summary.shots:
        table.add_row(
            format_clock(shot.segment.start_s, decimals=2, hours=False),
            format_clock(shot.segment.end_s, decimals=2, hours=False),
            f"{shot.segment.length_s:.2f}",
            f"{shot.valence:.3f}",
            f"{shot.arousal:.3f}",
            "kept" if shot.kept else "",
            style="bold" if shot.kept else "",
        )
    Console(markup=False, emoji=False, highlight=False).print(table)
