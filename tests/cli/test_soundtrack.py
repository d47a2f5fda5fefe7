"""`mmvatool soundtrack` as a user and a script see it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import media

LIGHT = ("--size", "160x90", "--fps", "10", "--seconds", "1", "--crossfade", "0")
KEYS = {
    "schema", "input", "output", "model", "settings", "duration_s", "valence", "arousal", "cues", "ranking", "credits",
    "loudness_lufs", "true_peak_dbtp", "timeline", "warnings",
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short tracks."""
    folder = tmp_path_factory.mktemp("drawn music")
    media.write_wav(folder / "calm.wav", media.scene_sound([("meadow", 12)]))
    media.write_wav(folder / "wild.wav", media.scene_sound([("rays", 12)]))
    return folder


@pytest.fixture
def music(folder: Path, drawn_music: Path) -> Path:
    """music/ in the working folder."""
    return Path(shutil.copytree(drawn_music, folder / "music"))


@pytest.fixture
def show(folder: Path) -> Path:
    """show/ with three pictures, the second after the tenth by spelling."""
    (folder / "show").mkdir()
    for name, scene in (("p1.jpg", "meadow"), ("p2.png", "sea"), ("p10.webp", "rays")):
        Image.fromarray(np.asarray(media.SCENES[scene]((64, 48), 1))).save(folder / "show" / name)
    return folder / "show"


def test_a_folder_becomes_a_slideshow(folder, show, music, mmvatool):
    code, out, err = mmvatool("soundtrack", "show/", "--library", "music", "--index", "i.sqlite3", *LIGHT)
    assert (code, out) == (0, "")
    assert "show: 0:03 with" in err
    assert "-> show.soundtrack.mp4" in err
    names = sorted(path.name for path in folder.iterdir() if "sqlite3" not in path.name)
    assert names == ["music", "show", "show.soundtrack.json", "show.soundtrack.mp4"]
    saved = json.loads((folder / "show.soundtrack.json").read_text())
    assert [Path(clip["path"]).name for clip in saved["timeline"]["clips"]] == ["p1.jpg", "p2.png", "p10.webp"]


def test_json_is_one_document(folder, show, music, mmvatool):
    code, out, _ = mmvatool("soundtrack", "show", "--library", "music", "--index", "i.sqlite3", "--dry-run", "--json", "--top", "1")
    assert code == 0
    document = json.loads(out)
    assert set(document) == {"results", "skipped", "failures"}
    (result,) = document["results"]
    assert set(result) == KEYS
    assert (result["input"], result["output"]) == ("show", None)
    assert len(result["ranking"]) == 1
    assert set(result["cues"][0]) == {"path", "start_s", "end_s", "offset_s", "distance", "score"}
    assert result["cues"][0]["path"].startswith("music/")


def test_a_dry_run_prints_the_ranking_and_writes_nothing(folder, show, music, mmvatool):
    code, out, _ = mmvatool("soundtrack", "show", "--library", "music", "--index", "i.sqlite3", "--dry-run")
    assert code == 0
    assert "calm.wav" in out
    assert "wild.wav" in out
    assert not list(folder.glob("*.soundtrack.*"))


def test_by_rank_in_the_library(folder, show, music, mmvatool):
    """The settings say so, and so does the table; without the option nothing has changed."""
    command = ("soundtrack", "show", "--library", "music", "--index", "i.sqlite3", "--dry-run")
    code, out, _ = mmvatool(*command, "--match", "library")
    assert code == 0
    assert ", nearest by rank" in " ".join(out.split())
    (result,) = json.loads(mmvatool(*command, "--match", "library", "--json")[1])["results"]
    assert result["settings"]["match"] == "library"
    assert {Path(ranked["path"]).name for ranked in result["ranking"]} == {"calm.wav", "wild.wav"}
    default = mmvatool(*command, "--json")[1]
    assert json.loads(default)["results"][0]["settings"]["match"] == "absolute"
    assert mmvatool(*command, "--match", "absolute", "--json")[1] == default
    assert "by rank" not in mmvatool(*command)[1]


