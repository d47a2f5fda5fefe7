"""Fields of different moments: made whole frames everywhere, or coded and tagged as fields where that is asked for."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import ffmpeg, render, splice
from mmvatool.media.frames import steady_frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

SIZE = (320, 240)
RATE = Fraction(25)
COUNT = 50
STEP = 3  # pixels that the bar moves from field to field
COMBED, WHOLE = 80.0, 15.0  # levels of 255 between the lines of both fields: of the source, and of what comes out
TOP = ("-flags", "+ildct+ilme", "-x264-params", "tff=1", "-vf", "setfield=tff")
BOTTOM = ("-flags", "+ildct+ilme", "-x264-params", "bff=1", "-vf", "setfield=bff")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-crf", "12", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "12", "-bf", "2", "-flags", "+ildct+ilme", "-vf", "setfield=bff")


def moment(number: int, size: tuple[int, int]) -> np.ndarray:
    """A white bar on grey that moves from moment to moment."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    left = 10 + STEP * number % (size[0] - 60)
    picture[:, left : left + 40] = 235
    return picture


def woven(first: str, size: tuple[int, int]) -> Callable[[int], np.ndarray]:
    """Frames of two fields, the top or the bottom one first."""

    def frame_at(number: int) -> np.ndarray:
        frame, later = moment(2 * number, size).copy(), moment(2 * number + 1, size)
        rows = slice(1, None, 2) if first == "tff" else slice(0, None, 2)
        frame[rows] = later[rows]
        return frame

    return frame_at


def drawn_as(path: Path, first: str, params: tuple[str, ...], size: tuple[int, int] = SIZE) -> Path:
    return media.encode(path, woven(first, size), COUNT, RATE, None, params)


KINDS: dict[str, Callable[[Path], Path]] = {
    "top.mts": lambda path: drawn_as(path, "tff", (*H264, *TOP, "-f", "mpegts")),
    "bottom.mp4": lambda path: drawn_as(path, "bff", (*H264, *BOTTOM)),
    "top.mkv": lambda path: drawn_as(path, "tff", (*H264, *TOP)),
    "bottom.mpg": lambda path: drawn_as(path, "bff", MPEG2),
    "dv.avi": lambda path: drawn_as(path, "bff", ("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-vf", "setfield=bff"), (720, 576)),
    # Its decoder gives frames without a word on fields: the header alone has it.
    "header.mkv": lambda path: drawn_as(
        path, "bff", ("-c:v", "huffyuv", "-pix_fmt", "yuv422p", "-vf", "setfield=bff", "-field_order", "bb")
    ),
}


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory) -> Callable[[str], MediaInfo]:
    folder = tmp_path_factory.mktemp("interlaced")

    def file(name: str) -> MediaInfo:
        path = folder / name
        return probe(path if path.exists() else KINDS[name](path))

    return file


def comb(frame: np.ndarray) -> float:
    """The mean step from line to line in the column where it is largest; the drawing has none between lines of the same moment."""
    return float(np.abs(np.diff(frame[4:-4].astype(float), axis=0)).mean(0).max())


def decoded(path: Path, *filters: str, height: int = SIZE[1], width: int = SIZE[0]) -> np.ndarray:
    """What a player that does nothing about fields shows, in grey: (N, H, W)."""
    node = ffmpeg.source(path)["v:0"]
    for name in filters:
        node = node.filter(name)
    data = ffmpeg.run(node.output("pipe:", format="rawvideo", pix_fmt="gray"), path).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, height, width)


def lefts(frames: np.ndarray) -> np.ndarray:
    return np.array([np.flatnonzero(frame.mean(0) > 160)[0] for frame in frames])


def rendered(info: MediaInfo, target: Path, **options: str) -> list[str]:
    return render.render(Timeline.of(info.path, [Segment(info.snap(0.4), info.snap(1.2))]), info, target, **options)


