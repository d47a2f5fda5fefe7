"""A plan for editors: an OpenTimelineIO timeline, a CMX 3600 edit decision list, or Final Cut Pro's XML.

All times are whole frames of one exact rate. Segments of a video are given in its own time code, or from 0 where it has none. EDLs have
no rate: frames are numbered as in time codes, 24 a second for 24000/1001, with or without dropped numbers as in the source.
"""

import itertools
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvatool.errors import OutputError, SettingsError
from mmvatool.files import write_file
from mmvatool.media.probe import MediaInfo
from mmvatool.media.timecode import drops, timecode_frames
from mmvatool.plan.schema import Plan
from mmvatool.text import printable
from mmvatool.timeline import Clip, Cue

if TYPE_CHECKING:
    import opentimelineio as otio

SUFFIXES = (".otio", ".edl", ".fcpxml")
# CMX 3600 has two digits for frames.
EDL_RATES = (24, 25, 30, 48, 50, 60)
EDL_AUDIO_TRACKS = 4


def check_export(path: Path) -> None:
    """Refuse a file that cannot be written.

    Raises:
        OutputError: its suffix is not one of SUFFIXES.
        SettingsError: OpenTimelineIO is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(path, f"is not known as an editor's format: name it {', '.join(SUFFIXES)}")
    if find_spec("opentimelineio") is None or find_spec("otio_cmx3600_adapter") is None:
        raise SettingsError("--export needs OpenTimelineIO: pip install 'mmvatool[export]'")


def export(plan: Plan, infos: Mapping[Path, MediaInfo], path: Path) -> None:
    """Write a plan in the format that the suffix of `path` names.

    Args:
        plan: with its bounds on frames.
        infos: the videos in it, probed.
        path: where to; an existing file is replaced.

    Raises:
        OutputError: it cannot be written, or the format cannot express the plan.
        SettingsError: OpenTimelineIO is not installed.
    """
    check_export(path)
    rate = rate_of(plan, infos)
    suffix = path.suffix.lower()
    if suffix == ".edl":
        text = _edl(plan, infos, path, rate)
    else:
        timeline = to_otio(plan, infos, path.stem, rate)
        if suffix == ".otio":
            text = timeline.to_json_string()
        else:
            from mmvatool.plan.fcpxml import fcpxml  # needs OpenTimelineIO

            text = fcpxml(timeline, rate)
    write_file(path, text.encode("utf-8", "replace"))


def rate_of(plan: Plan, infos: Mapping[Path, MediaInfo]) -> Fraction:
    """Frames a second of what is rendered."""
    return plan.rendering.rate if plan.kind == "slideshow" else infos[plan.timeline.clips[0].path].rate


def to_otio(
    plan: Plan, infos: Mapping[Path, MediaInfo], name: str, rate: Fraction, time_rate: Fraction | None = None
) -> "otio.schema.Timeline":
    """The plan as an OpenTimelineIO timeline: one video track, and as many audio tracks as cues overlap.

    Args:
        plan: with its bounds on frames.
        infos: the videos in it, probed.
        name: of the timeline.
        rate: frames a second of the result.
        time_rate: the rate that times are given in, if it is another one; the numbers of frames stay the same.
    """
    import opentimelineio as otio

    timebase = float(time_rate or rate)
    tracks = [otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)]
    for clip, (valence, arousal) in zip(plan.timeline.clips, plan.clip_va, strict=True):
        item = _video_clip(clip, infos.get(clip.path), rate, timebase)
        first_frame = otio.opentime.TimeRange(item.source_range.start_time, otio.opentime.RationalTime(1, timebase))
        va = {"valence": round(valence, 6), "arousal": round(arousal, 6)}
        name = f"arousal {arousal:.3f}, valence {valence:.3f}"
        item.markers.append(otio.schema.Marker(name, first_frame, otio.schema.MarkerColor.RED, {"mmvatool": va}))
        tracks[0].append(item)
    total = round(tracks[0].duration().value)
    for cue in sorted(plan.timeline.cues, key=lambda cue: cue.start_s):
        start, stop = round(cue.start_s * rate), min(round(cue.end_s * rate), total)
        if stop <= start:
            continue
        track = next((track for track in tracks[1:] if round(track.duration().value) <= start), None)
        if track is None:
            track = otio.schema.Track(f"A{len(tracks)}", kind=otio.schema.TrackKind.Audio)
            tracks.append(track)
        gap = start - (round(track.duration().value) if len(track) else 0)
        if gap:
            track.append(otio.schema.Gap(duration=otio.opentime.RationalTime(gap, timebase)))
        track.append(_audio_clip(cue, stop - start, rate, timebase))
    timeline = otio.schema.Timeline(_one_line(name))
    timeline.tracks.extend(tracks)
    return timeline


def _video_clip(clip: Clip, info: MediaInfo | None, rate: Fraction, timebase: float) -> Any:
    import opentimelineio as otio

    if clip.source is None or info is None:
        count = round(clip.end_s * rate) - round(clip.start_s * rate)
        duration = _range(0, count, timebase)
        reference = otio.schema.ExternalReference(_url(clip.path), duration)
        return otio.schema.Clip(_one_line(clip.path.name), reference, duration, {"mmvatool": {"still": True}})
    # The renderer rounds the length of each segment of a cut; the bounds of slides lie on frames.
    count = max(1, round((clip.end_s - clip.start_s) * rate))
    zero = round(Fraction(timecode_frames(info.timecode, info.rate)) / info.rate * rate)
    start = round((clip.source.start_s - info.start_s) * rate)
    available = max(start + count, round(info.duration_s * rate))
    reference = otio.schema.ExternalReference(_url(clip.path), _range(zero, available, timebase))
    metadata = {"mmvatool": {"sound": info.audio is not None}}
    return otio.schema.Clip(_one_line(clip.path.name), reference, _range(zero + max(0, start), count, timebase), metadata)


def _audio_clip(cue: Cue, count: int, rate: Fraction, timebase: float) -> Any:
    import opentimelineio as otio

    start = round(cue.offset_s * rate)
    reference = otio.schema.ExternalReference(_url(cue.path), _range(0, start + count, timebase))
    metadata = {"mmvatool": {"distance": round(cue.distance, 6), "score": cue.score}}
    return otio.schema.Clip(_one_line(cue.path.name), reference, _range(start, count, timebase), metadata)


def _range(start: int, count: int, rate: float) -> Any:
    from opentimelineio.opentime import RationalTime, TimeRange

    return TimeRange(RationalTime(start, rate), RationalTime(count, rate))


def _edl(plan: Plan, infos: Mapping[Path, MediaInfo], path: Path, rate: Fraction) -> str:
    """The plan as a CMX 3600 EDL. The adapter writes the events of each track; several tracks and the time code are added here."""
    from otio_cmx3600_adapter.cmx_3600 import EDLWriter

    counted = round(rate)
    if counted not in EDL_RATES or rate not in (counted, Fraction(counted * 1000, 1001)):
        problem = f"an EDL cannot hold {float(rate):g} frames a second, only {', '.join(map(str, EDL_RATES))} and their 1000/1001"
        raise OutputError(path, f"{problem}: export .otio or .fcpxml")
    dropped = any(drops(infos[clip.path].timecode, rate) for clip in plan.timeline.clips if clip.path in infos)
    # At a whole rate the adapter counts every frame, at 30000/1001 it always drops numbers.
    time_rate = rate if dropped else Fraction(counted)
    timeline = to_otio(plan, infos, path.stem, rate, time_rate)
    reels: dict[str, str] = {}
    for clip in timeline.find_clips():
        url = clip.media_reference.target_url
        clip.metadata["cmx_3600"] = {"reel": reels.setdefault(url, _reel(clip.name, set(reels.values())))}
    writer = EDLWriter(timeline.tracks, float(time_rate), "avid")
    numbers = itertools.count(1)
    lines = [f"TITLE: {timeline.name}", f"FCM: {'DROP FRAME' if dropped else 'NON-DROP FRAME'}", ""]
    if len(timeline.tracks) - 1 > EDL_AUDIO_TRACKS:
        raise OutputError(path, f"more than {EDL_AUDIO_TRACKS} tracks play at once, which an EDL cannot hold: export .otio or .fcpxml")
    for index in range(len(timeline.tracks)):
        channel = "V" if index == 0 else "A" if index == 1 else f"A{index}"
        for line in writer.get_content_for_track_at_index(index, "").splitlines():
            event = re.match(r"\d{3,}  (.{8}) (\S+) +C {8}(.*)$", line)
            lines.append(f"{next(numbers):03d}  {event[1]} {channel:5} C        {event[3]}" if event else line)
    return "\n".join(lines) + "\n"


def _reel(name: str, others: set[str]) -> str:
    """A name of up to 8 letters and digits that no other file has."""
    letters = re.sub(r"[^A-Z0-9]", "", Path(name).stem.upper())
    names = itertools.chain([letters[:8]], (f"{letters[:5]}{number:03d}" for number in itertools.count(1)))
    return next(reel for reel in names if reel and reel not in others)


def _url(path: Path) -> str:
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100  # without `..`, links as they are


def _one_line(name: str) -> str:
    """A name in one line that every format can say."""
    return printable(name, "_")
