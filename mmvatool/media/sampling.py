"""A frame for each step of time, read in one pass of ffmpeg that decodes only what is needed.

A keyframe that lies in a step represents it, and nothing else of its group of pictures is decoded. Elsewhere the group is decoded up to
the frame at the step's centre. Packets that are not needed are dropped before the decoder: to decode one keyframe in two of a 1080p
recording takes a twelfth of the time of decoding it all.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, picture
from mmvatool.media.expressions import select_first_after, step_function
from mmvatool.media.frames import ROUGHLY_SEEKABLE_CONTAINERS, SEEKABLE_CONTAINERS, frame_size, seek_point
from mmvatool.media.probe import MediaInfo

# Samples in one run: an expression of twice as many would pass the length limit of a command-line argument.
CHUNK = 1024
ROUGH_PX = (64, 36)
FAR_S = 10.0
# A keyframe that is scaled down at least to this is decoded without the deblocking filter, a tenth of the decoding time: its blocks are 4 to
# 16 px. VA moves by .0004 on average at 720p, and by .002 at the worst quality that x264 is used with. Other frames refer to filtered ones.
BLOCKS_SCALE = 0.4
# "Decode until" times for groups of pictures of which nothing, or the keyframe only, is needed.
NOTHING_S, KEY_ALONE_S = -2e9, -1e9


@dataclass(frozen=True)
class Samples:
    """`frames` (N,): the frame that represents each step; `times_s` (N,), rising: the time in the step that it represents."""

    frames: np.ndarray
    times_s: np.ndarray


def pick(info: MediaInfo, edges_s: np.ndarray, sampling: str) -> Samples:
    """Choose a frame for each step.

    Args:
        info: the probed video.
        edges_s: (N + 1,) bounds of the steps, rising.
        sampling: "auto": of the keyframes in a step the one nearest to its centre, where there is none the frame at the centre;
            "exact": the frame at the centre; "keyframes": where a step holds none, the keyframe nearest to its centre.

    Returns:
        The samples. All are as "exact" where keyframes cannot be decoded by themselves or sought: in open groups of pictures, and where
        the file's clock jumps.
    """
    centres_s = (edges_s[:-1] + edges_s[1:]) / 2
    exact = info.frame_at(centres_s)
    keys = keyframes(info)
    if sampling == "exact" or not _separable(info):
        return Samples(exact, centres_s)
    keys_s = info.times_s[keys]
    after = np.clip(np.searchsorted(keys_s, centres_s), 1, max(1, len(keys) - 1))
    before = np.minimum(after - 1, len(keys) - 1)
    after = np.minimum(after, len(keys) - 1)
    nearest = np.where(centres_s - keys_s[before] <= keys_s[after] - centres_s, before, after)
    # Up to half a frame before the next step, since bounds of shots are moved to the nearest frame.
    inside = (keys_s[nearest] >= edges_s[:-1]) & (keys_s[nearest] < edges_s[1:] - float(1 / info.rate) / 2)
    frames = keys[nearest] if sampling == "keyframes" else np.where(inside, keys[nearest], exact)
    return Samples(frames, np.where(inside & (frames != exact), keys_s[nearest], centres_s))


def keyframes(info: MediaInfo) -> np.ndarray:
    """Indices of the keyframes, rising; none where the clock jumps or starts anew."""
    if info.restarts or not len(info.keys_s):
        return np.empty(0, np.int64)
    indices = np.minimum(np.searchsorted(info.times_s, info.keys_s), len(info.times_s) - 1)
    return np.unique(indices[info.times_s[indices] == info.keys_s])  # an edit list may hide some


def _separable(info: MediaInfo) -> bool:
    """Whether a group of pictures can be decoded without the one before: open ones of H.264 cannot."""
    return len(keyframes(info)) > 0 and not info.open_gop


class Sampler:
    """Reads frames of a video from first to last, scaled as `frame_size` says.

    Args:
        info: the probed video.
        rough: the frames are only compared with each other: scaled to ROUGH_PX, and without the deblocking filter.

    Attributes:
        decoded: positions in `indices` of the frames that could be decoded; complete once `read` is exhausted.
    """

    def __init__(self, info: MediaInfo, *, rough: bool = False) -> None:
        self._info = info
        self._rough = rough
        self.decoded: list[int] = []
        self._filter_error: str | None = None

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """Frames by index into `MediaInfo.times_s`, as ffmpeg decodes them.

        Args:
            indices: rising, not repeated.

        Yields:
            (height, width, 3) uint8 RGB for each that can be decoded.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        self.decoded = []
        times_s = self._info.times_s[wanted]
        for start, stop in itertools.pairwise(_runs(self._info, times_s)):
            yield from self._run(times_s[start:stop], start)

    def substitutes(self, count: int) -> np.ndarray:
        """For each of `count` requested frames, the position among the decoded ones of the last at or before it, else of the first: (count,).

        Raises:
            MediaError: none could be decoded.
        """
        if not self.decoded and self._filter_error:
            raise MediaError(self._info.path, f"its pictures cannot be converted ({self._filter_error}): export it again in a usual format")
        if not self.decoded:
            raise MediaError(self._info.path, "not one frame of it can be decoded: the file is damaged, copy or export it again")
        return np.clip(np.searchsorted(self.decoded, np.arange(count), side="right") - 1, 0, None)

    def _run(self, times_s: np.ndarray, first: int) -> Iterator[np.ndarray]:
        info = self._info
        (width, height), flags = (ROUGH_PX, "fast_bilinear") if self._rough else (frame_size(info), "bicubic")
        thresholds = times_s + info.origin_s - float(1 / info.rate) / 4
        from_s = seek_point(info, float(times_s[0]))
        options = {"ss": f"{from_s:.6f}"} if from_s > 0 else {}
        with_blocks = self._rough
        if _separable(info):
            options[f"bsf:{info.video.index}"] = f"noise=drop='{_unneeded(info, times_s)}'"
            shrunk = min(width, height) <= BLOCKS_SCALE * min(info.video.width, info.video.height)
            with_blocks = with_blocks or (shrunk and bool(np.isin(times_s, info.keys_s).all()))
        if with_blocks:
            options["skip_loop_filter"] = "all"
        # genpts: as in probing. reinit_filter: where the picture size changes, a new graph would begin to count again.
        node = ffmpeg.source(info.path, fflags="+genpts", reinit_filter=0, **options)[str(info.video.index)]
        node = node.filter("select", select_first_after(thresholds))
        # showinfo prints which frames these are, in case one cannot be decoded.
        node = picture.small(node.filter("showinfo", checksum=0), info, (width, height), flags)
        node = node.output("pipe:", format="rawvideo", fps_mode="passthrough", max_error_rate=1, **{"frames:v": len(times_s)})
        size, count = width * height * 3, 0
        with ffmpeg.stream(node, info.path, log="info") as reader:
            while count < len(times_s) and len(data := reader.read(size)) == size:
                count += 1
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            if count < len(times_s):
                reader.finish()
            stderr = reader.stderr()
            if not count:
                self._filter_error = self._filter_error or ffmpeg.filter_error(reader.errors())
        self.decoded += (first + np.searchsorted(thresholds, _showinfo_times(stderr)[:count], side="right") - 1).tolist()


