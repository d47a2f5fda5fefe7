"""`mmvatool library`: index, list and forget as a user types them."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmvatool.library import update as pipeline
from mmvatool.library.database import Library, Sound
from mmvatool.library.update import model_key
from mmvatool.library.walk import walk
from tests.helpers.models import save_random
from tests.helpers.synthetic import sound, write_wav
from trainer import Predictor

TRACK_KEYS = [
    *("path", "duration_s", "valence", "arousal", "valence_spread", "arousal_spread", "tempo_bpm", "loudness_lufs"),
    *("title", "artist", "licence"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(tmp_path_factory.mktemp("models") / "random.safetensors")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Predictor:
    return Predictor.load(checkpoint, device="cpu", modalities=("music",))


@pytest.fixture
def library(
    mmvatool, model: Predictor, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """`mmvatool library COMMAND ... --index index.db` with the random model, loaded once."""
    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda name, **options: model if name == str(checkpoint) else load(name, **options))

    def call(command: str, *args: object, index: str = "index.db") -> tuple[int, str, str]:
        chosen = () if command == "forget" else ("--model", checkpoint)
        return mmvatool("library", command, *args, "--index", index, *chosen)

    return call


@pytest.fixture
def music(folder: Path) -> Path:
    """a.wav and sub/b.wav, of half a second."""
    (folder / "music" / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.wav", "sub/b.wav"]):
        write_wav(folder / "music" / name, sound(np.array([0.5, 0.5]), 0.5, np.random.default_rng(number)))
    return folder / "music"


@pytest.fixture
def planted(music: Path, model: Predictor) -> Path:
    """The same two, in the index already, with other names in the tags."""
    sounds = {
        "a": (Sound(187.2, "Ä title", "An artist", "CC BY 4.0", -14.2, 92.5), np.array([[0.2, 0.7], [0.4, 0.7]])),
        "b": (Sound(61.25), np.array([[0.6, 0.1]])),
    }
    with Library("index.db") as opened:
        for file in walk(Path("music"))[0]:
            kept, va = sounds[file.display_path.stem]
            opened.put_predicted(
                file.path, file.stamp, file.display_path.stem.encode(), kept, model_key(model), np.arange(len(va)) * 10 + 5, va
            )
    return music


def one_line(err: str) -> str:
    assert len(err.splitlines()) == 1, err
    return err.strip()


class TestIndex:
    def test_a_first_and_a_second_run(self, library, music, monkeypatch):
        assert library("index", "music") == (0, "", "music: 2 tracks: 2 added, 0 changed, 0 moved, 0 unchanged, 0 removed; 2 predicted\n")
        (music / "a.wav").rename(music / "z.wav")
        monkeypatch.setattr(pipeline, "analyze_track", None)  # nothing is decoded
        assert library("index", "music")[2] == "music: 2 tracks: 0 added, 0 changed, 1 moved, 1 unchanged, 0 removed; 0 predicted\n"
        (music / "z.wav").unlink()
        assert library("index", "music", "-q") == (0, "", "")
        code, out, err = library("index", "music/", "--json", "-q")
        assert (code, err) == (0, "")
        assert json.loads(out) == {
            **{"folder": "music", "index": "index.db", "tracks": 1, "added": 0, "changed": 0, "moved": 0, "unchanged": 1, "removed": 0},
            **{"predicted": 0, "failures": [], "model": "random"},
        }

    def test_broken_files_are_listed_and_the_rest_is_indexed(self, library, music):
        (music / "empty.mp3").touch()
        (music / "new\nline.mp3").write_text("not music\n")
        for _ in range(2):
            code, out, err = library("index", "music", "--json")
            assert code == 3
            assert err.splitlines()[0] == "Error: music/empty.mp3: the file is empty: record or copy it again"
            assert err.splitlines()[1].startswith("Error: music/new\\nline.mp3: is not a media file (")
            assert err.splitlines()[2].startswith("music: 2 tracks: ")
            assert [failure["input"] for failure in json.loads(out)["failures"]] == ["music/empty.mp3", "music/new\nline.mp3"]

    def test_no_music(self, library, folder):
        (folder / "music").mkdir()
        code, out, err = library("index", "music")
        assert (code, out) == (1, "")
        assert one_line(err).startswith("Error: music: holds no music: name a folder with mp3, flac")
        (folder / "music" / "a.mp3").touch()
        code, out, err = library("index", "music", "--json")
        assert (code, out) == (1, "")
        assert one_line(err) == (
            "Error: music: holds no music that can be decoded (music/a.mp3: the file is empty: record or copy it again)"
        )

    def test_a_folder_that_is_not_there(self, library):
        code, _, err = library("index", "nowhere")
        assert code == 2
        assert "nowhere" in err

    def test_an_index_that_is_none(self, library, music):
        shutil.copy(music / "a.wav", "index.db")
        code, _, err = library("index", "music")
        assert code == 1
        assert one_line(err).startswith("Error: index.db: is not an index, or a damaged one (")


class TestList:
    def test_a_table(self, library, planted):
        code, out, err = library("list", "music")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].strip() == "2 tracks in music, predicted by random"
        assert all(word in lines[2] for word in ("track", "length", "valence", "arousal", "BPM", "LUFS", "artist, title, licence"))
        cells = ("a.wav", "3:07", "0.30 ±0.10", "0.70 ±0.00", "92", "-14.2", "An artist, Ä title, CC BY 4.0")
        assert all(cell in lines[4] for cell in cells), lines[4]
        assert [cell.strip() for cell in lines[5].split("│")[1:-1]] == ["sub/b.wav", "1:01", "0.60 ±0.00", "0.10 ±0.00", "-", "-", ""]

    def test_json(self, library, planted):
        code, out, err = library("list", "music/", "--json")
        assert (code, err) == (0, "")
        document = json.loads(out)
        assert (document["failures"], document["unheard"], document["model"]) == ([], 0, "random")
        first, second = document["results"]
        assert list(first) == TRACK_KEYS
        assert first == {
            **{"path": "music/a.wav", "duration_s": 187.2, "title": "Ä title", "artist": "An artist", "licence": "CC BY 4.0"},
            **{"valence": 0.3, "arousal": 0.7, "valence_spread": 0.1, "arousal_spread": 0.0, "tempo_bpm": 92.5, "loudness_lufs": -14.2},
        }
        assert [second[key] for key in TRACK_KEYS[6:]] == [None] * 5

    def test_csv(self, library, planted):
        code, out, err = library("list", "music", "--csv", "--sort", "arousal")
        assert (code, err) == (0, "")
        rows = list(csv.DictReader(io.StringIO(out)))
        assert list(rows[0]) == TRACK_KEYS
        assert [(row["path"], row["arousal"], row["title"]) for row in rows] == [
            ("music/sub/b.wav", "0.1", ""),
            ("music/a.wav", "0.7", "Ä title"),
        ]

    @pytest.mark.parametrize(
        ("sort", "first"), [("name", "a"), ("length", "b"), ("valence", "a"), ("arousal", "b"), ("tempo", "a"), ("loudness", "a")]
    )
    def test_sorted(self, library, planted, sort: str, first: str):
        """By the least; what has no tempo or loudness comes last."""
        assert Path(json.loads(library("list", "music", "--sort", sort, "--json")[1])["results"][0]["path"]).stem == first

    def test_below_and_above(self, library, planted):
        assert [track["path"] for track in json.loads(library("list", "music/sub", "--json")[1])["results"]] == ["music/sub/b.wav"]
        assert [track["path"] for track in json.loads(library("list", ".", "--json")[1])["results"]] == ["music/a.wav", "music/sub/b.wav"]

    def test_a_folder_that_is_gone(self, library, planted):
        shutil.rmtree(planted)
        assert len(json.loads(library("list", "music", "--json")[1])["results"]) == 2

    def test_broken_files(self, library, music):
        (music / "empty.mp3").touch()
        assert library("index", "music")[0] == 3
        assert library("list", "music")[0::2] == (0, "")
        problem = "music/empty.mp3: the file is empty: record or copy it again"
        code, out, err = library("list", "music", "-v", "--json")
        assert (code, err) == (0, f"Broken: {problem}\n")
        assert json.loads(out)["failures"] == [{"input": "music/empty.mp3", "error": problem}]

    def test_another_model(self, library, music, folder, mmvatool):
        assert library("index", "music/sub")[0] == 0
        other = save_random(folder / "other.safetensors", "other", seed=1)
        code, out, err = mmvatool("library", "list", "music", "--index", "index.db", "--model", other)
        assert (code, out) == (1, "")
        assert one_line(err) == (
            "Error: music: 1 file in the index, but none that other has predicted: run mmvatool library index music with this model"
        )
        assert mmvatool("library", "index", "music", "--index", "index.db", "--model", other)[0] == 0
        code, out, err = library("list", "music", "--json")
        assert (code, json.loads(out)["unheard"]) == (0, 1)
        assert one_line(err) == "1 more in the index were not analyzed with random: run mmvatool library index music with this model"

    def test_what_was_never_indexed(self, library, planted, folder):
        code, out, err = library("list", "elsewhere", "--json")
        assert (code, out) == (1, "")
        assert one_line(err) == "Error: elsewhere: nothing of it is in the index: run mmvatool library index elsewhere first"
        (folder / "broken").mkdir()
        (folder / "broken" / "a.mp3").touch()
        assert library("index", "broken")[0] == 1
        assert one_line(library("list", "broken")[2]) == (
            "Error: broken: the index knows 1 file of it, none of which can be decoded (broken/a.mp3: the file is empty: record or copy it again)"
        )

    @pytest.mark.parametrize("command", ["list", "forget"])
    def test_an_index_that_is_not_there_is_not_laid(self, library, folder, command: str):
        code, out, err = library(command, "music", index="other.db")
        assert (code, out) == (1, "")
        assert one_line(err) == (
            "Error: other.db: there is no index yet: run mmvatool library index FOLDER first, or name another with --index"
        )
        assert list(folder.iterdir()) == []

    def test_two_forms_at_once(self, library, planted):
        code, _, err = library("list", "music", "--json", "--csv")
        assert code == 2
        assert err.splitlines()[-1] == "Error: --json and --csv cannot be printed at once: give one"


class TestForget:
    def test_a_folder_that_is_gone(self, library, planted):
        shutil.rmtree(planted)
        assert library("forget", "music/sub") == (0, "", "1 file forgotten\n")
        assert [track["path"] for track in json.loads(library("list", "music", "--json")[1])["results"]] == ["music/a.wav"]
        code, out, err = library("forget", "music/sub")
        assert (code, out) == (1, "")
        assert one_line(err) == "Error: music/sub: nothing of it is in the index: name a folder as it was indexed, or one above it"

    def test_everything(self, library, planted):
        assert library("forget", "--all", "--json", "-q") == (0, '{\n  "folder": null,\n  "forgotten": 2\n}\n', "")
        with Library("index.db") as opened:
            assert opened._file.sql.execute("SELECT count(*) FROM contents").fetchone() == (0,)
        assert library("forget", "--all") == (0, "", "0 files forgotten\n")
        assert (planted / "a.wav").exists()

    @pytest.mark.parametrize("given", [[], ["music", "--all"]])
    def test_neither_and_both(self, library, planted, given: list[str]):
        code, _, err = library("forget", *given)
        assert code == 2
        assert err.splitlines()[-1] == "Error: what to forget: give either FOLDER or --all"
