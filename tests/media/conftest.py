"""Files of every kind that the media layer must read, each drawn once."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import media

SIZE = (320, 180)
SECONDS = 6
RATE = Fraction(30000, 1001)
COUNT = int(SECONDS * RATE)


def _picture(number: int) -> np.ndarray:
    """A moving, stamped picture."""
    return media.stamp(media.meadow(SIZE, number / 5), number)


def _plain(path: Path, *params: str) -> Path:
    return media.encode(path, _picture, COUNT, RATE, media.scene_sound([("rays", SECONDS)]), params)


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "45", "-pix_fmt", "yuv420p")


def _edit_list(path: Path) -> Path:
    """Cut inside a group of pictures without encoding: the frames before the cut stay in the file, hidden."""
    whole = _plain(path.with_name("whole.mp4"), *X264)
    media.run_ffmpeg("-ss", 1.1, "-i", whole, "-c", "copy", path)
    return path


def _late_start(path: Path) -> Path:
    """MPEG-TS cut from a longer recording: its clock does not begin at 0, its sound not with its picture."""
    whole = _plain(path.with_name("whole.ts"), *X264)
    media.run_ffmpeg("-ss", 1.2, "-i", whole, "-c", "copy", path)
    return path


def _resized(path: Path) -> Path:
    """The picture doubles its size after 3 seconds, as calls and streams do."""
    small, large = path.with_name("small.ts"), path.with_name("large.ts")
    media.encode(small, _picture, 90, Fraction(30), None, X264)
    media.encode(large, lambda n: _picture(n + 90), 90, Fraction(30), None, ("-vf", "scale=2*iw:2*ih", *X264))
    joined = path.with_name("joined.txt")
    joined.write_text(f"file {small}\nfile {large}\n")
    media.run_ffmpeg("-f", "concat", "-safe", 0, "-i", joined, "-c", "copy", path)
    return path


def _variable(path: Path) -> Path:
    """Every seventh frame is missing and the rest jitters, as phones record."""
    keep = "select='mod(n,7)',settb=1/90000,setpts='PTS+0.004*sin(N)/TB'"
    return media.encode(
        path,
        _picture,
        COUNT,
        Fraction(30),
        None,
        ("-vf", keep, "-fps_mode", "vfr", "-enc_time_base", "1/90000", "-video_track_timescale", "90000", *X264),
    )


def _rotated(path: Path) -> Path:
    """Stored lying down, turned upright by the display matrix."""
    lying = media.encode(path.with_name("lying.mp4"), lambda n: np.rot90(_picture(n)), COUNT, Fraction(30), None, X264)
    media.run_ffmpeg("-display_rotation", -90, "-i", lying, "-c", "copy", path)
    return path


def _hidden(path: Path) -> Path:
    """VP8 with frames that are only referred to: its encoder makes them in a second pass."""
    vp8 = ("-c:v", "libvpx", "-cpu-used", "5", "-auto-alt-ref", "1", "-lag-in-frames", "25", "-g", "45", "-b:v", "100k", "-an")
    log = ("-passlogfile", path.with_suffix(".log"))
    _plain(path, *vp8, "-pass", "1", *map(str, log))
    return _plain(path, *vp8, "-pass", "2", *map(str, log))


def _pauses(path: Path) -> Path:
    """A recording of a screen that stood still for over ten seconds, twice: nothing was recorded meanwhile."""
    still = "settb=1/90000,setpts='N*3000+gte(N,45)*1350000+gte(N,120)*1080000'"
    clock = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000")
    return media.encode(path, _picture, 150, Fraction(30), None, ("-vf", still, *clock, *X264[:4], "-g", "30", "-pix_fmt", "yuv420p"))


KINDS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": lambda path: _plain(path, *X264),
    "plain.mkv": lambda path: _plain(path, *X264),
    "plain.avi": lambda path: _plain(path, "-c:v", "mpeg4", "-q:v", "3", "-c:a", "mp3"),
    "vp9.webm": lambda path: _plain(path, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-g", "45"),
    "hidden.webm": _hidden,
    "pauses.mp4": _pauses,
    "pauses.mkv": _pauses,
    "av1.mp4": lambda path: _plain(path, "-c:v", "libsvtav1", "-preset", "12", "-g", "45", "-svtav1-params", "lp=2"),
    "hevc.mp4": lambda path: _plain(path, "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=none"),
    # Found to be one that decord gets wrong; a faster preset makes none.
    "opengop.mp4": lambda path: _plain(
        path, "-c:v", "libx264", "-x264-params", "open-gop=1:keyint=30:min-keyint=30:bframes=3:scenecut=0", "-pix_fmt", "yuv420p"
    ),
    "plain.flv": lambda path: _plain(path, *X264, "-c:a", "aac"),
    "plain.mpg": lambda path: _plain(path, "-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-c:a", "mp2"),
    "edit.mp4": _edit_list,
    "late.ts": _late_start,
    "resized.mkv": _resized,
    "resized.ts": _resized,
    "variable.mp4": _variable,
    "rotated.mp4": _rotated,
    "anamorphic.mp4": lambda path: _plain(path, "-vf", "setsar=4/3", *X264),
    "odd.mp4": lambda path: media.encode(
        path, lambda n: _picture(n)[:91, :161], 40, Fraction(25), None, ("-c:v", "libx264", "-pix_fmt", "yuv444p")
    ),
    "tiny.mp4": lambda path: media.encode(path, lambda n: np.full((16, 2, 3), 6 * n, np.uint8), 30, Fraction(10), None, X264),
}


@pytest.fixture(scope="session")
def kinds(drawn: Path) -> Callable[[str], Path]:
    """Draws a kind of file when it is first asked for."""

    def file(name: str) -> Path:
        path = drawn / name
        return path if path.exists() else KINDS[name](path)

    return file
