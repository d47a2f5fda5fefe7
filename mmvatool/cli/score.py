"""`mmvatool score`."""

import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, opener
from mmvatool.cli.failures import FailureLog
from mmvatool.cli.inputs import TextFiles, find_media, read_path_list
from mmvatool.cli.options import Load, Time, model_options, output_options, sampling_option
from mmvatool.cli.score_output import ScoreOutput, make_writer
from mmvatool.cli.sections import SectionedCommand
from mmvatool.cli.targets import check_target


@click.command(cls=SectionedCommand)
@click.argument("inputs", nargs=-1, type=click.Path(allow_dash=True), metavar="[FILE|FOLDER|-]...")
@click.option("--text", "texts", multiple=True, help="Score these words. Repeatable.")
@click.option(
    "--text-file", "text_files", type=click.Path(), multiple=True, metavar="FILE", help="Score each line of a UTF-8 text file. Repeatable."
)
@click.option("--every", type=Time(), default="2s", help="From one point of a curve to the next, at least 0.1s.")
@click.option("--window", type=Time(), help="Length of sound around each point of a curve.  [default: 10s, or the model's longest if less]")
@sampling_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout: a row for each input and each point of its curve.")
@click.option("--plot", type=click.Path(), metavar="FILE.png", help="Also draw the VA plane and the curves.")
@click.option("--overwrite", is_flag=True, help="Replace the plot if it exists.  [default: an error]")
@model_options
@output_options
def score(
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    text_files: tuple[str, ...],
    every: float,
    window: float | None,
    sampling: str,
    as_csv: bool,
    plot: str | None,
    overwrite: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Predict valence (how pleasant) and arousal (how exciting) of pictures, sounds, videos and words.

    \b
    Examples:
      mmvatool score photo.jpg song.mp3 talk.mp4 --text "a slow sad cello"
      mmvatool score holiday/ --plot holiday.png
      mmvatool score song.mp3 --every 10s --csv
      find . -name '*.jpg' -print0 | mmvatool score - --json

    Both go from 0 to 1: valence from unpleasant to pleasant, arousal from calm to excited. Sounds and videos get a curve over
    time and its mean; a video's curve is the mean of its pictures' and its sound's. Folders give the media directly in them.
    - reads a list of paths from stdin, a line each, or ended by null bytes as find -print0 writes them.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be printed at once: give one")
    if not inputs and not texts and not text_files:
        raise click.UsageError("nothing to score: name files, or give --text or --text-file")
    if "-" in text_files:
        raise click.UsageError("--text-file wants a file: - stands for a list of paths on stdin")
    target = None if plot is None else Path(plot)
    if target is not None:
        check_target(target, ".png", overwrite=overwrite, option="--plot", kind="the plot is a PNG")
    paths = tuple(path for given in inputs for path in (read_path_list() if given == "-" else [given]))
    files, missing, notes = find_media(paths, alone=len(inputs) == 1 and inputs[0] != "-" and not texts and not text_files)
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)
    for note in notes:
        reporter.say(note)
    failures = FailureLog(reporter, debug=debug, once=True)
    for absent in missing:
        failures.add(absent, absent.path)
    output = ScoreOutput(make_writer(as_json=as_json, as_csv=as_csv), reporter, target)
    started = time.monotonic()
    _score(files, texts, text_files, load, output, failures, reporter, every_s=every, window_s=window, sampling=sampling)
    output.end(failures)
    failed = f", {len(failures.entries)} failed" if failures.entries else ""
    plotted = f", {target} drawn" if output.plotted else ""
    reporter.say(f"{output.count} scored{failed} in {time.monotonic() - started:.1f} s{plotted}")
    if target is not None and output.plotted:
        reporter.suggest(("see the plot", opener(target)))
    if not failures.entries:
        return 0
    return EXIT_PARTLY if output.count else EXIT_FAILED


def _score(
    files: Sequence[Path],
    texts: Sequence[str],
    text_files: Sequence[str],
    load: Load,
    output: ScoreOutput,
    failures: FailureLog,
    reporter: Reporter,
    **options: Any,
) -> None:
    """Score files, texts and the lines of text files, in this order. What cannot be scored goes to `failures`."""
    from mmvatool.analysis.score import Failure
    from mmvatool.analysis.score import score as score_inputs

    try:
        towers = load.towers()
    except Exception as error:
        inputs: tuple[Path | str, ...] = (*files, *texts, *text_files)
        for given in inputs:
            failures.add(error, given)
        return
    lines = TextFiles(text_files)
    with reporter.progress() as progress:
        for result in score_inputs(files, chain(texts, lines), predictor=towers, progress=progress, **options):
            if isinstance(result, Failure):
                failures.add(result.error, result.input)
            else:
                output.add(result)
    for unread in lines.errors:
        failures.add(unread, unread.path)
