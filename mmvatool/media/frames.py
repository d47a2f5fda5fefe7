"""Frames of a video by index: by decord where it can, by ffmpeg where decord cannot, with the same result.

Both give RGB, upright, with square pixels, scaled so that the shorter side has at most SHORT_SIDE_PX: the resolution that the towers need,
and small enough for a batch of any video.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, picture
from mmvatool.media.encode import ratio
from mmvatool.media.expressions import select_first_after
from mmvatool.media.probe import Color, MediaInfo

SHORT_SIDE_PX = 256
# One filter expression holds this many times: 5,400 in one would pass the length limit of a command-line argument.
CHUNK = 256
# Containers in which decord seeks to the right frame; in MPEG-TS it is off by a group of pictures.
DECORD_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")
# In these ffmpeg seeks to a keyframe at or before the requested time.
SEEKABLE_CONTAINERS = DECORD_CONTAINERS
# In these it seeks to any packet with a DTS at or before it: seek well before a keyframe. In all others it may end up anywhere: decode from
# the start.
ROUGHLY_SEEKABLE_CONTAINERS = ("mpegts", "mpeg", "flv")
SEEK_MARGIN_S = 1.0


class FrameSource(Protocol):
    """Reads frames of one video."""

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Frames by index into `MediaInfo.times_s`.

        Args:
            indices: rising, not repeated.

        Returns:
            (N, height, width, 3) uint8 RGB.

        Raises:
            MediaError: they cannot be decoded.
        """
        ...


