"""Pixel aspects that change in mid-stream, as broadcasts change from 4:3 to 16:9: ffmpeg shows all of a file with one of them."""

import re
from fractions import Fraction
from typing import Any

import av

CONTAINERS = ("mpegts", "mpeg")  # others state one aspect for all of a stream
# Sequence headers, up to where the next unit begins.
_HEADERS = {
    "mpeg1video": re.compile(rb"\x00\x00\x01\xb3(.{8})", re.DOTALL),
    "mpeg2video": re.compile(rb"\x00\x00\x01\xb3(.{8})", re.DOTALL),
    "h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](.*?)\x00\x00", re.DOTALL),
    "hevc": re.compile(rb"\x00\x00\x01\x42\x01(.*?)\x00\x00\x01", re.DOTALL),
}


class Aspects:
    """Collects the pixel aspects of one stream, by decoding each keyframe whose sequence header differs from the one before.

    Attributes:
        found: from which time (in seconds, on the container's own clock) which aspect holds, rising; the first holds from the start.
    """

    def __init__(self, container: str, codec: str) -> None:
        self._codec = codec
        self._header = _HEADERS.get(codec) if container in CONTAINERS else None
        self._last: bytes | None = None
        self.found: list[tuple[float, Fraction]] = []

    def add(self, packet: Any) -> None:
        """Look at a packet."""
        if self._header is None or not packet.is_keyframe or packet.pts is None:
            return
        match = self._header.search(bytes(packet))
        if match is None or match[1] == self._last:
            return
        self._last = match[1]
        aspect = self._decoded(packet)
        if aspect is not None and (not self.found or self.found[-1][1] != aspect):
            self.found.append((float(packet.pts * packet.time_base), aspect))

    def _decoded(self, packet: Any) -> Fraction | None:
        decoder: Any = av.CodecContext.create(self._codec, "r")
        try:
            decoder.decode(packet)
            decoder.decode(None)
        except av.FFmpegError:
            return None
        return Fraction(decoder.sample_aspect_ratio or 1)
