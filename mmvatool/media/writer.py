"""moviepy's video writer for any pixel format and exact rates.

moviepy 2.2 takes a `pixel_format`, but always tells ffmpeg rgb24; and it writes rates with two decimals, which are 0.00 for a frame
every 300 s. RGB is twice the bytes of a video's own planes, and is converted twice. So its command is put together here; writing
frames, error messages and closing are moviepy's.
"""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from moviepy.tools import cross_platform_popen_params
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

from mmvatool.media import ffmpeg


class FrameWriter(FFMPEG_VideoWriter):
    """Encodes the frames passed to `write_frame`; a context manager.

    Args:
        target: the file to write.
        size: width and height.
        rate: frames a second.
        pixel_format: of the frames, by ffmpeg's name: rgb24, yuv420p...
        params: the encoder's parameters, `-c:v` among them.
        sound: an audio file to mux with them.
        sound_codec: its encoder; "copy" does not encode it.

    Raises:
        OSError: the encoder ended early (raised by `write_frame`); the message ends with its stderr.
    """

    def __init__(
        self,
        target: Path,
        size: tuple[int, int],
        rate: Fraction,
        pixel_format: str,
        params: Sequence[str],
        sound: Path | None = None,
        sound_codec: str = "copy",
    ) -> None:
        self.filename, self.ext, self.codec, self.logfile = str(target.absolute()), target.suffix[1:], "", subprocess.PIPE
        frames = [
            "-f",
            "rawvideo",
            "-s",
            f"{size[0]}x{size[1]}",
            "-pix_fmt",
            pixel_format,
            "-framerate",
            f"{rate.numerator}/{rate.denominator}",
        ]
        sounds = ["-i", f"file:{sound.absolute()}", "-c:a", sound_codec] if sound else []
        self.proc = subprocess.Popen(
            [ffmpeg.executable(), "-y", "-loglevel", "error", *frames, "-i", "pipe:", *sounds, *params, f"file:{self.filename}"],
            **cross_platform_popen_params({"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}),
            pipesize=ffmpeg.PIPE_BYTES,
        )
