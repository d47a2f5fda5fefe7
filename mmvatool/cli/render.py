"""`mmvatool render`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli.console import Reporter, opener
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.batch import Batch, make_folder
from mmvatool.cli.options import export_option, output_options
from mmvatool.cli.sections import SectionedCommand
from mmvatool.text import format_clock

if TYPE_CHECKING:
    from mmvatool.pipelines.render import Rendered
    from mmvatool.progress import Progress


@click.command(cls=SectionedCommand)
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE|FOLDER",
    help="Where to write. A folder if it ends in / or exists as one; else a file, whose suffix chooses the container "
    "(.mp4 .m4v .mov .mkv .webm).  [default: NAME.summary.mp4 or NAME.soundtrack.mp4 beside NAME.json]",
)
@export_option
@click.option("--force", is_flag=True, help="Render though a video, picture or track is not the one that the plan was made from.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.  [default: an error]")
@output_options
def render(
    plan: Path,
    output: str | None,
    exports: tuple[Path, ...],
    force: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Render a plan that `summarize --plan` or `soundtrack --plan` wrote.

    \b
    Examples:
      mmvatool render vlog.plan.json
      mmvatool render plans/vlog.summary.plan.json -o vlog.mkv --overwrite
      mmvatool render moved.json --force --json

    A plan is JSON that can be changed by hand: move a boundary, take a clip out, choose another moment of the track. Bounds
    move to the nearest frame; what cannot be rendered is an error that names the field. No model is loaded.
    """
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)

    from mmvatool.pipelines.render import render as render_plan
    from mmvatool.plan import document
    from mmvatool.plan.files import default_output

    batch = Batch["Rendered"](reporter, debug=debug)

    def work(job: Job, progress: "Progress") -> "Rendered":
        target = None if output is None else job.target
        if output is not None and (output.endswith(("/", "\\")) or job.target.is_dir()):
            target = Path(output) / default_output(plan, document.read(plan)).name
            make_folder(target, output)
        return render_plan(job.input, target, exports=exports, force=force, overwrite=overwrite, progress=progress)

    batch.run([Job(plan, Path(output or "."))], work, lambda rendered, seconds: _report(rendered, reporter, seconds))
    if as_json:
        click.echo(batch.to_json())
    batch.conclude(*(("watch it", opener(rendered.output)) for rendered in batch.results))
    return batch.exit_code


def _report(rendered: "Rendered", reporter: Reporter, seconds: float) -> None:
    for warning in rendered.warnings:
        reporter.detail(f"{rendered.input}: {warning}")
    length_s = rendered.plan.timeline.duration_s
    length = f"{length_s:.1f} s" if length_s < 60 else format_clock(length_s)
    reporter.say(f"{rendered.input}: {length} -> {rendered.output} in {seconds:.1f} s")
