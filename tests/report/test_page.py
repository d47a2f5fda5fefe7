"""The page of a report: a sound document that needs nothing but itself, whatever the names in it are."""

import base64
import hashlib
import io
import itertools
import os
import re
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image

from mmvatool.media.probe import Color, MediaInfo, VideoStream
from mmvatool.media.sampling import Sampler
from mmvatool.report import markdown, page, svg
from mmvatool.report.page import Card, Figure, Group, Page, Table, Thumbnail
from mmvatool.report.summary import summary_page
from mmvatool.report.svg import Band, Dot, Line
from mmvatool.report.thumbnails import thumbnail
from mmvatool.summary.cuts import FrameCuts
from mmvatool.summary.result import Summary
from mmvatool.summary.selection import choose
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Curve, Segment
from tests.helpers.pages import Parsed

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\n\u202eevil" + os.fsdecode(b"\xff")
TIMES_S = np.arange(1, 100, 2.0)


def _thumbnail() -> Thumbnail:
    return thumbnail(np.full((90, 160, 3), 128, np.uint8))


def _page(name: str, at: Callable[[str], str] | None = None, kinds: str = "") -> str:
    """A page that shows a name wherever it shows any; `at` gives that of each place, `kinds` is added to all CSS classes."""
    at = at or (lambda _: name)
    line = name.replace("\n", " ")
    curve = svg.curves(
        "c",
        at("curves.title"),
        at("curves.description"),
        [Line(f"arousal{kinds}", TIMES_S, TIMES_S / 100)],
        [Band(10, 20, f"kept{kinds}", at("band.label"))],
        (0, 100),
    )
    dots = [Dot(0.2, 0.8, f"kept{kinds}", at("dot.label"), at("dot.mark"))]
    plane = svg.plane("p", at("plane.title"), at("plane.description"), dots)
    cards = [
        Card(at("card.name"), (at("card.scores"),), at("card.badge"), f"kept{kinds}", 10, 20, _thumbnail(), page.url(Path(name)), 3.0),
        Card(at("card2.name"), (at("card2.scores"),), at("card2.badge"), f"left{kinds}", 20, 30),
    ]
    columns, rows = (at("table.columns[0]"), at("table.columns[1]")), ((at("table.rows[0]"), at("table.rows[1]")),)
    return page.to_html(
        Page(
            kind="Summary",
            name=at("name"),
            facts=((at("facts.name"), at("facts.value")),),
            video=Path(name),
            poster=_thumbnail(),
            source=Path(name),
            curves=(
                at("curves"),
                [Figure(at("figure.title"), curve, ((f"curve arousal{kinds}", at("legend 1")), (f"band kept{kinds}", at("legend 2"))))],
            ),
            groups=[Group(at("group.title"), at("group.about"), cards)],
            tables=[Table(at("table.title"), at("table.about"), columns, rows, frozenset((0,)), frozenset((1,)))],
            plane=(at("plane"), Figure(at("plane.figure"), plane, ((f"dot kept{kinds}", at("legend 3")),))),
            settings=((at("settings.name"), at("settings.value")),),
            warnings=(at("warnings"),),
            model=at("model"),
            card=f"# {line}\n{line}\n- {line}\n| {line} | `{line}` |\n\n## Licence\n{line}",
        )
    )


