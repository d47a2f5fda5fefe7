"""What people look at: the arousal curve with the kept parts shaded; the VA plane with curves over time."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmvatool.timeline import Segment

MOST_LABELS = 20  # more names than that cover each other: dots alone
LONGEST_LABEL = 30
MOST_PARTED = 3  # curves whose parts are drawn, too
PART_STYLES = ("--", ":", "-.")
_INK, _LINE = "#2b4c7e", "#888888"


@dataclass(frozen=True)
class PlottedScore:
    """What is drawn of an input: its name, its place in the VA plane, and its curve: `times_s` (N,), `va` (N, 2), N may be 0.

    `parts` are named curves (N, 2) that the curve is made of.
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
        kept: the parts to shade.
        span_s: start and end of the video.
        title: shown as it is, above the plot; what cannot be printed is escaped.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(10, 3), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, part in enumerate(kept):
        axes.axvspan(part.start_s, part.end_s, color="#f2a65a", alpha=0.55, lw=0, label="kept" if number == 0 else None)
    axes.plot(times_s, arousal, color="#2b4c7e", lw=1.6, marker="o" if len(times_s) < 90 else None, ms=3, label="arousal")
    low, high = float(arousal.min()), float(arousal.max())
    margin = max(0.02, (high - low) * 0.15)
    axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
    axes.set_xlim(*span_s)
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.set_ylabel("arousal")
    axes.set_title(_printable(title), loc="left", fontsize=10, parse_math=False)
    _tidy(axes)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return _png(figure)


