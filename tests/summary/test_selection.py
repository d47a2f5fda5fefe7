"""The choice by itself, on made-up curves."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import PlanError, SettingsError
from mmvatool.media.cut import CutPoints
from mmvatool.media.packets import Packets
from mmvatool.media.probe import AudioStream, Color, MediaInfo, VideoStream
from mmvatool.media.smart import Recipe
from mmvatool.summary.cuts import FrameCuts, KeyframeCuts
from mmvatool.summary.selection import ScoredShot, choose, select
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Curve, Segment, Timeline

RATE = Fraction(30000, 1001)


def _info(duration_s: float = 60.0, rate: Fraction = RATE, times_s: np.ndarray | None = None) -> MediaInfo:
    times = np.arange(round(duration_s * rate)) / float(rate) if times_s is None else times_s
    end = float(times[-1] + 1 / rate)
    video = VideoStream(0, "h264", 320, 180, Fraction(1), 0.0, "yuv420p", Color(), None)
    return MediaInfo(
        Path("made-up.mp4"), "mov", 0.0, video, AudioStream(1, "aac", 48000, 2, None), rate, True, times, end, len(times), False, {}
    )


def _made_up(seed: int, count: int = 10, info: MediaInfo | None = None) -> tuple[list[Segment], Curve, MediaInfo]:
    """Random shots on frames and a random curve."""
    info = info or _info()
    random = np.random.default_rng(seed)
    inner = np.sort(random.choice(np.arange(20, len(info.times_s) - 20, 25), count - 1, replace=False))
    edges = [info.start_s, *info.times_s[inner], info.end_s]
    times = np.arange(info.start_s + 1, info.end_s, 2.0)
    return [Segment(float(a), float(b)) for a, b in pairwise(edges)], Curve(times, random.random((len(times), 2))), info


def _kept(shots: tuple[ScoredShot, ...]) -> list[Segment]:
    return [shot.segment for shot in shots if shot.kept]


def _ticks(length_s: float) -> int:
    return int(np.ceil(length_s * float(RATE) - 1e-6))


@pytest.mark.parametrize("value", ["integral", "mean"])
@pytest.mark.parametrize("seed", range(15))
def test_the_choice_is_the_best_there_is(seed, value):
    """Against every subset: in value, under the budget in ticks."""
    found, curve, info = _made_up(seed)
    chosen = choose(found, curve, SummarySettings(ratio=0.3, value=value), FrameCuts(info))
    worth = np.array([shot.arousal * (shot.segment.length_s if value == "integral" else 1) for shot in chosen])
    weights = np.array([_ticks(shot.segment.length_s) for shot in chosen])
    capacity = int(0.3 * info.duration_s * RATE + 1e-6)
    subsets = np.array(list(product([0, 1], repeat=len(worth))))
    best = (subsets @ worth)[subsets @ weights <= capacity].max()
    kept = np.array([shot.kept for shot in chosen])
    assert weights[kept].sum() <= capacity
    assert worth[kept].sum() == pytest.approx(best, abs=1e-9)


def test_arousal_of_a_shot_is_the_mean_of_its_samples():
    _, curve, info = _made_up(0)
    shot = choose([Segment(0, info.snap(10.2)), Segment(info.snap(10.2), info.end_s)], curve, SummarySettings(ratio=0.5), FrameCuts(info))[
        0
    ]
    assert shot.arousal == pytest.approx(curve.va[:5, 1].mean(), abs=1e-6)
    assert shot.valence == pytest.approx(curve.va[:5, 0].mean(), abs=1e-6)


def test_a_variable_rate_keeps_the_budget():
    """Frames longer than the nominal one: weights are rounded up, so the sum stays under the budget."""
    random = np.random.default_rng(3)
    times = np.cumsum(random.uniform(0.02, 0.06, 1500))
    info = _info(rate=Fraction(30), times_s=times)
    for seed in range(10):
        found, curve, _ = _made_up(seed, 12, info)
        kept = _kept(choose(found, curve, SummarySettings(ratio=0.25), FrameCuts(info)))
        assert 0 < sum(round(segment.length_s * 30) for segment in kept) <= 0.25 * info.duration_s * 30


def test_keep_and_drop_are_forced_and_the_rest_is_filled():
    found, curve, info = _made_up(4)
    settings = SummarySettings(ratio=0.5, keep=(Segment(20, 26),), drop=(Segment(0, 10), Segment(40, 41)))
    chosen = choose(found, curve, settings, FrameCuts(info))
    frame_s = 1 / float(RATE)
    assert sum(shot.segment.overlap_s(Segment(20, 26)) for shot in chosen if shot.kept) == pytest.approx(6, abs=2 * frame_s)
    for dropped in settings.drop:
        assert sum(shot.segment.overlap_s(dropped) for shot in chosen if shot.kept) <= frame_s
    length_s = sum(segment.length_s for segment in _kept(chosen))
    assert 20 < length_s <= 0.5 * info.duration_s + 1e-9
    assert all(shot.segment.length_s >= settings.min_shot_s - 1e-9 for shot in chosen if shot.kept and not shot.fixed)
    assert chosen[0].segment.start_s == 0
    assert all(one.segment.end_s == two.segment.start_s for one, two in pairwise(chosen))


def test_kept_ranges_over_the_budget_say_by_how_much():
    found, curve, info = _made_up(0)
    with pytest.raises(PlanError, match=r"11\.\d\d s over the budget of 9\.\d\d s"):
        choose(found, curve, SummarySettings(keep=(Segment(10, 30),)), FrameCuts(info))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SummarySettings(keep=(Segment(70, 80),)), "--keep 70-80 s holds no frame"),
        (SummarySettings(drop=(Segment(5.001, 5.002),)), "--drop 5.001-5.002 s holds no frame"),
        (SummarySettings(drop=(Segment(0, 100),)), "leave nothing to choose"),
        (SummarySettings(duration_s=0.01), "under one frame"),
    ],
)
def test_plans_that_cannot_be(settings, message):
    found, curve, info = _made_up(0)
    with pytest.raises(PlanError, match=message):
        choose(found, curve, settings, FrameCuts(info))


def test_where_no_shot_fits_the_best_run_is_kept():
    info = _info(12.0)
    arousal = np.array([0.1, 0.2, 0.5, 0.9, 0.3, 0.2])
    curve = Curve(np.arange(1, 12, 2.0), np.column_stack([arousal, arousal]).astype(np.float32))
    whole = [Segment(0.0, info.snap(5)), Segment(info.snap(5), info.end_s)]
    chosen = choose(whole, curve, SummarySettings(duration_s=1.0), FrameCuts(info))
    (run,) = _kept(chosen)
    assert round(run.length_s * RATE) == 29  # whole frames, as many as fit
    assert (run.start_s + run.end_s) / 2 == pytest.approx(7.0, abs=0.05)  # around the most arousing sample
    assert [shot.segment.start_s for shot in chosen] == [0.0, whole[1].start_s, run.start_s, run.end_s]
    (run,) = _kept(choose(whole, curve, SummarySettings(duration_s=1.0, drop=(Segment(5.9, 8.1),)), FrameCuts(info)))
    assert run.overlap_s(Segment(4, 5.9)) == pytest.approx(run.length_s, abs=0.04)


def test_silence_has_a_summary_too():
    """Where nothing is worth anything, as much as fits is kept, not nothing."""
    found, curve, info = _made_up(3)
    chosen = choose(found, replace(curve, va=np.zeros_like(curve.va)), SummarySettings(ratio=0.3), FrameCuts(info))
    assert 0.2 * info.duration_s < sum(part.length_s for part in _kept(chosen)) <= 0.3 * info.duration_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": 0.0}, {"ratio": 1.0}, {"ratio": float("nan")}, {"duration_s": 0.0}, {"duration_s": float("inf")}, {"by": "smell"},
        {"shots": "all"}, {"value": "sum"}, {"min_shot_s": 0.0}, {"max_shot_s": 3.0}, {"min_shot_s": 9.0},
        {"keep": (Segment(0, 5),), "drop": (Segment(4, 6),)},
    ],
)  # fmt: skip
def test_settings_that_cannot_be(wrong):
    with pytest.raises(SettingsError):
        SummarySettings(**wrong)


def test_music_is_another_name_of_audio():
    assert SummarySettings(by="music") == SummarySettings(by="audio")
    assert SummarySettings(by="music").by == "audio"


POINTS_S = np.arange(0, 60, 4) + 0.25


def _keyframe_cuts(info: MediaInfo, points_s: np.ndarray, *, only: bool) -> KeyframeCuts:
    """Keyframes at some times (on a clock of quarters of a second), with or without a way to encode what lies between them."""
    ticks, none = np.rint(points_s * 4).astype(np.int64), np.empty(0, np.int64)
    video = Packets(Fraction(1, 4), none, none, none, none.astype(bool), none.astype(bool), [])
    recipe = None if only else Recipe("high", "yuv420p")
    return KeyframeCuts(CutPoints(info, video, None, ticks, ticks, recipe, "made up" if only else ""))


def _on_points(shots: tuple[ScoredShot, ...], info: MediaInfo) -> bool:
    return all(part.start_s in POINTS_S and part.end_s in (*POINTS_S, info.end_s) for part in _kept(shots))


def test_where_only_some_points_can_be_cut_ranges_are_widened_to_them():
    _, curve, info = _made_up(0)
    found = [Segment(float(a), float(b)) for a, b in pairwise([*POINTS_S, info.end_s])]
    settings = SummarySettings(ratio=0.5, keep=(Segment(9, 10),), drop=(Segment(30, 33),))
    shots = choose(found, curve, settings, _keyframe_cuts(info, POINTS_S, only=True))
    assert _on_points(shots, info)
    assert any(part.start_s <= 9 and part.end_s >= 10 for part in _kept(shots))
    assert not any(part.overlap_s(Segment(30, 33)) > 0 for part in _kept(shots))
    assert sum(part.length_s for part in _kept(shots)) <= 0.5 * info.duration_s
    with pytest.raises(PlanError, match="share a part between two keyframes"):
        choose(found, curve, replace(settings, drop=(Segment(10.5, 11),)), _keyframe_cuts(info, POINTS_S, only=True))


def test_where_no_shot_fits_the_best_run_between_points_is_kept():
    _, curve, info = _made_up(1)
    found = [Segment(0.25, float(POINTS_S[8])), Segment(float(POINTS_S[8]), info.end_s)]
    for only in (True, False):
        shots = choose(found, curve, SummarySettings(duration_s=9), _keyframe_cuts(info, POINTS_S, only=only))
        assert _on_points(shots, info)
        assert [part.length_s for part in _kept(shots)] == [8.0]
    with pytest.raises(PlanError, match=r"no part between two keyframes fits the budget of 3\.000 s: .*leave out --lossless"):
        choose(found, curve, SummarySettings(duration_s=3), _keyframe_cuts(info, POINTS_S, only=True))
    (run,) = _kept(choose(found, curve, SummarySettings(duration_s=3), _keyframe_cuts(info, POINTS_S[:1], only=False)))
    assert 2.9 < run.length_s <= 3
    (run,) = _kept(choose(found, curve, SummarySettings(duration_s=3), _keyframe_cuts(info, POINTS_S, only=False)))
    assert 2.9 < run.length_s <= 3


class TestReasons:
    def test_ranges_the_knapsack_and_the_runners_up(self):
        info = _info(60.0, Fraction(25))
        found = [Segment(start_s, start_s + 4.0) for start_s in range(0, 60, 4)]
        arousal = np.repeat([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.65, 0.5, 0.6, 0.45, 0.55, 0.15, 0.25, 0.35], 2)
        curve = Curve(np.arange(1, 60, 2.0), np.stack([arousal, arousal], 1))
        settings = SummarySettings(duration_s=12.0, keep=(Segment(0, 4),), drop=(Segment(4, 8),))
        chosen = choose(found, curve, settings, FrameCuts(info))
        assert [shot.reason for shot in chosen[:6]] == ["keep", "drop", "left", "chosen", "left", "chosen"]
        runners = sorted(shot.arousal for shot in chosen if shot.reason == "runner-up")
        assert runners == pytest.approx([0.45, 0.5, 0.55, 0.6, 0.65])
        assert all(shot.kept == (shot.reason in ("keep", "chosen", "run")) for shot in chosen)

    def test_what_is_too_long_and_what_is_too_short_a_rest(self):
        info = _info(20.0, Fraction(25))
        found = [Segment(0, 4), Segment(4, 14), Segment(14, 20)]
        curve = Curve(np.arange(1, 20, 2.0), np.full((10, 2), 0.5))
        chosen = choose(found, curve, SummarySettings(duration_s=5.0, drop=(Segment(14.4, 18),)), FrameCuts(info))
        assert [shot.reason for shot in chosen] == ["chosen", "too long", "rest", "drop", "runner-up"]

    def test_a_run_where_no_shot_fits(self):
        info = _info(20.0, Fraction(25))
        curve = Curve(np.arange(1, 20, 2.0), np.linspace(0, 1, 20).reshape(10, 2))
        chosen = choose([Segment(0, 10), Segment(10, 20)], curve, SummarySettings(duration_s=2.0), FrameCuts(info))
        assert [shot.reason for shot in chosen] == ["too long", "rest", "run"]


class _MovingBoundaries:
    """Boundaries that turn out to lie elsewhere, each where it is asked for."""

    all_exact = False

    def __init__(self, exact_s: dict[float, float]) -> None:
        self.exact_s = exact_s
        self.asked: list[set[float]] = []

    def refine(self, shots: list[Segment], bounds_s: set[float], within_s: float) -> list[Segment]:
        self.asked.append(bounds_s)
        edges_s = [shots[0].start_s, *(shot.end_s for shot in shots)]
        edges_s = [self.exact_s.get(edge_s, edge_s) if edge_s in bounds_s else edge_s for edge_s in edges_s]
        return [Segment(a, b) for a, b in pairwise(edges_s)]


def test_shots_are_chosen_again_until_the_cuts_of_the_choice_are_exact():
    """The best shot turns out to be too long for the budget; another one is chosen, whose end then moves, too."""
    info = _info(60.0, Fraction(10))
    times = np.arange(1, 60, 2.0)
    arousal = np.select([times < 10, times < 20], [0.9, 0.8], 0.1)
    curve = Curve(times, np.stack([arousal, arousal], 1))
    estimated = [Segment(0, 10), Segment(10, 20), Segment(20, 60)]
    boundaries = _MovingBoundaries({10.0: 12.0, 20.0: 19.0})
    settings = SummarySettings(duration_s=10)
    selection = select(estimated, curve, FrameCuts(info), boundaries, settings, exact=True)
    assert _kept(selection.shots) == [Segment(12, 19)]
    assert (selection.precision, selection.warnings) == ("exact", ())
    assert boundaries.asked == [{0.0, 10.0}, {12.0, 20.0}, {12.0, 19.0}]
    first = select(estimated, curve, FrameCuts(info), boundaries, settings, exact=False)
    assert (_kept(first.shots), first.precision, len(boundaries.asked)) == ([Segment(0, 10)], "likely", 3)


@pytest.mark.parametrize("frames", [1, 20])
@pytest.mark.parametrize("side", ["before", "after"])
def test_no_frames_are_left_out_between_a_range_to_keep_and_a_chosen_shot_beside_it(frames, side):
    info = _info(30.0)
    edges_s = [0.0, *info.times_s[[300, 600]].tolist(), info.end_s]
    shots = [Segment(a, b) for a, b in pairwise(edges_s)]
    times_s = np.arange(1, 30, 2.0)
    beside = (times_s < edges_s[1]) if side == "before" else (times_s > edges_s[2])
    curve = Curve(times_s, np.where(beside, 0.9, 0.1)[:, None].repeat(2, 1))
    first, stop = (300 + frames, 450) if side == "before" else (450, 600 - frames)
    keep = Segment(float(info.times_s[first]), float(info.times_s[stop]))
    chosen = choose(shots, curve, SummarySettings(duration_s=16, keep=(keep,)), FrameCuts(info))
    (joined,) = Timeline.of(info.path, _kept(chosen)).segments
    assert joined == (Segment(0.0, keep.end_s) if side == "before" else Segment(keep.start_s, info.end_s))
    assert [shot.segment.start_s for shot in chosen[1:]] == [shot.segment.end_s for shot in chosen[:-1]]
    short = choose(shots, curve, SummarySettings(duration_s=6, keep=(keep,)), FrameCuts(info))
    assert _kept(short) == [keep]  # where the shot is not chosen, the range ends where it was asked to
