"""The packets of a media file: timestamps, flags, sizes and checksums, without decoding, by libav's demuxer."""

import itertools
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.bitstream import BitStreamFilterContext
from av.stream import Discard

from mmvatool.errors import MediaError
from mmvatool.media import headers

KEY_FLAG, CORRUPT_FLAG, DISCARD_FLAG, DISPOSABLE_FLAG = 0x1, 0x2, 0x4, 0x10  # AV_PKT_FLAG_*
NO_TIME = -(2**63)  # AV_NOPTS_VALUE


@dataclass(frozen=True)
class Packets:
    """The packets of one stream in the order of the file, which is decoding order.

    `dts`, `pts` and `durations` are int64 (N,), in ticks of `tick_s` seconds on the container's own clock. A packet without a PTS gets its
    DTS. `flags` holds AV_PKT_FLAG_*; `sizes` (bytes) and `checksums` (Adler-32) describe the data; all are int64 (N,).
    """

    tick_s: Fraction
    dts: np.ndarray
    pts: np.ndarray
    durations: np.ndarray
    sizes: np.ndarray
    checksums: np.ndarray
    flags: np.ndarray

    @property
    def times_s(self) -> np.ndarray:
        """PTS in seconds on the container's own clock, float64 (N,)."""
        return self.pts * float(self.tick_s)

    @property
    def keys(self) -> np.ndarray:
        """Which are keyframes, bool (N,)."""
        return (self.flags & KEY_FLAG) != 0

    @property
    def hidden(self) -> np.ndarray:
        """Which are decoded but not shown (before the start of an edit list), bool (N,)."""
        return (self.flags & DISCARD_FLAG) != 0

    def on_screen(self, tick: int) -> int:
        """The PTS of the frame that is shown at a tick, the tick itself before the first."""
        begun = self.pts[(self.pts <= tick) & ~self.hidden]
        return int(begun.max()) if len(begun) else tick

    @property
    def contents(self) -> list[tuple[int, int]]:
        """Size and checksum of each."""
        return list(zip(self.sizes.tolist(), self.checksums.tolist(), strict=True))


class Collector:
    """Collects the packets of one stream.

    Args:
        tick_s: its time base.
        summed_bytes: of each packet that the checksum covers; None for all.
    """

    def __init__(self, tick_s: Fraction, summed_bytes: int | None = None) -> None:
        self._tick_s, self._summed_bytes = tick_s, summed_bytes
        # Six numbers a packet in one array: hours of packets as objects would take many times the memory.
        self._numbers = array("q")

    def add(self, packet: Any) -> None:
        """Add a packet."""
        pts, dts = packet.pts, packet.dts
        flags = KEY_FLAG * packet.is_keyframe | CORRUPT_FLAG * packet.is_corrupt
        flags |= DISCARD_FLAG * packet.is_discard | DISPOSABLE_FLAG * packet.is_disposable
        self._numbers.extend(
            (
                NO_TIME if dts is None else dts,
                NO_TIME if pts is None else pts,
                packet.duration or 0,
                packet.size,
                zlib.adler32(memoryview(packet)[: self._summed_bytes]),
                flags,
            )
        )

    def packets(self) -> Packets:
        """What was collected."""
        dts, pts, durations, sizes, checksums, flags = np.frombuffer(self._numbers, np.int64).reshape(-1, 6).T
        return Packets(
            tick_s=self._tick_s,
            dts=_stated_dts(dts, pts, durations),
            pts=np.where(pts == NO_TIME, dts, pts),
            durations=durations,
            sizes=sizes,
            checksums=checksums,
            flags=flags,
        )


def read(path: Path, streams: Sequence[int | str], units: str | None = None, probing: dict[str, int] | None = None) -> list[Packets]:
    """Read the packets of several streams in one pass.

    Args:
        path: the file.
        streams: the numbers of streams, or the first of a kind, "v:0" or "a:0".
        units: nal_unit_type numbers in the syntax of ffmpeg's filter_units, "19-20". If given, the first of the streams (H.264 or HEVC) is
            appended once more with only those keyframes that contain such units: there may be none.
        probing: `AudioStream.probing`, without which packets of late sound have no times.

    Raises:
        MediaError: the file cannot be read, or one of the streams is missing or has no packets.
    """
    with headers.opened(path, options=probing) as container:
        chosen = [_find(container, stream, path) for stream in streams]
        indices = [stream.index for stream in chosen]  # of a closed container nothing can be asked
        collected = {stream.index: Collector(stream.time_base) for stream in chosen}
        with_units = Collector(chosen[0].time_base)
        filtered = BitStreamFilterContext(f"filter_units=pass_types={units}", chosen[0]) if units else None
        for packet in demux(container, chosen):
            collected[packet.stream_index].add(packet)
            if filtered and packet.stream_index == indices[0] and packet.is_keyframe:
                for kept in filtered.filter(packet):  # takes the packet's data away
                    with_units.add(kept)
    read = [collected[index].packets() for index in indices]
    if not all(len(found.pts) for found in read):
        raise MediaError(path, "a stream without packets")
    return [*read, with_units.packets()] if units else read


def demux(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """The packets of streams of an open container; those of the others are skipped where the demuxer can."""
    for stream in container.streams:
        if stream not in streams:
            stream.discard = Discard.all
    for packet in container.demux(*streams):
        if packet.dts is not None or packet.size:  # the last of each stream only flushes decoders
            yield packet


def _stated_dts(dts: np.ndarray, pts: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """DTS with those that are missing: Matroska has none, so that of the first frames, up to the reordering delay, nothing is known."""
    first = int(np.argmax(dts != NO_TIME)) if len(dts) else 0
    filled = np.where(dts == NO_TIME, pts, dts)
    if first:
        filled[:first] = dts[first] - np.cumsum(durations[first - 1 :: -1])[::-1]
    return filled


def dts_overlap(parts: Sequence[tuple[int, int]]) -> int:
    """The most ticks by which DTS do not rise from one part to the next, at least 0; `parts` are the (first, last) DTS of each."""
    return max([0, *(last + 1 - first for (_, last), (first, _) in itertools.pairwise(parts))])


def _find(container: Any, stream: int | str, path: Path) -> Any:
    if isinstance(stream, int):
        return container.streams[stream]
    kind, number = stream.split(":")
    found = {"v": container.streams.video, "a": container.streams.audio}[kind]
    if int(number) >= len(found):
        raise MediaError(path, f"has no {'video' if kind == 'v' else 'audio'} stream")
    return found[int(number)]
