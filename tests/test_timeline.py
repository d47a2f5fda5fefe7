from pathlib import Path

import pytest

from mmvatool.timeline import Clip, Cue, Segment, Timeline


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (float("nan"), 1)])
def test_a_segment_has_a_length(start, end):
    with pytest.raises(ValueError, match="the end must come after the start"):
        Segment(start, end)


def test_overlap_is_half_open():
    assert Segment(0, 2).overlap_s(Segment(2, 3)) == 0
    assert Segment(0, 2).overlap_s(Segment(1.5, 9)) == 0.5


def test_touching_segments_become_one():
    timeline = Timeline.of(Path("a.mp4"), [Segment(4, 5), Segment(0, 1), Segment(1, 2.5)])
    assert timeline.segments == (Segment(0, 2.5), Segment(4, 5))
    assert timeline.duration_s == 3.5


def test_clips_follow_each_other():
    timeline = Timeline.of(Path("a.mp4"), [Segment(4, 5), Segment(0, 2.5)])
    assert [(clip.start_s, clip.end_s) for clip in timeline.clips] == [(0, 2.5), (2.5, 3.5)]


def test_a_timeline_says_itself_in_json():
    clips = (Clip(Path("a.jpg"), 0, 4), Clip(Path("b.mp4"), 4, 5.5, Segment(1, 2.5)))
    assert Timeline(clips, (Cue(Path("c.mp3"), 0, 5.5, 30, 0.1),)).to_json() == {
        "clips": [
            {"path": "a.jpg", "start_s": 0, "end_s": 4, "source": None},
            {"path": "b.mp4", "start_s": 4, "end_s": 5.5, "source": [1, 2.5]},
        ],
        "cues": [{"path": "c.mp3", "start_s": 0, "end_s": 5.5, "offset_s": 30, "distance": 0.1, "score": None}],
    }
