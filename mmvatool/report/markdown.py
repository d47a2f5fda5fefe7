"""The little Markdown that model cards are written in, as HTML: headings, tables, lists, paragraphs, `code`. Pure.

Everything is escaped first, and there are no links and no pictures: nothing that is read here can run or be fetched.
"""

import html
import re
from collections.abc import Iterator

_TOP = 3  # the level of the page's own headings above a card


def to_html(source: str) -> str:
    """HTML of a text, which may hold anything; the headings of a card are of level 3 and below."""
    return "".join(_blocks([line.rstrip() for line in source.splitlines()]))


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if heading := re.match(r"(#{1,6}) (.*)", line):
            level = min(6, _TOP - 1 + max(1, len(heading[1]) - 1)) if len(heading[1]) > 1 else _TOP
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
        elif kind := _kind(line):
            while end < len(lines) and (_kind(lines[end]) == kind or (kind == "list" and lines[end].startswith("  "))):
                end += 1
            yield _table(lines[at:end]) if kind == "table" else _list(lines[at:end])
        elif line and not line.startswith("!["):
            while end < len(lines) and lines[end] and not _kind(lines[end]) and not lines[end].startswith(("#", "![")):
                end += 1
            yield f"<p>{_inline(' '.join(lines[at:end]))}</p>"
        at = end


def _kind(line: str) -> str | None:
    return "table" if line.startswith("|") else "list" if line.startswith("- ") else None


def _table(lines: list[str]) -> str:
    rows = [[_inline(cell.strip()) for cell in line.strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
    drawn = "".join(
        "<tr>" + "".join(f"<th scope='col'>{cell}</th>" if not number else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for number, row in enumerate(rows)
    )
    return f"<div class='wide' tabindex='0' role='region' aria-label='Table'><table>{drawn}</table></div>"


def _list(lines: list[str]) -> str:
    entries: list[str] = []
    for line in lines:
        if line.startswith("- ") or not entries:
            entries.append(line.removeprefix("- "))
        else:
            entries[-1] += f" {line.strip()}"
    return f"<ul>{''.join(f'<li>{_inline(entry)}</li>' for entry in entries)}</ul>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text.encode(errors="backslashreplace").decode()))
