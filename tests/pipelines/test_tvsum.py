"""`evaluate tvsum`: the rows of made-up annotations, and the summarizer over drawn videos."""

from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media.probe import probe
from mmvatool.pipelines.tvsum import REFERENCES, Evaluation, Prediction, Row, evaluate, predict_video
from mmvatool.tvsum.files import Shots
from tests.helpers.tvsum import annotation

# Ten shots of 30 frames, of which 45 may be kept: one. Both users like the fourth; in the second video each has another.
STARTS = list(range(0, 300, 30))
AGREED = annotation("agreed", STARTS, 300, ["1113111111", "2225222222"])
APART = annotation("apart", STARTS, 300, ["1511111111", "1111111115"])
PIECES = {one.video: one.pieces for one in (AGREED, APART)}


def row(found: Evaluation, name: str, protocol: str = "native2s") -> Row:
    (one,) = [row for row in found.rows if (row.name, row.protocol) == (name, protocol)]
    return one


def liking(shot: int) -> Prediction:
    scores = np.zeros(300)
    scores[30 * shot : 30 * shot + 30] = 1
    return Prediction(scores)


def test_rows_are_means_over_videos():
    found = evaluate([AGREED, APART], None, {"agreed": liking(3), "apart": liking(1)}, "mine", {"MMVA": 58.2})
    assert found.rows[0] == Row("MMVA (paper)", "paper", 58.2, None, None, None, None)
    mine = row(found, "mine")
    assert mine.f == pytest.approx(75)  # 100 in the first video; one user of two in the second
    assert mine.f_sd == pytest.approx(np.std([100, 50], ddof=1))
    assert mine.videos == 2
    # The first agrees with both users wholly; the second with one, and is 1 against 0 where the other has it otherwise: -1/9.
    assert mine.tau == pytest.approx((1 + (1 - 1 / 9) / 2) / 2)
    assert mine.rho == pytest.approx(mine.tau)
    loo = row(found, "human_loo")
    assert (loo.f, loo.f_sd) == (pytest.approx(50), pytest.approx(np.std([100, 0], ddof=1)))
    assert row(found, "oracle").f == pytest.approx(75)
    assert row(found, "constant").tau is None
    assert row(found, "evenly_spaced").tau is None
    assert [row.name for row in found.rows if row.protocol == "native2s"] == ["mine", *REFERENCES]
    # Pieces of 60 frames: none fits into 45.
    assert row(found, "oracle", "uniform60").f == 0


def test_random_is_a_hundred_seeded_draws_in_the_order_of_the_annotations():
    found = evaluate([AGREED, APART], None, {}, None, {})
    each = []
    for seed in range(100):
        np.random.seed(seed)
        total = 0.0
        for liked in ((3, 3), (1, 9)):
            best = int(np.random.rand(300).reshape(10, 30).mean(1).argmax())
            total += 50 * np.mean([best == shot for shot in liked])
        each.append(total)
    random = row(found, "random")
    assert random.f == pytest.approx(np.mean(each))
    assert random.f_sd == pytest.approx(np.std(each, ddof=1))


def test_shots_of_some_videos_are_measured_on_these_alone():
    shots = Shots(
        "mine", {"apart": np.array([[0, 30], [30, 300]])}, {}, {"apart": np.repeat([[True, False], [False, True]], [30, 270], axis=1)}
    )
    found = evaluate([AGREED, APART], shots, {"agreed": liking(3)}, "model", {})
    # Only the first shot fits: all keep it. The second user's summary in the file is not ours.
    assert row(found, "oracle", "mine").f == pytest.approx(100)
    assert row(found, "oracle", "mine").videos == 1
    assert row(found, "oracle", "mine").f_sd is None
    assert row(found, "model").videos == 1
    assert not [row for row in found.rows if (row.name, row.protocol) == ("model", "mine")]
    assert found.same_summaries == (1, 2)


def test_shots_of_our_own_are_a_protocol():
    own = Prediction(liking(3).scores, np.array([[0, 90], [90, 120], [120, 300]]))
    found = evaluate([AGREED, APART], None, {"agreed": own}, "model", {})
    assert (row(found, "model", "kts_own").f, row(found, "model", "kts_own").videos) == (pytest.approx(100), 1)
    assert row(found, "oracle", "kts_own").videos == 1


def test_a_name_of_ours_is_not_taken():
    found = evaluate([AGREED], None, {"agreed": liking(3)}, "oracle", {})
    assert found.model == "oracle (predicted)"
    assert row(found, "oracle (predicted)").f == pytest.approx(100)


def test_the_json_names_what_is_asked_for():
    document = evaluate([AGREED], None, {"agreed": liking(3)}, "mine", {}).to_json()
    assert set(document) == {"model", "rows", "rank"}
    assert document["rows"][0] == {"name": "mine", "protocol": "uniform60", "f": 0.0, "f_sd": None, "tau": 1.0, "rho": 1.0, "videos": 1}
    assert set(document["rank"]) == {"human_pairwise_15", "human_vs_mean_of_other19_15", "mean_vs_each_user_shot", "random_vs_mean_shot"}


def test_the_summarizer_predicts_each_frame(vlog: Path, predictor):
    times_s = probe(vlog).times_s
    frames = len(times_s)
    # 8 s of meadow, 3 of fireworks, 9 of sea, 4 of rays.
    edges = [int(np.searchsorted(times_s, second - 1e-3)) for second in (8, 11, 20)]
    one = annotation("vlog", [0, *edges], frames, ["1513", "1514"])
    predicted = predict_video(vlog, one, predictor)
    assert predicted.scores.shape == (frames,)
    calm, burst, sea, rays = (part.mean() for part in np.split(predicted.scores, edges))
    assert min(burst, rays) > max(calm, sea)
    assert predicted.pieces is not None
    assert predicted.pieces[0, 0] == 0
    assert predicted.pieces[-1, 1] == frames
    assert (predicted.pieces[1:, 0] == predicted.pieces[:-1, 1]).all()
    assert set(edges) <= set(predicted.pieces[:, 0].tolist())
    # The annotation may count a frame or two otherwise.
    fewer = predict_video(vlog, annotation("vlog", [0], frames - 2, ["1", "1"]), predictor)
    assert fewer.scores.shape == (frames - 2,)
    assert (fewer.scores == predicted.scores[:-2]).mean() > 0.98
    with pytest.raises(MediaError, match=rf"has {frames} frames, its annotation 500: give the video that was annotated"):
        predict_video(vlog, annotation("vlog", [0], 500, ["1", "1"]), predictor)
