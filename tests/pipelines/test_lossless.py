"""`summarize --lossless`, from the file to the file."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import cut
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import probe
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.result import Summary
from mmvatool.summary.settings import SummarySettings
from tests.helpers import media

LOSSLESS = SummarySettings(lossless=True)
SCENES = [("meadow", 5), ("fireworks", 2.6), ("sea", 5), ("rays", 3)]
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-sc_threshold", "0", "-pix_fmt", "yuv420p")
HEVC = (
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-tag:v",
    "hvc1",
    "-pix_fmt",
    "yuv420p",
    "-x265-params",
    "log-level=none:keyint=55:scenecut=0",
)


def _draw(path: Path, *params: str) -> Path:
    return media.draw_scenes(path, SCENES, rate=Fraction(25), params=params)


def _stamps(summary: Summary) -> list[int]:
    assert summary.output is not None
    got = probe(summary.output)
    return [media.read_stamp(frame) for frame in FFmpegFrames(got).read(np.arange(len(got.times_s)))]


def _planned(summary: Summary) -> list[int]:
    times_s = summary.info.times_s
    return [n for part in summary.timeline.segments for n, t in enumerate(times_s) if part.start_s - 1e-6 <= t < part.end_s - 1e-6]


def test_shots_lie_on_keyframes_and_the_budget_holds(tmp_path, predictor):
    path = _draw(tmp_path / "in.mp4", *H264, "-g", "25")
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=replace(LOSSLESS, ratio=0.3))
    keys_s = [*summary.info.keys_s, summary.info.end_s]
    assert all(min(abs(shot.segment.end_s - key) for key in keys_s) < 1e-6 for shot in summary.shots)
    assert summary.warnings == ()
    assert 0 < probe(tmp_path / "out.mp4").duration_s <= 0.3 * summary.info.duration_s
    assert _stamps(summary) == _planned(summary)
    # The fireworks, 5-7.6 s, and the rays, 12.6-15.6 s, are the intense part.
    assert all(part.start_s >= 4.5 for part in summary.timeline.segments)
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["settings"]["lossless"] is True
    assert saved == summary.to_json()
    dry = summarize(path, predictor=predictor, settings=replace(LOSSLESS, ratio=0.3), dry_run=True)
    assert dry.timeline == summary.timeline
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.json", "out.mp4"]


def test_a_long_group_is_encoded_where_the_shot_begins_and_ends(tmp_path, predictor):
    path = _draw(tmp_path / "in.mp4", *H264, "-g", "250")
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=replace(LOSSLESS, ratio=0.25))
    assert any("were encoded anew (H.264)" in note for note in summary.warnings)
    assert summary.timeline.duration_s <= 0.25 * summary.info.duration_s
    assert _stamps(summary) == _planned(summary)


def test_what_is_not_encoded_in_part_is_cut_at_keyframes_and_said(tmp_path, predictor):
    path = _draw(tmp_path / "in.mp4", *HEVC)
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=replace(LOSSLESS, ratio=0.4))
    assert any(note.startswith("hevc is not encoded in part: all cuts lie on keyframes, up to ") for note in summary.warnings)
    points = cut.cut_points(summary.info, tmp_path / "out.mp4")
    for part in summary.timeline.segments:
        assert np.abs(points.times_s - part.start_s).min() < 1e-6
    assert _stamps(summary) == _planned(summary)
    # Pictures that refer to a keyframe that is cut away are no part of any shot that is kept.
    assert sum(shot.segment.length_s for shot in summary.shots) == pytest.approx(summary.info.duration_s)
    ends = {part.end_s for part in summary.timeline.segments} - {summary.info.end_s}
    assert ends <= {points.end_of(float(time_s)) for time_s in points.times_s}
