"""Music for a prompt by a tiny random MusicGen of the real classes."""

import math
import shutil
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from mmvatool.errors import OutputError, RenderError
from mmvatool.prompts import musicgen as pipeline
from mmvatool.prompts.musicgen import LICENCE, generate
from tests.helpers import musicgen
from trainer import WeightsError

PROMPT = "This is a rock music piece. The rhythm is slow."


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return musicgen.save(tmp_path_factory.mktemp("musicgen") / "tiny")


@pytest.fixture
def copied(weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights, tmp_path / "weights"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "music.wav"


def read(path: Path) -> tuple[np.ndarray, int]:
    """16-bit sound (channels, n) and its rate."""
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels()).T
        return sound, file.getframerate()


@pytest.mark.parametrize("seconds", [1, 1.2345, 2.5])
def test_a_wav_of_the_length_and_rate(weights: Path, target: Path, seconds: float):
    made = generate(PROMPT, target, seconds=seconds, musicgen=str(weights), device="cpu")
    sound, rate_hz = read(target)
    assert (rate_hz, sound.shape) == (800, (1, round(seconds * 800)))
    assert 10 < np.abs(sound).max() < 32767  # something sounds, to the end
    assert sound[:, -40:].std() > 1
    assert (made.output, made.rate_hz, made.seed, made.musicgen, made.licence) == (target, 800, 0, str(weights), LICENCE)
    assert made.seconds == pytest.approx(seconds, abs=1 / 800)
    assert made.to_json()["output"] == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["music.wav"]


def test_stereo(tmp_path: Path, target: Path):
    folder = musicgen.save(tmp_path / "stereo", channels=2)
    generate(PROMPT, target, seconds=1, musicgen=str(folder), device="cpu")
    sound, rate_hz = read(target)
    assert (rate_hz, sound.shape) == (800, (2, 800))
    assert not np.array_equal(sound[0], sound[1])


def test_samples_are_interleaved_and_clipped(target: Path):
    target.write_bytes(pipeline._wav(np.array([[0.0, 0.5, -2.0], [1.0, -1.0, 0.25]]), 800))
    sound, rate_hz = read(target)
    assert rate_hz == 800
    np.testing.assert_array_equal(sound, [[0, 16384, -32767], [32767, -32767, 8192]])


def test_the_seed_and_nothing_else_decides(weights: Path, tmp_path: Path):
    def made(name: str, prompt: str = PROMPT, **options: int) -> bytes:
        generate(prompt, tmp_path / name, seconds=1, musicgen=str(weights), device="cpu", **options)
        return (tmp_path / name).read_bytes()

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = made("a.wav", seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # a caller's own draws go on as if nothing had been
    torch.manual_seed(2)
    assert made("b.wav", seed=3) == first
    assert made("c.wav", seed=4) != first
    assert made("d.wav", seed=3, prompt="jazz") != first  # it hears the words


def test_progress_goes_to_the_end(weights: Path, target: Path):
    from contextlib import contextmanager

    seen: list[int] = []
    stages: list[tuple[str, int]] = []

    @contextmanager
    def progress(stage: str, total: int):
        stages.append((stage, total))
        yield seen.append

    generate(PROMPT, target, seconds=2, musicgen=str(weights), device="cpu", progress=progress)
    assert stages == [("composing", 102)]
    assert seen == list(range(1, 103))


def test_an_output_that_exists_is_kept(weights: Path, target: Path):
    target.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"music\.wav: already exists: use --overwrite"):
        generate(PROMPT, target, seconds=1, musicgen=str(weights), device="cpu")
    assert target.read_bytes() == b"mine"
    generate(PROMPT, target, seconds=1, musicgen=str(weights), device="cpu", overwrite=True)
    assert read(target)[0].shape == (1, 800)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("music.mp3", r"cannot write \.mp3: name it \.wav"),
        ("music", r"cannot write a file without suffix: name it \.wav"),
        ("none/music.wav", "its folder does not exist"),
        ("folder.wav", "is a folder: choose another name"),
    ],
)
def test_targets_that_cannot_be(weights: Path, tmp_path: Path, name: str, problem: str):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OutputError, match=problem):
        generate(PROMPT, tmp_path / name, musicgen=str(weights), device="cpu", overwrite=True)


