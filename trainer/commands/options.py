"""Options that several of the trainer's commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer.constants import DEVICES

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
OUT_FILE = click.Path(dir_okay=False, path_type=Path)
OUT_FOLDER = click.Path(file_okay=False, path_type=Path)

images_option = click.option("--images", type=FOLDER, help="Where the pictures are, if not in DATA/images.")
music_option = click.option("--music", type=FOLDER, help="Where the clips are, if not in DATA/music.")
workers_option = click.option("--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="Threads that read files.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only (and data asked for with --json).")


def device_option(text: str = "Where to compute.") -> Callable[[Any], Any]:
    """--device, with a help text."""
    return click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=text)


def json_option(text: str = "Print one JSON document on stdout.") -> Callable[[Any], Any]:
    """--json, passed on as `as_json`, with a help text."""
    return click.option("--json", "as_json", is_flag=True, help=text)
