"""What is rendered is decoded again and measured: frames by their stamps, times, colours, sound."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError, OutputError, RenderError
from mmvatool.media import coding, ffmpeg, hardware, render
from mmvatool.media.audio import cut_samples
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media
from tests.media.conftest import X264

COLOUR_TOLERANCE = 6.0  # of 255
SYNC_TOLERANCE_S = 0.040
SPANS = ((0.5, 1.4), (2.6, 3.1), (4.0, 5.2))  # of the drawn 6-second files


def _cut(info: MediaInfo, spans=SPANS) -> Timeline:
    last = info.times_s[-1]
    return Timeline.of(info.path, [Segment(info.snap(a), info.snap(min(b, last))) for a, b in spans])


def _render(path: Path, target: Path, spans=SPANS) -> tuple[MediaInfo, Timeline, MediaInfo, list[str]]:
    info = probe(path)
    timeline = _cut(info, spans)
    warnings = render.render(timeline, info, target)
    return info, timeline, probe(target), warnings


def _stamps(info: MediaInfo) -> list[int]:
    return [media.read_stamp(frame) for frame in FFmpegFrames(info).read(np.arange(len(info.times_s)))]


def _warnings(path: Path) -> str:
    done = subprocess.run(
        [ffmpeg.executable(), "-v", "warning", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, timeout=60
    )
    return done.stderr + ("" if done.returncode == 0 else f"exit {done.returncode}")


def _planned_frames(timeline: Timeline, info: MediaInfo) -> list[int]:
    """Numbers, among the shown frames, of those that lie in the timeline."""
    return [n for segment in timeline.segments for n, t in enumerate(info.times_s) if segment.start_s - 1e-6 <= t < segment.end_s - 1e-6]


@pytest.mark.parametrize(
    "name",
    [
        "plain.mp4",
        "plain.mkv",
        "vp9.webm",
        "hevc.mp4",
        "rotated.mp4",
        "anamorphic.mp4",
        "edit.mp4",
        "late.ts",
        "av1.mp4",
        "opengop.mp4",
        "plain.flv",
        "plain.mpg",
    ],
)
def test_exactly_the_planned_frames_at_the_exact_rate(kinds, tmp_path, name):
    info, timeline, got, warnings = _render(kinds(name), tmp_path / "out.mp4")
    planned = _planned_frames(timeline, info)
    offset = _stamps(info)[0]
    assert _stamps(got) == [number + offset for number in planned]
    assert got.rate == info.rate
    assert got.constant_rate
    np.testing.assert_allclose(got.times_s, np.arange(len(planned)) / float(info.rate), atol=1e-9, rtol=0)
    assert (got.video.width, got.video.height, got.video.pixel_aspect) == (info.video.width, info.video.height, info.video.pixel_aspect)
    assert got.video.rotation_deg == 0
    assert _warnings(tmp_path / "out.mp4") == ""
    assert warnings == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60000, 1001), Fraction(25), Fraction(12)])
def test_timestamps_are_exact_at_every_rate(tmp_path, rate):
    path = media.draw_flashes(tmp_path / "in.mp4", 4, rate)
    info, timeline, got, _ = _render(path, tmp_path / "out.mp4", ((0.5, 1.5), (2.2, 3.7)))
    assert got.rate == rate
    count = len(_planned_frames(timeline, info))
    assert [Fraction(t).limit_denominator(200_000) for t in got.times_s] == [number / rate for number in range(count)]
    assert got.end_s == pytest.approx(float(count / rate), abs=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_containers(kinds, tmp_path, suffix):
    info, timeline, got, _ = _render(kinds("plain.mp4"), tmp_path / f"out{suffix}")
    assert len(got.times_s) == len(_planned_frames(timeline, info))
    assert got.rate == info.rate
    assert got.video.codec == ("vp9" if suffix == ".webm" else "h264")
    assert got.audio is not None
    assert got.audio.codec == ("opus" if suffix == ".webm" else "aac")
    assert _warnings(tmp_path / f"out{suffix}") == ""


@pytest.mark.parametrize("name", ["resized.mkv", "resized.ts"])
def test_a_picture_that_changes_its_size(kinds, tmp_path, name):
    info, timeline, got, _ = _render(kinds(name), tmp_path / "out.mp4", ((0.5, 1.4), (2.6, 3.5), (4.0, 5.2)))
    assert _stamps(info)[80:100] == list(range(80, 100))  # also where the frames are read for scoring
    assert _stamps(got) == _planned_frames(timeline, info)
    assert (got.video.width, got.video.height) == (info.video.width, info.video.height)


def test_avi_is_cut_on_its_frames(tmp_path):
    """Its clock ticks once a frame: a bound between two frames is rounded to one of them, at 30/s to the wrong one."""
    path = media.draw_flashes(tmp_path / "in.avi", 6, Fraction(30), params=("-c:v", "mpeg4", "-q:v", "3"))
    info, timeline, got, _ = _render(path, tmp_path / "out.mp4")
    assert _stamps(got) == _planned_frames(timeline, info)


def test_mp4_starts_with_its_index(kinds, tmp_path):
    _render(kinds("plain.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_variable_rate_becomes_constant_at_the_nominal_rate(kinds, tmp_path):
    info, timeline, got, warnings = _render(kinds("variable.mp4"), tmp_path / "out.mp4")
    assert (got.rate, got.constant_rate) == (30, True)
    assert len(got.times_s) == sum(round(segment.length_s * 30) for segment in timeline.segments)
    assert "variable frame rate" in warnings[0]
    numbers, planned = _stamps(got), _planned_frames(timeline, info)
    true = np.array([number for number in range(180) if number % 7])[planned]
    assert set(numbers) <= set(true)  # frames are repeated where some are missing, none is invented
    assert len(set(numbers)) > 0.95 * len(true)


@pytest.mark.parametrize(
    ("tags", "matrix", "full"),
    [
        ((), None, False),
        (
            ("-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
            "bt709",
            False,
        ),
        (("-vf", "scale=out_color_matrix=bt601", "-colorspace", "smpte170m"), "smpte170m", False),
        (("-vf", "scale=out_color_matrix=bt2020", "-colorspace", "bt2020nc"), "bt2020nc", False),
        (("-vf", "scale=out_range=full:out_color_matrix=bt709", "-color_range", "pc", "-colorspace", "bt709"), "bt709", True),
    ],
)
def test_colours_and_their_tags_are_the_sources(tmp_path, tags, matrix, full):
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    path = media.encode(tmp_path / "in.mp4", lambda n: colours, 50, Fraction(25), None, (*X264, "-crf", "10", *tags))
    info, _, got, _ = _render(path, tmp_path / "out.mp4", ((0.4, 1.2),))
    assert info.video.color.matrix == matrix  # the drawing is what it claims to be
    assert got.video.color == info.video.color
    before, after = FFmpegFrames(info).read([12])[0].astype(int), FFmpegFrames(got).read([2])[0]
    assert np.abs(before - after).mean() < COLOUR_TOLERANCE / 2
    assert np.abs((before - after).mean((0, 1))).max() < 1.5  # no cast


@pytest.mark.parametrize("full", [False, True])
def test_planes_of_8_bits_are_not_converted(tmp_path, full):
    """What the encoder is handed is byte for byte what a plain decode gives: no way through RGB and back."""
    tags = ("-vf", "scale=out_range=full", "-color_range", "pc") if full else ()
    path = media.encode(tmp_path / "in.mp4", lambda n: media.rays((160, 96), n / 25), 50, Fraction(25), None, (*X264, *tags))
    info = probe(path)
    assert info.video.color.full_range == full
    chosen = coding.choose(info, ".mp4")
    handed = b"".join(frame.tobytes() for frame in render._decode_segments(_cut(info, ((0.4, 1.2),)), info, [20], chosen))
    plain = media.ffmpeg.source(path).output("pipe:", format="rawvideo")
    assert handed == media.ffmpeg.run(plain, path).stdout[10 * 160 * 96 * 3 // 2 : 30 * 160 * 96 * 3 // 2]


def test_a_source_of_rgb_is_not_tagged_as_rgb(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    params = ("-c:v", "libx264rgb", "-qp", "4", "-pix_fmt", "rgb24")
    path = media.encode(tmp_path / "in.mkv", lambda n: colours, 50, Fraction(25), None, params)
    info, _, got, _ = _render(path, tmp_path / "out.mp4", ((0.4, 1.2),))
    assert info.video.color.matrix == "gbr"
    assert (got.video.color.matrix, got.video.color.full_range) == ("smpte170m", False)
    before, after = FFmpegFrames(info).read([12])[0].astype(int), FFmpegFrames(got).read([2])[0]
    assert np.abs(before - after).mean() < COLOUR_TOLERANCE / 2


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(25)])
def test_sound_stays_with_its_picture_up_to_the_last_cut(tmp_path, rate):
    path = media.draw_flashes(tmp_path / "in.mp4", 20, rate)
    spans = [(second - 0.31, second + 0.27) for second in range(1, 19)]
    _info, timeline, got, _ = _render(path, tmp_path / "out.mp4", spans)
    assert len(timeline.segments) == 18
    frames = FFmpegFrames(got).read(np.arange(len(got.times_s))).mean((1, 2, 3))
    flashes = got.times_s[frames > 200]
    sound = next(cut_samples(got, [(0, round(got.end_s * 48000))], 48000, 1))[:, 0]
    loud = np.flatnonzero(np.abs(sound) > 8000) / 48000
    clicks = loud[np.diff(loud, prepend=-1) > 0.2]
    assert len(flashes) == len(clicks) == 18
    assert np.abs(flashes - clicks).max() < SYNC_TOLERANCE_S / 4
    # The sound is as long as the picture: to a sample in the file, to a frame of AAC in a decoder.
    assert abs(_audio_seconds(tmp_path / "out.mp4") - got.end_s) <= 1025 / 48000


def _audio_seconds(path: Path) -> float:
    node = ffmpeg.source(path)["a"].output("pipe:", format="s16le", ac=1, ar=48000)
    return len(ffmpeg.run(node, path).stdout) / 2 / 48000


def test_joins_are_faded(tmp_path):
    tone = 0.8 * np.sin(2 * np.pi * 440 * np.arange(6 * media.RATE_HZ) / media.RATE_HZ)
    path = media.encode(
        tmp_path / "in.mkv",
        lambda n: media.stamp(np.zeros((32, 64, 3), np.uint8), n),
        150,
        Fraction(25),
        tone,
        (*X264, "-c:a", "pcm_s16le"),
    )
    _, _timeline, got, _ = _render(path, tmp_path / "out.mp4", ((1, 2), (3, 4.5)))
    sound = next(cut_samples(got, [(0, round(2.5 * 48000))], 48000, 1))[:, 0].astype(float) / 32768

    def level(from_s: float, to_s: float) -> float:
        return float(np.sqrt(np.mean(sound[round(from_s * 48000) : round(to_s * 48000)] ** 2)))

    assert level(0.999, 1.001) < 0.15  # at the join
    assert level(0.9, 0.98) == pytest.approx(0.8 / np.sqrt(2), rel=0.05)  # fades are short
    assert level(1.02, 1.1) == pytest.approx(0.8 / np.sqrt(2), rel=0.05)


def test_sound_channels_and_rate_are_the_sources(tmp_path):
    path = media.draw_flashes(tmp_path / "in.mp4", 3, Fraction(25), channels=6)
    _, _, got, _ = _render(path, tmp_path / "out.mp4", ((0.5, 2.0),))
    assert got.audio is not None
    assert (got.audio.channels, got.audio.rate_hz) == (6, 48000)


def test_metadata_and_languages_are_kept(tmp_path, kinds):
    path = tmp_path / "in.mp4"
    tags = {"title": "A day; b=c 'd'", "artist": "Ünï", "creation_time": "2020-05-16T22:31:32.000000Z", "comment": "-y first\nsecond"}
    options = [part for key, value in tags.items() for part in ("-metadata", f"{key}={value}")]
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-c", "copy", *options, "-metadata:s:a:0", "language=deu", path)
    _, _, got, _ = _render(path, tmp_path / "out.mp4")
    assert got.tags == tags
    assert got.audio is not None
    assert got.audio.language == "deu"


def test_odd_size_and_ten_bits_are_rendered_and_said(kinds, tmp_path):
    _, _, got, warnings = _render(kinds("odd.mp4"), tmp_path / "out.mp4", ((0.2, 1.0),))
    assert (got.video.width, got.video.height) == (161, 91)
    assert "odd picture size" in warnings[0]
    params = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none")
    deep = media.encode(tmp_path / "deep.mp4", lambda n: media.meadow((160, 90), n), 30, Fraction(25), None, params)
    _, _, got, warnings = _render(deep, tmp_path / "deep_out.mp4", ((0.2, 0.8),))
    assert got.video.pixel_format == "yuv420p"
    assert "8 bits" in warnings[0]


def test_damaged_place_inside_a_kept_part(kinds, tmp_path):
    data = bytearray(kinds("plain.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    third = (len(data) - start) // 3
    data[start + third : start + third + 3000] = bytes(3000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    info, timeline, got, _ = _render(path, tmp_path / "out.mp4", ((0.2, 5.0),))
    assert len(got.times_s) == round(timeline.duration_s * info.rate)


def test_what_follows_a_damaged_start_of_a_kept_part_stays_in_its_place(tmp_path):
    """Its first ten pictures are gone: the first that decodes stands for them, and no later one comes early."""
    params = ("-c:v", "mjpeg", "-q:v", "3")
    path = media.encode(tmp_path / "in.mkv", lambda n: media.stamp(np.zeros((64, 128, 3), np.uint8), n), 100, Fraction(25), None, params)
    data = path.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xd8\xff", at)]
    assert len(starts) == 100
    damaged = bytearray(data)
    for at in starts[50:60]:
        stop = data.index(b"\xff\xd9", at)
        damaged[at:stop] = bytes(stop - at)
    path.write_bytes(damaged)
    _, _, got, _ = _render(path, tmp_path / "out.mp4", ((2.0, 3.0),))
    assert _stamps(got) == [60] * 10 + list(range(60, 75))


def test_progress_counts_every_frame(kinds, tmp_path):
    info = probe(kinds("plain.mp4"))
    timeline, seen = _cut(info), []
    render.render(timeline, info, tmp_path / "out.mp4", seen.append)
    assert seen == list(range(1, len(_planned_frames(timeline, info)) + 1))


def test_unwritable_target(kinds, tmp_path):
    (tmp_path / "file").touch()
    info = probe(kinds("plain.mp4"))
    with pytest.raises(OutputError, match="cannot be written"):
        render.render(_cut(info), info, tmp_path / "file" / "out.mp4")


def test_a_source_that_changes_under_the_render_leaves_nothing(kinds, tmp_path):
    path = tmp_path / "in.mp4"
    path.write_bytes(kinds("plain.mp4").read_bytes())
    info = probe(path)
    path.write_bytes(b"gone")
    with pytest.raises(MediaError, match="cannot be decoded"):
        render.render(_cut(info), info, tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_that_cannot_be_decoded_is_left_out_and_said(kinds, tmp_path):
    path = tmp_path / "in.mkv"
    media.run_ffmpeg("-i", kinds("plain.mkv"), "-c", "copy", "-bsf:a", "noise=drop=1", path)
    info, timeline, got, warnings = _render(path, tmp_path / "out.mp4")
    assert info.audio is not None
    assert got.audio is None
    assert warnings == ["its sound (vorbis) cannot be decoded: rendered without sound"]
    assert _stamps(got) == _planned_frames(timeline, info)


def test_metadata_too_long_for_a_command_line_is_left_out_and_said(kinds, tmp_path):
    tags = tmp_path / "tags.txt"
    tags.write_text(f";FFMETADATA1\ntitle=short\ncomment={'x' * 200_000}\n")
    path = tmp_path / "in.mkv"
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-i", tags, "-map_metadata", 1, "-c", "copy", path)
    _, _, got, warnings = _render(path, tmp_path / "out.mp4", ((0.5, 0.8),))
    assert got.tags == {"title": "short"}
    assert "is too long" in warnings[0]


def test_a_frame_every_five_minutes(tmp_path):
    path = media.encode(tmp_path / "in.mp4", lambda n: np.full((32, 32, 3), 20 * n, np.uint8), 8, Fraction(1, 300), None, X264)
    _, _, got, _ = _render(path, tmp_path / "out.mp4", ((299, 301), (1500, 1510.04)))
    assert (got.rate, len(got.times_s), got.duration_s) == (25, 301, pytest.approx(12.04, abs=0.001))
    levels = [round(float(frame.mean()) / 20) for frame in FFmpegFrames(got).read([0, 24, 25, 49, 50, 300])]
    assert levels == [0, 0, 1, 1, 5, 5]


def test_a_disk_that_fills_up_under_the_sound_is_one_line(kinds, tmp_path, monkeypatch):
    """As ENOSPC does: the encoder of the sound ends while it is being written to."""
    from moviepy.audio.io.ffmpeg_audiowriter import FFMPEG_AudioWriter

    def write_frames(self, samples):
        raise OSError("MoviePy error: FFMPEG encountered an error: \n\n b'[wav @ 0x1] Error closing file: No space left on device\\n'")

    monkeypatch.setattr(FFMPEG_AudioWriter, "write_frames", write_frames)
    info = probe(kinds("plain.mp4"))
    with pytest.raises(RenderError, match="No space left on device") as caught:
        render.render(_cut(info), info, tmp_path / "out.mp4")
    assert "\\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_check_refuses_what_was_not_planned(kinds, tmp_path, monkeypatch):
    """An encoder that fails, or drops frames, must not leave a file under the final name."""
    info = probe(kinds("plain.mp4"))
    good = render._encoder_params
    monkeypatch.setattr(render, "_encoder_params", lambda *args: [*good(*args), "-frames:v", "7"])
    with pytest.raises(RenderError):
        render.render(_cut(info), info, tmp_path / "out.mp4")
    monkeypatch.setattr(render, "_encoder_params", lambda *args: ["-no-such-option"])
    with pytest.raises(RenderError):
        render.render(_cut(info), info, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_eight_bits_are_not_called_more(tmp_path):
    params = ("-c:v", "ffv1", "-pix_fmt", "yuv410p")
    path = media.encode(tmp_path / "in.mkv", lambda n: media.meadow((160, 96), n), 20, Fraction(25), None, params)
    _, _, _, warnings = _render(path, tmp_path / "out.mp4", ((0.2, 0.6),))
    assert warnings == []


def test_hardware_is_used_only_where_a_trial_shows_that_it_works(kinds, tmp_path, monkeypatch):
    """Another encoder that this ffmpeg brings stands for a piece of hardware; the one before it does not exist."""
    info = probe(kinds("plain.mp4"))
    monkeypatch.setattr(hardware, "H264", {"h264_none": ("-preset", "p4"), "libopenh264": ("-b:v", "2M")})
    warnings = render.render(_cut(info), info, tmp_path / "hard.mp4", encoder="auto")
    assert warnings == ["encoded in hardware (libopenh264)"]
    plain = render.render(_cut(info), info, tmp_path / "soft.mp4")
    assert plain == []
    hard, soft = probe(tmp_path / "hard.mp4"), probe(tmp_path / "soft.mp4")
    assert _stamps(hard) == _stamps(soft)
    assert hard.video.color == soft.video.color
    assert b"x264 - core" not in (tmp_path / "hard.mp4").read_bytes()
    assert b"x264 - core" in (tmp_path / "soft.mp4").read_bytes()


def test_without_hardware_that_works_software_encodes(kinds, tmp_path, monkeypatch):
    info = probe(kinds("plain.mp4"))
    monkeypatch.setattr(hardware, "H264", {"h264_none": ()})
    assert render.render(_cut(info), info, tmp_path / "out.mp4", encoder="auto") == [
        "no encoder in hardware works here: encoded in software"
    ]
    assert b"x264 - core" in (tmp_path / "out.mp4").read_bytes()
    assert render.render(_cut(info), info, tmp_path / "out.webm", encoder="auto") == []  # VP9 has no such choice
