"""`prompt`: the nearest of all prompts, found and kept; with real towers in a random state."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmvatool
from mmvatool.errors import MediaError, SettingsError
from mmvatool.pipelines import prompt as pipeline
from mmvatool.pipelines.prompt import NEAR, Prompter
from mmvatool.prompts import templates
from tests.helpers import media
from trainer import CheckpointError, Predictor, checkpoint, stored
from trainer.engines.torch_engine import TorchEngine
from trainer.model.mmva import MMVA

TOWERS = {modality: {"name": "compact"} for modality in ("image", "text")}
SIGMA = 0.3
# Captions in batches of other sizes.
TOLERANCE = 1e-5
GENRES, INSTRUMENTS, MOODS = ["rock", "jazz", "choir"], ["oud", "kora", "violin", "drum"], ["calm", "wild", "sad", "bright", "slow"]
WORDS = f"""
templates = ["A {{genre}} piece.", "The {{instrument 1}} plays before the {{instrument 2}}.", "It is {{mood}}, so {{mood}}!"]
[candidates]
genre = {GENRES}
instrument = {INSTRUMENTS}
mood = {MOODS}
"""
ALL = [
    f"A {genre} piece. The {one} plays before the {two}. It is {mood}, so {mood}!"
    for genre, one, two, mood in itertools.product(GENRES, INSTRUMENTS, INSTRUMENTS, MOODS)
]


def save(path: Path, seed: int, sigma: float | None = SIGMA) -> Path:
    torch.manual_seed(seed)
    checkpoint.save(path, MMVA(TOWERS), "tiny", TOWERS, {} if sigma is None else {"sigma": str(sigma)})
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("prompt") / "tiny.safetensors", seed=0)


@pytest.fixture(scope="module")
def tiny(saved: Path) -> Predictor:
    return Predictor.load(saved, device="cpu")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.toml"
    path.write_text(WORDS)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(media.fireworks((120, 90), 0.5)).save(path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmvatool" / "prompts"


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many captions each call of the text tower got."""
    counts: list[int] = []
    text = Predictor.text

    def counted(self: Predictor, captions: list[str]) -> np.ndarray:
        counts.append(len(captions))
        return text(self, captions)

    monkeypatch.setattr(Predictor, "text", counted)
    return counts


