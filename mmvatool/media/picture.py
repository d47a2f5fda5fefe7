"""What is done to a source's pictures before they are shown or coded, as ffmpeg's filters.

All get the size of the first one, two fields become one frame, a colour matrix that swscale does not know becomes one that it does, and HDR
becomes SDR where that is all that can be shown.
"""

from dataclasses import replace
from typing import Any

import av

from mmvatool.errors import MediaError
from mmvatool.media.encode import SWS_FLAGS, conversion
from mmvatool.media.expressions import step_function
from mmvatool.media.probe import Color, MediaInfo

HDR = ("smpte2084", "arib-std-b67")
# A picture whose shape differs by less from the first one's is no other shape: sizes are rounded to blocks.
SAME_SHAPE = 0.01
# Decoders of these say of each picture whether it is two fields. Recordings of broadcasts change between the two.
SAYS_FIELDS = ("h264", "mpeg2video", "mpeg1video", "hevc", "vc1", "wmv3", "mpeg4", "dvvideo", "prores", "dnxhd", "mjpeg")
MAY_CHANGE = ("h264", "mpeg2video", "vc1")
TOP_FIRST = ("tt", "tb")  # as libav's own encoders and decoders take it, whatever its header says of "tb"
# Matrices that zimg knows and swscale does not, and which is written in their place.
UNUSUAL = {"ycgco": "bt709", "bt2020c": "bt2020nc", "ictcp": "bt2020nc"}
UNKNOWN = ("smpte2085", "chroma-derived-c", "ipt-c2", "ycgco-re", "ycgco-ro")


def is_hdr(info: MediaInfo) -> bool:
    """Whether it is coded for brighter screens than those of SDR, by PQ or HLG."""
    return info.video.color.transfer in HDR


def is_rgb(info: MediaInfo) -> bool:
    """Whether it is coded as RGB, with a matrix neither to keep nor to undo."""
    kind = av.VideoFormat(info.video.pixel_format)
    return info.video.color.matrix == "gbr" or kind.is_rgb or kind.has_palette


def usual(color: Color) -> Color:
    """The colours of pictures that went through `frames`: with a matrix that swscale knows."""
    if color.matrix == "chroma-derived-nc":  # by definition that of the primaries
        return replace(color, matrix="bt2020nc" if color.primaries == "bt2020" else "bt709")
    return replace(color, matrix=UNUSUAL.get(color.matrix or "", color.matrix))


def check(info: MediaInfo) -> None:
    """Refuse colours that nothing here can convert.

    Raises:
        MediaError: it names them.
    """
    if info.video.color.matrix in UNKNOWN:
        raise MediaError(info.path, f"its colour matrix ({info.video.color.matrix}) cannot be converted by ffmpeg: export it with bt709")


def frames(node: Any, info: MediaInfo, *, keep_fields: bool = False, shift_s: float = 0.0) -> Any:
    """All pictures of a source, one after the other, at its size: whole frames, unless `keep_fields`.

    Their clock is the container's, plus `shift_s`.
    """
    size = info.video.width, info.video.height
    node = fitted(_named(node, info), info, size, shift_s, interl=int(info.video.interlaced), flags="bicubic")
    if keep_fields:
        return node
    if info.video.interlaced and info.video.codec not in SAYS_FIELDS:
        node = node.filter("setfield", "tff" if info.video.field_order in TOP_FIRST else "bff")
        return node.filter("bwdif", mode="send_frame", deint="all")
    if info.video.interlaced or info.video.codec in MAY_CHANGE:
        return node.filter("bwdif", mode="send_frame", deint="interlaced")
    return node


def small(node: Any, info: MediaInfo, size: tuple[int, int], flags: str) -> Any:
    """Scattered pictures of a source, small and in RGB, of two fields the first."""
    node = _named(node, info)
    if info.video.interlaced:
        full = info.video.width, info.video.height
        node = fitted(node, info, full, interl=1, flags="bicubic").filter("field", "top").filter("scale", *size, flags=flags)
    else:
        node = fitted(node, info, size, flags=flags)
    if is_hdr(info):
        node = tone_mapped(node, info)
    elif info.video.color.matrix in UNUSUAL:
        node = _with_usual_matrix(node, info)
    return node.filter("format", "rgb24")


