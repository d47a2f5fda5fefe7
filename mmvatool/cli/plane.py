"""Plots in text: the plane of valence and arousal, and sparklines of curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 49, 13  # characters; odd, so that .5 has a line of its own
MARKS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEVERAL_MARK, OTHER_MARK = "*", "."
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=oO0#"


class Plane:
    """The VA plane as text: valence to the right, arousal upwards, a mark for each result. Memory does not grow with their number."""

    def __init__(self) -> None:
        self._count = 0
        self._marks: dict[tuple[int, int], str] = {}
        self._has_several = self._has_others = False

    def add(self, valence: float, arousal: float) -> str:
        """Add a result.

        Args:
            valence: in [0, 1].
            arousal: in [0, 1].

        Returns:
            Its mark: 1 to 9, then letters, then a dot for each further one.
        """
        mark = MARKS[self._count] if self._count < len(MARKS) else OTHER_MARK
        self._count += 1
        self._has_others |= mark == OTHER_MARK
        cell = (HEIGHT - 1 - round(arousal * (HEIGHT - 1)), round(valence * (WIDTH - 1)))
        present = self._marks.get(cell)
        # A dot is replaced by a mark, which can be looked up in the table.
        self._marks[cell] = mark if present in (None, OTHER_MARK) else present if mark == OTHER_MARK else SEVERAL_MARK
        self._has_several |= self._marks[cell] == SEVERAL_MARK
        return mark

    def lines(self, *, plain: bool) -> list[str]:
        """The lines of the plot, in ASCII if `plain`."""
        horizontal, vertical, corner, cross, tick = ("-", "|", "+", "+", "+") if plain else ("─", "│", "└", "┼", "┤")
        lines = ["arousal"]
        for row in range(HEIGHT):
            label = {0: "1", HEIGHT // 2: ".5", HEIGHT - 1: "0"}.get(row, "")
            middle = row == HEIGHT // 2
            grid = [horizontal if middle else " "] * WIDTH
            grid[WIDTH // 2] = cross if middle else vertical
            cells = (self._marks.get((row, column), empty) for column, empty in enumerate(grid))
            lines.append(f"{label:>3} {tick if label else vertical}" + "".join(cells))
        lines.append(f"    {corner}{horizontal * WIDTH}")
        lines.append(f"     0{'.5':>{WIDTH // 2 + 1}}{'1 valence':>{WIDTH // 2 + 8}}")
        legend = [f"{SEVERAL_MARK} several"] * self._has_several + [f"{OTHER_MARK} others"] * self._has_others
        return [line.rstrip() for line in lines] + ([f"     {', '.join(legend)}"] if legend else [])


def sparkline(values: "Sequence[float] | np.ndarray", width: int = 20, *, plain: bool) -> str:
    """A sparkline of values in [0, 1]: the means of at most `width` equal parts, a character each, on the scale from 0 to 1."""
    import numpy as np  # imported here so that --help does not wait for it

    if not len(values):
        return ""
    parts = np.array_split(np.asarray(values, np.float64), min(width, len(values)))
    bars = _ASCII_BARS if plain else _BARS
    return "".join(bars[min(len(bars) - 1, int(float(part.mean()) * len(bars)))] for part in parts)
