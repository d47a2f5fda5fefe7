"""Videos with another sound: packets, times and streams of the result against the source's, and what a player would show and play."""

import hashlib
import os
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import OutputError, RenderError
from mmvatool.media import ffmpeg, headers, mix, splice
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.timeline import Cue
from tests.helpers import media
from tests.helpers.media import RATE_HZ

SYNC_TOLERANCE_S = 0.005


def _sound(folder: Path, seconds: float, codec: str = "aac", clicks: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)) -> Path:
    track = media.write_wav(folder / "track.wav", 0.5 * media.click_sound(seconds, [click for click in clicks if click < seconds]))
    target = folder / f"sound-{codec}"
    mix.write_sound([Cue(track, 0, seconds, 0, 0)], seconds, target, codec=codec)
    return target


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> dict[str, Path]:
    """6 s with a click each second, as AAC and as Opus."""
    folder = tmp_path_factory.mktemp("sounds")
    return {codec: _sound(folder, 6, codec) for codec in ("aac", "opus")}


def _frames(path: Path, stream: str = "v:0") -> str:
    """A hash of all decoded frames, without their times."""
    command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-fps_mode", "passthrough"]
    text = subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, check=True, text=True, timeout=60).stdout
    frames = [line.split(",")[-1] for line in text.splitlines() if not line.startswith("#")]
    return f"{len(frames)} {hashlib.md5(' '.join(frames).encode()).hexdigest()}"


def _clicks_s(path: Path) -> np.ndarray:
    """When clicks are heard of a file, as a player counts time."""
    mono = np.abs(media.decode_audio(path)).max(axis=1)
    loud = np.flatnonzero(mono > 0.3 * mono.max())
    return loud[np.concatenate([[True], np.diff(loud) > RATE_HZ // 4])] / RATE_HZ


def _splice(info: MediaInfo, sounds: dict[str, Path], target: Path) -> tuple[MediaInfo, list[str]]:
    warnings = splice.copy_picture(info, sounds["opus" if target.suffix == ".webm" else "aac"], target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return probe(target), warnings


ELSEWHERE = ("plain.mp4", "late.ts", "variable.mp4", "rotated.mp4", "plain.avi")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, ".mp4") for name in (*ELSEWHERE, "plain.mkv", "hevc.mp4", "opengop.mp4", "plain.flv", "plain.mpg", "resized.ts")),
        *((name, ".mp4") for name in ("anamorphic.mp4", "odd.mp4")),
        *((name, suffix) for name in ELSEWHERE for suffix in (".mov", ".mkv")),
    ],
)
def test_the_picture_is_copied_and_keeps_its_times(kinds, sounds, tmp_path, name, suffix):
    info = probe(kinds(name))
    got, warnings = _splice(info, sounds, tmp_path / f"out{suffix}")
    assert warnings == []
    assert _frames(tmp_path / f"out{suffix}") == _frames(kinds(name), str(info.video.index))
    np.testing.assert_allclose(got.times_s + got.origin_s, info.times_s, atol=0.002, rtol=0)
    assert (got.video.width, got.video.height, got.video.codec) == (info.video.width, info.video.height, info.video.codec)
    assert got.video.rotation_deg == info.video.rotation_deg
    assert abs(got.video.pixel_aspect - info.video.pixel_aspect) < Fraction(1, 100)
    assert got.audio is not None
    assert (got.audio.codec, got.audio.rate_hz, got.audio.channels) == ("aac", 48000, 2)
    np.testing.assert_allclose(_clicks_s(tmp_path / f"out{suffix}"), [1, 2, 3, 4], atol=SYNC_TOLERANCE_S)


@pytest.mark.parametrize(("name", "suffix"), [("vp9.webm", ".webm"), ("vp9.webm", ".mp4"), ("av1.mp4", ".webm"), ("av1.mp4", ".mp4")])
def test_pictures_of_the_web_are_copied(kinds, sounds, tmp_path, name, suffix):
    got, warnings = _splice(probe(kinds(name)), sounds, tmp_path / f"out{suffix}")
    assert warnings == []
    assert _frames(tmp_path / f"out{suffix}") == _frames(kinds(name), "v:0")
    assert got.audio is not None
    assert got.audio.codec == ("opus" if suffix == ".webm" else "aac")
    np.testing.assert_allclose(_clicks_s(tmp_path / f"out{suffix}"), [1, 2, 3, 4], atol=SYNC_TOLERANCE_S)


