"""`render`: a plan is rendered. Here, too, are the halves of `summarize` and `soundtrack` that render, so that there is one way to do it.

read and check the plan -> are the files still what they were -> bounds on frames -> render -> check -> rename.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError, OutputError, PlanError
from mmvatool.files import is_own_output, workspace, write_file
from mmvatool.media import cut, headers, slideshow, splice
from mmvatool.media import render as media_render
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.pipelines.outputs import check_free, check_writable
from mmvatool.plan import schema as plans
from mmvatool.plan.export import check_export, export
from mmvatool.plan.schema import Fingerprint, Plan, Rendering
from mmvatool.progress import Progress, no_progress
from mmvatool.timeline import Segment, Timeline

if TYPE_CHECKING:
    from mmvatool.media import mix

SUFFIX = ".plan.json"


@dataclass(frozen=True)
class Rendered:
    """What was made of the plan at `input`."""

    input: Path
    output: Path
    plan: Plan
    mixed: "mix.MixResult | None" = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        return {
            "input": str(self.input),
            "output": str(self.output),
            "kind": self.plan.kind,
            "duration_s": round(self.plan.timeline.duration_s, 6),
            "loudness_lufs": None if self.mixed is None else self.mixed.lufs,
            "true_peak_dbtp": None if self.mixed is None else self.mixed.true_peak_dbtp,
            "timeline": self.plan.timeline.to_json(),
            "warnings": list(self.warnings),
        }


def render(
    path: Path | str,
    output: Path | str | None = None,
    *,
    exports: Sequence[Path | str] = (),
    force: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Rendered:
    """Render a plan that `summarize` or `soundtrack` wrote, as it is or as a person changed it.

    Args:
        path: the plan.
        output: where to; `default_output` says where by default.
        exports: files for editors, each .otio, .edl or .fcpxml.
        force: render though files are not those that the plan was made from.
        overwrite: replace an existing output; otherwise it is an error.
        progress: told how far each stage is.

    Returns:
        What was rendered, its bounds on frames, and where it went.

    Raises:
        PlanError: the plan is not one, cannot be rendered, or a file was changed since; the field is named.
        MediaError: a file of the plan cannot be read.
        OutputError: the output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path = Path(path)
    plan = plans.read(path)
    target = Path(output) if output is not None else default_output(path, plan)
    check_writable([target], [path, *plan.paths], overwrite=overwrite)
    check_extras(None, exports, target, overwrite=overwrite)
    changed = _changed(plan, path, progress)
    if changed and not force:
        raise PlanError(path, f"{changed[0]}: make the plan again, or render it all the same with --force")
    infos = videos_of(plan)
    plan = plans.fitted(plan, path, infos, _lengths_s(plan))
    write_extras(plan, infos, None, exports, target)
    if plan.kind == "cut":
        mixed, warnings = None, render_cut(plan.timeline, infos[plan.timeline.clips[0].path], target, plan.rendering, progress)
    else:
        mixed, warnings = render_visuals(plan.kind, plan.timeline, infos, target, plan.rendering, progress)
        warnings = [*mixed.warnings, *warnings]
    return Rendered(path, target, plan, mixed, (*changed, *warnings))


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
    """Render stretches of one video.

    Args:
        timeline: its clips, bounds on frames.
        info: the probed video.
        target: where to.
        rendering: how.
        progress: told how far it is.
        points: of a lossless cut, where the bounds lie on them; else they are found, and bounds moved to them.
        encoder: "software", or "auto" to encode in hardware where a trial shows that it works.

    Returns:
        What had to be done otherwise than as the source does it, a sentence each.

    Raises:
        As `media.render` and `media.cut` do.
    """
    segments = timeline.segments
    warnings: list[str] = []
    if rendering.lossless and points is None:
        points = cut.cut_points(info, target)
        segments = _on_points(segments, points, warnings)
    whole = Timeline.of(info.path, segments)
    total = sum(round(segment.length_s * info.rate) for segment in whole.segments)
    with progress("rendering", total) as rendered:
        if points is None:
            return media_render.render(whole, info, target, rendered, chapters=rendering.chapters, encoder=encoder)
        warnings += cut.cut(whole, points, target)
        rendered(total)
    if rendering.chapters or headers.read(info.path, "a video file").chapters:
        warnings.append("a lossless cut has no chapters: left out")
    return warnings


