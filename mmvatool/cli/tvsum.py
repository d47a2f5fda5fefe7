"""`mmvatool evaluate tvsum`."""

import csv
import io
import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, explain
from mmvatool.cli.options import Load, model_options, output_options
from mmvatool.errors import AnnotationError, MediaError, OutputError
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


@click.command()
@click.option("--annotations", required=True, type=_FILE, help="TVSum's ydata-tvsum50.mat, or a JSON (docs/formats.md).")
@click.option("--videos", type=_FOLDER, help="Folder with the videos, ID.mp4: the summarizer runs over them.")
@click.option("--shots", type=_FILE, help="Shots to choose from: eccv16_dataset_tvsum_google_pool5.h5, or a JSON.")
@click.option("--scores", type=_FOLDER, help="Instead of --videos: a folder with scores, ID.json, .csv or .npy, by frame or by pick.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE.csv", help="Also write the figures of each video.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Also draw them.")
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
    """Summaries of TVSum's videos against people's, beside the MMVA paper's Table 4.

    F depends on where videos may be cut more than on what is chosen, so each segmentation stands for itself, with what predictors
    reach on it that see nothing (random, constant, evenly spaced, ...) and what people reach: each against the others, and the mean of all
    (the oracle). Kendall's tau and Spearman's rho (Otani et al. 2019) do without a segmentation. The value of a shot is its mean
    arousal, whatever its length, as TVSum's protocol wants it. Without --videos and --scores there are the reference rows alone.

    \b
    Examples:
      mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --videos TVSum/video/
      mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --shots eccv16.h5 --scores scores/
    """
    if videos is not None and scores is not None:
        raise click.UsageError("--videos and --scores say the same thing twice: give one")
    if videos is None and context.get_parameter_source("model") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--model goes with --videos")
    for target, suffix in ((table, ".csv"), (plot, ".png")):
        if target is not None:
            _check_target(target, suffix, overwrite=overwrite)
    reporter = Reporter(0 if quiet else 2 if verbose else 1)
    started = time.monotonic()

    from mmvatool.pipelines.tvsum import evaluate
    from mmvatool.tvsum.files import read_annotations, read_shots
    from trainer import summary_rows

    annotated = read_annotations(annotations)
    given = None if shots is None else read_shots(shots, annotated)
    if given is not None and len(given.pieces) < len(annotated):
        reporter.say(f"{shots}: has shots of {len(given.pieces)} of {len(annotated)} videos: only these are measured on them")
    work = _Work(reporter, debug)
    name = None
    if videos is not None:
        name = work.feel(videos, annotated, load)
    elif scores is not None:
        name = work.read(scores, annotated, given)
    with reporter.progress() as progress:
        published = {row.name.removesuffix(" (paper)"): row.values[0] or 0.0 for row in summary_rows()}
        found = evaluate(annotated, given, work.predictions, name if work.predictions else None, published, progress)
    if table is not None:
        _write_csv(table, found)
    if plot is not None:
        _draw(plot, found, given)
    if as_json:
        failures = [{"input": str(path), "error": text} for path, text in work.failures]
        click.echo(json.dumps(found.to_json() | {"failures": failures}, indent=2))
    else:
        _print(found, given, len(annotated))
    written = [str(target) for target in (table, plot) if target is not None]
    reporter.say(
        f"{len(annotated)} videos measured in {time.monotonic() - started:.1f} s{', written: ' if written else ''}{', '.join(written)}"
    )
    if not work.failures:
        return 0
    return EXIT_PARTLY if work.predictions else EXIT_FAILED


class _Work:
    """Predictions of videos, one by one; one that fails is named, and the others go on."""

    def __init__(self, reporter: Reporter, debug: bool) -> None:
        self.predictions: dict[str, Prediction] = {}
        self.failures: list[tuple[Path, str]] = []
        self._reporter = reporter
        self._debug = debug

    def feel(self, folder: Path, annotated: "list[Annotation]", load: Load) -> str:
        """Run the summarizer over the videos of a folder; the model's name."""
        from mmvatool.files import VIDEO_SUFFIXES, list_files
        from mmvatool.pipelines.tvsum import predict_video

        there = {file.stem: file for file in list_files(folder, VIDEO_SUFFIXES)}
        predictor = load(("image",))
        for done, annotation in enumerate(annotated):
            path = there.get(annotation.video, folder / f"{annotation.video}.mp4")
            try:
                if annotation.video not in there:
                    raise MediaError(path, "is not there: add it, or leave it out knowingly")
                with self._reporter.progress() as progress:
                    self.predictions[annotation.video] = predict_video(path, annotation, predictor, progress)
            except Exception as error:  # whatever it is, the other videos go on
                self._failed(error, path)
                continue
            for note in self.predictions[annotation.video].warnings:
                self._reporter.detail(f"{path}: {note}")
            self._reporter.say(f"{path}: scored ({done + 1} of {len(annotated)})")
        return predictor.name

    def read(self, folder: Path, annotated: "list[Annotation]", shots: "Shots | None") -> str:
        """Read scores from the files of a folder; its name."""
        from mmvatool.pipelines.tvsum import Prediction
        from mmvatool.tvsum.files import read_scores

        for annotation in annotated:
            try:
                picks = None if shots is None else shots.picks.get(annotation.video)
                self.predictions[annotation.video] = Prediction(read_scores(folder, annotation, picks))
            except AnnotationError as error:
                self._failed(error, error.path)
        return folder.resolve().name or "scores"

    def _failed(self, error: Exception, path: Path) -> None:
        if self._debug:
            traceback.print_exception(error)
        self._reporter.error(explain(error, path))
        self.failures.append((path, explain(error, path)))


