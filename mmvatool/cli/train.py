"""`mmvatool train`: the trainer's own command, so that `python -m trainer` under torchrun takes the same options."""

from trainer.__main__ import train

__all__ = ["train"]
