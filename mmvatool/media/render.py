"""Render a Timeline with moviepy: exact frames, exact rate, the source's colours, sound in step.

moviepy 2 writes rates with two decimals, takes a variable rate's mean for the rate, ignores pixel aspect and tags no
colours. So ffmpeg decodes each segment upright at a constant rate, moviepy writes what it is handed, and the parameters
given to its encoder restore the exact rate, the colour matrix and range, the pixel aspect and the tags. The result is
decoded once and checked before it gets its name.
"""

import os
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError, OutputError, RenderError
from mmvatool.files import workspace
from mmvatool.media import audio, ffmpeg
from mmvatool.media.frames import seek_point
from mmvatool.media.probe import Color, MediaInfo
from mmvatool.timeline import Segment, Timeline

FADE_S = 0.010
# Visually lossless, and 2-3 times faster than x264's default preset for a somewhat larger file.
CRF = 18
PRESET = "veryfast"
# Linux takes arguments of up to 128 KiB, Windows command lines of 32,767 characters.
LONGEST_TAG_BYTES = 16_384
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# swscale's names for H.273 matrices; None: not tagged, read and written alike as swscale's default.
MATRICES = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "fcc": "fcc", "smpte240m": "smpte240m", "bt2020nc": "bt2020"}


@dataclass(frozen=True)
class Container:
    """How a kind of file is written."""

    video_codec: str
    audio_codec: str
    audio_rates_hz: tuple[int, ...]
    params: tuple[str, ...]


_X264 = ("-crf", str(CRF))
CONTAINERS = {
    ".mp4": Container("libx264", "aac", AAC_RATES_HZ, (*_X264, "-movflags", "+faststart")),
    ".m4v": Container("libx264", "aac", AAC_RATES_HZ, (*_X264, "-movflags", "+faststart", "-f", "mp4")),
    ".mov": Container("libx264", "aac", AAC_RATES_HZ, (*_X264, "-movflags", "+faststart")),
    ".mkv": Container("libx264", "aac", AAC_RATES_HZ, _X264),
    ".webm": Container(
        "libvpx-vp9", "libopus", (48000,), ("-crf", "31", "-b:v", "0", "-row-mt", "1", "-cpu-used", "4", "-deadline", "good")
    ),
}


def render(timeline: Timeline, info: MediaInfo, target: Path, on_frame: Callable[[int], None] = lambda _: None) -> list[str]:
    """Render a timeline to a file.

    Args:
        timeline: segments of the video that `info` describes, their bounds on frames.
        info: the probed source.
        target: where to; its suffix (a key of CONTAINERS) chooses the container. An existing file is replaced.
        on_frame: called with the number of frames written so far.

    Returns:
        What had to be done otherwise than as the source does it, a sentence each.

    Raises:
        OutputError: the target cannot be written.
        MediaError: the source cannot be decoded.
        RenderError: the encoder failed or what it wrote is not what was planned.
    """
    container = CONTAINERS[target.suffix.lower()]
    counts = [max(1, round(segment.length_s * info.rate)) for segment in timeline.segments]
    with workspace(target) as folder:
        picture = folder / f"summary{target.suffix.lower()}"
        notes = _departures(info)
        sound = None
        if info.audio:
            try:
                sound = _write_sound(timeline, info, counts, folder / "sound.wav", container)
            except audio.SilentError:
                notes.append("its sound cannot be decoded: rendered without sound")
        _write_video(timeline, info, counts, container, picture, sound, on_frame)
        _check(picture, info, sum(counts), sound is not None, target)
        try:
            picture.replace(target)
        except OSError as error:
            raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
    return notes


def _departures(info: MediaInfo) -> list[str]:
    notes = []
    if _odd(info):
        notes.append("odd picture size: encoded as 4:4:4, which some phones and TVs do not play")
    if not info.constant_rate:
        notes.append(f"variable frame rate: rendered at a constant {info.rate} frames a second")
    if re.search(r"(9|10|12|14|16|48|64)(le|be)$", info.video.pixel_format):  # not yuv410p or nv12, which have 8 bits
        notes.append(f"{info.video.pixel_format} source: rendered with 8 bits a channel")
    notes += [f"the metadata {key[:40]} is too long for ffmpeg and was left out" for key in info.tags.keys() - _passed(info.tags).keys()]
    return notes


def _passed(tags: dict[str, str]) -> dict[str, str]:
    """The tags short enough for a command line."""
    return {key: value for key, value in tags.items() if len(os.fsencode(key + value)) < LONGEST_TAG_BYTES}


def _odd(info: MediaInfo) -> bool:
    return bool(info.video.width % 2 or info.video.height % 2)


