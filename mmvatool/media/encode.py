"""Containers and encoder parameters with which moviepy writes exactly the planned frames, and the check of the result.

moviepy tags no colours. The parameters given to its encoder restore the colour matrix and range, the pixel aspect and the tags.
The result is decoded once and checked before it gets its name.
"""

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError, OutputError, RenderError
from mmvatool.files import move
from mmvatool.media import ffmpeg
from mmvatool.media.probe import Color

# Visually lossless, and 2-3 times faster than x264's default preset for a somewhat larger file.
CRF = 18
PRESET = "veryfast"
SWS_FLAGS = "bicubic+accurate_rnd+full_chroma_int"  # of conversions in the output
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# swscale's names for H.273 matrices; None: not tagged, read and written alike as swscale's default.
MATRICES = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "fcc": "fcc", "smpte240m": "smpte240m", "bt2020nc": "bt2020"}


@dataclass(frozen=True)
class Container:
    """The codecs and muxer options of a container."""

    video_codec: str
    audio_codec: str
    audio_rates_hz: tuple[int, ...]
    params: tuple[str, ...]


MP4_SUFFIXES = (".mp4", ".m4v", ".mov")
QUALITY = ("-preset", PRESET, "-crf", str(CRF))  # x264's
CONTAINERS = {
    ".mp4": Container("libx264", "aac", AAC_RATES_HZ, (*QUALITY, "-movflags", "+faststart")),
    ".m4v": Container("libx264", "aac", AAC_RATES_HZ, (*QUALITY, "-movflags", "+faststart", "-f", "mp4")),
    ".mov": Container("libx264", "aac", AAC_RATES_HZ, (*QUALITY, "-movflags", "+faststart")),
    ".mkv": Container("libx264", "aac", AAC_RATES_HZ, QUALITY),
    ".webm": Container(
        "libvpx-vp9", "libopus", (48000,), ("-crf", "31", "-b:v", "0", "-row-mt", "1", "-cpu-used", "4", "-deadline", "good")
    ),
}


def write_frames(
    frames: Generator[np.ndarray],
    count: int,
    size: tuple[int, int],
    rate: Fraction,
    container: Container,
    picture: Path,
    params: Sequence[str],
    *,
    pixel_format: str = "rgb24",
    sound: Path | None = None,
    sound_codec: str = "copy",
    error_path: Path,
    on_frame: Callable[[int], None],
) -> None:
    """Write frames as a video with moviepy's writer.

    Args:
        frames: uint8, at least `count` of them; closed afterwards. (H, W, 3) for rgb24, flat for planes.
        count: how many frames to write, at least 1.
        size: their width and height.
        rate: frames a second.
        container: gives the codec and the muxer options.
        picture: file to write, in a workspace.
        params: the encoder's parameters: `video_params` and what the container and the sound need.
        pixel_format: of the frames.
        sound: an audio file to mux with them.
        sound_codec: its encoder; "copy" does not encode it.
        error_path: the file that an error should name.
        on_frame: called with the number of frames written so far.

    Raises:
        RenderError: the encoder failed.
    """
    from mmvatool.media.writer import FrameWriter  # here: --help must not wait for moviepy

    encoder = ["-c:v", container.video_codec, *params, *container.params]
    try:
        with FrameWriter(picture, size, rate, pixel_format, encoder, sound, sound_codec) as writer:
            for number, frame in enumerate(itertools.islice(frames, count), 1):
                writer.write_frame(frame)
                on_frame(number)
    except OSError as error:
        raise encoder_error(error_path, error) from error
    finally:
        frames.close()


def video_params(
    rate: Fraction, color: Color, pixel_format: str, pixel_aspect: Fraction = Fraction(1), *, rgb: bool = True, fields: str | None = None
) -> list[str]:
    """The encoder's parameters that write the colour tags, the exact rate, the pixel aspect and the order of `fields` ("tff", "bff").

    RGB is converted as the tags say.
    """
    options = ":".join(f"{key}={value}" for key, value in conversion("out", color).items())
    filters = [f"scale={options}:flags={SWS_FLAGS}", f"format={pixel_format}"] if rgb else []
    for name, values in output_filters(color, pixel_aspect, fields):
        filters.append(f"{name}=" + ":".join(f"{key}={value}" for key, value in values.items()))
    timescale = rate.numerator
    while timescale < 10_000:
        timescale *= 2
    return ["-vf", ",".join(filters), "-fps_mode", "passthrough", "-video_track_timescale", str(timescale)]


