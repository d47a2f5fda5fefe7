"""The processes of a training run: one, or those that torchrun started."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Processes:
    """The rank of this process among the processes of a training run.

    Attributes:
        rank: from 0.
        count: number of processes.
        local_rank: rank on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This process's rows of a batch of `length`; shares differ by at most one row."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            distributed.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of ranks."""
        values: list[Any] = [value]
        if self.count > 1:
            values = [None] * self.count
            distributed.all_gather_object(values, value)
        return values

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the tensors of all processes."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor


def start(device: torch.device) -> tuple[Processes, torch.device]:
    """Join the process group if torchrun started this process.

    Args:
        device: of the run; on CUDA each process uses the GPU of its local rank.

    Returns:
        The processes and the device of this one.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(), device
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        device = torch.device("cuda", processes.local_rank)
        torch.cuda.set_device(device)
    # Hours, as the others wait while the first process evaluates or the slowest reads files.
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    return processes, device


def stop(processes: Processes) -> None:
    """Leave the process group."""
    if processes.count > 1:
        distributed.destroy_process_group()
