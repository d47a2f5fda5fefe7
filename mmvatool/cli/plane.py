"""Plots of text: where results lie in the plane of valence and arousal, and how a curve goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 49, 13  # characters; both odd, so that .5 has a line of its own
MARKS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEVERAL, UNMARKED = "*", "."
_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=oO0#"


class Plane:
    """The VA plane as text: valence to the right, arousal upwards, a mark for each result. Memory does not grow with them."""

    def __init__(self) -> None:
        self._count = 0
        self._marks: dict[tuple[int, int], str] = {}
        self._several = self._unmarked = False

    def add(self, valence: float, arousal: float) -> str:
        """Put a result where it lies.

        Args:
            valence: in [0, 1].
            arousal: in [0, 1].

        Returns:
            Its mark: 1 to 9, then letters, then a dot for all others.
        """
        mark = MARKS[self._count] if self._count < len(MARKS) else UNMARKED
        self._count += 1
        self._unmarked |= mark == UNMARKED
        place = (HEIGHT - 1 - round(arousal * (HEIGHT - 1)), round(valence * (WIDTH - 1)))
        taken = self._marks.get(place)
        # A dot gives way: what has a mark can be found in the table.
        self._marks[place] = mark if taken in (None, UNMARKED) else taken if mark == UNMARKED else SEVERAL
        self._several |= self._marks[place] == SEVERAL
        return mark

    def lines(self, *, plain: bool) -> list[str]:
        """The drawing; `plain` for output that knows ASCII only."""
        across, up, corner, cross, tick = ("-", "|", "+", "+", "+") if plain else ("─", "│", "└", "┼", "┤")
        drawn = ["arousal"]
        for row in range(HEIGHT):
            label = {0: "1", HEIGHT // 2: ".5", HEIGHT - 1: "0"}.get(row, "")
            middle = row == HEIGHT // 2
            empty = [across if middle else " "] * WIDTH
            empty[WIDTH // 2] = cross if middle else up
            drawn.append(f"{label:>3} {tick if label else up}" + "".join(self._marks.get((row, at), mark) for at, mark in enumerate(empty)))
        drawn.append(f"    {corner}{across * WIDTH}")
        drawn.append(f"     0{'.5':>{WIDTH // 2 + 1}}{'1 valence':>{WIDTH // 2 + 8}}")
        legend = [f"{SEVERAL} several"] * self._several + [f"{UNMARKED} others"] * self._unmarked
        return [line.rstrip() for line in drawn] + ([f"     {', '.join(legend)}"] if legend else [])


def sparkline(values: "Sequence[float] | np.ndarray", width: int = 20, *, plain: bool) -> str:
    """How values in [0, 1] go, in at most `width` characters: the means of as many equal parts, on the scale from 0 to 1."""
    import numpy as np  # here: --help must not wait for it

    if not len(values):
        return ""
    parts = np.array_split(np.asarray(values, np.float64), min(width, len(values)))
    bars = _PLAIN_BARS if plain else _BARS
    return "".join(bars[min(len(bars) - 1, int(float(part.mean()) * len(bars)))] for part in parts)
