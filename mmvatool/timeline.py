"""The plan: which parts of a source are shown, in which order. Plain frozen data."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Segment:
    """A half-open stretch [start_s, end_s) of a source, in seconds from the start of its container.

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
class Timeline:
    """What is rendered: segments of one source, in the order of time, none overlapping or touching another."""

    source: Path
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, source: Path, kept: Iterable[Segment]) -> "Timeline":
        """Join kept shots that touch: where nothing is cut out there is no cut to make.

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
        return cls(source, tuple(joined))

    @property
    def duration_s(self) -> float:
        """Seconds shown in all."""
        return sum(segment.length_s for segment in self.segments)
