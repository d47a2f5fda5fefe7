"""What is cut without encoding is decoded again: the frames are the source's, bit by bit, and sound and picture stay together."""

import itertools
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError, RenderError
from mmvatool.media import cut, ffmpeg, packets, smart
from mmvatool.media.audio import read_windows
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.moves import moves_in_a_row, moves_of_audio, moves_overlap
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

TIME_TOLERANCE_S = 0.0021  # Matroska's clock, on both sides
SYNC_TOLERANCE_S = 0.025
LEAST_PSNR_DB = 40.0
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-pix_fmt", "yuv420p")
CLOSED = "log-level=none:keyint=15:min-keyint=15:open-gop=0:bframes=3"
OPEN = "log-level=none:keyint=15:min-keyint=15:open-gop=1:bframes=3"


def _decoded(path: Path, stream: int) -> tuple[list[str], str]:
    """Hashes of all frames as they are stored, and what ffmpeg had to say."""
    command = [ffmpeg.executable(), "-nostdin", "-v", "warning", "-noautorotate", "-i", str(path), "-map", f"0:{stream}"]
    done = subprocess.run([*command, "-fps_mode", "passthrough", "-f", "framemd5", "-"], capture_output=True, text=True, timeout=60)
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")], done.stderr


def _numbers(segments: tuple[Segment, ...], info: MediaInfo) -> list[int]:
    return [n for part in segments for n, t in enumerate(info.times_s) if part.start_s - 1e-6 <= t < part.end_s - 1e-6]


def _check_times(got: MediaInfo, info: MediaInfo, segments: tuple[Segment, ...]) -> None:
    """Each frame is as far behind the first of its segment as in the source, and the segments follow each other from 0 on."""
    shown_s, planned_s = 0.0, []
    for part in segments:
        planned_s += [shown_s + info.times_s[n] - part.start_s for n in _numbers((part,), info)]
        shown_s += part.length_s
    assert np.abs(got.times_s + got.origin_s - planned_s).max() < TIME_TOLERANCE_S


def _every_other(points: cut.CutPoints) -> Timeline:
    edges = [*points.times_s, points.info.end_s]
    return Timeline.of(points.info.path, [Segment(a, points.end_of(b)) for a, b in list(itertools.pairwise(edges))[1::2]])


def _hevc(path: Path, params: str) -> Path:
    return media.encode(
        path, lambda n: media.stamp(media.rays((160, 96), n / 25), n), 150, Fraction(25), None, (*HEVC, "-x265-params", params)
    )


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("plain.mp4", ".mp4"),
        ("plain.mp4", ".mkv"),
        ("plain.mkv", ".mkv"),
        ("plain.mkv", ".mp4"),
        ("plain.avi", ".mkv"),
        ("vp9.webm", ".webm"),
        ("hidden.webm", ".webm"),
        ("pauses.mp4", ".mp4"),
        ("pauses.mkv", ".mkv"),
        ("av1.mp4", ".mp4"),
        ("rotated.mp4", ".mp4"),
        ("edit.mp4", ".mp4"),
        ("late.ts", ".mp4"),
        ("plain.flv", ".mp4"),
        ("plain.mpg", ".mkv"),
        ("variable.mp4", ".mp4"),
        ("resized.mkv", ".mkv"),
    ],
)
def test_copied_frames_are_the_source_bit_by_bit_at_their_times(kinds, tmp_path, name, suffix):
    info = probe(kinds(name))
    points = cut.cut_points(info, tmp_path / f"out{suffix}")
    timeline = _every_other(points)
    assert len(timeline.segments) >= (1 if name in ("edit.mp4", "late.ts") else 2)
    assert cut.cut(timeline, points, tmp_path / f"out{suffix}") == []
    assert [file.name for file in tmp_path.iterdir()] == [f"out{suffix}"]
    got = probe(tmp_path / f"out{suffix}")
    source, _ = _decoded(info.path, info.video.index)
    frames, complaints = _decoded(got.path, got.video.index)
    assert frames == [source[number] for number in _numbers(timeline.segments, info)]
    assert complaints == ""
    _check_times(got, info, timeline.segments)
    assert (got.video.rotation_deg, got.video.pixel_aspect) == (info.video.rotation_deg, info.video.pixel_aspect)
    assert (got.audio is None) == (info.audio is None)


