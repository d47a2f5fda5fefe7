"""`summarize`: from a video file to the part of it with the highest arousal. One pipeline, readable top to bottom.

probe -> sample a frame (and/or 10 seconds of audio) for each 2-second slot -> predict VA and embeddings -> shots -> value of
a shot = mean arousal x length -> exact knapsack under the budget -> Timeline -> render -> check -> rename.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmvatool.analysis.slots import slots
from mmvatool.analysis.video import VideoAnalysis
from mmvatool.files import default_output
from mmvatool.media.cut import cut_points
from mmvatool.media.probe import probe
from mmvatool.media.sampling import pick
from mmvatool.pipelines.outputs import Outputs
from mmvatool.pipelines.rendering import render_cut
from mmvatool.plan.schema import Plan, Rendering
from mmvatool.progress import Progress, no_progress
from mmvatool.report.plots import curve_png
from mmvatool.report.summary import summary_page
from mmvatool.summary.boundaries import Boundaries
from mmvatool.summary.curve import modalities, predict_curve
from mmvatool.summary.cuts import Cuts, FrameCuts, KeyframeCuts
from mmvatool.summary.result import Summary
from mmvatool.summary.selection import select
from mmvatool.summary.settings import SummarySettings

if TYPE_CHECKING:
    from trainer import Predictor

RESTARTS = "its clock restarts in the middle (joined recordings?), so that times are ambiguous: summarize the parts, or join them anew"


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
    interlaced: str = "deinterlace",
    to_sdr: bool = False,
    cache: bool = False,
    progress: Progress = no_progress,
) -> Summary:
    """Summarize a video: the shots of the highest arousal that fit the budget, as a finished video.

    Args:
        path: the video.
        output: where to; `<name>.summary.mp4` beside the input by default. A JSON lies beside it, under the same name.
        predictor: a loaded model with the towers that `summary.curve.modalities` names; the bundled one by default.
        settings: how to choose.
        plot: also write the arousal curve, with the kept parts shaded, as a PNG beside the output.
        report: also write a page about it beside the output, as one HTML file.
        plan: a file, or a folder, for the plan that `render` renders.
        exports: files for editors, each .otio, .edl or .fcpxml.
        chapters: make one for each kept segment instead of taking those of the source.
        dry_run: choose only; nothing but the plan and the exports is written. Without these, cuts are estimated (docs/speed.md).
        overwrite: replace existing outputs; otherwise they are an error.
        encoder: "software", or "auto" to encode in hardware where a trial shows that it works.
        interlaced: "deinterlace", or "keep" to code the fields of interlaced video as fields.
        to_sdr: bring HDR down to SDR; otherwise it is coded as HDR, in HEVC of 10 bits.
        cache: keep what is predicted for the video in the user's cache folder, or use what was kept there (docs/formats.md).
        progress: gets how far each stage is.

    Returns:
        All shots with those that are kept, and where the video was written.

    Raises:
        MediaError: the input cannot be read as a video (or has no sound, when sound is asked for).
        PlanError: the budget is under one frame, or ranges to keep do not fit.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path, settings = Path(path), settings or SummarySettings()
    target = default_output(path, "summary") if output is None else Path(output)
    beside = [".json"] + [".png"] * plot + [".html"] * report
    outputs = Outputs.resolve(target, [path], beside=beside, plan=plan, exports=exports, dry_run=dry_run, overwrite=overwrite)
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=modalities(settings))
    info = probe(path)
    cuts: Cuts = KeyframeCuts(cut_points(info, target)) if settings.lossless else FrameCuts(info)
    grid = slots(info.start_s, info.end_s)
    samples = pick(info, grid.edges_s, settings.sampling)
    analysis = VideoAnalysis(info, samples, predictor, settings.sampling, keep=cache, progress=progress)
    curve, warnings = predict_curve(info, grid, samples, analysis, settings)
    boundaries = Boundaries(info, grid, samples, analysis, settings)
    shots = boundaries.detect_shots()
    selection = select(shots, curve, cuts, boundaries, settings, exact=outputs.writes)
    analysis.save()
    warnings += [*analysis.warnings, *selection.warnings, *([RESTARTS] if info.restarts else [])]
    summary = Summary(path, None, predictor.name, settings, info, curve, selection.shots, selection.precision, tuple(warnings))
    rendering = Rendering(chapters=chapters, lossless=settings.lossless, interlaced=interlaced, to_sdr=to_sdr)
    return _write(summary, outputs, cuts, rendering, encoder, predictor, progress)


def _write(
    summary: Summary, outputs: Outputs, cuts: Cuts, rendering: Rendering, encoder: str, predictor: "Predictor", progress: Progress
) -> Summary:
    """Write the plan, and unless it is a dry run render the video and write what lies beside it."""
    info, curve = summary.info, summary.curve
    plan = Plan("cut", summary.timeline, summary.clip_va, rendering=rendering)
    outputs.write_plan(plan, {summary.input: info}, progress)
    if outputs.dry_run:
        return summary
    warnings = render_cut(plan.timeline, info, outputs.video, rendering, progress, points=cuts.points, encoder=encoder)
    written = replace(summary, output=outputs.video, warnings=(*summary.warnings, *warnings))
    outputs.write_beside(
        {
            ".json": lambda: json.dumps(written.to_json(), indent=2) + "\n",
            ".png": lambda: curve_png(
                curve.times_s, curve.va[:, 1], plan.timeline.segments, (info.start_s, info.end_s), summary.input.name
            ),
            ".html": lambda: summary_page(written, predictor.card, predictor.order_scale),
        }
    )
    return written
