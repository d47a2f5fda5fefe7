"""Drawings for a page: curves over time and the VA plane, as SVG that takes its colours from the page's style. Pure.

Curves are stretched to the width that is there, their texts are not: they stay readable on a phone.
"""

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_POINTS = 3000  # of a curve; a point of a longer one is the mean of several samples
HEIGHT_PX = 220
PLANE_PX = 400
LEAST_SPAN = 0.2  # of the scale of values: noise is not blown up to mountains
_WIDE, _HIGH = 1000, 100  # the units that curves are drawn in
_AXIS_PX = 24  # under the curves, for the times


def text(value: object) -> str:
    """Any text as HTML shows it, in one line; what cannot be printed (bytes that are not UTF-8, newlines, marks that turn the direction
    of writing) is escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in str(value))
    return html.escape(shown)


def clock(seconds: float) -> str:
    """m:ss or h:mm:ss; tenths of a second where they are not 0."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{minutes:02d}:{whole}" if hours else f"{minutes}:{whole}"


@dataclass(frozen=True)
class Line:
    """A curve: `name`, by which the page styles it, `times_s` (N,) rising and `values` (N,)."""

    name: str
    times_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Band:
    """A stretch that is shaded; `kind` is styled by the page, `label` is what a pointer on it tells."""

    start_s: float
    end_s: float
    kind: str
    label: str


@dataclass(frozen=True)
class Dot:
    """A place in the VA plane; `kind` is styled by the page, `label` tells what it is, `mark` is written beside it."""

    valence: float
    arousal: float
    kind: str
    label: str
    mark: str = ""


def curves(name: str, title: str, description: str, lines: Sequence[Line], bands: Sequence[Band], span_s: tuple[float, float]) -> str:
    """Curves over time.

    Args:
        name: an identifier of the drawing, unique in the page.
        title: what it is, for those who do not see it.
        description: what can be seen in it, for them.
        lines: at least one, of one sample at least; the last is drawn on top.
        bands: what is shaded.
        span_s: where the axis of time starts and ends.

    Returns:
        An svg element as wide as what it lies in, HEIGHT_PX high, with a hidden line of class "playhead".
    """
    start_s, length_s = span_s[0], max(span_s[1] - span_s[0], 1e-9)
    low, high = _bounds([line.values for line in lines])

    def across(time_s: float) -> float:
        return round(min(1.0, max(0.0, (time_s - start_s) / length_s)) * _WIDE, 2)

    def down(value: float) -> float:
        return round((high - value) / (high - low) * _HIGH, 2)

    drawn = [
        f'<rect class="band {text(band.kind)}" x="{across(band.start_s)}" y="0" width="{round(across(band.end_s) - across(band.start_s), 2)}" '
        f'height="{_HIGH}"><title>{text(band.label)}</title></rect>'
        for band in bands
    ]
    values = _ticks(low, high)
    drawn += [f'<line class="grid" x1="0" x2="{_WIDE}" y1="{down(value)}" y2="{down(value)}"/>' for value in values]
    for line in lines:
        times_s, shown = _thinned(line)
        points = " ".join(f"{across(time_s)},{down(value)}" for time_s, value in zip(times_s.tolist(), shown.tolist(), strict=True))
        if len(shown) == 1:  # a single sample is a level line
            points = f"0,{down(float(shown[0]))} {_WIDE},{down(float(shown[0]))}"
        drawn.append(f'<polyline class="curve {text(line.name)}" points="{points}"/>')
    drawn.append(f'<line class="playhead" x1="0" x2="0" y1="0" y2="{_HIGH}" data-start="{start_s:.3f}" data-length="{length_s:.3f}"/>')
    plot_px = HEIGHT_PX - _AXIS_PX
    labels = [f'<text class="value" x="4" y="{max(12, down(value) / _HIGH * plot_px - 4):.1f}">{_short(value)}</text>' for value in values]
    for number in range(5):
        anchor = {0: "start", 4: "end"}.get(number, "middle")
        time_s = start_s + length_s * number / 4
        at = clock(time_s if length_s < 10 else round(time_s))
        labels.append(f'<text class="time" x="{number * 25}%" y="{HEIGHT_PX - 6}" text-anchor="{anchor}">{at}</text>')
    return (
        f'<svg class="curves" role="img" aria-labelledby="{name}-title {name}-description" width="100%" height="{HEIGHT_PX}">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-description">{text(description)}</desc>'
        f'<svg width="100%" height="{plot_px}" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none">{"".join(drawn)}</svg>'
        f"{''.join(labels)}</svg>"
    )


