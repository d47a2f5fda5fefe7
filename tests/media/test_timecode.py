"""Time codes by themselves, as cameras write them, and at the start of a cut."""

from fractions import Fraction
from pathlib import Path

import pytest

from mmvatool.media import cut
from mmvatool.media.probe import probe
from mmvatool.media.timecode import timecode_frames, timecode_text
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p")


def _draw(path: Path, rate: Fraction, timecode: str | None, *params: str) -> Path:
    written = ("-metadata:s:v", f"timecode={timecode}") if timecode else ()
    return media.draw_scenes(path, [("rays", 3)], (64, 36), rate, with_sound=False, params=(*X264, *written, *params))


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)])
@pytest.mark.parametrize("drop", [False, True])
def test_a_text_names_the_frame_that_it_was_made_from(rate, drop):
    drop = drop and rate in (Fraction(30000, 1001), Fraction(60000, 1001))
    for number in [*range(0, 40_000, 7), *range(1790, 1810), *range(3590, 3610), *range(17_975, 17_990), 2_000_003]:
        assert timecode_frames(timecode_text(number, rate, drop=drop), rate) == number


def test_names_of_frames_around_a_dropped_number():
    rate = Fraction(30000, 1001)
    assert [timecode_text(number, rate, drop=True) for number in (1799, 1800, 17_981, 17_982)] == [
        "00:00:59;29", "00:01:00;02", "00:09:59;29", "00:10:00;00"
    ]  # fmt: skip
    assert timecode_text(86_400 * 24, Fraction(24)) == "00:00:00:00"


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001)])
def test_a_drop_frame_flag_at_24_frames_a_second_loses_no_time_code(tmp_path, rate):
    """ffmpeg neither writes nor reads it; cameras do. There is nothing to drop."""
    data = bytearray(_draw(tmp_path / "camera.mov", rate, "01:02:03:04").read_bytes())
    flags = data.index(b"tmcd", data.index(b"stsd", data.index(b"gmhd"))) + 4 + 8 + 4
    assert data[flags + 3] == 0
    data[flags + 3] = 1
    (tmp_path / "drop.mov").write_bytes(data)
    assert probe(tmp_path / "drop.mov").timecode == "01:02:03:04"
    assert timecode_frames("00:00:10;00", rate) == 240


def test_the_time_code_of_a_matroska_file_is_found(tmp_path):
    assert probe(_draw(tmp_path / "in.mkv", Fraction(25), "01:02:03:04")).timecode == "01:02:03:04"


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "timecode", "start", "expected"),
    [
        (Fraction(24), "01:02:03:04", 24, "01:02:04:04"),
        (Fraction(24), "01:02:03:04", 31, "01:02:04:11"),  # not a keyframe: encoded
        (Fraction(30000, 1001), "01:02:59;04", 36, "01:03:00;12"),
        (Fraction(25), None, 24, None),
    ],
)
def test_a_cut_without_encoding_begins_with_the_time_code_of_its_first_frame(tmp_path, suffix, rate, timecode, start, expected):
    info, out = probe(_draw(tmp_path / "in.mov", rate, timecode)), tmp_path / f"out{suffix}"
    assert info.timecode == timecode
    segment = Segment(float(info.times_s[start]), float(info.times_s[60]))
    cut.cut(Timeline.of(info.path, [segment]), cut.cut_points(info, out), out)
    assert probe(out).timecode == expected
