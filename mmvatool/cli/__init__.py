"""The command line: parse, call one function, print. Commands are imported only when they are called.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some of several inputs failed, 130 interrupted.
"""

import logging
import os
import signal
import sys
import traceback
from importlib import import_module
from types import FrameType

import click

from mmvatool import __version__
from mmvatool.errors import MmvatoolError, SettingsError

# Of the commands, by use; each lives in a module of its name.
SECTIONS = {
    "Commands (mmvatool COMMAND --help: what it can do)": {
        "summarize": "Cut a video down to its most exciting moments.",
        "soundtrack": "Put music that fits under pictures or a video.",
        "score": "Predict valence and arousal of pictures, sounds, videos and words.",
        "search": "Find music that feels like words, a picture, a song or a video.",
        "prompt": "Write prompts for a music generator from pictures.",
        "library": "Analyze a folder of music ahead, list its tracks, forget them.",
        "render": "Render a plan that summarize or soundtrack wrote with --plan.",
    },
    "For researchers, and for your shell": {
        "train": "Train a model of your own.",
        "export": "Write a model as ONNX, for other programs.",
        "evaluate": "Measure how good a model is.",
        "dataset": "Build data sets to train on.",
        "completion": "Complete commands, options and file names with the Tab key.",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}
EXIT_FAILED, EXIT_USAGE, EXIT_PARTLY, EXIT_INTERRUPTED = 1, 2, 3, 130
# Of errors raised on purpose; the nearest class counts.
EXIT_CODES: dict[type, int] = {MmvatoolError: EXIT_FAILED, SettingsError: EXIT_USAGE}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, under the command's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, by use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command when it is called."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"mmvatool.cli.{cmd_name}"), cmd_name)
        command.short_help = COMMANDS[cmd_name]
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none of that name, say what was probably meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from mmvatool.cli.guess import guess

            raise click.UsageError(guess(args, COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in place of the options, which the usage line names: all fits on a screen of 24 lines."""
        width = max(map(len, COMMANDS))
        formatter.write_paragraph()
        for title, section in SECTIONS.items():
            formatter.write_heading(title)
            for name, text in section.items():
                formatter.write(f"  {name:<{width}}  {text}\n")
        formatter.write("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some inputs failed, 130 stopped\n")


@click.group(
    cls=LazyGroup,
    options_metavar="[-h|--help] [--version]",
    subcommand_metavar="COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.version_option(__version__, prog_name="mmvatool")
def cli() -> None:
    """\b
    Cut videos down to their best moments and find music that fits them, by
    predicted valence (how pleasant) and arousal (how exciting). To begin:
      mmvatool summarize vlog.mp4
      mmvatool soundtrack slideshow/ --library music/
      mmvatool search "a calm evening" --library music/
    """


def main() -> None:
    """The console script."""
    # OpenMP's threads wait for each other by spinning, some 300,000 rounds unless told otherwise before torch is loaded. Where something
    # else runs on the same cores, that made scoring 11 times slower (540 texts a second against 6,000); on idle ones nothing is lost.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # So do those of numpy's matrix products, which are small: a track took 10 seconds instead of one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Its only warning says, at the first plot on a slow machine, that it makes a list of the fonts.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup's choice is kept
            signal.signal(number, terminated)
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line and turn whatever it raises into one line on stderr and an exit code."""
    try:
        result = cli.main(list(args), prog_name="mmvatool", standalone_mode=False, obj=args)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except MmvatoolError as error:
        return _fail(error, exit_code(error), args)
    except click.ClickException as error:
        (_with_example(error) if isinstance(error, click.MissingParameter) else error).show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: nothing half-written is left.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # a bug, or a machine in trouble
        return _fail(error, EXIT_FAILED, args)


def exit_code(error: MmvatoolError) -> int:
    """The exit code of an error that was raised on purpose, by EXIT_CODES."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def _with_example(error: click.MissingParameter) -> click.UsageError:
    """What is missing, and the first example of the command's help."""
    message, context = error.format_message(), error.ctx
    if context is None or "\n" in message:  # click has listed the choices
        return error
    lines = [line.strip() for line in (context.command.help or "").splitlines()]
    examples = [line for line in lines if line.startswith(f"{context.command_path} ")]
    return click.UsageError(f"{message} For example: {examples[0]}", context) if examples else error


def _fail(error: Exception, code: int, args: list[str]) -> int:
    from mmvatool.cli.console import explain
    from mmvatool.text import printable

    if "--debug" in args:
        traceback.print_exception(error)
    click.echo(f"Error: {printable(explain(error))}", err=True)
    return code


def terminated(number: int, frame: FrameType | None) -> None:
    """End by an exception at a signal, so that temporary files are removed."""
    raise SystemExit(128 + number)
