"""TVSum's protocol, on made-up annotations whose figures can be told by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mmvatool.summary.knapsack import solve
from mmvatool.tvsum import protocol
from tests.helpers.tvsum import annotation

TENTH = np.stack([np.arange(0, 100, 10), np.arange(10, 110, 10)], 1)  # ten pieces of ten frames


def summary(*pieces: int, of: int = 10) -> np.ndarray:
    return np.isin(np.arange(of), pieces)


def test_uniform_pieces_take_in_the_remainder():
    assert protocol.uniform(180).tolist() == [[0, 60], [60, 120], [120, 180]]
    assert protocol.uniform(239).tolist() == [[0, 60], [60, 120], [120, 239]]
    assert protocol.uniform(59).tolist() == [[0, 59]]
    assert protocol.uniform(10, length=4).tolist() == [[0, 4], [4, 10]]


def test_the_value_of_a_shot_is_its_mean_whatever_its_length():
    # Of 200 frames 30 may be kept: two short shots of 4 and 3 beat the long one of 5, whose integral is the greatest.
    pieces = np.array([[0, 15], [15, 45], [45, 60], [60, 200]])
    scores = np.repeat([4.0, 5.0, 3.0, 1.0], np.diff(pieces)[:, 0])
    assert protocol.summaries(scores[None], pieces).tolist() == [[True, False, True, False]]


def test_the_capacity_is_rounded_down():
    pieces = np.array([[0, 15], [15, 106]])  # 15 % of 106 frames are 15.9, of 99 are 14.85
    assert protocol.summaries(np.ones((1, 106)), pieces).tolist() == [[True, False]]
    assert not protocol.summaries(np.ones((1, 99)), np.array([[0, 15], [15, 99]])).any()


def test_an_offset_changes_the_summary_a_scale_does_not():
    pieces = np.array([[0, 15], [15, 22], [22, 30], [30, 100]])
    scores = np.repeat([5.0, 2.0, 2.0, 1.0], np.diff(pieces)[:, 0])[None]
    one, scaled, raised = (protocol.summaries(rows, pieces)[0].tolist() for rows in (scores, scores * 7, scores + 4))
    assert one == scaled == [True, False, False, False]
    assert raised == [False, True, True, False]


def test_pieces_of_a_negative_mean_are_never_taken():
    scores = np.repeat([-1.0, 2.0, -3.0, 0.5], 5)[None]
    assert protocol.summaries(scores, np.array([[0, 1], [5, 6], [10, 11], [15, 16]])).tolist() == [[False, True, False, True]]


@pytest.mark.parametrize("seed", range(5))
def test_summaries_are_the_knapsack_of_plain_means(seed):
    random = np.random.default_rng(seed)
    edges = np.unique(np.append(random.integers(1, 400, 30), [0, 400]))
    pieces = np.stack([edges[:-1], edges[1:]], 1)
    scores = random.random((4, 400))
    alone = [solve(np.array([row[first:past].mean() for first, past in pieces]), np.diff(edges), 60) for row in scores]
    assert (protocol.summaries(scores, pieces) == alone).all()


def test_f_counts_frames():
    users = np.stack([summary(0, 1), summary(1), summary(8)])
    f = protocol.f_measures(np.stack([summary(1, 2), summary()]), users, TENTH)
    # Precision 1/2 and recall 1/2; precision 1/2, recall 1; nothing in common; and an empty summary.
    assert f == pytest.approx(np.array([[1 / 2, 2 / 3, 0], [0, 0, 0]]))
    long = np.array([[0, 30], [30, 40]])
    # 30 of 40 frames are right, all of the user's: P = 3/4, R = 1.
    assert protocol.f_measures(np.array([[True, True]]), np.array([[True, False]]), long)[0, 0] == pytest.approx(6 / 7)


def test_leave_one_out_leaves_the_own_summary_out():
    users = np.stack([summary(0), summary(0), summary(1)])
    assert protocol.leave_one_out(users, TENTH) == pytest.approx(1 / 3)  # 1, 1/2 of it each; the third agrees with none
    assert protocol.leave_one_out(np.stack([summary(0), summary(0, 1)]), TENTH) == pytest.approx(2 / 3)


def test_evenly_spaced_takes_as_many_as_fit():
    pieces = np.stack([np.arange(0, 400, 20), np.arange(20, 420, 20)], 1)
    assert np.flatnonzero(protocol.evenly_spaced(pieces, 400)).tolist() == [3, 10, 16]  # 60 frames: three of 20
    assert not protocol.evenly_spaced(np.array([[0, 50], [50, 100]]), 100).any()


def test_reference_predictors():
    one = annotation("a", [0, 2], 5, ["15", "13"])
    found = protocol.predictors(one)
    assert found["oracle"].tolist() == [1, 1, 4, 4, 4]
    assert found["constant"].tolist() == [1] * 5
    assert found["decreasing"].tolist() == [1, 0.75, 0.5, 0.25, 0]
    sine = np.sin(np.arange(1, 6) / 300)
    assert found["sine"] == pytest.approx((sine - sine[0]) / (sine[-1] - sine[0]))


@pytest.mark.parametrize("seed", range(10))
def test_correlations_are_scipys(seed):
    random = np.random.default_rng(seed)
    # Scores of 1 to 5, full of ties; noise without any.
    one, other = random.integers(1, 6, (3, 40)).astype(float), np.concatenate([random.integers(1, 6, (2, 40)), random.random((2, 40))])
    tau, rho = protocol.correlations(one, other)
    for (row, x), (column, y) in itertools.product(enumerate(one), enumerate(other)):
        assert tau[row, column] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)
        assert rho[row, column] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_correlations_of_what_does_not_vary_are_undefined():
    tau, rho = protocol.correlations(np.array([[1.0, 1, 1], [1, 2, 3]]), np.array([[3.0, 2, 1]]))
    assert np.isnan([tau[0, 0], rho[0, 0]]).all()
    assert (tau[1, 0], rho[1, 0]) == pytest.approx((-1, -1))
    two = annotation("a", [0, 1], 2, ["12", "11"])
    assert protocol.against_users(np.array([[0.0, 1]]), two) == protocol.Agreement(pytest.approx(1), pytest.approx(1))
    assert np.isnan(protocol.against_users(np.ones((1, 2)), two).tau)


def test_humans_among_each_other():
    # Every 15th frame: three shots of 15 frames are sampled once each.
    one = annotation("a", [0, 15, 30], 45, ["123", "123", "321"])
    assert protocol.pairwise(one).tau == pytest.approx((1 - 1 - 1) / 3)
    # Against the mean of the others: the first two meet a constant, which says nothing; the third meets 123.
    assert protocol.against_others(one).rho == pytest.approx(-1)
    assert protocol.against_mean(np.arange(45.0)[None], one).tau == pytest.approx(stats.kendalltau([0, 1, 2], one.mean[::15]).statistic)
