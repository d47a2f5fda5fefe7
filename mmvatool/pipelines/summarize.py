"""`summarize`: from a video file to the part of it worth watching. One pipeline, readable top to bottom.

probe -> sample a frame (and/or 10 seconds of sound) for each 2-second slot -> predict VA and embeddings -> shots -> value of
a shot = mean arousal x length -> exact knapsack under the budget -> Timeline -> render -> check -> rename.
"""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis.prefetch import prefetch
from mmvatool.analysis.slots import Slots, slots
from mmvatool.analysis.video import VideoAnalysis
from mmvatool.files import default_output, write_file
from mmvatool.media import cut
from mmvatool.media.changes import exact_changes, likely_change
from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Samples, pick
from mmvatool.pipelines.outputs import check_writable
from mmvatool.pipelines.render import check_extras, render_cut, write_extras
from mmvatool.plan.schema import Plan, Rendering
from mmvatool.progress import Progress, no_progress
from mmvatool.report.plots import curve_png
from mmvatool.report.summary import summary_page
from mmvatool.summary.result import Summary
from mmvatool.summary.selection import ScoredShot, SummarySettings, budget_s, choose
from mmvatool.summary.shots import LEAST_MAX_SHOT_S, shots, snapped, uniform_shots
from mmvatool.timeline import Curve, Segment, Timeline

if TYPE_CHECKING:
    from trainer import Predictor

CLOSE_S = 1.1  # keyframes of phones, a second apart


