"""Jobs in worker processes on this machine, each of which loads the model once."""

import os
import pickle
import secrets
import signal
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from mmvatool.cli import terminated
from mmvatool.cli.inputs import Job
from mmvatool.cli.jobs.work import Attempt, Failed, Outcome, Task
from trainer import usable_cpus

MAX_TRIES = 2  # of a job whose process dies
GRACE_S = 10.0  # that a worker has to remove its temporary files before it is killed


def run_in_workers(jobs: list[Job], task: Task[Any], *, count: int) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Run jobs in `count` processes. A process that dies costs its own job a try and does not affect the others.

    The processes share the cores: each has as many threads as there are cores per process, unless OMP_NUM_THREADS is set. However this
    ends, no process and no temporary file is left.

    Args:
        jobs: one for each input.
        task: to run on each of them.
        count: of processes.

    Yields:
        The index and the outcome of each job, as it ends.
    """
    pickled = pickle.dumps(task)
    threads = max(1, usable_cpus() // count)
    waiting = deque(Attempt(index, job, 1, secrets.token_hex(4)) for index, job in enumerate(jobs))
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Attempt]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                worker, attempt = idle.pop() if idle else _Worker(pickled, threads), waiting.popleft()
                busy[worker.pipe] = worker, attempt
                worker.start(attempt)
            for pipe in wait(list(busy)):
                worker, attempt = busy[pipe]  # type: ignore[index]  # `wait` was given connections only
                outcome = worker.receive()
                del busy[worker.pipe]
                if outcome is not None:
                    idle.append(worker)
                    yield attempt.index, outcome
                    continue
                death = worker.join(0)
                attempt.remove_temp_files()
                if attempt.number < MAX_TRIES:
                    waiting.appendleft(attempt.next())
                else:
                    text = f"{attempt.job.input}: the process at work on it {death}, {MAX_TRIES} times: try fewer --jobs"
                    yield attempt.index, Outcome(Failed(text))
    finally:
        _stop(idle, list(busy.values()))


def _stop(idle: "list[_Worker]", busy: "list[tuple[_Worker, Attempt]]") -> None:
    """End all workers, and remove what those at work leave behind."""
    for worker in idle:
        worker.pipe.close()  # makes it return
    for worker, _ in busy:
        worker.process.terminate()
    for worker in (*idle, *(worker for worker, _ in busy)):
        worker.join(GRACE_S)
    for _, attempt in busy:
        attempt.remove_temp_files()


class _Worker:
    """A process that runs one job after the other."""

    def __init__(self, pickled: bytes, threads: int) -> None:
        context = get_context("spawn")
        self.pipe, child_pipe = context.Pipe()
        self.process = context.Process(target=_serve, args=(child_pipe, pickled, threads), daemon=True)
        # Ctrl-C is handled by the parent, which ends the workers: it is blocked until the child ignores it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
        try:
            self.process.start()
        finally:
            child_pipe.close()  # so that the pipe ends with the process
            if mask is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def start(self, attempt: Attempt) -> None:
        """Send it a job."""
        with suppress(OSError):  # it has died: `receive` returns None
            self.pipe.send(attempt)

    def receive(self) -> Outcome[Any] | None:
        """The outcome of its job; None if it has died."""
        try:
            outcome: Outcome[Any] = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def join(self, grace_s: float) -> str:
        """Wait for its end, kill it if need be, and return how it ended."""
        self.pipe.close()
        self.process.join(grace_s or 1.0)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"was killed by {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"ended with exit code {code}"


def _serve(pipe: Connection, pickled: bytes, threads: int) -> None:
    """Run jobs in a worker. The model's libraries are imported here, after the number of threads is set."""
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    task: Task[Any] = pickle.loads(pickled)
    with suppress(EOFError, OSError):  # the parent has no more jobs, or has died
        while True:
            attempt: Attempt = pipe.recv()
            pipe.send(attempt.run(task))