class TestPrompts:
    def test_the_paper_s(self):
        paper = templates.load()
        assert len(paper) == 8 * 12 * 12 * 4 * 13 == 59_904
        assert paper[0] == (
            "This is a rock music piece. The melody is being played by the no instrument while no instrument is playing in the background. "
            "The rhythm is fast. The atmosphere is easy going."
        )
        assert paper[59_903] == (
            "This is a jazz music piece. The melody is being played by the synthesiser while synthesiser is playing in the background. "
            "The rhythm is mid-tempo. The atmosphere is energetic."
        )
        assert len(set(paper)) == 59_904

    def test_every_combination_in_order(self, words: Path):
        found = templates.load(words)
        assert len(found) == len(ALL) == 240
        assert list(found) == ALL
        for index in (-1, 240):
            with pytest.raises(IndexError):
                found[index]

    def test_a_list_whose_own_name_ends_in_a_number(self, words: Path):
        words.write_text('templates = ["{a 1} {a 2} {b2}"]\n[candidates]\n"a 1" = ["x"]\na = ["y", "{z}"]\nb = ["w"]')
        assert list(templates.load(words)) == ["x y w", "x {z} w"]

    def test_the_fingerprint_is_of_what_is_said(self, words: Path):
        before = templates.load(words).fingerprint
        words.write_text("# the same\n" + WORDS)
        assert templates.load(words).fingerprint == before
        words.write_text(WORDS.replace("'oud', 'kora'", "'kora', 'oud'"))
        assert templates.load(words).fingerprint != before

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("templates = [", "not a TOML file"),
            ("\udcff", "not a TOML file"),
            ("", "templates: must be a list with at least one text"),
            ("templates = []", "templates: must be a list with at least one text"),
            ('templates = "a"', "templates: must be a list with at least one text"),
            ('templates = ["a", 3]', "templates: 3 is not a text, or is empty: write words in quotes"),
            ('templates = ["a"]\nplaceholders = 1', "unknown key 'placeholders': allowed are templates and candidates"),
            ('templates = ["a {b}"]', r"template 1: \{b\} has no candidates: there are lists of nothing"),
            ('templates = ["a", "{b} {c}"]\n[candidates]\nb = ["x"]', r"template 2: \{c\} has no candidates: there are lists of b"),
            ('templates = ["{}"]\n[candidates]\nb = ["x"]', r"template 1: \{\} has no candidates"),
            ('templates = ["{b} }"]\n[candidates]\nb = ["x"]', "template 1: has a brace without its other half"),
            ('templates = ["{{b}}"]\n[candidates]\nb = ["x"]', "template 1: has a brace without its other half"),
            ('templates = ["{b}"]\n[candidates]\nb = []', r"candidates\.b: must be a list with at least one text"),
            ('templates = ["{b}"]\n[candidates]\nb = "x"', r"candidates\.b: must be a list with at least one text"),
            ('templates = ["{b}"]\n[candidates]\nb = ["x", " "]', r"candidates\.b: ' ' is not a text, or is empty"),
            ('templates = ["{b}"]\n[candidates]\nb = ["x", "y", "x"]', r"candidates\.b: 'x' is there twice: leave one out"),
            ('templates = ["{b}"]\n[candidates]\nb = ["x"]\nc = ["y"]', r"candidates\.c: no template has \{c\}"),
            ('templates = ["a"]\ncandidates = ["b"]', r"candidates: must be a table of lists"),
        ],
    )
    def test_what_cannot_be_is_named(self, words: Path, text: str, problem: str):
        words.write_text(text, errors="surrogateescape")
        with pytest.raises(SettingsError, match=rf"words\.toml: {problem}") as caught:
            templates.load(words)
        assert "\n" not in str(caught.value)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path):
        with pytest.raises(SettingsError, match=r"none\.toml: cannot be read \(No such file or directory\): check"):
            templates.load(tmp_path / "none.toml")
        with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\)"):
            templates.load(tmp_path)

    def test_two_million_are_the_most(self, words: Path):
        def write(count: int) -> None:
            numbers = [f"n{number}" for number in range(count)]
            words.write_text(f'templates = ["{{a 1}} {{a 2}} {{b}}"]\n[candidates]\na = {numbers}\nb = ["x", "y"]')

        write(1000)
        assert len(templates.load(words)) == 2_000_000
        write(1001)
        with pytest.raises(SettingsError, match=r"gives 2,004,002 combinations: 2,000,000 is the most"):
            templates.load(words)

    def test_more_combinations_than_a_machine_counts(self, words: Path):
        names = [f"n{number}" for number in range(90)]
        template = " ".join(f"{{{name}}}" for name in names)
        lists = "\n".join(f'{name} = ["x", "y"]' for name in names)
        words.write_text(f'templates = ["{template}"]\n[candidates]\n{lists}')
        with pytest.raises(SettingsError, match=rf"gives {2**90:,} combinations"):
            templates.load(words)