def summarize(
    path: Path | str,
    output: Path | str | None = None,
    *,
    predictor: "Predictor | None" = None,
    settings: SummarySettings | None = None,
    plot: bool = False,
    report: bool = False,
    plan: Path | str | None = None,
    exports: Sequence[Path | str] = (),
    chapters: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    encoder: str = "software",
    cache: bool = False,
    progress: Progress = no_progress,
) -> Summary:
    """Summarize a video: the shots of the highest arousal that fit the budget, as a finished video.

    Args:
        path: the video.
        output: where to; `<name>.summary.mp4` beside the input by default. A JSON lies beside it, under the same name.
        predictor: a loaded model with the towers that `modalities` names; the bundled one by default.
        settings: how to choose.
        plot: also write the arousal curve, with the kept parts shaded, as a PNG beside the output.
        report: also write a page about it beside the output, as one HTML file.
        plan: a file, or a folder, for the plan that `render` renders.
        exports: files for editors, each .otio, .edl or .fcpxml.
        chapters: make one for each kept stretch instead of taking those of the source.
        dry_run: choose only; nothing but the plan and the exports is written. Without these, cuts are where they likely are (docs/speed.md).
        overwrite: replace existing outputs; otherwise they are an error.
        encoder: "software", or "auto" to encode in hardware where a trial shows that it works.
        cache: keep what is felt of the video in the user's cache folder, or use what was kept there (docs/formats.md).
        progress: told how far each stage is.

    Returns:
        The plan and where it went.

    Raises:
        MediaError: the input cannot be read as a video (or has no sound, when sound is asked for).
        PlanError: the budget is under one frame, or ranges to keep do not fit.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path, settings = Path(path), settings or SummarySettings()
    target = Path(output) if output is not None else default_output(path, "summary")
    if not dry_run:
        check_writable(outputs(target, plot=plot, report=report), [path], overwrite=overwrite)
    check_extras(plan, exports, target, overwrite=overwrite)
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=modalities(settings))
    info = probe(path)
    points = cut.cut_points(info, target) if settings.lossless else None
    grid = slots(info.start_s, info.end_s)
    samples = pick(info, grid.edges_s, settings.sampling)
    analysis = VideoAnalysis(info, samples, predictor, settings.sampling, keep=cache, progress=progress)
    curve, warnings = _feel(info, grid, samples, analysis, settings)
    cuts = _Cuts(info, grid, samples, analysis, settings)
    found = _find_shots(info, grid, samples, analysis, cuts, settings)
    # Whoever only looks does not wait for what must be decoded to cut to the frame.
    exactly = not dry_run or plan is not None or bool(exports)
    while True:
        scored, moved = (choose(found, curve, info, settings), []) if points is None else _choose_uncoded(found, curve, points, settings)
        parts = Timeline.of(path, (shot.segment for shot in scored if shot.kept)).segments
        bounds_s = {bound_s for part in parts for bound_s in (part.start_s, part.end_s)}
        if points is not None:  # a copy begins or ends there, wherever in the short group of pictures the cut is
            bounds_s -= points.close(CLOSE_S)
        # Ranges that were asked for, and the best run inside a shot, lie on no cut; what is copied was moved away from it.
        within_s = float(1 / info.rate) / 2 if points is None else math.inf
        settled = cuts.settle(found, bounds_s, within_s) if exactly else found
        if settled == found:
            break
        found = settled
    analysis.save()
    warnings += [*analysis.warnings, *moved]
    summary = Summary(
        input=path,
        output=None,
        model=predictor.name,
        settings=settings,
        info=info,
        curve=curve,
        shots=scored,
        cuts="likely" if not (exactly or cuts.exact_already) else "keyframes" if points is not None else "exact",
    )
    if info.restarts:
        warnings.append(
            "its clock restarts in the middle (joined recordings?), so that times are ambiguous: summarize the parts, or join them anew"
        )
    made = Plan("cut", summary.timeline, summary.clip_va, rendering=Rendering(chapters=chapters, lossless=settings.lossless))
    write_extras(made, {path: info}, plan, exports, target, progress)
    if not dry_run:
        warnings += render_cut(made.timeline, info, target, made.rendering, progress, points=points, encoder=encoder)
        summary = replace(summary, output=target)
    summary = replace(summary, warnings=tuple(warnings))
    if not dry_run:
        write_file(target.with_suffix(".json"), (json.dumps(summary.to_json(), indent=2) + "\n").encode())
        if plot:
            kept = summary.timeline.segments
            write_file(target.with_suffix(".png"), curve_png(curve.times_s, curve.va[:, 1], kept, (info.start_s, info.end_s), path.name))
        if report:
            write_file(target.with_suffix(".html"), summary_page(summary, predictor.card).encode())
    return summary


def modalities(settings: SummarySettings) -> tuple[str, ...]:
    """The towers that settings need: shots are found in what is seen, whatever they are chosen by."""
    if settings.by == "image":
        return ("image",)
    return ("music",) if settings.by == "music" and settings.shots == "uniform" else ("image", "music")


def outputs(target: Path, *, plot: bool, report: bool) -> list[Path]:
    """All files that a summary writes."""
    suffixes = [".json"] + [".png"] * plot + [".html"] * report
    return [target, *(target.with_suffix(suffix) for suffix in suffixes)]


def _feel(info: MediaInfo, grid: Slots, samples: Samples, analysis: VideoAnalysis, settings: SummarySettings) -> tuple[Curve, list[str]]:
    """The curve over the slots, and notes."""
    warnings: list[str] = []
    by = settings.by
    if by == "both" and info.audio is None:
        warnings.append("no sound: scored by its pictures alone")
        by = "image"
    if by == "music" and settings.shots == "uniform":
        return Curve(grid.centres_s, np.concatenate([*analysis.audio(grid.centres_s)])), warnings
    # What is heard is small: it may all be heard while the pictures are looked at.
    sound = analysis.audio(samples.times_s) if by != "image" else ()
    with prefetch(sound, 0) as parts:
        seen, _ = analysis.image
        heard = np.concatenate([np.empty((0, 2), np.float32), *parts])
    va = {"image": seen, "music": heard}.get(by)
    if va is None:
        va = (seen + heard) / 2
        va[:, 1] = (_ranks(seen[:, 1]) + _ranks(heard[:, 1])) / 2
    return Curve(samples.times_s, va), warnings


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks scaled to [0, 1], equal values sharing their mean rank; a constant is .5 throughout."""
    from scipy.stats import rankdata  # here: --help must not wait for it

    if len(values) == 1:
        return np.full(1, 0.5, np.float32)
    return ((rankdata(values) - 1) / (len(values) - 1)).astype(np.float32)


def _choose_uncoded(
    found: list[Segment], curve: Curve, points: cut.CutPoints, settings: SummarySettings
) -> tuple[tuple[ScoredShot, ...], list[str]]:
    """Choose among shots that can be copied, cut at keyframes where that moves them little, or everywhere if nothing can be encoded; and notes."""
    warnings: list[str] = []
    strictly = points.recipe is None
    fitting = snapped(found, points.times_s, strictly=strictly)
    scored = choose(fitting, curve, points.info, settings, points.times_s, strictly=strictly)
    if strictly:
        edges = np.append(points.times_s, points.info.end_s)
        moved_s = max((float(np.abs(edges - shot.end_s).min()) for shot in found), default=0.0)
        if moved_s > settings.min_shot_s / 2:
            warnings.append(f"{points.reason}: all cuts lie on keyframes, up to {moved_s:.1f} s from where the shot changes")
    closed: list[ScoredShot] = []
    for place, shot in enumerate(scored):
        end_s = points.end_of(shot.segment.end_s)
        goes_on = place + 1 < len(scored) and scored[place + 1].kept
        if shot.kept and not goes_on and end_s < shot.segment.end_s:
            # Pictures that refer to the keyframe that follows, which is cut away.
            rest = replace(shot, segment=Segment(end_s, shot.segment.end_s), kept=False, fixed=True, reason="rest")
            closed += [replace(shot, segment=Segment(shot.segment.start_s, end_s)), rest]
        else:
            closed.append(shot)
    return tuple(closed), warnings


