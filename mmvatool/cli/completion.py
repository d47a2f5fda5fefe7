"""`mmvatool completion`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and file names in a shell.

    \b
    Examples:
      mmvatool completion bash >> ~/.bashrc
      mmvatool completion fish > ~/.config/fish/completions/mmvatool.fish
    """
    from mmvatool.cli import cli

    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(shell_class(cli, {}, "mmvatool", "_MMVATOOL_COMPLETE").source())
