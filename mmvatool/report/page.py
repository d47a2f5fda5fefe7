"""A report as one HTML page that needs nothing but itself: no network, and of other files only the videos beside it. Pure.

Every text goes through `svg.text`, which escapes it. The page forbids itself by its Content-Security-Policy to load anything and to run or
apply anything but the script and the style in it, which are named by their hashes.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mmvatool.report import markdown
from mmvatool.report.svg import clock, text

_STYLE, _SCRIPT = (Path(__file__).with_name(f"page.{suffix}") for suffix in ("css", "js"))


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """A shot, or a picture that is shown.

    `scores` are lines under its name. `kind` is "kept", "runner-up" or "left"; `badge` says why in a few words, if anything. [start_s, end_s) is where it lies on the curves, `at_s` where
    in the video at `url`; without one there is nothing to play.
    """

    name: str
    scores: Sequence[str]
    badge: str
    kind: str
    start_s: float
    end_s: float
    thumbnail: Thumbnail | None = None
    url: str | None = None
    at_s: float = 0.0


@dataclass(frozen=True)
class Group:
    """Cards under a heading, with a sentence that says what they have in common."""

    title: str
    about: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Figure:
    """A drawing with its heading and its legend: pairs of a kind, which the style colours, and its meaning."""

    title: str
    drawing: str
    legend: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a heading; the columns of `numbers` are set to the right, those of `names` are broken where they are long."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int]
    names: frozenset[int]


@dataclass(frozen=True)
class Page:
    """What a report says, in the order in which it says it.

    Args:
        what: kind of report, e.g. "Summary".
        name: of the input.
        facts: pairs of a name and a value, the most important.
        video: the result that lies beside the page.
        poster: what is seen of it before it plays.
        other: the source that lies beside it, whose shots can be played, too.
        curves: drawings over time, and a sentence about them.
        groups: of shots or pictures.
        tables: of what else there is.
        plane: the VA plane, and a sentence about it.
        settings: pairs of a name and a value.
        notes: what was done otherwise than usual.
        model: name of the model.
        card: what is said of the model, in Markdown; its part "Licence" is shown openly.
    """

    what: str
    name: str
    facts: Sequence[tuple[str, str]]
    video: Path
    poster: Thumbnail | None
    other: Path | None
    curves: tuple[str, Sequence[Figure]]
    groups: Sequence[Group]
    tables: Sequence[Table]
    plane: tuple[str, Figure]
    settings: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    model: str
    card: str


def url(path: Path) -> str:
    """The address of a file that lies beside the page, whatever its name holds."""
    return "./" + quote(os.fsencode(path.name))


def to_html(page: Page) -> str:
    """The whole document, to be written as UTF-8."""
    style, script = _STYLE.read_text("utf-8"), _SCRIPT.read_text("utf-8")
    policy = (
        "default-src 'none'; img-src data:; media-src 'self' file:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    sections = [
        ("curves", "Over time", f"<p>{text(page.curves[0])}</p>{''.join(map(_figure, page.curves[1]))}"),
        *((f"group-{number}", group.title, _group(group, number)) for number, group in enumerate(page.groups)),
        *((f"table-{number}", table.title, _table(table)) for number, table in enumerate(page.tables)),
        ("plane", "Valence and arousal", f"<p>{text(page.plane[0])}</p>{_figure(page.plane[1])}"),
        ("settings", "SummarySettings", _pairs(page.settings)),
        *([("notes", "Notes", f"<ul>{''.join(f'<li>{text(note)}</li>' for note in page.warnings)}</ul>")] if page.warnings else []),
        ("model", "Model and licence", _model(page.model, page.card)),
    ]
    facts = "".join(f"<li>{text(name)} <strong>{text(value)}</strong></li>" for name, value in page.facts)
    links = "".join(f'<li><a href="#{name}">{text(title)}</a></li>' for name, title, _ in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text(page.what)}: {text(page.name)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="what">{text(page.what)}</p>
<h1 dir="auto">{text(page.name)}</h1>
<ul class="facts">{facts}</ul>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main" tabindex="-1">
{_player(page)}
{"".join(_section(*section) for section in sections)}
</main>
<footer>Written by mmvatool. This page loads nothing from elsewhere.</footer>
<script>{script}</script>
</body>
</html>
"""


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-heading"><h2 id="{name}-heading">{text(title)}</h2>{content}</section>\n'


