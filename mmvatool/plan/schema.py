"""The plan as a file: clips and music, how they are rendered, and fingerprints of the files that it reads. Data and JSON, no more.

It can be edited by hand: every field is checked when it is read, and an error names the field by its path.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from mmvatool.errors import PlanError, SettingsError
from mmvatool.media import slideshow
from mmvatool.media.probe import MediaInfo
from mmvatool.timeline import Clip, Cue, Segment, Timeline

SCHEMA = "mmvatool.plan/1"
# What is rendered, and the settings that it takes.
KINDS = {
    "cut": ("chapters", "lossless"),
    "slideshow": ("size", "rate", "fill", "crossfade_s", "still", "duck", "lufs"),
    "soundtrack": ("duck", "lufs"),
}
HASH_BYTES = 20
_PLACES = 6
# Times in the file have six places; bounds that are meant to be the same may differ so much.
_SAME_S = 2e-6


@dataclass(frozen=True)
class Rendering:
    """How a plan is rendered; the names are those of SoundtrackSettings and SummarySettings.

    `chapters`: one for each clip instead of the source's own. `lossless`: packets are copied.
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


def read(path: Path) -> Plan:
    """Read a plan. Relative paths in it start at its folder, as `path` names it.

    Raises:
        PlanError: the file cannot be read, is no plan, or a field is wrong; the field's path is named.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(path, f"cannot be read ({error.strerror}): name a plan that --plan wrote") from error
    except ValueError as error:
        raise PlanError(path, f"is not JSON ({error}): name a plan that --plan wrote") from error
    top = _Field(path, "", document)
    schema = top["schema"]
    if schema.value != SCHEMA:
        schema.wrong(f"{schema.value!r} is not {SCHEMA!r}: make the plan again with --plan")
    kind = top["kind"].text(KINDS)
    clips = [_clip(entry) for entry in top["timeline"]["clips"].entries()]
    if not clips:
        top["timeline"]["clips"].wrong("is empty: there is nothing to render")
    timeline = Timeline(tuple(clip for clip, _ in clips), tuple(_cue(entry) for entry in top["timeline"]["cues"].entries()))
    files = {
        entry["path"].path(): Fingerprint(int(entry["size"].number(least=0)), entry["blake2b"].text()) for entry in top["files"].entries()
    }
    return Plan(kind, timeline, tuple(clip_va for _, clip_va in clips), files, _rendering(top["settings"], kind))


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
    clips = _Field(path, "timeline.clips", None)
    if plan.kind == "cut":
        fitted_clips = _fitted_cut(plan.timeline.clips, clips, infos)
    elif plan.kind == "soundtrack":
        fitted_clips = _fitted_video(plan.timeline.clips, clips, infos)
    else:
        fitted_clips = _fitted_slides(plan.timeline.clips, clips, infos, plan.rendering.rate)
    timeline = Timeline(fitted_clips, plan.timeline.cues)
    for number, cue in enumerate(plan.timeline.cues):
        _check_cue(cue, _Field(path, f"timeline.cues[{number}]", None), timeline.duration_s, lengths_s.get(cue.path, math.inf))
    if plan.kind != "cut":
        if not timeline.cues:
            _Field(path, "timeline.cues", None).wrong("is empty: a soundtrack has music")
        # The music ends with the last frame, whose time the file has in six places only.
        ends = [timeline.duration_s if abs(cue.end_s - timeline.duration_s) < _SAME_S else cue.end_s for cue in timeline.cues]
        cues = (replace(cue, end_s=end_s) for cue, end_s in zip(timeline.cues, ends, strict=True))
        timeline = Timeline(fitted_clips, tuple(cues))
    elif timeline.cues:
        _Field(path, "timeline.cues", None).wrong("a cut has the video's own sound: take them out")
    return replace(plan, timeline=timeline)


class _Field:
    """A value in a plan and its path there, for errors."""

    def __init__(self, file: Path, name: str, value: Any) -> None:
        self.file, self.name, self.value = file, name, value

    def wrong(self, problem: str) -> NoReturn:
        """Refuse it."""
        raise PlanError(self.file, f"{self.name}: {problem}" if self.name else problem)

    def at(self, key: str | int) -> "_Field":
        """A field inside it without its value, for an error."""
        return _Field(self.file, f"{self.name}[{key}]" if isinstance(key, int) else f"{self.name}.{key}".lstrip("."), None)

    def __getitem__(self, key: str) -> "_Field":
        if not isinstance(self.value, dict):
            self.wrong("is not an object" if self.name else "is not a plan: name one that --plan wrote")
        if key not in self.value:
            self.at(key).wrong("is missing")
        return _Field(self.file, self.at(key).name, self.value[key])

    def entries(self) -> "list[_Field]":
        """The entries of a list."""
        if not isinstance(self.value, list):
            self.wrong("is not a list")
        return [_Field(self.file, self.at(number).name, value) for number, value in enumerate(self.value)]

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number in [least, most]."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            self.wrong(f"{_abridged(self.value)} is not a number")
        if not least <= self.value <= most:
            self.wrong(f"{self.value:g} must be {f'between {least:g} and {most:g}' if most < math.inf else f'at least {least:g}'}")
        return float(self.value)

    def text(self, allowed: "Mapping[str, Any] | tuple[str, ...] | None" = None) -> str:
        """A text, one of `allowed` if given."""
        if not isinstance(self.value, str):
            self.wrong(f"{_abridged(self.value)} is not a text")
        if allowed is not None and self.value not in allowed:
            self.wrong(f"{self.value!r} is not one of {', '.join(allowed)}")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.wrong(f"{_abridged(self.value)} is neither true nor false")
        return self.value

    def path(self) -> Path:
        """A path; a relative one starts at the plan's folder."""
        text = self.text()
        if not text or "\0" in text:
            self.wrong(f"{text!r} is not a path")
        return self.file.parent / text


