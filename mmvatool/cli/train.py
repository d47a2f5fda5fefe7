"""`mmvatool train`: the trainer's command, which `python -m trainer` runs under torchrun with the same options."""

from pathlib import Path
from typing import Any

from mmvatool.cli.console import Step, then_suggest
from trainer import train_command as train

__all__ = ["train"]


def next_steps(given: dict[str, Any]) -> list[Step]:
    """What can be done with the checkpoint of a run, by the command's parameters."""
    best = Path(given["resume"] or given["out"]) / "best.safetensors"
    if not best.exists():  # as of a pretraining
        return []
    data = given["data"] or "DATA"
    return [
        ("how good it is", ["mmvatool", "evaluate", "va", best, "--data", data]),
        ("use it", ["mmvatool", "summarize", "vlog.mp4", "--model", best]),
    ]


then_suggest(train, next_steps)
