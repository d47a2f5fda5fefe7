"""Curves over time and the VA plane as SVG: what lies where. Templates draw it, the page's style colours it. Pure but for reading these.

Curves are stretched to the page's width, their labels are not: they stay readable on a phone.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mmvatool.report import templating
from mmvatool.text import format_position

MOST_POINTS = 3000  # of a curve; longer ones are drawn through means of several samples
HEIGHT_PX = 220
PLANE_PX = 400
LEAST_SPAN = 0.2  # of the axis of values, so that noise stays small
_WIDTH, _HEIGHT = 1000, 100  # units that curves are drawn in
_AXIS_PX = 24  # under the curves, for the times


@dataclass(frozen=True)
class Line:
    """A curve: its CSS class `name`, `times_s` (N,) rising and `values` (N,)."""

    name: str
    times_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Band:
    """A shaded range of time; `kind` is its CSS class, `label` its tooltip."""

    start_s: float
    end_s: float
    kind: str
    label: str


@dataclass(frozen=True)
class Dot:
    """A dot in the VA plane; `kind` is its CSS class, `label` its tooltip, `mark` is written beside it."""

    valence: float
    arousal: float
    kind: str
    label: str
    mark: str = ""


def curves(name: str, title: str, description: str, lines: Sequence[Line], bands: Sequence[Band], span_s: tuple[float, float]) -> Markup:
    """Curves over time.

    Args:
        name: id of the drawing, unique in the page.
        title: for screen readers.
        description: of the values, for screen readers.
        lines: at least one, each of at least one sample; the last is drawn on top.
        bands: shaded ranges.
        span_s: start and end of the axis of time, in seconds.

    Returns:
        An svg element as wide as its parent, HEIGHT_PX high, with a hidden line of class "playhead".
    """
    start_s, length_s = span_s[0], max(span_s[1] - span_s[0], 1e-9)
    low, high = _bounds([line.values for line in lines])

    def x_of(time_s: float) -> float:
        return round(min(1.0, max(0.0, (time_s - start_s) / length_s)) * _WIDTH, 2)

    def y_of(value: float) -> float:
        return round((high - value) / (high - low) * _HEIGHT, 2)

    def points(line: Line) -> str:
        times_s, values = _downsample(line)
        if len(values) == 1:  # a single sample is a level line
            return f"0,{y_of(float(values[0]))} {_WIDTH},{y_of(float(values[0]))}"
        return " ".join(f"{x_of(time_s)},{y_of(value)}" for time_s, value in zip(times_s.tolist(), values.tolist(), strict=True))

    plot_px = HEIGHT_PX - _AXIS_PX
    ticks = [(y_of(value), _tick_label(value)) for value in _ticks(low, high)]
    return templating.render(
        "curves.svg.jinja",
        name=name,
        title=title,
        description=description,
        units=(_WIDTH, _HEIGHT),
        height_px=HEIGHT_PX,
        plot_px=plot_px,
        bands=[(x_of(band.start_s), round(x_of(band.end_s) - x_of(band.start_s), 2), band) for band in bands],
        lines=[(line.name, points(line)) for line in lines],
        values=[(y, max(12, y / _HEIGHT * plot_px - 4), label) for y, label in ticks],
        times=_time_labels(start_s, length_s),
        start_s=start_s,
        length_s=length_s,
    )


def _time_labels(start_s: float, length_s: float) -> list[tuple[int, str, str]]:
    """Five times along the axis, the first and the last at its ends: where in percent, the anchor of the text, and the text."""
    times_s = [start_s + length_s * number / 4 for number in range(5)]
    labels = [format_position(time_s if length_s < 10 else round(time_s)) for time_s in times_s]
    return [(25 * number, {0: "start", 4: "end"}.get(number, "middle"), label) for number, label in enumerate(labels)]


def plane(name: str, title: str, description: str, dots: Sequence[Dot]) -> Markup:
    """The VA plane, valence to the right and arousal upwards, each from 0 to 1; later dots are drawn on top.

    Args:
        name: id of the drawing, unique in the page.
        title: for screen readers.
        description: of the values, for screen readers.
        dots: in any number.

    Returns:
        A square svg element, sized by the page's style.
    """
    left, top, side = 28, 12, PLANE_PX - 40
    placed = [(round(left + dot.valence * side, 1), round(top + (1 - dot.arousal) * side, 1), dot) for dot in dots]
    marked = [(x, y, dot.mark) for x, y, dot in placed if dot.mark]
    heights = _spread([y for _, y, _ in marked], top, top + side)
    marks = [
        (x - 9, y + 5, "end", mark) if x > left + side - 40 else (x + 9, y + 5, "start", mark)
        for (x, _, mark), y in zip(marked, heights, strict=True)
    ]
    return templating.render(
        "plane.svg.jinja",
        name=name,
        title=title,
        description=description,
        size=PLANE_PX,
        left=left,
        top=top,
        side=side,
        dots=placed,
        marks=marks,
    )


def _bounds(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The axis of values: tenths around all of them, at least LEAST_SPAN apart, within [0, 1]."""
    joined = np.concatenate(values)
    low, high = math.floor(float(joined.min()) * 10 + 1e-6) / 10, math.ceil(float(joined.max()) * 10 - 1e-6) / 10
    while high - low < LEAST_SPAN - 1e-9:
        low, high = max(0.0, low - 0.1), min(1.0, high + 0.1)
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    tenths = range(round(low * 10), round(high * 10) + 1)
    return [tenth / 10 for tenth in tenths if len(tenths) <= 6 or tenth % 2 == 0]


def _tick_label(value: float) -> str:
    return {0.0: "0", 1.0: "1"}.get(value, f"{value:.1f}".lstrip("0"))


def _downsample(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of at most MOST_POINTS points."""
    if len(line.values) <= MOST_POINTS:
        return line.times_s, line.values
    edges = np.linspace(0, len(line.values), MOST_POINTS + 1).astype(np.int64)
    counts = np.diff(edges)
    return np.add.reduceat(line.times_s, edges[:-1]) / counts, np.add.reduceat(line.values.astype(np.float64), edges[:-1]) / counts


def _spread(heights: Sequence[float], top: float, bottom: float, least: float = 15.0) -> list[float]:
    """Heights of marks between `top` and `bottom`, each at least `least` below the one above it, or less where there are too many."""
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    least = min(least, (bottom - top) / max(1, len(heights) - 1))
    placed = [max(height, top) for height in heights]
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + least)
    for number in reversed(order):
        placed[number] = min(placed[number], bottom)
        bottom = placed[number] - least
    return placed
