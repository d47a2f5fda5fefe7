"""Colours of sources whose matrix is none of the usual ones, or that have none at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, render
from mmvatool.media.frames import FFmpegFrames, steady_frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

COLOURS = np.array([[200, 30, 30], [40, 160, 60], [40, 60, 190], [128, 128, 128]], np.uint8)
TOLERANCE = 5.0  # of 255: 8 bits of YUV, twice


def bars(size: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(COLOURS.repeat(size[0] // 4, 0)[None], (size[1], size[0], 3))


def drawn_in(path: Path, matrix: str, primaries: str, transfer: str, pixel_format: str) -> MediaInfo:
    filters = (
        f"format=gbrp,setparams=colorspace=gbr:color_primaries={primaries}:color_trc={transfer}:range=full,"
        f"zscale=matrix={matrix}:range=limited,format={pixel_format}"
    )
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "4", "-x265-params", "log-level=none:keyint=10")
    x264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "4", "-g", "10")
    media.encode(path, lambda n: bars((160, 96)), 25, Fraction(25), None, ("-vf", filters, *(x265 if "10" in pixel_format else x264)))
    return probe(path)


def shown(info: MediaInfo) -> np.ndarray:
    """The bars' colours as a player shows them that goes by the tags: (4, 3)."""
    matrix = {"bt709": "bt709", "smpte170m": "bt601", "bt2020nc": "bt2020"}[info.video.color.matrix or ""]
    node = ffmpeg.source(info.path)["v:0"].filter("scale", in_color_matrix=matrix, in_range="limited").filter("format", "rgb24")
    frame = ffmpeg.run(node.output("pipe:", format="rawvideo", **{"frames:v": 1}), info.path).stdout
    return centres(np.frombuffer(frame, np.uint8).reshape(info.video.height, info.video.width, 3))


def centres(frame: np.ndarray) -> np.ndarray:
    return frame[frame.shape[0] // 2, frame.shape[1] // 8 :: frame.shape[1] // 4].astype(float)


def rendered(info: MediaInfo, target: Path, **options: bool) -> tuple[MediaInfo, list[str]]:
    warnings = render.render(Timeline.of(info.path, [Segment(info.snap(0.2), info.snap(0.6))]), info, target, **options)
    return probe(target), warnings


@pytest.mark.parametrize(
    ("matrix", "primaries", "transfer", "pixel_format", "written"),
    [
        ("ycgco", "bt709", "bt709", "yuv420p", "bt709"),
        ("bt2020c", "bt2020", "bt2020-10", "yuv420p10le", "bt2020nc"),
        ("ictcp", "bt2020", "smpte2084", "yuv420p10le", "bt2020nc"),
        ("ictcp", "bt2020", "arib-std-b67", "yuv420p10le", "bt2020nc"),
    ],
)
def test_a_matrix_that_swscale_does_not_know(tmp_path, matrix, primaries, transfer, pixel_format, written):
    info = drawn_in(tmp_path / "in.mp4", matrix, primaries, transfer, pixel_format)
    assert info.video.color.matrix == matrix
    got, warnings = rendered(info, tmp_path / "out.mp4")
    color = got.video.color
    assert (color.matrix, color.primaries, color.transfer) == (written, primaries, transfer)
    np.testing.assert_allclose(shown(got), COLOURS, atol=TOLERANCE)
    assert f"its colour matrix ({matrix}) is hardly known to players: written as {written}" in warnings
    if transfer not in ("smpte2084", "arib-std-b67"):  # HDR is tone-mapped for these
        for frame in (next(iter(Sampler(info).read([5]))), FFmpegFrames(info).read([5])[0]):
            np.testing.assert_allclose(centres(frame), COLOURS, atol=TOLERANCE)
        slide = ffmpeg.run(steady_frames(info, 0.2, 1, Fraction(25), (160, 96)), info.path).stdout
        np.testing.assert_allclose(centres(np.frombuffer(slide, np.uint8).reshape(96, 160, 3)), COLOURS, atol=TOLERANCE)


def test_ictcp_is_tone_mapped_as_other_hdr_is(tmp_path):
    """The same light in both matrices is the same SDR."""
    one = drawn_in(tmp_path / "a.mp4", "ictcp", "bt2020", "smpte2084", "yuv420p10le")
    other = drawn_in(tmp_path / "b.mp4", "bt2020nc", "bt2020", "smpte2084", "yuv420p10le")
    sdr = [shown(rendered(info, tmp_path / f"{info.path.stem}.out.mp4", to_sdr=True)[0]) for info in (one, other)]
    np.testing.assert_allclose(*sdr, atol=TOLERANCE)
    small = [centres(next(iter(Sampler(info).read([5])))) for info in (one, other)]
    np.testing.assert_allclose(*small, atol=TOLERANCE)
    assert np.ptp(sdr[0]) > 60


def test_a_matrix_that_nothing_knows_is_named(tmp_path):
    """A file is not damaged because a filter fails."""
    plain = media.encode(
        tmp_path / "plain.mp4", lambda n: bars((160, 96)), 25, Fraction(25), None, ("-c:v", "libx264", "-pix_fmt", "yuv420p")
    )
    path = tmp_path / "in.mp4"
    media.run_ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=11", path)
    info = probe(path)
    assert info.video.color.matrix == "smpte2085"
    problem = r"its colour matrix \(smpte2085\) cannot be converted"
    with pytest.raises(MediaError, match=problem):
        rendered(info, tmp_path / "out.mp4")
    with pytest.raises(MediaError, match=problem):
        next(iter(Sampler(info).read([5])))


def test_a_filter_that_fails_is_no_damage(tmp_path, monkeypatch):
    path = media.encode(tmp_path / "in.mp4", lambda n: bars((160, 96)), 25, Fraction(25), None, ("-c:v", "libx264", "-pix_fmt", "yuv420p"))
    info = probe(path)
    monkeypatch.setattr(
        "mmvatool.media.picture.small", lambda node, *_: node.filter("zscale", matrixin="ictcp", matrix="bt709").filter("format", "rgb24")
    )
    sampler = Sampler(info)
    assert list(sampler.read([5])) == []
    with pytest.raises(MediaError, match="code 3074: ") as caught:
        sampler.substitutes(1)
    assert "damaged" not in str(caught.value)
    with pytest.raises(MediaError, match="code 3074: ") as caught:
        FFmpegFrames(info).read([5])
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("a.mov", ("-c:v", "qtrle", "-pix_fmt", "rgb24")),
        ("b.mkv", ("-c:v", "libx264rgb", "-qp", "4", "-pix_fmt", "bgr0")),
        ("c.mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp")),
        ("d.mov", ("-c:v", "png", "-pix_fmt", "rgb24")),
        ("e.avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
        ("f.mov", ("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse", "-c:v", "png", "-pix_fmt", "pal8")),
    ],
)
@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), "bt709"), ((320, 240), "smpte170m")])
def test_rgb_is_written_as_players_read_it_and_tagged(tmp_path, name, params, size, matrix):
    info = probe(media.encode(tmp_path / name, lambda n: bars(size), 12, Fraction(25), None, params))
    render.render(Timeline.of(info.path, [Segment(0.0, 0.4)]), info, tmp_path / "out.mp4")
    got = probe(tmp_path / "out.mp4")
    assert (got.video.color.matrix, got.video.color.full_range, got.video.pixel_format) == (matrix, False, "yuv420p")
    assert (got.video.color.primaries, got.video.color.transfer) == ("bt709", "bt709")
    np.testing.assert_allclose(shown(got), COLOURS, atol=TOLERANCE)
