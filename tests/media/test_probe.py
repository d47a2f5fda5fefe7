from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError
from mmvatool.media import packets
from mmvatool.media.probe import probe
from tests.helpers import media
from tests.media.conftest import COUNT, RATE, X264

TIME_TOLERANCE_S = 0.001  # Matroska's clock


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "vp9.webm", "av1.mp4", "hevc.mp4", "anamorphic.mp4"])
def test_constant_rate_is_exact_and_times_come_from_the_container(kinds, name):
    info = probe(kinds(name))
    assert info.rate == RATE
    assert info.constant_rate
    assert len(info.times_s) == COUNT
    assert np.abs(info.times_s - info.start_s - np.arange(COUNT) / float(RATE)).max() <= TIME_TOLERANCE_S
    assert info.duration_s == pytest.approx(COUNT / RATE, abs=2 * TIME_TOLERANCE_S)
    assert (info.video.width, info.video.height) == (320, 180)
    assert info.audio is not None


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30), Fraction(60000, 1001), Fraction(12)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rates_of_short_clips(tmp_path, rate, suffix):
    path = media.encode(tmp_path / f"a{suffix}", lambda n: np.full((32, 32, 3), n, np.uint8), 20, rate, None, X264)
    info = probe(path)
    assert (info.rate, info.constant_rate) == (rate, True)


def test_variable_rate_has_a_nominal_rate_and_true_times(kinds):
    info = probe(kinds("variable.mp4"))
    assert not info.constant_rate
    assert info.rate == 30
    kept = [number for number in range(COUNT) if number % 7]
    assert len(info.times_s) == len(kept)
    expected = np.array(kept) / 30 + 0.004 * np.sin(np.arange(len(kept)))
    assert np.abs((info.times_s - info.times_s[0]) - (expected - expected[0])).max() < TIME_TOLERANCE_S


def test_a_seam_in_a_recording_does_not_change_the_rate(tmp_path):
    """Two recordings joined with a gap: the mean rate is lower, the nominal one is not."""
    gap = "setpts='PTS+0.3*gte(N,30)/TB'"
    params = ("-vf", f"settb=1/15360,{gap}", "-fps_mode", "vfr", "-enc_time_base", "1/15360", *X264)
    info = probe(media.encode(tmp_path / "a.mp4", lambda n: np.full((32, 32, 3), n, np.uint8), 60, Fraction(30), None, params))
    assert (info.rate, info.constant_rate) == (30, False)
    assert info.duration_s == pytest.approx(2.3, abs=0.01)


def test_rotation_gives_the_size_as_shown(kinds):
    video = probe(kinds("rotated.mp4")).video
    assert (video.width, video.height) == (320, 180)
    assert abs(video.rotation_deg) == 90


def test_pixel_aspect(kinds):
    assert probe(kinds("anamorphic.mp4")).video.pixel_aspect == Fraction(4, 3)


def test_edit_list_hides_frames(kinds):
    info = probe(kinds("edit.mp4"))
    assert len(info.times_s) < info.packet_count
    assert info.start_s == pytest.approx(0, abs=1.5 / RATE)
    assert (info.times_s >= 0).all()


def test_open_groups_of_pictures_are_told_from_closed_ones(kinds):
    assert probe(kinds("opengop.mp4")).open_gop
    assert not probe(kinds("plain.mp4")).open_gop


def test_transport_stream_clock(kinds):
    info = probe(kinds("late.ts"))
    assert info.origin_s > 1
    assert 0 <= info.start_s < 1.5


def test_duration_is_of_the_content_not_of_the_header(tmp_path, kinds):
    whole = tmp_path / "fast.mp4"
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-c", "copy", "-movflags", "faststart", whole)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    info = probe(cut)
    assert 1 < info.duration_s < 5


