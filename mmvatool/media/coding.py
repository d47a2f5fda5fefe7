"""How a source's picture is coded: in which codec, planes and colours, as whole frames or fields, in HDR or not."""

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av

from mmvatool.media import ffmpeg, hardware, picture
from mmvatool.media.encode import CONTAINERS, MP4_SUFFIXES, QUALITY, Container
from mmvatool.media.headers import opened
from mmvatool.media.probe import FIRST_PACKETS, Color, MediaInfo

HD_LINES = 720  # RGB of as many lines is coded in bt709, as players take it that do not look at tags
# As good as x264 with QUALITY, in twice its time.
HEVC_QUALITY = ("-preset", "superfast", "-crf", "18")
DYNAMIC = ("DYNAMIC_HDR_PLUS", "DOVI_METADATA", "DOVI_RPU_BUFFER")
CHROMATICITIES, LUMINANCES = 50_000, 10_000  # x265's units: .00002, and .0001 cd/m2


@dataclass(frozen=True)
class Coding:
    """How a picture is coded.

    `color` is what is written and tagged, `fields` "tff" or "bff" where fields stay (the top or the bottom one is first), `warnings` say
    what differs from the source, a sentence each.
    """

    container: Container
    pixel_format: str
    color: Color
    tone_map: bool
    fields: str | None
    warnings: tuple[str, ...]

    @property
    def planes(self) -> tuple[str, Color]:
        """As `frames.steady_frames` takes it."""
        return self.pixel_format, self.color

    @property
    def params(self) -> list[str]:
        """Parameters of the encoder beside those of the container; its input must be marked, too."""
        if self.fields is None:
            return []
        first = "tt" if self.fields == "tff" else "bb"
        return ["-flags", "+ildct+ilme", "-x264-params", f"{self.fields}=1", "-field_order", first]


def choose(info: MediaInfo, suffix: str, *, interlaced: str = "deinterlace", to_sdr: bool = False, encoder: str = "software") -> Coding:
    """Choose how the picture of a video is coded.

    Args:
        info: the probed video.
        suffix: of the target, a key of CONTAINERS.
        interlaced: "deinterlace", or "keep": code its fields as fields, where the codec can.
        to_sdr: bring HDR down to SDR.
        encoder: one of hardware.ENCODERS.

    Raises:
        MediaError: its colours cannot be converted.
    """
    picture.check(info)
    container, warnings = CONTAINERS[suffix], []
    odd = bool(info.video.width % 2 or info.video.height % 2)
    pixel_format, color, fields = "yuv444p" if odd else "yuv420p", _color(info), None
    hdr = picture.is_hdr(info)
    tone_map = hdr and (to_sdr or container.video_codec != "libx264")
    if info.video.interlaced:
        if interlaced == "keep" and container.video_codec == "libx264" and not hdr and not odd:
            fields = first_field(info)
            warnings.append(f"interlaced: coded as fields, the {'top' if fields == 'tff' else 'bottom'} one first")
        else:
            unable = f", as {suffix} holds no fields here" if interlaced == "keep" else ""
            warnings.append(f"interlaced: its fields were made whole frames (bwdif){unable}")
    if "SPHERICAL" in info.video.side_data:
        warnings.append("its 360-degree projection is lost: players will show it flat (--lossless keeps it)")
    if color.matrix != info.video.color.matrix and info.video.color.matrix in picture.UNUSUAL:
        warnings.append(f"its colour matrix ({info.video.color.matrix}) is hardly known to players: written as {color.matrix}")
    if tone_map:
        color = Color("bt709", "bt709", "bt709", False, True)
        warnings.append("HDR: tone-mapped to SDR" + ("" if to_sdr else f", as HDR in a {suffix} is not written here"))
    elif hdr:
        mastering, light = (
            _mastering(info) if {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} & info.video.side_data else (None, None)
        )
        x265 = ["log-level=error", *([mastering] if mastering else []), *([light] if light else [])]
        tag = ("-tag:v", "hvc1") if suffix in MP4_SUFFIXES else ()
        rest = container.params[len(QUALITY) :]
        container = replace(container, video_codec="libx265", params=(*HEVC_QUALITY, "-x265-params", ":".join(x265), *tag, *rest))
        pixel_format += "10le"
        warnings += ["HDR: encoded in software"] if encoder != "software" else []
        if info.video.side_data & set(DYNAMIC):
            warnings.append("its dynamic HDR metadata (HDR10+, Dolby Vision) is left out")
    if fields is None:
        container, chosen = hardware.choose(encoder, container, (info.video.width, info.video.height), info.rate, pixel_format)
        warnings += chosen
    return Coding(container, pixel_format, color, tone_map, fields, tuple(warnings))


def _color(info: MediaInfo) -> Color:
    """The colours that are written: the source's, or those that its RGB is converted to."""
    color = picture.usual(info.video.color)
    if not picture.is_rgb(info):
        return color
    matrix = "bt2020nc" if picture.is_hdr(info) else "bt709" if info.video.height >= HD_LINES else "smpte170m"
    return Color(matrix, color.primaries or "bt709", color.transfer or "bt709", False, True)


def first_field(info: MediaInfo) -> str:
    """Which field of the frames is shown first: "tff" or "bff"."""
    node = ffmpeg.source(info.path)[str(info.video.index)].filter("showinfo", checksum=0)
    printed = ffmpeg.run(node.output("pipe:", format="null", **{"frames:v": 1}), info.path, log="info").stderr
    if " i:B " in printed or (" i:P " in printed and info.video.field_order not in picture.TOP_FIRST):
        return "bff"
    return "tff"


def _mastering(info: MediaInfo) -> tuple[str | None, str | None]:
    """x265's parameters for the mastering display and for the content's light level, each None where the source does not say."""
    found: dict[str, Any] = {}
    with opened(info.path) as container:
        stream = container.streams[info.video.index]
        for _, packet in zip(range(FIRST_PACKETS), container.demux(stream), strict=False):
            try:
                frame = next(iter(packet.decode()), None)
            except av.FFmpegError:  # as when the file was probed: the first that decodes
                continue
            if frame:
                found = {data.type.name: bytes(data) for data in frame.side_data}
                break
    return _display(found.get("MASTERING_DISPLAY_METADATA")), _light(found.get("CONTENT_LIGHT_LEVEL"))


def _display(data: bytes | None) -> str | None:
    """Of libav's AVMasteringDisplayMetadata: ten fractions (red, green, blue, white, least and most light), and whether they are set."""
    if data is None:
        return None
    numbers = struct.unpack_from("=22i", data)
    if not (numbers[20] and numbers[21] and all(numbers[1:20:2])):
        return None
    values = [Fraction(number, of) for number, of in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = (
        f"({round(x * CHROMATICITIES)},{round(y * CHROMATICITIES)})" for x, y in zip(values[:8:2], values[1:8:2], strict=True)
    )
    least, most = (round(value * LUMINANCES) for value in values[8:])
    return f"master-display=G{green}B{blue}R{red}WP{white}L({most},{least})"


def _light(data: bytes | None) -> str | None:
    return None if data is None else "max-cll={},{}".format(*struct.unpack_from("=2I", data))
