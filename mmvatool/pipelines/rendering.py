"""Render a timeline: a cut of one video, or a slideshow or a video with music. What `summarize`, `soundtrack` and `render` share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError
from mmvatool.files import workspace
from mmvatool.media import cut, headers, slideshow, splice
from mmvatool.media import render as media_render
from mmvatool.media.picture import is_hdr
from mmvatool.media.probe import MediaInfo
from mmvatool.plan.schema import Rendering
from mmvatool.progress import Progress, no_progress
from mmvatool.timeline import Segment, Timeline

if TYPE_CHECKING:
    from mmvatool.media import mix


def render_cut(
    timeline: Timeline,
    info: MediaInfo,
    target: Path,
    rendering: Rendering,
    progress: Progress = no_progress,
    *,
    points: cut.CutPoints | None = None,
    encoder: str = "software",
) -> list[str]:
    """Render segments of one video.

    Args:
        timeline: its clips, bounds on frames.
        info: the probed video.
        target: where to.
        rendering: how.
        progress: gets the number of frames that are rendered.
        points: of a lossless cut whose bounds lie on them; if None they are read, and bounds are moved to them.
        encoder: "software", or "auto" to encode in hardware where a trial shows that it works.

    Returns:
        Warnings: what had to be done otherwise than as the source does it, a sentence each.

    Raises:
        As `media.render` and `media.cut` do.
    """
    segments = timeline.segments
    warnings: list[str] = []
    if rendering.lossless and points is None:
        points = cut.cut_points(info, target)
        segments = _move_to_points(segments, points, warnings)
    joined = Timeline.of(info.path, segments)
    total = sum(round(segment.length_s * info.rate) for segment in joined.segments)
    with progress("rendering", total) as on_frame:
        if points is None:
            return media_render.render(
                joined,
                info,
                target,
                on_frame,
                chapters=rendering.chapters,
                encoder=encoder,
                interlaced=rendering.interlaced,
                to_sdr=rendering.to_sdr,
            )
        warnings += cut.cut(joined, points, target)
        on_frame(total)
    if rendering.chapters or headers.read(info.path, "a video file").chapters:
        warnings.append("a lossless cut has no chapters: left out")
    if rendering.to_sdr and is_hdr(info):
        warnings.append("a lossless cut stays HDR")
    return warnings


def _move_to_points(segments: tuple[Segment, ...], points: cut.CutPoints, warnings: list[str]) -> tuple[Segment, ...]:
    """Where nothing can be encoded, move bounds to the nearest points at which packets can be parted.

    Raises:
        MediaError: nothing is left of a segment.
    """
    if points.recipe is not None:
        return segments
    edges_s = np.append(points.times_s, points.info.end_s)
    moved = []
    for segment in segments:
        start_s, end_s = (float(edges_s[np.abs(edges_s - time_s).argmin()]) for time_s in (segment.start_s, segment.end_s))
        if start_s >= end_s:
            span = f"{segment.start_s:g} to {segment.end_s:g} s"
            raise MediaError(points.info.path, f"{points.reason}, and {span} lie between two keyframes: set lossless to false in the plan")
        moved.append(Segment(start_s, points.end_of(end_s)))
    if any(abs(a.start_s - b.start_s) + abs(a.end_s - b.end_s) > 1 / points.info.rate for a, b in zip(segments, moved, strict=True)):
        warnings.append(f"{points.reason}: all cuts lie on keyframes")
    return tuple(moved)


def render_visuals(
    kind: str,
    timeline: Timeline,
    infos: Mapping[Path, MediaInfo],
    target: Path,
    rendering: Rendering,
    progress: Progress = no_progress,
) -> tuple["mix.MixResult", list[str]]:
    """Mix the music of a timeline, and render its slides or copy its video beside it.

    Args:
        kind: "slideshow" or "soundtrack".
        timeline: what is shown, and when which music plays.
        infos: the videos in it, probed.
        target: where to.
        rendering: how.
        progress: gets how far each stage is: percent of the mix, frames of a slideshow.

    Returns:
        What was mixed, and warnings, a sentence each.

    Raises:
        As `mix.write_sound`, `slideshow.render` and `splice.copy_picture` do.
    """
    from mmvatool.media import mix  # here: usage errors of summarize must not wait for scipy

    video_sounds = [(clip.start_s, infos[clip.path], clip.source) for clip in timeline.clips if clip.source is not None]
    with workspace(target) as folder:
        sound, codec = (folder / "sound.webm", "opus") if target.suffix.lower() == ".webm" else (folder / "sound.m4a", "aac")
        with progress("mixing", 100) as on_percent:
            mixed = mix.write_sound(
                timeline.cues,
                timeline.duration_s,
                sound,
                under=video_sounds if rendering.duck else (),
                lufs=rendering.lufs,
                codec=codec,
                on_progress=lambda part: on_percent(round(100 * part)),
            )
        if kind == "soundtrack":
            return mixed, splice.copy_picture(
                infos[timeline.clips[0].path], sound, target, interlaced=rendering.interlaced, to_sdr=rendering.to_sdr
            )
        with progress("rendering", round(timeline.duration_s * rendering.rate)) as on_frame:
            return mixed, slideshow.render(
                timeline,
                sound,
                target,
                size=rendering.size,
                rate=rendering.rate,
                fill=rendering.fill,
                crossfade_s=rendering.crossfade_s,
                still=rendering.still,
                read=pictures.read,
                infos=infos,
                on_frame=on_frame,
            )
