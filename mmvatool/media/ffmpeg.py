"""Runs ffmpeg: commands composed with ffmpeg-python, run as argument lists with a time limit. Nothing else runs it.

The binary is imageio-ffmpeg's (or the one IMAGEIO_FFMPEG_EXE names), the same that moviepy uses. Headers and packets are read by PyAV: `headers`, `packets`.
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
from trainer import libav_options

LEAST_VERSION = 7  # the first that takes bitstream filters for its inputs
RUN_LIMIT_S = 3600.0
STALL_LIMIT_S = 120.0
_LEVEL = re.compile(r"^((?:\[[^]]* @ [^]]*\] )*)\[(?:error|fatal|panic)\] ")
# Lines that report no error. Further lines of such a message, the rest of a table, have no level of their own: they are indented or empty.
_NOT_ERRORS = re.compile(r"(?:\[[^]]* @ [^]]*\] )*\[(?:info|verbose|debug|trace|warning)\] |  |$")
# A line of a filter, or of the graph that cannot be built of them.
_OF_A_FILTER = re.compile(r"^\[(?:Parsed_|auto_).*$|^\[.*(?:Impossible to convert between|reinitializing filters).*$", re.MULTILINE)
PIPE_BYTES = 1 << 20  # a frame of 1080p is 6 MB: fewer system calls than with the usual 64 KiB


class FFmpegError(MediaError):
    """ffmpeg failed; `stderr` is all of its output there."""

    def __init__(self, path: Path, stderr: str) -> None:
        super().__init__(path, f"ffmpeg failed: {last_error(stderr)}")
        self.stderr = stderr


@dataclass(frozen=True)
class Output:
    """The output of a finished ffmpeg."""

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
            printed = subprocess.run(
                [path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=STALL_LIMIT_S
            ).stdout.decode()
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise EngineError(f"{path}: cannot be run as ffmpeg ({error}): {cure}") from error
        if "ffmpeg version" not in printed:
            raise EngineError(f"{path}: is not ffmpeg: {cure}")
        version = re.search(r"ffmpeg version n?(\d+)\.", printed)  # builds of the development branch have none
        if version and int(version[1]) < LEAST_VERSION:
            raise EngineError(f"{path}: is ffmpeg {version[1]}, which cannot drop packets before it decodes: {cure}")
    return path


def source(path: Path, **options: Any) -> Any:
    """An ffmpeg-python input node, of a file that opens no others unless `options` allow it."""
    return ffmpeg.input(url(path), **{**libav_options(), **options})


def url(path: Path) -> str | bytes:
    """The URL of a file for ffmpeg-python. Without the `file:` protocol `-x.mp4` would be an option and `a:b.mp4` a protocol."""
    text = f"file:{path.absolute()}"
    try:
        text.encode()
    except UnicodeEncodeError:
        # ffmpeg-python hashes names as UTF-8, which fails for a name with undecodable bytes: it gets the bytes themselves.
        return os.fsencode(text)
    return text


def raw_audio(rate_hz: int, channels: int) -> Any:
    """An ffmpeg-python input node of raw float32 audio on stdin, see `feed`."""
    return ffmpeg.input("pipe:", format="f32le", ar=rate_hz, ac=channels)


def output(streams: Sequence[Any], target: Path, **options: Any) -> Any:
    """An ffmpeg-python output node that writes streams of several inputs to a file."""
    return ffmpeg.output(*streams, filename=url(target), **options)


def output_to_pipe(streams: Sequence[Any], **options: Any) -> Any:
    """An ffmpeg-python output node that writes several streams to stdout."""
    return ffmpeg.output(*streams, "pipe:", **options)


def run(node: Any, path: Path, *, log: str = "error", limit_s: float = RUN_LIMIT_S, extra_input: Path | None = None) -> Output:
    """Run a composed command to its end.

    Args:
        node: an ffmpeg-python output node; data goes to `pipe:`.
        path: the file an error should name.
        log: ffmpeg's log level.
        limit_s: seconds after which it is killed.
        extra_input: one more input, after all others, of which no stream is mapped: ffmpeg-python leaves such an input out.

    Raises:
        FFmpegError: ffmpeg failed; the message ends with its own last error.
        MediaError: it ran past the limit.
    """
    try:
        completed = subprocess.run(_command(node, log, extra_input), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise MediaError(path, f"ffmpeg did not finish within {limit_s:.0f} s: the file may be damaged") from error
    stderr = completed.stderr.decode(errors="replace")
    if completed.returncode:
        raise FFmpegError(path, stderr)
    return Output(completed.stdout, stderr)


def black(size: tuple[int, int], rate: Fraction) -> Any:
    """An ffmpeg-python input node of endless black frames."""
    return ffmpeg.input(f"color=black:s={size[0]}x{size[1]}:r={rate.numerator}/{rate.denominator}", format="lavfi")


def feed(node: Any, pieces: Iterable[bytes], path: Path) -> None:
    """Run a composed command and write `pieces` to its stdin.

    Args:
        node: an ffmpeg-python output node; its input is `pipe:`.
        pieces: the data, produced while ffmpeg runs.
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
            # An ffmpeg that ends before the data do has reported why on stderr.
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
    """Run a composed command and read its stdout while it runs; leaving the block ends it. `log` is ffmpeg's log level.

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
    """Run a composed command and yield its stdout line by line while it runs.

    Raises:
        FFmpegError: ffmpeg failed.
        MediaError: no data for STALL_LIMIT_S seconds, or it was killed from outside.
    """
    with stream(node, path) as reader:
        rest = b""
        while data := reader.read(PIPE_BYTES):
            *complete, rest = (rest + data).split(b"\n")
            yield from complete
        if rest:
            yield rest
        reader.finish()
        if reader.failed:
            raise FFmpegError(path, reader.errors())


class Reader:
    """Reads blocks of a given size from a running ffmpeg."""

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
        """Whether ffmpeg ended with an error; valid after `finish`."""
        return bool(self._process.returncode)

    def errors(self) -> str:
        """The errors on stderr, without their levels; waits for ffmpeg to end, so read to the end of the data first."""
        return "\n".join(_LEVEL.sub(r"\1", line) for line in self.stderr().splitlines() if not _NOT_ERRORS.match(line))

    def stderr(self) -> str:
        """All of stderr, each line with its level; waits for ffmpeg to end, as `errors` does."""
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


def last_error(stderr: str) -> str:
    """The most specific line of ffmpeg's stderr: that of a filter, else the last that is not a consequence of an earlier one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    noise = ("Error opening input file", "Conversion failed", "Error opening output file")
    specific = [line for line in lines if not line.startswith(noise)] or lines or ["no message"]
    return filter_error(stderr) or _without_names(specific[-1])


def filter_error(stderr: str) -> str | None:
    """What the first filter to fail printed, None if none did: what it was handed was decoded, and is not damaged."""
    found = _OF_A_FILTER.search(stderr)
    return _without_names(found[0]) if found else None


def _without_names(line: str) -> str:
    return re.sub(r"^(\[[^]]*\] )+(Error opening input: )?", "", line.strip())


def _command(node: Any, log: str, extra_input: Path | None = None) -> list[str]:
    # -copyts: without it ffmpeg counts MPEG-TS from the first packet of the stream that is read, audio and video apart.
    command = list(ffmpeg.compile(node, cmd=[executable(), "-nostdin", "-hide_banner", "-copyts", "-loglevel", log], overwrite_output=True))
    if extra_input is not None:
        position = len(command) - command[::-1].index("-i") + 1  # behind the last input
        command[position:position] = ["-f", "ffmetadata", "-i", f"file:{extra_input.absolute()}"]
    return command
