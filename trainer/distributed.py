"""The processes that train together: one, or as many as torchrun started."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        local_rank: its number on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """Which rows of a batch of `length` are this process's; shares differ by at most one row."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, in the order of ranks."""
        values: list[Any] = [value]
        if self.count > 1:
            values = [None] * self.count
            distributed.all_gather_object(values, value)
        return values

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of everybody's tensor."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor


def start(device: torch.device) -> tuple[Processes, torch.device]:
    """Join the processes that torchrun started, if it did.

    Args:
        device: of the training; on CUDA each process takes the GPU of its local rank.

    Returns:
        This process's place and device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(), device
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        device = torch.device("cuda", processes.local_rank)
        torch.cuda.set_device(device)
    # Hours: the first process evaluates and the slowest reads files while the others wait.
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    return processes, device


def stop(processes: Processes) -> None:
    """Leave the others."""
    if processes.count > 1:
        distributed.destroy_process_group()
