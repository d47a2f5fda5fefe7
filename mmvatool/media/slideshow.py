"""Write the pictures and clips of a Timeline as a video, with moviepy: pan and zoom, crossfades, and a sound that is copied.

Pictures are scaled once to hardly more than the frame needs and drawn from there at fractions of a pixel, so that nothing
jumps; the next one is read while this one is shown. At most three are held, however many there are.
"""

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

from mmvatool.errors import MediaError, SettingsError
from mmvatool.files import workspace
from mmvatool.media import ffmpeg
from mmvatool.media.encode import CONTAINERS, check, move_into_place, picture_params, write_frames
from mmvatool.media.frames import steady_frames
from mmvatool.media.probe import Color, MediaInfo
from mmvatool.timeline import Clip, Timeline

FILLS = ("blur", "black", "crop")
LEAST_PX, MOST_PX = 16, 8192
ZOOM = 1.10  # how much larger a picture is at one end of its time than at the other
# Moving pictures are drawn from a copy of so many times the resolution: drawn from one of hardly more pixels than the frame,
# bands of sharp and soft wander over fine texture.
OVERSAMPLED = 1.15
# The point of a picture that the zoom leaves in its place, as fractions of width and height; the next picture takes the next.
ANCHORS = ((0.25, 0.25), (0.75, 0.75), (0.75, 0.25), (0.25, 0.75))
FADE_S = 0.5  # from and to black, at most a quarter of the first and the last clip
KEY_S = 2  # from key frame to key frame
NEAR = 0.98  # a picture that leaves narrower bars than this is cut a little instead
BLUR_SIDE_PX = 120  # the background is blurred at this width or height, the longer of both
BLUR_PX = 5
BLUR_LIGHT = 0.5
SD_LINES = 576  # a video without tags is bt601 up to this size, bt709 above, as players take it
HDR = ("smpte2084", "arib-std-b67")
SHORT_S = 0.5  # a video that ends so much sooner than it should is damaged
MOST_WORKERS = 4
TICK = 1e-6  # of a frame: bounds that are meant to lie on a frame do

Drawing = Callable[[], Image.Image]


def check_size(size: tuple[int, int]) -> None:
    """Refuse a size (width, height) that no player shows.

    Raises:
        SettingsError: a side is odd, too small or too large.
    """
    if any(side % 2 for side in size):
        raise SettingsError(f"a size of {size[0]}x{size[1]} cannot be encoded for phones and browsers: give even numbers")
    if not all(LEAST_PX <= side <= MOST_PX for side in size):
        raise SettingsError(f"a size of {size[0]}x{size[1]} cannot be played: give {LEAST_PX} to {MOST_PX} pixels a side")


