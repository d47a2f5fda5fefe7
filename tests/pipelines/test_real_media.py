"""Real files, where a checkout has them beside it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from mmvatool.media.frames import FFmpegFrames, Frames
from mmvatool.media.probe import probe
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.settings import SummarySettings
from tests.conftest import REAL_MEDIA

COLOUR_TOLERANCE = 6.0  # of 255, mean over a frame
VIDEOS = sorted(path for path in REAL_MEDIA.glob("*") if path.suffix in (".mp4", ".mkv", ".webm")) if REAL_MEDIA.is_dir() else []

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not VIDEOS, reason="no real media beside this checkout")]


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_every_real_video_has_a_sound_summary(path: Path, tmp_path, predictor):
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor)
    info, got = summary.info, probe(tmp_path / "out.mp4")
    frames = sum(round(segment.length_s * info.rate) for segment in summary.timeline.segments)
    assert abs(len(got.times_s) - frames) <= 2
    assert got.duration_s <= 0.15 * info.duration_s + 1e-6
    assert (got.video.width, got.video.height, got.rate) == (info.video.width, info.video.height, info.rate)
    assert got.constant_rate
    assert (got.audio is None) == (info.audio is None)
    decoded = subprocess.run(
        [ffmpeg.executable(), "-v", "warning", "-i", tmp_path / "out.mp4", "-f", "null", "-"], capture_output=True, text=True, timeout=60
    )
    assert decoded.stderr == ""
    kept = [
        n
        for segment in summary.timeline.segments
        for n in range(len(info.times_s))
        if segment.start_s - 1e-6 <= info.times_s[n] < segment.end_s - 1e-6
    ]
    assert len(kept) == len(got.times_s)
    before, after = Frames(info).read(kept).astype(int), FFmpegFrames(got).read(np.arange(len(kept)))
    assert np.abs(before - after).mean((1, 2, 3)).max() < COLOUR_TOLERANCE


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_by_sound(path: Path, predictor):
    if probe(path).audio is None:
        pytest.skip("has no sound")
    summary = summarize(path, predictor=predictor, settings=SummarySettings(by="audio", shots="uniform"), dry_run=True)
    assert 0 < summary.timeline.duration_s <= 0.15 * summary.info.duration_s + 1e-9


@pytest.mark.parametrize("name", ["rain.mp3", "crunching.mp3"])
def test_sounds_are_not_videos(name):
    with pytest.raises(MediaError, match="has sound but no video"):
        probe(REAL_MEDIA / name)
