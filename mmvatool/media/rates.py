"""The nominal frame rate of a video, from the times of its frames."""

from fractions import Fraction

import numpy as np

DEFAULT_RATE = Fraction(25)  # where the file states none: ffmpeg's default
STATED_TOLERANCE = 0.006  # frames a second, within which what a container states is a standard rate
# Rates that cameras and editors use; a rate measured through a container's coarse clock is snapped to one of them.
STANDARD_RATES = tuple(Fraction(rate) for rate in (*range(1, 61), 72, 90, 100, 120, 144, 240)) + tuple(
    Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)
)
HIGHEST_RATE = 250  # more than the frames over the file's length, and more than this, is no rate but frames that were sent in a burst
BURST_WINDOW = 60  # steps; bursts of two to six, ten or twelve frames fit into it
BURST_FACTOR = 1.5  # by which the usual step of bursts at least differs from the mean one; of drops and jitter it does not
LONGEST_PAUSE = 4  # times the usual time between two bursts; what is longer is a pause


def nominal_rate(ticks: np.ndarray, tick_s: Fraction, average: Fraction | None) -> tuple[Fraction, bool]:
    """Nominal frame rate, and whether every frame keeps to it.

    Args:
        ticks: the time of every frame, int64 (N,), rising; of frames that a coarse clock puts at the same time, every one.
        tick_s: the clock.
        average: what the container states, None where it states none.

    A fine clock (mp4's) gives the rate exactly. A coarse one (Matroska's milliseconds) and jitter have several steps averaged and
    snapped to a standard rate, or to what the container itself states if that is near.
    """
    stated = _snap(average, STATED_TOLERANCE) if average else None
    steps = np.diff(ticks)
    steps = steps[steps > 0]
    if not len(steps):
        return stated or DEFAULT_RATE, True
    median = float(np.median(steps))
    step, coarse = median, 1 < median < 100
    if (steps == median).mean() > 0.9 and not coarse and not _burst_rate(ticks, tick_s, median):
        rate = 1 / (Fraction(median) * tick_s)
    else:
        usual = steps[np.abs(steps - median) <= median / 4]
        usual_step = float(usual.mean()) if len(usual) else median
        burst_rate = _burst_rate(ticks, tick_s, usual_step)
        measured = burst_rate or 1 / (Fraction(usual_step) * tick_s)
        near = stated is not None and not burst_rate and abs(stated / measured - 1) < Fraction(2, 100)
        rate = stated if stated and near else _snap(measured, float(measured) / 100)
        step = float(1 / (rate * tick_s))
    ticks = np.unique(ticks)  # VP8's hidden frames have the time of the next
    ideal = ticks[0] + np.arange(len(ticks)) * step
    return rate, bool(np.abs(ticks - ideal).max() <= max(min(1.0, step / 2), step / 4))


def _burst_rate(ticks: np.ndarray, tick_s: Fraction, usual_step: float) -> Fraction | None:
    """The mean rate of frames that come in bursts, as from cameras that send what has queued up; None where they do not.

    Frames in a burst are nearer to each other than the mean step says. So they are in a recording with pauses, too; but that has them at a
    rate that cameras have, and another mean rate in each of its parts.
    """
    steps = np.diff(ticks)
    window = max(1, min(BURST_WINDOW, len(steps) // 2))
    spans = ticks[window:] - ticks[:-window]
    span = float(np.median(spans))
    steady = bool((np.abs(spans - span) <= span / 4).mean() > 0.9)
    shortest = 1 / (HIGHEST_RATE * float(tick_s))
    different = not 1 / BURST_FACTOR < usual_step * window / max(span, 1) < BURST_FACTOR
    if not different or (usual_step >= shortest and not steady):
        return None
    starts = np.flatnonzero(steps > (span / window if steady else shortest)) + 1
    if len(starts) < 2:
        return None
    sizes, periods = np.diff(starts), np.diff(ticks[starts])
    regular = periods <= LONGEST_PAUSE * np.median(periods)
    return Fraction(int(sizes[regular].sum())) / (int(periods[regular].sum()) * tick_s)


def _snap(rate: Fraction, tolerance: float) -> Fraction:
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= tolerance else rate.limit_denominator(1001)