@pytest.mark.parametrize("name", KINDS)
def test_fields_become_whole_frames(interlaced, tmp_path, name):
    info = interlaced(name)
    assert info.video.interlaced
    width, height = info.video.width, info.video.height
    assert comb(decoded(info.path, height=height, width=width)[20]) > COMBED  # the drawing is what it claims to be
    warnings = rendered(info, tmp_path / "out.mp4")
    assert [warning for warning in warnings if "interlaced" in warning] == ["interlaced: its fields were made whole frames (bwdif)"]
    got = probe(tmp_path / "out.mp4")
    assert (got.video.field_order, got.rate, len(got.times_s)) == ("progressive", RATE, 20)
    frames = decoded(tmp_path / "out.mp4", height=height, width=width)
    assert max(comb(frame) for frame in frames) < WHOLE
    assert np.abs(np.diff(lefts(frames)) - 2 * STEP).max() <= 2  # no step back: the field that is first was taken for first


@pytest.mark.parametrize(
    ("name", "order"), [("top.mts", "tt"), ("bottom.mp4", "bb"), ("top.mkv", "tt"), ("bottom.mpg", "bb"), ("header.mkv", "bb")]
)
def test_fields_that_are_kept_are_coded_and_tagged_as_fields(interlaced, tmp_path, name, order):
    info = interlaced(name)
    warnings = rendered(info, tmp_path / "out.mp4", interlaced="keep")
    assert warnings == [f"interlaced: coded as fields, the {'top' if order == 'tt' else 'bottom'} one first"]
    got = probe(tmp_path / "out.mp4")
    assert (got.video.field_order, len(got.times_s)) == (order, 20)
    assert comb(decoded(tmp_path / "out.mp4")[10]) > COMBED
    fields = decoded(tmp_path / "out.mp4", "separatefields", height=SIZE[1] // 2)
    assert len(fields) == 40
    assert np.abs(np.diff(lefts(fields)) - STEP).max() <= 2


def test_webm_holds_no_fields(interlaced, tmp_path):
    warnings = rendered(interlaced("top.mkv"), tmp_path / "out.webm", interlaced="keep")
    assert warnings == ["interlaced: its fields were made whole frames (bwdif), as .webm holds no fields here"]
    assert max(comb(frame) for frame in decoded(tmp_path / "out.webm")) < WHOLE


@pytest.mark.parametrize("name", ["top.mts", "bottom.mpg", "header.mkv"])
def test_slides_and_thumbnails_are_whole(interlaced, name):
    info = interlaced(name)
    for frame in Sampler(info).read([0, 13, 30]):
        assert comb(frame) < WHOLE
    node = steady_frames(info, 0.4, 10, RATE, SIZE)
    data = np.frombuffer(ffmpeg.run(node, info.path).stdout, np.uint8).reshape(-1, SIZE[1], SIZE[0], 3)
    assert len(data) == 10
    assert max(comb(frame) for frame in data) < WHOLE


def test_fields_that_begin_in_mid_stream(tmp_path):
    """As broadcasts do it; what is progressive there is not touched."""
    pieces = [
        media.encode(tmp_path / "a.ts", lambda n: moment(2 * n, SIZE), COUNT, RATE, None, H264),
        drawn_as(tmp_path / "b.ts", "tff", (*H264, *TOP, "-output_ts_offset", "2")),
    ]
    path = tmp_path / "in.ts"
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    info = probe(path)
    assert comb(decoded(path)[80]) > COMBED
    render.render(Timeline.of(path, [Segment(info.snap(1.2), info.snap(3.2))]), info, tmp_path / "out.mp4")
    frames = decoded(tmp_path / "out.mp4")
    assert len(frames) == 50
    assert max(comb(frame) for frame in frames) < WHOLE


def test_a_picture_that_is_encoded_for_its_music(interlaced, tmp_path):
    sound = tmp_path / "sound.m4a"
    media.run_ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac", sound)
    info = interlaced("header.mkv")  # HuffYUV cannot lie in an mp4
    warnings = splice.copy_picture(info, sound, tmp_path / "out.mp4")
    assert warnings[1:] == ["interlaced: its fields were made whole frames (bwdif)"]
    frames = decoded(tmp_path / "out.mp4")
    assert len(frames) == COUNT
    assert max(comb(frame) for frame in frames) < WHOLE
    splice.copy_picture(info, sound, tmp_path / "kept.mp4", interlaced="keep")
    assert probe(tmp_path / "kept.mp4").video.field_order == "bb"
    assert comb(decoded(tmp_path / "kept.mp4")[20]) > COMBED
