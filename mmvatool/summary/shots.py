"""Where a video may be cut: sampling slots, change points of the embeddings, shots of bounded length. Pure.

A *slot* is a segment of SLOT_S seconds with one sample, the frame on screen at its centre. "Change k" stands between
sample k - 1 and sample k; the cut itself lies somewhere between these two frames.
"""

import heapq
import itertools
from collections.abc import Callable

import numpy as np

from mmvatool.analysis.slots import SLOT_S, Slots
from mmvatool.timeline import Segment

MIN_SHOT_S = 1.0
MAX_SHOT_S = 15.0
# A shot must be able to hold two samples wherever it starts, so that it can be split between them.
LEAST_MAX_SHOT_S = 2 * SLOT_S
# What a change must save in squared distance of unit-length embeddings. On real videos frames of one shot lie 0.001-0.3
# apart and frames across a cut 0.7-1.5; on a camera that moves on, 0.3-0.45.
PENALTY = 0.4
# PELT turns quadratic where nothing changes: 600 samples (20 minutes) at a time.
WINDOW = 600
# An inner change counts as one if it stands out from the shot's other steps by this factor; else the split is even.
STANDS_OUT = 2.0
EPSILON_S = 1e-9


def change_points(embeddings: np.ndarray, penalty: float = PENALTY) -> list[int]:
    """Kernel change-point detection (Potapov et al. 2014) with a linear kernel on unit-length embeddings, by PELT.

    Args:
        embeddings: (N, D) float, one a sample.
        penalty: the saving that a change must bring, in squared distance.

    Returns:
        Rising sample numbers k in 1..N-1 at which a new shot begins.
    """
    import ruptures  # here: it loads scipy, which --help must not wait for

    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = (embeddings / np.maximum(norms, 1e-12)).astype(np.float64)
    changes: list[int] = []
    start = 0
    while len(unit) - start >= 2:
        window = unit[start : start + WINDOW]
        inside = ruptures.KernelCPD(kernel="linear", min_size=1).fit(window).predict(pen=penalty)[:-1]
        changes += [start + change for change in inside]
        if start + WINDOW >= len(unit):
            break
        # The next window begins at a change, or overlaps by one sample so that no change is lost where windows meet.
        start = changes[-1] if inside else start + len(window) - 1
    return sorted(set(changes))


def split_at_changes(
    embeddings: np.ndarray,
    sample_times_s: np.ndarray,
    frame_times_s: np.ndarray,
    end_s: float,
    refine: Callable[[int], float],
    min_s: float = MIN_SHOT_S,
    max_s: float = MAX_SHOT_S,
) -> list[Segment]:
    """Shots that cover the video: change points, refined to frames, each shot within min_s..max_s.

    A shot shorter than min_s loses the weaker of its two boundaries; one longer than max_s is split at its largest inner
    change if that stands out, else evenly. Each shot holds at least one sample. A single frame is never split, however long
    it stands.

    Args:
        embeddings: (N, D), one a sample.
        sample_times_s: (N,) times of the sampled frames, rising, SLOT_S apart.
        frame_times_s: times of all frames; boundaries lie on them.
        end_s: end of the last frame.
        refine: gives the time of the frame at which change k happens, in (sample k - 1, sample k].
        min_s: shortest shot, seconds; at most max_s / 2.
        max_s: longest shot, seconds; at least LEAST_MAX_SHOT_S.

    Returns:
        Segments from the first frame to the end of the last. A video shorter than min_s is one shot.
    """
    norms = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    steps = np.concatenate([[0.0], np.linalg.norm(np.diff(embeddings / norms, axis=0), axis=1)])  # steps[k]: size of change k

    def split(start: int, stop: int, start_s: float, stop_s: float) -> tuple[int, float] | None:
        """Where to split the shot [start_s, stop_s), which holds the samples start..stop - 1: a change and its time; None: not at all."""
        if stop_s - start_s <= max_s + EPSILON_S or stop - start < 2:
            return None
        inner = steps[start + 1 : stop]
        change = start + 1 + int(inner.argmax())
        split_s = refine(change) if len(inner) > 1 and steps[change] > STANDS_OUT * np.median(inner) else start_s
        if split_s - start_s < min_s or stop_s - split_s < min_s:
            parts = np.ceil((stop_s - start_s) / max_s - EPSILON_S)
            # A frame between two samples, so that each part keeps one.
            low, high = np.searchsorted(frame_times_s, (sample_times_s[start], sample_times_s[stop - 1]), side="right")
            if low == high:  # one frame that stands for longer than the maximum, as in a recorded slide
                return None
            split_s = _nearest(frame_times_s[low:high], start_s + (stop_s - start_s) / parts)
            change = int(np.searchsorted(sample_times_s, split_s))
        return change, split_s

    first_s = float(frame_times_s[0])
    changes = [(change, refine(change)) for change in change_points(embeddings)]
    edges = [(0, first_s), *_drop_weak(changes, steps, first_s, end_s, min_s), (len(embeddings), end_s)]
    shots = []
    pending = [(*one, *two) for one, two in reversed(list(itertools.pairwise(edges)))]
    while pending:  # the earliest is the last; without recursion, which a still picture of some hours would drive too deep
        start, start_s, stop, stop_s = pending.pop()
        boundary = split(start, stop, start_s, stop_s)
        if boundary:
            pending += [(*boundary, stop, stop_s), (start, start_s, *boundary)]
        else:
            shots.append(Segment(start_s, stop_s))
    return shots


