"""`mmvatool search` as scripts and people meet it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool import search
from mmvatool.errors import QueryError, SettingsError
from mmvatool.library import update as pipeline
from mmvatool.library.database import Library, Sound
from mmvatool.library.update import index, model_key
from mmvatool.library.walk import walk
from mmvatool.soundtracks.matching import FAR
from tests.cli.test_summarize import one_line_error
from tests.helpers import media
from tests.helpers.models import save_random
from tests.helpers.synthetic import sound, write_wav
from trainer import Predictor

SIGMA = 0.3
HIT_KEYS = {"path", "score", "distance", "valence", "arousal", "duration_s"}
# Figures of a document are rounded to 6 places.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(tmp_path_factory.mktemp("models") / "random.safetensors", sigma=SIGMA)


@pytest.fixture(scope="module")
def whole(checkpoint: Path) -> Predictor:
    return Predictor.load(checkpoint, device="cpu")


@pytest.fixture
def find(
    mmvatool, whole: Predictor, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """`mmvatool search --library music --index index.db` with the random model, loaded once."""
    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda model, **options: whole if model == str(checkpoint) else load(model, **options))

    def call(*args: object, model: object = checkpoint, library: object = "music") -> tuple[int, str, str]:
        return mmvatool("search", *args, "--library", library, "--index", "index.db", "--model", model)

    return call


@pytest.fixture
def plant(folder: Path, whole: Predictor) -> Callable[..., None]:
    """Tracks in music/ that are in the index already, each with a VA of the test's choice."""

    def call(**tracks: tuple[float, float]) -> None:
        (folder / "music").mkdir(exist_ok=True)
        for name in tracks:
            write_wav(folder / "music" / f"{name}.wav", np.zeros(2400, np.float32))
        with Library(folder / "index.db") as library:
            for file in walk(folder / "music")[0]:
                va = np.array([tracks[file.display_path.stem]])
                library.put_predicted(file.path, file.stamp, file.path[-20:], Sound(61.25), model_key(whole), np.array([5.0]), va)

    return call


CORNERS = {"calm": (0.8, 0.1), "furious": (0.1, 0.9), "happy": (0.9, 0.8), "sad": (0.2, 0.2)}


