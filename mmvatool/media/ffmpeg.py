"""The one place that runs ffmpeg: commands composed with ffmpeg-python, run as argument lists with a time limit.

The binary is imageio-ffmpeg's (or the one IMAGEIO_FFMPEG_EXE names), the same that moviepy uses. It brings no ffprobe.
"""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg

from mmvatool.errors import EngineError, MediaError

LEAST_VERSION = 7  # the first that takes bitstream filters for its inputs
RUN_LIMIT_S = 3600.0
STALL_LIMIT_S = 120.0
_LEVEL = re.compile(r"^((?:\[[^]]* @ [^]]*\] )*)\[(?:error|fatal|panic)\] ")
# Lines that are no complaints. What follows such a line without a level of its own, the rest of a table, is indented or empty.
_NEWS = re.compile(r"(?:\[[^]]* @ [^]]*\] )*\[(?:info|verbose|debug|trace|warning)\] |  |$")
PIPE_BYTES = 1 << 20  # a frame of 1080p is 6 MB: fewer turns than with the usual 64 KiB


class FFmpegError(MediaError):
    """ffmpeg failed; `stderr` is all that it said."""

    def __init__(self, path: Path, stderr: str) -> None:
        super().__init__(path, f"ffmpeg failed: {last_words(stderr)}")
        self.stderr = stderr


@dataclass(frozen=True)
class Output:
    """What a finished ffmpeg said."""

    stdout: bytes
    stderr: str


