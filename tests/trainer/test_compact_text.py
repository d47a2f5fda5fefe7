"""The compact text tower, its vocabulary and the Predictor's answer to words it does not know."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from trainer import Predictor, checkpoint
from trainer.evaluation.baselines_text import tfidf_ridge
from trainer.model.compact_text import CompactTextTower
from trainer.model.heads import va_head
from trainer.model.linear_text import CrossFittedRidge
from trainer.model.mmva import MMVA

GOOD = ("happy", "cheerful", "sunny", "merry", "blissful", "joyful")
BAD = ("gloomy", "bleak", "dreadful", "mournful", "grim", "tragic")
FRAMES = ("a {} song", "this is a {} tune", "the mood is {}", "{}", "{} music with drums", "it sounds {}")
ODD = ["", "!!!", "   ", "\ud800 broken", "静かな歌", "🎵🎶", "x", "frantic " * 500, "é" * 3000, "120 1.5", "don’t DON'T don't"]


def planted() -> tuple[list[str], torch.Tensor]:
    """Captions whose valence is .2 or .8 by their word, negated in half of them; arousal by their punctuation."""
    texts, labels = [], []
    for words, valence in ((GOOD, 0.8), (BAD, 0.2)):
        for word in words:
            for frame in FRAMES:
                for negated in (False, True):
                    for mark, arousal in (("!", 0.75), (".", 0.25)):
                        filled = frame.format(f"not {word}" if negated else word)
                        texts.append(filled if filled == word else filled + mark)
                        labels.append((1 - valence if negated else valence, 0.5 if filled == word else arousal))
    return texts, torch.tensor(labels)


def trained(tower: CompactTextTower, texts: list[str], va: torch.Tensor, steps: int) -> torch.nn.Module:
    head = va_head(0.1)
    features = tower.preprocess(texts)
    tower.fit(features, va)
    model = torch.nn.Sequential(tower, head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(texts), (64,), generator=order)
        loss = (head(tower.reduce(features[rows])) - va[rows]).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return head


@pytest.fixture(scope="module")
def learned() -> tuple[CompactTextTower, torch.nn.Module]:
    torch.manual_seed(0)
    tower = CompactTextTower()
    return tower, trained(tower, *planted(), steps=80)


def predict(learned: tuple[CompactTextTower, torch.nn.Module], *texts: str) -> np.ndarray:
    tower, head = learned
    with torch.no_grad():
        return head(tower.embed(tower.preprocess(texts))).numpy()


def test_a_planted_vocabulary_is_learned(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    va = predict(learned, "a sunny and merry melody!", "a grim and tragic melody.", "a sunny and merry melody.")
    assert va[0, 0] > 0.65
    assert va[1, 0] < 0.35
    assert va[0, 1] > va[2, 1] + 0.2


def test_the_order_of_words_matters(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    va = predict(learned, "a not happy song.", "a happy song.", "not bleak", "bleak")
    assert va[0, 0] < va[1, 0] - 0.2
    assert va[2, 0] > va[3, 0] + 0.2


def test_inflections_share_what_was_learned(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    tower, _ = learned
    va = predict(learned, "cheerfully", "gloomily", "happier", "bleakest", "qwertz")
    assert va[[0, 2], 0].min() > va[4, 0] > va[[1, 3], 0].max()
    unseen = ["cheerfully", "GLOOMILY", "happier times", "Bleakest"]
    assert not tower.unknown(tower.preprocess(unseen)).any()


def test_unknown_texts_are_reported(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    tower, _ = learned
    captions = ["qwertz", "", "!!!", "静かな歌", "120", "qwertz happy", "Happy", "a", "unhappyish"]
    assert tower.unknown(tower.preprocess(captions)).tolist() == [True, True, True, True, True, False, False, False, True]
    fresh = CompactTextTower()
    assert fresh.unknown(fresh.preprocess(captions)).tolist() == [False, True, True, False, True, False, False, False, False]


def test_few_unknown_words_pass_as_known() -> None:
    tower = CompactTextTower()
    known_words = [f"seen{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}x" for n in range(12_000)]
    tower.fit(tower.preprocess([" ".join(known_words[start : start + 60]) for start in range(0, len(known_words), 60)]))
    other = ["new" + word for word in known_words]
    assert not tower.unknown(tower.preprocess(known_words[:2000])).any()
    assert tower.unknown(tower.preprocess(other[:4000])).float().mean() > 0.995


def test_any_text_has_a_result_that_does_not_depend_on_its_batch(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    together = predict(learned, *ODD)
    alone = np.concatenate([predict(learned, text) for text in ODD])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, atol=1e-5)
    tower = learned[0]
    ids = tower.preprocess(ODD)
    assert (ids.shape, ids.dtype) == ((len(ODD), 64, 19), torch.int32)
    assert not ids[0].any()
    assert torch.equal(ids[-1, 0, 1:], ids[-1, 1, 1:])  # capitals are another shape of the same word


def test_long_text_is_cut_before_anything_else(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    book = "a happy song. " * 8_000_000
    start = time.perf_counter()
    long = predict(learned, book)
    assert time.perf_counter() - start < 1
    np.testing.assert_array_equal(long, predict(learned, book[:2000]))


def test_hashes_do_not_depend_on_the_process() -> None:
    # Python's own hash would, by PYTHONHASHSEED; these are what crc32 gives on every machine.
    row = CompactTextTower().preprocess(["Calm!"])[0]
    assert row[0, :3].tolist() == [4, zlib.crc32(b"calm") % (2**31 - 1) + 1, zlib.crc32(b"calm") % (2**31 - 1) + 1]
    assert row[1, :3].tolist() == [1, zlib.crc32(b"!") % (2**31 - 1) + 1, 0]
    code = "from trainer.model.text_tokens import of_token; print(*of_token('Étude'))"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert [int(number) for number in done.stdout.split()] == CompactTextTower().preprocess(["Étude"])[0, 0].tolist()


def test_a_tower_without_a_vocabulary_learns_by_gradients() -> None:
    torch.manual_seed(0)
    tower = CompactTextTower()
    features = tower.preprocess(planted()[0])
    before = tower.reduce(features).std().item()
    tower.reduce(features[:8]).square().sum().backward()
    assert before > 0
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in tower.parameters())
    tower.fit(features)
    assert not tower.ratings.any()
    assert not tower.unknown(features).any()


def test_the_linear_model_in_training_is_fitted_without_the_row() -> None:
    rng = np.random.default_rng(0)
    # Every row has a word of its own and labels of pure chance: only a model that has seen the row can tell them.
    words = torch.from_numpy(rng.integers(1, 2**31 - 1, (600, 1)))
    va = torch.from_numpy(rng.normal(size=(600, 2)))
    model = CrossFittedRidge(1 << 14, 1)
    blocks, dense = [words], torch.zeros(600, 1)
    assert not model(blocks, dense).any()
    model.fit(blocks, dense, va, torch.ones(600))
    seen, unseen = (np.corrcoef(model.train(mode)(blocks, dense)[:, 0], va[:, 0])[0, 1] for mode in (False, True))
    assert seen > 0.9
    assert abs(unseen) < 0.2
    # The folds' weights are not kept, but the mean is.
    assert set(model.state_dict()) == {"idf", "sparse", "dense"}


def test_the_predictor_says_what_it_does_not_know(tmp_path: Path) -> None:
    torch.manual_seed(0)
    towers = {"text": {"name": "compact"}}
    model = MMVA(towers)
    model.tower("text").fit(model.tower("text").preprocess(["a calm song"]))
    path = tmp_path / "text.safetensors"
    checkpoint.save(path, model, "text", towers, dtype=torch.float16)
    assert path.stat().st_size < 5.1e6  # the tower is under 4 MB, the head has 1.05
    predictor = Predictor.load(path, device="cpu", batch_size=2)
    captions = ["calm", "qwertz", "", "Songs", "  \n"]
    assert predictor.unknown(captions) == [False, True, True, False, True]
    assert predictor.unknown([]) == []
    va = predictor.text(captions)
    assert va[2].tolist() == va[4].tolist() == [0.5, 0.5]
    assert va[0].tolist() != [0.5, 0.5]
    with pytest.raises(ValueError, match="a sequence of texts, not one text"):
        predictor.unknown("calm")


def test_a_tower_that_cannot_tell_knows_all_words(tmp_path: Path) -> None:
    towers = {"text": {"name": "roberta", "source": str(tiny.roberta(tmp_path / "roberta"))}}
    path = tmp_path / "text.safetensors"
    checkpoint.save(path, MMVA(towers), "text", towers)
    predictor = Predictor.load(path, device="cpu")
    assert predictor.unknown(["calm", "qwertz", "", "?!"]) == [False, False, True, True]
    assert predictor.text(["", "calm"])[0].tolist() == [0.5, 0.5]


def test_the_baseline_learns_words_and_pairs() -> None:
    texts, va = planted()
    predicted = tfidf_ridge(texts, va.numpy(), ["a merry song", "a grim song", "qwertz", "not happy song"], penalty=0.1)
    assert predicted.dtype == np.float32
    assert predicted[0, 0] > 0.55 > 0.45 > predicted[1, 0]
    np.testing.assert_allclose(tfidf_ridge(["a", "b"], np.array([[0.2, 0.4], [0.4, 0.8]]), ["zz", ""]), [[0.3, 0.6]] * 2)


def test_bf16_is_near_float32(learned: tuple[CompactTextTower, torch.nn.Module]) -> None:
    tower, head = learned
    captions = ["a happy song!", "a bleak song.", "not bleak", "", "qwertz"]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = head(tower.embed(tower.preprocess(captions))).float().numpy()
    np.testing.assert_allclose(rounded, predict(learned, *captions), atol=0.02)
