from pathlib import Path

import numpy as np
import pytest

from trainer.data import manifest
from trainer.data.pairs import random_pairs, read_matching, sample_zhao2020
from trainer.errors import DataError


def test_random_pairs_depend_on_seed_and_step_alone_and_cover_all() -> None:
    pairs = random_pairs(50, 70, 4096, seed=1, step=7)
    assert pairs.shape == (4096, 2)
    assert pairs.dtype == np.int64
    assert set(pairs[:, 0]) == set(range(50))
    assert set(pairs[:, 1]) == set(range(70))
    np.testing.assert_array_equal(pairs, random_pairs(50, 70, 4096, seed=1, step=7))
    assert (pairs != random_pairs(50, 70, 4096, seed=1, step=8)).any()
    assert (pairs != random_pairs(50, 70, 4096, seed=2, step=7)).any()
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.06  # image and clip are drawn independently


def test_read_matching(folder: Path, tmp_path: Path) -> None:
    data = manifest.load(folder)
    path = tmp_path / "train_matching.txt"
    path.write_text("1-10 im0003 0.75\n2026-9 im0001 0.5\n2-9 im0000 1\n1-9 COCO_train2014_000000000001 0.1\n\n")
    pairs, scores = read_matching(path, data)
    np.testing.assert_array_equal(pairs, [[3, 1], [0, 3]])
    np.testing.assert_allclose(scores, [0.75, 1], atol=1e-7)
    assert (pairs.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1-9 im0000 .5\n1-9 im0000\n", r"m.txt line 2: '1-9 im0000' is not 'clip_id image_id score'"),
        ("1-9 im0000 1.5\n", r"line 1: score 1.5 is outside \[0, 1\]"),
        ("1-9 im0000 nan\n", r"line 1: score nan is outside"),
        ("1-9 im0000 x\n", r"line 1: .* is not 'clip_id"),
        ("im0000 1-9 0.5\n", r"not one pair .*must be 'clip_id image_id score'"),
        ("", "not one pair"),
    ],
)
def test_bad_matching_file(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_matching(tmp_path / "m.txt", manifest.load(folder))


def test_missing_matching_file(folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone.txt: cannot be read \(No such file"):
        read_matching(folder / "gone.txt", manifest.load(folder))


def test_sampler_keeps_a_tenth_of_fifty_images_a_clip() -> None:
    rng = np.random.default_rng(0)
    image_va, clip_va = rng.random((400, 2)), rng.random((300, 2))
    pairs, scores = sample_zhao2020(image_va, clip_va, 0.4, seed=5)
    assert pairs.shape == (1500, 2)
    assert len({tuple(pair) for pair in pairs.tolist()}) == 1500
    distance = np.linalg.norm(image_va[pairs[:, 0]] - clip_va[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(scores, np.exp(-distance / 0.4), rtol=1e-6)
    # A fifth each are a clip's ten best and ten worst images: rank them.
    ranks = np.linalg.norm(image_va[None] - clip_va[:, None], axis=2).argsort(axis=1).argsort(axis=1)[pairs[:, 1], pairs[:, 0]]
    assert abs((ranks < 10).mean() - 0.2) < 0.03
    assert abs((ranks >= 390).mean() - 0.2) < 0.03
    again, _ = sample_zhao2020(image_va, clip_va, 0.4, seed=5)
    np.testing.assert_array_equal(pairs, again)
    assert (pairs != sample_zhao2020(image_va, clip_va, 0.4, seed=6)[0]).any()


def test_sampler_takes_all_images_where_there_are_fewer_than_fifty() -> None:
    pairs, _ = sample_zhao2020(np.random.default_rng(0).random((20, 2)), np.full((10, 2), 0.5), 0.4, seed=0)
    assert len(pairs) == 20
    assert len(sample_zhao2020(np.zeros((1, 2)), np.zeros((1, 2)), 0.4, seed=0)[0]) == 1


@pytest.mark.parametrize(("a", "b", "sigma"), [(0, 3, 0.4), (3, 0, 0.4), (3, 3, 0.0), (3, 3, float("nan"))])
def test_sampler_refuses_nothing_and_no_sigma(a: int, b: int, sigma: float) -> None:
    with pytest.raises(DataError, match="pairs need images, clips and a sigma above 0"):
        sample_zhao2020(np.zeros((a, 2)), np.zeros((b, 2)), sigma, seed=0)
