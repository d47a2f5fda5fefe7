"""Drawn media with known answers, for the tests.

Scenes are calm or intense by the bundled model's own scores. Every frame carries its number as a bar code, so that a
test can say which frame it is looking at.
"""

import subprocess
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmvatool.media import ffmpeg

Frame = np.ndarray
CODE_BITS = 16
RATE_HZ = 48_000


def _gradient(size: tuple[int, int], *rows: tuple[float, tuple[int, int, int]]) -> Frame:
    """Vertical gradient through (height fraction, colour) stops."""
    width, height = size
    at = np.linspace(0, 1, height)
    stops, colours = [row[0] for row in rows], np.array([row[1] for row in rows], float)
    column = np.stack([np.interp(at, stops, colours[:, channel]) for channel in range(3)], -1)
    return np.repeat(column[:, None].astype(np.uint8), width, axis=1)


def wall(size: tuple[int, int], t: float) -> Frame:
    """A grey wall: the least arousing."""
    return _gradient(size, (0, (128, 128, 128)), (1, (122, 122, 122)))


def meadow(size: tuple[int, int], t: float) -> Frame:
    """Sky over grass, a cloud drifting: calm."""
    picture = Image.fromarray(_gradient(size, (0, (120, 170, 230)), (0.6, (170, 200, 225)), (0.601, (70, 150, 60)), (1, (50, 125, 40))))
    x = (0.1 + 0.05 * t) % 1 * size[0]
    ImageDraw.Draw(picture).ellipse([x, 0.12 * size[1], x + 0.25 * size[0], 0.28 * size[1]], fill=(235, 240, 245))
    return np.asarray(picture)


def sea(size: tuple[int, int], t: float) -> Frame:
    """The sea at dusk: fairly calm."""
    picture = Image.fromarray(_gradient(size, (0, (236, 200, 160)), (0.55, (238, 190, 165)), (0.551, (70, 115, 140)), (1, (70, 120, 140))))
    y = (0.3 + 0.01 * t) * size[1]
    ImageDraw.Draw(picture).ellipse([0.45 * size[0], y, 0.45 * size[0] + 0.2 * size[1], y + 0.2 * size[1]], fill=(250, 230, 190))
    return np.asarray(picture)