class TestRanking:
    def test_va(self, find, plant):
        plant(**CORNERS)
        code, out, err = find("--va", "0.2,0.8", "--top", 3, "--json")
        assert (code, err) == (0, "")
        document = json.loads(out)
        assert set(document) == {"query", "match", "results", "failures", "model"}
        assert document["match"] == "absolute"
        assert (document["model"], document["failures"]) == ("random", [])
        assert document["query"] == pytest.approx({"valence": 0.2, "arousal": 0.8}, abs=TOLERANCE)
        assert [Path(hit["path"]).stem for hit in document["results"]] == ["furious", "sad", "happy"]
        first, second, third = document["results"]
        assert set(first) == HIT_KEYS
        assert first["path"] == "music/furious.wav"
        assert first["distance"] == pytest.approx(np.hypot(0.1, 0.1), abs=TOLERANCE)
        assert first["score"] == pytest.approx(np.exp(-np.hypot(0.1, 0.1) / SIGMA), abs=TOLERANCE)
        assert (first["valence"], first["arousal"], first["duration_s"]) == pytest.approx((0.1, 0.9, 61.25), abs=TOLERANCE)
        assert (second["distance"], third["distance"]) == pytest.approx((0.6, 0.7), abs=TOLERANCE)

    def test_words_find_what_the_model_says_of_them(self, find, plant, whole):
        calm, wild = whole.text(["a calm sea", "wild drums"]).astype(float)
        assert np.abs(calm - wild).max() > 1e-3
        plant(near_calm=tuple(calm), near_wild=tuple(wild))
        for words, expected, va in (["a calm sea", "near_calm", calm], ["wild drums", "near_wild", wild]):
            document = json.loads(find(words, "--json")[1])
            assert document["query"]["text"] == words
            assert [document["query"][axis] for axis in ("valence", "arousal")] == pytest.approx(va.tolist(), abs=1e-5)
            assert Path(document["results"][0]["path"]).stem == expected
            assert document["results"][0]["distance"] == pytest.approx(0, abs=1e-5)
        assert find("a", "calm", "sea", "--json")[1] == find("a calm sea", "--json")[1]  # quotes may be left out

    def test_like_a_picture_and_a_video(self, find, plant, whole, clip):
        plant(**CORNERS)
        frame = media.fireworks((160, 90), 0.0).copy()
        Image.fromarray(frame).save("photo.png")
        document, va = json.loads(find("--like", "photo.png", "--json")[1]), whole.image([frame], still=True)[0]
        assert document["query"]["like"] == "photo.png"
        assert [document["query"][axis] for axis in ("valence", "arousal")] == pytest.approx(va.tolist(), abs=1e-4)
        from mmvatool.analysis.curves import image_curve
        from mmvatool.media.probe import probe

        curve, _ = image_curve(probe(clip), whole)
        va = curve.va.mean(0)
        document = json.loads(find("--like", "clip.mp4", "--json")[1])
        assert [document["query"][axis] for axis in ("valence", "arousal")] == pytest.approx(va.tolist(), abs=1e-5)

    def test_a_song_is_most_like_itself(self, find, folder):
        (folder / "music").mkdir()
        rng = np.random.default_rng(0)
        for name, va in (("low", (0.1, 0.2)), ("high", (0.9, 0.9))):
            write_wav(folder / "music" / f"{name}.wav", sound(np.array(va), 3.0, rng))
        for name in ("low", "high"):
            code, out, _ = find("--like", f"music/{name}.wav", "--json")
            assert code == 0
            first, second = json.loads(out)["results"]
            assert (Path(first["path"]).stem, first["distance"]) == (name, pytest.approx(0, abs=1e-5))
            assert first["duration_s"] == pytest.approx(3, abs=0.01)
            assert second["distance"] > 1e-4

    def test_ties_go_by_name(self, find, plant):
        plant(track10=(0.5, 0.5), track2=(0.5, 0.5), Track1=(0.5, 0.5), other=(0.9, 0.9))
        names = [Path(line).stem for line in find("--va", "0.5,0.4", "--top", 2, "--paths")[1].splitlines()]
        assert names == ["Track1", "track2"]

    def test_without_a_sigma_there_is_no_score(self, find, plant, folder, whole):
        plain = save_random(folder / "plain.safetensors", "plain", sigma=None)
        loaded = Predictor.load(plain, device="cpu")
        assert loaded.sigma is None
        write_wav_in(folder / "music" / "a.wav")
        code, out, err = find("--va", "0.5,0.5", "--json", model=plain)
        assert code == 0
        assert json.loads(out)["results"][0]["score"] is None
        assert err.splitlines()[0] == "plain has no sigma: ranked by distance, without a score"
        assert " - " in find("--va", "0.5,0.5", model=plain)[1]

    @pytest.mark.parametrize(("arousal", "warned"), [(0.9 - FAR - 0.02, True), (0.9 - FAR + 0.02, False)])
    def test_nothing_near_is_reported(self, find, plant, arousal: float, warned: bool):
        plant(furious=(0.1, 0.9))
        code, out, err = find("--va", f"0.1,{arousal}", "--paths")
        assert (code, out) == (0, "music/furious.wav\n")
        assert err == ("Nothing in the library is near: the nearest track lies 0.22 away\n" if warned else "")


# All sad, and as exciting as each other.
BAND = {"least": (0.05, 0.5), "less": (0.07, 0.5), "middle": (0.08, 0.5), "more": (0.1, 0.5), "most": (0.11, 0.5)}


class TestByRank:
    @pytest.mark.parametrize(("va", "first", "away"), [("0.9,0.5", "most", 0.79), ("0.2,0.5", "least", 0.15)])
    def test_a_sad_library_has_its_happiest_and_its_saddest_track(self, find, plant, va: str, first: str, away: float):
        plant(**BAND)
        document = json.loads(find("--va", va, "--json")[1])
        assert (document["match"], Path(document["results"][0]["path"]).stem) == ("absolute", "most")
        assert find("--va", va, "--json", "--match", "absolute")[1] == find("--va", va, "--json")[1]
        document = json.loads(find("--va", va, "--json", "--match", "library")[1])
        assert document["match"] == "library"
        ranked = [Path(hit["path"]).stem for hit in document["results"]]
        assert ranked == (list(BAND) if first == "least" else list(BAND)[::-1])
        hit = document["results"][0]  # as predicted
        assert (hit["distance"], hit["valence"]) == pytest.approx((away, BAND[first][0]), abs=TOLERANCE)
        assert hit["score"] == pytest.approx(np.exp(-away / SIGMA), abs=TOLERANCE)
        assert document["query"]["valence"] == pytest.approx(float(va[:3]), abs=TOLERANCE)

    @pytest.mark.parametrize(("valence", "said"), [(0.9, "the nearest track lies 0.79 away"), (0.2, "")])
    def test_nothing_near_is_judged_as_predicted(self, find, plant, valence: float, said: str):
        plant(**BAND)
        code, out, err = find("--va", f"{valence},0.5", "--match", "library", "--paths")
        assert (code, len(out.splitlines())) == (0, 5)
        assert err == (f"Nothing in the library is near: {said}\n" if said else "")

    def test_the_table_says_so(self, find, plant):
        plant(**BAND)
        assert find("--va", "0.2,0.5", "--match", "library")[1].splitlines()[0].strip() == (
            "nearest by rank to valence 0.200, arousal 0.500 in music"
        )

    def test_one_track_and_equal_tracks(self, find, plant):
        plant(track2=(0.3, 0.3))
        assert find("--va", "0.9,0.9", "--match", "library", "--paths", "-q")[:2] == (0, "music/track2.wav\n")
        plant(track10=(0.3, 0.3), track2=(0.3, 0.3))
        assert find("--va", "0.9,0.9", "--match", "library", "--paths", "-q")[1].split() == ["music/track2.wav", "music/track10.wav"]

    def test_of_equally_near_ranks_the_nearer_track_comes_first(self, find, plant):
        plant(b=(0.5, 0.3), a=(0.5, 0.8))
        assert find("--va", "0.5,0.5", "--match", "library", "--paths")[1].split() == ["music/b.wav", "music/a.wav"]