@pytest.mark.parametrize(("params", "suffix"), [(CLOSED, ".mp4"), (OPEN, ".mp4"), (OPEN, ".mkv")])
def test_hevc_joins_are_clean_and_named_so(tmp_path, params, suffix):
    """An open group loses the pictures that refer to what was cut away, and its keyframe counts anew."""
    info = probe(_hevc(tmp_path / "in.mp4", params))
    out = tmp_path / f"out{suffix}"
    points = cut.cut_points(info, out)
    assert len(points.starts) == 10
    assert (points.ends < points.starts)[1:].all() == (params == OPEN)
    timeline = _every_other(points)
    cut.cut(timeline, points, out)
    source, _ = _decoded(info.path, 0)
    frames, complaints = _decoded(out, 0)
    assert frames == [source[number] for number in _numbers(timeline.segments, info)]
    assert complaints == ""
    got = probe(out)
    _check_times(got, info, timeline.segments)
    if params == OPEN:  # BLA pictures at all joins; the first one stays as it was
        assert len(packets.read(out, ["v:0"], "16-18")[-1].keys) == 4
        assert len(packets.read(info.path, ["v:0"], "16-18")[-1].keys) == 0


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("plain.mp4", ".mp4"), ("plain.mkv", ".mkv"), ("rotated.mp4", ".mp4"), ("late.ts", ".mp4"), ("variable.mp4", ".mp4")],
)
def test_bounds_far_from_a_keyframe_are_encoded_and_the_rest_is_copied(kinds, tmp_path, name, suffix):
    info = probe(kinds(name))
    out = tmp_path / f"out{suffix}"
    points = cut.cut_points(info, out)
    segments = [Segment(info.snap(a), info.snap(b)) for a, b in ((0.6, 3.6), (4.0, 4.9))]
    timeline = Timeline.of(info.path, segments)
    (note,) = cut.cut(timeline, points, out)
    got = probe(out)
    source, _ = _decoded(info.path, info.video.index)
    frames, complaints = _decoded(out, got.video.index)
    numbers = _numbers(timeline.segments, info)
    assert complaints == ""
    _check_times(got, info, timeline.segments)
    same = np.array([frame == source[number] for frame, number in zip(frames, numbers, strict=True)])
    copied = [n for s in segments for n in _whole_groups(s, points)]
    assert set(copied) <= {number for number, equal in zip(numbers, same, strict=True) if equal}
    assert len(copied) >= 39
    assert note.startswith(f"{len(numbers) - len(copied)} of {len(numbers)} frames")
    before, after = FFmpegFrames(info).read(numbers), FFmpegFrames(got).read(np.arange(len(numbers)))
    for one, other in zip(before, after, strict=True):
        error = ((one.astype(np.float64) - other) ** 2).mean()
        assert error == 0 or 10 * np.log10(255**2 / error) > LEAST_PSNR_DB
    assert got.video.rotation_deg == info.video.rotation_deg


def test_a_stretch_costs_what_it_is_long_not_what_the_file_is(tmp_path, monkeypatch):
    params = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50")
    clip = media.encode(tmp_path / "long.mp4", lambda n: media.rays((160, 96), n / 25), 1500, Fraction(25), None, params)
    points = cut.cut_points(probe(clip), tmp_path / "cut.mp4")
    packets_read: list[int] = []
    run = ffmpeg.run

    def told(node, path, **options):
        output = run(node, path, **options | {"log": "verbose"})
        if path == clip:
            packets_read.extend(map(int, re.findall(r"Input stream #0:0 \(video\): (\d+) packets read", output.stderr)))
        return output

    monkeypatch.setattr(smart.ffmpeg, "run", told)
    segments = [smart.JoinPart(first * 512, (first + 75) * 512, None) for first in (25, 525)]
    segments.insert(1, smart.JoinPart(500 * 512, 600 * 512, cut._copy_filters(cut.Part(500 * 512, 600 * 512, copied=True))))
    smart.join(points.info, points.video, segments, points.recipe, tmp_path / "joined.mp4")
    assert len(probe(tmp_path / "joined.mp4").times_s) == 75 + 100 + 75
    assert len(packets_read) == 4  # the stretches, and what joins them
    assert max(packets_read) <= 250


