"""`mmvatool evaluate`: the trainer's own commands, and TVSum's, which needs the application."""

from mmvatool.cli.tvsum import tvsum
from trainer import evaluate_command as evaluate

evaluate.add_command(tvsum)

__all__ = ["evaluate"]
