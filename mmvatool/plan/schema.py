"""What is to be rendered: clips and music, how, and fingerprints of the files that are read. document.py reads it from a file.

It can be edited by hand: bounds go to frames, and what cannot be rendered is an error that names the field by its path.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from mmvatool.errors import PlanError
from mmvatool.media.probe import MediaInfo
from mmvatool.timeline import Clip, Cue, Segment, Timeline

SCHEMA = "mmvatool.plan/1"
# What is rendered, and the settings that it takes.
KINDS = {
    "cut": ("chapters", "lossless", "interlaced", "to_sdr"),
    "slideshow": ("size", "rate", "fill", "crossfade_s", "still", "duck", "lufs"),
    "soundtrack": ("duck", "lufs", "interlaced", "to_sdr"),
}
HASH_BYTES = 20
_PLACES = 6
# Times in the file have six places; bounds that are meant to be the same may differ so much.
_SAME_S = 2e-6


@dataclass(frozen=True)
class Rendering:
    """How a plan is rendered; the names are those of SoundtrackSettings and SummarySettings.

    `chapters`: one for each clip instead of the source's own. `lossless`: packets are copied. `interlaced`, one of
    INTERLACED, and `to_sdr` (HDR becomes SDR): what becomes of a picture that is encoded.
    """

    size: tuple[int, int] = (1920, 1080)
    rate: Fraction = Fraction(30)
    fill: str = "blur"
    crossfade_s: float = 1.0
    still: bool = False
    duck: bool = False
    lufs: float = -14.0
    chapters: bool = False
    lossless: bool = False
    interlaced: str = "deinterlace"
    to_sdr: bool = False


@dataclass(frozen=True)
class Fingerprint:
    """The size of a file in bytes and the BLAKE2b hash of its content, HASH_BYTES long, in hexadecimal digits."""

    size: int
    blake2b: str


@dataclass(frozen=True)
class Plan:
    """All that rendering needs.

    Args:
        kind: a key of KINDS: "cut" (segments of one video), "slideshow" (pictures and clips with music) or "soundtrack" (all of a
            video with music).
        timeline: clips and music.
        clip_va: valence and arousal of each clip, each in [0, 1].
        files: fingerprints of the files when the plan was made.
        rendering: how; of the settings only those that belong to the kind are kept.
    """

    kind: str
    timeline: Timeline
    clip_va: tuple[tuple[float, float], ...]
    files: Mapping[Path, Fingerprint] = field(default_factory=dict)
    rendering: Rendering = Rendering()

    @property
    def paths(self) -> list[Path]:
        """The files that it reads, each once."""
        return list(dict.fromkeys([*(clip.path for clip in self.timeline.clips), *(cue.path for cue in self.timeline.cues)]))

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The documented form (docs/formats.md), schema SCHEMA, for a file in `folder`: relative paths start there."""
        settings = {name: getattr(self.rendering, name) for name in KINDS[self.kind]}
        if "size" in settings:
            settings |= {"size": list(self.rendering.size), "rate": str(self.rendering.rate)}
        timeline = self.timeline.to_json()
        for document, clip, (valence, arousal) in zip(timeline["clips"], self.timeline.clips, self.clip_va, strict=True):
            document |= {"path": _relative_to(clip.path, folder), "valence": round(valence, _PLACES), "arousal": round(arousal, _PLACES)}
        for document, cue in zip(timeline["cues"], self.timeline.cues, strict=True):
            document["path"] = _relative_to(cue.path, folder)
        files = [{"path": _relative_to(path, folder), "size": known.size, "blake2b": known.blake2b} for path, known in self.files.items()]
        return {"schema": SCHEMA, "kind": self.kind, "settings": settings, "timeline": timeline, "files": files}


def fitted(plan: Plan, path: Path, infos: Mapping[Path, MediaInfo], lengths_s: Mapping[Path, float]) -> Plan:
    """The same plan with its bounds on frames, and what follows from the other fields computed.

    In a cut the segments of the source count, and the times in the result follow from them. In a slideshow the times in the result
    count.

    Args:
        plan: as read.
        path: its file, for errors.
        infos: the videos in it, probed.
        lengths_s: seconds of the tracks whose headers state a length.

    Raises:
        PlanError: bounds overlap, are reversed, or lie outside of the file; the field's path is named.
    """
    clips, cues = _Field(path, "timeline.clips"), _Field(path, "timeline.cues")
    if plan.kind == "cut":
        fitted_clips = _fitted_cut(plan.timeline.clips, clips, infos)
    elif plan.kind == "soundtrack":
        fitted_clips = _fitted_video(plan.timeline.clips, clips, infos)
    else:
        fitted_clips = _fitted_slides(plan.timeline.clips, clips, infos, plan.rendering.rate)
    timeline = Timeline(fitted_clips, plan.timeline.cues)
    for number, cue in enumerate(plan.timeline.cues):
        _check_cue(cue, cues.at(number), timeline.duration_s, lengths_s.get(cue.path, math.inf))
    if plan.kind != "cut":
        if not timeline.cues:
            cues.wrong("is empty: a soundtrack has music")
        # The music ends with the last frame, whose time the file has in six places only.
        ends = [timeline.duration_s if abs(cue.end_s - timeline.duration_s) < _SAME_S else cue.end_s for cue in timeline.cues]
        timeline = Timeline(fitted_clips, tuple(replace(cue, end_s=end_s) for cue, end_s in zip(timeline.cues, ends, strict=True)))
    elif timeline.cues:
        cues.wrong("a cut has the video's own sound: take them out")
    return replace(plan, timeline=timeline)