@pytest.mark.parametrize("seconds", [0.9, 30.1, -1, math.nan, math.inf])
def test_lengths_that_cannot_be(weights: Path, target: Path, seconds: float):
    with pytest.raises(ValueError, match="seconds of music: must be 1 to 30"):
        generate(PROMPT, target, seconds=seconds, musicgen=str(weights), device="cpu")


class TestWeights:
    def refused(self, source: Path | str, target: Path, words: str) -> None:
        with pytest.raises(WeightsError, match=words) as caught:
            generate(PROMPT, target, seconds=1, musicgen=str(source), device="cpu")
        assert "\n" not in str(caught.value)
        assert not target.exists()

    @pytest.mark.parametrize("source", ["facebook/musicgen-small", "no/such", "a/b/c", "no folder", ""])
    def test_not_on_this_machine(self, target: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        started = time.monotonic()
        self.refused(source, target, "not on this machine: `hf download facebook/musicgen-small` gets them|holds no config.json")
        assert time.monotonic() - started < 20  # no network is waited for

    def test_in_the_hub_s_cache(self, weights: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        repository = tmp_path / "hub" / "models--someone--tiny"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        shutil.copytree(weights, repository / "snapshots" / ("0" * 40))
        made = generate(PROMPT, target, seconds=1, musicgen="someone/tiny", device="cpu")
        assert made.musicgen == "someone/tiny"
        assert read(target)[0].shape == (1, 800)

    def test_as_published_with_the_older_names_of_normalised_weights(self, copied: Path, weights: Path, tmp_path: Path):
        file = copied / "model.safetensors"
        tensors = load_file(file)
        older = {
            key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): value
            for key, value in tensors.items()
        }
        assert any(key.endswith("weight_g") for key in older)
        save_file(older, file, {"format": "pt"})
        for name, folder in (("new.wav", weights), ("older.wav", copied)):
            generate(PROMPT, tmp_path / name, seconds=1, musicgen=str(folder), device="cpu")
        assert (tmp_path / "new.wav").read_bytes() == (tmp_path / "older.wav").read_bytes()

    def test_another_model_s(self, copied: Path, target: Path):
        (copied / "config.json").write_text('{"model_type": "bert"}')
        self.refused(copied, target, "holds a model of type 'bert', not 'musicgen'")
        for text in ("{", "[]"):
            (copied / "config.json").write_text(text)
            self.refused(copied, target, r"holds no config\.json that can be read")

    def test_truncated(self, copied: Path, target: Path):
        file = copied / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        self.refused(copied, target, r"weights: cannot be loaded as MusicGen \(.*\): get it again")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("model.safetensors", r"cannot be loaded as MusicGen \(.*\): get it again"),
            ("tokenizer.json", r"holds no tokenizer\.json or spiece\.model: get MusicGen's weights again"),
            ("config.json", r"holds no config\.json that can be read"),
        ],
    )
    def test_a_file_is_missing(self, copied: Path, target: Path, name: str, words: str):
        (copied / name).unlink()
        self.refused(copied, target, words)

    def test_a_tensor_is_missing(self, copied: Path, target: Path):
        file = copied / "model.safetensors"
        tensors = load_file(file)
        del tensors["decoder.lm_heads.0.weight"]
        save_file(tensors, file, {"format": "pt"})
        self.refused(copied, target, r"lacks 1 of MusicGen's tensors \(decoder\.lm_heads\.0\.weight, \.\.\.\): get it again")

    def test_numbers_that_are_none(self, copied: Path, target: Path):
        file = copied / "model.safetensors"
        tensors = load_file(file)
        for name, words in (
            ("decoder.lm_heads.0.weight", "MusicGen failed"),
            (next(key for key in tensors if "audio_encoder.decoder" in key), "no sound"),
        ):
            save_file({**tensors, name: torch.full_like(tensors[name], math.nan)}, file, {"format": "pt"})
            with pytest.raises(RenderError, match=words):
                generate(PROMPT, target, seconds=1, musicgen=str(copied), device="cpu")
            assert not target.exists()
