"""The projection of 360-degree video: kept where packets are copied, said where it is lost."""

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from mmvatool.media import cut, render, splice
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

INSIDE = {b"stsd": 8, b"avc1": 78}  # bytes before the boxes inside


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind + data


@pytest.fixture
def spherical(tmp_path) -> MediaInfo:
    """What a 360-degree camera writes: the box sv3d in the sample entry."""
    plain = media.draw_flashes(tmp_path / "plain.mp4", 4, Fraction(25), params=("-c:v", "libx264", "-g", "25", "-pix_fmt", "yuv420p"))
    data = bytearray(plain.read_bytes())
    projection = box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20)))
    new = box(b"sv3d", box(b"svhd", bytes(4), b"drawn\0"), projection)
    assert data.index(b"mdat") < data.index(b"moov")  # else the samples would move
    at, end = 0, 0
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4])
        size = int.from_bytes(data[at : at + 4])
        data[at : at + 4] = (size + len(new)).to_bytes(4)
        end = at + size
        at += 8 + INSIDE.get(kind, 0)
    data[end:end] = new
    path = tmp_path / "in.mp4"
    path.write_bytes(data)
    return probe(path)


def is_spherical(path: Path) -> bool:
    return "SPHERICAL" in probe(path).video.side_data


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_copies_keep_it(spherical, tmp_path, suffix):
    assert is_spherical(spherical.path)
    sound = tmp_path / "sound.m4a"
    media.run_ffmpeg("-f", "lavfi", "-i", "sine=d=4", "-c:a", "aac", sound)
    assert splice.copy_picture(spherical, sound, tmp_path / f"music{suffix}") == []
    assert is_spherical(tmp_path / f"music{suffix}")
    target = tmp_path / f"cut{suffix}"
    points = cut.cut_points(spherical, target)
    cut.cut(Timeline.of(spherical.path, [Segment(1.0, 3.0)]), points, target)
    assert is_spherical(target)


def test_what_is_encoded_loses_it_and_says_so(spherical, tmp_path):
    warnings = render.render(Timeline.of(spherical.path, [Segment(1.0, 2.0)]), spherical, tmp_path / "out.mp4")
    assert not is_spherical(tmp_path / "out.mp4")
    assert warnings == ["its 360-degree projection is lost: players will show it flat (--lossless keeps it)"]
