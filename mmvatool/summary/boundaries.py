"""Shots of a video, and where exactly the picture changes between two of its samples.

"Change k" stands between sample k - 1 and sample k. Between keyframes as samples lie some seconds, and all frames there have to be decoded
to find the change exactly. That would be most of the work, so that it is only done for the bounds of what is rendered or written to a plan.
"""

import itertools
from collections.abc import Callable

import numpy as np

from mmvatool.analysis.slots import Slots
from mmvatool.analysis.video import VideoAnalysis
from mmvatool.media.changes import exact_changes, likely_change
from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo
from mmvatool.media.sampling import Samples
from mmvatool.summary.settings import SummarySettings, budget_s
from mmvatool.summary.shots import LEAST_MAX_SHOT_S, split_at_changes, uniform_shots
from mmvatool.timeline import Segment


class Boundaries:
    """Where between two samples the picture changes: estimated without decoding, or exactly.

    Args:
        info: the probed video.
        grid: the slots that were sampled.
        samples: the frame of each slot.
        analysis: of these samples; it keeps the exact changes.
        settings: how shots are found.

    Attributes:
        all_exact: every boundary is exact in the first place.
    """

    def __init__(self, info: MediaInfo, grid: Slots, samples: Samples, analysis: VideoAnalysis, settings: SummarySettings) -> None:
        self._info, self._grid, self._analysis, self._settings = info, grid, analysis, settings
        self._sampled = info.frame_at(samples.times_s)
        self.all_exact = settings.sampling == "exact" or settings.shots == "uniform"
        self._settled: set[int] = set()

    def detect_shots(self) -> list[Segment]:
        """Shots that cover the video, in order, their boundaries exact if `all_exact`, else estimated.

        Raises:
            MediaError: the samples cannot be decoded.
        """
        info, settings = self._info, self._settings
        if settings.shots == "uniform":
            return uniform_shots(self._grid, info.edges_s)
        _, embeddings = self._analysis.image
        # A shot over the budget could never be kept: it is over the maximum, too.
        longest_s = min(settings.max_shot_s, max(budget_s(info, settings), LEAST_MAX_SHOT_S, 2 * settings.min_shot_s))
        refine = self._exact if self.all_exact else self._estimate
        return split_at_changes(embeddings, info.times_s[self._sampled], info.times_s, info.end_s, refine, settings.min_shot_s, longest_s)

    def refine(self, shots: list[Segment], bounds_s: set[float], within_s: float) -> list[Segment]:
        """The shots with exact boundaries where the result is cut; equal to `shots` if nothing is left to find.

        A boundary is exact after one call, but one that would make a shot shorter than the shortest stays where it is; it is tried
        again once others have moved.

        Args:
            shots: that cover the video, in order.
            bounds_s: bounds of what is kept.
            within_s: a bound belongs to the nearest boundary if that lies within so many seconds.
        """
        if self.all_exact:
            return shots
        before_s = [shots[0].start_s, *(shot.end_s for shot in shots)]
        edges_s = before_s.copy()
        changes = self._changes_at(edges_s, bounds_s, within_s)
        self._settled.update(changes)
        refused, shortest_s = [], self._settings.min_shot_s
        exact_s = self._times_s([*changes], lambda spans: exact_changes(self._info, spans))
        for (change, index), time_s in zip(changes.items(), exact_s, strict=True):
            if time_s - edges_s[index - 1] >= shortest_s and edges_s[index + 1] - time_s >= shortest_s:
                edges_s[index] = time_s
            else:
                refused.append(change)
        if edges_s != before_s:
            self._settled.difference_update(refused)
        return [Segment(start_s, end_s) for start_s, end_s in itertools.pairwise(edges_s)]

    def _changes_at(self, edges_s: list[float], bounds_s: set[float], within_s: float) -> dict[int, int]:
        """The rising changes, not settled yet, that belong to some bounds, each with the index of its edge."""
        indices: dict[int, int] = {}
        for bound_s in bounds_s:
            index = int(np.abs(np.array(edges_s) - bound_s).argmin())
            change = int(np.searchsorted(self._info.times_s[self._sampled], edges_s[index]))
            if abs(edges_s[index] - bound_s) > within_s or not 0 < index < len(edges_s) - 1:
                continue
            if 0 < change < len(self._sampled) and change not in self._settled:
                indices[change] = index
        return dict(sorted(indices.items()))

    def _exact(self, change: int) -> float:
        """The time of the frame that differs most from the one before it."""
        frames = self._analysis.frames
        return self._times_s([change], lambda spans: [_largest_change(frames, *span) for span in spans])[0]

    def _estimate(self, change: int) -> float:
        """The time of the frame on which the encoder spent most, compared with its neighbours; midway where that says nothing."""
        first, last = self._span(change)
        if first == last:
            return float(self._grid.edges_s[change])
        frame = likely_change(self._info, first, last)
        return float(self._info.times_s[(first + last) // 2 + 1 if frame is None else frame])

    def _span(self, change: int) -> tuple[int, int]:
        """The frames of the two samples between which the change is; the same one twice if slots share it."""
        return int(self._sampled[change - 1]), int(self._sampled[change])

    def _times_s(self, changes: list[int], find: Callable[[list[tuple[int, int]]], list[int]]) -> list[float]:
        """The times of changes. `find` gives the frames of those that are not known yet, for the spans in which they lie."""
        between = [change for change in changes if np.ptp(self._span(change))]
        times_s = self._analysis.change_times_s(
            between, lambda new: self._info.times_s[find([self._span(change) for change in new])].tolist()
        )
        known = dict(zip(between, times_s, strict=True))
        return [known.get(change, float(self._grid.edges_s[change])) for change in changes]


def _largest_change(frames: Frames, first: int, last: int) -> int:
    """The frame in first + 1..last that differs most from the one before it; midway where nothing changes."""
    small = frames.read(np.arange(first, last + 1))[:, ::4, ::4].astype(np.int16)
    steps = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
    return first + 1 + (int(steps.argmax()) if steps.max() > 0 else len(steps) // 2)