def converted(
    node: Any,
    info: MediaInfo,
    size: tuple[int, int],
    *,
    planes: tuple[str, Color] | None = None,
    color: Color | None = None,
    tone_map: bool = False,
    keep_fields: bool = False,
) -> Any:
    """Pictures of `frames` in a size, and in RGB or other planes.

    Args:
        node: the pictures.
        info: their video.
        size: width and height.
        planes: a pixel format and its colours, instead of RGB; what has them already is not converted.
        color: the video's colours, in place of its tags.
        tone_map: from HDR to SDR.
        keep_fields: they are fields still.
    """
    source = usual(color or info.video.color)
    if tone_map:
        node, source = tone_mapped(node.filter("scale", *size, flags="bicubic"), info), Color("bt709", "bt709", "bt709")
    elif info.video.color.matrix in UNUSUAL:
        node = _with_usual_matrix(node, info)
    options: dict[str, Any] = conversion("in", source) | ({"interl": 1} if keep_fields else {})
    if planes:
        return node.filter("scale", *size, **options, **conversion("out", planes[1]), flags=SWS_FLAGS).filter("format", planes[0])
    # Without accurate_rnd, which takes six times as long here and moves the mean by less than 1/255.
    return node.filter("scale", *size, **options, flags="bicubic+full_chroma_int").filter("format", "rgb24")


def fitted(node: Any, info: MediaInfo, size: tuple[int, int], shift_s: float = 0.0, **options: Any) -> Any:
    """Scale pictures to a size; those of another shape than the first get bars. What has the size already is passed on."""
    width, height = size
    shape = float(info.video.width * info.video.pixel_aspect / info.video.height)
    own = "dar"
    if info.video.aspects:
        bounds = [f"{from_s + shift_s:.6f}" for from_s, _ in info.video.aspects[1:]]
        own = f"(iw/ih*{step_function('t', bounds, [f'{float(aspect):.6f}' for _, aspect in info.video.aspects])})"
    narrower, wider = f"lt({own},{shape * (1 - SAME_SHAPE):.6f})", f"gt({own},{shape * (1 + SAME_SHAPE):.6f})"
    node = node.filter(
        "scale",
        w=f"if({narrower},min({width},2*max(1,round({width / 2 / shape:.6f}*{own}))),{width})",
        h=f"if({wider},min({height},2*max(1,round({height * shape / 2:.6f}/{own}))),{height})",
        eval="frame",
        **options,
    )
    # Fours of lines: the fields and their chroma keep their order.
    return node.filter("pad", width, height, "2*floor((ow-iw)/4)", "4*floor((oh-ih)/8)", eval="frame")


def tone_mapped(node: Any, info: MediaInfo) -> Any:
    """HDR pictures as SDR in bt709, 8 bits."""
    color = info.video.color
    matrix = color.matrix if color.matrix in UNUSUAL else "bt2020nc"
    if is_rgb(info):
        node = node.filter("scale", **conversion("out", Color("bt2020nc")), flags="bicubic")
    # zscale rejects incomplete tags.
    node = node.filter("format", "yuv420p10le").filter("setparams", colorspace=matrix, color_primaries="bt2020", color_trc=color.transfer)
    node = node.filter("zscale", transfer="linear", npl=203).filter("format", "gbrpf32le").filter("zscale", primaries="bt709")
    node = node.filter("tonemap", "mobius", desat=0)
    return node.filter("zscale", transfer="bt709", matrix="bt709", range="limited").filter("format", "yuv444p")


def _named(node: Any, info: MediaInfo) -> Any:
    """Under the name of a usual matrix until it is converted: swscale refuses to scale pictures with others."""
    check(info)
    matrix = usual(info.video.color).matrix
    return node if matrix == info.video.color.matrix else node.filter("setparams", colorspace=matrix)


def _with_usual_matrix(node: Any, info: MediaInfo) -> Any:
    color = info.video.color
    transfer = color.transfer or ("bt709" if color.matrix == "ycgco" else "bt2020-10")
    primaries = color.primaries or ("bt709" if color.matrix == "ycgco" else "bt2020")
    span = "full" if color.full_range else "limited"
    return node.filter(
        "zscale", matrixin=color.matrix, matrix=UNUSUAL[color.matrix or ""], transferin=transfer, transfer=transfer,
        primariesin=primaries, primaries=primaries, rangein=span, range=span,
    )  # fmt: skip