class TestNearest:
    def test_a_picture_gets_the_nearest_of_all_strings(self, tiny: Predictor, words: Path, photo: Path):
        va = tiny.image([np.array(Image.open(photo))], still=True)[0]
        texts = tiny.text(ALL)
        distances = np.linalg.norm(texts.astype(np.float64) - va, axis=1)
        order = np.argsort(distances)
        assert np.diff(distances[order[:6]]).min() > 2 * TOLERANCE  # the order is no matter of rounding
        found = mmvatool.prompt(photo, predictor=tiny, candidates=words, top=5)
        assert [prompt.prompt for prompt in found.prompts] == [ALL[index] for index in order[:5]]
        for prompt, index in zip(found.prompts, order, strict=False):
            np.testing.assert_allclose((prompt.valence, prompt.arousal), texts[index], atol=TOLERANCE)
            assert prompt.distance == pytest.approx(distances[index], abs=TOLERANCE)
            assert prompt.score == pytest.approx(np.exp(-distances[index] / SIGMA), abs=TOLERANCE / SIGMA)
        np.testing.assert_allclose((found.valence, found.arousal), va, atol=1e-6)
        assert (found.input, found.model) == (photo, "tiny")

    def test_va_in_place_of_a_picture(self, tiny: Predictor, words: Path):
        # Of the VA of a prompt itself, that prompt is the nearest.
        for index in (0, 100, 239):
            valence, arousal = map(float, Prompter(tiny, templates.load(words)).table[index])
            found = mmvatool.prompt((valence, arousal), predictor=tiny, candidates=words)
            assert [prompt.prompt for prompt in found.prompts] == [ALL[index]]
            assert found.prompts[0].distance == 0
            assert found.prompts[0].score == 1
            assert found.input is None

    def test_the_same_words_come_once(self, tiny: Predictor, words: Path):
        words.write_text('templates = ["{a} {b}"]\n[candidates]\na = ["very", "very very"]\nb = ["calm", "very calm"]')
        found = mmvatool.prompt((0.5, 0.5), predictor=tiny, candidates=words, top=9)
        assert {prompt.prompt for prompt in found.prompts} == {"very calm", "very very calm", "very very very calm"}
        assert len(found.prompts) == 3

    def test_without_sigma_there_is_no_score(self, words: Path, tmp_path: Path):
        predictor = Predictor.load(save(tmp_path / "plain.safetensors", 0, sigma=None), device="cpu")
        found = mmvatool.prompt((0.5, 0.5), predictor=predictor, candidates=words)
        assert found.prompts[0].score is None
        assert found.to_json()["prompts"][0]["score"] is None

    def test_what_cannot_be(self, tiny: Predictor, saved: Path, words: Path, tmp_path: Path, photo: Path):
        for va in ((1.1, 0.5), (0.5, float("nan")), (0.5,)):
            with pytest.raises(ValueError, match="must be two numbers from 0 to 1"):
                mmvatool.prompt(va, predictor=tiny, candidates=words)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="top 0: must be at least 1"):
            mmvatool.prompt((0.5, 0.5), predictor=tiny, candidates=words, top=0)
        with pytest.raises(MediaError, match=r"words\.toml: not a picture"):
            mmvatool.prompt(words, predictor=tiny, candidates=words)
        deaf = Predictor.load(saved, device="cpu", modalities=("text",))
        with pytest.raises(CheckpointError, match="has no image tower"):
            mmvatool.prompt(photo, predictor=deaf, candidates=words)

    def test_the_function_is_not_shadowed_by_a_module(self):
        assert mmvatool.prompt is pipeline.prompt
        assert callable(mmvatool.prompt)


class TestSeed:
    VA = (0.5, 0.5)

    def near(self, predictor: Predictor, words: Path) -> set[str]:
        """All prompts that may be drawn, by brute force."""
        distances = np.linalg.norm(predictor.text(ALL).astype(np.float64) - self.VA, axis=1)
        assert (np.abs(distances - distances.min() - NEAR) > 2 * TOLERANCE).all()
        return {text for text, distance in zip(ALL, distances, strict=True) if distance <= distances.min() + NEAR}

    def test_variety_within_the_bound(self, tiny: Predictor, words: Path):
        near = self.near(tiny, words)
        assert 2 < len(near) < len(ALL) / 2
        drawn = {mmvatool.prompt(self.VA, predictor=tiny, candidates=words, seed=seed).prompts[0].prompt for seed in range(100)}
        assert drawn <= near
        assert len(drawn) > min(len(near), 20) / 2

    def test_the_same_seed_draws_the_same(self, tiny: Predictor, words: Path):
        found = [mmvatool.prompt(self.VA, predictor=tiny, candidates=words, seed=5, top=3) for _ in range(2)]
        assert found[0] == found[1]
        distances = [prompt.distance for prompt in found[0].prompts]
        assert distances == sorted(distances)
        assert len({prompt.prompt for prompt in found[0].prompts}) == 3

    def test_more_than_are_near(self, tiny: Predictor, words: Path):
        near = self.near(tiny, words)
        found = mmvatool.prompt(self.VA, predictor=tiny, candidates=words, seed=5, top=len(near) + 2)
        plain = mmvatool.prompt(self.VA, predictor=tiny, candidates=words, top=len(near) + 2)
        assert found == plain
        assert near < {prompt.prompt for prompt in found.prompts}


