"""`mmvatool dataset`: the trainer's command."""

from trainer import dataset_command as dataset

__all__ = ["dataset"]
