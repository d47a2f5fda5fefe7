"""Render MIDI files with fluidsynth, run as an argument list, with limits on time and size."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from trainer.data.files import read_sound
from trainer.errors import DataError

RATE_HZ = 44_100
"""Rendered at a higher rate and resampled by ffmpeg, which filters aliases; fluidsynth does not."""
GAIN = "0.5"
"""The same for every piece, as loudness is part of the expression."""
SILENT = 1e-3
"""Amplitude (-60 dBFS) below which the reverberation at the end is cut off."""

TAIL_S = 60.0
"""The longest accepted decay of notes that the file does not end."""

_FONT_FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
    "~/.local/share/soundfonts",
)
_FONTS = ("FluidR3_GM.sf2", "FluidR3_GM2-2.sf2", "default-GM.sf2", "default.sf2", "TimGM6mb.sf2", "GeneralUser GS.sf2")
_CURE = "get the file again or leave the piece out"


def executable() -> str:
    """Path of the fluidsynth program.

    Raises:
        DataError: it is not installed.
    """
    if program := shutil.which("fluidsynth"):
        return program
    raise DataError(
        "fluidsynth: not installed, and MIDI files cannot be rendered without it; install it (Debian: apt install fluidsynth "
        "fluid-soundfont-gm; macOS: brew install fluid-synth)"
    )


def find_soundfont(named: str | Path | None = None) -> Path:
    """The given soundfont, or a General MIDI one from the usual folders.

    Raises:
        DataError: there is none, or the given file is not a soundfont.
    """
    if named is None:
        folders = [Path(folder).expanduser() for folder in _FONT_FOLDERS]
        fonts = [folder / name for name in _FONTS for folder in folders if (folder / name).is_file()]
        if fonts:
            return fonts[0]
        raise DataError(
            f"no General MIDI soundfont in {', '.join(_FONT_FOLDERS)}; install one (Debian: apt install fluid-soundfont-gm) or name a "
            ".sf2 file with --soundfont"
        )
    path = Path(named)
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise DataError(f"{path}: no such soundfont ({error.strerror}); name a .sf2 file with --soundfont") from error
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise DataError(f"{path}: not a soundfont; name a .sf2 file with --soundfont")
    return path


def key(soundfont: Path) -> str:
    """What a rendered sound depends on besides the MIDI file."""
    with soundfont.open("rb") as content:
        return f"{hashlib.file_digest(content, 'sha256').hexdigest()} {RATE_HZ} {GAIN}"


def render(midi: Path, soundfont: Path, expected_s: float, rate_hz: int, *, limit_s: float | None = None) -> np.ndarray:
    """Render a MIDI file with a soundfont.

    fluidsynth is killed if it exceeds a limit, as with broken files; its output is deleted.

    Args:
        midi: a Standard MIDI File.
        soundfont: a .sf2 file.
        expected_s: length of the piece; the limit on the output is half as much again and `TAIL_S`.
        rate_hz: sample rate of the result.
        limit_s: time limit in seconds; None for a minute plus the length of the piece.

    Returns:
        float32 (n,) mono in [-1, 1] without the silence at the end, n > 0.

    Raises:
        DataError: not MIDI, fluidsynth failed or exceeded a limit, or the result is silent.
    """
    try:
        with midi.open("rb") as file:
            if file.read(4) != b"MThd":
                raise DataError(f"{midi}: not a MIDI file; {_CURE}")
    except OSError as error:
        raise DataError(f"{midi}: no such MIDI file ({error.strerror}); put it there or leave the piece out") from error
    limit_s = 60.0 + expected_s if limit_s is None else limit_s
    limit_bytes = round((expected_s * 1.5 + TAIL_S) * RATE_HZ * 4)
    with tempfile.TemporaryDirectory(prefix="mmvatool-", ignore_cleanup_errors=True) as folder:
        wav, log = Path(folder) / "render.wav", Path(folder) / "log"
        # Without -f it would read the user's settings; absolute paths cannot be mistaken for options.
        command = [executable(), "-n", "-i", "-q", "-f", os.devnull, "-g", GAIN, "-r", str(RATE_HZ), "-T", "wav", "-O", "s16"]
        command += ["-F", str(wav), str(soundfont.absolute()), str(midi.absolute())]
        code = _run_limited(command, (wav, log), log, midi, limit_s, limit_bytes)
        lines = log.read_text(errors="replace").splitlines()
        message = next((line.strip() for line in lines if "error" in line.lower()), f"exit code {code}")[:200]
        if code or not wav.is_file():
            raise DataError(f"{midi}: fluidsynth cannot render it ({message}); {_CURE}")
        sound = read_sound(wav, rate_hz)
    audible = np.flatnonzero(np.abs(sound) > SILENT)
    if not len(audible):
        raise DataError(f"{midi}: the result is silent ({message}); {_CURE}")
    return sound[: audible[-1] + 1]


def _run_limited(command: list[str], outputs: tuple[Path, ...], log: Path, midi: Path, limit_s: float, limit_bytes: int) -> int:
    """Run a command to its end or its limit; the exit code."""
    with log.open("wb") as lines:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=lines, stderr=lines)
    began = time.monotonic()
    try:
        while True:
            try:
                return process.wait(0.05)
            except subprocess.TimeoutExpired:
                written = sum(path.stat().st_size for path in outputs if path.exists())
                if written > limit_bytes:
                    raise DataError(
                        f"{midi}: fluidsynth was stopped after {written >> 20} MB, more than the piece can take; {_CURE}"
                    ) from None
                if time.monotonic() - began > limit_s:
                    raise DataError(f"{midi}: fluidsynth was stopped after {limit_s:g} s without an end; {_CURE}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