def plane(name: str, title: str, description: str, dots: Sequence[Dot]) -> str:
    """The VA plane, valence to the right and arousal upwards, each from 0 to 1; later dots lie on top.

    Args:
        name: an identifier of the drawing, unique in the page.
        title: what it is, for those who do not see it.
        description: what can be seen in it, for them.
        dots: what lies in it.

    Returns:
        A square svg element that grows up to what the page's style allows.
    """
    edge, side = 28, PLANE_PX - 40

    def place(dot: Dot) -> tuple[float, float]:
        return round(edge + dot.valence * side, 1), round(12 + (1 - dot.arousal) * side, 1)

    middle_x, middle_y, bottom = edge + side / 2, 12 + side / 2, 12 + side
    drawn = [
        f'<rect class="frame" x="{edge}" y="12" width="{side}" height="{side}"/>',
        f'<line class="grid" x1="{middle_x}" x2="{middle_x}" y1="12" y2="{bottom}"/>',
        f'<line class="grid" x1="{edge}" x2="{edge + side}" y1="{middle_y}" y2="{middle_y}"/>',
        f'<text x="{edge}" y="{bottom + 20}">unpleasant</text>',
        f'<text x="{edge + side}" y="{bottom + 20}" text-anchor="end">pleasant</text>',
        f'<text text-anchor="start" transform="translate(18 {bottom}) rotate(-90)">calm</text>',
        '<text text-anchor="end" transform="translate(18 12) rotate(-90)">excited</text>',
    ]
    for dot in dots:
        x, y = place(dot)
        drawn.append(f'<circle class="dot {text(dot.kind)}" cx="{x}" cy="{y}" r="5"><title>{text(dot.label)}</title></circle>')
    marks = [(place(dot), dot) for dot in dots if dot.mark]
    heights = _apart([at[1] for at, _ in marks], 12, bottom)
    for ((x, _), dot), y in zip(marks, heights, strict=True):
        left = x > edge + side - 40
        drawn.append(
            f'<text class="mark" x="{x - 9 if left else x + 9}" y="{y + 5:.1f}" text-anchor="{"end" if left else "start"}">{text(dot.mark)}</text>'
        )
    return (
        f'<svg class="plane" role="img" aria-labelledby="{name}-title {name}-description" viewBox="0 0 {PLANE_PX} {PLANE_PX}">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-description">{text(description)}</desc>{"".join(drawn)}</svg>'
    )


def _bounds(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The scale: whole tenths around all values, LEAST_SPAN apart at least, within [0, 1]."""
    joined = np.concatenate(values)
    low, high = math.floor(float(joined.min()) * 10 + 1e-6) / 10, math.ceil(float(joined.max()) * 10 - 1e-6) / 10
    while high - low < LEAST_SPAN - 1e-9:
        low, high = max(0.0, low - 0.1), min(1.0, high + 0.1)
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    tenths = range(round(low * 10), round(high * 10) + 1)
    return [tenth / 10 for tenth in tenths if len(tenths) <= 6 or tenth % 2 == 0]


def _short(value: float) -> str:
    return {0.0: "0", 1.0: "1"}.get(value, f"{value:.1f}".lstrip("0"))


def _thinned(line: Line) -> tuple[np.ndarray, np.ndarray]:
    if len(line.values) <= MOST_POINTS:
        return line.times_s, line.values
    edges = np.linspace(0, len(line.values), MOST_POINTS + 1).astype(np.int64)
    counts = np.diff(edges)
    return np.add.reduceat(line.times_s, edges[:-1]) / counts, np.add.reduceat(line.values.astype(np.float64), edges[:-1]) / counts


def _apart(heights: Sequence[float], top: float, bottom: float, least: float = 15.0) -> list[float]:
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