def _write_video(
    timeline: Timeline,
    info: MediaInfo,
    counts: list[int],
    container: Container,
    picture: Path,
    sound: Path | None,
    on_frame: Callable[[int], None],
) -> None:
    from moviepy import VideoClip

    total = sum(counts)
    # It writes two decimals, which are 0.00 for a frame every 300 s. The encoder's parameters say the true rate.
    moviepy_rate = max(info.rate, Fraction(1))
    frames = _decode(timeline, info, counts)
    shown = next(frames)
    place = 0

    def frame_at(time_s: float) -> np.ndarray:
        """moviepy asks in order, the first frame twice."""
        nonlocal shown, place
        while place < round(time_s * moviepy_rate):
            shown, place = next(frames), place + 1
            on_frame(place + 1)
        return shown

    # Half a frame longer: moviepy rounds the number of frames down.
    clip = VideoClip(frame_function=frame_at, duration=float((total + Fraction(1, 2)) / moviepy_rate))
    try:
        clip.write_videofile(
            str(picture.absolute()),
            fps=float(moviepy_rate),
            codec=container.video_codec,
            preset=PRESET,
            audio=str(sound.absolute()) if sound else False,
            audio_codec=container.audio_codec,
            logger=None,
            ffmpeg_params=_encoder_params(info, container),
        )
    except OSError as error:
        raise _encoder_failed(info, error) from error
    finally:
        clip.close()
        frames.close()


def _decode(timeline: Timeline, info: MediaInfo, counts: list[int]) -> Generator[np.ndarray]:
    """Every frame to show, upright rgb24 (H, W, 3), at the nominal rate; one run of ffmpeg for each segment."""
    height, width = info.video.height, info.video.width
    size = height * width * 3
    frame: np.ndarray | None = None
    for segment, count in zip(timeline.segments, counts, strict=True):
        with ffmpeg.stream(_segment_node(segment, info, count), info.path) as reader:
            for got in range(count):
                data = reader.read(size)
                if len(data) == size:
                    frame = np.frombuffer(data, np.uint8).reshape(height, width, 3)
                elif frame is None or got == 0:
                    raise MediaError(info.path, f"cannot be decoded at {segment.start_s:.2f} s ({ffmpeg.last_words(reader.errors())})")
                yield frame  # past a damaged end the last frame stays


def _segment_node(segment: Segment, info: MediaInfo, count: int) -> object:
    quarter_s = float(1 / info.rate) / 4
    from_s = seek_point(info, segment.start_s)
    start_s = info.origin_s + segment.start_s
    # reinit_filter: where the picture size changes, scale follows; a new graph would begin to count again.
    node = ffmpeg.source(info.path, reinit_filter=0, **({"ss": f"{from_s:.6f}"} if from_s > 0 else {}))[str(info.video.index)]
    # A quarter of a frame: trim rounds to the stream's clock, and AVI's ticks once a frame. Counted from the segment's
    # start, not from the first frame that decodes: what follows a damaged start stays in its place.
    node = node.filter("trim", start=f"{start_s - quarter_s:.6f}").filter("setpts", f"round(PTS-{start_s:.6f}/TB)")
    # Fills the place of a damaged frame, and makes a variable rate constant.
    node = node.filter("fps", fps=_ratio(info.rate), start_time=0)
    # Without accurate_rnd, which takes six times as long on this side and moves the mean by less than 1/255.
    size = (info.video.width, info.video.height)
    node = node.filter("scale", *size, **_conversion("in", info.video.color), flags="bicubic+full_chroma_int").filter("format", "rgb24")
    return node.output("pipe:", format="rawvideo", **{"frames:v": count})


def _encoder_params(info: MediaInfo, container: Container) -> list[str]:
    rate, color, video = info.rate, info.video.color, info.video
    if color.matrix == "gbr":  # a source of RGB: what is written is not, and a tag that says so shows green and magenta
        color = replace(color, matrix="bt709", full_range=False, range_tagged=True)
    conversion = ":".join(f"{key}={value}" for key, value in _conversion("out", color).items())
    aspect = video.pixel_aspect.limit_denominator(65535)
    filters = [
        f"settb={rate.denominator}/{rate.numerator}",
        "setpts=N",
        f"fps={_ratio(rate)}",  # passes every frame; tells the encoder the exact rate, which moviepy rounds
        f"scale={conversion}:flags=bicubic+accurate_rnd+full_chroma_int",
        f"format={'yuv444p' if _odd(info) else 'yuv420p'}",
        f"setparams=colorspace={color.matrix or 'unknown'}:color_primaries={color.primaries or 'unknown'}"
        f":color_trc={color.transfer or 'unknown'}:range={_range_tag(color)}",
        f"setsar={aspect.numerator}/{aspect.denominator}",
    ]
    timescale = rate.numerator
    while timescale < 10_000:
        timescale *= 2
    params = ["-vf", ",".join(filters), "-fps_mode", "passthrough", "-video_track_timescale", str(timescale), *container.params]
    for key, value in _passed(info.tags).items():
        params += ["-metadata", f"{key}={value}"]
    if video.language:
        params += ["-metadata:s:v:0", f"language={video.language}"]
    if info.audio:
        params += ["-b:a", f"{96 * max(1, min(info.audio.channels, 8))}k"]
        params += ["-metadata:s:a:0", f"language={info.audio.language}"] if info.audio.language else []
    return params


