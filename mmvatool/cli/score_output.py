"""What `mmvatool score` prints and draws: one JSON document, CSV rows or tables on stdout, and a plot."""

import csv
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from mmvatool.cli.console import Reporter
from mmvatool.cli.failures import FailureLog
from mmvatool.cli.plane import Plane, sparkline
from mmvatool.text import printable, shorten

if TYPE_CHECKING:
    from mmvatool.analysis.score import Score

TABLE_ROWS = 500  # longer tables are printed in pieces
FILE_WIDTH = 1000  # columns of a table that is not printed on a terminal: names stay in one piece
BUFFER_BYTES = 16 << 20  # of a JSON document in memory; what is longer is buffered in a file
MOST_NOTES = 10  # notes that are printed one by one
CURVE_NAMES = {"image": "pictures", "music": "sound"}


class Writer(Protocol):
    """Prints scores on stdout, one by one: memory does not grow with their number."""

    def add(self, score: "Score") -> None:
        """Take a score."""
        ...

    def end(self, failures: FailureLog) -> None:
        """Print what is left, and the failures if the format has them."""
        ...


class ScoreOutput:
    """Passes scores to a writer, prints their notes, and draws them at the end.

    Args:
        writer: prints on stdout.
        reporter: prints on stderr.
        plot: a PNG to draw, if any.

    Attributes:
        count: scores so far.
        plotted: whether the plot was drawn.
    """

    def __init__(self, writer: Writer, reporter: Reporter, plot: Path | None) -> None:
        self.count = 0
        self.plotted = False
        self._writer = writer
        self._reporter = reporter
        self._plot = plot
        self._to_plot: list[Score] = []
        self._notes = 0

    def add(self, score: "Score") -> None:
        """Take a score."""
        self.count += 1
        self._writer.add(score)
        if self._plot is not None:
            self._to_plot.append(score)
        if score.note is None:
            return
        self._notes += 1
        if self._notes <= MOST_NOTES:
            name = printable(str(score.input)) if isinstance(score.input, Path) else f'"{shorten(score.input)}"'
            self._reporter.say(f"{name}: {score.note}")

    def end(self, failures: FailureLog) -> None:
        """Print what is left and draw the plot.

        Raises:
            OutputError: the plot cannot be written.
        """
        if self._notes > MOST_NOTES:
            self._reporter.say(f"{self._notes - MOST_NOTES} more are marked in the same way: see --json")
        self._writer.end(failures)
        if self._plot is not None and self._to_plot:
            _draw(self._plot, self._to_plot)
            self.plotted = True


def make_writer(*, as_json: bool, as_csv: bool) -> Writer:
    """The writer of the format that the options ask for: tables without any."""
    return JsonWriter() if as_json else CsvWriter() if as_csv else TableWriter()


class JsonWriter:
    """One JSON document, printed at the end."""

    def __init__(self) -> None:
        self._buffer: IO[str] = tempfile.SpooledTemporaryFile(BUFFER_BYTES, mode="w+", encoding="ascii")  # noqa: SIM115 - closed by end
        self._separator = ""

    def add(self, score: "Score") -> None:
        """Take a score."""
        self._buffer.write(f"{self._separator}    {json.dumps(score.to_json())}")
        self._separator = ",\n"

    def end(self, failures: FailureLog) -> None:
        """Print the document."""
        failed = json.dumps(failures.to_json(), indent=2).replace("\n", "\n  ")
        click.echo('{\n  "results": [' + ("\n" if self._separator else ""), nl=False)
        self._buffer.seek(0)
        shutil.copyfileobj(self._buffer, sys.stdout)
        self._buffer.close()
        click.echo(("\n  " if self._separator else "") + f'],\n  "failures": {failed}\n}}')


class CsvWriter:
    """CSV rows, printed as they come, in UTF-8; bytes of names that are not UTF-8 are escaped as in JSON."""

    def __init__(self) -> None:
        self._print_row("input", "kind", "t_s", "valence", "arousal", "model")

    def add(self, score: "Score") -> None:
        """Print a row for the score, and one for each point of its curve."""
        document = score.to_json()
        name, kind, model = document["input"], document["kind"], document["model"]
        self._print_row(name, kind, "", document["valence"], document["arousal"], model)
        for point in document["curve"]:
            self._print_row(name, kind, point["t_s"], point["valence"], point["arousal"], model)

    def end(self, failures: FailureLog) -> None:
        """Nothing is left to print."""

    def _print_row(self, *cells: Any) -> None:
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow(cells)
        click.echo(row.getvalue().encode("utf-8", "backslashreplace"), nl=False)


class TableWriter:
    """Tables of TABLE_ROWS scores at most, with the VA plane below the last."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(markup=False, emoji=False, highlight=False)
        if not self._console.is_terminal:
            self._console.width = FILE_WIDTH
        self._ascii = not (self._console.encoding or "").lower().startswith("utf")
        self._plane = Plane()
        self._rows: list[tuple[str, ...]] = []
        self._printed = False

    def add(self, score: "Score") -> None:
        """Take a score, and print a table where there are enough."""
        mark = self._plane.add(score.valence, score.arousal)
        curve = sparkline(score.curve.va[:, 1], plain=self._ascii)
        name = shorten(str(score.input)) if score.kind == "text" else printable(str(score.input))
        self._rows.append((mark, f"{score.valence:.3f}", f"{score.arousal:.3f}", curve, score.kind, name))
        if len(self._rows) == TABLE_ROWS:
            self._print_rows()

    def end(self, failures: FailureLog) -> None:
        """Print the last table and the plane."""
        self._print_rows()
        if self._printed:
            self._console.print("\n".join(self._plane.lines(plain=self._ascii)))

    def _print_rows(self) -> None:
        from rich import box
        from rich.table import Table

        if not self._rows:
            return
        has_curves = any(row[3] for row in self._rows)
        table = Table(box=box.ASCII if self._ascii else box.SIMPLE_HEAD)
        table.add_column("")
        table.add_column("valence", justify="right")
        table.add_column("arousal", justify="right")
        if has_curves:
            table.add_column("arousal over time", no_wrap=True)
        table.add_column("kind")
        table.add_column("input", overflow="fold")
        for mark, valence, arousal, curve, kind, name in self._rows:
            table.add_row(mark, valence, arousal, *([curve] if has_curves else []), kind, name)
        self._console.print(table)
        self._rows = []
        self._printed = True


def _draw(target: Path, scores: "list[Score]") -> None:
    from mmvatool.files import write_file
    from mmvatool.report import plots

    points = [
        plots.PlottedScore(
            score.input.name if isinstance(score.input, Path) else f'"{shorten(score.input, plots.LONGEST_LABEL - 2)}"',
            score.valence,
            score.arousal,
            score.curve.times_s,
            score.curve.va,
            {CURVE_NAMES[name]: curve.va for name, curve in score.curves.items() if len(score.curves) > 1},
        )
        for score in scores
    ]
    write_file(target, plots.plane_png(points))
