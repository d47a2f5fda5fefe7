"""What `soundtrack` is asked for, and its result."""

import math
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmvatool.choices import INTERLACED, LIVES, MATCHES
from mmvatool.errors import FileError, SettingsError
from mmvatool.media import mix, slideshow
from mmvatool.plan.schema import Rendering
from mmvatool.soundtracks.matching import FAR
from mmvatool.soundtracks.tracks import Ranked
from mmvatool.soundtracks.visuals import ORDERS
from mmvatool.timeline import Timeline

SCHEMA = "mmvatool.soundtrack/1"
FITS = ("pictures", "music")


@dataclass(frozen=True)
class SoundtrackSettings:
    """How to choose and how to render.

    Args:
        order: of pictures: "name", "time" or "given"; None: "name" for a folder, "given" for a list.
        seconds: how long a picture is shown.
        fit: "pictures": the music ends with them; "music": they end with the music, each shown from half to twice `seconds`.
        beats: move changes of pictures to the nearest beat.
        per_scene: a track for each scene instead of one for the whole.
        size: of a slideshow in pixels, (width, height), both even.
        rate: of a slideshow in frames a second.
        fill: around pictures of another shape: "blur", "black", or "crop".
        crossfade_s: from picture to picture.
        still: without pan and zoom.
        duck: keep the sound of videos, the music under it; otherwise the music alone.
        lufs: integrated loudness of the result.
        interlaced: of a video whose picture cannot be copied: "deinterlace", or "keep" its fields.
        to_sdr: bring HDR down to SDR where a picture cannot be copied.
        seed: draws among nearly equal tracks; None takes the nearest.
        top: length of the ranking.
        exclude: shell patterns for tracks of the library that are left out.
        match: what is compared: "absolute": VA as predicted; "library": ranks, of the tracks within the library (or among those that are
            named), of what is shown among all pictures.
        live: what is shown of a Live Photo: its "still", its "clip", or "both".

    Raises:
        SettingsError: a value outside of what is allowed, or two that contradict each other.
    """

    order: str | None = None
    seconds: float = 4.0
    fit: str = "pictures"
    beats: bool = False
    per_scene: bool = False
    size: tuple[int, int] = (1920, 1080)
    rate: Fraction = Fraction(30)
    fill: str = "blur"
    crossfade_s: float = 1.0
    still: bool = False
    duck: bool = False
    lufs: float = -14.0
    interlaced: str = "deinterlace"
    to_sdr: bool = False
    seed: int | None = None
    top: int = 5
    exclude: tuple[str, ...] = ()
    match: str = "absolute"
    live: str = "still"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("order", self.order or "name", ORDERS),
            ("fit", self.fit, FITS),
            ("fill", self.fill, slideshow.FILLS),
            ("match", self.match, MATCHES),
            ("live", self.live, LIVES),
            ("interlaced", self.interlaced, INTERLACED),
        ):
            if value not in allowed:
                raise SettingsError(f"{name} {value!r}: allowed are {', '.join(allowed)}")
        if not 1 / self.rate <= self.seconds < math.inf:
            raise SettingsError(f"seconds {self.seconds:g}: a picture must be shown for a frame at least")
        if not 0 <= self.crossfade_s < math.inf:
            raise SettingsError(f"crossfade {self.crossfade_s:g} s: must be at least 0")
        if not -70 <= self.lufs <= -5:
            raise SettingsError(f"loudness {self.lufs:g} LUFS: must lie between -70 and -5")
        if self.top < 1:
            raise SettingsError(f"top {self.top}: must be at least 1")
        if self.per_scene and self.fit == "music":
            raise SettingsError("--per-scene and --fit music contradict each other: several tracks have several ends")
        slideshow.check_size(self.size)

    @property
    def rendering(self) -> Rendering:
        """The settings that rendering needs."""
        names = {field.name for field in fields(Rendering)} & {field.name for field in fields(self)}
        return Rendering(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Credit:
    """Title, artist and licence in the tags of a chosen track, each None where there is none."""

    path: Path
    title: str | None
    artist: str | None
    licence: str | None


@dataclass(frozen=True)
class Soundtrack:
    """The result: what is shown with which music, the ranking it was chosen from, and what was written (`output` and `mixed` are None for a dry run).

    `va` (2,) is the mean of what is shown. `nearest_distance` in VA is the least of all matches, whichever is ranked first. `failures`
    are pictures and tracks that could not be used.
    """

    input: Path
    output: Path | None
    model: str
    settings: SoundtrackSettings
    va: np.ndarray
    timeline: Timeline
    ranking: tuple[Ranked, ...]
    nearest_distance: float
    credits: tuple[Credit, ...]
    mixed: mix.MixResult | None = None
    failures: tuple[FileError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_far(self) -> bool:
        """Whether even the nearest track lies farther than matching.FAR."""
        return self.nearest_distance > FAR

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md), schema SCHEMA."""
        settings = asdict(self.settings)
        settings |= {"rate": str(self.settings.rate), "size": list(self.settings.size), "exclude": list(self.settings.exclude)}
        return {
            "schema": SCHEMA,
            "input": str(self.input),
            "output": None if self.output is None else str(self.output),
            "model": self.model,
            "settings": settings,
            "duration_s": round(self.timeline.duration_s, 6),
            "valence": round(float(self.va[0]), 6),
            "arousal": round(float(self.va[1]), 6),
            "cues": [cue.to_json() for cue in self.timeline.cues],
            "ranking": [ranked.to_json() for ranked in self.ranking],
            "credits": [asdict(credit) | {"path": str(credit.path)} for credit in self.credits],
            "loudness_lufs": None if self.mixed is None else self.mixed.lufs,
            "true_peak_dbtp": None if self.mixed is None else self.mixed.true_peak_dbtp,
            "timeline": self.timeline.to_json(),
            "warnings": list(self.warnings),
        }