def _abridged(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:36]} ..."


def _clip(entry: _Field) -> tuple[Clip, tuple[float, float]]:
    start_s, end_s = entry["start_s"].number(), entry["end_s"].number()
    clip_va = entry["valence"].number(0, 1), entry["arousal"].number(0, 1)
    source, given = None, entry["source"]
    if given.value is not None:
        bounds = given.entries()
        if len(bounds) != 2:
            given.wrong("is not [start, end] or null")
        source_start_s, source_end_s = bounds[0].number(), bounds[1].number()
        if source_end_s <= source_start_s:
            bounds[1].wrong(f"{source_end_s:g} is not after the start ({source_start_s:g})")
        source = Segment(source_start_s, source_end_s)
    return Clip(entry["path"].path(), start_s, end_s, source), clip_va


def _cue(entry: _Field) -> Cue:
    score = None if entry["score"].value is None else entry["score"].number()
    times_s = [entry[name].number(least=0) for name in ("start_s", "end_s", "offset_s")]
    return Cue(entry["path"].path(), *times_s, distance=entry["distance"].number(least=0), score=score)  # type: ignore[misc]


def _rendering(settings: _Field, kind: str) -> Rendering:
    values: dict[str, Any] = {}
    for name in KINDS[kind]:
        setting = settings[name]
        if name in ("still", "duck", "chapters", "lossless"):
            values[name] = setting.flag()
        elif name == "fill":
            values[name] = setting.text(slideshow.FILLS)
        elif name == "crossfade_s":
            values[name] = setting.number(least=0)
        elif name == "lufs":
            values[name] = setting.number(-70, -5)
        elif name == "rate":
            values[name] = _rate(setting)
        else:
            sides = [int(side.number()) for side in setting.entries()]
            if len(sides) != 2:
                setting.wrong("is not [width, height]")
            try:
                slideshow.check_size((sides[0], sides[1]))
            except SettingsError as error:
                setting.wrong(str(error))
            values[name] = sides[0], sides[1]
    return Rendering(**values)


def _rate(setting: _Field) -> Fraction:
    try:
        rate = Fraction(setting.text())
    except (ValueError, ZeroDivisionError):
        setting.wrong(f"{setting.value!r} is not a rate: write 25 or 30000/1001")
    if not 0 < rate <= 1000:
        setting.wrong(f"{setting.value!r} is not a rate that can be played")
    return rate


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
