"""HDR stays HDR in 10 bits, with all that describes it, or becomes SDR; never eight bits of HDR."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import ffmpeg, hardware, render, splice
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

RATE = Fraction(25)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
TRANSFERS = ("smpte2084", "arib-std-b67")
# Luma of the drawn bars in 10 bits: PQ's are black, 18 % grey, diffuse white of 203 cd/m2, and a light of 1000.
BARS = (64, 360, 573, 723)


def drawn_hdr(path: Path, transfer: str, bits: int = 10, described: bool = True) -> MediaInfo:
    """Grey bars, written as the samples themselves."""
    pixel_format = "yuv420p10le" if bits == 10 else "yuv420p"
    levels = "+".join(f"{(level if bits == 10 else level / 4):g}*eq(floor(X/40),{number})" for number, level in enumerate(BARS))
    middle = 512 if bits == 10 else 128
    x265 = f"log-level=none:keyint=10{f':master-display={MASTERING}:max-cll=1000,400' if described else ''}"
    media.run_ffmpeg(
        "-f", "lavfi", "-i", f"color=s=160x96:r=25:d=1,format={pixel_format},geq=lum='{levels}':cb={middle}:cr={middle}", "-vf",
        f"setparams=color_trc={transfer}:colorspace=bt2020nc:color_primaries=bt2020:range=limited",
        "-c:v", "libx265", "-preset", "ultrafast", "-crf", "8", "-x265-params", x265, "-tag:v", "hvc1", path,
    )  # fmt: skip
    return probe(path)


def rendered(info: MediaInfo, target: Path, **options: object) -> tuple[MediaInfo, list[str]]:
    warnings = render.render(Timeline.of(info.path, [Segment(0.2, 0.6)]), info, target, **options)  # type: ignore[arg-type]
    return probe(target), warnings


def luma(info: MediaInfo, pixel_format: str) -> list[float]:
    """The mean of each bar's samples."""
    node = ffmpeg.source(info.path)["v:0"].output("pipe:", format="rawvideo", pix_fmt=pixel_format, **{"frames:v": 1})
    samples = np.frombuffer(ffmpeg.run(node, info.path).stdout, "<u2" if "10" in pixel_format else np.uint8)[: 160 * 96].reshape(96, 160)
    return [float(samples[20:76, 40 * number + 10 : 40 * number + 30].mean()) for number in range(4)]


def described(info: MediaInfo) -> set[str]:
    """What a decoder reads of the mastering display and of the light."""
    node = ffmpeg.source(info.path)["v:0"].filter("showinfo", checksum=0).output("pipe:", format="null", **{"frames:v": 1})
    lines = ffmpeg.run(node, info.path, log="info").stderr.splitlines()
    return {line.split("side data - ")[1] for line in lines if "side data - " in line and ("light" in line or "Mastering" in line)}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv"])
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_ten_bits_stay_ten_bits_of_hdr(tmp_path, transfer, suffix):
    info = drawn_hdr(tmp_path / "in.mp4", transfer)
    got, warnings = rendered(info, tmp_path / f"out{suffix}")
    assert (got.video.codec, got.video.pixel_format, got.video.color) == ("hevc", "yuv420p10le", info.video.color)
    assert got.video.color.transfer == transfer
    assert warnings == []
    assert len(got.times_s) == 10
    np.testing.assert_allclose(luma(got, "yuv420p10le"), BARS, atol=2)
    assert len(described(info)) == 2
    assert described(got) == described(info)
    assert (b"hvc1" in got.path.read_bytes()) == (suffix != ".mkv")


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_on_demand_it_becomes_sdr(tmp_path, transfer):
    info = drawn_hdr(tmp_path / "in.mp4", transfer)
    got, warnings = rendered(info, tmp_path / "out.mp4", to_sdr=True)
    color = got.video.color
    assert (got.video.codec, got.video.pixel_format) == ("h264", "yuv420p")
    assert (color.matrix, color.primaries, color.transfer, color.full_range) == ("bt709", "bt709", "bt709", False)
    assert warnings == ["HDR: tone-mapped to SDR"]
    black, grey, white, light = luma(got, "yuv420p")
    assert black == pytest.approx(16, abs=2)
    assert grey - black > 40
    assert white - grey > 40
    assert light >= white + (8 if transfer == "smpte2084" else 3)
    if transfer == "smpte2084":
        assert 170 < white < 236  # 203 cd/m2 is white, with some room for the light
    assert described(got) == set()