def _check_target(target: Path, suffix: str, *, overwrite: bool) -> None:
    """Refuse a target before any work is done for it."""
    if target.suffix.lower() != suffix:
        raise OutputError(target, f"name it {suffix}")
    if target.is_dir():
        raise OutputError(target, "is a folder: choose another name")
    if not target.parent.is_dir():
        raise OutputError(target, "its folder does not exist: create it, or choose another")
    if target.exists() and not overwrite:
        raise OutputError(target, "already exists: use --overwrite")


def _titles(found: "Evaluation", shots: "Shots | None") -> dict[str, str]:
    """The protocols that were measured, in words."""
    from mmvatool.tvsum.files import PAPER, TITLES

    own = {} if shots is None or shots.name in TITLES else {shots.name: f"shots of {shots.name.removesuffix('.json')}.json"}
    return {row.protocol: (TITLES | own)[row.protocol] for row in found.rows if row.protocol != PAPER}


def _print(found: "Evaluation", shots: "Shots | None", videos: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from mmvatool.tvsum.files import PAPER

    console = Console(markup=False, emoji=False, highlight=False)
    table = Table(title=f"TVSum, {videos} videos", title_justify="left")
    table.add_column("F, %")
    for name in ("F", "sd", "tau", "rho", "videos"):
        table.add_column(name, justify="right")
    parts = {PAPER: "Table 4 of the MMVA paper (KTS, h5)"} | _titles(found, shots)
    for protocol, title in parts.items():
        table.add_row(printable(title), style="bold")
        for row in found.rows:
            # What is measured on the paper's shots stands among its rows, too.
            if row.protocol == protocol or (protocol, row.protocol, row.name) == (PAPER, "kts_h5", found.model):
                label = printable(_LABELS.get(row.name, row.name.removesuffix(f" ({PAPER})")))
                cells = [
                    _cell(row.f, 1),
                    _cell(row.f_sd, 1),
                    _cell(row.tau, 3),
                    _cell(row.rho, 3),
                    "" if row.videos is None else str(row.videos),
                ]
                table.add_row(f"  {label}", *cells, style="cyan" if row.name == found.model else None)
        table.add_section()
    console.print(table)
    pairwise, others = found.rank["human_pairwise_15"], found.rank["human_vs_mean_of_other19_15"]
    lines = [
        "sd: over the draws for random, over the videos otherwise. tau, rho: against each user, one score for each 2-second shot; a human's against",
        f"the mean of the others, every 15th frame (each pair of humans: tau {pairwise.tau:.3f}, rho {pairwise.rho:.3f}; one by the others: tau "
        f"{others.tau:.3f}, rho {others.rho:.3f}).",
    ]
    if found.same_summaries is not None:
        lines.append("Users' summaries equal to the h5's, frame by frame: {} of {}.".format(*found.same_summaries))
    if "kts_h5" not in parts:
        lines.append("The paper's figures need the shots of the h5 (--shots): beside other shots they say nothing.")
    console.print("\n".join(lines), soft_wrap=True)


def _cell(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _write_csv(target: Path, found: "Evaluation") -> None:
    from mmvatool.files import write_file

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "protocol", "name", "f", "tau", "rho"])
    for figure in found.figures:
        ranked = ["" if value is None else f"{value:.6f}" for value in (figure.tau, figure.rho)]
        writer.writerow([figure.video, figure.protocol, figure.name, f"{figure.f:.6f}", *ranked])
    write_file(target, text.getvalue().encode())


def _draw(target: Path, found: "Evaluation", shots: "Shots | None") -> None:
    from mmvatool.files import write_file
    from mmvatool.report import plots
    from mmvatool.tvsum.files import PAPER

    panels = {}
    for protocol, title in _titles(found, shots).items():
        rows = []
        for row in found.rows:
            if row.protocol == protocol:
                values = [figure.f for figure in found.figures if (figure.protocol, figure.name) == (protocol, row.name)]
                rows.append(plots.Reached(_LABELS.get(row.name, row.name), row.f, values, row.name == found.model))
        if protocol == "kts_h5":
            rows += [plots.Reached(row.name, row.f) for row in found.rows if row.protocol == PAPER]
        panels[title] = rows
    write_file(target, plots.benchmark_png(panels, "F, %: each video and the mean", "TVSum: summaries of 15 % against people's"))
