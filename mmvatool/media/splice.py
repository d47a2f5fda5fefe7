"""Replaces the audio of a video: the video packets are copied and muxed with encoded audio, and the result is checked."""

from pathlib import Path
from typing import Any

import numpy as np

from mmvatool.errors import MediaError, RenderError
from mmvatool.files import workspace
from mmvatool.media import coding, ffmpeg, headers, packets, picture, tags
from mmvatool.media.encode import MP4_SUFFIXES, copy_options, move_into_place, output_filters
from mmvatool.media.packets import Packets
from mmvatool.media.probe import MediaInfo

MP4_CONTAINER = "mov,mp4,m4a,3gp,3g2,mj2"
MATROSKA_CONTAINER = "matroska,webm"
# These two store a packet with the same bytes; others (MPEG-TS, AVI) use another framing.
SAME_PACKETS = (MP4_CONTAINER, MATROSKA_CONTAINER)
NAMES = {"libx264": "H.264", "libx265": "HEVC", "libvpx-vp9": "VP9"}
# Matroska stores milliseconds.
TIME_TOLERANCE_S = 0.002
LEAST_DECODED = 0.9
SLOWEST = 60  # time limit of encoding, as a multiple of the duration


def copy_picture(info: MediaInfo, sound: Path, target: Path, *, interlaced: str = "deinterlace", to_sdr: bool = False) -> list[str]:
    """Write a video with its video stream copied and other audio; encoded where it cannot be.

    Args:
        info: the probed source.
        sound: an encoded audio file; its time 0 is that of the source's container. It is copied in full.
        target: file to write; its suffix (a key of encode.CONTAINERS) chooses the container. An existing file is replaced.
        interlaced, to_sdr: how it is encoded, as `coding.choose` takes them.

    Returns:
        Warnings on what differs from the source, a sentence each.

    Raises:
        OutputError: the target cannot be written.
        MediaError: the source cannot be read.
        RenderError: the result is not the source's video with the audio.
    """
    suffix = target.suffix.lower()
    warnings: list[str] = []
    streams = fitting_subtitles(info, suffix, warnings)
    with workspace(target) as folder:
        result = folder / f"spliced{suffix}"
        refused = _copy(info, sound, result, target, streams)
        if refused is not None:
            chosen = coding.choose(info, suffix, interlaced=interlaced, to_sdr=to_sdr)
            name = NAMES[chosen.container.video_codec]
            warnings += [f"its {info.video.codec} picture cannot lie in {_a(suffix)}{refused}: encoded as {name}", *chosen.warnings]
            try:
                _mux(info, sound, result, streams, _encoded(info, chosen), chosen)
            except MediaError as error:
                raise RenderError(target, f"the encoder failed ({error.problem}): is the disk full?") from error
            _check(info, sound, result, target, copied=False)
        move_into_place(result, target)
    return warnings


def _a(suffix: str) -> str:
    return f"{'a' if suffix == '.webm' else 'an'} {suffix}"


def _copy(info: MediaInfo, sound: Path, result: Path, target: Path, subtitles: list[str]) -> str | None:
    """Try to copy; None on success, else the reason, as the end of a sentence."""
    try:
        _mux(info, sound, result, subtitles, {"c:v": "copy"} | copy_options(result.suffix, info.video.codec))
    except MediaError:
        # The muxer does not support the codec, or needs timestamps that the packets lack.
        return ""
    try:
        _check(info, sound, result, target, copied=True)
    except RenderError:
        # Frames that an edit list hides are shown in containers without edit lists, and delay the rest.
        return " as it is"
    return None


def fitting_subtitles(info: MediaInfo, suffix: str, warnings: list[str]) -> list[str]:
    """The subtitle streams to copy: those that the target's container takes without conversion; a warning for others."""
    streams = headers.read(info.path, "a video file").subtitles
    alike = (info.container == MP4_CONTAINER and suffix in MP4_SUFFIXES) or (info.container == MATROSKA_CONTAINER and suffix == ".mkv")
    if streams and not alike:
        warnings.append(f"its subtitles cannot lie in {_a(suffix)}: left out")
    return [str(stream.index) for stream in streams] if alike else []


