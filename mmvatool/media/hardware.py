"""Hardware encoders: used only where a test encode of two frames at the requested size succeeds."""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg
from mmvatool.media.encode import QUALITY, Container

ENCODERS = ("software", "auto")
# About as good as x264 at its CRF; vaapi is left out: its frames must be uploaded with a filter.
H264 = {
    "h264_nvenc": ("-preset", "p4", "-rc", "vbr", "-cq", "20", "-b:v", "0"),
    "h264_videotoolbox": ("-q:v", "65"),
    "h264_qsv": ("-global_quality", "20"),
}
LIMIT_S = 20.0


def choose(encoder: str, container: Container, size: tuple[int, int], rate: Fraction, pixel_format: str) -> tuple[Container, list[str]]:
    """The container with the encoder to use.

    Args:
        encoder: "software", or "auto": the first encoder in hardware that works, if the container takes H.264.
        container: the container with its software encoder.
        size: width and height of the frames.
        rate: frames a second.
        pixel_format: of the frames.

    Returns:
        The container, and warnings, at most one sentence.
    """
    if encoder == "software" or container.video_codec != "libx264":
        return container, []
    for name, params in H264.items():
        if works(name, params, size, rate, pixel_format):
            rest = container.params[len(QUALITY) :]
            return replace(container, video_codec=name, params=(*params, *rest)), [f"encoded in hardware ({name})"]
    return container, ["no encoder in hardware works here: encoded in software"]


@cache
def works(name: str, params: tuple[str, ...], size: tuple[int, int], rate: Fraction, pixel_format: str) -> bool:
    """Whether an encoder encodes two frames."""
    options = {flag[1:]: value for flag, value in zip(params[::2], params[1::2], strict=True)}
    node = ffmpeg.black(size, rate).output("pipe:", format="h264", pix_fmt=pixel_format, **{"frames:v": 2, "c:v": name}, **options)
    try:
        return bool(ffmpeg.run(node, Path(name), limit_s=LIMIT_S).stdout)
    except MediaError:
        return False
