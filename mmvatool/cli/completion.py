"""`mmvatool completion`: the script that makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      mmvatool completion bash >> ~/.bashrc
      mmvatool completion fish > ~/.config/fish/completions/mmvatool.fish
    """
    from mmvatool.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(found(cli, {}, "mmvatool", "_MMVATOOL_COMPLETE").source())