def write_wav_in(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_wav(path, sound(np.array([0.5, 0.5]), 0.5, np.random.default_rng(0)))
    return path


class TestWhatIsPrinted:
    def test_a_table(self, find, plant):
        plant(**CORNERS)
        code, out, err = find("--va", "0.2,0.8")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].strip() == "nearest to valence 0.200, arousal 0.800 in music"
        assert all(word in lines[2] for word in ("track", "score", "distance", "valence", "arousal", "length"))
        assert all(word in lines[4] for word in ("1", "furious.wav", "0.624", "0.141", "0.100", "0.900", "1:01"))

    def test_paths_for_a_shell(self, find, plant, folder):
        plant(**CORNERS)
        assert find("--va", "0.2,0.8", "--top", 2, "--paths")[:2] == (0, "music/furious.wav\nmusic/sad.wav\n")
        assert find("--va", "0.2,0.8", "--top", 2, "-0")[:2] == (0, "music/furious.wav\0music/sad.wav\0")

    def test_odd_names_come_out_as_they_are(self, find, folder, start, checkpoint):
        names = [b"-dash.wav", b"not\xffutf8.wav", b"two\nlines.wav"]
        for name in names:
            write_wav_in(folder / "music" / os.fsdecode(name))
        process = start(
            "search",
            "--va",
            "0.5,0.5",
            "--library",
            ".",
            "--index",
            "../i.db",
            "--model",
            checkpoint,
            "--print0",
            "-q",
            cwd=folder / "music",
        )
        out, err = process.communicate(timeout=60)
        assert (err, process.returncode) == ("", 0)
        assert [os.fsencode(path) for path in out.split("\0")] == [b"./-dash.wav", *names[1:], b""]
        document = json.loads(find("--va", "0.5,0.5", "--json")[1])
        assert [os.fsencode(hit["path"]) for hit in document["results"]] == [b"music/" + name for name in names]
        assert "two\\nlines.wav" in find("--va", "0.5,0.5")[1]

    def test_verbose_reports_the_update_of_the_index(self, find, folder):
        write_wav_in(folder / "music" / "a.wav")
        assert "1 track: 1 added, 0 changed, 0 moved, 0 unchanged, 0 removed; 1 predicted" in find("--va", "0.5,0.5", "-v")[2]
        assert "0 added, 0 changed, 0 moved, 1 unchanged, 0 removed; 0 predicted" in find("--va", "0.5,0.5", "-v")[2]


