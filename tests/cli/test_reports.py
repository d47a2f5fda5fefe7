"""`--report` as a user meets it: what is written where, and that the page agrees with the JSON."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.text import format_position
from tests.cli.test_summarize import ODD_NAMES, in_folder
from tests.helpers import media
from tests.helpers.pages import Element, Parsed


def page_of(path: Path) -> Parsed:
    return Parsed(path.read_text("utf-8"))


def badge(card: Element) -> str:
    (part,) = [part for part in card.parts if "badge" in part.classes]
    return part.text


class TestSummary:
    def test_it_agrees_with_the_json(self, mmvatool, clip):
        options = ("--keep", "0-0.4", "--drop", "3-3.5", "--ratio", "0.45", "--shots", "uniform")
        code, out, err = mmvatool("summarize", "clip.mp4", "--report", *options)
        assert (code, out) == (0, ""), err
        assert in_folder(clip.parent) == {"clip.mp4", "clip.summary.mp4", "clip.summary.json", "clip.summary.html"}
        parsed, plan = page_of(clip.with_name("clip.summary.html")), json.loads(clip.with_name("clip.summary.json").read_text())
        cards = sorted(parsed.all("a", "shot"), key=lambda card: float(card.attributes["data-start"]))
        assert len(cards) == len(plan["shots"])
        at_s = 0.0
        for card, shot in zip(cards, plan["shots"], strict=True):
            assert ("kept" in card.classes) == shot["kept"]
            assert float(card.attributes["data-start"]) == pytest.approx(shot["start_s"], abs=1e-3)
            assert float(card.attributes["data-end"]) == pytest.approx(shot["end_s"], abs=1e-3)
            assert f"arousal {shot['arousal']:.3f}".replace(" 0.", " .") in card.text
            assert f"valence {shot['valence']:.3f}".replace(" 0.", " .") in card.text
            video, place = card.attributes["href"].split("#t=")
            assert video == ("./clip.summary.mp4" if shot["kept"] else "./clip.mp4")
            assert float(place) == pytest.approx(at_s if shot["kept"] else shot["start_s"], abs=1e-3)
            at_s += (shot["end_s"] - shot["start_s"]) * shot["kept"]
        badges = ["kept by --keep", "longer than the budget", "chosen", "dropped by --drop", "too short a rest"]
        assert [badge(card) for card in cards] == badges
        assert len(parsed.all("img")) == len(cards)
        assert len(parsed.all("rect", "kept")) == sum(shot["kept"] for shot in plan["shots"]) + 1  # and the legend's
        settings = dict(zip([one.text for one in parsed.all("dt")], [one.text for one in parsed.all("dd")], strict=True))
        assert settings["Budget"] == "0:01.8 (45.0% of the length)"
        assert settings["Kept in any case"] == f"0:00–{format_position(0.4)}"
        assert "Licence" in {heading.text for heading in parsed.all("h3")}
        assert "Weights: Apache-2.0" in parsed.one("html").text
        assert "The model's card" in parsed.one("summary").text

    def test_a_source_that_does_not_lie_beside_is_not_played(self, mmvatool, clip):
        assert mmvatool("summarize", "clip.mp4", "--report", "-q", "-o", "out/")[0] == 0
        parsed = page_of(clip.parent / "out" / "clip.summary.html")
        assert all("data-play" not in card.attributes for card in parsed.all("a", "shot") if "kept" not in card.classes)
        assert "data-source" not in parsed.one("video").attributes

    def test_o_names_the_page_too_and_a_dry_run_writes_none(self, mmvatool, clip):
        assert mmvatool("summarize", "clip.mp4", "--report", "--dry-run", "-q")[0] == 0
        assert in_folder(clip.parent) == {"clip.mp4"}
        assert mmvatool("summarize", "clip.mp4", "--report", "-q", "-o", "short.mkv")[0] == 0
        assert in_folder(clip.parent) == {"clip.mp4", "short.mkv", "short.json", "short.html"}

    def test_a_page_that_exists_is_an_error(self, mmvatool, clip):
        clip.with_name("clip.summary.html").write_text("mine")
        code, _, err = mmvatool("summarize", "clip.mp4", "--report")
        assert code == 1
        assert err == "Error: clip.summary.html: already exists: use --overwrite or --skip-existing\n"
        assert in_folder(clip.parent) == {"clip.mp4", "clip.summary.html"}

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, mmvatool, clip, name: str):
        odd = clip.rename(clip.with_name(name))
        assert mmvatool("summarize", "--report", "-q", "--shots", "uniform", "--", name)[0] == 0
        assert page_of(odd.with_name(f"{odd.stem}.summary.html")).one("h1").text

    def test_a_model_from_a_file_says_what_its_notes_say(self, mmvatool, clip, whole):
        assert mmvatool("summarize", "clip.mp4", "--report", "-q", "--model", whole)[0] == 0
        text = page_of(clip.with_name("clip.summary.html")).one("html").text
        assert "sigma: 0.5" in text
        assert "Apache-2.0" not in text


class TestSoundtrack:
    LIGHT = ("--size", "160x90", "--fps", "10", "--seconds", "1", "--crossfade", "0", "--report", "-q")

    @pytest.fixture
    def music(self, folder: Path) -> Path:
        """music/ with two tracks, one of which has tags."""
        (folder / "music").mkdir()
        media.write_wav(folder / "music" / "calm.wav", media.scene_sound([("meadow", 12)]))
        wild = media.write_wav(folder / "wild.wav", media.scene_sound([("rays", 12)]))
        tags = ["-metadata", "title=</td><script>alert(1)</script>", "-metadata", "artist=A. <b>Nonymous", "-metadata", "copyright=CC0"]
        media.run_ffmpeg("-i", wild, *tags, folder / "music" / "wild.ogg")
        wild.unlink()
        return folder / "music"

    def test_pictures(self, mmvatool, folder, music):
        (folder / "show").mkdir()
        for name, scene in (("p1.jpg", "meadow"), ("p2<b>.png", "sea")):
            Image.fromarray(np.asarray(media.SCENES[scene]((64, 48), 1))).save(folder / "show" / name)
        shutil.copy(media.draw_scenes(folder / "drawn.mp4", [("rays", 2)], size=(64, 48)), folder / "show" / "p3.mp4")
        code, _, err = mmvatool("soundtrack", "show", "--track", "music/wild.ogg", "--track", "music/calm.wav", *self.LIGHT)
        assert code == 0, err
        parsed, plan = page_of(folder / "show.soundtrack.html"), json.loads((folder / "show.soundtrack.json").read_text())
        cards = parsed.all("a", "shot")
        assert [[part.text for part in card.parts if "name" in part.classes] for card in cards] == [["p1.jpg"], ["p2<b>.png"], ["p3.mp4"]]
        assert [float(card.attributes["data-play"]) for card in cards] == pytest.approx(
            [clip["start_s"] for clip in plan["timeline"]["clips"]], abs=1e-3
        )
        assert len(parsed.all("img")) == 3
        assert len(parsed.all("script")) == 1
        tables = [section for section in parsed.all("section") if section.attributes["id"].startswith("table-")]
        rows = [row for section in tables for row in section.parts if row.tag == "tr" and row.parts[0].tag == "td"]
        cue, *rest = [[cell.text for cell in row.parts] for row in rows]
        credit = plan["credits"][0]
        assert cue[1:5] == [Path(credit["path"]).name, *(credit[key] or "not stated" for key in ("title", "artist", "licence"))]
        assert [row[1] for row in rest] == [Path(ranked["path"]).name for ranked in plan["ranking"]]
        assert [row[-1] for row in rest] == ["chosen", ""]
        assert len(parsed.all("circle", "track")) == 1 + 1  # and the legend's
        for curve in parsed.all("polyline"):
            assert len(curve.attributes["points"].split()) >= 6

    def test_a_video(self, mmvatool, clip, music):
        code, _, err = mmvatool("soundtrack", "clip.mp4", "--track", "music/wild.ogg", *self.LIGHT)
        assert code == 0, err
        parsed = page_of(clip.with_name("clip.soundtrack.html"))
        cards = parsed.all("a", "shot")
        assert [card.attributes["data-play"] for card in cards] == ["0.000", "2.000"]
        assert all(card.attributes["href"].startswith("./clip.soundtrack.mp4#t=") for card in cards)
        cells = [cell.text for cell in parsed.all("td")]
        assert "</td><script>alert(1)</script>" in cells
        assert "A. <b>Nonymous" in cells

    def test_a_page_that_exists_is_an_error(self, mmvatool, clip, music):
        clip.with_name("clip.soundtrack.html").write_text("mine")
        code, _, err = mmvatool("soundtrack", "clip.mp4", "--track", "music/wild.ogg", *self.LIGHT)
        assert code == 1
        assert "clip.soundtrack.html: already exists" in err
