"""Where the result may be cut: at any frame (it is encoded), or at keyframes (packets are copied)."""

import math
from abc import ABC, abstractmethod

import numpy as np

from mmvatool.media.cut import CutPoints
from mmvatool.media.probe import MediaInfo
from mmvatool.summary.shots import align
from mmvatool.timeline import Segment

CLOSE_S = 1.1  # keyframes of phones, a second apart


class Cuts(ABC):
    """The rules for the bounds of what is kept.

    Attributes:
        info: the probed video.
        precision: the name of such cuts in the JSON.
        points: where packets can be parted, for the renderer; None where the result is encoded.
        snap_s: a bound of what is kept belongs to a shot boundary that lies within so many seconds of it.
        run_starts_s: rising times at which a run inside a shot may be cut, one array for each try, the preferred one first.
        run: what such a run is called in messages.
        cure: what to do where none fits the budget.
    """

    info: MediaInfo
    precision: str
    points: CutPoints | None
    snap_s: float
    run_starts_s: tuple[np.ndarray, ...]
    run = "run of frames"
    cure = "raise --ratio or --duration"

    @abstractmethod
    def align(self, shots: list[Segment]) -> list[Segment]:
        """The shots with their bounds where cuts are allowed or preferred; those that become empty are left out."""

    @abstractmethod
    def widen(self, start_s: float, end_s: float) -> tuple[float, float]:
        """The bounds of the shortest range around start_s..end_s, which lie on frames, that can be kept or dropped."""

    @abstractmethod
    def end_of(self, time_s: float) -> float:
        """The time at which the result stops if it is cut at `time_s`."""

    @abstractmethod
    def to_refine(self, bounds_s: set[float]) -> set[float]:
        """Of the bounds of what is kept those whose exact place matters."""

    @abstractmethod
    def warnings(self, shots: list[Segment], min_shot_s: float) -> list[str]:
        """A sentence if bounds lie farther than half of the shortest shot from where the picture changes."""


class FrameCuts(Cuts):
    """Cuts at any frame of a video, as encoding makes them."""

    precision = "exact"
    points = None

    def __init__(self, info: MediaInfo) -> None:
        self.info = info
        # A range to keep, or a run inside a shot, has bounds that are no shot boundaries.
        self.snap_s = float(1 / info.rate) / 2
        self.run_starts_s = (info.edges_s,)

    def align(self, shots: list[Segment]) -> list[Segment]:
        """The shots as they are."""
        return shots

    def widen(self, start_s: float, end_s: float) -> tuple[float, float]:
        """The same bounds."""
        return start_s, end_s

    def end_of(self, time_s: float) -> float:
        """The time itself."""
        return time_s

    def to_refine(self, bounds_s: set[float]) -> set[float]:
        """All of them."""
        return bounds_s

    def warnings(self, shots: list[Segment], min_shot_s: float) -> list[str]:
        """None: every bound is where it should be."""
        return []


class KeyframeCuts(Cuts):
    """Cuts at keyframes, so that packets can be copied.

    Where frames between two keyframes can be encoded in the source's own format (`points.recipe`), a bound that lies far from every keyframe
    stays where it is; else every bound lies on a keyframe.
    """

    precision = "keyframes"
    snap_s = math.inf  # bounds have been moved to keyframes, away from the shot boundary

    def __init__(self, points: CutPoints) -> None:
        self.info, self.points, self._points = points.info, points, points
        self._only = points.recipe is None
        self._edges_s = np.append(points.times_s, points.info.end_s)
        self.run_starts_s = (points.times_s,) if self._only else (points.times_s, points.info.edges_s)
        if self._only:
            self.run, self.cure = "part between two keyframes", "raise --ratio or --duration, or leave out --lossless"

    def align(self, shots: list[Segment]) -> list[Segment]:
        """The shots with their bounds on keyframes, all of them or those that need not move far."""
        return align(shots, self._edges_s[:-1], always=self._only)

    def widen(self, start_s: float, end_s: float) -> tuple[float, float]:
        """The keyframes before and after the range, if every bound must lie on one."""
        if not self._only:
            return start_s, end_s
        first = max(0, int(np.searchsorted(self._edges_s, start_s, side="right")) - 1)
        return float(self._edges_s[first]), float(self._edges_s[np.searchsorted(self._edges_s, end_s)])

    def end_of(self, time_s: float) -> float:
        """Sooner than the keyframe at `time_s` where the last pictures before it refer to it, which is cut away."""
        return self._points.end_of(time_s)

    def to_refine(self, bounds_s: set[float]) -> set[float]:
        """Those with keyframes far apart: in a short group of pictures the copy has the same bounds wherever in it the change is."""
        return bounds_s - self._points.close(CLOSE_S)

    def warnings(self, shots: list[Segment], min_shot_s: float) -> list[str]:
        """A sentence if every bound must lie on a keyframe, and one moves by more than half of the shortest shot."""
        if not self._only:
            return []
        moved_s = max((float(np.abs(self._edges_s - shot.end_s).min()) for shot in shots), default=0.0)
        if moved_s <= min_shot_s / 2:
            return []
        return [f"{self._points.reason}: all cuts lie on keyframes, up to {moved_s:.1f} s from where the shot changes"]
