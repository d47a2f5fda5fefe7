"""Jobs on a Ray cluster: a Ray task for each."""

import functools
import logging
import os
import pickle
import secrets
import signal
import socket
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.work import Attempt, Failed, Outcome, Task
from mmvatool.errors import EngineError

MAX_TRIES = 3  # of a job whose worker dies
STORE_BYTES = 200 << 20  # of the object store of a cluster on this machine, which holds results only
GRACE_S = 10.0  # that tasks have to remove their temporary files


def run_on_ray(jobs: list[Job], task: Task[Any], *, count: int | None, device: str) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Run jobs as tasks of the cluster that this process is connected to, else of the one that RAY_ADDRESS names, else of one started here.

    Each Ray task gets a core and, where the model runs on GPUs, a GPU. Ray's own retries are off: a second try must know that it is one,
    so a job is submitted again from here when its worker or machine dies.

    Args:
        jobs: all machines see their files under the same names; relative names start at this process's folder.
        task: to run on each of them.
        count: of tasks at once at most; None for as many as the cluster takes.
        device: where the model runs: with "auto" on GPUs if the cluster has any.

    Yields:
        The index and the outcome of each job, as it ends.

    Raises:
        EngineError: the cluster cannot be reached or started, or has no GPU and one is asked for.
    """
    import ray

    started = not ray.is_initialized()
    if started:
        _connect()
    running: dict[Any, Attempt] = {}
    try:
        gpus = _gpus(ray.cluster_resources().get("GPU", 0), device)
        remote = ray.remote(_run).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        pickled, folder = ray.put(pickle.dumps(task)), Path.cwd()
        waiting = deque(Attempt(index, job, 1, secrets.token_hex(4)) for index, job in enumerate(jobs))
        while waiting or running:
            while waiting and (count is None or len(running) < count):
                attempt = waiting.popleft()
                running[remote.remote(pickled, attempt, folder)] = attempt
            (ended, *_), _ = ray.wait(list(running))
            attempt = running[ended]
            outcome = _outcome(ended, attempt)
            del running[ended]
            if outcome is None:
                waiting.appendleft(attempt.next())
            else:
                yield attempt.index, outcome
    finally:
        _cancel(running)
        if started:
            ray.shutdown()


def _outcome(ended: Any, attempt: Attempt) -> Outcome[Any] | None:
    """The outcome of a Ray task that has ended; None if its worker died and the job is tried again."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    name = attempt.job.input
    try:
        outcome: Outcome[Any] = ray.get(ended)
    except RayTaskError as error:
        return Outcome(Failed(f"{name}: the worker cannot do it ({error.cause}): install the same mmvatool there", str(error)))
    except RayError as error:
        attempt.remove_temp_files()
        if attempt.number < MAX_TRIES:
            return None
        cause = str(error).strip().partition("\n")[0]
        return Outcome(Failed(f"{name}: its worker died {MAX_TRIES} times ({cause}): give it more memory", str(error)))
    return outcome


def _cancel(running: dict[Any, Attempt]) -> None:
    """Cancel Ray tasks, and remove their temporary files."""
    import ray

    for unfinished in running:
        ray.cancel(unfinished)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)
    for attempt in running.values():
        attempt.remove_temp_files()


def _run(pickled: bytes, attempt: Attempt, folder: Path) -> Outcome[Any]:
    """Run a job in a Ray worker."""
    try:
        os.chdir(folder)
    except OSError as error:
        problem = f"{socket.gethostname()} does not see it ({error.strerror})"
        return Outcome(Failed(f"{attempt.job.input}: lies below {folder}, but {problem}: --engine ray needs files that all machines share"))
    return attempt.run(_unpickle(pickled))


@functools.lru_cache(maxsize=1)
def _unpickle(pickled: bytes) -> Task[Any]:
    """The task with its model, which stays loaded between jobs."""
    task: Task[Any] = pickle.loads(pickled)
    return task


def _connect() -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no statistics are sent
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it Ray warns that this will be its default
    address = os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {} if address else {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except (RuntimeError, OSError, ValueError) as error:  # a ConnectionError is an OSError
        problem = f"at {address} cannot be reached" if address else "cannot be started here"
        cause = str(error).strip().partition("\n")[0]
        raise EngineError(f"the Ray cluster {problem} ({cause}): check RAY_ADDRESS, or use --engine local") from error
    signal.signal(signal.SIGTERM, handler)  # Ray installs its own handler, which exits with another code


def _gpus(available: float, device: str) -> int:
    """GPUs for each task."""
    if device == "cuda" and not available:
        raise EngineError("the Ray cluster has no GPU: use --device auto or cpu")
    return int(device == "cuda" or (device == "auto" and available > 0))