class TestBadInput:
    def test_broken_files_are_listed_and_the_rest_goes_on(self, find, folder, monkeypatch):
        write_wav_in(folder / "music" / "a.wav")
        (folder / "music" / "empty.mp3").touch()
        (folder / "music" / "text.mp3").write_text("not music\n")
        code, out, err = find("--va", "0.5,0.5", "--json")
        assert code == 3
        assert [line.split(": ")[1] for line in err.splitlines() if line.startswith("Error: ")] == ["music/empty.mp3", "music/text.mp3"]
        document = json.loads(out)
        assert [failure["input"] for failure in document["failures"]] == ["music/empty.mp3", "music/text.mp3"]
        assert "is empty" in document["failures"][0]["error"]
        assert len(document["results"]) == 1
        monkeypatch.setattr(pipeline, "analyze_track", None)  # nothing is decoded, the broken ones neither
        assert find("--va", "0.5,0.5", "--json") == (3, out, err)

    def test_a_folder_without_music(self, find, folder):
        (folder / "music").mkdir()
        (folder / "music" / "notes.txt").touch()
        code, out, err = find("--va", "0.5,0.5")
        assert (code, out) == (1, "")
        one_line_error(err, "music: holds no music (1 other file left out: 1 .txt): name a folder with mp3, flac")

    def test_a_folder_of_broken_files(self, find, folder):
        (folder / "music").mkdir()
        for name in ("a.mp3", "b.mp3"):
            (folder / "music" / name).touch()
        code, out, err = find("--va", "0.5,0.5")
        assert (code, out) == (1, "")
        one_line_error(err, "holds no music that can be decoded", "music/a.mp3: the file is empty", "1 more")

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ([], "give either words, or --like FILE, or --va"),
            (["calm", "--va", "0.5,0.5"], "give either words, or --like FILE, or --va"),
            ([" "], "the words are empty"),
            (["--va", "0.5"], "'0.5' is not a valence and an arousal: write 0.3,0.8"),
            (["--va", "0.5,1.5"], "valence and arousal lie between 0 and 1"),
            (["--va", "nan,0.5"], "valence and arousal lie between 0 and 1"),
            (["--va", "0.5,0.5", "--top", "0"], "--top"),
            (["--va", "0.5,0.5", "--match", "genre"], "'genre' is not one of 'absolute', 'library'"),
            (["--va", "0.5,0.5", "--json", "--paths"], "give one"),
            (["--like", "missing.jpg"], "missing.jpg"),
        ],
    )
    def test_wrong_usage(self, find, folder, args: list[str], words: str):
        (folder / "music").mkdir()
        code, out, err = find(*args)
        assert (code, out) == (2, "")
        assert words in err.splitlines()[-1]
        assert not (folder / "index.db").exists()

    def test_a_library_that_is_not_there(self, find):
        code, _, err = find("--va", "0.5,0.5", library="nowhere")
        assert code == 2
        assert "nowhere" in err

    def test_a_file_like_nothing(self, find, folder):
        write_wav_in(folder / "music" / "a.wav")
        (folder / "notes.txt").write_text("no picture, no song")
        code, out, err = find("--like", "notes.txt")
        assert (code, out) == (1, "")
        one_line_error(err, "notes.txt: is not a media file")
        assert not (folder / "index.db").exists()  # nothing is analyzed for an invalid query

    def test_words_that_nobody_knows(self, find, folder, monkeypatch):
        write_wav_in(folder / "music" / "a.wav")
        monkeypatch.setattr(Predictor, "unknown", lambda self, captions: ["calm" not in caption for caption in captions], raising=False)
        code, out, err = find("qwrt", "zxcv")
        assert (code, out) == (1, "")
        one_line_error(err, "'qwrt zxcv': random knows no word of it: describe a mood in English")
        assert not (folder / "index.db").exists()
        assert find("calm", "zxcv")[0] == 0

    def test_an_index_that_is_none(self, find, folder):
        write_wav_in(folder / "music" / "a.wav")
        shutil.copy(folder / "music" / "a.wav", folder / "index.db")
        code, _, err = find("--va", "0.5,0.5")
        assert code == 1
        one_line_error(err, "index.db: is not an index, or a damaged one", "delete it")

    def test_a_model_without_the_tower(self, find, folder, predictor):
        if "music" in predictor.modalities:
            pytest.skip("the bundled model has a music tower")
        write_wav_in(folder / "music" / "a.wav")
        code, _, err = find("--va", "0.5,0.5", model="compact")
        assert code == 1
        one_line_error(err, "no music tower")


class TestPython:
    def test_the_function_finds(self, plant, whole, folder):
        plant(**CORNERS)
        found = search(va=(0.85, 0.75), library="music", index_file="index.db", predictor=whole, top=1)
        assert [hit.path for hit in found.hits] == [Path("music/happy.wav")]
        assert (found.indexed.tracks, found.is_far, found.failures) == (4, False, ())

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"text": "calm", "va": (0.5, 0.5)},
            {"text": ""},
            {"va": (0.5, 2.0)},
            {"va": (0.5, 0.5), "top": 0},
            {"va": (0.5, 0.5), "match": "genre"},
        ],
    )
    def test_what_cannot_be_asked(self, whole, folder, given: dict[str, object]):
        with pytest.raises(SettingsError):
            search(library=".", predictor=whole, index_file="index.db", **given)

    def test_an_index_beside_other_libraries(self, plant, whole, folder):
        plant(**CORNERS)
        (folder / "other").mkdir()
        with Library("index.db") as library:
            assert index("other", library, whole).tracks == 0
        with pytest.raises(QueryError, match="holds no music"):
            search(va=(0.5, 0.5), library="other", index_file="index.db", predictor=whole)
        assert len(search(va=(0.5, 0.5), library="music", index_file="index.db", predictor=whole).hits) == 4
