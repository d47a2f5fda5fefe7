"""`mmvatool score`."""

import csv
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, clean, explain
from mmvatool.cli.inputs import find_media
from mmvatool.cli.options import Load, Time, model_options, output_options, sampling_option
from mmvatool.cli.plane import Plane, sparkline
from mmvatool.errors import MediaError, OutputError

if TYPE_CHECKING:
    from mmvatool.analysis.score import Score

ROWS = 500  # of a table: longer ones are printed in pieces
HELD_BYTES = 16 << 20  # of a JSON document; what is longer waits in a file
LINE = 1 << 16  # characters of a line of text that are looked at
PART_NAMES = {"image": "pictures", "music": "sound"}
NOTES = 10  # inputs that are spoken of one by one


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(allow_dash=True), metavar="[FILE|FOLDER|-]...")
@click.option("--text", "texts", multiple=True, help="Score these words. Repeatable.")
@click.option(
    "--text-file", "text_files", type=click.Path(), multiple=True, metavar="FILE", help="Score each line of a UTF-8 text file. Repeatable."
)
@click.option("--every", type=Time(), default="2s", show_default=True, help="From one point of a curve to the next, at least 0.1s.")
@click.option(
    "--window", type=Time(), help="Length of sound that each point of a curve hears.  [default: 10s, or the model's greatest if less]"
)
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
    """Valence and arousal of pictures, sounds, videos and words.

    Both go from 0 to 1: valence from unpleasant to pleasant, arousal from calm to excited. Sounds and videos get a curve over
    time and its mean; a video's curve is the mean of its pictures' and its sound's. Folders give the media directly in them.
    - reads a list of paths from stdin, a line each, or ended by null bytes as find -print0 writes them.

    \b
    Examples:
      mmvatool score photo.jpg song.mp3 talk.mp4 --text "a slow sad cello"
      mmvatool score holiday/ --plot holiday.png
      mmvatool score song.mp3 --every 10s --csv
      find . -name '*.jpg' -print0 | mmvatool score - --json
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be printed at once: give one")
    if not inputs and not texts and not text_files:
        raise click.UsageError("nothing to score: name files, or give --text or --text-file")
    if "-" in text_files:
        raise click.UsageError("--text-file wants a file: - stands for a list of paths on stdin")
    target = _check_plot(plot, overwrite=overwrite) if plot is not None else None
    listed = [path for given in inputs for path in (_listed() if given == "-" else [given])]
    files, absent = find_media(tuple(listed), alone=len(inputs) == 1 and inputs[0] != "-" and not texts and not text_files)
    reporter = Reporter(0 if quiet else 2 if verbose else 1)

    from mmvatool.analysis.score import Failure
    from mmvatool.analysis.score import score as score_all

    failures: list[tuple[str, str]] = []
    told: set[str] = set()

    def failed(error: Exception, given: Path | str) -> None:
        """Note an error; what stops the model is the same for every input, and said once."""
        text = explain(error, given if isinstance(given, Path) else None)
        if debug:
            traceback.print_exception(error)
        if text not in told:
            reporter.error(text)
        told.add(text)
        failures.append((str(given), text))

    for missing in absent:
        failed(missing, missing.path)
    lines = _Lines(text_files)
    writer: _Writer = _Json() if as_json else _Csv() if as_csv else _Table()
    drawn: list[Score] = []
    started = time.monotonic()
    done = noted = 0
    try:
        towers = load.towers()
    except Exception as error:
        for file in files:
            failed(error, file)
        for text in (*texts, *text_files):
            failed(error, text)
        files, texts, lines = [], (), _Lines(())
    else:
        with reporter.progress() as progress:
            said = (text for source in (texts, lines) for text in source)
            for result in score_all(files, said, predictor=towers, every_s=every, window_s=window, sampling=sampling, progress=progress):
                if isinstance(result, Failure):
                    failed(result.error, result.input)
                    continue
                done += 1
                writer.add(result)
                if target is not None:
                    drawn.append(result)
                if result.note is not None and (noted := noted + 1) <= NOTES:
                    name = clean(str(result.input)) if isinstance(result.input, Path) else f'"{_short(result.input)}"'
                    reporter.say(f"{name}: {result.note}")
    for unread in lines.errors:
        failed(unread, unread.path)
    if noted > NOTES:
        reporter.say(f"{noted - NOTES} more are marked in the same way: see --json")
    writer.end(failures)
    if target is not None and drawn:
        _draw(target, drawn)
    plotted = f", {target} drawn" if target is not None and drawn else ""
    reporter.say(f"{done} scored{f', {len(failures)} failed' if failures else ''} in {time.monotonic() - started:.1f} s{plotted}")
    if not failures:
        return 0
    return EXIT_PARTLY if done else EXIT_FAILED


def _listed() -> list[str]:
    """Paths from stdin, a line each, or ended by null bytes."""
    data = sys.stdin.buffer.read()
    return [os.fsdecode(line) for line in (data.split(b"\0") if b"\0" in data else data.splitlines()) if line.strip()]


class _Lines:
    """Lines of text files, blank ones left out, read as they are asked for; files that cannot be read are `errors`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._paths = [Path(name) for name in names]
        self.errors: list[MediaError] = []

    def __iter__(self) -> Iterator[str]:
        for path in self._paths:
            empty = True
            try:
                with path.open(encoding="utf-8-sig", errors="replace") as file:
                    while line := file.readline(LINE):
                        if "\0" in line:
                            self.errors.append(MediaError(path, "is not text: give a UTF-8 text file"))
                            break
                        if text := line.strip():
                            empty = False
                            yield text
                        while not line.endswith("\n") and (line := file.readline(LINE)):
                            pass  # the rest of a line that no tower reads to its end
                    else:
                        if empty:
                            self.errors.append(MediaError(path, "holds no text: give a file with a line or more"))
            except OSError as error:
                self.errors.append(MediaError(path, f"cannot be read ({error.strerror}): check its name and permissions"))