@dataclass(frozen=True)
class _Field:
    """The path of a field in a plan, for errors."""

    file: Path
    name: str

    def at(self, key: str | int) -> "_Field":
        """A field inside it."""
        return _Field(self.file, f"{self.name}[{key}]" if isinstance(key, int) else f"{self.name}.{key}")

    def wrong(self, problem: str) -> NoReturn:
        """Refuse it."""
        raise PlanError(self.file, f"{self.name}: {problem}")


def _fitted_cut(given: tuple[Clip, ...], clips: _Field, infos: Mapping[Path, MediaInfo]) -> tuple[Clip, ...]:
    fitted_clips: list[Clip] = []
    for number, clip in enumerate(given):
        here = clips.at(number)
        if clip.path != given[0].path:
            here.at("path").wrong(f"a cut shows one video, and this is not {given[0].path.name}")
        source = _on_frames(clip, here.at("source"), infos)
        before = fitted_clips[-1].source if fitted_clips else None
        assert clip.source is not None
        if before is not None and source.start_s < before.end_s:
            problem = (
                f"{clip.source.start_s:g} is before the end of clips[{number - 1}] ({before.end_s:g}): they overlap, or are not in order"
            )
            here.at("source").at(0).wrong(problem)
        start_s = fitted_clips[-1].end_s if fitted_clips else 0.0
        fitted_clips.append(Clip(clip.path, start_s, start_s + source.length_s, source))
    return tuple(fitted_clips)


def _fitted_video(given: tuple[Clip, ...], clips: _Field, infos: Mapping[Path, MediaInfo]) -> tuple[Clip, ...]:
    here, info = clips.at(0), infos[given[0].path]
    if len(given) > 1:
        clips.at(1).wrong("a soundtrack is that of one video: take it out, or make a cut first")
    video = Segment(0.0, info.end_s)
    tick_s = float(1 / info.rate)
    source = given[0].source
    if source is None or abs(source.start_s) > tick_s or abs(source.end_s - video.end_s) > tick_s:
        here.at("source").wrong(f"the picture is copied whole: write [0, {video.end_s:g}], or make a cut first")
    return (Clip(given[0].path, 0.0, video.end_s, video),)


def _fitted_slides(given: tuple[Clip, ...], clips: _Field, infos: Mapping[Path, MediaInfo], rate: Fraction) -> tuple[Clip, ...]:
    fitted_clips: list[Clip] = []
    for number, clip in enumerate(given):
        here = clips.at(number)
        first, stop = round(clip.start_s * rate), round(clip.end_s * rate)
        start_s, end_s = float(first / rate), float(stop / rate)
        expected_s = fitted_clips[-1].end_s if fitted_clips else 0.0
        if start_s != expected_s:
            before = f"clips[{number - 1}] ends ({expected_s:g})" if number else "the show does (0)"
            here.at("start_s").wrong(f"{clip.start_s:g} must be where {before}: move both")
        if stop <= first:
            here.at("end_s").wrong(f"{clip.end_s:g} is not a frame after the start ({clip.start_s:g})")
        source = clip.source
        if source is None and clip.path in infos:
            here.at("source").wrong(f"is null, but {clip.path.name} is a video: write [start, end]")
        elif source is not None:
            start = _on_frames(clip, here.at("source"), infos).start_s
            source = Segment(start, max(source.end_s, math.nextafter(start, math.inf)))
        fitted_clips.append(Clip(clip.path, start_s, end_s, source))
    return tuple(fitted_clips)


def _on_frames(clip: Clip, source: _Field, infos: Mapping[Path, MediaInfo]) -> Segment:
    """The segment of a clip, its bounds on frames; half a tick outside of the video is still inside."""
    if clip.source is None:
        source.wrong(f"is null, but {clip.path.name} is a video: write [start, end]")
    info = infos[clip.path]
    tick_s = float(1 / info.rate)
    for index, time_s in enumerate((clip.source.start_s, clip.source.end_s)):
        if time_s > info.end_s + tick_s / 2:
            source.at(index).wrong(f"{time_s:g} is after the end of {clip.path.name} ({info.end_s:.6g})")
        if time_s < info.start_s - tick_s / 2 and time_s != 0:
            source.at(index).wrong(f"{time_s:g} is before the start of {clip.path.name} ({info.start_s:.6g})")
    start_s, end_s = info.snap(clip.source.start_s), info.snap(clip.source.end_s)
    if end_s <= start_s:
        source.wrong(f"[{clip.source.start_s:g}, {clip.source.end_s:g}] holds no frame of {clip.path.name}")
    return Segment(start_s, end_s)


def _check_cue(cue: Cue, here: _Field, duration_s: float, length_s: float) -> None:
    if cue.end_s <= cue.start_s:
        here.at("end_s").wrong(f"{cue.end_s:g} is not after the start ({cue.start_s:g})")
    if cue.start_s >= duration_s:
        here.at("start_s").wrong(f"{cue.start_s:g} is after the end of what is shown ({duration_s:.6g})")
    if cue.offset_s >= length_s:
        here.at("offset_s").wrong(f"{cue.offset_s:g} is after the end of {cue.path.name} ({length_s:.6g})")


def _relative_to(path: Path, folder: Path) -> str:
    """A path as a plan in a folder names it: an absolute one as it is, a relative one from that folder."""
    if path.is_absolute():
        return str(path)
    try:
        return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())
    except ValueError:  # on another drive of Windows
        return str(path.absolute())
