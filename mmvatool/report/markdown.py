"""The Markdown of model cards as HTML: headings, tables, lists, paragraphs, `code`. Pure.

Everything is escaped first, and links and pictures are left out: nothing in a card can run or be fetched.
"""

import html
import re
from collections.abc import Iterator

_TOP_LEVEL = 3  # of headings


def to_html(source: str) -> str:
    """The HTML of a text, which may hold anything. Headings are of level 3 and below."""
    return "".join(_blocks([line.rstrip() for line in source.splitlines()]))


def _blocks(lines: list[str]) -> Iterator[str]:
    start = 0
    while start < len(lines):
        line = lines[start]
        end = start + 1
        if heading := re.match(r"(#{1,6}) (.*)", line):
            level = min(6, _TOP_LEVEL - 1 + max(1, len(heading[1]) - 1)) if len(heading[1]) > 1 else _TOP_LEVEL
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
        elif kind := _kind(line):
            while end < len(lines) and (_kind(lines[end]) == kind or (kind == "list" and lines[end].startswith("  "))):
                end += 1
            yield _table(lines[start:end]) if kind == "table" else _list(lines[start:end])
        elif line and not line.startswith("!["):
            while end < len(lines) and lines[end] and not _kind(lines[end]) and not lines[end].startswith(("#", "![")):
                end += 1
            yield f"<p>{_inline(' '.join(lines[start:end]))}</p>"
        start = end


def _kind(line: str) -> str | None:
    return "table" if line.startswith("|") else "list" if line.startswith("- ") else None


def _table(lines: list[str]) -> str:
    rows = [[_inline(cell.strip()) for cell in line.strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
    body = "".join(
        "<tr>" + "".join(f"<th scope='col'>{cell}</th>" if number == 0 else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for number, row in enumerate(rows)
    )
    return f"<div class='wide' tabindex='0' role='region' aria-label='Table'><table>{body}</table></div>"


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