def plane_png(items: Sequence[PlottedScore]) -> bytes:
    """The VA plane with every input in it, and beside it the curves of those that have one, as a PNG.

    Args:
        felt: what to draw, at least one. Names are shown as they are, long ones cut.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    curved = [one for one in items if len(one.times_s)]
    labelled = len(items) <= MOST_LABELS
    colour_of = {id(one): f"C{place % 10}" if labelled else _INK for place, one in enumerate(items)}
    figure = Figure(figsize=(12 if curved else 6.4, 6), dpi=120, layout="constrained")
    grid = figure.add_gridspec(2, 2 if curved else 1, width_ratios=[1, 1] if curved else [1])
    plane = figure.add_subplot(grid[:, 0])
    plane.set(xlim=(0, 1), ylim=(0, 1), xlabel="valence: unpleasant to pleasant", ylabel="arousal: calm to excited", aspect="equal")
    for line in (plane.axhline, plane.axvline):
        line(0.5, color=_LINE, lw=0.8)
    for one in items:
        if labelled and len(one.times_s) > 1:  # where it wanders
            plane.plot(one.va[:, 0], one.va[:, 1], color=colour_of[id(one)], lw=0.8, alpha=0.35, zorder=1)
    dots = [colour_of[id(one)] for one in items]
    alpha = 1.0 if labelled else max(0.05, min(0.6, 200 / len(items)))
    plane.scatter(
        [one.valence for one in items], [one.arousal for one in items], c=dots, s=42 if labelled else 18, alpha=alpha, lw=0, zorder=3
    )
    _tidy(plane)
    # Names stand away from the others, so that they cover no dots, but not beyond the plane.
    middle = min(0.6, max(0.4, float(np.median([one.valence for one in items]))))
    side_of = {id(one): 1 if one.valence < 0.4 or middle < one.valence <= 0.6 else -1 for one in items}
    for side, ha in ((-1, "right"), (1, "left")) if labelled else ():
        named = [one for one in items if side_of[id(one)] == side]
        for one, height in zip(named, _spread([one.arousal for one in named]), strict=True):
            label = plane.annotate(
                _printable(one.name[:LONGEST_LABEL]),
                (one.valence, one.arousal),
                (one.valence + side * 0.06, height),
                ha=ha,
                va="center",
                fontsize=8.5,
                parse_math=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour_of[id(one)],
                    "lw": 0.7,
                    "shrinkA": 0,
                    "shrinkB": 2,
                    "relpos": ((1 - side) / 2, 0.5),
                },
            )
            label.set_in_layout(False)
    parted = next((one for one in curved if one.parts), None)
    for row, (name, column) in enumerate((("valence", 0), ("arousal", 1)) if curved else ()):
        axes = figure.add_subplot(grid[row, 1])
        for one in curved:
            width = 1.6 if labelled else 0.7
            axes.plot(
                one.times_s, one.va[:, column], color=colour_of[id(one)], lw=width, marker="o" if len(one.times_s) < 60 else None, ms=3
            )
        for one in curved if len(curved) <= MOST_PARTED else ():
            for style, (part, va) in zip(PART_STYLES, one.parts.items(), strict=False):
                legend = part if row == 0 and one is parted else None
                axes.plot(one.times_s, va[:, column], color=colour_of[id(one)], lw=0.9, ls=style, alpha=0.8, label=legend)
        if row == 0 and parted and len(curved) <= MOST_PARTED:
            axes.legend(loc="upper right", ncols=len(parted.parts), frameon=False, fontsize=9)
        axes.set(ylim=(0, 1), ylabel=name)
        axes.set_xlim(0, None)
        axes.axhline(0.5, color=_LINE, lw=0.8, zorder=0)
        axes.xaxis.set_major_formatter(FuncFormatter(_clock))
        _tidy(axes)
    return _png(figure)


@dataclass(frozen=True)
class Reached:
    """What a row of a benchmark reaches: its mean, the values that it is the mean of (none are drawn if there are none), and whose it is."""

    name: str
    mean: float
    values: Sequence[float] = ()
    ours: bool = False


def benchmark_png(panels: Mapping[str, Sequence[Reached]], axis: str, title: str) -> bytes:
    """Rows of a benchmark as a PNG: a panel for each protocol, in it a line for each row with its values as dots and its mean.

    Args:
        panels: protocol's title -> its rows, from the top down; at least one of each.
        axis: what is measured; it begins at 0.
        title: shown as it is, above the plot.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure

    counts = [len(rows) for rows in panels.values()]
    figure = Figure(figsize=(9, 0.9 + 0.5 * len(counts) + 0.3 * sum(counts)), dpi=120, layout="constrained")
    grid = figure.subplots(len(counts), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": counts})[:, 0]
    for axes, (protocol, rows) in zip(grid, panels.items(), strict=True):
        for place, row in enumerate(rows):
            colour = "#d1495b" if row.ours else _INK if row.values else _LINE
            axes.scatter(row.values, [place] * len(row.values), color=colour, s=9, alpha=0.3, lw=0)
            axes.plot(row.mean, place, marker="|" if row.values else "D", color=colour, ms=15 if row.values else 5, mew=2.2)
            axes.annotate(f"{row.mean:.1f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=colour)
        axes.set_yticks(range(len(rows)), [_printable(row.name[:LONGEST_LABEL]) for row in rows], parse_math=False, fontsize=9)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(_printable(protocol), loc="left", fontsize=9.5, parse_math=False)
        _tidy(axes)
    grid[0].set_xlim(0, None)
    grid[-1].set_xlabel(axis)
    figure.suptitle(_printable(title), fontsize=10.5, parse_math=False, x=0.01, ha="left")
    return _png(figure)


def _spread(heights: Sequence[float], least: float = 0.035) -> list[float]:
    """Heights of labels, moved so that no two of them lie nearer than `least`, within [0, 1], each as near its own as may be."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, np.float64)[order]
    for _ in range(200):
        gaps = np.diff(placed)
        if not len(gaps) or gaps.min() >= least - 1e-6:
            break
        push = np.maximum(0, least - gaps) / 2
        placed[:-1] -= push
        placed[1:] += push
        placed = np.clip(placed, 0.02, 0.98)
    result = np.empty_like(placed)
    result[order] = placed
    return [float(height) for height in result]


def _clock(seconds: float, _: int | None = None) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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
