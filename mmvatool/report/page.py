"""A report as one self-contained HTML page: no network, and of other files only the videos beside it. Pure.

`svg.text` escapes every text. The Content-Security-Policy forbids to load anything, and allows the page's own script and style by their
hashes only.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mmvatool.report import markdown
from mmvatool.report.svg import text

_STYLE, _SCRIPT = (Path(__file__).with_name(f"page.{suffix}") for suffix in ("css", "js"))


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """A shot of a video, or a picture of a slideshow.

    Args:
        name: its heading.
        scores: lines under it.
        badge: why it was kept or not, in a few words; may be empty.
        kind: "kept", "runner-up" or "left".
        start_s: start on the curves, in seconds.
        end_s: end on the curves, in seconds.
        thumbnail: its picture.
        url: of the video that shows it; None if it cannot be played.
        play_s: when it begins in that video, in seconds.
    """

    name: str
    scores: Sequence[str]
    badge: str
    kind: str
    start_s: float
    end_s: float
    thumbnail: Thumbnail | None = None
    url: str | None = None
    play_s: float = 0.0


@dataclass(frozen=True)
class Group:
    """Cards under a heading, with a sentence about them."""

    title: str
    about: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Figure:
    """A drawing with its heading and its legend: pairs of CSS classes and their meaning."""

    title: str
    drawing: str
    legend: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a heading. The columns at `numbers` are aligned to the right, the text in those at `names` is wrapped."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int]
    names: frozenset[int]


@dataclass(frozen=True)
class Page:
    """The content of a report, in the order of the page.

    Args:
        kind: of report: "Summary" or "Soundtrack".
        name: of the input.
        facts: pairs of a name and a value, shown in the header.
        video: the result, beside the page.
        poster: shown in the player before the video plays.
        source: the source if it lies beside the page: the shots that were not kept play from it.
        curves: a sentence, and drawings over time.
        groups: cards of shots or pictures.
        tables: shown below the cards.
        plane: a sentence, and the VA plane.
        settings: pairs of a name and a value.
        warnings: of the result.
        model: name of the model.
        card: of the model, in Markdown; its section "Licence" is shown, the rest can be unfolded.
    """

    kind: str
    name: str
    facts: Sequence[tuple[str, str]]
    video: Path
    poster: Thumbnail | None
    source: Path | None
    curves: tuple[str, Sequence[Figure]]
    groups: Sequence[Group]
    tables: Sequence[Table]
    plane: tuple[str, Figure]
    settings: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    model: str
    card: str


def url(path: Path) -> str:
    """The relative URL of a file beside the page, whatever its name."""
    return "./" + quote(os.fsencode(path.name))


def to_html(page: Page) -> str:
    """The HTML document, to be written as UTF-8."""
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
        ("settings", "Settings", _pairs(page.settings)),
        *([("warnings", "Warnings", _list(page.warnings))] if page.warnings else []),
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
<title>{text(page.kind)}: {text(page.name)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="kind">{text(page.kind)}</p>
<h1 dir="auto">{text(page.name)}</h1>
<ul class="facts">{facts}</ul>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main" tabindex="-1">
{_player(page)}
{"".join(_section(*section) for section in sections)}
</main>
<footer>Written by mmvatool. This page loads nothing from the network.</footer>
<script>{script}</script>
</body>
</html>
"""


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-heading"><h2 id="{name}-heading">{text(title)}</h2>{content}</section>\n'


def _player(page: Page) -> str:
    source = "" if page.source is None else f' data-source="{text(page.source.name)}"'
    poster = "" if page.poster is None else f' poster="{_data(page.poster)}"'
    return (
        f'<figure class="player"><video controls playsinline preload="metadata" src="{url(page.video)}" data-name="{text(page.kind)}"{source}{poster} '
        f'aria-label="{text(page.kind)}"></video><figcaption><strong id="playing" dir="auto">{text(page.kind)}</strong> '
        '<strong id="shot" dir="auto"></strong> <span>Choose one below to play it.</span></figcaption></figure>'
        f'<p id="unplayable" class="note" hidden>The video <span dir="auto">{text(page.video.name)}</span> is not in the folder of this page, or this '
        "browser cannot play it.</p>"
    )


def _figure(figure: Figure) -> str:
    swatches = "".join(f"<li>{_swatch(kind)}{text(meaning)}</li>" for kind, meaning in figure.legend)
    title = f"<h3>{text(figure.title)}</h3>" if figure.title else ""
    return f'<div class="panel">{title}{figure.drawing}<ul class="legend">{swatches}</ul></div>'


def _swatch(kind: str) -> str:
    """The legend's sample of an element with these classes: "curve arousal", "band kept", "dot chosen"."""
    shape = {
        "curve": f'<line class="{text(kind)}" x1="0" x2="26" y1="7" y2="7"/>',
        "band": f'<rect class="{text(kind)}" x="1" y="1" width="20" height="12"/>',
        "dot": f'<circle class="{text(kind)}" cx="7" cy="7" r="5"/>',
    }[kind.split()[0]]
    return f'<svg width="{14 if kind.startswith("dot") else 26}" height="14" aria-hidden="true">{shape}</svg>'


def _group(group: Group, number: int) -> str:
    cards = "".join(_card(card, f"shot-{number}-{position}") for position, card in enumerate(group.cards))
    return f'<p>{text(group.about)}</p><ol class="shots">{cards}</ol>'


def _card(card: Card, name: str) -> str:
    small = card.thumbnail
    picture = "" if small is None else f'<img alt="" width="{small.width}" height="{small.height}" src="{_data(small)}">'
    scores = " ".join(f'<span class="scores">{text(line)}</span>' for line in card.scores)
    badge = f' <span class="badge {text(card.kind)}">{text(card.badge)}</span>' if card.badge else ""
    content = f'{picture}<span class="name" dir="auto">{text(card.name)}</span> {scores}{badge}'
    # A card without a video links to itself, so that the keyboard reaches it.
    link = (
        f'href="#{name}"'
        if card.url is None
        else f'href="{card.url}#t={card.play_s:.3f}" data-play="{card.play_s:.3f}" data-start="{card.start_s:.3f}" data-end="{card.end_s:.3f}"'
    )
    return f'<li id="{name}"><a class="shot {text(card.kind)}" {link}>{content}</a></li>'


def _data(small: Thumbnail) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(small.jpeg).decode()}"


def _table(table: Table) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        kinds = ["number" if column in table.numbers else "name" if column in table.names else "plain" for column in range(len(row))]
        return "".join(f'<{tag}{scope} class="{kind}">{text(cell)}</{tag}>' for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    return (
        f'<p>{text(table.about)}</p><div class="wide" tabindex="0" role="region" aria-label="{text(table.title)}"><table><thead><tr>'
        f"{cells(table.columns, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in pairs)}</dl>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"


def _model(name: str, card: str) -> str:
    about, heading, licence = card.partition("\n## Licence\n")
    shown = f"<h3>Licence</h3>{markdown.to_html(licence)}" if heading else ""
    folded = f"<details><summary>The model's card</summary>{markdown.to_html(about)}</details>" if about.strip() else ""
    return f"<p>Valence and arousal are predictions of the model <strong>{text(name)}</strong>, not measurements.</p>{shown}{folded}"