def _on_points(segments: tuple[Segment, ...], points: cut.CutPoints, warnings: list[str]) -> tuple[Segment, ...]:
    """Where nothing can be encoded, bounds move to the nearest points at which packets can be parted.

    Raises:
        MediaError: nothing is left of a segment.
    """
    if points.recipe is not None:
        return segments
    edges = np.append(points.times_s, points.info.end_s)
    moved = []
    for segment in segments:
        start_s, end_s = (float(edges[np.abs(edges - time_s).argmin()]) for time_s in (segment.start_s, segment.end_s))
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
        timeline: what is shown, and when which music is heard.
        infos: the videos in it, probed.
        target: where to.
        rendering: how.
        progress: told how far each stage is.

    Returns:
        What was mixed, and notes.

    Raises:
        As `mix.write_sound`, `slideshow.render` and `splice.copy_picture` do.
    """
    from mmvatool.media import mix  # here: usage errors of summarize must not wait for scipy

    heard = [(clip.start_s, infos[clip.path], clip.source) for clip in timeline.clips if clip.source is not None]
    with workspace(target) as folder:
        sound, codec = (folder / "sound.webm", "opus") if target.suffix.lower() == ".webm" else (folder / "sound.m4a", "aac")
        with progress("mixing", 100) as done:
            mixed = mix.write_sound(
                timeline.cues,
                timeline.duration_s,
                sound,
                under=heard if rendering.duck else (),
                lufs=rendering.lufs,
                codec=codec,
                on_progress=lambda part: done(round(100 * part)),
            )
        if kind == "soundtrack":
            return mixed, splice.copy_picture(infos[timeline.clips[0].path], sound, target)
        with progress("rendering", round(timeline.duration_s * rendering.rate)) as rendered:
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
                on_frame=rendered,
            )


def default_output(path: Path, plan: Plan) -> Path:
    """Beside the plan: `vlog.summary.mp4` for `vlog.summary.plan.json`, `a.summary.mp4` for `a.json` (`soundtrack` where there is music)."""
    name = path.name.removesuffix(SUFFIX).removesuffix(".json") + ".mp4"
    if not is_own_output(name):
        name = f"{name.removesuffix('.mp4')}.{'summary' if plan.kind == 'cut' else 'soundtrack'}.mp4"
    return path.with_name(name)


def plan_file(given: Path | str, target: Path) -> Path:
    """Where the plan of a rendering to `target` goes: a file as given, in a folder under the name of the rendering."""
    return Path(given) / f"{target.stem}{SUFFIX}" if Path(given).is_dir() else Path(given)


def check_extras(plan_to: Path | str | None, exports: Sequence[Path | str], target: Path, *, overwrite: bool) -> None:
    """Refuse files that a plan or an export cannot be written to.

    Raises:
        OutputError: one exists (without `overwrite`), has another suffix than it should, or its folder is not there or not writable.
        SettingsError: exports need what is not installed.
    """
    if plan_to is not None and plan_file(plan_to, target).suffix.lower() != ".json":
        raise OutputError(plan_file(plan_to, target), "a plan is JSON: name it .json")
    for path in exports:
        check_export(Path(path))
    check_free([*([] if plan_to is None else [plan_file(plan_to, target)]), *map(Path, exports)], overwrite=overwrite)


def write_extras(
    plan: Plan,
    infos: Mapping[Path, MediaInfo],
    plan_to: Path | str | None,
    exports: Sequence[Path | str],
    target: Path,
    progress: Progress = no_progress,
) -> None:
    """Write a plan, and exports for editors, of a rendering to `target`; existing files are replaced.

    Raises:
        As `write_plan` and `export` do.
    """
    for path in exports:
        export(plan, infos, Path(path))
    if plan_to is not None:
        write_plan(plan, plan_file(plan_to, target), progress)


def write_plan(plan: Plan, path: Path, progress: Progress = no_progress) -> None:
    """Write a plan, with the fingerprints of the files that it reads; an existing file is replaced.

    Raises:
        OutputError: it cannot be written.
        MediaError: a file cannot be read any more.
    """
    marked = Plan(plan.kind, plan.timeline, plan.clip_va, fingerprints(plan.paths, progress), plan.rendering)
    write_file(path, (json.dumps(marked.to_json(path.parent), indent=2) + "\n").encode())


def rendering_of(settings: object) -> Rendering:
    """The part of SoundtrackSettings that rendering needs."""
    return Rendering(**{each.name: getattr(settings, each.name) for each in fields(Rendering) if hasattr(settings, each.name)})


def fingerprints(paths: Sequence[Path], progress: Progress = no_progress) -> dict[Path, Fingerprint]:
    """What files are now: all of each is read.

    Raises:
        MediaError: one is not there or cannot be read.
    """
    found = {}
    with progress("hashing", len(paths)) as done:
        for number, path in enumerate(paths, start=1):
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=plans.HASH_BYTES)).hexdigest()
                    found[path] = Fingerprint(file.tell(), content)
            except OSError as error:
                raise MediaError(
                    path, f"cannot be read ({error.strerror}): put it back where the plan names it, or change the plan"
                ) from error
            done(number)
    return found


def _changed(plan: Plan, path: Path, progress: Progress) -> list[str]:
    """What is not as it was, a line each."""
    now = fingerprints(plan.paths, progress)
    unknown = [f"files: has no entry for {given}" for given in plan.paths if given not in plan.files]
    places = {given: number for number, given in enumerate(plan.files)}
    return unknown + [
        f"files[{places[given]}]: {given} was changed since"
        for given in plan.paths
        if given in plan.files and plan.files[given] != now[given]
    ]


def videos_of(plan: Plan) -> dict[Path, MediaInfo]:
    """The videos of a plan, probed; of a slideshow also those that a person wrote without a stretch.

    Raises:
        MediaError: one cannot be read.
    """
    stills = {clip.path for clip in plan.timeline.clips if plan.kind == "slideshow" and clip.source is None}
    return {
        path: probe(path)
        for path in _once(clip.path for clip in plan.timeline.clips)
        if path not in stills or not pictures.is_picture(path)
    }


def _lengths_s(plan: Plan) -> dict[Path, float]:
    said = {path: headers.read(path, "a sound file").stated_s for path in _once(cue.path for cue in plan.timeline.cues)}
    return {path: stated_s for path, stated_s in said.items() if stated_s is not None}


def _once(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
