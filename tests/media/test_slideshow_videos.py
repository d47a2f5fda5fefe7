"""Videos in a slideshow: which of their frames are seen, in which shape and colours, and what becomes of damaged ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import slideshow
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.timeline import Clip, Segment, Timeline
from tests.helpers import media
from tests.media.conftest import X264
from tests.media.test_slideshow import BLUE, COLOUR_TOLERANCE, GREEN, GREY, RATE, RED, SIZE, plain, shown


def clip_of(info: MediaInfo, start_s: float, end_s: float, at_s: float = 0.0) -> Clip:
    return Clip(info.path, at_s, at_s + end_s - start_s, Segment(start_s, end_s))


@pytest.mark.parametrize(
    "name", ["plain.mp4", "plain.mkv", "rotated.mp4", "late.ts", "opengop.mp4", "vp9.webm", "edit.mp4", "variable.mp4"]
)
def test_a_video_is_shown_at_the_slideshows_rate(kinds, tmp_path, name):
    info = probe(kinds(name))
    frames = shown(tmp_path / "a.mp4", Timeline((clip_of(info, 1.5, 3.5),)), infos={info.path: info}, crossfade_s=0)
    assert len(frames) == 20
    there = [media.read_stamp(frame) for frame in FFmpegFrames(info).read(np.arange(len(info.times_s)))]
    expected = [there[number] for number in info.frame_at(1.5 + np.arange(20) / 10 + float(1 / info.rate) / 4)]
    assert [media.read_stamp(frame) for frame in frames] == expected


def test_a_video_goes_on_while_it_is_faded_and_stands_where_it_ends(kinds, tmp_path):
    info = probe(kinds("plain.mp4"))
    black = plain((0, 0, 0))
    clips = (Clip(Path("b"), 0, 2), clip_of(info, 2.0, 4.0, 2.0), Clip(Path("b"), 4, 6), clip_of(info, info.end_s - 2, info.end_s, 6.0))
    clips += (Clip(Path("b"), 8, 10),)
    frames = shown(tmp_path / "a.mp4", Timeline(clips), infos={info.path: info}, read=lambda path: black, crossfade_s=1)
    bright = [np.clip(frames[n].astype(float) * factor, 0, 255) for n, factor in ((18, 3.2), (21, 1.7), (30, 1), (42, 3.2))]
    numbers = [media.read_stamp(frame) for frame in bright]
    assert np.abs(np.array(numbers) - [round(float((n / 10) * info.rate)) for n in (18, 21, 30, 42)]).max() <= 1
    ends = [media.read_stamp(np.clip(frames[n].astype(float) * factor, 0, 255)) for n, factor in ((79, 1.7), (82, 3.2))]
    assert len(info.times_s) - 6 <= ends[0] <= ends[1] < len(info.times_s)  # a tenth of a second is three frames


def test_pixels_that_are_not_square_and_bars(kinds, tmp_path):
    info = probe(kinds("anamorphic.mp4"))
    frames = shown(tmp_path / "a.mp4", Timeline((clip_of(info, 1, 1.5),)), infos={info.path: info}, crossfade_s=0, fill="black")
    height = round(160 / (320 * 4 / 3) * 180)
    rows = frames[2].mean((1, 2)) > 12
    assert (rows.argmax(), rows.sum()) == (pytest.approx((90 - height) // 2, abs=1), pytest.approx(height, abs=2))
    cut = shown(tmp_path / "b.mp4", Timeline((clip_of(info, 1, 1.5),)), infos={info.path: info}, crossfade_s=0, fill="crop")
    assert (cut[2].mean((1, 2)) > 12).all()
    whole = FFmpegFrames(info).read([30])[0]
    assert cut[2].mean() == pytest.approx(whole[:, whole.shape[1] // 8 : -whole.shape[1] // 8].mean(), abs=6)


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        (("-vf", "scale=out_color_matrix=bt601", "-colorspace", "smpte170m"), (160, 90)),
        (("-vf", "scale=out_color_matrix=bt601,setparams=colorspace=unknown"), (160, 90)),
        (("-vf", "scale=out_color_matrix=bt709,setparams=colorspace=unknown"), (1280, 720)),
        (("-vf", "scale=out_range=full:out_color_matrix=bt709", "-color_range", "pc", "-colorspace", "bt709"), (160, 90)),
    ],
)
def test_colours_of_a_video(tmp_path, tags, size):
    """As it is tagged; untagged small ones are bt601, large ones bt709, as players take them."""
    colours = np.array([[RED, GREEN], [BLUE, GREY]])
    picture = colours.astype(np.uint8).repeat(size[1] // 2, 0).repeat(size[0] // 2, 1)
    path = media.encode(tmp_path / "in.mp4", lambda n: picture, 10, RATE, None, (*X264, "-crf", "10", *tags))
    info = probe(path)
    assert (info.video.color.matrix is None) == ("unknown" in tags[1])  # the drawing is what it claims to be
    frames = shown(tmp_path / "out.mp4", Timeline((clip_of(info, 0, 1),)), infos={path: info}, crossfade_s=0)
    np.testing.assert_allclose(frames[5, 22::45, 40::80], colours, atol=COLOUR_TOLERANCE + 2)  # decoded twice


@pytest.mark.parametrize(
    ("transfer", "tags"),
    [("arib-std-b67", ":colorspace=bt2020nc:color_primaries=bt2020"), ("arib-std-b67", ""), ("smpte2084", ":colorspace=bt2020nc")],
)
def test_high_dynamic_range_is_brought_down(tmp_path, transfer, tags):
    """As phones record it: half the signal stays well below white; grey stays grey; what was dark stays dark."""
    steps = np.array([0, 60, 128, 190, 255], np.uint8).repeat(32)
    picture = np.broadcast_to(steps[None, :, None], (90, 160, 3))
    path = media.encode(
        tmp_path / "in.mp4",
        lambda n: picture,
        10,
        RATE,
        None,
        ("-vf", f"scale=out_color_matrix=bt2020,format=yuv420p10le,setparams=color_trc={transfer}{tags}",
         "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"),
    )  # fmt: skip
    info = probe(path)
    assert info.video.color.transfer == transfer
    frame = shown(tmp_path / "out.mp4", Timeline((clip_of(info, 0, 1),)), infos={path: info}, crossfade_s=0)[5].astype(float)
    got = frame[45, 16::32]
    assert np.ptp(got, axis=1).max() <= 6  # no cast
    levels = got.mean(1)
    assert (np.diff(levels[: 4 if transfer == "smpte2084" else 5]) > 8).all()  # PQ's upper end is brighter than any screen
    assert levels[0] < 6
    assert 90 < levels[2] < 200
    assert levels[4] > 200


def test_a_damaged_end_keeps_its_last_frame_and_is_said(kinds, tmp_path):
    whole = kinds("plain.mkv").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole)
    info = probe(path)
    path.write_bytes(whole[: len(whole) // 2])
    timeline = Timeline((clip_of(info, 1, 5.5),))
    warnings = slideshow.render(
        timeline, None, tmp_path / "a.mp4", size=SIZE, rate=RATE, crossfade_s=0, read=lambda path: plain(RED), infos={path: info}
    )
    got = probe(tmp_path / "a.mp4")
    frames = FFmpegFrames(got).read(np.arange(len(got.times_s)))
    assert len(frames) == 45
    numbers = [media.read_stamp(frame) for frame in frames]
    assert numbers[0] == pytest.approx(30, abs=1)
    assert len(set(numbers[-5:])) == 1
    assert len(set(numbers)) == pytest.approx(15, abs=6)  # half of its bytes are about half of its 6 seconds
    assert len(warnings) == 1
    assert re.fullmatch(r"cut\.mkv: cannot be decoded after \d\.\d s: its last frame stays", warnings[0])


def test_a_video_that_is_gone(kinds, tmp_path):
    path = tmp_path / "in.mp4"
    path.write_bytes(kinds("plain.mp4").read_bytes())
    info = probe(path)
    path.write_bytes(b"gone")
    with pytest.raises(MediaError, match=r"in\.mp4: cannot be decoded"):
        shown(tmp_path / "a.mp4", Timeline((clip_of(info, 1, 2),)), infos={path: info})
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]
