"""The folder `templates`: Jinja templates of the page and of its drawings, and the page's style and script.

Whatever a template writes is made printable and escaped, except Markup: what is HTML already.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mmvatool.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).with_name("templates")


def render(template: str, /, **values: object) -> Markup:
    """What a template makes of these values; it is an error if it needs one that is not among them."""
    return Markup(environment().get_template(template).render(values))


@cache
def environment() -> "Environment":
    """All templates, with the rules that hold for each of them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(FOLDER)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True)


def _shown(value: Any) -> Any:
    """Any text on one line, see `printable`; autoescape does the rest."""
    return value if isinstance(value, Markup) else printable(str(value))
