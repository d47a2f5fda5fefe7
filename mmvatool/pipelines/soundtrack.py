"""`soundtrack`: from pictures or a video to the same with music that feels like them. One pipeline, readable top to bottom.

library's index brought up to date -> VA of what is shown -> the nearest stretch of each track -> one track, or one a scene -> when
each picture is shown -> Timeline -> sound mixed and brought to its loudness -> slideshow rendered, or a video's picture copied ->
check -> rename.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.errors import QueryError, SettingsError
from mmvatool.files import default_output, natural_key, write_file
from mmvatool.library.database import Library
from mmvatool.library.update import index, no_music
from mmvatool.media import beats
from mmvatool.pipelines.outputs import check_writable
from mmvatool.pipelines.render import check_extras, render_visuals, rendering_of, write_extras
from mmvatool.plan.schema import Plan
from mmvatool.progress import Progress, no_progress
from mmvatool.report.soundtrack import soundtrack_page
from mmvatool.soundtracks import pacing, scenes
from mmvatool.soundtracks.result import Credit, Soundtrack, SoundtrackSettings
from mmvatool.soundtracks.tracks import file_candidates, library_candidates, rank, rank_endings, scene_cues
from mmvatool.soundtracks.visuals import Slide, Visuals, predict_visuals
from mmvatool.timeline import Clip, Cue, Segment, Timeline

if TYPE_CHECKING:
    from trainer import Predictor


def soundtrack(
    inputs: Path | str | Sequence[Path | str],
    output: Path | str | None = None,
    *,
    library: Path | str | None = None,
    tracks: Sequence[Path | str] = (),
    index_file: Path | str | None = None,
    predictor: "Predictor | None" = None,
    settings: SoundtrackSettings | None = None,
    report: bool = False,
    plan: Path | str | None = None,
    exports: Sequence[Path | str] = (),
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Soundtrack:
    """Pick the music that feels like pictures or a video, and render both together.

    Args:
        inputs: a folder of pictures and clips, a video, or pictures and clips one by one.
        output: where to; `<name>.soundtrack.mp4` beside the input by default. A JSON lies beside it, under the same name.
        library: a folder of music, with all below it; or give `tracks`.
        tracks: music files to choose from.
        index_file: where the library's index lies; in the user's cache folder by default.
        predictor: a loaded model with towers for pictures and music; the bundled one by default.
        settings: how to choose and how to render.
        report: also write a page about it beside the output, as one HTML file.
        plan: a file, or a folder, for the plan that `render` renders.
        exports: files for editors, each .otio, .edl or .fcpxml.
        dry_run: choose only; nothing but the plan and the exports is written.
        overwrite: replace existing outputs; otherwise they are an error.
        progress: told how far each stage is.

    Returns:
        The plan, the ranking, and where it went.

    Raises:
        SettingsError: neither a library nor tracks, or both.
        MediaError: nothing of the inputs can be shown, or the library's folder is not there.
        QueryError: there is no music that can be heard.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
        LibraryError: the index cannot be used.
        CheckpointError: the model has no tower for pictures or none for music.
    """
    settings = settings or SoundtrackSettings()
    if (library is None) == (not tracks):
        raise SettingsError("where the music comes from: give either a library or tracks")
    listed = not isinstance(inputs, Path | str)
    given = [Path(path) for path in inputs] if listed else [Path(inputs)]  # type: ignore[union-attr, arg-type]
    target = Path(output) if output is not None else default_output(given[0], "soundtrack")
    if not dry_run:
        check_writable([target, *(target.with_suffix(suffix) for suffix in [".json"] + [".html"] * report)], given, overwrite=overwrite)
    check_extras(plan, exports, target, overwrite=overwrite)
    if settings.beats:
        beats.check_installed()
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=("image", "music"))
    show, failures = predict_visuals(given, predictor, settings.order, settings.seconds, progress)
    parts = [slice(0, len(show.va))]
    if settings.per_scene:
        parts = scenes.split(show.va, np.diff(show.edges_s))
    targets = [show.part_target(part) for part in parts]
    if library is not None:
        with Library(index_file) as opened:
            indexed = index(library, opened, predictor, progress=progress)
            if not indexed.tracks:
                raise QueryError(no_music(Path(library), indexed))
            music = library_candidates(opened, Path(library), predictor, targets, settings.exclude)
        failures += indexed.broken
        if not music:
            raise QueryError(f"{library}: --exclude leaves none of its {indexed.tracks} tracks")
    else:
        music, broken = file_candidates([Path(track) for track in tracks], predictor, progress)
        failures += broken
        if not music:
            raise QueryError(f"none of the tracks can be heard ({broken[0]})")
    music.sort(key=lambda track: natural_key(track.path))  # of equals the first by name
    if settings.fit == "music" and show.slides:
        ranking, show = rank_endings(show, music, predictor.sigma, settings.seconds, settings.seed)
    else:
        ranking = rank(show, music, predictor.sigma, settings.seed)
    nearest = ranking[0].match
    cues = [Cue(ranking[0].path, 0.0, float(show.edges_s[-1]), nearest.offset_s, nearest.distance, nearest.score)]
    if len(parts) > 1:
        cues = scene_cues(show, parts, music, predictor.sigma, settings.seed)
    if settings.beats and show.slides:
        show = _on_beats(show, cues)
    timeline = _timeline(show, cues, settings)
    used = {cue.path for cue in timeline.cues}
    made = Soundtrack(
        input=given[0],
        output=None,
        model=predictor.name,
        settings=settings,
        va=show.target.mean,
        timeline=timeline,
        ranking=tuple(ranking[: settings.top]),
        credits=tuple(
            Credit(track.path, track.sound.title, track.sound.artist, track.sound.licence) for track in music if track.path in used
        ),
        failures=tuple(failures),
        warnings=tuple(show.warnings),
    )
    whole = show.info is not None
    clip_va = [made.va] if whole else [slide.va for slide in show.slides]
    planned = Plan(
        "soundtrack" if whole else "slideshow",
        timeline,
        tuple((float(va[0]), float(va[1])) for va in clip_va),
        rendering=rendering_of(settings),
    )
    infos = {info.path: info for info in (show.info, *(slide.info for slide in show.slides)) if info is not None}
    write_extras(planned, infos, plan, exports, target, progress)
    if dry_run:
        return made
    mixed, warnings = render_visuals(planned.kind, timeline, infos, target, planned.rendering, progress)
    made = replace(made, output=target, mixed=mixed, warnings=(*made.warnings, *mixed.warnings, *warnings))
    write_file(target.with_suffix(".json"), (json.dumps(made.to_json(), indent=2) + "\n").encode())
    if report:
        write_file(target.with_suffix(".html"), soundtrack_page(made, show, music, predictor.card).encode())
    return made


def _on_beats(show: Visuals, cues: list[Cue]) -> Visuals:
    """The same with its changes on beats of the music, as far as each track plays through."""
    heard = [beats.beats(cue.path, cue.offset_s, cue.offset_s + cue.length_s) - cue.offset_s + cue.start_s for cue in cues]
    return replace(show, edges_s=pacing.on_beats(show.edges_s, np.sort(np.concatenate(heard)), show.fixed_s))


def _timeline(show: Visuals, cues: list[Cue], settings: SoundtrackSettings) -> Timeline:
    """The plan; the edges of slides on frames of the result, each slide a frame at least."""
    if show.info is not None:
        clips = [Clip(show.info.path, 0.0, show.info.end_s, Segment(0.0, show.info.end_s))]
    else:
        frames = np.rint(show.edges_s * float(settings.rate)).astype(np.int64)
        frames = np.maximum.accumulate(frames - np.arange(len(frames))) + np.arange(len(frames))
        edges_s = [float(Fraction(int(frame)) / settings.rate) for frame in frames]
        clips = [_clip(slide, start_s, end_s) for slide, start_s, end_s in zip(show.slides, edges_s, edges_s[1:], strict=False)]
    # The last cue ends with the last frame.
    return Timeline(tuple(clips), (*cues[:-1], replace(cues[-1], end_s=clips[-1].end_s)))


def _clip(slide: Slide, start_s: float, end_s: float) -> Clip:
    """A slide in its time: a clip that a beat made shorter ends sooner."""
    segment = slide.segment and Segment(slide.segment.start_s, min(slide.segment.end_s, slide.segment.start_s + end_s - start_s))
    return Clip(slide.path, start_s, end_s, segment)