def uniform_shots(grid: Slots, frame_times_s: np.ndarray) -> list[Segment]:
    """Fixed shots, a slot each, their bounds moved to the nearest frame."""
    inner = [_nearest(frame_times_s, float(edge)) for edge in grid.edges_s[1:-1]]
    edges_s = [float(grid.edges_s[0]), *inner, float(grid.edges_s[-1])]
    return [Segment(before_s, after_s) for before_s, after_s in itertools.pairwise(edges_s) if before_s < after_s]


def align(shots: list[Segment], points_s: np.ndarray, *, always: bool) -> list[Segment]:
    """Shots whose bounds lie on points at which a video can be cut without encoding it; those that become empty go.

    Args:
        shots: that cover the video, in order.
        points_s: rising times; the first one is the earliest at which the result may begin.
        always: whether every bound must lie on a point. Else one stays where it is that would move by more than half of a shot beside it.

    Returns:
        Segments that cover the video; from the first point on, if every bound must lie on one.
    """
    edges_s = [shots[0].start_s, *(shot.end_s for shot in shots)]
    inner_s = []
    for edge_s, (before, after) in zip(edges_s[1:-1], itertools.pairwise(shots), strict=True):
        point_s = _nearest(np.append(points_s, edges_s[-1]), edge_s)
        near = abs(point_s - edge_s) <= min(before.length_s, after.length_s) / 2
        inner_s.append(point_s if always or near else edge_s)
    start_s = float(points_s[0]) if always else edges_s[0]
    bounds_s = [start_s, *(edge_s for edge_s in inner_s if edge_s > start_s), edges_s[-1]]
    return [Segment(before_s, after_s) for before_s, after_s in itertools.pairwise(bounds_s) if before_s < after_s]


def _drop_weak(changes: list[tuple[int, float]], steps: np.ndarray, start_s: float, end_s: float, min_s: float) -> list[tuple[int, float]]:
    """The changes (and their times) without the weaker one of the shortest shot, the earliest among equals, until none is under min_s."""
    edges_s = [start_s, *(time_s for _, time_s in changes), end_s]
    last = len(changes) + 1  # edge 0 is the start, edge `last` the end
    before, after = [edge - 1 for edge in range(last + 1)], [edge + 1 for edge in range(last + 1)]
    kept = [True] * (last + 1)
    queue = [(edges_s[edge + 1] - edges_s[edge], edge, edge + 1) for edge in range(last) if edges_s[edge + 1] - edges_s[edge] < min_s]
    heapq.heapify(queue)
    while queue:
        _, one, two = heapq.heappop(queue)
        if not (kept[one] and after[one] == two):
            continue  # one of its edges is gone
        removable = [edge for edge in (one, two) if 0 < edge < last]
        if not removable:
            break
        weak = min(removable, key=lambda edge: steps[changes[edge - 1][0]])
        kept[weak] = False
        left, right = before[weak], after[weak]
        after[left], before[right] = right, left
        if edges_s[right] - edges_s[left] < min_s:
            heapq.heappush(queue, (edges_s[right] - edges_s[left], left, right))
    return [change for change, is_kept in zip(changes, kept[1:last], strict=True) if is_kept]


def _nearest(times_s: np.ndarray, time_s: float) -> float:
    """Of rising times the nearest, the earlier of two."""
    index = int(np.searchsorted(times_s, time_s))
    return float(min(times_s[max(0, index - 1) : index + 1], key=lambda candidate_s: abs(candidate_s - time_s)))
