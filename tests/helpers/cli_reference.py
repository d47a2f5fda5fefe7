"""docs/cli.md from the commands themselves: what `--help` prints, at a fixed width.

python -m tests.helpers.cli_reference docs/cli.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mmvatool.cli import cli

WIDTH = 100
HEADER = """# The command line

Made from the commands themselves by `make docs`; a test fails when it is not what `--help` prints.
"""


def commands(command: click.Command = cli, context: click.Context | None = None) -> Iterator[tuple[click.Command, click.Context]]:
    """The group and every command below it, each with a context that prints at WIDTH."""
    name = "mmvatool" if context is None else command.name
    own = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH, **command.context_settings)
    yield command, own
    if isinstance(command, click.Group):
        for below in command.list_commands(own):
            found = command.get_command(own, below)
            assert found is not None, below
            yield from commands(found, own)


def reference() -> str:
    """The whole page."""
    parts = [HEADER]
    for command, context in commands():
        command._help_option = None  # click keeps the one of a command's first call, which may have been made without the group
        help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## {context.command_path}\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