def test_a_rate_that_changes_from_group_to_group_keeps_its_times(tmp_path):
    """Behind slow pictures a fast one is decoded long before it is shown: sooner than the last of the segment before it, once they are joined."""
    group = "floor(N/15)"
    times = f"(floor({group}/2)*2+if(mod({group},2),1.5+mod(N,15)/30,mod(N,15)/10))/TB"
    params = ("-vf", f"settb=1/90000,setpts='{times}'", "-fps_mode", "vfr", "-enc_time_base", "1/90000", "-video_track_timescale", "90000")
    x264 = ("-c:v", "libx264", "-g", "15", "-keyint_min", "15", "-sc_threshold", "0", "-bf", "3", "-pix_fmt", "yuv420p")
    path = media.encode(
        tmp_path / "in.mp4", lambda n: media.stamp(media.meadow((160, 96), n / 5), n), 120, Fraction(30), None, (*params, *x264)
    )
    info = probe(path)
    points = cut.cut_points(info, tmp_path / "out.mp4")
    timeline = _every_other(points)
    assert len(timeline.segments) == 4
    assert moves_overlap(points.video, moves_in_a_row([cut._to_ticks(part, points) for part in timeline.segments])) > 0
    cut.cut(timeline, points, tmp_path / "out.mp4")
    source, _ = _decoded(path, 0)
    frames, complaints = _decoded(tmp_path / "out.mp4", 0)
    assert frames == [source[number] for number in _numbers(timeline.segments, info)]
    assert complaints == ""
    _check_times(probe(tmp_path / "out.mp4"), info, timeline.segments)


def _whole_groups(segment: Segment, points: cut.CutPoints) -> list[int]:
    """Numbers of the frames between the first and the last cut point of a segment."""
    inside = points.times_s[(points.times_s >= segment.start_s) & (points.times_s <= segment.end_s)]
    return _numbers((Segment(inside[0], inside[-1]),), points.info) if len(inside) > 1 else []


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", ("-c:a", "aac")), (".mkv", ("-c:a", "libopus")), (".mp4", ("-c:a", "libmp3lame"))])
def test_flashes_and_clicks_stay_together_over_many_cuts(tmp_path, suffix, sound):
    """Cuts of odd lengths: what is lost or gained at each would add up to a second."""
    group = ("-c:v", "libx264", "-preset", "veryfast", "-g", "7", "-keyint_min", "7", "-sc_threshold", "0", "-pix_fmt", "yuv420p", *sound)
    info = probe(media.draw_flashes(tmp_path / f"in{suffix}", 40, Fraction(30000, 1001), params=group))
    out = tmp_path / f"out{suffix}"
    points = cut.cut_points(info, out)
    starts = points.times_s
    # Around each second flash, from two groups before it to one behind it.
    bounds = [(int(np.searchsorted(starts, second, side="right")) - 1) for second in range(2, 39, 2)]
    timeline = Timeline.of(info.path, [Segment(starts[place - 2], starts[place + 2]) for place in bounds])
    assert len(timeline.segments) == 19
    cut.cut(timeline, points, out)
    got = probe(out)
    frames = FFmpegFrames(got).read(np.arange(len(got.times_s)))
    lit_s = got.times_s[[n for n, frame in enumerate(frames) if frame[40:].mean() > 128]]
    raw = tmp_path / "sound.raw"
    media.run_ffmpeg(
        "-copyts", "-i", out, "-map", "0:a", "-af", "aresample=async=1:first_pts=0", "-ac", 1, "-ar", media.RATE_HZ, "-f", "s16le", raw
    )
    samples = np.abs(np.frombuffer(raw.read_bytes(), "<i2").astype(np.float64))
    loud_s = np.flatnonzero(samples > 8000) / media.RATE_HZ
    clicks_s = loud_s[np.diff(loud_s, prepend=-1) > 0.1]
    assert len(lit_s) == len(clicks_s) == 19
    assert np.abs(lit_s - clicks_s).max() < SYNC_TOLERANCE_S
    heard = packets.read(out, ["a:0"])[0]
    assert np.abs((heard.pts + heard.durations)[:-1] - heard.pts[1:]).max() * float(heard.tick_s) < TIME_TOLERANCE_S