def output_filters(color: Color, pixel_aspect: Fraction, fields: str | None) -> list[tuple[str, dict[str, str]]]:
    """The filters, by name and options, that tag what an encoder is handed."""
    aspect = pixel_aspect.limit_denominator(65535)
    tags = {
        "colorspace": color.matrix or "unknown",
        "color_primaries": color.primaries or "unknown",
        "color_trc": color.transfer or "unknown",
        "range": _range_tag(color),
    }
    return [
        ("setparams", tags),
        ("setsar", {"sar": f"{aspect.numerator}/{aspect.denominator}"}),
        *([("setfield", {"mode": fields})] if fields else []),
    ]


def ratio(rate: Fraction) -> str:
    """A rate as ffmpeg reads it."""
    return f"{rate.numerator}/{rate.denominator}"


def conversion(side: str, color: Color) -> dict[str, str]:
    """swscale's options for one side of the RGB that moviepy is handed."""
    return {
        f"{side}_color_matrix": MATRICES.get(color.matrix or "", "bt601"),
        f"{side}_range": "full" if color.full_range else "limited",
    }


def _range_tag(color: Color) -> str:
    return ("full" if color.full_range else "limited") if color.range_tagged else "unknown"


def encoder_error(error_path: Path, error: OSError) -> RenderError:
    """The error of moviepy's writer as one line: its message contains all of ffmpeg's stderr, in part as the repr of bytes."""
    message = str(error).split("\n\n", 2)[-1].replace("\\n", "\n").removesuffix("'")
    return RenderError(error_path, f"the encoder failed ({ffmpeg.last_error(message)}): is the disk full?")


def check(picture: Path, target: Path, frames: int, size: tuple[int, int], *, with_sound: bool) -> None:
    """Decode a written file and check that it has the planned frames, size (width, height) and streams.

    Raises:
        RenderError: it names the target.
    """
    if not picture.is_file():
        raise RenderError(target, "the encoder wrote nothing: is the disk full?")
    # Only whether frames decode counts, not their content: so without the deblocking filter, and as wrapped_avframe, of which framecrc hashes
    # a struct of 400 bytes instead of the pixels.
    node = ffmpeg.source(picture, skip_loop_filter="all").output("pipe:", format="framecrc", map="0", **{"c:v": "wrapped_avframe"})
    try:
        decoded = ffmpeg.run(node, target)
    except MediaError as error:
        raise RenderError(target, f"the rendered file does not decode ({error.problem}): is the disk full?") from error
    lines = decoded.stdout.splitlines()
    got = sum(line.startswith(b"0,") for line in lines)
    has_audio = b"#media_type 1: audio" in lines
    if got != frames or f"#dimensions 0: {size[0]}x{size[1]}".encode() not in lines or has_audio != with_sound or decoded.stderr:
        raise RenderError(
            target,
            f"the rendered file failed its check ({got} of {frames} frames, sound: {has_audio}, {ffmpeg.last_error(decoded.stderr)}): "
            "nothing was kept; please report this with the source's details",
        )


def copy_options(suffix: str, video_codec: str, *, all_tags: bool = False) -> dict[str, str]:
    """Options of the muxer for copied video in a container, by its suffix; with `all_tags` it writes those that it does not know, too."""
    if suffix not in MP4_SUFFIXES:
        return {}
    # The second also writes the projection of 360-degree video.
    options = {"movflags": "+faststart" + ("+use_metadata_tags" if all_tags else ""), "strict": "experimental"}
    if video_codec == "hevc":
        options["tag:v"] = "hvc1"  # Apple's players do not play hev1
    return options | ({"format": "mp4"} if suffix == ".m4v" else {})


def move_into_place(picture: Path, target: Path) -> None:
    """Rename a checked file to the target.

    Raises:
        OutputError: the target cannot be written.
    """
    try:
        move(picture, target)
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror}): choose another place with -o") from error
