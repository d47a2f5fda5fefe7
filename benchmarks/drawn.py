"""The files that speed is measured on: 1080p30 H.264 of at least 8 Mb/s with sound, and a folder of music; drawn once, then repeated.

A minute of drawn scenes, three to nine seconds each, enlarged and with noise, is encoded as cameras do: CABAC, B-frames, deblocking. The
longer files repeat its packets.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvatool.media.probe import probe
from tests.helpers.media import RATE_HZ, SCENES, draw_scenes, run_ffmpeg, write_wav

SIZE = (1920, 1080)
RATE = Fraction(30)
UNIT_S = 60
LEAST_BITS_A_SECOND = 8e6
GOPS = {"keyframe a second": 30, "250-frame GOPs": 250}
TRACKS, TRACK_S = 24, 200


def video(folder: Path, gop: str, minutes: int) -> Path:
    """A file with the keys of GOPS.

    Raises:
        RuntimeError: it came out with fewer bits than promised.
    """
    path = folder / f"{GOPS[gop]}-{minutes}.mp4"
    if not path.exists():
        unit = _unit(folder, gop)
        run_ffmpeg("-stream_loop", minutes - 1, "-i", unit, "-c", "copy", "-movflags", "+faststart", path)
        info = probe(path)
        if path.stat().st_size * 8 / info.duration_s < LEAST_BITS_A_SECOND or info.rate != RATE:
            raise RuntimeError(f"{path.name} has only {path.stat().st_size * 8 / info.duration_s / 1e6:.1f} Mb/s")
    return path


def _unit(folder: Path, gop: str) -> Path:
    path = folder / f"unit-{GOPS[gop]}.mp4"
    if path.exists():
        return path
    picture = folder / "drawn.mp4"
    if not picture.exists():
        random = np.random.default_rng(0)
        lengths: list[float] = []
        while sum(lengths) < UNIT_S:
            lengths.append(min(float(random.integers(3, 10)), UNIT_S - sum(lengths)))
        names = list(SCENES)
        plan = [(names[number % len(names)], length) for number, length in enumerate(lengths)]
        draw_scenes(picture, plan, (480, 270), RATE)
    scaled = f"scale={SIZE[0]}:{SIZE[1]}:flags=bicubic,noise=alls=9:allf=t"
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "9M", "-minrate", "8500k", "-maxrate", "10M", "-bufsize", "10M")
    keys = ("-g", GOPS[gop], "-keyint_min", GOPS[gop], "-sc_threshold", 0, "-bf", 2, "-pix_fmt", "yuv420p")
    run_ffmpeg("-i", picture, "-vf", scaled, *codec, *keys, "-c:a", "aac", "-b:a", "128k", path)
    return path


def music(folder: Path, tracks: int = TRACKS) -> Path:
    """A folder of tracks of TRACK_S seconds, mp3 as libraries mostly are, each of chords and a beat of its own."""
    target = folder / f"music-{tracks}"
    if not target.exists():
        partial = folder / "music.part"
        partial.mkdir(exist_ok=True)
        t = np.arange(TRACK_S * RATE_HZ) / RATE_HZ
        for number in range(tracks):
            tone = 110 * 2 ** (number / 12)
            beat = np.exp(-(4 + number % 5) * (t * (60 + 5 * number) / 60 % 1))
            sound = 0.2 * np.sin(2 * np.pi * tone * t) + 0.15 * np.sin(2 * np.pi * 1.5 * tone * t) * beat
            wav = write_wav(partial / "track.wav", sound, channels=2)
            run_ffmpeg("-i", wav, "-c:a", "libmp3lame", "-b:a", "192k", partial / f"track {number:02d}.mp3")
            wav.unlink()
        partial.rename(target)
    return target
