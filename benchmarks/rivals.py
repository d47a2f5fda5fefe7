"""Rivals: other ways to decode a frame every two seconds, to detect shots, and to write chosen segments."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.clock import Unavailable
from mmvatool.analysis.slots import slots
from mmvatool.media import encode, ffmpeg
from mmvatool.media.probe import probe
from mmvatool.timeline import Segment
from tests.helpers.media import run_ffmpeg

SETTINGS = ("-c:v", "libx264", "-preset", encode.PRESET, "-crf", encode.CRF, "-c:a", "aac")


def centres_s(path: Path) -> list[float]:
    """The times that summarize samples with --sampling exact: the middle of every slot."""
    info = probe(path)
    return slots(info.start_s, info.end_s).centres_s.tolist()


def full_decode(path: Path) -> None:
    """`ffmpeg -i FILE -map 0:v -f null -`."""
    ffmpeg.run(ffmpeg.source(path)["v:0"].output("pipe:", format="null"), path)


def keyframes(path: Path) -> None:
    """`ffmpeg -skip_frame nokey -i FILE -f null -`: all keyframes, at full size."""
    ffmpeg.run(ffmpeg.source(path, skip_frame="nokey")["v:0"].output("pipe:", format="null", fps_mode="passthrough"), path)


def decord(path: Path) -> None:
    """get_batch of the frames in the middle of the slots, scaled while decoding as its users do."""
    try:
        import decord
    except (ImportError, OSError) as error:
        raise _unavailable(error) from error
    reader = decord.VideoReader(str(path), width=456, height=256)
    rate = reader.get_avg_fps()
    for time_s in centres_s(path):
        reader[min(len(reader) - 1, round(time_s * rate))].asnumpy()


def pyav(path: Path) -> None:
    """Seek before each middle, decode up to it, scale."""
    try:
        import av
    except (ImportError, OSError) as error:
        raise _unavailable(error) from error
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for time_s in centres_s(path):
            container.seek(int(time_s / stream.time_base), stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.time >= time_s - 1 / 60)
            frame.to_ndarray(format="rgb24", width=456, height=256)


def torchcodec(path: Path) -> None:
    """get_frames_played_at the middles."""
    try:
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=0)
    except (ImportError, OSError) as error:
        raise _unavailable(error) from error
    except RuntimeError as error:
        raise Unavailable("its library does not load here: it wants FFmpeg's shared libraries, or another torch") from error
    for time_s in centres_s(path):  # one at a time: all at full size would not fit into memory
        decoder.get_frame_played_at(time_s)


def scenedetect(path: Path) -> None:
    """`scenedetect -i FILE detect-content`."""
    try:
        from scenedetect import ContentDetector, detect
    except (ImportError, OSError) as error:
        raise _unavailable(error) from error
    detect(str(path), ContentDetector())


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"{type(error).__name__}: {(str(error).strip().splitlines() or ['?'])[0][:120].rstrip('.')}")


def _list(path: Path, segments: Sequence[Segment], folder: Path) -> Path:
    """For ffmpeg's concat demuxer."""
    target = folder / "cuts.txt"
    lines = (f"file 'file:{path.absolute()}'\ninpoint {part.start_s:.6f}\noutpoint {part.end_s:.6f}\n" for part in segments)
    target.write_text("".join(lines))
    return target


def ffmpeg_concat(path: Path, segments: Sequence[Segment], folder: Path) -> None:
    """The cuts by ffmpeg's concat demuxer, encoded with the settings that mmvatool uses."""
    run_ffmpeg("-f", "concat", "-safe", 0, "-i", _list(path, segments, folder), *SETTINGS, folder / "ffmpeg.mp4")


def ffmpeg_copy(path: Path, segments: Sequence[Segment], folder: Path) -> None:
    """The same cuts as copied packets: from the keyframe before each, so not exact."""
    run_ffmpeg("-f", "concat", "-safe", 0, "-i", _list(path, segments, folder), "-c", "copy", folder / "copy.mp4")


def moviepy(path: Path, segments: Sequence[Segment], folder: Path) -> None:
    """VideoFileClip, subclipped, concatenate_videoclips, write_videofile, with the same encoder settings."""
    from moviepy import VideoFileClip, concatenate_videoclips

    with VideoFileClip(str(path)) as clip:
        parts = [clip.subclipped(part.start_s, min(part.end_s, clip.duration)) for part in segments]
        joined = concatenate_videoclips(parts)
        joined.write_videofile(
            str(folder / "moviepy.mp4"),
            codec="libx264",
            preset=encode.PRESET,
            audio_codec="aac",
            temp_audiofile=str(folder / "moviepy.m4a"),
            ffmpeg_params=["-crf", str(encode.CRF)],
            logger=None,
        )
