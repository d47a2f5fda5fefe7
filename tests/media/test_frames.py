"""One contract for both decoders: the same files, the same questions, the same frames."""

from fractions import Fraction

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import frames as module
from mmvatool.media.frames import DecordFrames, FFmpegFrames, Frames, frame_size, seek_point
from mmvatool.media.probe import probe
from tests.helpers import media
from tests.media.conftest import KINDS

# Mean absolute difference of 8-bit RGB: the two bring their own versions of swscale and of the codecs.
SAME_PICTURE = 3.0
BOTH_READ = ("plain.mp4", "plain.mkv", "plain.avi", "vp9.webm", "hevc.mp4", "rotated.mp4", "anamorphic.mp4", "odd.mp4", "variable.mp4")
STAMPED = [name for name in KINDS if name not in ("tiny.mp4", "odd.mp4")]


def _questions(count: int) -> list[np.ndarray]:
    """Scattered, neighbouring, the first, the last."""
    return [np.linspace(0, count - 1, 7).astype(int), np.arange(count // 2, count // 2 + 6), np.array([0]), np.array([count - 1])]


def _numbers(info, name: str) -> np.ndarray:
    """The stamp each frame of a drawn file should bear."""
    if name == "variable.mp4":
        return np.array([number for number in range(400) if number % 7])[: len(info.times_s)]
    if name in ("edit.mp4", "late.ts"):  # cut out of the middle: the last frame is known
        return np.arange(len(info.times_s)) + 179 - len(info.times_s)
    return np.arange(len(info.times_s))


@pytest.mark.parametrize("name", STAMPED)
@pytest.mark.parametrize("decoder", [DecordFrames, FFmpegFrames])
def test_each_decoder_gives_the_frames_asked_for(kinds, decoder, name):
    info = probe(kinds(name))
    try:
        source = decoder(info)
    except MediaError:
        assert decoder is DecordFrames
        assert name not in BOTH_READ
        return
    expected = _numbers(info, name)
    for question in _questions(len(info.times_s)):
        got = source.read(question)
        width, height = frame_size(info)
        assert got.shape == (len(question), height, width, 3)
        assert got.dtype == np.uint8
        assert [media.read_stamp(frame) for frame in got] == expected[question].tolist()


@pytest.mark.parametrize("name", BOTH_READ)
def test_both_decoders_give_the_same_pictures(kinds, name):
    info = probe(kinds(name))
    one, other = DecordFrames(info), FFmpegFrames(info)
    for question in _questions(len(info.times_s)):
        difference = np.abs(one.read(question).astype(int) - other.read(question)).mean((1, 2, 3))
        assert difference.max() < SAME_PICTURE


@pytest.mark.parametrize(("name", "reason"), [("av1.mp4", "decord"), ("edit.mp4", "edit list"), ("late.ts", "mpegts")])
def test_what_decord_cannot_ffmpeg_reads_and_says_so(kinds, name, reason):
    source = Frames(probe(kinds(name)))
    assert len(source.read([0, 1])) == 2
    assert source.fallback is not None
    assert reason in source.fallback


def test_decord_is_used_where_it_can(kinds):
    source = Frames(probe(kinds("plain.mp4")))
    source.read([3])
    assert source.fallback is None
    assert source.damaged == 0


def test_more_frames_than_one_expression_holds(kinds, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 10)
    info = probe(kinds("plain.mp4"))
    question = np.arange(3, 170, 7)
    assert [media.read_stamp(frame) for frame in FFmpegFrames(info).read(question)] == question.tolist()


def test_anamorphic_frames_come_with_square_pixels(kinds):
    assert frame_size(probe(kinds("anamorphic.mp4"))) == (427, 180)


def test_very_narrow_video(kinds):
    assert Frames(probe(kinds("tiny.mp4"))).read([0, 9]).shape == (2, 16, 2, 3)


def test_damaged_frames_are_replaced_by_neighbours_and_counted(kinds, tmp_path):
    data = bytearray(kinds("plain.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    data[start + (len(data) - start) // 3 : start + (len(data) - start) // 2] = bytes((len(data) - start) // 2 - (len(data) - start) // 3)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    info = probe(path)
    source = Frames(info)
    question = np.arange(0, len(info.times_s), 5)
    got = source.read(question)
    assert got.shape[0] == len(question)
    assert media.read_stamp(got[0]) == 0
    assert media.read_stamp(got[-1]) == question[-1]


def test_nothing_to_decode_is_an_error(kinds, tmp_path):
    data = bytearray(kinds("plain.mp4").read_bytes())
    start, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"damaged|no video frame"):
        Frames(probe(path)).read([0, 5])


@pytest.mark.parametrize("suffix", ["ts", "flv"])
def test_late_frames_of_streams_are_sought_not_decoded_from_the_start(tmp_path, suffix):
    """An hour of MPEG-TS decoded from its start for every cut would take longer than to watch it."""
    params = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p")
    path = media.encode(
        tmp_path / f"in.{suffix}", lambda n: media.stamp(np.zeros((32, 128, 3), np.uint8), n), 500, Fraction(25), None, params
    )
    info = probe(path)
    assert seek_point(info, 15.0) > 10
    for start in range(0, 490, 70):
        got = FFmpegFrames(info).read([start, start + 1, start + 9])
        assert [media.read_stamp(frame) for frame in got] == [start, start + 1, start + 9]


def test_a_clock_that_jumps_is_not_sought_by(tmp_path):
    short = tmp_path / "short.ts"
    media.encode(
        short, lambda n: media.stamp(np.zeros((32, 128, 3), np.uint8), n), 100, Fraction(25), None, ("-c:v", "libx264", "-g", "10")
    )
    media.run_ffmpeg("-i", short, "-c", "copy", "-output_ts_offset", 3600, tmp_path / "later.ts")
    path = tmp_path / "joined.ts"
    path.write_bytes(short.read_bytes() + (tmp_path / "later.ts").read_bytes())
    info = probe(path)
    assert len(info.times_s) == 200
    assert seek_point(info, info.end_s) == 0
    assert [media.read_stamp(frame) for frame in FFmpegFrames(info).read([90, 110, 190])] == [90, 10, 90]
