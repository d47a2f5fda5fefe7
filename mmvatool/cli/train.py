"""`mmvatool train`: the trainer's command, which `python -m trainer` runs under torchrun with the same options."""

from trainer import train_command as train

__all__ = ["train"]