def test_sound_is_within_half_a_packet_and_nothing_adds_up():
    tick_s = Fraction(1, 48000)
    count = 48000 * 600 // 1024
    shown = np.arange(count) * 1024 + 17
    zeros = np.zeros(count, np.int64)
    sound = packets.Packets(tick_s, shown, shown, np.full(count, 1024), zeros, zeros, zeros + packets.KEY_FLAG)
    picture = packets.Packets(Fraction(1, 30000), *[zeros[:1]] * 6)
    kept = [(1001 * a, 1001 * b) for a, b in ((30 * k, 30 * k + 11) for k in range(1, 500))]
    moves = moves_of_audio(kept, picture, sound)
    assert len(moves) == len(kept)
    at = 0
    for (first, stop), move in zip(kept, moves, strict=True):
        late = (first - at) * Fraction(48000, 30000) - move.shift
        assert abs(late) <= 513
        at += stop - first
    ends = [move.stop - move.shift for move in moves]
    assert [move.first - move.shift for move in moves[1:]] == ends[:-1]


def test_subtitles_come_along_at_their_words(kinds, tmp_path):
    (tmp_path / "words.srt").write_text(
        "1\n00:00:00,200 --> 00:00:01,000\ncut away\n\n2\n00:00:01,800 --> 00:00:02,400\ninside\n\n"
        "3\n00:00:02,800 --> 00:00:03,900\ncut off\n\n4\n00:00:04,200 --> 00:00:05,000\nbegun before\n"
    )
    path = tmp_path / "in.mkv"
    media.run_ffmpeg("-i", kinds("plain.mkv"), "-i", tmp_path / "words.srt", "-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt", path)
    info = probe(path)
    out = tmp_path / "out.mkv"
    points = cut.cut_points(info, out)
    timeline = _every_other(points)  # 1.502-3.003, 4.505-5.97
    cut.cut(timeline, points, out)
    media.run_ffmpeg("-i", out, "-map", "0:s", tmp_path / "got.srt")
    times = re.findall(r"(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n(.*)", (tmp_path / "got.srt").read_text())
    assert [words for _, _, words in times] == ["inside", "cut off", "begun before"]
    seconds = [[float(time[6:8]) + float(time[9:]) / 1000 for time in row[:2]] for row in times]
    np.testing.assert_allclose(seconds, [[0.298, 0.898], [1.298, 1.501], [1.501, 1.996]], atol=0.004)


