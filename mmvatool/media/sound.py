"""Decodes the sound of a file by PyAV, in a layout and at a rate of one's choice, whatever they change to in mid-stream.

ffmpeg builds its filters anew where the format of the sound changes, and what they count (samples, time, loudness) begins anew with them. Here
only conversions are built anew; what counts stays.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmvatool.errors import MediaError
from mmvatool.media import headers, layouts, packets

# How far sound may drift from its timestamps before it is padded with silence or trimmed: below the 40 ms of lip sync, above the jitter
# of coarse container clocks.
MAX_SLIP_S = 0.030
SILENCE_SAMPLES = 1 << 16
BLOCK_SAMPLES = 1 << 14  # that filters are given at once: codecs decode some hundreds at a time
# Their demuxers pass over damage without an error; but by their times, which are counts of samples, it shows.
GAPLESS = ("ogg", "flac")
SAMPLE_FORMATS = {"<i2": "s16", "<f4": "flt"}


@dataclass
class Heard:
    """What was met while sound was decoded: samples; layouts by libav's names, of the `spans_s` only where they are given; the last error, and
    how many there were.

    `levels`, where it is given, receives the momentary loudness (400 ms) in LUFS, every 100 ms, over all channels as they are in the file.
    """

    samples: int = 0
    layouts: list[str] = field(default_factory=list)
    spans_s: list[tuple[float, float]] | None = None
    error: str = ""
    errors: int = 0
    levels: list[float] | None = None

    def meet(self, frame: Any, start_s: float) -> None:
        """Note a frame that begins at a time."""
        self.samples += frame.samples
        end_s = start_s + frame.samples / frame.sample_rate
        if frame.layout.name not in self.layouts and (
            self.spans_s is None or any(start_s < stop_s and first_s < end_s for first_s, stop_s in self.spans_s)
        ):
            self.layouts.append(frame.layout.name)

    def fail(self, error: str | None) -> None:
        """Note an error."""
        self.error, self.errors = error or "unknown error", self.errors + 1


def read(
    path: Path, index: int, rate_hz: int, layout: str, heard: Heard, *, dtype: str = "<i2", origin_s: float | None = None
) -> Generator[np.ndarray]:
    """The sound of a stream in pieces, to the end of what can be decoded; damaged packets are left out.

    Args:
        path: the file.
        index: the number of the stream.
        rate_hz: rate to resample to.
        layout: layout to mix to, by libav's name; "4 channels" for channels as they come. int16 is scaled so that nothing clips.
        heard: receives what was met so far.
        dtype: "<i2", or "<f4", in which nothing clips beyond 1.
        origin_s: time of the first sample on the container's clock: there is silence where no sound is at a time. None counts samples alone,
            as in recordings joined byte by byte, where timestamps start anew.

    Yields:
        (n, channels), one after the other.
    """
    channels = layouts.channels(layout)
    position = drop = 0  # samples so far; how many of the next are for a time that is over
    run: _Run | None = None
    base: str | None = None

    def converted(frames: Iterator[Any]) -> Iterator[np.ndarray]:
        nonlocal position, drop
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1, channels)
            position += len(samples)
            dropped = min(drop, len(samples))
            drop -= dropped
            position -= dropped
            if dropped < len(samples):
                yield samples[dropped:]

    for frame in decode(path, index, heard):
        base = base or frame.layout.name
        start_s = None if origin_s is None or frame.pts is None else float(frame.pts * frame.time_base) - origin_s
        slipped = start_s is not None and (run is None or abs(start_s - run.end_s) > MAX_SLIP_S)
        if run is None or slipped or not run.takes(frame):
            if run:
                yield from converted(run.finish())
            end_s = run.end_s if run else 0.0
            run = _Run(
                frame, _conversion(frame.layout, base, layout, rate_hz, dtype), start_s if slipped and start_s is not None else end_s, heard
            )
        heard.meet(frame, run.end_s)
        if slipped and start_s is not None:
            missing = round(start_s * rate_hz) - position
            drop = max(0, -missing)
            while missing > 0:
                count = min(missing, SILENCE_SAMPLES)
                position += count
                missing -= count
                yield np.zeros((count, channels), dtype)
        yield from converted(run.push(frame))
    if run:
        yield from converted(run.finish())


def decode(path: Path, index: int, heard: Heard) -> Iterator[Any]:
    """The decoded frames of a stream; packets that do not decode are left out, all of them where the file cannot be opened (any more)."""
    with ExitStack() as stack:
        try:
            container = stack.enter_context(headers.opened(path))
        except MediaError as error:
            heard.fail(error.problem)
            return
        stream = container.streams[index]
        decoder = stream.codec_context
        if decoder is None:
            heard.fail("no decoder")
            return
        read = packets.demux(container, [stream])
        gapless = container.format.name in GAPLESS
        end_s: float | None = None
        ended = False
        while not ended:
            try:
                packet = next(read, None)
            except av.FFmpegError as error:
                heard.fail(error.strerror)
                packet = None
            ended = packet is None
            if packet is not None and packet.is_corrupt:
                heard.fail("a damaged packet")
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:
                heard.fail(error.strerror)
                continue
            for frame in frames:
                if not frame.samples or not frame.sample_rate:
                    continue
                if frame.sample_rate not in headers.RATES_HZ:
                    heard.fail(f"{frame.sample_rate} samples a second")
                    continue
                if gapless and frame.pts is not None:
                    start_s = float(frame.pts * frame.time_base)
                    if end_s is not None and start_s > end_s + MAX_SLIP_S:
                        heard.fail(f"{start_s - end_s:.1f} s are missing")
                    end_s = start_s + frame.samples / frame.sample_rate
                yield frame


class _Run:
    """Sound of one format without a gap on its way through filters; `end_s` is the time of the next sample."""

    def __init__(self, frame: Any, conversion: list[tuple[str, str]], start_s: float, heard: Heard) -> None:
        self._format = _format(frame)
        self._start_s, self._samples = start_s, 0
        self._conversion = _Filters(frame, conversion)
        self._meter = None if heard.levels is None else _Filters(frame, [("ebur128", "metadata=1:framelog=quiet")])
        self._heard = heard
        self._waiting = av.AudioFifo()

    @property
    def end_s(self) -> float:
        return self._start_s + self._samples / self._format[0]

    def takes(self, frame: Any) -> bool:
        """Whether a frame has the format of those before."""
        return _format(frame) == self._format

    def push(self, frame: Any) -> Iterator[Any]:
        frame.pts = None  # filters count from the start of the run
        self._samples += frame.samples
        self._waiting.write(frame)
        if self._waiting.samples >= BLOCK_SAMPLES:
            yield from self._through(self._waiting.read())

    def finish(self) -> Iterator[Any]:
        """What waits, and what filters still hold."""
        if self._waiting.samples:
            yield from self._through(self._waiting.read(partial=True))
        yield from self._through(None)

    def _through(self, frame: Any) -> Iterator[Any]:
        self._measure(frame)
        return self._conversion.push(frame)

    def _measure(self, frame: Any) -> None:
        if self._meter and self._heard.levels is not None:
            measured = (frame.metadata.get("lavfi.r128.M") for frame in self._meter.push(frame))  # a shorter last part has none
            self._heard.levels += [float(level) for level in measured if level]


class _Filters:
    """A chain of filters for frames of one format."""

    def __init__(self, frame: Any, filters: list[tuple[str, str]]) -> None:
        self._graph = av.filter.Graph()
        rate_hz, layout, sample_format = _format(frame)
        given = f"channels={frame.layout.nb_channels}" if layout.endswith(" channels") else f"channel_layout={layout}"
        self._source = self._graph.add("abuffer", f"time_base=1/{rate_hz}:sample_rate={rate_hz}:sample_fmt={sample_format}:{given}")
        self._sink = self._graph.add("abuffersink")
        self._graph.link_nodes(self._source, *(self._graph.add(name, options) for name, options in filters), self._sink).configure()

    def push(self, frame: Any) -> Iterator[Any]:
        """What comes out once a frame is put in; None ends the stream."""
        self._source.push(frame)
        while True:
            try:
                yield self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return


def _format(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _conversion(source: Any, base: str, layout: str, rate_hz: int, dtype: str) -> list[tuple[str, str]]:
    """The filters that resample and mix sound of a layout, where that of the first frame was `base`."""
    given, channels = source.name, layouts.channels(layout)
    filters: list[tuple[str, str]] = []
    if not layouts.placed(given):
        if channels != source.nb_channels:
            filters.append(("pan", _by_number(source.nb_channels, layout, channels)))
    elif layout == "mono":
        # Scaled so that it cannot clip, sound is softer the more channels it has: mixed to one layout before, unscaled, all of it is equally loud.
        if given != base and layouts.placed(base):
            filters += _mixed(given, "stereo" if base == "mono" else base)
    elif given == "mono" or given != base or channels > 2:
        filters += _mixed(given, layout)
    filters.append(("aresample", str(rate_hz)))
    known = f":channel_layouts={layout}" if layouts.placed(layout) and layouts.placed(given) else ""
    return [*filters, ("aformat", f"sample_fmts={SAMPLE_FORMATS[dtype]}:sample_rates={rate_hz}{known}")]


def _mixed(given: str, layout: str) -> list[tuple[str, str]]:
    """The filter that mixes to another layout, unscaled, if one is needed.

    Channels that the other has as well stay as loud as they are. swresample would play mono 3 dB softer on two loudspeakers, and sides for
    backs mixed with others.
    """
    if given == layout:
        return []
    sources = layouts.copied(given, layout)
    if sources is None:
        return [("aformat", f"sample_fmts=fltp:channel_layouts={layout}")]
    parts = [f"c{channel}=c{source}" for channel, source in enumerate(sources) if source is not None]
    return [("pan", "|".join([layout, *parts]))]


def _by_number(given: int, layout: str, channels: int) -> str:
    """The options of pan for channels of which no place is known: the mean of all for one or two, else as many as there are places."""
    if channels > 2:
        return "|".join(
            [
                f"{channels}c" if not layouts.placed(layout) else layout,
                *(f"c{channel}=c{channel}" for channel in range(min(given, channels))),
            ]
        )
    # "<" divides by the sum of the parts.
    mean = "<" + "+".join(f"c{channel}" for channel in range(given))
    return "|".join([layout, *(f"c{channel}{mean}" for channel in range(channels))])