def test_colour_tags(tmp_path):
    tags = ("-vf", "scale=out_range=full:out_color_matrix=bt709", *X264, "-color_range", "pc", "-colorspace", "bt709")
    path = media.encode(tmp_path / "a.mp4", lambda n: np.full((32, 32, 3), 90, np.uint8), 5, Fraction(25), None, tags)
    color = probe(path).video.color
    assert (color.matrix, color.full_range, color.range_tagged) == ("bt709", True, True)
    untagged = probe(
        media.encode(tmp_path / "b.mp4", lambda n: np.full((32, 32, 3), 90, np.uint8), 5, Fraction(25), None, X264)
    ).video.color
    assert (untagged.matrix, untagged.full_range) == (None, False)


def test_tags_with_special_characters(tmp_path):
    title = "a=b; c#d \\ 'e' [f]\nsecond line"
    path = media.encode(
        tmp_path / "a.mp4",
        lambda n: np.zeros((32, 32, 3), np.uint8),
        5,
        Fraction(25),
        None,
        (*X264, "-metadata", f"title={title}", "-metadata", "artist=Ünï"),
    )
    assert probe(path).tags == {"title": title, "artist": "Ünï"}


def test_file_names_are_never_read_as_protocols_or_options(tmp_path, monkeypatch):
    path = media.encode(tmp_path / "-i concat:a'b\"c.mp4", lambda n: np.zeros((32, 32, 3), np.uint8), 5, Fraction(25), None, X264)
    monkeypatch.chdir(tmp_path)
    assert len(probe(Path(path.name)).times_s) == 5


def test_several_streams_the_default_one_is_taken(tmp_path, kinds):
    path = tmp_path / "two.mp4"
    streams = ("-map", "1:v", "-map", "0:v", "-map", "0:a", "-disposition:v:0", "0", "-disposition:v:1", "default")
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-i", kinds("odd.mp4"), *streams, "-c", "copy", path)
    assert (probe(path).video.index, probe(path).video.width) == (1, 320)


def test_languages_with_a_region(tmp_path, kinds):
    path = tmp_path / "region.mkv"
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-c", "copy", "-metadata:s:v", "language=en-US", "-metadata:s:a", "language=de-CH", path)
    info = probe(path)
    assert info.audio is not None
    assert (info.video.language, info.audio.language) == ("en-US", "de-CH")


