from pathlib import Path

import pytest

from mmvatool.timeline import Segment, Timeline


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
