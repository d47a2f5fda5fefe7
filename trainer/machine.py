"""What of the machine this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs that this process may use, at least 1.

    They are those that it may run on (`taskset`, `docker --cpuset-cpus`), and no more than its share of time (`docker --cpus`, `CPUQuota` of
    systemd), rounded up: more threads would wait for each other.

    Args:
        root: the folder of `proc` and `sys`.
    """
    return max(1, min([_allowed(), *(math.ceil(limit) for limit in _limits(root))]))


def _allowed() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits(root: Path) -> Iterator[float]:
    """Quotas of this process's control groups and of those around them, in CPUs; none where nothing is limited, or not on Linux."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # A container may see its own groups only, under a path of the machine's: then the groups around it are its own.
        inside = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        groups = ["/".join(inside[:depth]) for depth in range(len(inside) + 1)]
        if not controllers:  # version 2
            found = [_read(mount / group / "cpu.max") for group in groups]
        elif "cpu" in controllers.split(","):
            folders = [mount / name / group for name in {controllers, "cpu"} for group in groups]
            found = [f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}" for folder in folders]
        else:
            continue
        for text in found:
            numbers = text.split()
            if len(numbers) == 2 and all(number.isdecimal() for number in numbers) and int(numbers[1]) > 0:  # not "max" or -1
                yield int(numbers[0]) / int(numbers[1])


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
