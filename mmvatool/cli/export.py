"""`mmvatool export`: the trainer's command."""

from trainer import export_command as export

__all__ = ["export"]
