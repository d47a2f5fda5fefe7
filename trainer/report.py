"""Reports of a training run: a progress bar on stderr, metrics.csv, losses.png, and TensorBoard's file if it is installed."""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

METRICS, PLOT = "metrics.csv", "losses.png"
_COLUMNS = (
    "epoch", "step", "lr", "train_loss", "train_image", "train_music", "train_text", "train_similarity", "val_loss", "best", "seconds",
)  # fmt: skip


class Report:
    """Reports one training run.

    Args:
        out: the run's folder.
        silent: print and write nothing, for processes other than the first.
    """

    def __init__(self, out: Path, *, silent: bool = False) -> None:
        self._out, self._silent = out, silent
        self._start = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=silent or not console.is_terminal)
        self._board: Any = None
        self._csv: Any = None
        self._bar.start()

    def begin(self, epochs_done: int) -> None:
        """Open metrics.csv; rows of later epochs, from an interrupted run, are dropped."""
        if not self._silent:
            kept = [row for row in read_metrics(self._out) if int(row["epoch"]) <= epochs_done]
            fresh = self._out / f".{METRICS}"
            with fresh.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, _COLUMNS)
                writer.writeheader()
                writer.writerows(kept)
            fresh.replace(self._out / METRICS)  # atomic: an interruption here must not lose rows
            self._csv = (self._out / METRICS).open("a", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._csv, _COLUMNS)
            self._board = _tensorboard(self._out)

    def note(self, message: str) -> None:
        """Print a line on stderr."""
        if not self._silent:
            self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def step(self, what: str, done: int, total: int) -> None:
        """Set the progress bar of `what` to `done` of `total`."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)

    def epoch(self, row: Mapping[str, float | int | str]) -> None:
        """Write a row of the metrics; also print a line if stderr is not a terminal."""
        if self._silent:
            return
        self._writer.writerow({**row, "seconds": f"{time.monotonic() - self._start:.1f}"})
        self._csv.flush()
        if self._bar.disable:
            self.note(f"epoch {row['epoch']}: training loss {row['train_loss']}, validation loss {row['val_loss'] or '-'}")
        if self._board is not None:
            for key in _COLUMNS[2:9]:
                if row.get(key, "") != "":
                    self._board.add_scalar(key, float(row[key]), int(row["epoch"]))

    def close(self) -> None:
        """Stop the bar and close the files."""
        self._bar.stop()
        for file in (self._csv, self._board):
            if file is not None:
                file.close()


def plot(out: Path) -> None:
    """Plot the losses of a run by epoch to losses.png in its folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = read_metrics(out)
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for key in (column for column in _COLUMNS if column.startswith("train_") or column == "val_loss"):
        points = [(int(row["epoch"]), float(row[key])) for row in rows if row[key]]
        if points:
            axes.plot(*zip(*points, strict=True), label=key.replace("_", " "), linewidth=2 if key.endswith("loss") else 1)
    axes.set(xlabel="epoch", ylabel="loss (Eq. 2-4)", yscale="log")
    axes.legend()
    figure.savefig(out / PLOT, dpi=120)
    pyplot.close(figure)


def read_metrics(out: Path) -> list[dict[str, str]]:
    """The complete rows of a run's metrics.csv; none if there is no such file."""
    if not (out / METRICS).is_file():
        return []
    with (out / METRICS).open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"))
