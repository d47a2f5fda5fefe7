"""--jobs and --engine: where several inputs are done, and how many at once."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from mmvatool.cli.jobs.work import Engine
from mmvatool.errors import SettingsError


def many_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--jobs, --engine."""
    for option in (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where: in processes on this machine, or on the Ray cluster that RAY_ADDRESS names (one on this machine without it), whose "
            "machines see the same files under the same names. ray needs pip install 'mmvatool[ray]'.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Inputs at once. They share this machine's cores, and each needs memory for itself and the model.  [default: 1; with "
            "--engine ray, as many as the cluster takes]",
        ),
    ):
        command = option(command)
    return command


def pick_engine(name: str, jobs: int | None, inputs: int, device: str) -> Engine | None:
    """What does several inputs; None: this process, one by one.

    Args:
        name: "local" or "ray".
        jobs: how many at once; None for the engine's own number.
        inputs: how many there are.
        device: where the model runs.

    Raises:
        SettingsError: Ray is not installed.
    """
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise SettingsError('--engine ray needs Ray: pip install "mmvatool[ray]"')

        from mmvatool.cli.jobs.ray import on_ray

        return partial(on_ray, count=jobs, device=device)
    count = min(jobs or 1, inputs)
    if count < 2:
        return None

    from mmvatool.cli.jobs.workers import in_workers

    return partial(in_workers, count=count)
