"""Curves over time and the VA plane as SVG, coloured by the page's style. Pure.

Curves are stretched to the page's width, their labels are not: they stay readable on a phone.
"""

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmvatool.text import format_position, printable

MOST_POINTS = 3000  # of a curve; longer ones are drawn through means of several samples
HEIGHT_PX = 220
PLANE_PX = 400
LEAST_SPAN = 0.2  # of the axis of values, so that noise stays small
_WIDTH, _HEIGHT = 1000, 100  # units that curves are drawn in
_AXIS_PX = 24  # under the curves, for the times


def text(value: object) -> str:
    """Any text in HTML, on one line; see `printable`."""
    return html.escape(printable(str(value)))


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


def curves(name: str, title: str, description: str, lines: Sequence[Line], bands: Sequence[Band], span_s: tuple[float, float]) -> str:
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

    shapes = [
        f'<rect class="band {text(band.kind)}" x="{x_of(band.start_s)}" y="0" width="{round(x_of(band.end_s) - x_of(band.start_s), 2)}" '
        f'height="{_HEIGHT}"><title>{text(band.label)}</title></rect>'
        for band in bands
    ]
    values = _ticks(low, high)
    shapes += [f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{y_of(value)}" y2="{y_of(value)}"/>' for value in values]
    for line in lines:
        times_s, shown = _downsample(line)
        points = " ".join(f"{x_of(time_s)},{y_of(value)}" for time_s, value in zip(times_s.tolist(), shown.tolist(), strict=True))
        if len(shown) == 1:  # a single sample is a level line
            points = f"0,{y_of(float(shown[0]))} {_WIDTH},{y_of(float(shown[0]))}"
        shapes.append(f'<polyline class="curve {text(line.name)}" points="{points}"/>')
    shapes.append(f'<line class="playhead" x1="0" x2="0" y1="0" y2="{_HEIGHT}" data-start="{start_s:.3f}" data-length="{length_s:.3f}"/>')
    plot_px = HEIGHT_PX - _AXIS_PX
    labels = [
        f'<text class="value" x="4" y="{max(12, y_of(value) / _HEIGHT * plot_px - 4):.1f}">{_tick_label(value)}</text>' for value in values
    ]
    return (
        f'<svg class="curves" role="img" aria-labelledby="{name}-title {name}-description" width="100%" height="{HEIGHT_PX}">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-description">{text(description)}</desc>'
        f'<svg width="100%" height="{plot_px}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">{"".join(shapes)}</svg>'
        f"{''.join(labels)}{_time_labels(start_s, length_s)}</svg>"
    )


def _time_labels(start_s: float, length_s: float) -> str:
    """Five times along the axis, the first and the last at its ends."""
    labels = []
    for number in range(5):
        anchor = {0: "start", 4: "end"}.get(number, "middle")
        time_s = start_s + length_s * number / 4
        label = format_position(time_s if length_s < 10 else round(time_s))
        labels.append(f'<text class="time" x="{number * 25}%" y="{HEIGHT_PX - 6}" text-anchor="{anchor}">{label}</text>')
    return "".join(labels)


def plane(name: str, title: str, description: str, dots: Sequence[Dot]) -> str:
    """The VA plane, valence to the right and arousal upwards, each from 0 to 1; later dots are drawn on top.

    Args:
        name: id of the drawing, unique in the page.
        title: for screen readers.
        description: of the values, for screen readers.
        dots: in any number.

    Returns:
        A square svg element, sized by the page's style.
    """
    edge, side = 28, PLANE_PX - 40

    def position(dot: Dot) -> tuple[float, float]:
        return round(edge + dot.valence * side, 1), round(12 + (1 - dot.arousal) * side, 1)

    middle_x, middle_y, bottom = edge + side / 2, 12 + side / 2, 12 + side
    shapes = [
        f'<rect class="frame" x="{edge}" y="12" width="{side}" height="{side}"/>',
        f'<line class="grid" x1="{middle_x}" x2="{middle_x}" y1="12" y2="{bottom}"/>',
        f'<line class="grid" x1="{edge}" x2="{edge + side}" y1="{middle_y}" y2="{middle_y}"/>',
        f'<text x="{edge}" y="{bottom + 20}">unpleasant</text>',
        f'<text x="{edge + side}" y="{bottom + 20}" text-anchor="end">pleasant</text>',
        f'<text text-anchor="start" transform="translate(18 {bottom}) rotate(-90)">calm</text>',
        '<text text-anchor="end" transform="translate(18 12) rotate(-90)">excited</text>',
    ]
    for dot in dots:
        x, y = position(dot)
        shapes.append(f'<circle class="dot {text(dot.kind)}" cx="{x}" cy="{y}" r="5"><title>{text(dot.label)}</title></circle>')
    marks = [(position(dot), dot) for dot in dots if dot.mark]
    heights = _spread([y for (_, y), _ in marks], 12, bottom)
    for ((x, _), dot), y in zip(marks, heights, strict=True):
        left = x > edge + side - 40
        shapes.append(
            f'<text class="mark" x="{x - 9 if left else x + 9}" y="{y + 5:.1f}" text-anchor="{"end" if left else "start"}">{text(dot.mark)}</text>'
        )
    return (
        f'<svg class="plane" role="img" aria-labelledby="{name}-title {name}-description" viewBox="0 0 {PLANE_PX} {PLANE_PX}">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-description">{text(description)}</desc>{"".join(shapes)}</svg>'
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
