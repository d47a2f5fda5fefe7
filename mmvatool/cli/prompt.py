"""`mmvatool prompt`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmvatool.cli import EXIT_FAILED, EXIT_PARTLY
from mmvatool.cli.console import Reporter, again, opener
from mmvatool.cli.failures import FailureLog
from mmvatool.cli.inputs import find_files
from mmvatool.cli.options import VA, Load, model_options, output_options
from mmvatool.cli.sections import SectionedCommand
from mmvatool.files import PICTURE_SUFFIXES
from mmvatool.text import printable

if TYPE_CHECKING:
    from mmvatool.pipelines.prompt import Prompted, Prompter
    from mmvatool.progress import Progress
    from mmvatool.prompts.musicgen import Generated
    from mmvatool.prompts.templates import Prompts

Input = Path | tuple[float, float]
"""A picture, or valence and arousal."""


@click.command(cls=SectionedCommand, sections={"Music by MusicGen": ("target", "seconds", "musicgen")})
@click.argument("pictures", nargs=-1, type=click.Path(), metavar="[PICTURE|FOLDER]...")
@click.option("--va", type=VA(), multiple=True, help="Valence and arousal in place of a picture, e.g. 0.3,0.8. Repeatable.")
@click.option("--top", type=click.IntRange(1), default=1, help="Number of prompts, the nearest first.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="For variety: draw among the prompts that are at most 0.01 further away in VA than the nearest, and seed MusicGen. The same seed "
    "gives the same result.  [default: the nearest prompt; MusicGen with seed 0]",
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
    help="Also generate music for the prompt with MusicGen, whose weights must be on this machine. Their licence is CC-BY-NC 4.0: not for "
    "commercial use.",
)
@click.option("--seconds", type=float, default=15.0, help="Length of the music, 1 to 30.")
@click.option(
    "--musicgen",
    metavar="NAME|FOLDER",
    default="facebook/musicgen-small",
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
    """Write prompts for a music generator that feel like pictures.

    \b
    Examples:
      mmvatool prompt photo.jpg
      mmvatool prompt holiday/ --top 3 --json
      mmvatool prompt photo.jpg --seed 7 --generate music.wav --seconds 15
      mmvatool prompt --va 0.3,0.8 --candidates my-words.toml

    Of all prompts that the templates and candidates make, the one nearest to the picture in predicted valence (how pleasant) and
    arousal (how exciting). Only prompts go to
    stdout, one a line. All prompts are scored once for a model, which takes some seconds; the scores are kept in the user's cache
    folder.
    """
    paths, missing, notes = find_files(
        pictures, "PICTURE|FOLDER", "picture", PICTURE_SUFFIXES, alone=len(pictures) + len(va) == 1, named=True
    )
    inputs: list[Input] = [*paths, *va]
    if not pictures and not va:
        raise click.UsageError("nothing to find words for: name a picture, or give --va")
    if target is not None and len(inputs) + len(missing) > 1:
        raise click.UsageError("--generate writes one file: give one picture, or one --va")
    if not 1 <= seconds <= 30:
        raise click.BadParameter(f"{seconds:g}: must be 1 to 30", param_hint="--seconds")
    reporter = Reporter.of(quiet=quiet, verbose=verbose, as_json=as_json)
    for note in notes:
        reporter.say(note)

    from mmvatool.prompts import templates

    prompts = templates.load(candidates)
    failures = FailureLog(reporter, debug=debug)
    for absent in missing:
        failures.add(absent, absent.path)
    composer = None if target is None else _Composer(Path(target), seconds, musicgen, load.device, seed or 0, overwrite, reporter)
    results: list[Prompted] = []
    music: Generated | None = None
    prompter = _load_prompter(inputs, load, prompts, composer, failures, reporter) if inputs else None
    if prompter is not None:
        for given in inputs:
            try:
                result = prompter.prompt(given, top=top, seed=seed)
            except Exception as error:  # the other pictures go on, whatever it is
                failures.add(error, _path_or_name(given))
                continue
            results.append(result)
            _print(result, _name(given), reporter, prompts=not as_json)
            if composer is not None:
                try:
                    music = composer.compose(result.prompts[0].prompt)
                except Exception as error:
                    failures.add(error, _path_or_name(given))
        for warning in prompter.warnings:
            reporter.say(warning)
    if as_json:
        entries = [result.to_json() | ({"generated": music.to_json()} if music else {}) for result in results]
        click.echo(json.dumps({"results": entries, "failures": failures.to_json()}, indent=2))
    if music is not None and target is not None:
        reporter.suggest(("listen to it", opener(target)))
    elif len(results) == 1 and top == 1:
        reporter.suggest(("more to choose from", again("--top=5")))
    if not failures.entries:
        return 0
    return EXIT_PARTLY if results else EXIT_FAILED


@dataclass(frozen=True)
class _Composer:
    """Composes music with MusicGen, as --generate asks for it."""

    target: Path
    seconds: float
    musicgen: str
    device: str
    seed: int
    overwrite: bool
    reporter: Reporter

    def check(self) -> None:
        """Check the options before any work is done; errors as of `prompts.musicgen.check`."""
        from mmvatool.prompts.musicgen import check

        check(self.target, seconds=self.seconds, musicgen=self.musicgen, overwrite=self.overwrite)

    def compose(self, prompt: str) -> "Generated":
        """Write the music for a prompt; errors as of `prompts.musicgen.generate`."""
        from mmvatool.prompts.musicgen import generate

        music = generate(
            prompt,
            self.target,
            progress=_stage_progress(self.reporter),
            seconds=self.seconds,
            musicgen=self.musicgen,
            device=self.device,
            seed=self.seed,
            overwrite=self.overwrite,
        )
        self.reporter.say(
            f"{self.target}: {music.seconds:.1f} s by {music.musicgen}; MusicGen's weights are {music.licence}: not for commercial use"
        )
        return music


def _load_prompter(
    inputs: list[Input], load: Load, prompts: "Prompts", composer: _Composer | None, failures: FailureLog, reporter: Reporter
) -> "Prompter | None":
    """The model with the scores of all prompts; None where one of them is not to be had: then all inputs have failed."""
    try:
        if composer is not None:
            composer.check()

        from mmvatool.pipelines.prompt import Prompter

        modalities = ("image", "text") if any(isinstance(given, Path) for given in inputs) else ("text",)
        with reporter.busy("loading the model"):
            predictor = load(modalities)
        return Prompter(predictor, prompts, progress=_stage_progress(reporter))
    except Exception as error:
        failures.add(error, *map(_path_or_name, inputs))
        return None


def _stage_progress(reporter: Reporter) -> "Progress":
    """Progress with a bar for each stage alone: none is shown while prompts are printed."""

    @contextmanager
    def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
        if name == "prompts":
            reporter.say(f"scoring {total:,} prompts, once for this model and these candidates")
        with reporter.progress() as progress, progress(name, total) as on_progress:
            yield on_progress

    return stage


def _print(result: "Prompted", name: str, reporter: Reporter, *, prompts: bool) -> None:
    """Report the nearest prompt on stderr, and print all prompts on stdout if asked for."""
    nearest = result.prompts[0]
    score = "" if nearest.score is None else f", score {nearest.score:.3f}"
    reporter.say(
        f"{name}: valence {result.valence:.3f}, arousal {result.arousal:.3f}; nearest prompt at distance {nearest.distance:.4f}{score}"
    )
    for prompt in result.prompts if prompts else ():
        click.echo(printable(prompt.prompt))


def _name(given: Input) -> str:
    return str(given) if isinstance(given, Path) else f"{given[0]:g},{given[1]:g}"


def _path_or_name(given: Input) -> Path | str:
    return given if isinstance(given, Path) else _name(given)
