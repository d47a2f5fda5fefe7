"""Commands whose `--help` lists the options by what they are about."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

SHARED = {
    "If outputs exist": ("overwrite", "skip_existing"),
    "The model": ("model", "device", "threads", "batch_size", "precision", "compiled"),
    "Messages": ("as_json", "quiet", "verbose", "debug"),
}


class SectionedCommand(click.Command):
    """A command with headings above its options: those without a heading come first, then its own sections, then the shared ones.

    Args:
        sections: the parameters' names below each heading.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections = {**(sections or {}), **SHARED}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections that have an option."""
        heading_of = {name: heading for heading, names in self.sections.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Options", *self.sections)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                last = "--help" in param.opts
                rows[list(rows)[-1] if last else heading_of.get(param.name or "", "Options")].append(record)
        widest = max(len(row[0]) for section in rows.values() for row in section)
        for heading, section in rows.items():
            if section:
                with formatter.section(heading):
                    # The column of the texts is the same in all sections.
                    formatter.write_dl([(f"{name:<{min(widest, 30)}}", text) for name, text in section])
