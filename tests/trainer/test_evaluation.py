import json
from pathlib import Path

import numpy as np
import pytest

from trainer import recipe as recipes
from trainer.evaluation import paper, retrieval, va
from trainer.evaluation.va import Agreement, Evaluation


def test_agreement_by_hand() -> None:
    result = va.agreement(np.array([0.1, 0.4, 0.9]), np.array([0.2, 0.4, 0.6]))
    assert result.mse == pytest.approx((0.01 + 0 + 0.09) / 3)
    assert result.mae == pytest.approx((0.1 + 0 + 0.3) / 3)
    assert result.r == pytest.approx(np.corrcoef([0.1, 0.4, 0.9], [0.2, 0.4, 0.6])[0, 1])
    x, y = np.array([0.1, 0.4, 0.9]), np.array([0.2, 0.4, 0.6])
    assert result.ccc == pytest.approx(2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


def test_a_constant_has_no_correlation() -> None:
    result = va.agreement(np.full(3, 0.5), np.array([0.2, 0.4, 0.6]))
    assert result.to_json() == {"mse": pytest.approx(0.11 / 3), "mae": pytest.approx(0.5 / 3), "r": None, "ccc": None}


def test_json_has_the_documented_form_and_no_nan() -> None:
    one = Agreement(0.1, 0.2, float("nan"), 0.3)
    result = Evaluation({"image": (one, one), "text": (one, one)}, one)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["image"]["valence"] == {"mse": 0.1, "mae": 0.2, "r": None, "ccc": 0.3}
    assert document["similarity"] == {"mse": 0.1, "mae": 0.2}
    assert set(document) == {"image", "text", "similarity"}
    assert result.loss() == pytest.approx(0.5)


def test_table_stands_beside_the_paper() -> None:
    one, two = Agreement(0.01, 0.02, 0.5, 0.25), Agreement(0.03, 0.04, 0.75, 0.125)
    text = va.table("mine", Evaluation({"image": (one, two), "music": (one, two)}, None), paper.va_rows())
    mine, mmva = (next(line for line in text.splitlines() if line.startswith(name)) for name in ("mine", "MMVA (paper)"))
    assert mine.split("|")[1:4] == ["       -       - ", "  0.0100  0.0200 ", "  0.0300  0.0400 "]
    assert mmva.split("|")[1:3] == ["  0.0330  0.1470 ", "  0.0231  0.1100 "]
    assert len(mine) == len(mmva)
    assert "0.7500  0.1250" in text.splitlines()[-1]


def test_an_ablation_stands_beside_its_own_row() -> None:
    assert paper.va_rows(recipes.load("mmva"))[0].name == "MMVA (paper)"
    assert paper.va_rows(recipes.load("mmva-no-similarity"))[0].values[:4] == (None, None, 0.0232, 0.114)
    assert paper.va_rows(recipes.load("mmva-no-random-matching"))[0].values[0] == 0.085
    assert paper.retrieval_rows(recipes.load("mmva-no-random-matching"))[0].values == (0.4, 1.4, 2.9, 1.0)
    assert [row.values for row in paper.retrieval_rows() if row.name == "MMVA (paper)"] == [(6.7, 18.6, 24.4, 11.66)]
    assert Path(paper.__file__).with_name("paper.json").is_file()


def test_retrieval_by_hand() -> None:
    clips = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    queries = np.array([[0.1, 0.1], [0.9, 0.9], [0.6, 0.6]])
    assert retrieval.ranks(queries, clips).tolist() == [1, 2, 2]
    result = retrieval.recalls(np.array([1, 2, 7, 11]))
    assert (result.recall_1, result.recall_5, result.recall_10) == (25, 50, 75)
    assert result.map_10 == pytest.approx(100 * (1 + 1 / 2 + 1 / 7) / 4)


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    same = np.full((50, 2), 0.5)
    assert retrieval.recalls(retrieval.ranks(same, same)).recall_10 == 0


def test_pairs_are_drawn_once_and_for_all() -> None:
    assert len(np.unique(retrieval.choose(5000, 1000))) == 1000
    assert retrieval.choose(5000, 1000).tolist() == retrieval.choose(5000, 1000).tolist()
    assert retrieval.choose(7, 1000).tolist() == list(range(7))
