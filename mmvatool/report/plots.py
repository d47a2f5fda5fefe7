"""Plots as PNG files: the arousal curve of a summary, the VA plane with curves over time, and benchmarks."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmvatool.text import format_clock, printable, shorten
from mmvatool.timeline import Segment

MOST_LABELS = 20  # names of more dots would cover each other
LONGEST_LABEL = 30
MOST_PARTED = 3  # curves up to which their parts are drawn, too
PART_STYLES = ("--", ":", "-.")
_INK, _LINE = "#2b4c7e", "#888888"


@dataclass(frozen=True)
class PlottedScore:
    """An input to plot.

    Args:
        name: of the input.
        valence: in [0, 1].
        arousal: in [0, 1].
        times_s: (N,) times of its curve in seconds; N may be 0.
        va: (N, 2) its curve.
        parts: name -> (N, 2) curves that the curve is the mean of.
    """

    name: str
    valence: float
    arousal: float
    times_s: np.ndarray
    va: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


def curve_png(times_s: np.ndarray, arousal: np.ndarray, kept: Sequence[Segment], span_s: tuple[float, float], title: str) -> bytes:
    """The arousal curve over time as a PNG.

    Args:
        times_s: (N,) sample times, seconds.
        arousal: (N,) in [0, 1].
        kept: segments to shade.
        span_s: start and end of the video.
        title: above the plot; what cannot be printed is escaped.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(10, 3), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, segment in enumerate(kept):
        axes.axvspan(segment.start_s, segment.end_s, color="#f2a65a", alpha=0.55, lw=0, label="kept" if number == 0 else None)
    axes.plot(times_s, arousal, color="#2b4c7e", lw=1.6, marker="o" if len(times_s) < 90 else None, ms=3, label="arousal")
    low, high = float(arousal.min()), float(arousal.max())
    margin = max(0.02, (high - low) * 0.15)
    axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
    axes.set_xlim(*span_s)
    axes.xaxis.set_major_formatter(FuncFormatter(_tick_label))
    axes.set_ylabel("arousal")
    axes.set_title(shorten(printable(title), 110), loc="left", fontsize=10, parse_math=False)
    _tidy(axes)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return _png(figure)


def plane_png(scores: Sequence[PlottedScore]) -> bytes:
    """The VA plane with all inputs, and beside it the curves of those that have one, as a PNG.

    Args:
        scores: at least one. Long names are cut; of more than MOST_LABELS none are drawn.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure

    curved = [score for score in scores if len(score.times_s)]
    labelled = len(scores) <= MOST_LABELS
    colours = {id(score): f"C{number % 10}" if labelled else _INK for number, score in enumerate(scores)}
    figure = Figure(figsize=(12 if curved else 6.4, 6), dpi=120, layout="constrained")
    grid = figure.add_gridspec(2, 2 if curved else 1, width_ratios=[1, 1] if curved else [1])
    plane = figure.add_subplot(grid[:, 0])
    _draw_plane(plane, scores, colours, labelled)
    if labelled:
        _draw_names(plane, scores, colours)
    for row, name in enumerate(("valence", "arousal") if curved else ()):
        _draw_curves(figure.add_subplot(grid[row, 1]), curved, row, name, colours, labelled)
    return _png(figure)


def _draw_plane(axes: Any, scores: Sequence[PlottedScore], colours: Mapping[int, str], labelled: bool) -> None:
    """Dots of all inputs, and the paths of their curves if there are few."""
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="valence: unpleasant to pleasant", ylabel="arousal: calm to excited", aspect="equal")
    for line in (axes.axhline, axes.axvline):
        line(0.5, color=_LINE, lw=0.8)
    for score in scores:
        if labelled and len(score.times_s) > 1:
            axes.plot(score.va[:, 0], score.va[:, 1], color=colours[id(score)], lw=0.8, alpha=0.35, zorder=1)
    alpha = 1.0 if labelled else max(0.05, min(0.6, 200 / len(scores)))
    axes.scatter(
        [score.valence for score in scores],
        [score.arousal for score in scores],
        c=[colours[id(score)] for score in scores],
        s=42 if labelled else 18,
        alpha=alpha,
        lw=0,
        zorder=3,
    )
    _tidy(axes)


def _draw_names(axes: Any, scores: Sequence[PlottedScore], colours: Mapping[int, str]) -> None:
    """Names beside their dots, on the side that has fewer other dots and within the plane."""
    middle = min(0.6, max(0.4, float(np.median([score.valence for score in scores]))))
    sides = {id(score): 1 if score.valence < 0.4 or middle < score.valence <= 0.6 else -1 for score in scores}
    for side, alignment in ((-1, "right"), (1, "left")):
        named = [score for score in scores if sides[id(score)] == side]
        for score, height in zip(named, _spread([score.arousal for score in named]), strict=True):
            arrow = {
                "arrowstyle": "-",
                "color": colours[id(score)],
                "lw": 0.7,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": ((1 - side) / 2, 0.5),
            }
            label = axes.annotate(
                printable(score.name[:LONGEST_LABEL]),
                (score.valence, score.arousal),
                (score.valence + side * 0.06, height),
                ha=alignment,
                va="center",
                fontsize=8.5,
                parse_math=False,
                arrowprops=arrow,
            )
            label.set_in_layout(False)


def _draw_curves(axes: Any, curved: Sequence[PlottedScore], column: int, name: str, colours: Mapping[int, str], labelled: bool) -> None:
    """Valence (column 0) or arousal (column 1) over time; of few curves also their parts, with a legend at column 0."""
    from matplotlib.ticker import FuncFormatter

    with_parts = next((score for score in curved if score.parts), None) if len(curved) <= MOST_PARTED else None
    for score in curved:
        width = 1.6 if labelled else 0.7
        marker = "o" if len(score.times_s) < 60 else None
        axes.plot(score.times_s, score.va[:, column], color=colours[id(score)], lw=width, marker=marker, ms=3)
    for score in curved if len(curved) <= MOST_PARTED else ():
        for style, (part, va) in zip(PART_STYLES, score.parts.items(), strict=False):
            label = part if column == 0 and score is with_parts else None
            axes.plot(score.times_s, va[:, column], color=colours[id(score)], lw=0.9, ls=style, alpha=0.8, label=label)
    if column == 0 and with_parts:
        axes.legend(loc="upper right", ncols=len(with_parts.parts), frameon=False, fontsize=9)
    axes.set(ylim=(0, 1), ylabel=name)
    axes.set_xlim(0, None)
    axes.axhline(0.5, color=_LINE, lw=0.8, zorder=0)
    axes.xaxis.set_major_formatter(FuncFormatter(_tick_label))
    _tidy(axes)


@dataclass(frozen=True)
class BenchmarkRow:
    """A row of a benchmark: its mean, the values behind it (may be empty), and whether it is the model's own."""

    name: str
    mean: float
    values: Sequence[float] = ()
    ours: bool = False


