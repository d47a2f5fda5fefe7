"""Write the images and clips of a Timeline as a video, with moviepy: pan and zoom, crossfades, and an audio stream that is copied.

Images are scaled once to little more than the frame needs and resampled from there at subpixel positions, so that the motion is smooth;
the next one is read while this one is shown. At most three are in memory at a time.
"""

import itertools
import math
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
from mmvatool.media.encode import CONTAINERS, check, move_into_place, video_params, write_frames
from mmvatool.media.frames import steady_frames
from mmvatool.media.picture import is_hdr
from mmvatool.media.probe import Color, MediaInfo
from mmvatool.timeline import Clip, Timeline
from trainer import usable_cpus

FILLS = ("blur", "black", "crop")
LEAST_PX, MOST_PX = 16, 8192
ZOOM = 1.10  # the scale of an image at one end of its time, relative to the other
# Moving images are resampled from a copy of so many times the resolution: from one of about the size of the frame, sharp and soft bands
# would wander over fine texture.
OVERSAMPLED = 1.15
# The fixed point of the zoom, as fractions of width and height; images take them in turn.
ANCHORS = ((0.25, 0.25), (0.75, 0.75), (0.75, 0.25), (0.25, 0.75))
FADE_S = 0.5  # from and to black, at most a quarter of the first and the last clip
KEY_S = 2  # between keyframes
NEAR = 0.98  # an image that would leave narrower bars than this is cropped a little instead
BLUR_SIDE_PX = 120  # the background is blurred at this width or height, the longer of both
BLUR_PX = 5
BLUR_LIGHT = 0.5
SD_LINES = 576  # an untagged video is bt601 up to this size and bt709 above, as players assume
SHORT_S = 0.5  # a video that ends so much sooner than it should is damaged
MOST_WORKERS = 4
TICK = 1e-6  # of a frame: tolerance for bounds that are meant to lie on a frame

Drawing = Callable[[], Image.Image]


