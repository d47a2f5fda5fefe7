"""A report as one self-contained HTML page: no network, and of other files only the videos beside it.

How a page looks is in the folder `templates`, what it says in the dataclasses here. The Content-Security-Policy forbids to load anything,
and allows the page's own script and style by their hashes only.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from mmvatool.report import markdown, templating


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int

    @property
    def url(self) -> str:
        """It holds the picture itself."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"


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
    drawing: Markup
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
    style, script = (Markup((templating.FOLDER / name).read_text("utf-8")) for name in ("page.css", "page.js"))
    policy = (
        "default-src 'none'; img-src data:; media-src 'self' file:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    about, _, licence = map(markdown.to_html, page.card.partition("\n## Licence\n"))
    values = {"about": about, "licence": licence, "policy": policy, "style": style, "script": script}
    return str(templating.render("page.html.jinja", page=page, url=url, **values))


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
