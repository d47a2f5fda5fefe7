"""The Markdown of model cards as HTML, by markdown-it-py: CommonMark with tables. Pure.

Raw HTML is escaped, and links and pictures are left out: nothing in a card can run or be fetched.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_TOP_LEVEL = 3  # of headings


def to_html(source: str) -> Markup:
    """The HTML of a text, which may hold anything. Headings are of level 3 and below."""
    return Markup(str(_parser().render(source.encode(errors="backslashreplace").decode())).replace("<p></p>\n", ""))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    fixed = {
        "image": "",
        "link_open": "",
        "link_close": "",
        "softbreak": " ",
        "table_open": "<div class='wide' tabindex='0' role='region' aria-label='Table'><table>",
        "table_close": "</table></div>",
        "th_open": "<th scope='col'>",
    }
    for token, text in fixed.items():
        parser.add_render_rule(token, lambda *_, text=text: text)
    for token in ("heading_open", "heading_close"):
        parser.add_render_rule(token, _heading)
    return parser


def _heading(renderer: Any, tokens: Sequence["Token"], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    level = min(6, _TOP_LEVEL - 1 + max(1, int(token.tag[1:]) - 1))
    return f"<{'/' if token.nesting < 0 else ''}h{level}>"