def _range_tag(color: Color) -> str:
    return ("full" if color.full_range else "limited") if color.range_tagged else "unknown"


def _conversion(side: str, color: Color) -> dict[str, str]:
    """swscale's options for one side of the RGB that moviepy is handed."""
    return {
        f"{side}_color_matrix": MATRICES.get(color.matrix or "", "bt601"),
        f"{side}_range": "full" if color.full_range else "limited",
    }


def _ratio(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}"


def _write_sound(timeline: Timeline, info: MediaInfo, counts: list[int], target: Path, container: Container) -> Path:
    """The kept sound as PCM, cut on the samples where the picture is cut, with short fades at the joins."""
    from moviepy.audio.io.ffmpeg_audiowriter import FFMPEG_AudioWriter

    assert info.audio is not None
    rate_hz = info.audio.rate_hz if info.audio.rate_hz in container.audio_rates_hz else 48000
    channels = info.audio.channels if 1 <= info.audio.channels <= 8 else 2
    shown = np.concatenate([[0], np.cumsum(counts)])
    edges = [round(int(frames) / info.rate * rate_hz) for frames in shown]
    bounds = []
    for segment, first, past in zip(timeline.segments, edges, edges[1:], strict=False):
        start = round(segment.start_s * rate_hz)
        bounds.append((start, start + past - first))
    try:
        pcm = FFMPEG_AudioWriter(
            str(target.absolute()), rate_hz, nbytes=2, nchannels=channels, codec="pcm_s16le", ffmpeg_params=["-rf64", "auto"]
        )
        with pcm as writer:
            for number, samples in enumerate(audio.cut_samples(info, bounds, rate_hz, channels)):
                writer.write_frames(_fade(samples, rate_hz, fade_in=number > 0, fade_out=number < len(bounds) - 1))
    except OSError as error:
        raise _encoder_failed(info, error) from error
    return target


def _encoder_failed(info: MediaInfo, error: OSError) -> RenderError:
    """What moviepy raises, in one line: its message holds all that ffmpeg said, in parts of it as the repr of bytes."""
    message = str(error).split("\n\n", 2)[-1].replace("\\n", "\n").removesuffix("'")
    return RenderError(info.path, f"the encoder failed ({ffmpeg.last_words(message)}): is the disk full?")


def _fade(samples: np.ndarray, rate_hz: int, *, fade_in: bool, fade_out: bool) -> np.ndarray:
    """Linear fades of FADE_S (at most half the length) at the ends that are joins. (n, channels) int16."""
    length = min(round(FADE_S * rate_hz), len(samples) // 2)
    ramp = (np.arange(length, dtype=np.float32) / max(1, length))[:, None]
    faded = samples.copy()
    if fade_in:
        faded[:length] = np.rint(faded[:length] * ramp).astype(np.int16)
    if fade_out and length:
        faded[-length:] = np.rint(faded[-length:] * ramp[::-1]).astype(np.int16)
    return faded


def _check(picture: Path, info: MediaInfo, frames: int, with_sound: bool, target: Path) -> None:
    """Decode what was written; refuse it unless it has the planned frames, size and streams."""
    if not picture.is_file():
        raise RenderError(target, "the encoder wrote nothing: is the disk full?")
    node = ffmpeg.source(picture).output("pipe:", format="framecrc", map="0")
    try:
        decoded = ffmpeg.run(node, target)
    except MediaError as error:
        raise RenderError(target, f"the rendered file does not decode ({error.problem}): is the disk full?") from error
    lines = decoded.stdout.decode().splitlines()
    got = sum(line.startswith("0,") for line in lines)
    size = f"#dimensions 0: {info.video.width}x{info.video.height}"
    sounding = any(line.startswith("#media_type 1: audio") for line in lines)
    if got != frames or size not in lines or sounding != with_sound or decoded.stderr:
        raise RenderError(
            target,
            f"the rendered file failed its check ({got} of {frames} frames, sound: {sounding}, {ffmpeg.last_words(decoded.stderr)}): "
            "nothing was kept; please report this with the source's details",
        )