def _encoded(info: MediaInfo, chosen: coding.Coding) -> dict[str, Any]:
    params = [*chosen.container.params, *chosen.params]
    options = dict(zip((param.removeprefix("-") for param in params[::2]), params[1::2], strict=True))
    # enc_time_base: the default would move frames of a variable rate to the nominal one.
    return {"c:v": chosen.container.video_codec, "fps_mode": "passthrough", "enc_time_base": "demux"} | options


def _mux(
    info: MediaInfo, sound: Path, result: Path, subtitles: list[str], options: dict[str, Any], encoded: coding.Coding | None = None
) -> None:
    # The container's clock is shifted to begin at 0, as that of the audio file does.
    source = ffmpeg.source(info.path, fflags="+genpts", itsoffset=f"{-info.origin_s:.6f}", **({"reinit_filter": 0} if encoded else {}))
    shown = source[str(info.video.index)]
    if encoded:
        kept = encoded.fields is not None
        shown = picture.frames(shown, info, keep_fields=kept, shift_s=-info.origin_s)
        size = info.video.width, info.video.height
        shown = picture.converted(shown, info, size, planes=encoded.planes, tone_map=encoded.tone_map, keep_fields=kept)
        for name, values in output_filters(encoded.color, info.video.pixel_aspect, encoded.fields):
            shown = shown.filter(name, **values)
    streams = [shown, ffmpeg.source(sound)["a:0"], *(source[index] for index in subtitles)]
    # No limit to the interleaving queue: subtitle packets are sparse.
    options = {"c:a": "copy", "c:s": "copy", "map_metadata": 2, "map_chapters": 0, "max_interleave_delta": 0} | options
    if not tags.all_kept(info.tags, result.suffix):
        options["movflags"] = f"{options['movflags']}+use_metadata_tags"
    tag_file = tags.write(info.tags, result.suffix, result.with_name("tags.txt"))
    limit_s = max(ffmpeg.RUN_LIMIT_S, SLOWEST * info.duration_s)
    ffmpeg.run(ffmpeg.output(streams, result, **options), info.path, limit_s=limit_s, extra_input=tag_file)


def _check(info: MediaInfo, sound: Path, result: Path, target: Path, *, copied: bool) -> None:
    """Raise RenderError unless the result has the video of the source at its times and all of the audio."""
    try:
        (video, audio), (wanted_audio,) = packets.read(result, ["v:0", "a:0"]), packets.read(sound, ["a:0"])
        problem = None
        if audio.contents != wanted_audio.contents or np.abs(audio.times_s - wanted_audio.times_s).max() > TIME_TOLERANCE_S:
            problem = "its sound is not the one that was mixed"
        elif copied:
            problem = _copy_difference(video, packets.read(info.path, [info.video.index])[0], info)
        else:
            problem = _encoding_difference(video.times_s, info.times_s)
    except MediaError as error:
        problem = error.problem
    if problem:
        raise RenderError(target, f"the file failed its check ({problem}): nothing was kept; please report this with the source's details")


def _copy_difference(got: Packets, source: Packets, info: MediaInfo) -> str | None:
    """How copied packets differ from those of the source; None if they do not."""
    if len(got.pts) != len(source.pts) or (info.container in SAME_PACKETS and got.contents != source.contents):
        return "its frames are not those of the source"
    if np.abs(np.sort(got.times_s) - np.sort(source.times_s - info.origin_s)).max() > TIME_TOLERANCE_S:
        return "its frames are not at their times"
    return None


def _encoding_difference(got_s: np.ndarray, source_s: np.ndarray) -> str | None:
    """How the times of encoded frames differ from those of the source; None if they do not. In a damaged video some frames do not decode."""
    after = np.minimum(np.searchsorted(source_s, got_s), len(source_s) - 1)
    error_s = np.minimum(np.abs(source_s[after] - got_s), np.abs(source_s[np.maximum(after - 1, 0)] - got_s))
    if LEAST_DECODED * len(source_s) <= len(got_s) <= len(source_s) and error_s.max() <= TIME_TOLERANCE_S:
        return None
    return f"{len(got_s)} of {len(source_s)} frames, or not at their times"