def test_what_was_skipped_makes_exit_code_3(folder, show, music, mmvatool):
    (show / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (music / "empty.mp3").touch()
    (music / "words.mp3").write_text("these are words")
    code, out, err = mmvatool("soundtrack", "show", "--library", "music", "--index", "i.sqlite3", "--dry-run", "--json")
    assert code == 3
    document = json.loads(out)
    assert sorted(Path(failure["input"]).name for failure in document["failures"]) == ["broken.jpg", "empty.mp3", "words.mp3"]
    assert len(document["results"]) == 1
    assert err.count("Error: ") == 3


def test_several_shows_in_one_call(folder, show, music, mmvatool):
    shutil.copytree(show, folder / "trip")
    (folder / "bare").mkdir()
    command = ("soundtrack", "show", "trip", "bare", "--library", "music", "--index", "i.sqlite3", "-o", "out/", *LIGHT)
    code, _, err = mmvatool(*command)
    assert code == 3
    assert "Error: bare: holds nothing that can be shown: name a folder with pictures or clips in it" in err
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "show.soundtrack.json", "show.soundtrack.mp4", "trip.soundtrack.json", "trip.soundtrack.mp4",
    ]  # fmt: skip
    code, out, _ = mmvatool(*command[:3], *command[4:], "--skip-existing", "--json")
    assert code == 0
    assert json.loads(out) == {"results": [], "skipped": ["show", "trip"], "failures": []}
    code, _, err = mmvatool(*command[:3], *command[4:])
    assert code == 1
    assert "already exists: use --overwrite or --skip-existing" in err


def test_pictures_one_by_one_come_in_the_order_given(folder, show, music, mmvatool):
    names = ["show/p10.webp", "show/p1.jpg"]
    code, out, _ = mmvatool("soundtrack", *names, "--track", "music/calm.wav", "--dry-run", "--json")
    assert code == 0
    (result,) = json.loads(out)["results"]
    assert [clip["path"] for clip in result["timeline"]["clips"]] == names


@pytest.mark.parametrize(
    "name", ["a 'quote'.png", 'a "quote".png', "new\nline.png", "😀.png", "-dash.png", "a#b%c.png", "show.summary.png"]
)
def test_odd_names(name, folder, music, mmvatool):
    (folder / "odd").mkdir()
    Image.new("RGB", (40, 30), "orange").save(folder / "odd" / name)
    Image.new("RGB", (40, 30), "blue").save(folder / "odd" / "z.png")
    shutil.copy(music / "calm.wav", music / f"{name}.wav")
    code, out, _ = mmvatool("soundtrack", "odd", "--track", f"music/{name}.wav", "--json", *LIGHT)
    assert code == 0
    (result,) = json.loads(out)["results"]
    shown = [Path(clip["path"]).name for clip in result["timeline"]["clips"]]
    assert sorted(shown) == (["z.png"] if "summary" in name else sorted([name, "z.png"]))
    assert (folder / "odd.soundtrack.mp4").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "where the music comes from: give either --library FOLDER or --track FILE"),
        (["show", "--library", "music", "--track", "music/calm.wav"], "give either --library FOLDER or --track FILE"),
        (["gone", "--library", "music"], "no such file"),
        (["show", "--library", "gone"], "'gone' does not exist"),
        (["show", "--library", "music", "--size", "big"], "'big' is not a size: write 1920x1080"),
        (["show", "--library", "music", "--size", "161x90"], "161"),
        (["show", "--library", "music", "--fps", "0"], "between 1 and 240"),
        (["show", "--library", "music", "--per-scene", "--fit", "music"], "contradict"),
        (["show", "--library", "music", "--overwrite", "--skip-existing"], "contradict"),
    ],
)
def test_wrong_usage(arguments, message, folder, show, music, mmvatool):
    code, out, err = mmvatool("soundtrack", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_library_without_music(folder, show, mmvatool):
    (folder / "empty").mkdir()
    code, _, err = mmvatool("soundtrack", "show", "--library", "empty", "--index", "i.sqlite3", *LIGHT)
    assert code == 1
    assert err.startswith("Error: empty: holds no music: name a folder with mp3, flac")
    assert not list(folder.glob("*.soundtrack.*"))