@cache
def executable() -> str:
    """Path of the ffmpeg binary.

    Raises:
        EngineError: it cannot be run, is something else, or older than LEAST_VERSION.
    """
    path = str(imageio_ffmpeg.get_ffmpeg_exe())
    # What comes with imageio-ffmpeg is new enough.
    if Path(path).parent != Path(imageio_ffmpeg.__file__).parent / "binaries":
        cure = f"name ffmpeg {LEAST_VERSION}.0 or newer by IMAGEIO_FFMPEG_EXE" + (
            ", or unset it" if "IMAGEIO_FFMPEG_EXE" in os.environ else ""
        )
        try:
            said = subprocess.run([path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=STALL_LIMIT_S).stdout.decode()
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise EngineError(f"{path}: cannot be run as ffmpeg ({error}): {cure}") from error
        if "ffmpeg version" not in said:
            raise EngineError(f"{path}: is not ffmpeg: {cure}")
        version = re.search(r"ffmpeg version n?(\d+)\.", said)  # one that was built from the newest source has none
        if version and int(version[1]) < LEAST_VERSION:
            raise EngineError(f"{path}: is ffmpeg {version[1]}, which cannot drop packets before it decodes: {cure}")
    return path


def source(path: Path, **options: Any) -> Any:
    """An ffmpeg-python input node."""
    return ffmpeg.input(name(path), **options)


def name(path: Path) -> str | bytes:
    """What ffmpeg-python takes for a file. The `file:` protocol keeps names like `-x.mp4` or `a:b.mp4` from meaning something else."""
    text = f"file:{path.absolute()}"
    try:
        text.encode()
    except UnicodeEncodeError:
        # ffmpeg-python hashes names as UTF-8, which a name with undecodable bytes is not: it gets the bytes themselves.
        return os.fsencode(text)
    return text


def samples(rate_hz: int, channels: int) -> Any:
    """An ffmpeg-python input node of raw float32 sound that `feed` writes."""
    return ffmpeg.input("pipe:", format="f32le", ar=rate_hz, ac=channels)


def join(streams: Sequence[Any], target: Path, **options: Any) -> Any:
    """An ffmpeg-python output node that takes streams of several inputs."""
    return ffmpeg.output(*streams, filename=name(target), **options)


def pipe(streams: Sequence[Any], **options: Any) -> Any:
    """An ffmpeg-python output node that takes several streams to stdout."""
    return ffmpeg.output(*streams, "pipe:", **options)


def run(node: Any, path: Path, *, log: str = "error", limit_s: float = RUN_LIMIT_S, beside: Path | None = None) -> Output:
    """Run a composed command to its end.

    Args:
        node: an ffmpeg-python output node; data goes to `pipe:`.
        path: the file an error should name.
        log: ffmpeg's log level.
        limit_s: seconds after which it is killed.
        beside: one more input, after all others, of which no stream is taken: ffmpeg-python knows none such.

    Raises:
        FFmpegError: ffmpeg failed; the message ends with its own last words.
        MediaError: it ran past the limit.
    """
    try:
        done = subprocess.run(_command(node, log, beside), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise MediaError(path, f"ffmpeg did not finish within {limit_s:.0f} s: the file may be damaged") from error
    stderr = done.stderr.decode(errors="replace")
    if done.returncode:
        raise FFmpegError(path, stderr)
    return Output(done.stdout, stderr)


def color(size: tuple[int, int], rate: Fraction) -> Any:
    """An ffmpeg-python input node of black frames without end."""
    return ffmpeg.input(f"color=black:s={size[0]}x{size[1]}:r={rate.numerator}/{rate.denominator}", format="lavfi")


def feed(node: Any, pieces: Iterable[bytes], path: Path) -> None:
    """Run a composed command that reads its stdin, and write to that what `pieces` yields.

    Args:
        node: an ffmpeg-python output node; its input is `pipe:`.
        pieces: the data, made while ffmpeg works.
        path: the file an error should name.

    Raises:
        FFmpegError: ffmpeg failed.
        MediaError: it did not end within STALL_LIMIT_S seconds after the last of the data.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            _command(node, "error"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, pipesize=PIPE_BYTES
        )
        assert process.stdin is not None
        try:
            # An ffmpeg that ends before the data do has said why.
            with suppress(BrokenPipeError):
                for piece in pieces:
                    process.stdin.write(piece)
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(STALL_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise MediaError(path, f"ffmpeg did not finish within {STALL_LIMIT_S:.0f} s: is the disk full?") from error
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            errors.seek(0)
            raise FFmpegError(path, errors.read().decode(errors="replace"))


@contextmanager
def stream(node: Any, path: Path, *, log: str = "error") -> Iterator["Reader"]:
    """Run a composed command and read its stdout while it works; leaving the block ends it. `log` is ffmpeg's log level.

    Raises:
        MediaError: no data for STALL_LIMIT_S seconds (raised by the read).
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            _command(node, f"level+{log}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, pipesize=PIPE_BYTES
        )
        assert process.stdout is not None
        try:
            yield Reader(process, process.stdout, errors, path)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def lines(node: Any, path: Path) -> Iterator[bytes]:
    """Run a composed command and give its stdout line by line while it works.

    Raises:
        FFmpegError: ffmpeg failed.
        MediaError: no data for STALL_LIMIT_S seconds, or it was killed from outside.
    """
    with stream(node, path) as reader:
        rest = b""
        while data := reader.read(PIPE_BYTES):
            *whole, rest = (rest + data).split(b"\n")
            yield from whole
        if rest:
            yield rest
        reader.finish()
        if reader.failed:
            raise FFmpegError(path, reader.errors())


class Reader:
    """Reads whole pieces from a running ffmpeg."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: IO[bytes], errors: IO[bytes], path: Path) -> None:
        self._process, self._stdout, self._errors, self._path = process, stdout, errors, path

    def read(self, size: int) -> bytes:
        """Up to `size` bytes: fewer only at the end of the data."""
        stalled = threading.Event()

        def give_up() -> None:
            stalled.set()
            self._process.kill()

        timer = threading.Timer(STALL_LIMIT_S, give_up)
        timer.daemon = True  # one that an interrupt left behind must not keep the program from ending
        timer.start()
        try:
            data = self._stdout.read(size)
        finally:
            timer.cancel()
        if stalled.is_set():
            raise MediaError(self._path, f"ffmpeg gave nothing for {STALL_LIMIT_S:.0f} s: the file may be damaged")
        return data

    def finish(self) -> None:
        """Wait for ffmpeg to end, at the end of the data.

        Raises:
            MediaError: it was killed from outside, so that the data are only a part.
        """
        self._process.wait()
        if self._process.returncode < 0:
            number = -self._process.returncode
            raise MediaError(self._path, f"ffmpeg was killed by signal {number} while reading it (out of memory?): try again")

    @property
    def failed(self) -> bool:
        """Whether ffmpeg ended with an error; to be asked after `finish`."""
        return bool(self._process.returncode)

    def errors(self) -> str:
        """What ffmpeg has complained of so far; waits for it to end, so read to the end of the data first."""
        return "\n".join(_LEVEL.sub(r"\1", line) for line in self.said().splitlines() if not _NEWS.match(line))

    def said(self) -> str:
        """All that ffmpeg has said on stderr so far, each line with its level; waits for it to end, as `errors` does."""
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


def last_words(stderr: str) -> str:
    """The line of ffmpeg's stderr that says most: the last that is not a consequence of an earlier one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    noise = ("Error opening input file", "Conversion failed", "Error opening output file")
    telling = [line for line in lines if not line.startswith(noise)] or lines or ["no message"]
    return re.sub(r"^(\[[^]]*\] )+(Error opening input: )?", "", telling[-1])


def _command(node: Any, log: str, beside: Path | None = None) -> list[str]:
    # -copyts: without it ffmpeg counts MPEG-TS from the first packet of the stream that is read, sound and picture apart.
    command = list(ffmpeg.compile(node, cmd=[executable(), "-nostdin", "-hide_banner", "-copyts", "-loglevel", log], overwrite_output=True))
    if beside is not None:
        past = len(command) - command[::-1].index("-i") + 1
        command[past:past] = ["-i", f"file:{beside.absolute()}"]
    return command