def _find_shots(
    info: MediaInfo, grid: Slots, samples: Samples, analysis: VideoAnalysis, cuts: "_Cuts", settings: SummarySettings
) -> list[Segment]:
    if settings.shots == "uniform":
        return uniform_shots(grid, info.times_s)
    _, embeddings = analysis.image
    sampled_s = info.times_s[info.frame_at(samples.times_s)]
    # A shot over the budget could never be kept: it is over the maximum, too.
    longest_s = min(settings.max_shot_s, max(budget_s(info, settings), LEAST_MAX_SHOT_S, 2 * settings.min_shot_s))
    refine = cuts.exact if settings.sampling == "exact" else cuts.likely
    return shots(embeddings, sampled_s, info.times_s, info.end_s, refine, settings.min_shot_s, longest_s)


class _Cuts:
    """Where between two samples the picture changes: likely, without decoding, or exactly.

    All frames between two samples are decoded to find a cut exactly. With keyframes as samples that would be most of the work, so it
    is only done for the bounds of what is rendered or written to a plan.

    Attributes:
        exact_already: all are found exactly in the first place.
    """

    def __init__(self, info: MediaInfo, grid: Slots, samples: Samples, analysis: VideoAnalysis, settings: SummarySettings) -> None:
        self._info, self._grid, self._analysis, self._settings = info, grid, analysis, settings
        self._sampled = info.frame_at(samples.times_s)
        self.exact_already = settings.sampling == "exact" or settings.shots == "uniform"
        self._settled: set[int] = set()

    def exact(self, change: int) -> float:
        """The time of the frame that differs most from the one before it."""
        frames = self._analysis.frames
        return self._found([change], lambda spans: [_largest_change(frames, *span) for span in spans])[0]

    def likely(self, change: int) -> float:
        """The time of the frame on which the encoder spent most, for its place; midway where nothing tells."""
        first, last = self._span(change)
        if first == last:
            return float(self._grid.edges_s[change])
        found = likely_change(self._info, first, last)
        return float(self._info.times_s[(first + last) // 2 + 1 if found is None else found])

    def settle(self, found: list[Segment], bounds_s: set[float], within_s: float) -> list[Segment]:
        """The shots with exact cuts where some bounds lie within so many seconds; unchanged if they are exact already."""
        if self.exact_already:
            return found
        edges_s = [shot.start_s for shot in found] + [found[-1].end_s]
        places: dict[int, int] = {}
        for bound_s in bounds_s:
            place = int(np.abs(np.array(edges_s) - bound_s).argmin())
            change = int(np.searchsorted(self._info.times_s[self._sampled], edges_s[place]))
            if abs(edges_s[place] - bound_s) > within_s:
                continue
            if 0 < place < len(found) and 0 < change < len(self._sampled) and change not in self._settled:
                places[change] = place
        changes, refused = sorted(places), []
        self._settled.update(changes)
        for change, exact_s in zip(changes, self._found(changes, lambda spans: exact_changes(self._info, spans)), strict=True):
            place, shortest_s = places[change], self._settings.min_shot_s
            if exact_s - edges_s[place - 1] >= shortest_s and edges_s[place + 1] - exact_s >= shortest_s:
                edges_s[place] = exact_s
            else:
                refused.append(change)
        if edges_s != [shot.start_s for shot in found] + [found[-1].end_s]:
            self._settled.difference_update(refused)  # what stood in their way has moved
        return [Segment(start_s, end_s) for start_s, end_s in itertools.pairwise(edges_s)]

    def _span(self, change: int) -> tuple[int, int]:
        """The samples, as frames, between which the change is; the same one if slots share it."""
        return int(self._sampled[change - 1]), int(self._sampled[change])

    def _found(self, changes: list[int], look: Callable[[list[tuple[int, int]]], list[int]]) -> list[float]:
        """The times of changes; those that are not known yet `look` finds in their spans."""
        moving = [change for change in changes if np.ptp(self._span(change))]
        times_s = self._analysis.change_times_s(
            moving, lambda new: self._info.times_s[look([self._span(change) for change in new])].tolist()
        )
        known = dict(zip(moving, times_s, strict=True))
        return [known.get(change, float(self._grid.edges_s[change])) for change in changes]


def _largest_change(frames: Frames, first: int, last: int) -> int:
    """The frame in first + 1..last that differs most from the one before; midway where nothing changes."""
    small = frames.read(np.arange(first, last + 1))[:, ::4, ::4].astype(np.int16)
    steps = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
    return first + 1 + (int(steps.argmax()) if steps.max() > 0 else len(steps) // 2)
