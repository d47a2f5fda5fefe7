"""What `summarize` is asked for."""

import math
from dataclasses import dataclass

from mmvatool.choices import SAMPLINGS
from mmvatool.errors import SettingsError
from mmvatool.media.probe import MediaInfo
from mmvatool.summary.shots import LEAST_MAX_SHOT_S, MAX_SHOT_S, MIN_SHOT_S
from mmvatool.timeline import Segment

DEFAULT_RATIO = 0.15
SIGNALS = ("image", "audio", "both")
SHOT_KINDS = ("auto", "uniform")
VALUES = ("integral", "mean")


@dataclass(frozen=True)
class SummarySettings:
    """How to choose.

    Args:
        ratio: budget as a part of the source's length, in (0, 1); not used when `duration_s` is given.
        duration_s: budget in seconds.
        by: arousal of "image", of "audio" ("music" is accepted for it), or the mean of "both" after ranking each; valence of "both" is
            the plain mean.
        shots: "auto" (change points) or "uniform" (a slot each).
        value: "integral" (mean arousal x length), or "mean" (TVSum's protocol).
        min_shot_s, max_shot_s: bounds of an automatic shot.
        keep, drop: segments that are forced in and out.
        sampling: which frame stands for a slot: "auto" (a keyframe, where one lies in it), "exact" (at its centre) or "keyframes".
        lossless: copy packets instead of encoding; cuts lie on keyframes where they can.

    Raises:
        SettingsError: a value outside of what is allowed.
    """

    ratio: float = DEFAULT_RATIO
    duration_s: float | None = None
    by: str = "image"
    shots: str = "auto"
    value: str = "integral"
    min_shot_s: float = MIN_SHOT_S
    max_shot_s: float = MAX_SHOT_S
    keep: tuple[Segment, ...] = ()
    drop: tuple[Segment, ...] = ()
    sampling: str = "auto"
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.by == "music":  # the name of the model's tower
            object.__setattr__(self, "by", "audio")
        if not 0 < self.ratio < 1:
            raise SettingsError(f"ratio {self.ratio}: must lie between 0 and 1, both excluded")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise SettingsError(f"duration {self.duration_s} s: must be more than 0")
        choices = (
            ("by", self.by, SIGNALS),
            ("shots", self.shots, SHOT_KINDS),
            ("value", self.value, VALUES),
            ("sampling", self.sampling, SAMPLINGS),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise SettingsError(f"{name} {value!r}: allowed are {', '.join(allowed)}")
        if not self.min_shot_s > 0:
            raise SettingsError(f"shortest shot {self.min_shot_s} s: must be more than 0")
        if not max(LEAST_MAX_SHOT_S, 2 * self.min_shot_s) <= self.max_shot_s < math.inf:
            raise SettingsError(
                f"longest shot {self.max_shot_s} s: must be at least {LEAST_MAX_SHOT_S:g} s (two samples) and twice the shortest ({self.min_shot_s} s)"
            )
        for kept in self.keep:
            for dropped in self.drop:
                if kept.overlap_s(dropped) > 0:
                    raise SettingsError(
                        f"the ranges to keep {range_text(kept)} and to drop {range_text(dropped)} overlap: change one of them"
                    )


def budget_s(info: MediaInfo, settings: SummarySettings) -> float:
    """Seconds that may be kept."""
    return settings.ratio * info.duration_s if settings.duration_s is None else settings.duration_s


def range_text(segment: Segment) -> str:
    """A segment as messages name it: `9-10.5 s`."""
    return f"{segment.start_s:g}-{segment.end_s:g} s"
