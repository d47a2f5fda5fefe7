"""Several inputs on a Ray cluster: a task for each."""

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

TRIES = 3  # of a job whose worker dies
STORE_BYTES = 200 << 20  # of a cluster on this machine: only results pass through it
END_S = 10.0  # that tasks have to remove their temporary files


def on_ray(jobs: list[Job], work: Task[Any], *, count: int | None, device: str) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Do jobs as tasks of the cluster that this process is connected to, or that RAY_ADDRESS names, or of one started here.

    Each task has a core and, where the model runs on GPUs, a GPU. Ray's own retries are off: it is here that a task is sent again when
    its worker or machine dies, since a second try must know that it is one.

    Args:
        jobs: their files lie where all machines see them under the same names; relative ones start at this process's folder.
        work: what is done.
        count: tasks at once at most; None for as many as the cluster takes.
        device: where the model runs: with "auto" on GPUs if the cluster has any.

    Raises:
        EngineError: the cluster cannot be reached or started, or has no GPU and one is asked for.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    started = not ray.is_initialized()
    if started:
        _connect()
    flying: dict[Any, Attempt] = {}
    try:
        gpus = _gpus(ray.cluster_resources().get("GPU", 0), device)
        task = ray.remote(_task).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        packed, folder = ray.put(pickle.dumps(work)), Path.cwd()
        waiting = deque(Attempt(place, job, 1, secrets.token_hex(4)) for place, job in enumerate(jobs))
        while waiting or flying:
            while waiting and (count is None or len(flying) < count):
                job = waiting.popleft()
                flying[task.remote(packed, job, folder)] = job
            (finished, *_), _ = ray.wait(list(flying))
            job = flying[finished]
            try:
                done: Outcome[Any] | None = ray.get(finished)
            except RayTaskError as error:
                done = Outcome(
                    Failed(f"{job.job.input}: the worker cannot do it ({error.cause}): install the same mmvatool there", str(error))
                )
            except RayError as error:
                job.remove_temp_files()
                done = None
                if job.number == TRIES:
                    what = str(error).strip().partition("\n")[0]
                    done = Outcome(Failed(f"{job.job.input}: its worker died {TRIES} times ({what}): give it more memory", str(error)))
                else:
                    waiting.appendleft(Attempt(job.place, job.job, job.number + 1, job.mark))
            del flying[finished]
            if done is not None:
                yield job.place, done
    finally:
        for unfinished in flying:
            ray.cancel(unfinished)
        if flying:
            ray.wait(list(flying), num_returns=len(flying), timeout=END_S)
        for job in flying.values():
            job.remove_temp_files()
        if started:
            ray.shutdown()


def _task(packed: bytes, job: Attempt, folder: Path) -> Outcome[Any]:
    """What a worker does."""
    try:
        os.chdir(folder)
    except OSError as error:
        where = f"{socket.gethostname()} does not see it ({error.strerror})"
        return Outcome(Failed(f"{job.job.input}: lies below {folder}, but {where}: --engine ray needs files that all machines share"))
    return job.do(_unpack(packed))


@functools.lru_cache(maxsize=1)
def _unpack(packed: bytes) -> Task[Any]:
    """The work with its model, which stays loaded from task to task."""
    work: Task[Any] = pickle.loads(packed)
    return work


def _connect() -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns that this will be its default
    address = os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {} if address else {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except (RuntimeError, OSError, ValueError) as error:  # a ConnectionError is an OSError
        where = f"at {address} cannot be reached" if address else "cannot be started here"
        what = str(error).strip().partition("\n")[0]
        raise EngineError(f"the Ray cluster {where} ({what}): check RAY_ADDRESS, or use --engine local") from error
    signal.signal(signal.SIGTERM, handler)  # Ray puts its own there, which ends with another exit code


def _gpus(there: float, device: str) -> int:
    """GPUs that a task needs."""
    if device == "cuda" and not there:
        raise EngineError("the Ray cluster has no GPU: use --device auto or cpu")
    return int(device == "cuda" or (device == "auto" and there > 0))
