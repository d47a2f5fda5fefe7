"""`soundtrack`: from pictures or a video to the same with music of the same VA. One pipeline, readable top to bottom.

VA of what is shown -> the library's index brought up to date -> the nearest segment of each track -> one track, or one a scene -> when
each picture is shown -> Timeline -> music mixed and brought to its loudness -> slideshow rendered, or a video's picture copied ->
check -> rename.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.errors import FileError, QueryError, SettingsError
from mmvatool.files import default_output, natural_key
from mmvatool.library.database import Library
from mmvatool.library.update import index, no_music
from mmvatool.media import beats
from mmvatool.pipelines.outputs import Outputs
from mmvatool.pipelines.rendering import render_visuals
from mmvatool.plan.schema import Plan
from mmvatool.progress import Progress, no_progress
from mmvatool.report.soundtrack import soundtrack_page
from mmvatool.soundtracks import pacing, scenes
from mmvatool.soundtracks.result import Credit, Soundtrack, SoundtrackSettings
from mmvatool.soundtracks.scale import ABSOLUTE, Scale
from mmvatool.soundtracks.tracks import CandidateTrack, Ranked, file_candidates, library_candidates, rank, rank_endings, scene_cues
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
    """Choose the music whose VA lies nearest to that of pictures or a video, and render both together.

    Args:
        inputs: a folder of pictures and clips, a video, or pictures and clips one by one.
        output: where to; `<name>.soundtrack.mp4` beside the input by default. A JSON lies beside it, under the same name.
        library: a folder of music, with all below it; or give `tracks`.
        tracks: music files to choose from.
        index_file: where the library's index is; in the user's cache folder by default.
        predictor: a loaded model with towers for pictures and music; the bundled one by default.
        settings: how to choose and how to render.
        report: also write a page about it beside the output, as one HTML file.
        plan: a file, or a folder, for the plan that `render` renders.
        exports: files for editors, each .otio, .edl or .fcpxml.
        dry_run: choose only; nothing but the plan and the exports is written.
        overwrite: replace existing outputs; otherwise they are an error.
        progress: gets how far each stage is.

    Returns:
        When what is shown and which music plays, the ranking, and where the video was written.

    Raises:
        SettingsError: neither a library nor tracks, or both.
        MediaError: nothing of the inputs can be shown, or the library's folder is not there.
        QueryError: there is no music that can be decoded.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
        LibraryError: the index cannot be used.
        CheckpointError: the model has no tower for pictures or none for music.
    """
    settings = settings or SoundtrackSettings()
    if (library is None) == (not tracks):
        raise SettingsError("where the music comes from: give either a library or tracks")
    files = [Path(inputs)] if isinstance(inputs, Path | str) else [Path(path) for path in inputs]
    target = default_output(files[0], "soundtrack") if output is None else Path(output)
    beside = [".json"] + [".html"] * report
    outputs = Outputs.resolve(target, files, beside=beside, plan=plan, exports=exports, dry_run=dry_run, overwrite=overwrite)
    if settings.beats:
        beats.check_installed()
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=("image", "music"))
    visuals, failures = predict_visuals(files, predictor, settings.order, settings.seconds, progress, live=settings.live)
    parts = scenes.split(visuals.va, np.diff(visuals.edges_s)) if settings.per_scene else [slice(0, len(visuals.va))]
    if library is not None:
        music, scale, unusable = _library_tracks(Path(library), index_file, visuals, parts, predictor, settings, progress)
    else:
        music, scale, unusable = _named_tracks([Path(track) for track in tracks], predictor, settings, progress)
    ranking, cues, visuals = _choose_music(visuals, parts, music, predictor.sigma, scale, settings)
    timeline = _timeline(visuals, cues, settings)
    result = Soundtrack(
        input=files[0],
        output=None,
        model=predictor.name,
        settings=settings,
        va=visuals.target.mean,
        timeline=timeline,
        ranking=tuple(ranking[: settings.top]),
        nearest_distance=min(ranked.match.distance for ranked in ranking),
        credits=_credits(timeline, music),
        failures=(*failures, *unusable),
        warnings=tuple(visuals.warnings),
    )
    return _write(result, visuals, music, outputs, predictor.card, progress)


def _library_tracks(
    folder: Path,
    index_file: Path | str | None,
    visuals: Visuals,
    parts: list[slice],
    predictor: "Predictor",
    settings: SoundtrackSettings,
    progress: Progress,
) -> tuple[list[CandidateTrack], Scale, Sequence[FileError]]:
    """The tracks of a library that lie near one of the scenes, sorted by name, the scale in which they do, and an error for each file that is none.

    Raises:
        QueryError: it has no tracks, or all of them are excluded.
    """
    targets = [visuals.part_target(part) for part in parts]
    with Library(index_file) as opened:
        indexed = index(folder, opened, predictor, progress=progress)
        if not indexed.tracks:
            raise QueryError(no_music(folder, indexed))
        music, scale = library_candidates(opened, folder, predictor, targets, settings.exclude, settings.match)
    if not music:
        raise QueryError(f"{folder}: --exclude leaves none of its {indexed.tracks} tracks")
    return sorted(music, key=lambda track: natural_key(track.path)), scale, indexed.broken


def _named_tracks(
    paths: list[Path], predictor: "Predictor", settings: SoundtrackSettings, progress: Progress
) -> tuple[list[CandidateTrack], Scale, Sequence[FileError]]:
    """Tracks that are named one by one, sorted by name, the scale (ranks are those among them), and an error for each file that is none.

    Raises:
        QueryError: none of them can be decoded.
    """
    music, broken = file_candidates(paths, predictor, progress)
    if not music:
        raise QueryError(f"none of the tracks can be decoded ({broken[0]})")
    scale = Scale.of_library(np.array([track.mean for track in music])) if settings.match == "library" else ABSOLUTE
    return sorted(music, key=lambda track: natural_key(track.path)), scale, broken


def _choose_music(
    visuals: Visuals, parts: list[slice], music: list[CandidateTrack], sigma: float | None, scale: Scale, settings: SoundtrackSettings
) -> tuple[list[Ranked], list[Cue], Visuals]:
    """Choose tracks, and pace the slides by them if that was asked for.

    Args:
        visuals: what is shown.
        parts: the scenes that get a track each.
        music: sorted by name, so that of equals the first by name is chosen.
        sigma: of Eq. 1; None for a model without one.
        scale: in which visuals and tracks are compared.
        settings: how to choose.

    Returns:
        The ranking for all that is shown, the nearest first; when which track plays; and the visuals with their final times.
    """
    if settings.fit == "music" and visuals.slides:
        ranking, visuals = rank_endings(visuals, music, sigma, scale, settings.seconds, settings.seed)
    else:
        ranking = rank(visuals, music, sigma, scale, settings.seed)
    if len(parts) > 1:
        cues = scene_cues(visuals, parts, music, sigma, scale, settings.seed)
    else:
        nearest = ranking[0].match
        cues = [Cue(ranking[0].path, 0.0, float(visuals.edges_s[-1]), nearest.offset_s, nearest.distance, nearest.score)]
    if settings.beats and visuals.slides:
        visuals = _on_beats(visuals, cues)
    return ranking, cues, visuals


def _on_beats(visuals: Visuals, cues: list[Cue]) -> Visuals:
    """The visuals with their changes on beats of the music, as far as each track plays through."""
    beats_s = [beats.beats(cue.path, cue.offset_s, cue.offset_s + cue.length_s) - cue.offset_s + cue.start_s for cue in cues]
    return replace(visuals, edges_s=pacing.on_beats(visuals.edges_s, np.sort(np.concatenate(beats_s)), visuals.fixed_s))


def _timeline(visuals: Visuals, cues: list[Cue], settings: SoundtrackSettings) -> Timeline:
    """What is rendered; the edges of slides on frames of the result, each slide a frame at least."""
    if visuals.info is not None:
        clips = [Clip(visuals.info.path, 0.0, visuals.info.end_s, Segment(0.0, visuals.info.end_s))]
    else:
        frames = np.rint(visuals.edges_s * float(settings.rate)).astype(np.int64)
        frames = np.maximum.accumulate(frames - np.arange(len(frames))) + np.arange(len(frames))
        edges_s = [float(Fraction(int(frame)) / settings.rate) for frame in frames]
        clips = [_clip(slide, start_s, end_s) for slide, start_s, end_s in zip(visuals.slides, edges_s, edges_s[1:], strict=False)]
    # The last cue ends with the last frame.
    return Timeline(tuple(clips), (*cues[:-1], replace(cues[-1], end_s=clips[-1].end_s)))


def _clip(slide: Slide, start_s: float, end_s: float) -> Clip:
    """A slide from start_s to end_s: a clip that a beat made shorter ends sooner."""
    segment = slide.segment and Segment(slide.segment.start_s, min(slide.segment.end_s, slide.segment.start_s + end_s - start_s))
    return Clip(slide.path, start_s, end_s, segment)


def _credits(timeline: Timeline, music: list[CandidateTrack]) -> tuple[Credit, ...]:
    """The tags of the chosen tracks."""
    used = {cue.path for cue in timeline.cues}
    return tuple(Credit(track.path, track.sound.title, track.sound.artist, track.sound.licence) for track in music if track.path in used)


def _write(
    result: Soundtrack, visuals: Visuals, music: list[CandidateTrack], outputs: Outputs, card: str, progress: Progress
) -> Soundtrack:
    """Write the plan, and unless it is a dry run render the video and write what lies beside it."""
    is_video = visuals.info is not None
    clip_va = [result.va] if is_video else [slide.va for slide in visuals.slides]
    plan = Plan(
        "soundtrack" if is_video else "slideshow",
        result.timeline,
        tuple((float(va[0]), float(va[1])) for va in clip_va),
        rendering=result.settings.rendering,
    )
    infos = {info.path: info for info in (visuals.info, *(slide.info for slide in visuals.slides)) if info is not None}
    outputs.write_plan(plan, infos, progress)
    if outputs.dry_run:
        return result
    mixed, warnings = render_visuals(plan.kind, plan.timeline, infos, outputs.video, plan.rendering, progress)
    written = replace(result, output=outputs.video, mixed=mixed, warnings=(*result.warnings, *mixed.warnings, *warnings))
    outputs.write_beside(
        {
            ".json": lambda: json.dumps(written.to_json(), indent=2) + "\n",
            ".html": lambda: soundtrack_page(written, visuals, music, card),
        }
    )
    return written
