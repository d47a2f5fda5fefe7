"""Options and value types that several commands share."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cache, partial, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmvatool.choices import DEVICES, INTERLACED, MATCHES, SAMPLINGS
from mmvatool.timeline import Segment

if TYPE_CHECKING:
    from mmvatool.analysis.score import Towers
    from trainer import Predictor

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_time(text: str) -> float:
    """Seconds of "90", "1.5s", "1m30s", "1:30" or "1:02:03.5".

    Raises:
        ValueError: anything else.
    """
    text = text.strip()
    if re.fullmatch(r"\d+(:[0-5]?\d){0,2}(\.\d+)?", text) or re.fullmatch(r"\d*\.\d+", text):
        seconds = 0.0
        for part in text.split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a time: write 90, 1.5s, 1m30s or 1:30")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


class Time(click.ParamType):
    """A length or point of time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeRange(click.ParamType):
    """START-END."""

    name = "start-end"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Segment:
        """Text to a segment."""
        if isinstance(value, Segment):
            return value
        try:
            start, end = value.split("-")
            return Segment(parse_time(start), parse_time(end))
        except ValueError:
            self.fail(f"{value!r} is not a range of time: write 1:20-1:35, the end after the start", param, ctx)


class VA(click.ParamType):
    """VALENCE,AROUSAL."""

    name = "valence,arousal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Text to two numbers in [0, 1]."""
        if isinstance(value, tuple):
            return value
        try:
            valence, arousal = map(float, value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a valence and an arousal: write 0.3,0.8", param, ctx)
        if not (0 <= valence <= 1 and 0 <= arousal <= 1):
            self.fail(f"{value!r}: valence and arousal lie between 0 and 1", param, ctx)
        return valence, arousal


class Size(click.ParamType):
    """WIDTHxHEIGHT."""

    name = "widthxheight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text to two numbers of pixels."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", value.strip())
        if not match:
            self.fail(f"{value!r} is not a size: write 1920x1080", param, ctx)
        return int(match[1]), int(match[2])


class Rate(click.ParamType):
    """Frames a second, exact."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Text to a fraction: 30, 30000/1001, or 29.97, which stands for that."""
        if isinstance(value, Fraction):
            return value
        try:
            rate = Fraction(value.strip())
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a frame rate: write 30 or 30000/1001", param, ctx)
        if not 1 <= rate <= 240:
            self.fail(f"{value!r}: between 1 and 240 frames a second", param, ctx)
        ntsc = Fraction(round(rate) * 1000, 1001)
        return ntsc if rate != ntsc and abs(rate - ntsc) < Fraction(1, 200) else rate


class SignalChoice(click.Choice):
    """What arousal is taken of, where "music" (the name of the model's tower) is accepted for "audio"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text to one of the choices."""
        choice: str = super().convert("audio" if value == "music" else value, param, ctx)
        return choice


def settings_options(settings: str, *options: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that make the settings of a command, which is given them as `make_settings`: a function, so that the command decides when its errors are raised.

    Args:
        settings: "module:Class". It is imported when the settings are made: `--help` must not wait for numpy.
        options: each named as the field that it sets: `click.option("--duration", "duration_s")`. A field keeps its default where
            an option without one is not given.
    """
    module, _, name = settings.partition(":")

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_settings(*args: Any, **given: Any) -> Any:
            values = {field: given.pop(field) for field in names}
            stated = {field: value for field, value in values.items() if value is not None}
            return command(*args, **given, make_settings=partial(_make_settings, module, name, stated))

        decorated: Any = with_settings
        before = len(getattr(decorated, "__click_params__", ()))
        for option in reversed(options):
            decorated = option(decorated)
        names = [param.name for param in decorated.__click_params__[before:]]
        return decorated

    return decorate


def _make_settings(module: str, name: str, stated: dict[str, Any]) -> Any:
    return getattr(import_module(module), name)(**stated)


def exclusive(one: str, two: str, problem: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refuse two options given together.

    Args:
        one, two: names of their parameters.
        problem: the message of the usage error.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def checked(*args: Any, **given: Any) -> Any:
            if not any(given[name] is None or given[name] is False for name in (one, two)):
                raise click.UsageError(problem)
            return command(*args, **given)

        return checked

    return decorate


def existing_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--overwrite, --skip-existing: what to do where an output exists.

    Args:
        what: what --skip-existing leaves out, for its help.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        skip = click.option("--skip-existing", is_flag=True, help=f"Leave out {what}.")
        overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.  [default: an error]")
        problem = "--overwrite and --skip-existing contradict each other: give one"
        decorated: Callable[..., Any] = overwrite(skip(exclusive("overwrite", "skip_existing", problem)(command)))
        return decorated

    return decorate


index_option = click.option(
    "--index",
    "index_file",
    type=click.Path(),
    metavar="FILE",
    help="The index of all libraries: what was predicted for their tracks.  [default: library.sqlite3 in the user's cache folder]",
)
match_option = click.option(
    "--match",
    type=click.Choice(MATCHES),
    default="absolute",
    help="What is compared: valence and arousal as predicted (absolute), or ranks within the library (library), so that music of one genre "
    "has its happiest and its saddest track, too. Distances and scores are printed as predicted.",
)
cache_option = click.option(
    "--cache/--no-cache",
    default=True,
    help="Keep what is predicted for a video in the user's cache folder, so that another run on it, with another --ratio for example, "
    "renders at once.",
)
sampling_option = click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="auto",
    help="Which frame of a video stands for each 2 seconds (or --every): the one in the middle (exact), which means to decode nearly "
    "all of it; a keyframe, where one lies in them, else the one in the middle (auto); or keyframes alone, the nearest where none lies in "
    "them. Keyframes are quicker to decode.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "bf16"]),
    default="float32",
    help="Arithmetic of the model. bf16 is faster on a GPU; its rounding can change what is chosen.",
)
model_option = click.option(
    "--model",
    type=click.Path(),
    metavar="NAME|FILE",
    default="compact",
    help="compact (bundled), or the path of a .safetensors checkpoint.",
)


@dataclass(frozen=True)
class Load:
    """How predictions are made, as the options of `model_options` say. Calling it loads the model."""

    model: str
    device: str
    precision: str
    batch_size: int
    compiled: bool
    threads: int | None
    quiet: bool

    def __call__(self, modalities: Collection[str] | None = None) -> "Predictor":
        """The model with some of its towers, or with all; errors as of `Predictor.load`. Warnings are printed on stderr, each once."""
        from trainer import Predictor

        options = {name: getattr(self, name) for name in ("device", "precision", "batch_size", "compiled", "threads")}
        return Predictor.load(self.model, modalities=modalities, on_warning=self._warn, **options)

    def shared(self, count: int) -> "Load":
        """How each of `count` processes at once loads the model: they share the threads."""
        return replace(self, threads=self.threads and max(1, self.threads // count))

    def _warn(self, warning: str) -> None:
        if not self.quiet:
            _print_once(warning)

    def towers(self) -> "Towers":
        """A predictor for each tower, loaded when first asked for; errors as of `Towers.named`."""
        from mmvatool.analysis.score import Towers

        return Towers.named(self.model, self.device, lambda modality: self((modality,)))


@cache
def _print_once(warning: str) -> None:
    from mmvatool.text import printable

    click.echo(printable(warning), err=True)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--model, --device, --threads, --batch-size, --precision, --compile: how predictions are made, which the command is given as `load`."""

    @wraps(command)
    def loading(*args: Any, **given: Any) -> Any:
        options = {field.name: given.pop(field.name) for field in fields(Load) if field.name != "quiet"}
        load = Load(**options, quiet=given["quiet"])
        return command(*args, **given, load=load)

    for option in (
        click.option(
            "--compile",
            "compiled",
            is_flag=True,
            help="Compile the model's backbones with torch.compile first, which takes up to some minutes: for many hours of video.",
        ),
        precision_option,
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            default=32,
            help="Frames, windows of sound or texts scored at once.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            metavar="N",
            help="Threads of the model on a CPU, which --jobs share.  [default: as many as this process has processors]",
        ),
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            default="auto",
            help="Where the model runs; auto takes a GPU if there is one and enough to do.",
        ),
        model_option,
    ):
        loading = option(loading)
    return loading


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json, --quiet, -v, --debug: what is printed."""
    for option in (
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("-v", "--verbose", is_flag=True, help="Also print warnings."),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only (and data asked for with --json or --dry-run)."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    ):
        command = option(command)
    return command


# What becomes of a picture that is encoded.
PICTURE_OPTIONS = (
    click.option(
        "--interlaced",
        type=click.Choice(INTERLACED),
        default="deinterlace",
        help="Of an interlaced video that is encoded: make whole frames of its fields, or keep them as fields (H.264).",
    ),
    click.option(
        "--to-sdr", is_flag=True, help="Tone-map HDR to SDR in H.264.  [default: HDR stays HDR, as HEVC of 10 bits; WebM is always SDR]"
    ),
)


def picture_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--interlaced, --to-sdr."""
    for option in reversed(PICTURE_OPTIONS):
        command = option(command)
    return command


export_option = click.option(
    "--export",
    "exports",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Also write a timeline for editors: .otio (OpenTimelineIO), .edl (CMX 3600) or .fcpxml (Final Cut Pro). Of one input; repeatable. "
    "Needs pip install 'mmvatool[export]'.",
)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--plan, --export: the plan, for `render` and for editors."""
    return click.option(
        "--plan",
        type=click.Path(),
        metavar="FILE|FOLDER",
        help="Also write what is rendered, as JSON that can be changed by hand and given to `mmvatool render`; with --dry-run nothing "
        "else. A folder if it ends in / or exists as one, and it must be one for several inputs.",
    )(export_option(command))