def frame_size(info: MediaInfo) -> tuple[int, int]:
    """Width and height that frames are read at."""
    width, height = float(info.video.width * info.video.pixel_aspect), float(info.video.height)
    scale = min(1.0, SHORT_SIDE_PX / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class DecordFrames:
    """Frames through decord.

    Raises:
        MediaError: decord cannot open the file, or would give wrong frames.
    """

    def __init__(self, info: MediaInfo) -> None:
        if info.container not in DECORD_CONTAINERS:
            raise MediaError(info.path, f"decord misplaces frames in {info.container}")
        if len(info.times_s) != info.packet_count:
            raise MediaError(info.path, "decord does not follow the edit list")
        if info.open_gop:
            raise MediaError(info.path, "decord misplaces frames in open groups of pictures")
        width, height = frame_size(info)
        try:
            import decord
        except (ImportError, OSError, RuntimeError) as error:  # its own library is loaded by ctypes
            raise MediaError(info.path, "decord is not installed here, or does not load") from error
        decord.logging.set_level(decord.logging.QUIET)
        self._failures: tuple[type[Exception], ...] = (decord.DECORDError, RuntimeError, IndexError, UnicodeError)
        self._info = info
        try:
            self._reader = decord.VideoReader(str(info.path.absolute()), width=width, height=height)
            full = decord.VideoReader(str(info.path.absolute()))[0].shape
        except self._failures as error:
            raise MediaError(info.path, "decord cannot open it") from error
        if len(self._reader) != info.packet_count or full != (info.video.height, info.video.width, 3):
            raise MediaError(info.path, "decord reads another stream or another number of frames")

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See FrameSource."""
        try:
            return self._reader.get_batch([int(index) for index in indices]).asnumpy()
        except self._failures as error:
            raise MediaError(self._info.path, "decord cannot decode all of it") from error


class FFmpegFrames:
    """Frames through ffmpeg: slower for scattered frames, but reads all that ffmpeg reads, damaged files included.

    A frame that cannot be decoded is replaced by the nearest one that can; `damaged` counts them.
    """

    def __init__(self, info: MediaInfo) -> None:
        self._info = info
        self._width, self._height = frame_size(info)
        self._last: np.ndarray | None = None
        self.damaged = 0

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See FrameSource."""
        wanted = np.asarray(indices, dtype=np.int64)
        frames = np.empty((len(wanted), self._height, self._width, 3), np.uint8)
        for start in range(0, len(wanted), CHUNK):
            times_s = self._info.times_s[wanted[start : start + CHUNK]]
            got = self._decode(times_s)
            if len(got) != len(times_s):
                got = np.stack([self._nearest(time_s) for time_s in times_s])
            frames[start : start + CHUNK] = got
        return frames

    def _nearest(self, time_s: float) -> np.ndarray:
        """The first frame that decodes at or after a time, else the last one read."""
        for span_s in (None, 10.0, 60.0):
            got = self._decode(np.array([time_s if span_s is None else max(self._info.start_s, time_s - span_s)]))
            if len(got):
                self._last = got[0]
                break
            self.damaged += span_s is None
        if self._last is None:
            raise MediaError(self._info.path, f"no frame can be decoded at {time_s:.1f} s: the file is damaged, copy or export it again")
        return self._last

    def _decode(self, times_s: np.ndarray) -> np.ndarray:
        """The first frame at or after each time, in one run of ffmpeg; fewer if some are missing."""
        half_s = float(1 / self._info.rate) / 2
        from_s = seek_point(self._info, float(times_s[0]))
        thresholds = times_s + self._info.origin_s - half_s / 2
        # Select first: only the selected frames are scaled.
        node = _video(self._info, from_s).filter("select", select_first_after(thresholds))
        node = picture.small(node, self._info, (self._width, self._height), "bicubic")
        node = node.output("pipe:", format="rawvideo", fps_mode="passthrough", max_error_rate=1, **{"frames:v": len(times_s)})
        data = ffmpeg.run(node, self._info.path).stdout
        size = self._height * self._width * 3
        return np.frombuffer(data[: len(data) // size * size], np.uint8).reshape(-1, self._height, self._width, 3)


class Frames:
    """Frames through decord until it fails, then through ffmpeg. `fallback` is then a warning with the reason."""

    def __init__(self, info: MediaInfo) -> None:
        self._info = info
        # Opened on the first read: decord reads the whole file to open it. It knows neither HDR nor unusual matrices.
        unknown = picture.is_hdr(info) or picture.usual(info.video.color) != info.video.color
        self._source: FrameSource | None = FFmpegFrames(info) if unknown else None
        self.fallback: str | None = None

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See FrameSource."""
        if not isinstance(self._source, FFmpegFrames):
            try:
                self._source = self._source or DecordFrames(self._info)
                return self._source.read(indices)
            except MediaError as error:
                self.fallback = f"frames decoded by ffmpeg: {error.problem}"
                self._source = FFmpegFrames(self._info)
        return self._source.read(indices)

    @property
    def damaged(self) -> int:
        """Frames that could not be decoded and were replaced by a neighbour."""
        return self._source.damaged if isinstance(self._source, FFmpegFrames) else 0


def steady_frames(
    info: MediaInfo,
    start_s: float,
    count: int,
    rate: Fraction,
    size: tuple[int, int],
    *,
    color: Color | None = None,
    crop_share: tuple[float, float] = (1.0, 1.0),
    tone_map: bool = False,
    planes: tuple[str, Color] | None = None,
    keep_fields: bool = False,
) -> Any:
    """An ffmpeg command that decodes `count` frames from `start_s` on at a constant rate to stdout.

    Args:
        info: the probed video.
        start_s: time of the first frame; before the start of the video its first frame is repeated.
        count: frames at most; there are fewer where the video ends.
        rate: frames a second.
        size: width and height to scale to; the pixel aspect is ignored.
        color: the video's colours, in place of its tags; None: as it is tagged.
        crop_share: the centred share of the width and of the height that is scaled to the size.
        tone_map: convert from HDR (PQ or HLG in bt2020) to SDR.
        planes: a pixel format and its colours, for the output instead of RGB; a video that has them already is not converted.
        keep_fields: of an interlaced video; otherwise its frames are whole.

    Returns:
        An ffmpeg-python output node of rgb24, or of the planes.
    """
    quarter_s = float(1 / info.rate) / 4
    shown_s = min(start_s, float(info.times_s[info.frame_at(np.array([start_s]))[0]]))  # sooner, where it starts inside of a long frame
    clock_s = info.origin_s + start_s
    node = picture.frames(_video(info, seek_point(info, shown_s)), info, keep_fields=keep_fields)
    # A quarter of a frame: trim rounds to the stream's clock, and AVI's has one tick a frame. Timestamps count from the segment's start, not
    # from the first frame that decodes, so that what follows a damaged start keeps its time.
    node = node.filter("trim", start=f"{info.origin_s + shown_s - quarter_s:.6f}")
    # Repeats the frame before a damaged one, and makes a variable rate constant. At another rate a frame is shown from its own time on: the
    # nearest would be up to half a frame of the new rate early.
    same = rate == info.rate
    node = node.filter("setpts", f"round(PTS-{clock_s if same else clock_s + quarter_s:.6f}/TB)")
    node = node.filter("fps", fps=ratio(rate), start_time=0, round="near" if same else "up")
    if crop_share != (1.0, 1.0):
        node = node.filter("crop", f"iw*{crop_share[0]:.6f}", f"ih*{crop_share[1]:.6f}")
    node = picture.converted(node, info, size, planes=planes, color=color, tone_map=tone_map, keep_fields=keep_fields)
    return node.output("pipe:", format="rawvideo", **{"frames:v": count})


def _video(info: MediaInfo, from_s: float) -> Any:
    """The video stream, sought to a time."""
    # reinit_filter: where the frame size changes, scale adapts; a new filter graph would begin to count again.
    return ffmpeg.source(info.path, reinit_filter=0, **({"ss": f"{from_s:.6f}"} if from_s > 0 else {}))[str(info.video.index)]


def seek_point(info: MediaInfo, time_s: float) -> float:
    """The time to seek to, in seconds, so that decoding includes the frame at `time_s` and starts no earlier than needed."""
    if info.container in SEEKABLE_CONTAINERS:
        return max(0.0, time_s - float(1 / info.rate) / 2)
    if info.container in ROUGHLY_SEEKABLE_CONTAINERS:
        # The keyframe before the last: in an open group of pictures the last alone is not enough.
        index = int(np.searchsorted(info.keys_s, time_s, side="right")) - 2
        return max(0.0, float(info.keys_s[index]) - SEEK_MARGIN_S) if index >= 0 else 0.0
    return 0.0
