"""Videos whose frames keep no even time, summarized from the file to the file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import probe
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Segment
from tests.helpers import media


def _draw(path: Path, count: int, ticks: str, *params: str, sound_s: float = 0.0) -> Path:
    """A stamped video whose frame N is shown at an expression's ticks of 1/90000 s; with a click at each full second if it has sound."""
    times = ("-vf", f"settb=1/90000,setpts='{ticks}'", "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    sound = media.click_sound(sound_s, range(int(sound_s))) if sound_s else None
    return media.encode(
        path,
        lambda n: media.stamp(media.rays((160, 96), n / 30), n),
        count,
        Fraction(30),
        sound,
        (*times, "-video_track_timescale", "90000", *(params or x264)),
    )


def _stamps(path: Path) -> list[int]:
    got = probe(path)
    return [media.read_stamp(frame) for frame in FFmpegFrames(got).read(np.arange(len(got.times_s)))]


def test_frames_in_bursts_are_rendered_at_their_mean_rate_and_speed(tmp_path, predictor):
    path = _draw(tmp_path / "in.mp4", 120, "floor(N/3)*9000+mod(N,3)*(4+floor(random(0)*9))")
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=SummarySettings(keep=(Segment(1.0, 3.0),), duration_s=2))
    got = probe(tmp_path / "out.mp4")
    assert (got.rate, len(got.times_s)) == (30, 60)
    assert got.duration_s == pytest.approx(summary.timeline.duration_s, abs=0.001)
    stamps = _stamps(tmp_path / "out.mp4")
    # As on screen in the source: all of a burst at once, the last of it for a tenth of a second.
    assert np.abs(np.array(stamps) - (30 + np.arange(60))).max() <= 3
