"""Size and pixel aspect that change in mid-stream: every stretch has its own shape, in the frame of the first."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmvatool.media import ffmpeg, render, splice
from mmvatool.media.frames import steady_frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

RATE = Fraction(25)
CODECS = {
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "2", "-g", "10"),
    "h264": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "10", "-pix_fmt", "yuv420p"),
}
# Of a stretch: the size that is stored and its pixel aspect.
FULL, WIDE, LARGE, TALL = ((320, 240), "1"), ((320, 240), "4/3"), ((640, 360), "1"), ((160, 240), "1")


def disc(size: tuple[int, int], aspect: Fraction) -> np.ndarray:
    """A disc that fills six tenths of the height, round where pixels have their aspect."""
    picture = Image.new("RGB", size, (90, 90, 90))
    across, down = 0.3 * size[1] / float(aspect), 0.3 * size[1]
    box = [size[0] / 2 - across, size[1] / 2 - down, size[0] / 2 + across, size[1] / 2 + down]
    ImageDraw.Draw(picture).ellipse(box, fill=(240, 240, 240))
    return np.asarray(picture)


def joined(path: Path, codec: str, *stretches: tuple[tuple[int, int], str], more: tuple[str, ...] = ()) -> MediaInfo:
    """A second of each."""
    data = b""
    for number, (size, aspect) in enumerate(stretches):
        drawing = disc(size, Fraction(aspect))
        params = ("-vf", f"setsar={aspect}", *CODECS[codec], *more, "-output_ts_offset", str(number), "-f", "mpegts")
        piece = media.encode(path.with_name(f"{number}.ts"), lambda n, drawing=drawing: drawing, 25, RATE, None, params)
        data += piece.read_bytes()
    path.write_bytes(data)
    return probe(path)


def extent(frame: np.ndarray) -> tuple[int, int]:
    """Width and height of what is not black."""
    grey = frame.astype(float).reshape(*frame.shape[:2], -1).mean(2)
    return int((grey.max(0) > 45).sum()), int((grey.max(1) > 45).sum())


def roundness(frame: np.ndarray) -> float:
    """Width of the disc by its height."""
    white = frame.astype(float).reshape(*frame.shape[:2], -1).mean(2) > 165
    return float(white.any(0).sum() / white.any(1).sum())


def decoded(info: MediaInfo) -> np.ndarray:
    node = ffmpeg.source(info.path)["v:0"].output("pipe:", format="rawvideo", pix_fmt="rgb24")
    return np.frombuffer(ffmpeg.run(node, info.path).stdout, np.uint8).reshape(-1, info.video.height, info.video.width, 3)


@pytest.mark.parametrize("codec", CODECS)
def test_each_stretch_has_its_own_shape_in_the_first_ones_frame(tmp_path, codec):
    info = joined(tmp_path / "in.ts", codec, FULL, WIDE, LARGE, TALL)
    assert (info.video.width, info.video.height, info.video.pixel_aspect) == (320, 240, 1)
    render.render(Timeline.of(info.path, [Segment(info.start_s, info.snap(info.start_s + 3.9))]), info, tmp_path / "out.mp4")
    got = probe(tmp_path / "out.mp4")
    assert (got.video.width, got.video.height, got.video.pixel_aspect) == (320, 240, 1)
    frames = decoded(got)
    assert len(frames) == pytest.approx(97, abs=2)
    for frame, wanted in zip(frames[12::25], [(320, 240), (320, 180), (320, 180), (160, 240)], strict=True):
        np.testing.assert_allclose(extent(frame), wanted, atol=4)
        assert roundness(frame) == pytest.approx(1, abs=0.04)
    for frame in Sampler(info).read([12, 37, 62, 87]):
        assert roundness(frame) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("codec", CODECS)
def test_where_the_first_one_has_pixels_that_are_not_square(tmp_path, codec):
    """Its pixel aspect is that of the result."""
    info = joined(tmp_path / "in.ts", codec, WIDE, FULL, LARGE)
    assert info.video.pixel_aspect == Fraction(4, 3)
    render.render(Timeline.of(info.path, [Segment(info.start_s, info.snap(info.start_s + 2.9))]), info, tmp_path / "out.mp4")
    got = probe(tmp_path / "out.mp4")
    assert got.video.pixel_aspect == Fraction(4, 3)
    for frame, wanted in zip(decoded(got)[12::25], [(320, 240), (240, 240), (320, 240)], strict=True):
        np.testing.assert_allclose(extent(frame), wanted, atol=4)
        assert roundness(frame) * 4 / 3 == pytest.approx(1, abs=0.05)


def test_a_segment_of_the_second_stretch_alone(tmp_path):
    info = joined(tmp_path / "in.ts", "mpeg2", FULL, WIDE)
    frame = ffmpeg.run(steady_frames(info, info.start_s + 1.4, 1, RATE, (320, 240)), info.path).stdout
    np.testing.assert_allclose(extent(np.frombuffer(frame, np.uint8).reshape(240, 320, 3)), (320, 180), atol=4)


def test_fields_of_another_size(tmp_path):
    """bwdif is handed frames of one size, whose fields were scaled each by itself."""
    more = ("-flags", "+ildct+ilme", "-vf", "setfield=tff")
    info = joined(tmp_path / "in.ts", "mpeg2", FULL, LARGE, more=more)
    assert info.video.interlaced
    render.render(Timeline.of(info.path, [Segment(info.start_s, info.snap(info.start_s + 1.9))]), info, tmp_path / "out.mp4")
    frames = decoded(probe(tmp_path / "out.mp4"))
    assert len(frames) == pytest.approx(47, abs=2)
    for frame, wanted in zip(frames[12::25], [(320, 240), (320, 180)], strict=True):
        np.testing.assert_allclose(extent(frame), wanted, atol=8)
        assert roundness(frame) == pytest.approx(1, abs=0.04)


def test_a_picture_that_is_encoded_for_its_music(tmp_path):
    sound = tmp_path / "sound.webm"
    media.run_ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-c:a", "libopus", sound)
    info = joined(tmp_path / "in.ts", "mpeg2", FULL, WIDE)
    splice.copy_picture(info, sound, tmp_path / "out.webm")
    frames = decoded(probe(tmp_path / "out.webm"))
    for frame, wanted in zip((frames[10], frames[-10]), [(320, 240), (320, 180)], strict=True):
        np.testing.assert_allclose(extent(frame), wanted, atol=4)