class _Writer(Protocol):
    """Takes results one by one, and holds few of them."""

    def add(self, result: "Score") -> None: ...
    def end(self, failures: list[tuple[str, str]]) -> None: ...


class _Json:
    """One document, printed when it is whole."""

    def __init__(self) -> None:
        self._held: IO[str] = tempfile.SpooledTemporaryFile(HELD_BYTES, mode="w+", encoding="ascii")  # noqa: SIM115 - closed by end
        self._separator = ""

    def add(self, result: "Score") -> None:
        self._held.write(f"{self._separator}    {json.dumps(result.to_json())}")
        self._separator = ",\n"

    def end(self, failures: list[tuple[str, str]]) -> None:
        listed = json.dumps([{"input": name, "error": text} for name, text in failures], indent=2).replace("\n", "\n  ")
        click.echo('{\n  "results": [' + ("\n" if self._separator else ""), nl=False)
        self._held.seek(0)
        shutil.copyfileobj(self._held, sys.stdout)
        self._held.close()
        click.echo(("\n  " if self._separator else "") + f'],\n  "failures": {listed}\n}}')


class _Csv:
    """Rows as they come, in UTF-8; bytes of names that are not are escaped as in JSON."""

    def __init__(self) -> None:
        self._row("input", "kind", "t_s", "valence", "arousal", "model")

    def add(self, result: "Score") -> None:
        shown = result.to_json()
        name, kind, model = shown["input"], shown["kind"], shown["model"]
        self._row(name, kind, "", shown["valence"], shown["arousal"], model)
        for point in shown["curve"]:
            self._row(name, kind, point["t_s"], point["valence"], point["arousal"], model)

    def end(self, failures: list[tuple[str, str]]) -> None:
        pass

    def _row(self, *cells: Any) -> None:
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow(cells)
        click.echo(row.getvalue().encode("utf-8", "backslashreplace"), nl=False)


class _Table:
    """Tables for people, with the plane below."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(markup=False, emoji=False, highlight=False)
        if not self._console.is_terminal:
            self._console.width = 1000  # a file has no edge: names stay whole
        self._plain = not (self._console.encoding or "").lower().startswith("utf")
        self._plane = Plane()
        self._rows: list[tuple[str, ...]] = []
        self._any = False

    def add(self, result: "Score") -> None:
        mark = self._plane.add(result.valence, result.arousal)
        curve = sparkline(result.curve.va[:, 1], plain=self._plain)
        numbers = (f"{result.valence:.3f}", f"{result.arousal:.3f}")
        self._rows.append(
            (mark, *numbers, curve, result.kind, _short(str(result.input)) if result.kind == "text" else clean(str(result.input)))
        )
        if len(self._rows) == ROWS:
            self._print_rows()

    def end(self, failures: list[tuple[str, str]]) -> None:
        self._print_rows()
        if self._any:
            self._console.print("\n".join(self._plane.lines(plain=self._plain)))

    def _print_rows(self) -> None:
        from rich import box
        from rich.table import Table

        if not self._rows:
            return
        curves = any(row[3] for row in self._rows)
        table = Table(box=box.ASCII if self._plain else box.SIMPLE_HEAD)
        table.add_column("")
        table.add_column("valence", justify="right")
        table.add_column("arousal", justify="right")
        if curves:
            table.add_column("arousal over time", no_wrap=True)
        table.add_column("kind")
        table.add_column("input", overflow="fold")
        for mark, valence, arousal, curve, kind, name in self._rows:
            table.add_row(mark, valence, arousal, *([curve] if curves else []), kind, name)
        self._console.print(table)
        self._rows = []
        self._any = True


def _short(text: str, limit: int = 70) -> str:
    """A text on one line, cut where it is long."""
    shown = clean(text[: limit + 1])
    return shown if len(text) <= limit else f"{shown[: limit - 3]}..."


def _check_plot(name: str, *, overwrite: bool) -> Path:
    """Refuse a target before any work is done for it."""
    target = Path(name)
    if target.suffix.lower() != ".png":
        raise OutputError(target, "the plot is a PNG: name it .png")
    if target.is_dir():
        raise OutputError(target, "is a folder: choose another name with --plot")
    if not target.parent.is_dir():
        raise OutputError(target, "its folder does not exist: create it, or choose another with --plot")
    if target.exists() and not overwrite:
        raise OutputError(target, "already exists: use --overwrite")
    return target


def _draw(target: Path, results: "list[Score]") -> None:
    from mmvatool.files import write_file
    from mmvatool.report import plots

    felt = [
        plots.PlottedScore(
            result.input.name if isinstance(result.input, Path) else f'"{_short(result.input, plots.LONGEST_LABEL - 2)}"',
            result.valence,
            result.arousal,
            result.curve.times_s,
            result.curve.va,
            {PART_NAMES[part]: curve.va for part, curve in result.curves.items() if len(result.curves) > 1},
        )
        for result in results
    ]
    write_file(target, plots.plane_png(felt))
