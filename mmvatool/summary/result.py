"""The result of `summarize`."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmvatool.media.probe import MediaInfo
from mmvatool.summary.selection import ScoredShot
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Curve, Timeline

SCHEMA = "mmvatool.summary/1"


@dataclass(frozen=True)
class Summary:
    """The result: all shots with those that are kept, and the file that was written (`output` is None for a dry run)."""

    input: Path
    output: Path | None
    model: str
    settings: SummarySettings
    info: MediaInfo
    curve: Curve
    shots: tuple[ScoredShot, ...]
    cuts: str = "exact"  # where the bounds of what is kept lie: "exact", "likely" or "keyframes" (docs/formats.md)
    warnings: tuple[str, ...] = ()

    @property
    def timeline(self) -> Timeline:
        """What is rendered."""
        return Timeline.of(self.input, (shot.segment for shot in self.shots if shot.kept))

    @property
    def clip_va(self) -> tuple[tuple[float, float], ...]:
        """Valence and arousal of each clip of the timeline: the mean of its shots by their length."""
        clip_va = []
        for segment in self.timeline.segments:
            lengths_s = [segment.overlap_s(shot.segment) for shot in self.shots]
            va = np.average([(shot.valence, shot.arousal) for shot in self.shots], axis=0, weights=lengths_s)
            clip_va.append((float(va[0]), float(va[1])))
        return tuple(clip_va)

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md), schema SCHEMA."""
        settings = asdict(self.settings)
        for name in ("keep", "drop"):
            settings[name] = [[round(segment.start_s, 6), round(segment.end_s, 6)] for segment in getattr(self.settings, name)]
        return {
            "schema": SCHEMA,
            "input": str(self.input),
            "output": None if self.output is None else str(self.output),
            "model": self.model,
            "settings": settings,
            "duration_s": round(self.info.duration_s, 6),
            "summary_s": round(self.timeline.duration_s, 6),
            "shots": [
                {
                    "start_s": round(shot.segment.start_s, 6),
                    "end_s": round(shot.segment.end_s, 6),
                    "valence": round(shot.valence, 6),
                    "arousal": round(shot.arousal, 6),
                    "kept": shot.kept,
                }
                for shot in self.shots
            ],
            "timeline": self.timeline.to_json(),
            "cuts": self.cuts,
            "warnings": list(self.warnings),
        }