def render(
    timeline: Timeline,
    sound: Path | None,
    target: Path,
    *,
    size: tuple[int, int] = (1920, 1080),
    rate: Fraction = Fraction(30),
    fill: str = "blur",
    crossfade_s: float = 1.0,
    still: bool = False,
    read: Callable[[Path], np.ndarray],
    infos: Mapping[Path, MediaInfo],
    on_frame: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Render pictures and clips, with a sound, to a file.

    Args:
        timeline: at least one clip. A picture moves slowly while it is shown; a video goes on where its stretch ends while
            it is faded, and its last frame stays where there is no more.
        sound: an encoded file that the target's container takes, copied as it is; None for silence.
        target: where to; its suffix (a key of CONTAINERS) chooses the container. An existing file is replaced.
        size: width and height of the result, both even.
        rate: frames a second; round(timeline.duration_s * rate) frames are written, at least one.
        fill: what is beside a picture of another shape: "blur", a blurred copy of itself; "black"; "crop": nothing, it is
            cut to the frame.
        crossfade_s: how long pictures fade into each other, centred on the bounds of the clips, at most half a clip; 0 for
            hard cuts and no fade from and to black.
        still: whether pictures stand still.
        read: gives a picture upright as uint8 RGB (H, W, 3); called in another thread.
        infos: what the videos of the timeline are, probed.
        on_frame: called with the number of frames written so far.

    Returns:
        What is not as one would expect, a sentence each.

    Raises:
        SettingsError: the size cannot be.
        OutputError: the target cannot be written.
        MediaError: a picture or a video cannot be read.
        RenderError: the encoder failed or what it wrote is not what was planned.
    """
    check_size(size)
    container = CONTAINERS[target.suffix.lower()]
    count = max(1, round(timeline.duration_s * rate))
    warnings: list[str] = []
    stage = _Stage(size, rate, fill, still, read, infos, warnings)
    frames = _drawn_ahead(_composed(_showings(timeline, crossfade_s, rate, count), stage, count, _fades(timeline, crossfade_s, rate)))
    params = [*picture_params(rate, Color("bt709", "bt709", "bt709", False, True), "yuv420p"), "-g", str(max(1, round(KEY_S * rate)))]
    with workspace(target) as folder:
        picture = folder / f"slideshow{target.suffix.lower()}"
        write_frames(frames, count, size, rate, container, picture, params, sound=sound, blamed=target, on_frame=on_frame)
        check(picture, target, count, size, with_sound=sound is not None)
        move_into_place(picture, target)
    return warnings


@dataclass(frozen=True)
class _Showing:
    """A clip while it is seen, crossfades included: [start_s, end_s), the frames [first, past); `place` in the timeline."""

    clip: Clip
    place: int
    start_s: float
    end_s: float
    first: int
    past: int


@dataclass(frozen=True)
class _Stage:
    """What all clips share."""

    size: tuple[int, int]
    rate: Fraction
    fill: str
    still: bool
    read: Callable[[Path], np.ndarray]
    infos: Mapping[Path, MediaInfo]
    warnings: list[str]


class _Scene(Protocol):
    """A clip that is on screen."""

    def draw(self, number: int) -> Drawing:
        """What draws it in the frame of this number. Asked in order, once for each."""
        ...


def _showings(timeline: Timeline, crossfade_s: float, rate: Fraction, count: int) -> list[_Showing]:
    clips = timeline.clips
    halves_s = [min(crossfade_s, *((clip.end_s - clip.start_s) / 2 for clip in pair)) / 2 for pair in itertools.pairwise(clips)]
    halves_s = [0.0, *halves_s, 0.0]
    showings = []
    for place, clip in enumerate(clips):
        start_s, end_s = clip.start_s - halves_s[place], clip.end_s + halves_s[place + 1]
        first, past = math.ceil(start_s * rate - TICK), math.ceil(end_s * rate - TICK)
        showings.append(_Showing(clip, place, start_s, end_s, first, count if place == len(clips) - 1 else min(past, count)))
    return showings


def _fades(timeline: Timeline, crossfade_s: float, rate: Fraction) -> tuple[float, float]:
    """Frames of the fade from black and of the one to black."""
    if crossfade_s <= 0:
        return 0.0, 0.0
    first, last = timeline.clips[0], timeline.clips[-1]
    return tuple(float(min(FADE_S, (clip.end_s - clip.start_s) / 4) * rate) for clip in (first, last))  # type: ignore[return-value]


def _composed(showings: list[_Showing], stage: _Stage, count: int, fades: tuple[float, float]) -> Generator[Callable[[], np.ndarray]]:
    """For every frame what draws it."""
    coming = deque(showing for showing in showings if showing.first < showing.past)
    shown: list[tuple[_Showing, _Scene, ExitStack]] = []
    with ThreadPoolExecutor(1) as reader, ExitStack() as everything:
        ahead = _read_ahead(reader, coming, stage)
        for number in range(count):
            while shown and shown[0][0].past <= number:
                shown.pop(0)[2].close()
            while coming and coming[0].first <= number:
                showing, resources = coming.popleft(), everything.enter_context(ExitStack())
                scene: _Scene = ahead.result() if ahead else _Film(showing, stage, resources)
                ahead = _read_ahead(reader, coming, stage)
                shown.append((showing, scene, resources))
            share = 0.0
            if len(shown) == 2:
                start_s, end_s = shown[1][0].start_s, shown[0][0].end_s
                share = min(1.0, max(0.0, (float(number / stage.rate) - start_s) / (end_s - start_s)))
            light = min(number / fades[0] if fades[0] >= 1 else 1.0, (count - 1 - number) / fades[1] if fades[1] >= 1 else 1.0)
            yield partial(_compose, [scene.draw(number) for _, scene, _ in shown], share, light)


def _read_ahead(reader: ThreadPoolExecutor, coming: deque[_Showing], stage: _Stage) -> "Future[_Picture] | None":
    """The next clip, being read; None if it is a video."""
    if coming and coming[0].clip.source is None:
        return reader.submit(_picture, coming[0], stage)
    return None


def _compose(drawings: list[Drawing], share: float, light: float) -> np.ndarray:
    """The first, `share` of it replaced by the second, at `light` (0 is black). uint8 (H, W, 3)."""
    frame = drawings[0]()
    if len(drawings) == 2:
        frame = Image.blend(frame, drawings[1](), share)
    return np.asarray(frame if light >= 1 else _darkened(frame, light))


def _darkened(picture: Image.Image, light: float) -> Image.Image:
    return picture.point([round(value * light) for value in range(256)] * 3)


def _drawn_ahead(frames: Generator[Callable[[], np.ndarray]]) -> Generator[np.ndarray]:
    """Draw frames in some threads (Pillow scales without the interpreter's lock), a few ahead, in order."""
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for draw in frames:
            waiting.append(pool.submit(draw))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        frames.close()


def _area(width: float, height: float, size: tuple[int, int], fill: str) -> tuple[int, int]:
    """The part of the frame, centred, that a picture of some shape takes: width and height."""
    scale = min(size[0] / width, size[1] / height)
    area = max(1, round(width * scale)), max(1, round(height * scale))
    return size if fill == "crop" or all(side >= NEAR * whole for side, whole in zip(area, size, strict=True)) else area


def _kept(width: float, height: float, area: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """How much of a picture's width and height is seen: all unless it is cut to the frame."""
    if area != size:
        return 1.0, 1.0
    aspect = width / height * size[1] / size[0]
    return min(1.0, 1 / aspect), min(1.0, aspect)


def _centred(width: float, height: float, kept: tuple[float, float]) -> tuple[float, float, float, float]:
    """The box (left, upper, right, lower) in the middle that has some share of the width and the height."""
    across, down = width * kept[0], height * kept[1]
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def _background(picture: Image.Image, stage: _Stage) -> Image.Image:
    """What lies behind a picture that leaves bars: black, or itself, cut to the frame, blurred and darkened."""
    if stage.fill != "blur":
        return Image.new("RGB", stage.size)
    scale = min(1.0, BLUR_SIDE_PX / max(stage.size))
    small_size = max(2, round(stage.size[0] * scale)), max(2, round(stage.size[1] * scale))
    box = _centred(picture.width, picture.height, _kept(picture.width, picture.height, stage.size, stage.size))
    small = picture.resize(small_size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    small = _darkened(small.filter(ImageFilter.GaussianBlur(BLUR_PX)), BLUR_LIGHT)
    return small.resize(stage.size, Image.Resampling.BICUBIC)


def _over(background: Image.Image | None, picture: Image.Image) -> Image.Image:
    """A picture in the middle of its background; None where it covers that."""
    if background is None:
        return picture
    frame = background.copy()
    frame.paste(picture, ((frame.width - picture.width) // 2, (frame.height - picture.height) // 2))
    return frame


def _picture(showing: _Showing, stage: _Stage) -> "_Picture":
    """Read a picture and scale it to what is needed of it."""
    whole = Image.fromarray(stage.read(showing.clip.path))
    area = _area(whole.width, whole.height, stage.size, stage.fill)
    box = _centred(whole.width, whole.height, _kept(whole.width, whole.height, area, stage.size))
    larger = 1.0 if stage.still else ZOOM * OVERSAMPLED
    needed = max(1, round(area[0] * larger)), max(1, round(area[1] * larger))
    scaled = whole.resize(needed, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    background = None if area == stage.size else _background(whole, stage)
    return _Picture(showing, stage.rate, area, scaled, background, stage.still)


class _Picture:
    """A picture, moving or still; `scaled` is all that is ever seen of it."""

    def __init__(
        self, showing: _Showing, rate: Fraction, area: tuple[int, int], scaled: Image.Image, background: Image.Image | None, still: bool
    ) -> None:
        self._showing, self._rate, self._area, self._scaled, self._background = showing, rate, area, scaled, background
        self._still = _over(background, scaled) if still else None

    def draw(self, number: int) -> Drawing:
        """See _Scene."""
        if (still := self._still) is not None:
            return lambda: still
        showing = self._showing
        # Bounds lie on frames but for rounding, and Pillow takes no box that reaches past the picture by as little.
        passed = min(1.0, max(0.0, (float(number / self._rate) - showing.start_s) / (showing.end_s - showing.start_s)))
        zoom = ZOOM ** (passed if showing.place % 2 == 0 else 1 - passed)
        across, down = self._scaled.width / zoom, self._scaled.height / zoom
        anchor = ANCHORS[showing.place % len(ANCHORS)]
        left, upper = (self._scaled.width - across) * anchor[0], (self._scaled.height - down) * anchor[1]
        return partial(self._drawn, (left, upper, min(left + across, self._scaled.width), min(upper + down, self._scaled.height)))

    def _drawn(self, box: tuple[float, float, float, float]) -> Image.Image:
        return _over(self._background, self._scaled.resize(self._area, Image.Resampling.HAMMING, box=box))


class _Film:
    """A stretch of a video, decoded while it is shown."""

    def __init__(self, showing: _Showing, stage: _Stage, resources: ExitStack) -> None:
        source = showing.clip.source
        assert source is not None
        info = stage.infos[showing.clip.path]
        width, height = float(info.video.width * info.video.pixel_aspect), float(info.video.height)
        self._info, self._stage, self._area = info, stage, _area(width, height, stage.size, stage.fill)
        self._start_s = source.start_s + float(showing.first / stage.rate) - showing.clip.start_s
        node = steady_frames(
            info,
            self._start_s,
            showing.past - showing.first,
            stage.rate,
            self._area,
            color=_color(info),
            kept=_kept(width, height, self._area, stage.size),
            tone_map=info.video.color.transfer in HDR,
        )
        self._reader = resources.enter_context(ffmpeg.stream(node, info.path))
        self._frame: np.ndarray | None = None
        self._got, self._ended = 0, False
        self._planned_s = min(source.end_s, info.end_s)

    def draw(self, number: int) -> Drawing:
        """See _Scene."""
        return partial(self._drawn, self._next())

    def _next(self) -> np.ndarray:
        width, height = self._area
        data = b"" if self._ended else self._reader.read(width * height * 3)
        if len(data) == width * height * 3:
            self._frame = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            self._got += 1
        elif not self._ended:
            self._ended = True  # the last frame stays
            if self._frame is None:
                said = ffmpeg.last_words(self._reader.errors())
                raise MediaError(self._info.path, f"cannot be decoded at {max(0.0, self._start_s):.2f} s ({said})")
            ended_s = self._start_s + float(self._got / self._stage.rate)
            if ended_s < self._planned_s - SHORT_S:
                self._stage.warnings.append(f"{self._info.path.name}: cannot be decoded after {ended_s:.1f} s: its last frame stays")
        assert self._frame is not None
        return self._frame

    def _drawn(self, pixels: np.ndarray) -> Image.Image:
        frame = Image.fromarray(pixels)
        return _over(None if self._area == self._stage.size else _background(frame, self._stage), frame)


def _color(info: MediaInfo) -> Color:
    """What a video's colours are taken for, where it does not say."""
    color = info.video.color
    large = min(info.video.width, info.video.height) > SD_LINES
    return replace(color, matrix="bt709") if color.matrix is None and large else color