def _refused(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_bad_files_are_named_with_the_cure(tmp_path, kinds, song):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("This is not a video. " * 100)
    whole = kinds("plain.mp4").read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[: len(whole) // 2])
    picture = tmp_path / "picture.png"
    media.run_ffmpeg("-i", kinds("plain.mp4"), "-frames:v", 1, picture)
    raw = media.encode(tmp_path / "raw.h264", lambda n: np.zeros((32, 32, 3), np.uint8), 5, Fraction(25), None, ("-c:v", "libx264"))
    assert "no such file" in _refused(tmp_path / "nothing.mp4")
    assert "is empty" in _refused(tmp_path / "empty.mp4")
    assert "not a media file" in _refused(tmp_path / "text.mp4")
    assert "truncated" in _refused(tmp_path / "head.mp4")
    assert "has sound but no video" in _refused(song)
    assert "is a picture" in _refused(picture)
    assert "container" in _refused(raw)


def test_snapping_goes_to_the_nearest_frame_boundary(kinds):
    info = probe(kinds("plain.mp4"))
    edges = np.append(info.times_s, info.end_s)
    for time_s in np.random.default_rng(0).uniform(-1, info.end_s + 1, 200):
        assert abs(info.snap(time_s) - time_s) == pytest.approx(np.abs(edges - time_s).min(), abs=1e-12)


def test_recordings_joined_byte_by_byte_are_noticed(tmp_path):
    part = media.draw_flashes(tmp_path / "part.ts", 4, Fraction(25))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(part.read_bytes() * 2)
    assert not probe(part).restarts
    assert probe(whole).restarts


def test_hidden_frames_of_vp8_are_no_restart_and_no_frames(kinds):
    info = probe(kinds("hidden.webm"))
    assert len(packets.read(info.path, ["v:0"])[0].pts) > COUNT  # otherwise the file has none
    assert (info.rate, info.constant_rate, len(info.times_s)) == (RATE, True, COUNT)
    assert not info.restarts
    assert len(info.keys_s) > 1


@pytest.mark.parametrize("name", ["pauses.mp4", "pauses.mkv"])
def test_long_pauses_are_no_jumps_of_the_clock(kinds, name):
    info = probe(kinds(name))
    assert np.diff(info.times_s).max() > 10
    assert (info.rate, info.constant_rate, len(info.keys_s)) == (30, False, 5)


def test_a_time_code_is_found_with_its_picture(tmp_path):
    """ffmpeg tells of both as one group, a step further in."""
    params = ["-c:v", "libx264", "-preset", "ultrafast", "-timecode", "01:02:03:04"]
    path = media.draw_scenes(tmp_path / "camera.mov", [("wall", 1)], (64, 36), Fraction(25), params=params)
    info = probe(path)
    assert info.timecode == "01:02:03:04"
    assert (info.video.width, info.video.height, len(info.times_s)) == (64, 36, 25)
    assert info.audio is not None
    without = media.draw_scenes(tmp_path / "phone.mp4", [("wall", 1)], (64, 36), Fraction(25), with_sound=False)
    assert probe(without).timecode is None


VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0")
BURSTS = {
    "three a tick apart": "floor(N/3)*9000+mod(N,3)*7",
    "three, jittered": "floor(N/3)*9000+mod(N,3)*(4+floor(random(0)*9))",
    "three, both jittered": "floor(N/3)*9000+mod(N,3)*7+floor(random(0)*4)",
    "pairs": "floor(N/2)*6000+mod(N,2)*7",
    "pairs from the second of one on": "floor((N+1)/2)*6000+mod(N+1,2)*7",
    "five": "floor(N/5)*15000+mod(N,5)*7",
    "thirty": "floor(N/30)*90000+mod(N,30)*7",
    "three, 10 ms apart": "floor(N/3)*9000+mod(N,3)*(900+floor(random(0)*300))",
    "three and a pause": "floor(N/3)*9000+mod(N,3)*7+gte(N,60)*1800000",
}


def _draw_times(path: Path, ticks: str, count: int = 90, params: tuple[str, ...] = ()) -> Path:
    """A video whose frame N is shown at an expression's ticks of 1/90000 s."""
    times = ("-vf", f"settb=1/90000,setpts='{ticks}'", "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    clock = ("-video_track_timescale", "90000")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "30", "-pix_fmt", "yuv420p")
    return media.encode(path, lambda n: np.full((32, 32, 3), n, np.uint8), count, Fraction(30), None, (*times, *clock, *(params or x264)))


@pytest.mark.parametrize("ticks", BURSTS.values(), ids=BURSTS.keys())
def test_frames_in_bursts_have_the_rate_of_their_average(tmp_path, ticks):
    """Cameras send what has queued up: most frames are a tick apart, which is no rate."""
    info = probe(_draw_times(tmp_path / "a.mp4", ticks))
    assert (info.rate, info.constant_rate, len(info.times_s)) == (30, False, 90)


@pytest.mark.parametrize("apart", [7, 90])
@pytest.mark.parametrize(("suffix", "params"), [(".mkv", ()), (".webm", VP9)])
def test_frames_in_bursts_on_a_clock_of_milliseconds(tmp_path, apart, suffix, params):
    """Of a burst several frames may lie in one millisecond."""
    path = _draw_times(tmp_path / "a.mp4", f"floor(N/3)*9000+mod(N,3)*{apart}", params=params)
    moved = tmp_path / f"a{suffix}"
    media.run_ffmpeg("-i", path, "-c", "copy", moved)
    info = probe(moved)
    assert float(info.rate) == pytest.approx(30, abs=0.3)
    assert not info.constant_rate


def test_a_recording_with_pauses_keeps_the_rate_between_them(tmp_path):
    """It has a third of the frames that its length would hold at its rate, as bursts do."""
    info = probe(_draw_times(tmp_path / "a.mp4", "N*1500+gte(N,25)*900000+gte(N,57)*700000"))
    assert (info.rate, info.constant_rate) == (60, False)
