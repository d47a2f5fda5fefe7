"""The plan: which clips are shown when, and the music under them. Plain frozen data."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_PLACES = 6


@dataclass(frozen=True, order=True)
class Segment:
    """A half-open segment [start_s, end_s) of a source, in seconds from the start of its container.

    Raises:
        ValueError: it ends where it starts or before.
    """

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(f"segment [{self.start_s}, {self.end_s}): the end must come after the start")

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def overlap_s(self, other: "Segment") -> float:
        """Seconds that two segments share."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))


@dataclass(frozen=True)
class Curve:
    """VA over time: `times_s` (N,) and `va` float32 (N, 2) in [0, 1], one sample for each slot."""

    times_s: "np.ndarray"
    va: "np.ndarray"


@dataclass(frozen=True)
class Clip:
    """The visuals in [start_s, end_s) of the result: the segment `source` of the video `path`, or the picture `path` if that is None."""

    path: Path
    start_s: float
    end_s: float
    source: Segment | None = None


@dataclass(frozen=True)
class Cue:
    """Music in [start_s, end_s) of the result: the track `path` from `offset_s` on, looped where it ends too soon.

    `distance` is its distance from the visuals in VA; `score` is Eq. 1's, None for a model without a sigma. Neighbouring cues
    overlap where they are crossfaded.
    """

    path: Path
    start_s: float
    end_s: float
    offset_s: float
    distance: float
    score: float | None = None

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "path": str(self.path),
            "start_s": round(self.start_s, _PLACES),
            "end_s": round(self.end_s, _PLACES),
            "offset_s": round(self.offset_s, _PLACES),
            "distance": round(self.distance, _PLACES),
            "score": None if self.score is None else round(self.score, _PLACES),
        }


@dataclass(frozen=True)
class Timeline:
    """The content of a rendering: clips, each beginning where the one before ends, the first at 0, and the music under them."""

    clips: tuple[Clip, ...]
    cues: tuple[Cue, ...] = ()

    @classmethod
    def of(cls, source: Path, kept: Iterable[Segment]) -> "Timeline":
        """Make a timeline of the kept shots of a video, in the order of time. Adjacent ones are joined: no cut is needed between them.

        Args:
            source: the video.
            kept: segments that do not overlap, in any order.
        """
        joined: list[Segment] = []
        for segment in sorted(kept):
            if joined and segment.start_s == joined[-1].end_s:
                joined[-1] = Segment(joined[-1].start_s, segment.end_s)
            else:
                joined.append(segment)
        clips: list[Clip] = []
        for segment in joined:
            start_s = clips[-1].end_s if clips else 0.0
            clips.append(Clip(source, start_s, start_s + segment.length_s, segment))
        return cls(tuple(clips))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of videos in the timeline."""
        return tuple(clip.source for clip in self.clips if clip.source is not None)

    @property
    def duration_s(self) -> float:
        """Total length in seconds."""
        return self.clips[-1].end_s if self.clips else 0.0

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {"clips": [_clip_json(clip) for clip in self.clips], "cues": [cue.to_json() for cue in self.cues]}


def _clip_json(clip: Clip) -> dict[str, Any]:
    source = clip.source and [round(clip.source.start_s, _PLACES), round(clip.source.end_s, _PLACES)]
    return {"path": str(clip.path), "start_s": round(clip.start_s, _PLACES), "end_s": round(clip.end_s, _PLACES), "source": source}