def check_size(size: tuple[int, int]) -> None:
    """Reject a size (width, height) that players cannot show.

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
    """Render images and clips, with audio, to a file.

    Args:
        timeline: at least one clip. An image moves slowly while it is shown; a video plays on behind its segment while it is
            crossfaded, and its last frame stays where there is no more.
        sound: an encoded audio file whose codec fits the target's container, copied; None for no audio.
        target: file to write; its suffix (a key of CONTAINERS) chooses the container. An existing file is replaced.
        size: width and height of the result, both even.
        rate: frames a second; round(timeline.duration_s * rate) frames are written, at least one.
        fill: what surrounds an image of another aspect ratio: "blur", a blurred copy of itself; "black"; "crop": nothing, it is
            cropped to the frame.
        crossfade_s: length of the crossfades, centred on the bounds of the clips, at most half a clip; 0 for hard cuts and no fade
            from and to black.
        still: whether images do not move.
        read: decodes an image upright to uint8 RGB (H, W, 3); called in another thread.
        infos: the probed videos of the timeline.
        on_frame: called with the number of frames written so far.

    Returns:
        Warnings, a sentence each.

    Raises:
        SettingsError: the size is not possible.
        OutputError: the target cannot be written.
        MediaError: an image or a video cannot be read.
        RenderError: the encoder failed or what it wrote is not what was planned.
    """
    check_size(size)
    container = CONTAINERS[target.suffix.lower()]
    count = max(1, round(timeline.duration_s * rate))
    warnings = _picture_warnings(timeline, infos)
    canvas = _Canvas(size, rate, fill, still, read, infos, warnings)
    frames = _draw_in_threads(
        _compose_frames(_schedule(timeline, crossfade_s, rate, count), canvas, count, _fades(timeline, crossfade_s, rate))
    )
    params = [*video_params(rate, Color("bt709", "bt709", "bt709", False, True), "yuv420p"), "-g", str(max(1, round(KEY_S * rate)))]
    with workspace(target) as folder:
        picture = folder / f"slideshow{target.suffix.lower()}"
        write_frames(frames, count, size, rate, container, picture, params, sound=sound, error_path=target, on_frame=on_frame)
        check(picture, target, count, size, with_sound=sound is not None)
        move_into_place(picture, target)
    return warnings


def _picture_warnings(timeline: Timeline, infos: Mapping[Path, MediaInfo]) -> list[str]:
    """What is done to the pictures of videos, a sentence for each video."""
    warnings = []
    for path in dict.fromkeys(clip.path for clip in timeline.clips if clip.source is not None):
        video = infos[path].video
        done = ["interlaced: its fields were made whole frames (bwdif)"] if video.interlaced else []
        done += ["HDR: tone-mapped to SDR"] if is_hdr(infos[path]) else []
        warnings += [f"{path.name}: {'; '.join(done)}"] if done else []
    return warnings


@dataclass(frozen=True)
class _Appearance:
    """A clip on screen, crossfades included: [start_s, end_s), frames [first, stop) of the result; `index` in the timeline."""

    clip: Clip
    index: int
    start_s: float
    end_s: float
    first: int
    stop: int


@dataclass(frozen=True)
class _Canvas:
    """The output format and the sources, the same for all clips."""

    size: tuple[int, int]
    rate: Fraction
    fill: str
    still: bool
    read: Callable[[Path], np.ndarray]
    infos: Mapping[Path, MediaInfo]
    warnings: list[str]


class _Scene(Protocol):
    """A clip that is being drawn."""

    def draw(self, number: int) -> Drawing:
        """A function that draws the frame of this number. Called in order, once for each frame."""
        ...


def _schedule(timeline: Timeline, crossfade_s: float, rate: Fraction, count: int) -> list[_Appearance]:
    clips = timeline.clips
    halves_s = [min(crossfade_s, *((clip.end_s - clip.start_s) / 2 for clip in pair)) / 2 for pair in itertools.pairwise(clips)]
    halves_s = [0.0, *halves_s, 0.0]
    appearances = []
    for index, clip in enumerate(clips):
        start_s, end_s = clip.start_s - halves_s[index], clip.end_s + halves_s[index + 1]
        first, stop = math.ceil(start_s * rate - TICK), math.ceil(end_s * rate - TICK)
        appearances.append(_Appearance(clip, index, start_s, end_s, first, count if index == len(clips) - 1 else min(stop, count)))
    return appearances


def _fades(timeline: Timeline, crossfade_s: float, rate: Fraction) -> tuple[float, float]:
    """Frames of the fade from black and of the one to black."""
    if crossfade_s <= 0:
        return 0.0, 0.0
    first, last = timeline.clips[0], timeline.clips[-1]
    return tuple(float(min(FADE_S, (clip.end_s - clip.start_s) / 4) * rate) for clip in (first, last))  # type: ignore[return-value]


def _compose_frames(
    appearances: list[_Appearance], canvas: _Canvas, count: int, fades: tuple[float, float]
) -> Generator[Callable[[], np.ndarray]]:
    """For every frame a function that draws it."""
    upcoming = deque(appearance for appearance in appearances if appearance.first < appearance.stop)
    shown: list[tuple[_Appearance, _Scene, ExitStack]] = []
    with ThreadPoolExecutor(1) as reader, ExitStack() as everything:
        ahead = _read_ahead(reader, upcoming, canvas)
        for number in range(count):
            while shown and shown[0][0].stop <= number:
                shown.pop(0)[2].close()
            while upcoming and upcoming[0].first <= number:
                appearance, resources = upcoming.popleft(), everything.enter_context(ExitStack())
                scene: _Scene = ahead.result() if ahead else _VideoScene(appearance, canvas, resources)
                ahead = _read_ahead(reader, upcoming, canvas)
                shown.append((appearance, scene, resources))
            share = 0.0
            if len(shown) == 2:
                start_s, end_s = shown[1][0].start_s, shown[0][0].end_s
                share = min(1.0, max(0.0, (float(number / canvas.rate) - start_s) / (end_s - start_s)))
            light = min(number / fades[0] if fades[0] >= 1 else 1.0, (count - 1 - number) / fades[1] if fades[1] >= 1 else 1.0)
            yield partial(_blend, [scene.draw(number) for _, scene, _ in shown], share, light)


def _read_ahead(reader: ThreadPoolExecutor, upcoming: deque[_Appearance], canvas: _Canvas) -> "Future[_ImageScene] | None":
    """Start to read the next image; None if the next clip is a video or there is none."""
    if upcoming and upcoming[0].clip.source is None:
        return reader.submit(_load_image, upcoming[0], canvas)
    return None


def _blend(drawings: list[Drawing], share: float, light: float) -> np.ndarray:
    """Draw one scene, or two crossfaded (`share` is that of the second), at a brightness `light` (0 is black). uint8 (H, W, 3)."""
    frame = drawings[0]()
    if len(drawings) == 2:
        frame = Image.blend(frame, drawings[1](), share)
    return np.asarray(frame if light >= 1 else _darken(frame, light))


def _darken(picture: Image.Image, light: float) -> Image.Image:
    return picture.point([round(value * light) for value in range(256)] * 3)


def _draw_in_threads(frames: Generator[Callable[[], np.ndarray]]) -> Generator[np.ndarray]:
    """Draw frames in several threads (Pillow releases the GIL while it resizes), a few ahead, in order."""
    workers = min(MOST_WORKERS, usable_cpus())
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


def _fit(width: float, height: float, size: tuple[int, int], fill: str) -> tuple[int, int]:
    """Width and height of the centred area of the frame that an image of some aspect ratio fills."""
    scale = min(size[0] / width, size[1] / height)
    area = max(1, round(width * scale)), max(1, round(height * scale))
    return size if fill == "crop" or all(side >= NEAR * whole for side, whole in zip(area, size, strict=True)) else area


def _crop_share(width: float, height: float, area: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """The visible share of an image's width and height: all unless it is cropped to the frame."""
    if area != size:
        return 1.0, 1.0
    aspect = width / height * size[1] / size[0]
    return min(1.0, 1 / aspect), min(1.0, aspect)


