"""--jobs and --engine: where several inputs are processed, and how many at once."""

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
            help="Where inputs are processed: on this machine, or on the Ray cluster that RAY_ADDRESS names (one on this machine without it), "
            "whose machines must see the same files under the same names. ray needs pip install 'mmvatool[ray]'.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Inputs processed at once. They share this machine's cores, and each needs memory of its own for the model.  [default: 1; with "
            "--engine ray, as many as the cluster takes]",
        ),
    ):
        command = option(command)
    return command


def pick_engine(name: str, jobs: int | None, inputs: int, device: str) -> Engine | None:
    """The engine that runs the jobs; None for this process, one job after the other.

    Args:
        name: "local" or "ray".
        jobs: the most at once; None for the engine's own number.
        inputs: their number.
        device: where the model runs.

    Raises:
        SettingsError: Ray is not installed.
    """
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise SettingsError('--engine ray needs Ray: pip install "mmvatool[ray]"')

        from mmvatool.cli.jobs.ray import run_on_ray

        return partial(run_on_ray, count=jobs, device=device)
    count = min(jobs or 1, inputs)
    if count < 2:
        return None

    from mmvatool.cli.jobs.workers import run_in_workers

    return partial(run_in_workers, count=count)