def benchmark_png(panels: Mapping[str, Sequence[BenchmarkRow]], axis: str, title: str) -> bytes:
    """Rows of a benchmark as a PNG: a panel for each protocol, with a line for each row, its values as dots, and its mean.

    Args:
        panels: title of a protocol -> its rows from the top, at least one.
        axis: label of the axis of values, which begins at 0.
        title: above the plot; what cannot be printed is escaped.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure

    counts = [len(rows) for rows in panels.values()]
    figure = Figure(figsize=(9, 0.9 + 0.5 * len(counts) + 0.3 * sum(counts)), dpi=120, layout="constrained")
    grid = figure.subplots(len(counts), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": counts})[:, 0]
    for axes, (protocol, rows) in zip(grid, panels.items(), strict=True):
        for number, row in enumerate(rows):
            colour = "#d1495b" if row.ours else _INK if row.values else _LINE
            axes.scatter(row.values, [number] * len(row.values), color=colour, s=9, alpha=0.3, lw=0)
            axes.plot(row.mean, number, marker="|" if row.values else "D", color=colour, ms=15 if row.values else 5, mew=2.2)
            axes.annotate(f"{row.mean:.1f}", (1.01, number), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=colour)
        axes.set_yticks(range(len(rows)), [printable(row.name[:LONGEST_LABEL]) for row in rows], parse_math=False, fontsize=9)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(printable(protocol), loc="left", fontsize=9.5, parse_math=False)
        _tidy(axes)
    grid[0].set_xlim(0, None)
    grid[-1].set_xlabel(axis)
    figure.suptitle(printable(title), fontsize=10.5, parse_math=False, x=0.01, ha="left")
    return _png(figure)


def _spread(heights: Sequence[float], least: float = 0.035) -> list[float]:
    """Heights of labels in [0, 1], moved apart until no two are nearer than `least`."""
    order = np.argsort(heights, kind="stable")
    moved = np.array(heights, np.float64)[order]
    for _ in range(200):
        gaps = np.diff(moved)
        if not len(gaps) or gaps.min() >= least - 1e-6:
            break
        push = np.maximum(0, least - gaps) / 2
        moved[:-1] -= push
        moved[1:] += push
        moved = np.clip(moved, 0.02, 0.98)
    result = np.empty_like(moved)
    result[order] = moved
    return [float(height) for height in result]


def _tick_label(seconds: float, _: int | None = None) -> str:
    return format_clock(int(seconds), hours=False)


def _tidy(axes: Any) -> None:
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # an emoji in a name is drawn as a box
        FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()
