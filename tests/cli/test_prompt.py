"""`mmvatool prompt` as scripts and people meet it."""

import json
import os
import wave
from itertools import combinations
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.test_summarize import in_folder, one_line_error
from tests.helpers import media, musicgen
from trainer import Predictor, checkpoint
from trainer.model.mmva import MMVA

TOWERS = {modality: {"name": "compact"} for modality in ("image", "text")}
WORDS = """
templates = ["A {genre} piece", "that is {mood}."]
[candidates]
genre = ["rock", "jazz", "choir"]
mood = ["calm", "wild", "sad", "bright", "slow"]
"""
ALL = [f"A {genre} piece that is {mood}." for genre in ("rock", "jazz", "choir") for mood in ("calm", "wild", "sad", "bright", "slow")]
ODD_NAMES = ["a'b\"c.png", "two\nlines.png", "🎆 :smile: $x$ [b].png", "-dash.png", os.fsdecode(b"not\xffutf8.png"), "per%d%%cent.png"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompt") / "tiny.safetensors"
    torch.manual_seed(0)
    checkpoint.save(path, MMVA(TOWERS), "tiny", TOWERS, {"sigma": "0.3"})
    return path


@pytest.fixture(scope="session")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return musicgen.save(tmp_path_factory.mktemp("composer") / "tiny")


@pytest.fixture
def photos(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with calm.png, wild.png, a text file named broken.jpg and words.toml; caches lie in it, too."""
    Image.fromarray(media.meadow((60, 40), 0)).save("calm.png")
    Image.fromarray(media.fireworks((60, 40), 0.5)).save("wild.png")
    Path("broken.jpg").write_text("no picture")
    Path("words.toml").write_text(WORDS)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder


@pytest.fixture
def prompt(mmvatool, photos: Path, tiny: Path):
    return lambda *args: mmvatool("prompt", "--model", tiny, "--candidates", "words.toml", *args)


class TestOutputs:
    def test_the_prompt_alone_on_stdout(self, prompt):
        code, out, err = prompt("calm.png")
        assert code == 0
        assert out.removesuffix("\n") in ALL
        first, second = err.splitlines()
        assert first == "scoring 15 prompts, once for this model and these candidates"
        assert second.startswith("calm.png: valence 0.")
        assert "nearest prompt at distance 0." in second
        assert "score 0." in second
        assert prompt("calm.png", "-q") == (0, out, "")

    def test_top_and_several_inputs(self, prompt):
        code, out, err = prompt("calm.png", "wild.png", "--va", "0.3,0.8", "--va", "1,0", "--top", "15")
        lines = out.splitlines()
        assert (code, len(lines)) == (0, 60)
        assert all(sorted(lines[start : start + 15]) == sorted(ALL) for start in range(0, 60, 15))
        names = ("calm.png", "wild.png", "0.3,0.8", "1,0")
        assert [line.split(": ")[0] for line in err.splitlines()[-4:]] == list(names)

    def test_a_folder_gives_its_pictures(self, prompt, photos: Path):
        (photos / "broken.jpg").unlink()
        assert [result["input"] for result in json.loads(prompt(".", "calm.png", "--json")[1])["results"]] == ["calm.png", "wild.png"]

    def test_json(self, prompt, tiny: Path):
        code, out, _ = prompt("calm.png", "--va", "0.3,0.8", "--top", "2", "--json")
        document = json.loads(out)
        assert (code, set(document), document["failures"]) == (0, {"results", "failures"}, [])
        assert [result["input"] for result in document["results"]] == ["calm.png", "0.3,0.8"]
        for result in document["results"]:
            assert set(result) == {"input", "valence", "arousal", "prompts", "model"}
            assert result["model"] == "tiny"
            assert [set(entry) for entry in result["prompts"]] == [{"prompt", "valence", "arousal", "distance", "score"}] * 2
        assert (document["results"][1]["valence"], document["results"][1]["arousal"]) == (0.3, 0.8)
        va = Predictor.load(tiny, device="cpu").text([document["results"][0]["prompts"][0]["prompt"]])[0]
        found = document["results"][0]["prompts"][0]
        assert (found["valence"], found["arousal"]) == pytest.approx(tuple(va), abs=1e-5)

    def test_the_second_run_scores_nothing(self, prompt):
        before = prompt("calm.png")
        assert "scoring 15 prompts" in before[2]
        again = prompt("calm.png")
        assert again[:2] == before[:2]
        assert "scoring" not in again[2]

    def test_a_seed_draws_and_repeats(self, prompt):
        entries = json.loads(prompt("--va", "0.5,0.5", "--top", "15", "--json")[1])["results"][0]["prompts"]
        # Midway between the two that are closest to each other, both are the nearest.
        pairs = [((a["valence"] - b["valence"]) ** 2 + (a["arousal"] - b["arousal"]) ** 2, a, b) for a, b in combinations(entries, 2)]
        _, one, two = min(pairs, key=lambda pair: pair[0])
        va = f"{(one['valence'] + two['valence']) / 2},{(one['arousal'] + two['arousal']) / 2}"
        drawn = [prompt("--va", va, "--seed", seed, "-q")[1].strip() for seed in (*range(9), *range(9))]
        assert drawn[:9] == drawn[9:]
        assert set(drawn) >= {one["prompt"], two["prompt"]}

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, prompt, photos: Path, name: str):
        (photos / "calm.png").rename(photos / name)
        prompt("--va", "0,0", "-q")
        code, out, err = prompt("--json", "--", name)
        assert (code, json.loads(out)["results"][0]["input"]) == (0, name)
        assert err.count("\n") == 1, err


class TestErrors:
    def test_a_reader_that_has_had_enough(self, start, photos: Path, tiny: Path):
        reader, writer = os.pipe()
        os.close(reader)
        process = start("prompt", "--model", tiny, "--candidates", "words.toml", "--va", "0,0", "--va", "1,1", "-q", stdout=writer)
        os.close(writer)
        err = process.communicate(timeout=60)[1]
        assert (process.returncode, err) == (1, "")

    def test_the_rest_goes_on(self, prompt):
        prompt("--va", "0,0", "-q")
        Path("empty").mkdir()
        code, out, err = prompt("broken.jpg", "none.png", "empty", "calm.png", "--json", "-q")
        document = json.loads(out)
        assert code == 3
        assert [result["input"] for result in document["results"]] == ["calm.png"]
        failures = {failure["input"]: failure["error"] for failure in document["failures"]}
        assert failures == {
            "broken.jpg": "broken.jpg: not a picture that can be read; convert it to JPEG or PNG",
            "none.png": "none.png: no such file: check the name",
            "empty": "empty: holds no picture (*.summary.* and *.soundtrack.* are this tool's own): name pictures, or a folder with pictures in it",
        }
        assert sorted(err.splitlines()) == sorted(f"Error: {text}" for text in failures.values())

    def test_all_failed(self, prompt):
        code, out, err = prompt("broken.jpg")
        assert (code, out) == (1, "")
        one_line_error(err.replace("; ", ": "), "broken.jpg", "not a picture")

    def test_a_model_without_words(self, mmvatool, photos: Path, tmp_path: Path):
        towers = {"image": {"name": "compact"}}
        checkpoint.save(tmp_path / "mute.safetensors", MMVA(towers), "mute", towers)
        code, out, err = mmvatool("prompt", "calm.png", "--model", "mute.safetensors")
        assert (code, out) == (1, "")
        one_line_error(err, "mute.safetensors: has no text tower, only image")

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ([], "nothing to find words for: name a picture, or give --va"),
            (["none.png"], "none.png: no such file: check the name"),
            ([""], "an empty name: name a picture"),
            (["--va", "0.3"], "'0.3' is not a valence and an arousal: write 0.3,0.8"),
            (["--va", "0.3,1.2"], "'0.3,1.2': valence and arousal lie between 0 and 1"),
            (["--va", "nan,0"], "'nan,0': valence and arousal lie between 0 and 1"),
            (["calm.png", "--top", "0"], "0 is not in the range x>=1"),
            (["calm.png", "--seed", "-1"], "-1 is not in the range"),
            (["*.png", "--generate", "a.wav"], "--generate writes one file: give one picture, or one --va"),
            (["calm.png", "--generate", "a.wav", "--seconds", "31"], "31: must be 1 to 30"),
            (["calm.png", "--generate", "a.wav", "--seconds", "nan"], "nan: must be 1 to 30"),
            (["calm.png", "--candidates", "none.toml"], "none.toml: cannot be read (No such file or directory): check its name"),
            (["calm.png", "--candidates", "calm.png"], "calm.png: not a TOML file"),
        ],
    )
    def test_wrong_usage(self, prompt, args: list[str], words: str):
        code, out, err = prompt(*args)
        assert (code, out) == (2, "")
        assert words in " ".join(err.split())


class TestGenerate:
    def test_music_for_the_best(self, prompt, photos: Path, composer: Path):
        args = ("calm.png", "--generate", "music.wav", "--musicgen", composer, "--seconds", "1.5", "--seed", "7", "--device", "cpu")
        code, out, err = prompt(*args, "--json")
        result = json.loads(out)["results"][0]
        assert code == 0, err
        assert result["generated"] == {
            "output": "music.wav",
            "prompt": result["prompts"][0]["prompt"],
            "seconds": 1.5,
            "rate_hz": 800,
            "seed": 7,
            "musicgen": str(composer),
            "licence": "CC-BY-NC-4.0",
        }
        assert err.splitlines()[-1].startswith("music.wav: 1.5 s by ")
        assert err.splitlines()[-1].endswith("MusicGen's weights are CC-BY-NC-4.0: not for commercial use")
        with wave.open("music.wav") as file:
            assert (file.getframerate(), file.getnframes(), file.getnchannels(), file.getsampwidth()) == (800, 1200, 1, 2)
        first = Path("music.wav").read_bytes()
        code, out, err = prompt(*args)
        assert (code, out) == (1, "")
        one_line_error(err, "music.wav: already exists: use --overwrite")
        assert prompt(*args, "--overwrite")[0] == 0
        assert Path("music.wav").read_bytes() == first
        assert in_folder(photos) == {"calm.png", "wild.png", "broken.jpg", "words.toml", "cache", "music.wav"}

    def test_weights_that_are_not_there_are_said_before_any_work(self, prompt, photos: Path):
        code, out, err = prompt("calm.png", "--generate", "music.wav", "--musicgen", "./none")
        assert (code, out) == (1, "")
        one_line_error(err, "MusicGen's weights './none' are not on this machine", "hf download", "CC-BY-NC")
        assert in_folder(photos) == {"calm.png", "wild.png", "broken.jpg", "words.toml"}

    def test_a_failed_composition_leaves_the_prompt(self, prompt, photos: Path, tmp_path: Path):
        empty = tmp_path / "empty"
        empty.mkdir()
        (empty / "config.json").write_text('{"model_type": "musicgen"}')
        (empty / "tokenizer.json").write_text("{}")
        code, out, err = prompt("calm.png", "--generate", "music.wav", "--musicgen", "empty", "--json")
        document = json.loads(out)
        assert code == 3
        assert "generated" not in document["results"][0]
        assert document["failures"][0]["input"] == "calm.png"
        assert "cannot be loaded as MusicGen" in err.splitlines()[-1]
        assert not Path("music.wav").exists()