def _player(page: Page) -> str:
    other = "" if page.other is None else f' data-other="{text(page.other.name)}"'
    poster = "" if page.poster is None else f' poster="{_data(page.poster)}"'
    return (
        f'<figure class="player"><video controls playsinline preload="metadata" src="{url(page.video)}" data-name="{text(page.what)}"{other}{poster} '
        f'aria-label="{text(page.what)}"></video><figcaption><strong id="playing" dir="auto">{text(page.what)}</strong> '
        '<strong id="shot" dir="auto"></strong> <span>Choose one below to see it here.</span></figcaption></figure>'
        f'<p id="absent" class="note" hidden>The video <span dir="auto">{text(page.video.name)}</span> does not lie beside this page, or this '
        "browser cannot play it.</p>"
    )


def _figure(figure: Figure) -> str:
    swatches = "".join(f"<li>{_swatch(kind)}{text(meaning)}</li>" for kind, meaning in figure.legend)
    title = f"<h3>{text(figure.title)}</h3>" if figure.title else ""
    return f'<div class="panel">{title}{figure.drawing}<ul class="legend">{swatches}</ul></div>'


def _swatch(kind: str) -> str:
    """`kind` is an element's classes: "curve arousal", "band kept", "dot chosen"."""
    shape = {
        "curve": f'<line class="{text(kind)}" x1="0" x2="26" y1="7" y2="7"/>',
        "band": f'<rect class="{text(kind)}" x="1" y="1" width="20" height="12"/>',
        "dot": f'<circle class="{text(kind)}" cx="7" cy="7" r="5"/>',
    }[kind.split()[0]]
    return f'<svg width="{14 if kind.startswith("dot") else 26}" height="14" aria-hidden="true">{shape}</svg>'


def _group(group: Group, number: int) -> str:
    cards = "".join(_card(card, f"shot-{number}-{place}") for place, card in enumerate(group.cards))
    return f'<p>{text(group.about)}</p><ol class="shots">{cards}</ol>'


def _card(card: Card, name: str) -> str:
    small = card.thumbnail
    picture = "" if small is None else f'<img alt="" width="{small.width}" height="{small.height}" src="{_data(small)}">'
    scores = " ".join(f'<span class="scores">{text(line)}</span>' for line in card.scores)
    badge = f' <span class="badge {text(card.kind)}">{text(card.badge)}</span>' if card.badge else ""
    said = f'{picture}<span class="when" dir="auto">{text(card.name)}</span> {scores}{badge}'
    # What cannot be played is still a stop for the keyboard, and an address.
    goes = (
        f'href="#{name}"'
        if card.url is None
        else f'href="{card.url}#t={card.at_s:.3f}" data-at="{card.at_s:.3f}" data-start="{card.start_s:.3f}" data-end="{card.end_s:.3f}"'
    )
    return f'<li id="{name}"><a class="shot {text(card.kind)}" {goes}>{said}</a></li>'


def _data(small: Thumbnail) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(small.jpeg).decode()}"


def _table(table: Table) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        kinds = ["number" if place in table.numbers else "name" if place in table.names else "plain" for place in range(len(row))]
        return "".join(f'<{tag}{scope} class="{kind}">{text(cell)}</{tag}>' for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    return (
        f'<p>{text(table.about)}</p><div class="wide" tabindex="0" role="region" aria-label="{text(table.title)}"><table><thead><tr>'
        f"{cells(table.columns, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in pairs)}</dl>"


def _model(name: str, card: str) -> str:
    before, found, licence = card.partition("\n## Licence\n")
    said = f"<h3>Licence</h3>{markdown.to_html(licence)}" if found else ""
    about = f"<details><summary>The model's card</summary>{markdown.to_html(before)}</details>" if before.strip() else ""
    return f"<p>What is felt is a prediction of the model <strong>{text(name)}</strong>, not a measurement of anybody.</p>{said}{about}"


def span(start_s: float, end_s: float) -> str:
    """A stretch of time: 0:12 to 0:16.5."""
    return f"{clock(start_s)}\u2013{clock(end_s)}"
