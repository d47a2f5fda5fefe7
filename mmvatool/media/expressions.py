"""Expressions in ffmpeg's language, for its filters and bitstream filters."""

from collections.abc import Sequence

import numpy as np


def step_function(variable: str, bounds: Sequence[object], values: Sequence[object]) -> str:
    """values[k], where k is the number of rising bounds at or below the variable, as a balanced tree of comparisons.

    A tree, since ffmpeg evaluates the expression for each frame and limits how deep parentheses nest.

    Args:
        variable: any expression, "t", "pts" or "ld(1)".
        bounds: (N,), rising; printed as they are.
        values: (N + 1,); printed as they are.
    """
    if len(values) == 1:
        return str(values[0])
    middle = len(values) // 2
    below = step_function(variable, bounds[: middle - 1], values[:middle])
    return f"if(lt({variable},{bounds[middle - 1]}),{below},{step_function(variable, bounds[middle:], values[middle:])})"


def select_first_after(times_s: np.ndarray) -> str:
    """For the filter select: the first frame at or after each of some rising times (N,), once even if it is that for several of them."""
    # Counts the times passed; a frame is selected when the count has risen since the last selected one.
    count = step_function("t", [f"{time_s:.6f}" for time_s in times_s], range(len(times_s) + 1))
    return f"st(1,{count});if(gt(ld(1),ld(0)),st(0,ld(1)),0)"


def rising_dts(dts: str, overlap: int) -> str:
    """For the bitstream filter setts: DTS that rise, from DTS that step back by up to `overlap` ticks at joins.

    All are moved by the same amount, so that no DTS that is held back ends up after its PTS.
    """
    return f"max({dts}-{overlap},PREV_OUTDTS+1)" if overlap > 0 else dts
