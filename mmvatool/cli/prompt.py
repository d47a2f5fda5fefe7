"""`mmvatool prompt`."""

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, explain
from mmvatool.cli.inputs import find_files
from mmvatool.cli.options import VA, Load, model_options, output_options
from mmvatool.files import PICTURE_SUFFIXES
from mmvatool.text import printable

if TYPE_CHECKING:
    from mmvatool.pipelines.prompt import Prompted, Prompter
    from mmvatool.progress import Progress
    from mmvatool.prompts.musicgen import Generated
    from mmvatool.prompts.templates import Prompts


@click.command()
@click.argument("pictures", nargs=-1, type=click.Path(), metavar="[PICTURE|FOLDER]...")
@click.option("--va", type=VA(), multiple=True, help="Valence and arousal in place of a picture, e.g. 0.3,0.8. Repeatable.")
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="How many prompts, the nearest first.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="For variety: draw among the prompts that are nearly as near (at most 0.01 further away in VA), and compose by it. The same seed "
    "gives the same.  [default: the nearest prompt; composed by seed 0]",
)
@click.option(
    "--candidates",
    type=click.Path(),
    metavar="FILE",
    help="Templates and candidates of your own, a TOML file (docs/formats.md).  [default: the paper's, 59,904 prompts]",
)
@click.option(
    "--generate",
    "target",
    type=click.Path(),
    metavar="FILE.wav",
    help="Also compose music for the prompt with MusicGen, whose weights must be on this machine. Their licence is CC-BY-NC 4.0: not for "
    "commercial use.",
)
@click.option("--seconds", type=float, default=15.0, show_default=True, help="Length of the music, 1 to 30.")
@click.option(
    "--musicgen",
    metavar="NAME|FOLDER",
    default="facebook/musicgen-small",
    show_default=True,
    help="MusicGen's weights: their hub name, looked up in the hub's cache, or a folder.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE.wav if it exists.  [default: an error]")
@model_options
@output_options
def prompt(
    pictures: tuple[str, ...],
    va: tuple[tuple[float, float], ...],
    top: int,
    seed: int | None,
    candidates: str | None,
    target: str | None,
    seconds: float,
    musicgen: str,
    overwrite: bool,
    load: Load,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Words for a music generator that feel like a picture.

    Of all prompts that its templates and candidates make, the one nearest in valence and arousal to the picture. Only prompts go to stdout,
    one a line. All prompts are scored once for a model, which takes some seconds, and then kept in the user's cache folder.

    \b
    Examples:
      mmvatool prompt photo.jpg
      mmvatool prompt holiday/ --top 3 --json
      mmvatool prompt photo.jpg --seed 7 --generate music.wav --seconds 15
      mmvatool prompt --va 0.3,0.8 --candidates my-words.toml
    """
    paths, missing = find_files(pictures, "PICTURE|FOLDER", "picture", PICTURE_SUFFIXES, alone=len(pictures) + len(va) == 1, named=True)
    inputs: list[Path | tuple[float, float]] = [*paths, *va]
    if not pictures and not va:
        raise click.UsageError("nothing to find words for: name a picture, or give --va")
    if target is not None and len(inputs) + len(missing) > 1:
        raise click.UsageError("--generate writes one file: give one picture, or one --va")
    if not 1 <= seconds <= 30:
        raise click.BadParameter(f"{seconds:g}: must be 1 to 30", param_hint="--seconds")
    reporter = Reporter(0 if quiet else 2 if verbose else 1)

    from mmvatool.prompts import templates

    chosen = templates.load(candidates)
    results: list[Prompted] = []
    music: Generated | None = None
    failures: list[tuple[str, str]] = []

    def failed(error: Exception, *inputs: Path | tuple[float, float]) -> None:
        """Tell of an error once, note it for each input, and go on."""
        if debug:
            traceback.print_exception(error)
        reporter.error(explain(error, inputs[0] if isinstance(inputs[0], Path) else None))
        failures.extend((_name(one), explain(error, one if isinstance(one, Path) else None)) for one in inputs)

    for absent in missing:
        failed(absent, absent.path)
    prompter = None
    if inputs:
        try:
            if target is not None:
                from mmvatool.prompts.musicgen import check

                check(Path(target), seconds=seconds, musicgen=musicgen, overwrite=overwrite)
            prompter = _prompter(load, chosen, bool(paths), reporter)
        except Exception as error:
            failed(error, *inputs)
    if prompter is not None:
        for one in inputs:
            try:
                found = prompter.prompt(one, top=top, seed=seed)
            except Exception as error:  # whatever it is, the other pictures go on
                failed(error, one)
                continue
            results.append(found)
            _tell(found, _name(one), reporter, words=not as_json)
            if target is not None:
                settings = {"seconds": seconds, "musicgen": musicgen, "device": load.device, "seed": seed or 0, "overwrite": overwrite}
                try:
                    music = _compose(found, Path(target), reporter, **settings)
                except Exception as error:
                    failed(error, one)
        for note in prompter.warnings:
            reporter.say(note)
    if as_json:
        entries = [found.to_json() | ({"generated": music.to_json()} if music else {}) for found in results]
        click.echo(json.dumps({"results": entries, "failures": [{"input": name, "error": text} for name, text in failures]}, indent=2))
    if not failures:
        return 0
    return EXIT_PARTLY if results else EXIT_FAILED


def _prompter(load: Load, chosen: "Prompts", with_pictures: bool, reporter: Reporter) -> "Prompter":
    from mmvatool.pipelines.prompt import Prompter

    return Prompter(load(("image", "text") if with_pictures else ("text",)), chosen, progress=_shown(reporter))


def _shown(reporter: Reporter) -> "Progress":
    """Each stage with a bar of its own, so that none is drawn while prompts are printed."""

    @contextmanager
    def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
        if name == "prompts":
            reporter.say(f"scoring {total:,} prompts, once for this model and these candidates")
        with reporter.progress() as bars, bars(name, total) as done:
            yield done

    return stage


def _compose(found: "Prompted", target: Path, reporter: Reporter, **settings: Any) -> "Generated":
    from mmvatool.prompts.musicgen import generate

    music = generate(found.prompts[0].prompt, target, progress=_shown(reporter), **settings)
    reporter.say(f"{target}: {music.seconds:.1f} s by {music.musicgen}; MusicGen's weights are {music.licence}: not for commercial use")
    return music


def _tell(found: "Prompted", name: str, reporter: Reporter, *, words: bool) -> None:
    nearest = found.prompts[0]
    score = "" if nearest.score is None else f", score {nearest.score:.3f}"
    reporter.say(
        f"{name}: valence {found.valence:.3f}, arousal {found.arousal:.3f}; nearest prompt at distance {nearest.distance:.4f}{score}"
    )
    for prompt in found.prompts if words else ():
        click.echo(printable(prompt.prompt))


def _name(one: Path | tuple[float, float]) -> str:
    return str(one) if isinstance(one, Path) else f"{one[0]:g},{one[1]:g}"
