"""One contract for both decoders: the same files, the same questions, the same frames."""

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import frames as module
from mmvatool.media.frames import DecordFrames, FFmpegFrames, Frames, frame_size
from mmvatool.media.probe import probe
from tests import media
from tests.media_io.conftest import KINDS

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