def test_webm_gets_sdr_and_says_so(tmp_path):
    got, warnings = rendered(drawn_hdr(tmp_path / "in.mp4", "smpte2084"), tmp_path / "out.webm")
    assert (got.video.codec, got.video.pixel_format, got.video.color.transfer) == ("vp9", "yuv420p", "bt709")
    assert warnings == ["HDR: tone-mapped to SDR, as HDR in a .webm is not written here"]


def test_eight_bits_of_hdr_are_written_with_ten(tmp_path):
    info = drawn_hdr(tmp_path / "in.mp4", "arib-std-b67", bits=8, described=False)
    assert info.video.pixel_format == "yuv420p"
    got, _ = rendered(info, tmp_path / "out.mp4")
    assert (got.video.codec, got.video.pixel_format, got.video.color.transfer) == ("hevc", "yuv420p10le", "arib-std-b67")
    np.testing.assert_allclose(luma(got, "yuv420p10le"), [level // 4 * 4 for level in BARS], atol=4)


def test_hardware_codes_no_hdr_in_eight_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "H264", {"libopenh264": ("-b:v", "2M")})
    info = drawn_hdr(tmp_path / "in.mp4", "smpte2084")
    got, warnings = rendered(info, tmp_path / "out.mp4", encoder="auto")
    assert (got.video.codec, got.video.pixel_format) == ("hevc", "yuv420p10le")
    assert warnings == ["HDR: encoded in software"]
    got, warnings = rendered(info, tmp_path / "sdr.mp4", encoder="auto", to_sdr=True)
    assert (got.video.codec, got.video.color.transfer) == ("h264", "bt709")
    assert warnings == ["HDR: tone-mapped to SDR", "encoded in hardware (libopenh264)"]


def test_frames_for_scores_and_thumbnails_are_those_that_a_screen_shows(tmp_path):
    info = drawn_hdr(tmp_path / "in.mp4", "smpte2084")
    levels = next(iter(Sampler(info).read([5]))).mean(2)[48, 20::40]
    sdr = [(level - 16) * 255 / 219 for level in luma(rendered(info, tmp_path / "out.mp4", to_sdr=True)[0], "yuv420p")]
    np.testing.assert_allclose(levels, sdr, atol=4)


def test_rgb_of_hdr(tmp_path):
    """Of the same light as YUV, it gives the same in both ways."""
    yuv = drawn_hdr(tmp_path / "in.mp4", "smpte2084")
    path = tmp_path / "rgb.mkv"
    media.run_ffmpeg("-i", yuv.path, "-vf", "format=gbrp10le", "-c:v", "ffv1", path)
    info = probe(path)
    assert (info.video.pixel_format, info.video.color.transfer) == ("gbrp10le", "smpte2084")
    for number, options in enumerate(({}, {"to_sdr": True})):
        got, _ = rendered(info, tmp_path / f"rgb{number}.mp4", **options)
        wanted, _ = rendered(yuv, tmp_path / f"yuv{number}.mp4", **options)
        pixel_format = wanted.video.pixel_format
        assert got.video.color.matrix == wanted.video.color.matrix
        np.testing.assert_allclose(luma(got, pixel_format), luma(wanted, pixel_format), atol=4 if "10" in pixel_format else 3)


@pytest.mark.parametrize(("suffix", "codec", "transfer"), [(".mp4", "hevc", "smpte2084"), (".webm", "vp9", "bt709")])
def test_a_picture_that_is_encoded_for_its_music(tmp_path, suffix, codec, transfer):
    """FFVHuff lies in neither."""
    whole = drawn_hdr(tmp_path / "in.mp4", "smpte2084")
    path = tmp_path / "in.mkv"
    media.run_ffmpeg("-i", whole.path, "-c:v", "ffvhuff", path)
    sound = tmp_path / f"sound{'.webm' if suffix == '.webm' else '.m4a'}"
    media.run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "libopus" if suffix == ".webm" else "aac", sound)
    splice.copy_picture(probe(path), sound, tmp_path / f"out{suffix}")
    got = probe(tmp_path / f"out{suffix}")
    assert (got.video.codec, got.video.color.transfer) == (codec, transfer)
    assert got.video.pixel_format == ("yuv420p10le" if codec == "hevc" else "yuv420p")
    assert len(got.times_s) == 25
