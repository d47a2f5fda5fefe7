"""ffmpeg, which cuts and decodes, and PyAV, which probes, are two builds of libav: they must see the same packets."""

import numpy as np
import pytest

from mmvatool.media import ffmpeg, packets
from mmvatool.media.probe import probe
from tests.media.conftest import KINDS


def framecrc(path, index):
    """PTS, DTS, size and flags of each packet as ffmpeg copies it."""
    node = ffmpeg.source(path, fflags="+genpts")[str(index)].output("pipe:", c="copy", format="framecrc")
    lines = [line.split(b",") for line in ffmpeg.lines(node, path) if not line.startswith(b"#")]
    flags = [next((int(part.split(b"=")[1], 16) for part in line[6:] if b"F=" in part), packets.KEY_FLAG) for line in lines]
    return np.array([(int(line[2]), int(line[1]), int(line[4])) for line in lines]), np.array(flags)


@pytest.mark.parametrize("name", list(KINDS))
def test_both_see_the_same_packets(kinds, name):
    path = kinds(name)
    info = probe(path)
    for stream in (info.video, info.audio):
        if stream is None:
            continue
        (read,) = packets.read(path, [stream.index])
        numbers, flags = framecrc(path, stream.index)
        np.testing.assert_array_equal(numbers[:, ::2], np.stack([read.pts, read.sizes], 1))
        # Matroska has no DTS: those of the first frames are made up, in whole milliseconds.
        np.testing.assert_allclose(numbers[:, 1], read.dts, atol=1 if name.endswith(".mkv") else 0)
        np.testing.assert_array_equal(flags, read.flags)
