"""`render`: a plan is rendered, as `summarize` or `soundtrack` wrote it or as a person changed it.

read and check the plan -> check that the files are unchanged -> bounds on frames -> render -> check -> rename.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvatool.errors import PlanError
from mmvatool.pipelines.outputs import Outputs
from mmvatool.pipelines.rendering import render_cut, render_visuals
from mmvatool.plan import document, files, schema
from mmvatool.plan.schema import Plan
from mmvatool.progress import Progress, no_progress

if TYPE_CHECKING:
    from mmvatool.media import mix


@dataclass(frozen=True)
class Rendered:
    """The result: the plan at `input` with its bounds on frames, and the video that was written."""

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
        output: where to; `plan.files.default_output` says where by default.
        exports: files for editors, each .otio, .edl or .fcpxml.
        force: render though files are not those that the plan was made from.
        overwrite: replace an existing output; otherwise it is an error.
        progress: gets how far each stage is.

    Returns:
        What was rendered, its bounds on frames, and where it went.

    Raises:
        PlanError: the plan is not one, cannot be rendered, or a file was changed since; the field is named.
        MediaError: a file of the plan cannot be read.
        OutputError: the output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path = Path(path)
    plan = document.read(path)
    target = files.default_output(path, plan) if output is None else Path(output)
    outputs = Outputs.resolve(target, [path, *plan.paths], exports=exports, overwrite=overwrite)
    changed = files.changed_files(plan, progress)
    if changed and not force:
        raise PlanError(path, f"{changed[0]}: make the plan again, or render it all the same with --force")
    infos = files.probe_videos(plan)
    plan = schema.fitted(plan, path, infos, files.track_lengths_s(plan))
    outputs.write_plan(plan, infos)
    if plan.kind == "cut":
        mixed, warnings = None, render_cut(plan.timeline, infos[plan.timeline.clips[0].path], target, plan.rendering, progress)
    else:
        mixed, warnings = render_visuals(plan.kind, plan.timeline, infos, target, plan.rendering, progress)
        warnings = [*mixed.warnings, *warnings]
    return Rendered(path, target, plan, mixed, (*changed, *warnings))
