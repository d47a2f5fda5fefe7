"""Where a video may be cut: sampling slots, change points of the embeddings, shots of bounded length. Pure.

A *slot* is a stretch of SLOT_S seconds with one sample, the frame on screen at its centre. "Change k" stands between
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
        found = ruptures.KernelCPD(kernel="linear", min_size=1).fit(window).predict(pen=penalty)[:-1]
        changes += [start + change for change in found]
        if start + WINDOW >= len(unit):
            break
        # The next window begins at a boundary, or overlaps by one sample so that a change at the join is seen.
        start = changes[-1] if found else start + len(window) - 1
    return sorted(set(changes))


def shots(
    embeddings: np.ndarray,
    sample_times_s: np.ndarray,
    frame_times_s: np.ndarray,
    end_s: float,
    refine: Callable[[int], float],
    min_s: float = MIN_SHOT_S,
    max_s: float = MAX_SHOT_S,
) -> list[Segment]:
    """Shots that cover the video: change points, refined to frames, each shot within min_s..max_s.

    A shot shorter than min_s loses the weaker of its two cuts; one longer than max_s is split at its largest inner
    change if that stands out, else evenly. Each shot holds at least one sample. A single frame is never cut, however long
    it stands.

    Args:
        embeddings: (N, D), one a sample.
        sample_times_s: (N,) times of the sampled frames, rising, SLOT_S apart.
        frame_times_s: times of all frames; cuts fall on them.
        end_s: end of the last frame.
        refine: gives the time of the frame at which change k happens, in (sample k - 1, sample k].
        min_s: shortest shot, seconds; at most max_s / 2.
        max_s: longest shot, seconds; at least LEAST_MAX_SHOT_S.

    Returns:
        Segments from the first frame to the end of the last. A video shorter than min_s is one shot.
    """
    norms = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    steps = np.concatenate([[0.0], np.linalg.norm(np.diff(embeddings / norms, axis=0), axis=1)])  # steps[k]: size of change k

    def cut(first: int, past: int, from_s: float, to_s: float) -> tuple[int, float] | None:
        """Where to cut the shot [from_s, to_s), which holds the samples first..past - 1: a change and its time; None: not at all."""
        if to_s - from_s <= max_s + EPSILON_S or past - first < 2:
            return None
        inner = steps[first + 1 : past]
        change = first + 1 + int(inner.argmax())
        cut_s = refine(change) if len(inner) > 1 and steps[change] > STANDS_OUT * np.median(inner) else from_s
        if cut_s - from_s < min_s or to_s - cut_s < min_s:
            parts = np.ceil((to_s - from_s) / max_s - EPSILON_S)
            # A frame between two samples, so that each part keeps one.
            low, high = np.searchsorted(frame_times_s, (sample_times_s[first], sample_times_s[past - 1]), side="right")
            if low == high:  # one frame that stands for longer than the maximum, as in a recorded slide
                return None
            cut_s = _nearest(frame_times_s[low:high], from_s + (to_s - from_s) / parts)
            change = int(np.searchsorted(sample_times_s, cut_s))
        return change, cut_s

    start_s = float(frame_times_s[0])
    cuts = [(change, refine(change)) for change in change_points(embeddings)]
    ends = [(0, start_s), *_drop_weak(cuts, steps, start_s, end_s, min_s), (len(embeddings), end_s)]
    found = []
    todo = [(*one, *two) for one, two in reversed(list(itertools.pairwise(ends)))]
    while todo:  # the earliest is the last; without recursion, which a still picture of some hours would drive too deep
        first, from_s, past, to_s = todo.pop()
        where = cut(first, past, from_s, to_s)
        if where:
            todo += [(*where, past, to_s), (first, from_s, *where)]
        else:
            found.append(Segment(from_s, to_s))
    return found


def uniform_shots(grid: Slots, frame_times_s: np.ndarray) -> list[Segment]:
    """Fixed shots, a slot each, their bounds moved to the nearest frame."""
    inner = [_nearest(frame_times_s, float(edge)) for edge in grid.edges_s[1:-1]]
    edges = [float(grid.edges_s[0]), *inner, float(grid.edges_s[-1])]
    return [Segment(a, b) for a, b in itertools.pairwise(edges) if a < b]


def snapped(found: list[Segment], points_s: np.ndarray, *, strictly: bool) -> list[Segment]:
    """Shots whose bounds lie on points at which a video can be cut without encoding it; those that become empty go.

    Args:
        found: shots that cover the video, in order.
        points_s: rising times; the first one is the earliest at which the result may begin.
        strictly: whether every bound must lie on a point. Else one stays where it is that would move by more than half of a shot beside it.

    Returns:
        Segments that cover the video, strictly from the first point on.
    """
    edges = [found[0].start_s, *(shot.end_s for shot in found)]
    inner = []
    for edge, (before, after) in zip(edges[1:-1], itertools.pairwise(found), strict=True):
        point = _nearest(np.append(points_s, edges[-1]), edge)
        near = abs(point - edge) <= min(before.length_s, after.length_s) / 2
        inner.append(point if strictly or near else edge)
    start_s = float(points_s[0]) if strictly else edges[0]
    bounds = [start_s, *(edge for edge in inner if edge > start_s), edges[-1]]
    return [Segment(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def _drop_weak(cuts: list[tuple[int, float]], steps: np.ndarray, start_s: float, end_s: float, min_s: float) -> list[tuple[int, float]]:
    """Take the shortest shot first, the earliest among equals, and drop the weaker of its cuts, until none is shorter than min_s."""
    edges = [start_s, *(time_s for _, time_s in cuts), end_s]
    past = len(cuts) + 1  # edge 0 is the start, edge `past` the end
    before, after = [at - 1 for at in range(past + 1)], [at + 1 for at in range(past + 1)]
    there = [True] * (past + 1)
    queue = [(edges[at + 1] - edges[at], at, at + 1) for at in range(past) if edges[at + 1] - edges[at] < min_s]
    heapq.heapify(queue)
    while queue:
        _, one, two = heapq.heappop(queue)
        if not (there[one] and after[one] == two):
            continue  # one of its edges is gone
        beside = [edge for edge in (one, two) if 0 < edge < past]
        if not beside:
            break
        weak = min(beside, key=lambda edge: steps[cuts[edge - 1][0]])
        there[weak] = False
        left, right = before[weak], after[weak]
        after[left], before[right] = right, left
        if edges[right] - edges[left] < min_s:
            heapq.heappush(queue, (edges[right] - edges[left], left, right))
    return [cut for cut, kept in zip(cuts, there[1:past], strict=True) if kept]


def _nearest(times_s: np.ndarray, time_s: float) -> float:
    """Of rising times the nearest, the earlier of two."""
    at = int(np.searchsorted(times_s, time_s))
    return float(min(times_s[max(0, at - 1) : at + 1], key=lambda time: abs(time - time_s)))