def test_refused_by_name(kinds, tmp_path):
    with pytest.raises(MediaError, match=r"its h264 has open groups of pictures only.*leave out --lossless"):
        cut.cut_points(probe(kinds("opengop.mp4")), tmp_path / "out.mp4")
    path = media.encode(tmp_path / "a.webm", lambda n: np.full((32, 32, 3), n, np.uint8), 10, Fraction(25), None, ("-c:v", "libvpx"))
    with pytest.raises(MediaError, match=r"its vp8 cannot be copied into \.mp4 .*give -o out\.mkv, or leave out --lossless"):
        cut.cut_points(probe(path), tmp_path / "out.mp4")
    part = media.draw_flashes(tmp_path / "part.ts", 4, Fraction(25))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    with pytest.raises(MediaError, match="its clock jumps"):
        cut.cut_points(probe(joined), tmp_path / "out.mp4")
    info = probe(kinds("resized.mkv"))
    points = cut.cut_points(info, tmp_path / "out.mkv")
    with pytest.raises(RenderError, match="changes its headers"):
        cut.cut(Timeline.of(info.path, [Segment(info.snap(0.5), info.snap(5.5))]), points, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_the_check_refuses_what_was_not_planned(kinds, tmp_path, monkeypatch):
    info = probe(kinds("plain.mp4"))
    points = cut.cut_points(info, tmp_path / "out.mp4")
    good = cut.move_filters
    for spoiled in ("noise=drop='eq(n,70)',", "noise=amount=-3,", "setts=pts=PTS+eq(N\\,70)*200:dts=DTS,"):
        monkeypatch.setattr(cut, "move_filters", lambda *args, spoiled=spoiled: spoiled + good(*args))
        with pytest.raises(RenderError, match=r"failed its check|cannot be written"):
            cut.cut(_every_other(points), points, tmp_path / "out.mp4")
        assert list(tmp_path.iterdir()) == []


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-pix_fmt", "yuv420p")
X265 = (*HEVC[:4], "-pix_fmt", "yuv420p", "-x265-params", CLOSED)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("in.ts", (*X264, "-c:a", "aac")),
        ("in.ts", (*X265, "-c:a", "aac")),
        ("in.ts", (*X264, "-c:a", "mp2")),
        ("in.ts", (*X264, "-c:a", "ac3")),
        ("in.avi", (*X264, "-bf", "0", "-c:a", "mp3")),
        ("in.flv", (*X264, "-c:a", "aac")),
    ],
    ids=["aac.ts", "hevc.ts", "mp2.ts", "ac3.ts", "avi", "flv"],
)
def test_what_can_be_copied_into_a_container_is_not_refused(tmp_path, name, params):
    info = probe(media.draw_flashes(tmp_path / name, 4, Fraction(30), params=params))
    for suffix in (".mp4", ".mov", ".mkv"):
        out = tmp_path / f"out{suffix}"
        points = cut.cut_points(info, out)
        segment = Segment(float(points.times_s[2]), points.end_of(float(points.times_s[6])))  # 1 to 3 s
        assert cut.cut(Timeline.of(info.path, [segment]), points, out) == []
        got = probe(out)
        assert got.audio is not None
        assert len(got.times_s) == len(_numbers((segment,), info)) == pytest.approx(60, abs=3)
        # By its clock: the first packets of MP3 that refer to what was cut away may give no samples.
        heard = next(read_windows(got, [Segment(0, 2)], media.RATE_HZ))
        loud = np.flatnonzero(np.abs(heard) > 0.3) / media.RATE_HZ
        flash = next(n for n, frame in enumerate(FFmpegFrames(got).read(np.arange(15, 50)), 15) if frame.mean() > 127)
        assert abs(loud[loud > 0.5][0] - got.times_s[flash]) < 2 * SYNC_TOLERANCE_S


def test_sound_that_begins_late_is_copied_at_its_time(tmp_path):
    """libav does not look so far ahead: it knows nothing of this sound at first."""
    path = tmp_path / "late.ts"
    whole = media.draw_flashes(tmp_path / "whole.ts", 12, Fraction(30), params=(*X264, "-b:v", "2M", "-minrate", "2M", "-c:a", "aac"))
    late = ("-map", "0:v", "-map", "1:a", "-c", "copy", "-copyts", "-muxdelay", "0")
    media.run_ffmpeg("-i", whole, "-ss", 9, "-i", whole, *late, path)
    info = probe(path)
    points = cut.cut_points(info, tmp_path / "out.mp4")
    segment = Segment(float(points.times_s[20]), points.end_of(float(points.times_s[22])))
    assert cut.cut(Timeline.of(path, [segment]), points, tmp_path / "out.mp4") == []
    got = probe(tmp_path / "out.mp4")
    assert got.audio is not None
    loud = np.flatnonzero(np.abs(media.decode_audio(got.path)[:, 0]) > 0.3) / media.RATE_HZ
    assert loud[0] == pytest.approx(np.ceil(segment.start_s) - segment.start_s, abs=2 * SYNC_TOLERANCE_S)