def fireworks(size: tuple[int, int], t: float) -> Frame:
    """Bursts of coloured lines on a night sky: the most arousing."""
    draw_random = np.random.default_rng(int(t * 4))
    picture = Image.new("RGB", size, (5, 5, 20))
    pen = ImageDraw.Draw(picture)
    for _ in range(160):
        angle, length = draw_random.uniform(0, 2 * np.pi), draw_random.uniform(0.1, 0.5) * size[1]
        x, y = draw_random.choice([0.28, 0.7]) * size[0], draw_random.choice([0.33, 0.6]) * size[1]
        colour = tuple(draw_random.integers(120, 256, 3).tolist())
        pen.line([x, y, x + length * np.cos(angle), y + length * np.sin(angle)], fill=colour, width=max(1, size[1] // 90))
    return np.asarray(picture)


def rays(size: tuple[int, int], t: float) -> Frame:
    """Turning rays of red and yellow: arousing."""
    y, x = np.mgrid[: size[1], : size[0]]
    angle = np.arctan2(y - size[1] / 2, x - size[0] / 2) + 0.8 * t
    return np.where((np.sin(angle * 16) > 0)[..., None], np.uint8([255, 220, 0]), np.uint8([230, 20, 20]))


SCENES: dict[str, Callable[[tuple[int, int], float], Frame]] = {scene.__name__: scene for scene in (wall, meadow, sea, fireworks, rays)}
INTENSE = ("fireworks", "rays")


def stamp(frame: Frame, number: int) -> Frame:
    """Write a frame's number as a bar code of 16 black and white blocks along the upper edge."""
    frame = frame.copy()
    height, width = max(8, frame.shape[0] // 10), frame.shape[1] // CODE_BITS
    for bit in range(CODE_BITS):
        frame[:height, bit * width : (bit + 1) * width] = 255 if number >> bit & 1 else 0
    return frame


def read_stamp(frame: Frame) -> int:
    """The number that `stamp` wrote, after any coding and scaling."""
    height, width = max(1, frame.shape[0] // 10), frame.shape[1] / CODE_BITS
    blocks = [frame[: max(1, height // 2), int((bit + 0.3) * width) : int((bit + 0.7) * width) + 1] for bit in range(CODE_BITS)]
    return sum((block.mean() > 127) << bit for bit, block in enumerate(blocks))


def scene_sound(plan: Sequence[tuple[str, float]]) -> np.ndarray:
    """Mono float sound: a soft tone under calm scenes, drums and noise under intense ones."""
    parts = []
    noise = np.random.default_rng(0)
    for scene, seconds in plan:
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        if scene in INTENSE:
            beat = np.exp(-12 * (t % 0.25))
            parts.append(0.5 * beat * noise.standard_normal(len(t)) * 0.5 + 0.3 * np.sign(np.sin(2 * np.pi * 220 * t)) * beat)
        else:
            parts.append(0.03 * np.sin(2 * np.pi * 220 * t))
    return np.concatenate(parts).clip(-1, 1)


def click_sound(seconds: float, times_s: Sequence[float]) -> np.ndarray:
    """Silence with a click of 5 ms at each time."""
    sound = np.zeros(round(seconds * RATE_HZ))
    for time_s in times_s:
        start = round(time_s * RATE_HZ)
        sound[start : start + RATE_HZ // 200] = 0.9
    return sound


def write_wav(path: Path, sound: np.ndarray, channels: int = 1) -> Path:
    """Write float sound as 16-bit PCM: mono, the same in every channel, or (n, channels)."""
    if sound.ndim == 1:
        sound = np.repeat(sound[:, None], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


def encode(
    path: Path,
    frames: Sequence[Frame] | Callable[[int], Frame],
    count: int,
    rate: Fraction = Fraction(30),
    sound: np.ndarray | None = None,
    params: Sequence[str] = ("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-pix_fmt", "yuv420p"),
    channels: int = 1,
) -> Path:
    """Encode RGB frames (and mono sound) to a file with ffmpeg.

    Args:
        path: the target; its suffix chooses the container.
        frames: a sequence, or a function of the frame number.
        count: number of frames.
        rate: frame rate.
        sound: float (n,) at RATE_HZ.
        params: encoder options; `-vf` and the like go here too.
        channels: of the sound.
    """
    frame_at = frames if callable(frames) else frames.__getitem__
    first = frame_at(0)
    command = [ffmpeg.executable(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{first.shape[1]}x{first.shape[0]}", "-r", f"{rate.numerator}/{rate.denominator}", "-i", "pipe:0"]
    wav = path.with_name(f".{path.name}.wav")
    if sound is not None:
        command += ["-i", str(write_wav(wav, sound, channels))]
    command += [*params, str(path)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        for number in range(count):
            process.stdin.write(np.ascontiguousarray(frame_at(number)).tobytes())
        process.stdin.close()
        if process.wait(120):
            raise RuntimeError(f"ffmpeg failed to draw {path}")
    finally:
        wav.unlink(missing_ok=True)
    return path


def run_ffmpeg(*arguments: object) -> None:
    """Plain ffmpeg, for what a test does to a file before the product sees it."""
    subprocess.run([ffmpeg.executable(), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=300)


def decode_audio(path: Path) -> np.ndarray:
    """The audio of a file as a player decodes it: float32 (n, 2) at RATE_HZ, decoded without any option."""
    command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0", "-ar", str(RATE_HZ), "-ac", "2"]
    done = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True, timeout=300)
    return np.frombuffer(done.stdout, "<f4").reshape(-1, 2)


def draw_scenes(
    path: Path,
    plan: Sequence[tuple[str, float]],
    size: tuple[int, int] = (320, 180),
    rate: Fraction = Fraction(30),
    with_sound: bool = True,
    **options: object,
) -> Path:
    """Draw a video of scenes, each (name, seconds), every frame stamped with its number."""
    ends = np.cumsum([seconds for _, seconds in plan])
    count = round(Fraction(str(float(ends[-1]))) * rate)

    def frame_at(number: int) -> Frame:
        time_s = float(number / rate)
        place = min(int(np.searchsorted(ends, time_s + 1e-9, side="right")), len(plan) - 1)
        return stamp(SCENES[plan[place][0]](size, time_s), number)

    return encode(path, frame_at, count, rate, scene_sound(plan) if with_sound else None, **options)  # type: ignore[arg-type]


def draw_flashes(path: Path, seconds: int, rate: Fraction, size: tuple[int, int] = (160, 90), **options: object) -> Path:
    """A dark, stamped video with a white flash of one frame and a click at (about) every full second."""
    count = int(seconds * rate)
    flashes = [round(second * rate) for second in range(seconds)]

    def frame_at(number: int) -> Frame:
        return stamp(np.full((size[1], size[0], 3), 255 if number in flashes else 16, np.uint8), number)

    clicks = [float(number / rate) for number in flashes]
    return encode(path, frame_at, count, rate, click_sound(seconds, clicks), **options)  # type: ignore[arg-type]
