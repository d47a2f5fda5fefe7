import itertools
import time

import numpy as np
import pytest

from mmvatool.analysis.slots import slots
from mmvatool.summary import shots as module
from mmvatool.summary.shots import align, change_points, split_at_changes, uniform_shots
from mmvatool.timeline import Segment

RATE = 25


def _video(lengths: list[int], noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Embeddings of scenes, each a random direction with noise; lengths in samples."""
    random = np.random.default_rng(seed)
    scenes = [random.standard_normal(64) for _ in lengths]
    return np.concatenate([scene + noise * random.standard_normal((count, 64)) for scene, count in zip(scenes, lengths, strict=True)])


def _shots(embeddings, min_s=1.0, max_s=15.0, refine=None, duration_s=None):
    duration_s = duration_s or 2.0 * len(embeddings)
    frames = np.arange(round(duration_s * RATE)) / RATE
    samples = frames[np.round(slots(0, duration_s).centres_s * RATE).astype(int)]
    refine = refine or (lambda change: 2.0 * change)
    return split_at_changes(embeddings, samples, frames, duration_s, refine, min_s, max_s), samples, frames


def test_slots_cover_the_video():
    grid = slots(0.5, 11.2)
    assert grid.edges_s[0] == 0.5
    assert grid.edges_s[-1] == 11.2
    assert len(grid) == 5  # 10.7 s: the rest of 0.7 s goes to the last
    assert np.diff(grid.edges_s).max() < 3.0
    assert len(slots(0, 0.3)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_change_points_are_the_planted_ones(seed):
    lengths = [5, 1, 8, 3, 12, 2]
    assert change_points(_video(lengths, seed=seed)) == np.cumsum(lengths)[:-1].tolist()


def test_no_change_no_cut():
    assert change_points(np.ones((50, 8))) == []
    assert change_points(np.zeros((50, 8))) == []
    assert change_points(_video([40], noise=0.1)) == []
    assert change_points(np.ones((1, 8))) == []


@pytest.mark.parametrize("at", [30, 59, 60, 61, 119, 120, 121])
def test_windows_join_at_a_boundary(monkeypatch, at):
    """A change at, before or behind the join of two windows is found once; no other is invented."""
    monkeypatch.setattr(module, "WINDOW", 60)
    assert change_points(_video([at, 200 - at])) == [at]


def test_many_scenes_across_windows(monkeypatch):
    lengths = [7, 3, 11, 2] * 12
    expected = np.cumsum(lengths)[:-1].tolist()
    assert change_points(_video(lengths)) == expected
    monkeypatch.setattr(module, "WINDOW", 40)
    assert change_points(_video(lengths)) == expected


HALF_A_DAY = 21_600  # samples, 12 hours
HALF_A_DAY_OF = {
    "a still picture": lambda random: np.ones((HALF_A_DAY, 64)),
    "a change at every sample": lambda random: random.standard_normal((HALF_A_DAY, 64)),
    "a scene each eight seconds": lambda random: _video([4] * 5400, noise=0.1),
    "a camera that moves on": lambda random: np.cumsum(0.02 * random.standard_normal((HALF_A_DAY, 64)), 0) + 1,
}


@pytest.mark.parametrize("what", HALF_A_DAY_OF)
def test_half_a_day_stays_quick(what):
    """Each within its bounds, and not quadratic in anything: 18 s and more without windows, a stack too deep by recursion."""
    random = np.random.default_rng(3)
    embeddings = HALF_A_DAY_OF[what](random)
    jitter = random.uniform(-0.9, 0.9, HALF_A_DAY)
    started = time.process_time()
    found, _, _ = _shots(embeddings, refine=lambda change: round((2.0 * change + jitter[change]) * RATE) / RATE)
    assert time.process_time() - started < 4
    assert (found[0].start_s, found[-1].end_s) == (0, 2.0 * HALF_A_DAY)
    assert all(one.end_s == two.start_s for one, two in itertools.pairwise(found))
    assert all(1 - 1e-9 <= shot.length_s <= 15 + 1e-9 for shot in found)
    if what == "a still picture":
        assert len(found) == HALF_A_DAY * 2 / 15
        assert change_points(embeddings) == []


@pytest.mark.parametrize("seed", range(10))
def test_the_weaker_cut_of_the_shortest_shot_goes_first(seed):
    """As by looking for the shortest shot again after each cut that goes."""
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, 40, 40)).round(1)
    cuts, steps = list(enumerate(times.tolist(), 1)), random.random(41).round(1)
    expected = list(cuts)
    while expected:
        edges = [0.0, *(time_s for _, time_s in expected), 40.0]
        short = int(np.argmin(np.diff(edges)))
        if edges[short + 1] - edges[short] >= 1.0:
            break
        beside = [place for place in (short - 1, short) if 0 <= place < len(expected)]
        del expected[min(beside, key=lambda place: steps[expected[place][0]])]
    assert module._drop_weak(cuts, steps, 0.0, 40.0, 1.0) == expected
    assert 0 < len(expected) < 40


@pytest.mark.parametrize("seed", range(20))
def test_bounds_cover_and_samples(seed):
    """Whatever the video, shots cover it, keep to the bounds, cut at frames, and hold a sample each."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 12, 12).tolist()
    jitter = random.uniform(-0.96, 0.96, sum(lengths) + 1)

    def refine(change: int) -> float:
        return round((2.0 * change + jitter[change]) * RATE) / RATE

    min_s, max_s = (1.0, 15.0) if seed % 2 else (2.0, 4.0)
    found, samples, frames = _shots(_video(lengths, noise=0.2, seed=seed), min_s, max_s, refine)
    assert found[0].start_s == 0
    assert found[-1].end_s == 2.0 * sum(lengths)
    for one, two in itertools.pairwise(found):
        assert one.end_s == two.start_s
        assert np.isclose(frames, one.end_s).any()
    for shot in found:
        assert min_s - 1e-9 <= shot.length_s <= max_s + 1e-9
        assert ((shot.start_s <= samples) & (samples < shot.end_s)).any()


def test_cuts_are_refined():
    found, _, _ = _shots(_video([3, 4]), refine=lambda change: 2.0 * change - 0.64)
    assert [shot.end_s for shot in found] == [5.36, 14.0]


def test_a_long_shot_is_split_at_its_largest_inner_change():
    embeddings = _video([20], noise=0.01)
    embeddings[13:] += 0.25 * np.random.default_rng(5).standard_normal(64)  # too small to be a change point
    assert change_points(embeddings) == []
    found, _, _ = _shots(embeddings, max_s=30)
    assert [shot.end_s for shot in found] == [26.0, 40.0]


def test_a_long_even_shot_is_split_evenly():
    found, _, _ = _shots(np.ones((20, 8)), max_s=15)
    assert [shot.length_s for shot in found] == pytest.approx([40 / 3] * 3, abs=0.05)


def test_of_two_cuts_too_near_the_weaker_goes():
    embeddings = np.zeros((9, 3))
    embeddings[:3], embeddings[3:4], embeddings[4:] = [1, 0, 0], [0.5, 1, 0], [0, 0, 1]  # the second step is the larger
    near = {3: 6.9, 4: 7.3}
    found, _, _ = _shots(embeddings, refine=lambda change: near.get(change, 2.0 * change))
    assert [shot.end_s for shot in found] == [7.3, 18.0]


def test_a_video_shorter_than_the_shortest_shot_is_one():
    found, _, _ = _shots(np.ones((1, 8)), duration_s=0.4)
    assert [(shot.start_s, shot.end_s) for shot in found] == [(0, 0.4)]


def test_uniform_shots_are_slots_on_frames():
    frames = np.arange(270) * 1001 / 30000
    found = uniform_shots(slots(0, 270 * 1001 / 30000), frames)
    assert len(found) == 5
    assert found[0].start_s == 0
    for shot in found[:-1]:
        assert shot.length_s == pytest.approx(2, abs=0.034)
        assert np.isclose(frames, shot.end_s).any()


def test_a_frame_that_stands_longer_than_the_longest_shot_is_not_cut():
    """A recorded slide: 30 s on screen, many samples of one frame."""
    frames = np.array([0.0, 30.0, 31.0])
    samples = frames[np.searchsorted(frames, slots(0, 36).centres_s, side="right") - 1]
    embeddings = np.where((samples < 30)[:, None], [[1.0, 0.0]], [[0.0, 1.0]])
    found = split_at_changes(embeddings, samples, frames, 36.0, lambda change: 30.0, 1.0, 4.0)
    assert (found[0].start_s, found[0].end_s) == (0.0, 30.0)
    assert found[-1].end_s == 36.0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("always", [True, False])
def test_bounds_move_to_points_where_it_can_be_cut(seed, always):
    random = np.random.default_rng(seed)
    edges = [0.0, *np.sort(random.uniform(0.1, 59.9, 12)).tolist(), 60.0]
    found = [Segment(a, b) for a, b in itertools.pairwise(edges)]
    points = np.concatenate([[0.5 if always else 0.0], np.sort(random.uniform(1, 59, random.integers(1, 30)))])
    moved = align(found, points, always=always)
    assert moved[0].start_s == points[0]
    assert moved[-1].end_s == 60.0
    assert all(before.end_s == after.start_s for before, after in itertools.pairwise(moved))
    inner = {shot.end_s for shot in moved[:-1]}
    allowed = set(points.tolist())
    for edge, before, after in zip(edges[1:-1], found[:-1], found[1:], strict=True):
        nearest = min((*points, 60.0), key=lambda point: abs(point - edge))
        near = abs(nearest - edge) <= min(before.length_s, after.length_s) / 2
        assert not always or nearest in (*inner, points[0], 60.0)
        if not always:
            assert (nearest if near else edge) in (*inner, 0.0, 60.0)
            allowed |= set() if near else {edge}
    assert inner <= allowed
