"""Cross-validation: folds that keep groups together, figures that are right where the answer is known, baselines beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.synthetic import SENTENCES
from trainer import recipe as recipes
from trainer.data import manifest
from trainer.data.pairing import RandomPairing, scores_of
from trainer.data.scale import standardise
from trainer.data.split import split
from trainer.errors import DataError
from trainer.evaluation import baselines, cv
from trainer.session import Job


def job(data: Path, *changes: str) -> Job:
    recipe = recipes.load(Path(__file__).parent / "small.toml", ["data.labels=standard", *changes])
    return Job(recipe, data, data, cache=data.parent / "features", device="cpu")


def test_texts_of_their_own_are_read_split_and_drawn(open_data: Path) -> None:
    data = manifest.load(open_data)
    assert (len(data.images), len(data.clips), len(data.texts)) == (60, 40, SENTENCES + 7)
    assert data.rows("text") is data.texts
    parts = split(data)
    assert [sum(row.source == "sentences" for row in parts[part].texts) for part in ("train", "val", "test")] == [46, 22, 22]
    assert all(row.source == "sentences" for part in ("val", "test") for row in parts[part].texts)
    themes = [{row.group for row in parts[part].images} for part in ("train", "val", "test")]
    assert all(not a & b for index, a in enumerate(themes) for b in themes[index + 1 :])

    rows, scores = RandomPairing(data, 0.5, 400, 0, {"sentences": 1, "words": 3}, {"image": 10})(3)
    assert rows.shape == (400, 3)
    np.testing.assert_array_equal(rows[:10, 0], rows[10:20, 0])
    assert np.mean([data.texts[index].source == "words" for index in rows[:, 2]]) == pytest.approx(0.75, abs=0.07)
    va = {modality: data.va(modality)[rows[:, index]] for index, modality in enumerate(("image", "music", "text"))}
    distance = (np.linalg.norm(va["image"] - va["music"], axis=1) + np.linalg.norm(va["image"] - va["text"], axis=1)) / 2
    np.testing.assert_allclose(scores, np.exp(-distance / 0.5), rtol=1e-5)
    np.testing.assert_allclose(scores_of(va, 0.5), scores, rtol=1e-6)
    with pytest.raises(DataError, match=r"names sources of text, but not 'words': name all of them \(sentences, words\)"):
        RandomPairing(data, 0.5, 4, 0, {"sentences": 1})


def test_a_bad_text_is_named_with_its_row(open_data: Path, tmp_path: Path) -> None:
    for line, message in (
        (
            "a,0.5,0.5,hello,x,holdout",
            r"text_va.csv row 2 \(id 'a'\): split 'holdout': must be train, dev, val, validation, test, or nothing",
        ),
        ("a,0.5,1.5,hello,x,", r"text_va.csv row 2 \(id 'a'\): arousal '1.5' is outside \[0, 1\]"),
        ("a,0.5,0.5,,x,", r"text_va.csv row 2 \(id 'a'\): the text is empty"),
    ):
        (tmp_path / "text_va.csv").write_text(f"id,valence,arousal,text,source,split\n{line}\n")
        with pytest.raises(DataError, match=message):
            manifest.load(tmp_path, modalities=("text",))


def test_standardised_labels_have_one_mean_and_spread_a_source(open_data: Path) -> None:
    data = standardise(manifest.load(open_data))
    for source in ("sentences", "words"):
        va = np.array([row.va for row in data.texts if row.source == source])
        np.testing.assert_allclose(va.mean(0), 0.5, atol=0.01)
        np.testing.assert_allclose(va.std(0), 0.18, atol=0.01)
    before = manifest.load(open_data)
    assert np.corrcoef(data.va("text")[:SENTENCES, 0], before.va("text")[:SENTENCES, 0])[0, 1] > 0.999
    assert data.fingerprint != before.fingerprint


def test_labels_that_are_all_the_same_cannot_be_standardised(tmp_path: Path) -> None:
    (tmp_path / "text_va.csv").write_text("id,valence,arousal,text,source\na,0.5,0.1,calm,mine\nb,0.5,0.9,furious,mine\n")
    with pytest.raises(
        DataError, match=r"source 'mine' of text: all ratings are the same, so that they cannot be spread: use data\.labels=given"
    ):
        standardise(manifest.load(tmp_path, modalities=("text",)))


def test_folds_keep_groups_together_and_spread_each_source() -> None:
    rng = np.random.default_rng(0)
    keys, sources = [f"{index}" for index in rng.integers(0, 40, 400)], []
    sources = ["a" if int(key) < 25 else "b" for key in keys]
    fold = cv.assign_folds(keys, sources, 5)
    for key in set(keys):
        assert len(set(fold[np.array(keys) == key])) == 1
    for source in ("a", "b"):
        counts = np.bincount(fold[np.array(sources) == source], minlength=5)
        assert counts.max() - counts.min() < 20
    with pytest.raises(DataError, match="source 'a': 3 groups cannot be spread over 5 folds"):
        cv.assign_folds(["x", "y", "z"], ["a"] * 3, 5)


@pytest.mark.slow
def test_cross_validation_measures_what_can_be_learned(open_data: Path) -> None:
    run = job(open_data, "towers.image.input_px=32", "towers.music.window_s=1.0", "train.epochs=40", "train.batch_size=32")
    result = cv.cross_validate(run, folds=2, only=("image", "text"))
    figures = {(figure.modality, figure.protocol): figure for figure in result.figures}
    schemes = ("unseen themes", "unseen themes, one view", "plain", "plain, one view")
    assert set(figures) == {*(("image", scheme) for scheme in schemes), ("text", "test split")}
    assert figures["text", "test split"].rows == 22
    assert min(figures["text", "test split"].r) > 0.75
    assert min(figures["image", "plain"].r) > 0.7  # what the pictures show is a colour
    assert min(figures["image", "plain"].baseline) > 0.2
    assert result.predictions["text"].shape == (22 + 7, 2)
    assert json.loads(json.dumps(result.figures[0].to_json()))["r"].keys() == {"valence", "arousal"}
    assert "image, drawn, unseen themes" in cv.table(result)


def test_a_source_is_held_out_as_a_whole(open_data: Path) -> None:
    """Words and sentences are rated alike here, and what is learned from one holds for the other; pictures have one source only."""
    run = job(open_data, "towers.image.input_px=32", "train.epochs=40", "train.batch_size=32")
    result = cv.cross_validate(run, only=("image", "text"), by_source=True)
    figures = {figure.source: figure for figure in result.figures}
    assert {figure.protocol for figure in result.figures} == {"unseen source"}
    assert set(figures) == {"sentences", "words"}
    assert figures["words"].rows == 7
    assert figures["words"].r[0] > 0.5
    labels = standardise(manifest.load(open_data)).va("text")
    assert result.labels["text"].shape == result.predictions["text"].shape == labels.shape
    words = np.array([row.source == "words" for row in manifest.load(open_data).texts])
    error = np.abs(result.predictions["text"][words] - labels[words]).mean(axis=0)
    np.testing.assert_allclose(figures["words"].mae, error, rtol=1e-5)
    constant = np.abs(labels[words] - labels[words].mean(axis=0)).mean(axis=0)
    np.testing.assert_allclose(figures["words"].constant_mae, constant, rtol=1e-5)


def test_labels_that_do_not_count_are_not_learned(open_data: Path) -> None:
    changes = ("train.epochs=40", "train.batch_size=32", "data.arousal_weight.words=0", "data.arousal_weight.sentences=0")
    (figure, *_) = cv.cross_validate(job(open_data, *changes), only=("text",)).figures
    assert figure.r[0] > 0.75
    assert abs(figure.r[1]) < 0.75


def test_ridge_finds_a_plane_and_ignores_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30))
    y = np.column_stack([x[:, 0] - 2 * x[:, 1], rng.normal(size=200)])
    predicted = baselines.ridge(x[:150], y[:150] + 0.1 * rng.normal(size=(150, 2)), x[150:])
    assert np.corrcoef(predicted[:, 0], y[150:, 0])[0, 1] > 0.99
    assert predicted[:, 1].std() < 0.5


def test_simple_features_of_known_pictures_and_sounds() -> None:
    red, grey = (np.full((40, 50, 3), colour, np.uint8) for colour in ((255, 0, 0), (128, 128, 128)))
    assert baselines.colours(red)[0] == pytest.approx(1)  # all of it has the first hue
    assert baselines.colours(grey)[:12].sum() == 0
    assert baselines.colours(grey)[-6] == pytest.approx(128 / 255)  # its mean brightness
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    assert baselines.timbre(tone)[:40].argmax() < baselines.timbre(np.roll(tone, 1) * np.sign(tone))[:40].argmax()
