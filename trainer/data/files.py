"""Read one picture or one sound from a file, or write a sound."""

import io
import re
import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from trainer.data import hdr
from trainer.data.formats import PICTURES, is_playlist, libav_options
from trainer.errors import DataError

DECODE_LIMIT_S = 600
"""Time limit of a decode: ffmpeg decodes an hour of music in well under a minute."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition to upright by EXIF orientation."""

_ROWS = 256
"""That are converted at once: a large picture takes four times its memory on its way to RGB."""

_ADDRESS = re.compile(r"\[\S+ @ 0x[0-9a-f]+\]")


def open_picture(path: str | Path) -> Image.Image:
    """Open a picture without decoding it: one of PICTURES, or HEIC.

    Raises:
        UnidentifiedImageError: not a picture; also other errors of Pillow.
    """
    Image.init()
    try:
        return Image.open(path, formats=[kind for kind in PICTURES if kind in Image.OPEN])
    except Image.UnidentifiedImageError:
        if "HEIF" not in Image.OPEN:
            import pillow_heif  # imported for the first HEIC only, as it takes time

            pillow_heif.register_heif_opener()
        return Image.open(path, formats=["HEIF"])


def read_picture(path: str | Path, least_px: int | None = None) -> np.ndarray:
    """Read a picture upright and in sRGB.

    EXIF orientation is applied, HDR is tone-mapped, colour profiles are converted, transparency is composited over white, CMYK, palettes, grey and
    16-bit grey are converted; of an animation the first frame is read.

    Args:
        path: any file that `open_picture` opens.
        least_px: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if both sides have at least this many pixels, which is faster.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: no such file, not a picture, truncated, or too large.
    """
    try:
        with open_picture(path) as opened:
            if least_px is not None:
                opened.draft(None, (least_px, least_px))
            opened.load()  # also transposes a TIFF
            # In this order, as converted pictures have no EXIF block.
            coding = hdr.coding(opened, path)
            upright = _upright(opened)
            return _pixels(hdr.to_sdr(upright, *coding) if coding else _in_srgb(upright))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such picture; check the path") from error
    except Image.UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture that can be read; convert it to JPEG or PNG") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: has over {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels; scale it down") from error
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, RuntimeError) as error:  # what Pillow's plugins raise on damaged files
        raise DataError(f"{path}: damaged picture ({_one_line(error)}); get the file again") from error


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(0x0112)
    except Exception:  # a broken EXIF block does not affect the picture
        orientation = None
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _in_srgb(picture: Image.Image) -> Image.Image:
    """Convert a picture by its colour profile; unchanged if it has none, an unusable one, or more than 8 bits."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    usual = {"RGB": ("RGB", "RGBA"), "GRAY": ("L",), "CMYK": ("CMYK",)}
    if not profile or picture.mode not in {"P", *usual["RGB"], *usual["GRAY"], *usual["CMYK"]}:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        if picture.mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        if picture.mode not in usual.get(source.profile.xcolor_space.strip(), ()) or "transparency" in picture.info:
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return converted or picture


def _pixels(picture: Image.Image) -> np.ndarray:
    """A picture over white, as uint8 (H, W, 3)."""
    width, height = picture.size
    # Some Pillow versions open 16-bit PNGs as "I"; float pictures are in 0..1 unless their maximum is larger.
    white = 65535.0 if picture.mode != "F" else (1.0 if np.max(picture.getextrema()) <= 1.0 else 255.0)
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):
        rows = picture.crop((0, top, width, min(height, top + _ROWS)))
        pixels[top : top + _ROWS] = np.asarray(_over_white(rows, white))
    return pixels


def _over_white(picture: Image.Image, white: float) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        grey = np.asarray(picture, np.float64)
        return Image.fromarray(np.clip(np.nan_to_num(grey) * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        rgba = picture.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba).convert("RGB")
    return picture.convert("RGB")


def read_sound(path: str | Path, rate_hz: int, max_s: float | None = None) -> np.ndarray:
    """Decode the first audio stream of a file to mono.

    Args:
        path: any file that ffmpeg reads.
        rate_hz: sample rate of the result.
        max_s: seconds to decode at most; None for all.

    Returns:
        float32 (n,) in [-1, 1], n > 0.

    Raises:
        DataError: no such file, no audio stream, not decodable, or no samples.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such sound file; check the path")
    if (plain := _plain_wav(path, rate_hz, max_s)) is not None:
        return plain
    # "file:" prevents names such as "concat:a" from being read as a protocol.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error"]
    for name, value in libav_options().items():
        command += [f"-{name}", value]
    # Without rematrix_maxval, ffmpeg mixes stereo to float as .71 (left + right), which clips loud music.
    command += ["-i", f"file:{path}", "-map", "0:a:0", "-af", "aresample=rematrix_maxval=1", "-ac", "1", "-ar", str(rate_hz)]
    command += ["-t", f"{max_s:.6f}"] if max_s is not None else []
    command += ["-f", "f32le", "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DECODE_LIMIT_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path}: ffmpeg did not finish decoding within {DECODE_LIMIT_S} s; convert it to WAV") from error
    message = _one_line(done.stderr.decode(errors="replace"))
    if done.returncode and not done.stdout:
        if "matches no streams" in message:
            raise DataError(f"{path}: has no audio; use a sound file")
        if is_playlist(path):
            raise DataError(f"{path}: is a playlist that names other files; give the files themselves")
        if "not on whitelist" in message:
            message = "of no kind that is read"
        raise DataError(f"{path}: not a sound that can be decoded ({message}); convert it to WAV or get it again")
    sound = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
    if not len(sound):
        raise DataError(f"{path}: zero-length sound; get the file again or leave it out")
    return np.clip(np.nan_to_num(sound), -1.0, 1.0)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """Write mono samples in [-1, 1] as a 16-bit WAV, atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain_wav(path: str | Path, rate_hz: int, max_s: float | None) -> np.ndarray | None:
    """The sound of a 16-bit PCM WAV with the requested rate; None for other files, which ffmpeg decodes.

    Measured on 10-second clips: 0.7 ms against the 49 ms of starting ffmpeg. IMEMNet-C has 26,000 of them.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getframerate() != rate_hz or file.getsampwidth() != 2 or file.getcomptype() != "NONE":
                return None
            limit = file.getnframes() if max_s is None else round(max_s * rate_hz)
            samples = np.frombuffer(file.readframes(limit), "<i2")
            channels = file.getnchannels()
    except (wave.Error, EOFError, OSError, ValueError, RuntimeError):  # the last from damaged chunks
        return None
    frames = samples[: len(samples) // channels * channels].reshape(-1, channels)
    return frames.mean(axis=1, dtype=np.float32) / np.float32(32768) if len(frames) else None


def _one_line(message: object) -> str:
    """The first line of a message that is not blank, without ffmpeg's addresses."""
    lines = [_ADDRESS.sub("", line).strip() for line in str(message).splitlines() if line.strip()]
    return (lines[0] if lines else type(message).__name__)[:200]
