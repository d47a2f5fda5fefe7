"""Render a Timeline with moviepy: exact frames, exact rate, the source's colours, audio in sync.

moviepy 2 takes a variable rate's mean for the rate, and ignores pixel aspect. So ffmpeg decodes each segment upright at a
constant rate, and moviepy writes what it is handed (see encode): the planes of the video itself, where they are 8 bits of 4:2:0 not
even converted.
"""

import re
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from mmvatool.errors import MediaError
from mmvatool.files import workspace
from mmvatool.media import audio, captions, ffmpeg, layouts, tags
from mmvatool.media import coding as codings
from mmvatool.media.coding import Coding
from mmvatool.media.encode import Container, check, encoder_error, move_into_place, video_params, write_frames
from mmvatool.media.frames import steady_frames
from mmvatool.media.probe import MediaInfo
from mmvatool.media.sound import Heard
from mmvatool.timeline import Timeline

FADE_S = 0.010
BITRATE_K = 96  # of sound, for each channel


def render(
    timeline: Timeline,
    info: MediaInfo,
    target: Path,
    on_frame: Callable[[int], None] = lambda _: None,
    *,
    chapters: bool = False,
    encoder: str = "software",
    interlaced: str = "deinterlace",
    to_sdr: bool = False,
) -> list[str]:
    """Render a timeline to a file. Chapters and subtitles of the source are moved along.

    Args:
        timeline: segments of the video that `info` describes, their bounds on frames.
        info: the probed source.
        target: file to write; its suffix (a key of CONTAINERS) chooses the container. An existing file is replaced.
        on_frame: called with the number of frames written so far.
        chapters: make one for each segment instead of taking those of the source.
        encoder: one of hardware.ENCODERS: "auto" uses the machine's hardware where that works.
        interlaced: "deinterlace", or "keep": code the fields of an interlaced video as fields.
        to_sdr: bring HDR down to SDR.

    Returns:
        Warnings on what differs from the source, a sentence each.

    Raises:
        OutputError: the target cannot be written.
        MediaError: the source cannot be decoded.
        RenderError: the encoder failed or what it wrote is not what was planned.
    """
    size = info.video.width, info.video.height
    coding = codings.choose(info, target.suffix.lower(), interlaced=interlaced, to_sdr=to_sdr, encoder=encoder)
    counts = [max(1, round(segment.length_s * info.rate)) for segment in timeline.segments]
    with workspace(target) as folder:
        picture = folder / f"summary{target.suffix.lower()}"
        warnings = _conversion_warnings(info, coding) + audio.notes(info)
        sound, channels = None, 0
        if info.audio:
            try:
                channels = _write_sound(timeline, info, counts, folder / "sound.wav", coding.container, warnings)
                sound = folder / "sound.wav"
            except audio.SilentError:
                warnings.append(f"its sound ({info.audio.codec}) cannot be decoded: rendered without sound")
        _write_video(timeline, info, counts, coding, picture, sound, channels, on_frame)
        check(picture, target, sum(counts), size, with_sound=sound is not None)
        shown_s = [float(int(frames) / info.rate) for frames in np.concatenate([[0], np.cumsum(counts)])]
        moved_captions = captions.read_captions(
            info, list(zip(timeline.segments, shown_s, strict=False)), own_chapters=chapters, warnings=warnings
        )
        move_into_place(captions.mux_captions(moved_captions, picture, folder / f"muxed{picture.suffix}", warnings), target)
    return warnings


def _conversion_warnings(info: MediaInfo, coding: Coding) -> list[str]:
    warnings = []
    if coding.pixel_format.startswith("yuv444p"):
        warnings.append("odd picture size: encoded as 4:4:4, which some phones and TVs do not play")
    if not info.constant_rate:
        warnings.append(f"variable frame rate: rendered at a constant {info.rate} frames a second")
    deep = r"(9|10|12|14|16|48|64)(le|be)$"  # not yuv410p or nv12, which have 8 bits
    if re.search(deep, info.video.pixel_format) and not re.search(deep, coding.pixel_format) and not coding.tone_map:
        warnings.append(f"{info.video.pixel_format} source: rendered with 8 bits a channel")
    warnings += coding.warnings
    warnings += [
        f"the metadata {key[:40]} is too long for ffmpeg and was left out" for key in info.tags.keys() - tags.short(info.tags).keys()
    ]
    return warnings


def _write_video(
    timeline: Timeline,
    info: MediaInfo,
    counts: list[int],
    coding: Coding,
    picture: Path,
    sound: Path | None,
    channels: int,
    on_frame: Callable[[int], None],
) -> None:
    write_frames(
        _decode_segments(timeline, info, counts, coding),
        sum(counts),
        (info.video.width, info.video.height),
        info.rate,
        coding.container,
        picture,
        [*_encoder_params(info, coding, picture.suffix), *(_sound_params(coding.container, channels) if sound else [])],
        pixel_format=coding.pixel_format,
        sound=sound,
        sound_codec=coding.container.audio_codec,
        error_path=info.path,
        on_frame=on_frame,
    )


