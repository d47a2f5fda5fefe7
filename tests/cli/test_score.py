"""`mmvatool score` as scripts and people meet it."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.cli.plane import HEIGHT, MARKS, Plane, sparkline
from tests.cli.test_summarize import ODD_NAMES, one_line_error
from tests.helpers import media


@pytest.fixture
def score(mmvatool, whole):
    """Run `mmvatool score` with an untrained model that has all towers."""
    return lambda *args: mmvatool("score", "--model", whole, *args)


@pytest.fixture
def photo(folder: Path) -> Path:
    path = folder / "photo.png"
    Image.fromarray(media.fireworks((160, 90), 1)).save(path)
    return path


@pytest.fixture
def sound(folder: Path) -> Path:
    return media.write_wav(folder / "sound.wav", media.scene_sound([("rays", 2), ("meadow", 2)]))


def test_one_line_says_that_nothing_could_be_compiled(score, photo, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr("torch.compile", lambda what, **options: fail)
    code, out, err = score("photo.png", "--compile", "--quiet")
    assert (code, err) == (0, "")
    code, out, err = score("photo.png", "--compile", "--json")
    assert code == 0
    assert "whole: not compiled, as torch cannot do it here (no compiler)\n" in err
    assert len(json.loads(out)["results"]) == 1


class TestJson:
    def test_the_shape_of_the_document(self, score, photo, sound, clip):
        code, out, err = score("photo.png", "sound.wav", "clip.mp4", "--text", "a slow sad cello", "--json")
        assert code == 0, err
        document = json.loads(out)
        assert set(document) == {"results", "failures"}
        assert document["failures"] == []
        assert [(result["input"], result["kind"]) for result in document["results"]] == [
            ("photo.png", "image"),
            ("sound.wav", "music"),
            ("clip.mp4", "video"),
            ("a slow sad cello", "text"),
        ]
        for result in document["results"]:
            assert {"input", "kind", "valence", "arousal", "curve", "model"} <= set(result)
            assert 0 <= result["valence"] <= 1
            assert 0 <= result["arousal"] <= 1
            assert result["model"] == "whole"
        picture, music, video, text = (result["curve"] for result in document["results"])
        assert picture == text == []
        assert [point["t_s"] for point in music] == [1, 3]
        assert [point["t_s"] for point in video] == pytest.approx([1, 3], abs=0.02)
        assert set(document["results"][2]["curves"]) == {"image", "music"}

    def test_failures_are_listed_and_the_rest_goes_on(self, score, photo, folder):
        (folder / "empty.mp3").touch()
        code, out, err = score("empty.mp3", "missing.jpg", "photo.png", "--json", "-q")
        assert code == 3
        document = json.loads(out)
        assert [result["input"] for result in document["results"]] == ["photo.png"]
        assert document["failures"] == [
            {"input": "missing.jpg", "error": "missing.jpg: no such file: check the name"},
            {"input": "empty.mp3", "error": "empty.mp3: the file is empty: record or copy it again"},
        ]
        assert err.count("\n") == 2

    def test_nothing_could_be_scored(self, score, folder):
        (folder / "words.mp3").write_text("words " * 100)
        code, out, err = score("words.mp3", "--json")
        assert code == 1
        assert json.loads(out)["results"] == []
        assert "words.mp3: is not a media file" in err

    def test_a_model_that_is_not_there_is_said_once(self, mmvatool, photo):
        code, out, err = mmvatool("score", "photo.png", "--text", "calm", "--model", "nonesuch", "--json", "-q")
        assert code == 1
        one_line_error(err, "no model 'nonesuch'")
        assert [failure["input"] for failure in json.loads(out)["failures"]] == ["photo.png", "calm"]

    def test_a_tower_that_is_not_there_is_said_once(self, mmvatool, whole, folder):
        from trainer import checkpoint
        from trainer.model.mmva import MMVA

        towers: dict[str, dict[str, str | int | float]] = {"image": {"name": "compact"}}
        checkpoint.save(folder / "sees.safetensors", MMVA(towers), "sees", towers)
        code, _, err = mmvatool("score", "--text", "calm", "--text", "wild", "--model", "sees.safetensors", "-q")
        assert code == 1
        one_line_error(err, "has no text tower")

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, score, photo, name: str):
        odd = photo.rename(photo.with_name(name.replace(".mp4", ".png")))
        for option in ("--json", "--csv", "--plot=plot.png", "--quiet"):
            code, out, err = score(option, "--overwrite", "--", odd.name)
            assert code == 0, err
            assert "Warning" not in err
        code, out, _ = score("--json", ".")
        assert odd.name in [result["input"] for result in json.loads(out)["results"]]

    def test_batches_of_one_and_of_many_say_the_same(self, score, photo, sound, clip):
        one, many = (
            json.loads(score("photo.png", "sound.wav", "clip.mp4", "--text", "calm", "--json", "--batch-size", size)[1])["results"]
            for size in (1, 64)
        )
        for a, b in zip(one, many, strict=True):
            assert a["valence"] == pytest.approx(b["valence"], abs=1e-4)
            assert a["arousal"] == pytest.approx(b["arousal"], abs=1e-4)


class TestInputs:
    def test_folders_and_patterns(self, score, folder):
        for name in ("b10.png", "b2.png", ".hidden.png", "a.summary.png"):
            Image.new("RGB", (8, 8)).save(folder / name)
        (folder / "notes.txt").write_text("no picture")
        for given in (".", "*.png"):
            code, out, _ = score(given, "--json")
            assert code == 0
            assert [result["input"] for result in json.loads(out)["results"]] == ["b2.png", "b10.png"]
        assert [result["input"] for result in json.loads(score("a.summary.png", "b2.png", "--json")[1])["results"]] == [
            "a.summary.png",
            "b2.png",
        ]

    @pytest.mark.parametrize("end", [b"\n", b"\0"])
    def test_a_list_on_stdin(self, score, photo, monkeypatch, end: bytes):
        odd = photo.with_name(ODD_NAMES[4])
        odd.write_bytes(photo.read_bytes())
        listed = end.join([b"photo.png", os.fsencode(odd.name), b"missing.png"]) + end
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
        code, out, err = score("-", "--json")
        assert code == 3
        assert [result["input"] for result in json.loads(out)["results"]] == ["photo.png", odd.name]
        assert "missing.png: no such file" in err

    def test_lines_of_text_files(self, score, folder):
        (folder / "lines.txt").write_bytes("\ufeffcalm\r\n\r\n  wild  \nna\xefve".encode("utf-8"))
        (folder / "latin.txt").write_bytes("na\xefve".encode("latin-1"))
        code, out, _ = score("--text-file", "lines.txt", "--text", "first", "--text-file", "latin.txt", "--json")
        assert code == 0
        assert [result["input"] for result in json.loads(out)["results"]] == ["first", "calm", "wild", "na\xefve", "na\ufffdve"]

    def test_text_files_that_are_none(self, score, photo, folder):
        (folder / "blank.txt").write_text("\n \n")
        code, _, err = score("--text-file", "photo.png", "--text-file", "blank.txt", "--text-file", "missing.txt", "--text", "calm")
        assert code == 3
        assert "photo.png: is not text: give a UTF-8 text file" in err
        assert "blank.txt: holds no text" in err
        assert "missing.txt: cannot be read (No such file or directory)" in err

    def test_a_line_of_any_length_is_scored_by_its_beginning(self, score, folder):
        with (folder / "long.txt").open("w") as file:
            for _ in range(200):
                file.write("word " * 20_000)
            file.write("\nsecond\n")
        code, out, err = score("--text-file", "long.txt", "--json")
        assert code == 0
        assert [len(result["input"]) for result in json.loads(out)["results"]] == [10_000, 6]
        assert "scored by its first 10000 characters" in err

    def test_words_that_say_nothing_are_said(self, score):
        code, out, err = score("--text", "", "--json")
        assert code == 0
        assert json.loads(out)["results"][0]["note"] == "no word of it is known"
        assert '"": no word of it is known\n' in err

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ([], "nothing to score"),
            ([""], "an empty name"),
            (["missing.jpg"], "no such file"),
            (["--json", "--csv", "--text", "calm"], "--json and --csv"),
            (["--text-file", "-"], "--text-file wants a file"),
            (["--every", "soon", "--text", "calm"], "is not a time"),
            (["--every", "0", "sound.wav"], "step 0 s: must be at least 0.1 s"),
            (["--window", "1m", "sound.wav"], "window 60 s: whole takes 0.1 to 10 s"),
        ],
    )
    def test_wrong_usage(self, score, sound, args: list[str], words: str):
        code, out, err = score(*args)
        assert (code, out) == (2, "")
        assert words in err


class TestCsv:
    def test_a_row_for_each_input_and_each_point(self, score, photo, sound, clip):
        code, out, _ = score("photo.png", "sound.wav", "clip.mp4", "--text", 'a "slow", sad\ncello', "--csv")
        assert code == 0
        rows = list(csv.DictReader(io.StringIO(out)))
        assert list(rows[0]) == ["input", "kind", "t_s", "valence", "arousal", "model"]
        assert [(row["kind"], bool(row["t_s"])) for row in rows] == [
            ("image", False),
            *[(kind, timed) for kind in ("music", "video") for timed in (False, True, True)],
            ("text", False),
        ]
        assert rows[-1]["input"] == 'a "slow", sad\ncello'
        assert np.mean([float(row["arousal"]) for row in rows[2:4]]) == pytest.approx(float(rows[1]["arousal"]), abs=1e-5)


class TestTable:
    def test_a_table_and_where_it_lies(self, score, photo, sound):
        code, out, err = score("photo.png", "sound.wav", "--text", "x" * 200)
        assert code == 0
        assert "\x1b" not in out
        assert "valence" in out
        assert "arousal over time" in out
        line = next(line for line in out.splitlines() if "sound.wav" in line)
        assert line.split()[0] == "2"
        plane = out.splitlines()[out.splitlines().index("arousal") + 1 :][:HEIGHT]
        marks = "".join(row[5:] for row in plane)
        assert "*" in marks or all(mark in marks for mark in "123")
        assert err.startswith("3 scored in ")

    def test_many_rows_are_all_there(self, score, folder):
        (folder / "lines.txt").write_text("\n".join(f"line {number} of text" for number in range(1203)))
        code, out, _ = score("--text-file", "lines.txt")
        assert code == 0
        assert out.count(" of text") == 1203

    def test_the_plane_marks_what_lies_where(self):
        plane = Plane()
        assert [plane.add(*va) for va in ((0, 0), (1, 1), (0.5, 0.5), (1, 0), (1, 0))] == list("12345")
        lines = plane.lines(plain=True)
        assert lines[0] == "arousal"
        assert lines[1].endswith("2")
        assert lines[HEIGHT].startswith("  0 +1")
        assert lines[HEIGHT].endswith("*")
        assert lines[HEIGHT // 2 + 1][5 + 24] == "3"
        assert lines[-1].strip() == "* several"
        assert "".join(lines).isascii()

    def test_the_plane_of_very_many(self):
        plane = Plane()
        marks = [plane.add(0.3, 0.3) if number % 2 else plane.add(0.7, 0.7) for number in range(1000)]
        assert marks[: len(MARKS)] == list(MARKS)
        assert set(marks[len(MARKS) :]) == {"."}
        assert "* several, . others" in plane.lines(plain=False)[-1]

    def test_sparklines(self):
        assert sparkline([0, 0.5, 1], plain=False) == "▁▅█"
        assert sparkline([0, 0.5, 1], plain=True) == "_o#"
        # The means of the quarters lie near 1/8, 3/8, 5/8 and 7/8.
        assert sparkline(np.linspace(0.01, 1.01, 1000), width=4, plain=False) == "▂▄▆█"
        assert sparkline([], plain=False) == ""


class TestPlot:
    def test_a_picture_of_the_plane(self, score, photo, sound, folder):
        code, _, err = score("photo.png", "sound.wav", "--text", "calm", "--plot", "plot.png")
        assert code == 0
        assert "plot.png drawn" in err
        with Image.open(folder / "plot.png") as drawn:
            assert drawn.size == (1440, 720)

    @pytest.mark.parametrize(
        ("target", "words"),
        [("plot.jpg", "name it .png"), ("no/plot.png", "folder does not exist"), ("photo.png", "already exists: use --overwrite")],
    )
    def test_targets_are_refused_before_any_work(self, mmvatool, photo, target: str, words: str):
        code, out, err = mmvatool("score", "photo.png", "--plot", target, "--model", "never looked at")
        assert (code, out) == (1, "")
        one_line_error(err, words)
