"""The command line: parse, call one function, print. Commands are imported only when they are called.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some of several inputs failed, 130 interrupted.
"""

import os
import signal
import sys
import traceback
from importlib import import_module
from types import FrameType

import click

from mmvatool import __version__
from mmvatool.errors import MmvatoolError, SettingsError

COMMANDS = {
    "completion": "mmvatool.cli.completion",
    "dataset": "mmvatool.cli.dataset",
    "evaluate": "mmvatool.cli.evaluate",
    "library": "mmvatool.cli.library",
    "prompt": "mmvatool.cli.prompt",
    "render": "mmvatool.cli.render",
    "score": "mmvatool.cli.score",
    "search": "mmvatool.cli.search",
    "soundtrack": "mmvatool.cli.soundtrack",
    "summarize": "mmvatool.cli.summarize",
    "train": "mmvatool.cli.train",
}
EXIT_FAILED, EXIT_USAGE, EXIT_PARTLY, EXIT_INTERRUPTED = 1, 2, 3, 130
# Of errors raised on purpose; the nearest class counts.
EXIT_CODES: dict[type, int] = {MmvatoolError: EXIT_FAILED, SettingsError: EXIT_USAGE}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, under the command's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command when it is called."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their first lines."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in commands if command])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mmvatool")
def cli() -> None:
    """Predict valence and arousal of pictures, audio, text and videos, and cut videos by them.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some of several inputs failed, 130 interrupted. Data goes to stdout,
    everything else to stderr.
    """


def main() -> None:
    """The console script."""
    # OpenMP's threads wait for each other by spinning, some 300,000 rounds unless told otherwise before torch is loaded. Where something
    # else runs on the same cores, that made scoring 11 times slower (540 texts a second against 6,000); on idle ones nothing is lost.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup's choice is kept
            signal.signal(number, terminated)
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line and turn whatever it raises into one line on stderr and an exit code."""
    try:
        result = cli.main(args, prog_name="mmvatool", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except MmvatoolError as error:
        return _fail(error, exit_code(error), args)
    except click.ClickException as error:
        error.show()
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
