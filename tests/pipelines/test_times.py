"""Videos whose frames keep no even time, summarized from the file to the file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Segment
from tests.helpers import media

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _draw(path: Path, count: int, ticks: str, *params: str, sound_s: float = 0.0) -> Path:
    """A stamped video whose frame N is shown at an expression's ticks of 1/90000 s; with a click at each full second if it has sound."""
    times = ("-vf", f"settb=1/90000,setpts='{ticks}'", "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    sound = media.click_sound(sound_s, range(int(sound_s))) if sound_s else None
    return media.encode(
        path,
        lambda n: media.stamp(media.rays((160, 96), n / 30), n),
        count,
        Fraction(30),
        sound,
        (*times, "-video_track_timescale", "90000", *(params or X264)),
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


SLIDES = "N*15*90000"  # of 15 s, the fifth and last one of a tick


def _first_click_s(path: Path) -> float:
    """Time of the first click that is heard in full; a cut fades in over 10 ms."""
    loud = np.flatnonzero(np.abs(media.decode_audio(path)[:, 0]) > 0.3)
    return float(loud[0]) / media.RATE_HZ


def test_a_slide_longer_than_the_budget_is_shown_in_part(tmp_path, predictor):
    path = _draw(tmp_path / "in.mp4", 5, SLIDES, sound_s=60)
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=SummarySettings(duration_s=9))
    (segment,) = summary.timeline.segments
    assert segment.length_s == pytest.approx(9, abs=0.001)
    assert int(segment.start_s // 15) == int((segment.end_s - 1e-6) // 15)
    got = probe(tmp_path / "out.mp4")
    assert got.duration_s == pytest.approx(9, abs=0.001)
    assert set(_stamps(tmp_path / "out.mp4")) == {int(segment.start_s // 15)}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("lossless", [False, True])
def test_ranges_inside_of_slides_are_kept_as_they_are(tmp_path, predictor, suffix, lossless):
    path = _draw(tmp_path / f"in{suffix}", 5, SLIDES, sound_s=60)
    ranges = (Segment(20.52, 25.0), Segment(40.0, 48.0))
    settings = SummarySettings(keep=ranges, duration_s=12.5, lossless=lossless)
    summary = summarize(path, tmp_path / f"out{suffix}", predictor=predictor, settings=settings)
    assert summary.timeline.segments == ranges
    got = probe(tmp_path / f"out{suffix}")
    assert got.end_s + got.origin_s == pytest.approx(12.48, abs=0.003)
    shown = {time_s: media.read_stamp(_at(got, time_s)) for time_s in (0.1, 4.3, 4.6, 9.3, 9.6, 12.3)}
    assert shown == {0.1: 1, 4.3: 1, 4.6: 2, 9.3: 2, 9.6: 3, 12.3: 3}
    assert _first_click_s(tmp_path / f"out{suffix}") == pytest.approx(0.48, abs=0.025)


def _at(info: MediaInfo, time_s: float) -> np.ndarray:
    return FFmpegFrames(info).read(info.frame_at(np.array([time_s - info.origin_s])))[0]


def test_a_recording_with_pauses_is_cut_in_them_without_encoding(tmp_path, predictor):
    """It stood still for 15 and for 12 s."""
    path = _draw(tmp_path / "in.mp4", 150, "N*3000+gte(N,45)*1350000+gte(N,120)*1080000", *X264, "-g", "30", sound_s=32)
    settings = SummarySettings(keep=(Segment(0.0, 10.0),), duration_s=10.1, lossless=True)
    summary = summarize(path, tmp_path / "out.mp4", predictor=predictor, settings=settings)
    assert summary.timeline.segments == (Segment(0.0, 10.0),)
    assert not any("encoded anew" in warning for warning in summary.warnings)
    got = probe(tmp_path / "out.mp4")
    assert len(got.times_s) == 45
    assert got.end_s == pytest.approx(10, abs=0.001)
    assert len(media.decode_audio(got.path)) / media.RATE_HZ == pytest.approx(10, abs=0.05)