@pytest.mark.parametrize("name", ["holiday.mp4", HOSTILE])
def test_the_document_is_sound(name):
    source = _page(name)
    source.encode()  # surrogates would fail
    parsed = Parsed(source)
    ids = [element.attributes["id"] for element in parsed.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in parsed.elements:
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert set(element.attributes.get(attribute, "").split()) <= set(ids)
        if element.attributes.get("href", "").startswith("#"):
            assert element.attributes["href"][1:] in ids
        assert not [attribute for attribute in element.attributes if attribute.startswith("on") or attribute == "style"]
    assert [len(parsed.all(tag)) for tag in ("h1", "main", "header", "footer", "nav", "title", "script", "style")][:4] == [1, 1, 1, 1]
    levels = [int(element.tag[1]) for element in parsed.elements if re.fullmatch(r"h\d", element.tag)]
    assert levels[0] == 1
    assert all(later <= sooner + 1 for sooner, later in itertools.pairwise(levels))
    assert parsed.one("html").attributes["lang"] == "en"
    skip = parsed.one("a", "skip")
    assert skip.attributes["href"] == "#main"
    assert parsed.all("a")[0] is skip
    assert all(element.attributes["alt"] == "" for element in parsed.all("img"))
    drawings = [element for element in parsed.all("svg") if element.attributes.get("role") == "img"]
    assert len(drawings) == 2
    assert all({part.tag for part in drawing.parts} >= {"title", "desc"} for drawing in drawings)


@pytest.mark.parametrize("name", ["holiday.mp4", HOSTILE])
def test_nothing_is_fetched_but_videos_that_lie_beside(name):
    parsed = Parsed(_page(name))
    for element in parsed.elements:
        for attribute in ("src", "href", "poster", "srcset", "data", "action", "xlink:href"):
            address = element.attributes.get(attribute)
            if address is None or address.startswith(("#", "data:")):
                continue
            assert element.tag in ("a", "video")
            assert re.fullmatch(r"\./[A-Za-z0-9_.~%-]+(#t=[\d.]+)?", address)
            assert unquote_to_bytes(address[2:].split("#")[0]) == os.fsencode(Path(name).name)
    assert "@import" not in parsed.one("style").text
    assert "url(" not in parsed.one("style").text


def test_a_policy_forbids_the_rest():
    parsed = Parsed(_page(HOSTILE))
    (policy,) = [element.attributes["content"] for element in parsed.all("meta") if "http-equiv" in element.attributes]
    assert policy.startswith("default-src 'none'; img-src data:; media-src 'self' file:;")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(parsed.one(tag).text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_name_that_tries_to_be_html_is_text():
    parsed, plain = Parsed(_page(HOSTILE)), Parsed(_page("holiday.mp4"))
    assert [element.tag for element in parsed.elements] == [element.tag for element in plain.elements]
    shown = parsed.one("h1").text
    assert shown == "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\\n\\u202eevil\\udcff"
    assert [element.text for element in parsed.all("dd")] == [shown]
    assert parsed.all("a", "shot")[0].text.count(shown) == 3


def test_whatever_a_page_shows_is_escaped_at_every_place():
    places = []

    def at(place: str) -> str:
        places.append(place)
        return f"{HOSTILE} ({place})"

    parsed, plain = Parsed(_page(HOSTILE, at, kinds=" <b>\"'")), Parsed(_page("holiday.mp4"))
    assert [element.tag for element in parsed.elements] == [element.tag for element in plain.elements]
    assert [set(element.attributes) for element in parsed.elements] == [set(element.attributes) for element in plain.elements]
    (shown,) = [element.text.removesuffix(" (name)") for element in parsed.all("h1")]
    assert "<script>" in shown
    texts = [element.text for element in parsed.elements]
    assert len(set(places)) == len(places) > 30
    assert [place for place in places if not any(f"{shown} ({place})" in text for text in texts)] == []
    classes = [element.attributes["class"] for element in parsed.elements if "<b>" in element.attributes.get("class", "")]
    assert len(classes) == 10
    assert all(one.endswith(" <b>\"'") for one in classes)


def test_a_card_without_a_video_goes_to_itself():
    playable, other = Parsed(_page("a.mp4")).all("a", "shot")
    assert playable.attributes["href"] == "./a.mp4#t=3.000"
    assert (playable.attributes["data-play"], playable.attributes["data-start"], playable.attributes["data-end"]) == (
        "3.000",
        "10.000",
        "20.000",
    )
    assert other.attributes["href"] == "#shot-0-1"
    assert "data-play" not in other.attributes


class TestDrawings:
    def test_curves_lie_where_they_should(self):
        drawing = svg.curves(
            "c", "t", "d", [Line("arousal", np.array([0.0, 50, 100]), np.array([0.0, 1.0, 0.5]))], [Band(25, 50, "kept", "b")], (0, 100)
        )
        parsed = Parsed(drawing)
        assert parsed.one("polyline").attributes["points"] == "0.0,100.0 500.0,0.0 1000.0,50.0"
        (band,) = parsed.all("rect", "kept")
        assert (band.attributes["x"], band.attributes["width"]) == ("250.0", "250.0")
        assert [element.text for element in parsed.all("text", "time")] == ["0:00", "0:25", "0:50", "1:15", "1:40"]
        assert parsed.one("line", "playhead").attributes["data-length"] == "100.000"

    def test_small_differences_are_not_blown_up(self):
        drawing = svg.curves("c", "t", "d", [Line("arousal", TIMES_S, 0.44 + 0.01 * np.sin(TIMES_S))], [], (0, 100))
        heights = [float(point.split(",")[1]) for point in Parsed(drawing).one("polyline").attributes["points"].split()]
        assert max(heights) - min(heights) < 15  # of 100

    def test_a_single_sample_is_a_level_line(self):
        points = Parsed(svg.curves("c", "t", "d", [Line("arousal", np.ones(1), np.full(1, 0.5))], [], (0, 2))).one("polyline")
        assert [point.split(",")[1] for point in points.attributes["points"].split()] == ["50.0"] * 2

    def test_a_long_curve_is_thinned_by_means(self):
        values = np.tile([0.0, 1.0, 0.5], 10_000)
        drawing = svg.curves("c", "t", "d", [Line("arousal", np.arange(30_000.0), values)], [], (0, 30_000))
        points = Parsed(drawing).one("polyline").attributes["points"].split()
        assert len(points) == svg.MOST_POINTS
        assert np.mean([float(point.split(",")[1]) for point in points]) == pytest.approx(50, abs=0.1)

    def test_dots_and_their_marks(self):
        parsed = Parsed(
            svg.plane("p", "t", "d", [Dot(0, 0, "track", "a", "1"), Dot(1, 1, "chosen", "b", "2"), Dot(0, 0.01, "track", "c", "3")])
        )
        first, second, _ = parsed.all("circle")
        assert float(first.attributes["cx"]) < float(second.attributes["cx"])
        assert float(first.attributes["cy"]) > float(second.attributes["cy"])
        heights = sorted(float(mark.attributes["y"]) for mark in parsed.all("text", "mark"))
        assert np.diff(heights).min() > 14

    @pytest.mark.parametrize("arousal", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("count", [5, 60])
    def test_the_marks_of_many_near_dots_stay_within(self, count, arousal):
        dots = [Dot(0.5, abs(arousal - number / 1000), "track", "t", str(number)) for number in range(count)]
        heights = sorted(float(mark.attributes["y"]) for mark in Parsed(svg.plane("p", "t", "d", dots)).all("text", "mark"))
        assert 12 < heights[0] < heights[-1] < svg.PLANE_PX - 20
        assert np.diff(heights).min() > (14 if count == 5 else 5)


def test_markdown_of_a_card():
    source = markdown.to_html(
        "# A `b`\nSome <b>text</b>\nover [lines](http://d)\n\n| x | y |\n| --- | --- |\n| 1 | **2** |\n\n"
        "- one\n  more\n- two\n\n![p](http://a/b.png)\n\n## Below\n"
    )
    parsed = Parsed(source)
    assert [element.tag for element in parsed.elements if element.depth == 0] == ["h3", "p", "div", "ul", "h3"]
    assert parsed.one("p").text == "Some <b>text</b> over lines"
    assert [element.text for element in parsed.all("th") + parsed.all("td")] == ["x", "y", "1", "2"]
    assert [element.text.strip() for element in parsed.all("li")] == ["one more", "two"]
    assert not parsed.all("a")
    assert not parsed.all("img")
    assert "http" not in source


def test_a_thumbnail_is_small_and_of_the_same_shape():
    small = thumbnail(np.random.default_rng(0).integers(0, 256, (456, 256, 3), np.uint8))
    with Image.open(io.BytesIO(small.jpeg)) as opened:
        assert opened.size == (small.width, small.height) == (90, 160)
    assert len(small.jpeg) < 10_000


NOISE = np.random.default_rng(0).integers(0, 256, (256, 455, 3), np.uint8)


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is as hard to compress as can be, and costs nothing to decode."""
    monkeypatch.setattr(
        Sampler, "read", lambda sampler, indices: (sampler.decoded.append(position) or NOISE for position in range(len(indices)))
    )


def test_the_page_of_an_hour_is_quick_and_small(tmp_path, noisy):
    """1,800 samples, 400 shots: under 3 seconds besides decoding, and under 5 MB though every picture is noise."""
    times_s = np.arange(0, 3600, 0.04)
    video = VideoStream(0, "h264", 1920, 1080, Fraction(1), 0.0, "yuv420p", Color(), None)
    info = MediaInfo(tmp_path / "hour.mp4", "mov", 0.0, video, None, Fraction(25), True, times_s, 3600.0, len(times_s), False, {})
    curve = Curve(np.arange(1, 3600, 2.0), np.random.default_rng(1).random((1800, 2)).astype(np.float32))
    settings = SummarySettings()
    shots = choose([Segment(start_s, start_s + 9.0) for start_s in np.arange(0, 3600, 9.0)], curve, settings, FrameCuts(info))
    summary = Summary(info.path, tmp_path / "hour.summary.mp4", "made", settings, info, curve, shots)
    started = time.process_time()
    source = summary_page(summary, "", {})
    assert time.process_time() - started < 3
    assert len(source.encode()) < 5_000_000
    parsed = Parsed(source)
    assert len(parsed.all("a", "shot")) == 400
    assert len(parsed.all("img")) == 400


def test_of_very_many_shots_the_least_arousing_are_left_out(tmp_path, noisy, monkeypatch):
    monkeypatch.setattr("mmvatool.report.summary.MOST_THUMBNAILS", 40)
    times_s = np.arange(0, 4000, 0.5)
    video = VideoStream(0, "h264", 320, 180, Fraction(1), 0.0, "yuv420p", Color(), None)
    info = MediaInfo(tmp_path / "long.mp4", "mov", 0.0, video, None, Fraction(2), True, times_s, 4000.0, len(times_s), False, {})
    curve = Curve(np.arange(1, 4000, 2.0), np.random.default_rng(1).random((2000, 2)).astype(np.float32))
    shots = choose([Segment(start_s, start_s + 2.0) for start_s in np.arange(0, 4000, 2.0)], curve, SummarySettings(), FrameCuts(info))
    summary = Summary(info.path, tmp_path / "long.summary.mp4", "made", SummarySettings(), info, curve, shots)
    source = summary_page(summary, "", {})
    parsed = Parsed(source)
    assert len(parsed.all("a", "shot")) == 1000
    assert len(parsed.all("img")) == 40
    assert len(parsed.all("a", "kept")) == sum(shot.kept for shot in shots)
    assert "1000 more of less arousal" in source


@pytest.mark.parametrize(
    ("by", "scales", "said"),
    [
        ("image", {"image": (9.0, 0.2)}, ".100 above the best of these in arousal. Of two pictures that this model puts so far apart, "
         "people's ratings have the same order in 69% of all pairs."),
        ("audio", {"music": (9.0, 0.1)}, "Of two pieces of music that this model puts so far apart, people's ratings have the same order in 84%"),
        ("both", {"image": (9.0, 0.2), "music": (9.0, 0.1)}, ""),
        ("image", {}, ""),
    ],
)  # fmt: skip
def test_how_close_the_choice_was_stands_beside_the_runners_up(tmp_path, noisy, by, scales, said):
    """Phi(.1 / .2) = .691, Phi(.1 / .1) = .841."""
    video = VideoStream(0, "h264", 320, 180, Fraction(1), 0.0, "yuv420p", Color(), None)
    info = MediaInfo(tmp_path / "a.mp4", "mov", 0.0, video, None, Fraction(2), True, np.arange(0, 20, 0.5), 20.0, 40, False, {})
    curve = Curve(np.arange(1, 20, 2.0), np.repeat(np.float32([[0.5, 0.8], [0.5, 0.7], [0.5, 0.2], [0.5, 0.2], [0.5, 0.2]]), 2, axis=0))
    settings = SummarySettings(by=by, ratio=0.2)
    shots = choose([Segment(start_s, start_s + 4.0) for start_s in np.arange(0, 20, 4.0)], curve, settings, FrameCuts(info))
    source = summary_page(Summary(info.path, tmp_path / "a.summary.mp4", "made", settings, info, curve, shots), "", scales)
    (about,) = [part.text for part in Parsed(source).all("p") if part.text.startswith("The best of the shots that are not kept")]
    assert said in about
    assert ("the same order" in about) == bool(said)
