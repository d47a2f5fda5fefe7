"""What is rendered is decoded before it gets its name."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import RenderError
from mmvatool.media.encode import check
from mmvatool.media.probe import probe
from tests.helpers import media

RATE = Fraction(25)
SOUND = media.scene_sound([("meadow", 2)])
ENCODERS = {
    ".mp4": ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    ".webm": (
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
        "-c:a",
        "libopus",
    ),
}


def _made(path: Path, *, sound: bool = True) -> Path:
    return media.encode(
        path, lambda number: media.SCENES["rays"]((160, 90), number / 25), 50, RATE, SOUND if sound else None, ENCODERS[path.suffix]
    )


@pytest.mark.parametrize("suffix", ENCODERS)
def test_a_whole_file_passes(tmp_path, suffix):
    check(_made(tmp_path / f"a{suffix}"), tmp_path / "out.mp4", 50, (160, 90), with_sound=True)
    check(_made(tmp_path / f"b{suffix}", sound=False), tmp_path / "out.mp4", 50, (160, 90), with_sound=False)


@pytest.mark.parametrize(
    ("frames", "size", "with_sound", "words"),
    [
        (51, (160, 90), True, "50 of 51 frames"),
        (50, (160, 92), True, "50 of 50 frames"),
        (50, (160, 90), False, "sound: True"),
    ],
)
def test_what_was_not_planned_is_refused(tmp_path, frames, size, with_sound, words):
    with pytest.raises(RenderError, match=f"failed its check .*{words}"):
        check(_made(tmp_path / "a.mp4"), tmp_path / "out.mp4", frames, size, with_sound=with_sound)


def test_a_frame_that_does_not_decode_is_refused(tmp_path):
    path = _made(tmp_path / "a.mp4", sound=False)
    data = bytearray(path.read_bytes())
    sizes = probe(path).sizes
    (large, *_) = np.flatnonzero(sizes[1:] > 400) + 1
    # Without sound, packets lie one after the other; B-frames before it may lie behind it.
    middle = data.index(b"mdat") + 4 + int(sizes[:large].sum())
    data[middle : middle + 300] = b"\xff" * 300
    path.write_bytes(data)
    with pytest.raises(RenderError, match=r"failed its check|does not decode"):
        check(path, tmp_path / "out.mp4", 50, (160, 90), with_sound=False)


def test_a_frame_that_is_made_up_is_refused(tmp_path):
    """What a decoder cannot read it fills in: all frames are there, and it complains of some of them. Not every byte matters as much."""
    stderr = []
    for count, place in itertools.product((4, 16), (0.3, 0.5, 0.9)):
        path = _made(tmp_path / "a.mp4", sound=False)
        data, sizes = bytearray(path.read_bytes()), probe(path).sizes
        (large, *_) = np.flatnonzero(sizes[1:] > 400) + 1
        middle = data.index(b"mdat") + 4 + int(sizes[:large].sum() + sizes[large] * place)
        data[middle : middle + count] = b"\xff" * count
        path.write_bytes(data)
        try:
            check(path, tmp_path / "out.mp4", 50, (160, 90), with_sound=False)
        except RenderError as error:
            stderr.append(str(error))
    assert any("50 of 50 frames" in text for text in stderr)


def test_a_file_cut_off_is_refused(tmp_path):
    path = _made(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RenderError, match=r"failed its check|does not decode"):
        check(path, tmp_path / "out.mp4", 50, (160, 90), with_sound=True)
    with pytest.raises(RenderError, match="wrote nothing"):
        check(tmp_path / "none.mp4", tmp_path / "out.mp4", 50, (160, 90), with_sound=True)
