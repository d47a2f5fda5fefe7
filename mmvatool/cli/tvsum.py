"""`mmvatool evaluate tvsum`."""

import csv
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter
from mmvatool.cli.failures import FailureLog
from mmvatool.cli.options import Load, model_options, output_options
from mmvatool.cli.sections import SectionedCommand
from mmvatool.cli.targets import check_target
from mmvatool.errors import AnnotationError, MediaError
from mmvatool.text import printable

if TYPE_CHECKING:
    from mmvatool.pipelines.tvsum import Evaluation, Prediction
    from mmvatool.tvsum.files import Shots
    from mmvatool.tvsum.protocol import Annotation

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_LABELS = {
    "random": "random, 100 draws",
    "constant": "constant",
    "evenly_spaced": "evenly spaced shots",
    "decreasing": "decreasing",
    "sine": "sine",
    "human_loo": "a human, by the others",
    "oracle": "oracle: mean of the humans",
}


@click.command(cls=SectionedCommand, short_help="Compare summaries of TVSum's videos with those of people.")
@click.option("--annotations", required=True, type=_FILE, help="TVSum's ydata-tvsum50.mat, or a JSON (docs/formats.md).")
@click.option("--videos", type=_FOLDER, help="Folder of the videos, ID.mp4, to summarize.")
@click.option("--shots", type=_FILE, help="Segmentation to evaluate on: eccv16_dataset_tvsum_google_pool5.h5, or a JSON.")
@click.option("--scores", type=_FOLDER, help="Instead of --videos: a folder of scores, ID.json, .csv or .npy, by frame or by pick.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE.csv", help="Also write the results of each video.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Also plot them.")
@click.option("--overwrite", is_flag=True, help="Replace the files of --csv and --plot if they exist.  [default: an error]")
@model_options
@output_options
@click.pass_context
def tvsum(
    context: click.Context,
    annotations: Path,
    videos: Path | None,
    shots: Path | None,
    scores: Path | None,
    table: Path | None,
    plot: Path | None,
    overwrite: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Compare summaries of TVSum's videos with those of people, beside the MMVA paper's Table 4.

    \b
    Examples:
      mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --videos TVSum/
      mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --scores scores/

    F depends on the segmentation more than on the scores, so each segmentation has a table of its own, with baselines that do not see
    the video (random, constant, evenly spaced, ...) and human performance: each user against the others, and the mean of all users
    (the oracle). Kendall's tau and Spearman's rho (Otani et al. 2019) need no segmentation. The value of a shot is its mean
    arousal, whatever its length, as in TVSum's protocol. Without --videos and --scores only the reference rows are computed.
    """
    if videos is not None and scores is not None:
        raise click.UsageError("--videos and --scores exclude each other: give one")
    if videos is None and context.get_parameter_source("model") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--model goes with --videos")
    for target, suffix in ((table, ".csv"), (plot, ".png")):
        if target is not None:
            check_target(target, suffix, overwrite=overwrite)
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)
    failures = FailureLog(reporter, debug=debug)
    started = time.monotonic()

    from mmvatool.pipelines.tvsum import evaluate
    from mmvatool.tvsum.files import read_annotations, read_shots
    from trainer import summary_rows

    annotated = read_annotations(annotations)
    given = None if shots is None else read_shots(shots, annotated)
    if given is not None and len(given.pieces) < len(annotated):
        reporter.say(f"{shots}: has shots of {len(given.pieces)} of {len(annotated)} videos: only these are measured on them")
    name: str | None = None
    predictions: dict[str, Prediction] = {}
    if videos is not None:
        name, predictions = _predict_videos(videos, annotated, load, failures, reporter)
    elif scores is not None:
        name, predictions = _read_scores(scores, annotated, given, failures)
    with reporter.progress() as progress:
        published = {row.name.removesuffix(" (paper)"): row.values[0] or 0.0 for row in summary_rows()}
        result = evaluate(annotated, given, predictions, name if predictions else None, published, progress)
    if table is not None:
        _write_csv(table, result)
    if plot is not None:
        _draw(plot, result, given)
    if as_json:
        click.echo(json.dumps(result.to_json() | {"failures": failures.to_json()}, indent=2))
    else:
        _print(result, given, len(annotated))
    written = [str(target) for target in (table, plot) if target is not None]
    reporter.say(
        f"{len(annotated)} videos measured in {time.monotonic() - started:.1f} s{', written: ' if written else ''}{', '.join(written)}"
    )
    if not failures.entries:
        return 0
    return EXIT_PARTLY if predictions else EXIT_FAILED


def _predict_videos(
    folder: Path, annotated: "list[Annotation]", load: Load, failures: FailureLog, reporter: Reporter
) -> tuple[str, dict[str, "Prediction"]]:
    """Run the summarizer over the videos of a folder: the model's name, and the predictions of the videos that it could read."""
    from mmvatool.files import VIDEO_SUFFIXES, list_files
    from mmvatool.pipelines.tvsum import predict_video

    files = {file.stem: file for file in list_files(folder, VIDEO_SUFFIXES)}
    with reporter.busy("loading the model"):
        predictor = load(("image",))
    predictions: dict[str, Prediction] = {}
    for number, annotation in enumerate(annotated, start=1):
        path = files.get(annotation.video, folder / f"{annotation.video}.mp4")
        try:
            if annotation.video not in files:
                raise MediaError(path, "does not exist: add it, or leave out its annotation")
            with reporter.progress() as progress:
                prediction = predict_video(path, annotation, predictor, progress)
        except Exception as error:  # the other videos go on, whatever it is
            failures.add(error, path)
            continue
        predictions[annotation.video] = prediction
        for warning in prediction.warnings:
            reporter.detail(f"{path}: {warning}")
        reporter.say(f"{path}: scored ({number} of {len(annotated)})")
    return predictor.name, predictions


def _read_scores(
    folder: Path, annotated: "list[Annotation]", shots: "Shots | None", failures: FailureLog
) -> tuple[str, dict[str, "Prediction"]]:
    """Read the files of scores in a folder: its name, and the predictions of the videos that have one."""
    from mmvatool.pipelines.tvsum import Prediction
    from mmvatool.tvsum.files import read_scores

    predictions: dict[str, Prediction] = {}
    for annotation in annotated:
        try:
            picks = None if shots is None else shots.picks.get(annotation.video)
            predictions[annotation.video] = Prediction(read_scores(folder, annotation, picks))
        except AnnotationError as error:
            failures.add(error, error.path)
    return folder.resolve().name or "scores", predictions


def _titles(result: "Evaluation", shots: "Shots | None") -> dict[str, str]:
    """The titles of the protocols that were evaluated."""
    from mmvatool.tvsum.files import PAPER, TITLES

    own = {} if shots is None or shots.name in TITLES else {shots.name: f"shots of {shots.name.removesuffix('.json')}.json"}
    return {row.protocol: (TITLES | own)[row.protocol] for row in result.rows if row.protocol != PAPER}


def _print(result: "Evaluation", shots: "Shots | None", videos: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from mmvatool.tvsum.files import PAPER

    console = Console(markup=False, emoji=False, highlight=False)
    table = Table(title=f"TVSum, {videos} videos", title_justify="left")
    table.add_column("F, %")
    for name in ("F", "sd", "tau", "rho", "videos"):
        table.add_column(name, justify="right")
    parts = {PAPER: "Table 4 of the MMVA paper (KTS, h5)"} | _titles(result, shots)
    for protocol, title in parts.items():
        table.add_row(printable(title), style="bold")
        for row in result.rows:
            # The model's result on the paper's shots is listed among the paper's rows, too.
            if row.protocol == protocol or (protocol, row.protocol, row.name) == (PAPER, "kts_h5", result.model):
                label = printable(_LABELS.get(row.name, row.name.removesuffix(f" ({PAPER})")))
                numbers = (_cell(row.f, 1), _cell(row.f_sd, 1), _cell(row.tau, 3), _cell(row.rho, 3))
                videos_measured = "" if row.videos is None else str(row.videos)
                table.add_row(f"  {label}", *numbers, videos_measured, style="cyan" if row.name == result.model else None)
        table.add_section()
    console.print(table)
    console.print("\n".join(_remarks(result, "kts_h5" in parts)), soft_wrap=True)


def _remarks(result: "Evaluation", on_h5: bool) -> list[str]:
    """What the columns mean, and what the figures may be compared with."""
    pairwise, others = result.rank["human_pairwise_15"], result.rank["human_vs_mean_of_other19_15"]
    lines = [
        "sd: over the draws for random, over the videos otherwise. tau, rho: against each user, one score for each 2-second shot; a human's against",
        f"the mean of the others, every 15th frame (each pair of humans: tau {pairwise.tau:.3f}, rho {pairwise.rho:.3f}; one by the others: tau "
        f"{others.tau:.3f}, rho {others.rho:.3f}).",
    ]
    if result.same_summaries is not None:
        lines.append("Users' summaries equal to the h5's, frame by frame: {} of {}.".format(*result.same_summaries))
    if not on_h5:
        lines.append("The paper's figures need the shots of the h5 (--shots): on other shots they cannot be compared.")
    return lines


def _cell(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _write_csv(target: Path, result: "Evaluation") -> None:
    from mmvatool.files import write_file

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "protocol", "name", "f", "tau", "rho"])
    for figure in result.figures:
        ranked = ["" if value is None else f"{value:.6f}" for value in (figure.tau, figure.rho)]
        writer.writerow([figure.video, figure.protocol, figure.name, f"{figure.f:.6f}", *ranked])
    write_file(target, text.getvalue().encode())


def _draw(target: Path, result: "Evaluation", shots: "Shots | None") -> None:
    from mmvatool.files import write_file
    from mmvatool.report import plots
    from mmvatool.tvsum.files import PAPER

    panels = {}
    for protocol, title in _titles(result, shots).items():
        rows = []
        for row in result.rows:
            if row.protocol == protocol:
                values = [figure.f for figure in result.figures if (figure.protocol, figure.name) == (protocol, row.name)]
                rows.append(plots.BenchmarkRow(_LABELS.get(row.name, row.name), row.f, values, row.name == result.model))
        if protocol == "kts_h5":
            rows += [plots.BenchmarkRow(row.name, row.f) for row in result.rows if row.protocol == PAPER]
        panels[title] = rows
    write_file(target, plots.benchmark_png(panels, "F, %: each video and the mean", "TVSum: summaries of 15 % against people's"))