def _centered_box(width: float, height: float, crop_share: tuple[float, float]) -> tuple[float, float, float, float]:
    """The centred box (left, upper, right, lower) with some share of the width and of the height."""
    across, down = width * crop_share[0], height * crop_share[1]
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def _background(picture: Image.Image, canvas: _Canvas) -> Image.Image:
    """The background of an image that leaves bars: black, or itself, cropped to the frame, blurred and darkened."""
    if canvas.fill != "blur":
        return Image.new("RGB", canvas.size)
    scale = min(1.0, BLUR_SIDE_PX / max(canvas.size))
    small_size = max(2, round(canvas.size[0] * scale)), max(2, round(canvas.size[1] * scale))
    box = _centered_box(picture.width, picture.height, _crop_share(picture.width, picture.height, canvas.size, canvas.size))
    small = picture.resize(small_size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    small = _darken(small.filter(ImageFilter.GaussianBlur(BLUR_PX)), BLUR_LIGHT)
    return small.resize(canvas.size, Image.Resampling.BICUBIC)


def _letterbox(background: Image.Image | None, picture: Image.Image) -> Image.Image:
    """Paste an image in the middle of its background; None where it covers the frame."""
    if background is None:
        return picture
    frame = background.copy()
    frame.paste(picture, ((frame.width - picture.width) // 2, (frame.height - picture.height) // 2))
    return frame


def _load_image(appearance: _Appearance, canvas: _Canvas) -> "_ImageScene":
    """Read an image and scale it to the resolution that its scene needs."""
    whole = Image.fromarray(canvas.read(appearance.clip.path))
    area = _fit(whole.width, whole.height, canvas.size, canvas.fill)
    box = _centered_box(whole.width, whole.height, _crop_share(whole.width, whole.height, area, canvas.size))
    larger = 1.0 if canvas.still else ZOOM * OVERSAMPLED
    needed = max(1, round(area[0] * larger)), max(1, round(area[1] * larger))
    scaled = whole.resize(needed, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    background = None if area == canvas.size else _background(whole, canvas)
    return _ImageScene(appearance, canvas.rate, area, scaled, background, canvas.still)


class _ImageScene:
    """An image, moving or still, drawn from `scaled`."""

    def __init__(
        self,
        appearance: _Appearance,
        rate: Fraction,
        area: tuple[int, int],
        scaled: Image.Image,
        background: Image.Image | None,
        still: bool,
    ) -> None:
        self._appearance, self._rate, self._area, self._scaled, self._background = appearance, rate, area, scaled, background
        self._still = _letterbox(background, scaled) if still else None

    def draw(self, number: int) -> Drawing:
        """See _Scene."""
        if (still := self._still) is not None:
            return lambda: still
        appearance = self._appearance
        # Bounds lie on frames but for rounding, and Pillow rejects a box that exceeds the image by as little.
        progress = min(1.0, max(0.0, (float(number / self._rate) - appearance.start_s) / (appearance.end_s - appearance.start_s)))
        zoom = ZOOM ** (progress if appearance.index % 2 == 0 else 1 - progress)
        across, down = self._scaled.width / zoom, self._scaled.height / zoom
        anchor = ANCHORS[appearance.index % len(ANCHORS)]
        left, upper = (self._scaled.width - across) * anchor[0], (self._scaled.height - down) * anchor[1]
        return partial(self._render, (left, upper, min(left + across, self._scaled.width), min(upper + down, self._scaled.height)))

    def _render(self, box: tuple[float, float, float, float]) -> Image.Image:
        return _letterbox(self._background, self._scaled.resize(self._area, Image.Resampling.HAMMING, box=box))


class _VideoScene:
    """A segment of a video, decoded while it is shown."""

    def __init__(self, appearance: _Appearance, canvas: _Canvas, resources: ExitStack) -> None:
        source = appearance.clip.source
        assert source is not None
        info = canvas.infos[appearance.clip.path]
        width, height = float(info.video.width * info.video.pixel_aspect), float(info.video.height)
        self._info, self._canvas, self._area = info, canvas, _fit(width, height, canvas.size, canvas.fill)
        self._start_s = source.start_s + float(appearance.first / canvas.rate) - appearance.clip.start_s
        node = steady_frames(
            info,
            self._start_s,
            appearance.stop - appearance.first,
            canvas.rate,
            self._area,
            color=_color(info),
            crop_share=_crop_share(width, height, self._area, canvas.size),
            tone_map=is_hdr(info),
        )
        self._reader = resources.enter_context(ffmpeg.stream(node, info.path))
        self._frame: np.ndarray | None = None
        self._count, self._ended = 0, False
        self._planned_end_s = min(source.end_s, info.end_s)

    def draw(self, number: int) -> Drawing:
        """See _Scene."""
        return partial(self._render, self._next())

    def _next(self) -> np.ndarray:
        width, height = self._area
        data = b"" if self._ended else self._reader.read(width * height * 3)
        if len(data) == width * height * 3:
            self._frame = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            self._count += 1
        elif not self._ended:
            self._ended = True  # the last frame stays
            if self._frame is None:
                reason = ffmpeg.last_error(self._reader.errors())
                raise MediaError(self._info.path, f"cannot be decoded at {max(0.0, self._start_s):.2f} s ({reason})")
            ended_s = self._start_s + float(self._count / self._canvas.rate)
            if ended_s < self._planned_end_s - SHORT_S:
                self._canvas.warnings.append(f"{self._info.path.name}: cannot be decoded after {ended_s:.1f} s: its last frame stays")
        assert self._frame is not None
        return self._frame

    def _render(self, pixels: np.ndarray) -> Image.Image:
        frame = Image.fromarray(pixels)
        return _letterbox(None if self._area == self._canvas.size else _background(frame, self._canvas), frame)


def _color(info: MediaInfo) -> Color:
    """A video's colours, with a guess where it is not tagged."""
    color = info.video.color
    large = min(info.video.width, info.video.height) > SD_LINES
    return replace(color, matrix="bt709") if color.matrix is None and large else color
