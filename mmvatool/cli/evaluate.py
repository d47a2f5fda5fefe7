"""`mmvatool evaluate`: the trainer's commands, and `tvsum`, which needs the application."""

from mmvatool.cli.tvsum import tvsum
from trainer import evaluate_command as evaluate

evaluate.add_command(tvsum)

__all__ = ["evaluate"]