def _showinfo_times(stderr: str) -> np.ndarray:
    """The times of the frames that the filter showinfo printed, in seconds, float64 (N,)."""
    tick = re.search(r"config in time_base: (\d+)/(\d+)", stderr)
    ticks = np.array([int(text) for text in re.findall(r"\] n: *\d+ pts: *(-?\d+) ", stderr)])
    return ticks * int(tick[1]) / int(tick[2]) if tick else np.empty(0)


def _runs(info: MediaInfo, times_s: np.ndarray) -> list[int]:
    """Bounds of the runs of ffmpeg over rising times: each seeks to its first frame and reads on from there."""
    far = np.empty(0, np.int64)
    if not _separable(info) and info.container in (*SEEKABLE_CONTAINERS, *ROUGHLY_SEEKABLE_CONTAINERS):
        far = np.flatnonzero(np.diff(times_s) > FAR_S) + 1  # no packets are dropped between them: all would be decoded
    bounds = [0, *far.tolist(), len(times_s)]
    return [start for first, stop in itertools.pairwise(bounds) for start in range(first, stop, CHUNK)] + [len(times_s)]


def _unneeded(info: MediaInfo, times_s: np.ndarray) -> str:
    """An ffmpeg expression: 1 for the packets without which the frames at rising times can be decoded.

    At each keyframe the time is looked up until which its group of pictures is needed; a packet's DTS is never after its PTS.
    """
    keys_s = np.unique(info.keys_s)
    until_s = np.full(len(keys_s), NOTHING_S)
    group = np.clip(np.searchsorted(keys_s, times_s, side="right") - 1, 0, None)
    np.maximum.at(until_s, group, np.where(times_s == keys_s[group], KEY_ALONE_S, times_s + float(1 / info.rate) / 4))
    # Consecutive groups that are not needed are one entry.
    kept = np.flatnonzero((until_s != NOTHING_S) | np.append(True, until_s[:-1] != NOTHING_S))
    starts = keys_s[kept] + info.origin_s - float(1 / info.rate) / 4
    ends = [f"{until + info.origin_s if until > KEY_ALONE_S else until:.6f}" for until in until_s[kept]]
    end = step_function("ld(1)", [f"{start:.6f}" for start in starts[1:]], ends)
    wanted = f"st(1,if(eq(pts,nopts),dts,pts)*tb);st(0,if(key,{end},ld(0)))"
    return f"{wanted};if(key,lt(ld(0),{KEY_ALONE_S}),gt(dts*tb,ld(0)))"