@pytest.mark.parametrize("source", ["a.mp4", "a.ts", "a.mkv"])
def test_flash_and_click_come_together(tmp_path, source):
    """Flashes each second of the source; clicks laid at their times on the container's clock; both seen and heard together."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    aac = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    info = probe(media.draw_flashes(tmp_path / "in" / source, 4, Fraction(25), params=aac))
    dark = FFmpegFrames(info).read(np.arange(len(info.times_s))).mean((1, 2, 3))
    flashes_s = tuple(float(time_s) for time_s in info.times_s[dark > 200])
    sound = _sound(tmp_path / "in", 4, clicks=flashes_s[1:])
    splice.copy_picture(info, sound, tmp_path / "out" / "out.mp4")
    got = probe(tmp_path / "out" / "out.mp4")
    bright = FFmpegFrames(got).read(np.arange(len(got.times_s))).mean((1, 2, 3)) > 200
    np.testing.assert_allclose(_clicks_s(got.path), got.times_s[bright][1:], atol=SYNC_TOLERANCE_S)
    assert got.origin_s == 0


def test_hidden_frames_stay_hidden(kinds, sounds, tmp_path):
    info = probe(kinds("edit.mp4"))
    got, warnings = _splice(info, sounds, tmp_path / "out.mp4")
    assert warnings == []
    assert (len(got.times_s), got.packet_count) == (len(info.times_s), info.packet_count)
    assert _frames(got.path) == _frames(info.path)
    np.testing.assert_allclose(_clicks_s(got.path), [1, 2, 3, 4], atol=SYNC_TOLERANCE_S)


def test_hidden_frames_where_nothing_can_hide_them(kinds, sounds, tmp_path):
    """Matroska has no edit list: copied, the frames before the cut would show."""
    info = probe(kinds("edit.mp4"))
    got, warnings = _splice(info, sounds, tmp_path / "out.mkv")
    assert warnings == ["its h264 picture cannot lie in an .mkv as it is: encoded as H.264"]
    np.testing.assert_allclose(got.times_s, info.times_s, atol=0.002)
    stamps = [media.read_stamp(frame) for frame in FFmpegFrames(got).read(np.arange(len(got.times_s)))]
    assert stamps == [media.read_stamp(frame) for frame in FFmpegFrames(info).read(np.arange(len(info.times_s)))]


@pytest.mark.parametrize(
    ("name", "suffix", "codec", "note"),
    [
        ("variable.mp4", ".webm", "vp9", "its h264 picture cannot lie in a .webm: encoded as VP9"),
        ("rotated.mp4", ".webm", "vp9", "its h264 picture cannot lie in a .webm: encoded as VP9"),
        ("vp8.webm", ".mp4", "h264", "its vp8 picture cannot lie in an .mp4: encoded as H.264"),
        ("wmv2.avi", ".m4v", "h264", "its wmv2 picture cannot lie in an .m4v: encoded as H.264"),
    ],
)
def test_a_picture_that_the_container_does_not_take_is_encoded(kinds, sounds, tmp_path, name, suffix, codec, note):
    (tmp_path / "out").mkdir()
    path = tmp_path / name
    if name == "vp8.webm":
        media.run_ffmpeg("-i", kinds("plain.mp4"), "-t", 2, "-c:v", "libvpx", "-deadline", "realtime", "-an", path)
    elif name == "wmv2.avi":
        media.run_ffmpeg("-i", kinds("plain.mp4"), "-t", 2, "-c:v", "wmv2", "-q:v", 3, "-an", path)
    else:
        path = kinds(name)
    info = probe(path)
    got, warnings = _splice(info, sounds, tmp_path / "out" / f"out{suffix}")
    assert warnings == [note]
    assert got.video.codec == codec
    assert (got.video.width, got.video.height) == (info.video.width, info.video.height)
    np.testing.assert_allclose(got.times_s + got.origin_s, info.times_s, atol=0.002, rtol=0)  # the variable rate, too
    stamps = [media.read_stamp(frame) for frame in FFmpegFrames(got).read(np.arange(len(got.times_s)))]
    assert stamps == [media.read_stamp(frame) for frame in FFmpegFrames(info).read(np.arange(len(info.times_s)))]
    np.testing.assert_allclose(_clicks_s(got.path), [1, 2, 3, 4], atol=SYNC_TOLERANCE_S)


def test_mp4_begins_with_its_index_and_apple_knows_its_hevc(kinds, sounds, tmp_path):
    _splice(probe(kinds("hevc.mp4")), sounds, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"hvc1" in data


def _rich(source: Path, path: Path) -> Path:
    """With a title, two chapters, subtitles and a second video that is not the one to be copied."""
    folder = path.parent
    (folder / "chapters.txt").write_text(
        ";FFMETADATA1\ntitle=Un été à l'eau\nartist=Ana\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2500\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=2500\nEND=5000\ntitle=Two\n"
    )
    (folder / "words.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nWorld\n")
    inputs = ["-i", source, "-i", folder / "chapters.txt", "-i", folder / "words.srt"]
    subtitles = "mov_text" if path.suffix == ".mp4" else "srt"
    small = ("-filter:v:0", "scale=64:36", "-c:v:0", "libx264", "-c:v:1", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default")
    maps = ["-map", "0:v", "-map", "0:v", "-map", "0:a", "-map", "2", "-map_metadata", "1", "-map_chapters", "1"]
    media.run_ffmpeg(*inputs, *maps, *small, "-c:a", "copy", "-c:s", subtitles, "-metadata:s:s:0", "language=ger", path)
    return path


@pytest.mark.parametrize(
    ("source", "suffix", "kept"), [(".mp4", ".mp4", True), (".mp4", ".mov", True), (".mkv", ".mkv", True), (".mkv", ".mp4", False)]
)
def test_tags_chapters_and_subtitles_come_along(kinds, sounds, tmp_path, source, suffix, kept):
    (tmp_path / "out").mkdir()
    info = probe(_rich(kinds("plain.mp4"), tmp_path / f"rich{source}"))
    assert info.video.width == 320
    got, warnings = _splice(info, sounds, tmp_path / "out" / f"out{suffix}")
    assert warnings == ([] if kept else [f"its subtitles cannot lie in an {suffix}: left out"])
    assert got.video.width == 320
    tags = {key.lower(): value for key, value in got.tags.items()}
    assert (tags["title"], tags["artist"]) == ("Un été à l'eau", "Ana")
    header = headers.read(got.path, "a video file")
    assert [stream.language for stream in header.subtitles] == (["ger"] if kept else [])
    assert [stream.kind for stream in header.streams].count("video") == 1
    told = ffmpeg.run(ffmpeg.source(got.path).output("pipe:", format="ffmetadata"), got.path).stdout.decode()
    assert re.findall(r"START=(\d+)", told)[0] == "0"
    assert re.findall(r"title=(One|Two)", told) == ["One", "Two"]
    if kept:
        words = ffmpeg.run(ffmpeg.source(got.path)["s:0"].output("pipe:", format="srt"), got.path).stdout.decode()
        assert "00:00:03,000 --> 00:00:04,000\nWorld" in words


@pytest.mark.parametrize("name", ["-out 'a:b' \n😀%d.mp4", os.fsdecode(b"caf\xe9.mp4")])
def test_names_that_are_hard_on_command_lines(kinds, sounds, tmp_path, name):
    folder = tmp_path / name.removesuffix(".mp4")
    folder.mkdir()
    path, target = folder / f"in{name}", folder / name
    path.write_bytes(kinds("tiny.mp4").read_bytes())
    mix.write_sound([], 1, folder / "sound.m4a")
    assert splice.copy_picture(probe(path), sounds["aac"], target) == []
    assert len(probe(target).times_s) == 30


def test_nothing_is_left_where_it_fails(kinds, sounds, tmp_path):
    info = probe(kinds("plain.mp4"))
    target = tmp_path / "out.mp4"
    broken = tmp_path.parent / "broken.m4a"
    broken.write_bytes(sounds["aac"].read_bytes()[:4000])
    with pytest.raises(RenderError):
        splice.copy_picture(info, broken, target)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="choose another place"):
        splice.copy_picture(info, sounds["aac"], tmp_path / "nowhere" / "out.mp4")


def test_a_copy_that_is_not_the_source_is_refused(kinds, sounds, tmp_path, monkeypatch):
    """What the check is for: one packet less."""
    info = probe(kinds("plain.mp4"))
    monkeypatch.setattr(splice, "copy_options", lambda suffix, codec: {"bsf:v": "noise=drop='eq(n,50)'"})
    monkeypatch.setattr(
        splice, "_encoded", lambda info, chosen: {"c:v": "libx264", "preset": "ultrafast", "bsf:v": "noise=drop='gte(n,20)'"}
    )
    with pytest.raises(RenderError, match="20 of 179 frames"):
        splice.copy_picture(info, sounds["aac"], tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []
