"""Several inputs at once on this machine: worker processes, each with the model loaded once."""

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

TRIES = 2  # of a job whose process dies
END_S = 10.0  # that a worker has to remove its temporary files before it is killed


def in_workers(jobs: list[Job], work: Task[Any], *, count: int) -> Generator[tuple[int, Outcome[Any]], None, None]:
    """Do jobs in `count` processes. A process that dies costs its own job a try, and no other anything.

    They share the cores: each has as many threads as cores divided by processes, unless OMP_NUM_THREADS says otherwise. However this
    ends, no process is left, nor anything half-written.
    """
    packed = pickle.dumps(work)
    waiting = deque(Attempt(place, job, 1, secrets.token_hex(4)) for place, job in enumerate(jobs))
    threads = max(1, _cores() // count)
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Attempt]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                worker, job = idle.pop() if idle else _Worker(packed, threads), waiting.popleft()
                busy[worker.pipe] = worker, job
                worker.begin(job)
            for pipe in wait(list(busy)):
                worker, job = busy[pipe]  # type: ignore[index]  # only connections were waited for
                done = worker.done()
                del busy[worker.pipe]
                if done is not None:
                    idle.append(worker)
                    yield job.place, done
                    continue
                died = worker.end(0)
                job.remove_temp_files()
                if job.number < TRIES:
                    waiting.appendleft(Attempt(job.place, job.job, job.number + 1, job.mark))
                else:
                    yield job.place, Outcome(Failed(f"{job.job.input}: the process at work on it {died}, {TRIES} times: try fewer --jobs"))
    finally:
        for worker in idle:
            worker.pipe.close()  # its cue to leave
        for worker, _ in busy.values():
            worker.process.terminate()
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.end(END_S)
        for _, job in busy.values():
            job.remove_temp_files()


class _Worker:
    """A process that does one job after the other."""

    def __init__(self, packed: bytes, threads: int) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, packed, threads), daemon=True)
        # A Ctrl-C is for the parent, which ends the workers: until they can say so themselves it is held back.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
        try:
            self.process.start()
        finally:
            theirs.close()  # so that the pipe ends with the process
            if held is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def begin(self, job: Attempt) -> None:
        """Give it a job."""
        with suppress(OSError):  # it has died: `done` will say so
            self.pipe.send(job)

    def done(self) -> Outcome[Any] | None:
        """What became of its job; None: it has died."""
        try:
            done: Outcome[Any] = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return done

    def end(self, grace_s: float) -> str:
        """See it end, killing it if need be, and say how it did."""
        self.pipe.close()
        self.process.join(grace_s or 1.0)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"was killed by {signal.Signals(-code).name} (out of memory?)" if code < 0 else f"ended with exit code {code}"


def _serve(pipe: Connection, packed: bytes, threads: int) -> None:
    """What a worker does; the model's libraries are imported here, after the number of threads is set."""
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    work: Task[Any] = pickle.loads(packed)
    with suppress(EOFError, OSError):  # the parent has no more jobs, or is gone
        while True:
            job: Attempt = pipe.recv()
            pipe.send(job.do(work))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