class TestCache:
    def test_the_second_run_predicts_nothing(self, saved: Path, words: Path, cache: Path, scored: list[int]):
        stages: list[tuple[str, int]] = []

        def progress(stage: str, total: int):
            stages.append((stage, total))
            return pipeline.no_progress(stage, total)

        first = mmvatool.prompt((0.2, 0.9), predictor=Predictor.load(saved, device="cpu"), candidates=words, progress=progress)
        assert sum(scored) == 240
        assert len(list(cache.iterdir())) == 1
        scored.clear()
        again = mmvatool.prompt((0.2, 0.9), predictor=Predictor.load(saved, device="cpu"), candidates=words, progress=progress)
        assert again == first
        assert scored == []
        assert stages == [("prompts", 240)]

    def test_another_model_or_other_words_are_scored_anew(self, saved: Path, words: Path, tmp_path: Path, scored: list[int]):
        another = save(tmp_path / "other.safetensors", seed=1)

        def tables() -> list[np.ndarray]:
            other = words.with_name("other.toml")
            other.write_text(WORDS.replace("calm", "glad"))
            models = [
                Predictor.load(saved, device="cpu"),
                Predictor.load(another, device="cpu"),
                Predictor.load(saved, device="cpu", precision="bf16"),
            ]
            return [Prompter(model, templates.load(words)).table for model in models] + [Prompter(models[0], templates.load(other)).table]

        first = tables()
        assert scored == [240] * 4
        for one, two in itertools.combinations(first, 2):
            assert not np.array_equal(one, two)
        scored.clear()
        np.testing.assert_array_equal(tables(), first)
        assert scored == []

    @pytest.mark.parametrize("damage", ["empty", "cut", "longer", "a bit", "another's"])
    def test_damage_is_mended(self, tiny: Predictor, words: Path, cache: Path, scored: list[int], damage: str):
        table = Prompter(tiny, templates.load(words)).table
        (file,) = cache.iterdir()
        whole = file.read_bytes()
        if damage == "another's":
            words.write_text(WORDS.replace("calm", "glad"))
            Prompter(tiny, templates.load(words)).table  # noqa: B018
            words.write_text(WORDS)
            (other,) = set(cache.iterdir()) - {file}
            other.replace(file)
        else:
            flipped = bytearray(whole)
            flipped[500] ^= 1
            file.write_bytes({"empty": b"", "cut": whole[:-1], "longer": whole + b"\0", "a bit": bytes(flipped)}[damage])
        scored.clear()
        np.testing.assert_array_equal(Prompter(tiny, templates.load(words)).table, table)
        assert scored == [240]
        assert file.read_bytes() == whole

    def test_it_works_without_a_place_to_keep(self, tiny: Predictor, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        prompter = Prompter(tiny, templates.load(words))
        assert len(prompter.prompt((0.5, 0.5)).prompts) == 1
        assert len(prompter.warnings) == 1
        assert "not kept for the next run" in prompter.warnings[0]

    def test_without_a_home(self, tiny: Predictor, words: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("platformdirs.user_cache_path", lambda *names, **options: Path("~/.cache/mmvatool"))
        prompter = Prompter(tiny, templates.load(words))
        assert len(prompter.prompt((0.5, 0.5)).prompts) == 1
        assert "set XDG_CACHE_HOME" in prompter.warnings[0]

    def test_a_model_that_is_no_file_is_not_kept(self, words: Path, cache: Path, tmp_path: Path):
        path = tmp_path / "made.safetensors"
        checkpoint.save(path, MMVA(TOWERS), "made", TOWERS)
        predictor = Predictor(TorchEngine(path), replace(stored.read(path), fingerprint=""))
        assert Prompter(predictor, templates.load(words)).table.shape == (240, 2)
        assert not cache.exists()
