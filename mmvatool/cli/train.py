"""`mmvatool train`: the trainer's own command, so that `python -m trainer` under torchrun takes the same options."""

from trainer import train_command as train

__all__ = ["train"]