def _decode_segments(timeline: Timeline, info: MediaInfo, counts: list[int], coding: Coding) -> Generator[np.ndarray]:
    """All frames of the result as the bytes of upright planes, at the nominal rate; one run of ffmpeg for each segment."""
    height, width = info.video.height, info.video.width
    size = (
        height * width * 3 // (1 if coding.pixel_format.startswith("yuv444p") else 2) * (2 if coding.pixel_format.endswith("10le") else 1)
    )
    frame: np.ndarray | None = None
    for segment, count in zip(timeline.segments, counts, strict=True):
        node = steady_frames(
            info,
            segment.start_s,
            count,
            info.rate,
            (width, height),
            planes=coding.planes,
            tone_map=coding.tone_map,
            keep_fields=coding.fields is not None,
        )
        with ffmpeg.stream(node, info.path) as reader:
            for got in range(count):
                data = reader.read(size)
                if len(data) == size:
                    frame = np.frombuffer(data, np.uint8)
                elif frame is None or got == 0:
                    raise MediaError(info.path, f"cannot be decoded at {segment.start_s:.2f} s ({ffmpeg.last_error(reader.errors())})")
                yield frame  # the last frame is repeated beyond a damaged end


def _encoder_params(info: MediaInfo, coding: Coding, suffix: str) -> list[str]:
    params = video_params(info.rate, coding.color, coding.pixel_format, info.video.pixel_aspect, rgb=False, fields=coding.fields)
    params += coding.params
    for key, value in tags.written(tags.of_a_part(info.tags), suffix).items():
        params += ["-metadata", f"{key}={value}"]
    if not tags.all_kept(info.tags, suffix):
        params += ["-movflags", "+use_metadata_tags"]
    if info.video.language:
        params += ["-metadata:s:v:0", f"language={info.video.language}"]
    if info.audio:
        params += ["-metadata:s:a:0", f"language={info.audio.language}"] if info.audio.language else []
    return params


def _sound_params(container: Container, channels: int) -> list[str]:
    # Without the family ffmpeg mixes up the channels of 5.0 and 6.1 in Opus.
    family = ["-mapping_family", "1"] if container.audio_codec == "libopus" and channels > 2 else []
    return ["-b:a", f"{BITRATE_K * channels}k", *family]


def _write_sound(timeline: Timeline, info: MediaInfo, counts: list[int], target: Path, container: Container, warnings: list[str]) -> int:
    """Write the audio of the segments as PCM, cut at the samples where the video is cut, with short fades at the joins.

    Where its layout changes it gets the widest that is heard. Returns the number of channels.
    """
    stream = audio.require(info)
    rate_hz = stream.rate_hz if stream.rate_hz in container.audio_rates_hz else 48000
    shown = np.concatenate([[0], np.cumsum(counts)])
    edges = [round(int(frames) / info.rate * rate_hz) for frames in shown]
    bounds = []
    for segment, first, stop in zip(timeline.segments, edges, edges[1:], strict=False):
        start = round(segment.start_s * rate_hz)
        bounds.append((start, start + stop - first))
    given = stream.layout or f"{stream.channels} channels"
    layout = layouts.coded(given, container.audio_codec)
    heard = _write_pcm(info, bounds, rate_hz, layout, target)
    if not all(layouts.alike(given, other) for other in heard):
        given = layouts.widest(heard)
        wide = layouts.coded(given, container.audio_codec)
        if len(heard) > 1:
            warnings.append(f"the layout of its sound changes ({', '.join(heard)}): rendered as {wide}")
        if wide != layout:
            layout = wide
            _write_pcm(info, bounds, rate_hz, layout, target)
    if not layouts.alike(given, layout):
        warnings.append(f"{container.audio_codec.removeprefix('lib')} has no {given} sound: rendered as {layout}")
    return layouts.channels(layout)


def _write_pcm(info: MediaInfo, bounds: list[tuple[int, int]], rate_hz: int, layout: str, target: Path) -> list[str]:
    """Write segments of the sound in a layout; the layouts that are heard in them."""
    from moviepy.audio.io.ffmpeg_audiowriter import FFMPEG_AudioWriter

    channels, heard = layouts.channels(layout), Heard(spans_s=[(first / rate_hz, stop / rate_hz) for first, stop in bounds])
    # Samples alone would be written as the usual layout of so many channels. channelmap does not mix, it names the channels.
    try:
        pcm = FFMPEG_AudioWriter(
            str(target.absolute()),
            rate_hz,
            nbytes=2,
            nchannels=channels,
            codec="pcm_s16le",
            ffmpeg_params=["-af", f"channelmap=channel_layout={layout}", "-rf64", "auto"],
        )
        with pcm as writer:
            for number, samples in enumerate(audio.cut_samples(info, bounds, rate_hz, channels, layout=layout, heard=heard)):
                writer.write_frames(_fade(samples, rate_hz, fade_in=number > 0, fade_out=number < len(bounds) - 1))
    except OSError as error:
        raise encoder_error(info.path, error) from error
    return list(heard.layouts)


def _fade(samples: np.ndarray, rate_hz: int, *, fade_in: bool, fade_out: bool) -> np.ndarray:
    """Linear fades of FADE_S (at most half the length) at the ends that are joins. (n, channels) int16."""
    length = min(round(FADE_S * rate_hz), len(samples) // 2)
    ramp = (np.arange(length, dtype=np.float32) / max(1, length))[:, None]
    faded = samples.copy()
    if fade_in:
        faded[:length] = np.rint(faded[:length] * ramp).astype(np.int16)
    if fade_out and length:
        faded[-length:] = np.rint(faded[-length:] * ramp[::-1]).astype(np.int16)
    return faded
