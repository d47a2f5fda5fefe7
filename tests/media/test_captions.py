"""Chapters and subtitles of a source in the rendered summary, in every container."""

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import ffmpeg, headers
from mmvatool.media.frames import Frames
from mmvatool.media.probe import probe
from mmvatool.media.render import render
from mmvatool.timeline import Segment, Timeline
from tests.conftest import REAL_MEDIA
from tests.helpers import media

KEPT = [Segment(1.0, 2.0), Segment(3.0, 4.0)]  # of 5 s
SRT = """1
00:00:00,000 --> 00:00:00,500
away

2
00:00:00,400 --> 00:00:01,500
<i>into</i>

3
00:00:01,600 --> 00:00:03,400
split
"""
# Spoken in the summary: the second until 0.5; the third from 0.6 to 1 and from 1 to 1.4.
TIMES = [(0.0, 0.5), (0.6, 1.0), (1.0, 1.4)]
TEXTS = ["into", "split", "split"]
CHAPTERS = """;FFMETADATA1
title=A film
[CHAPTER]
TIMEBASE=1/1000
START=0
END=900
title=away
[CHAPTER]
TIMEBASE=1/1000
START=900
END=3500
title=a \\= b
[CHAPTER]
TIMEBASE=1/1000
START=3500
END=5000
title=end
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """5 s at 25 with sound, chapters and two tracks of subtitles, in several containers."""
    folder = tmp_path_factory.mktemp("captions")
    plain = media.draw_scenes(folder / "plain.mp4", [("wall", 5)], (64, 36), Fraction(25))
    vp9 = folder / "plain.webm"
    media.run_ffmpeg("-i", plain, "-c:v", "libvpx-vp9", "-cpu-used", 8, "-deadline", "realtime", "-c:a", "libopus", vp9)
    (folder / "s.srt").write_text(SRT)
    (folder / "c.txt").write_text(CHAPTERS)
    found = {}
    for suffix, codec in ((".mp4", "mov_text"), (".mov", "mov_text"), (".mkv", "ass"), (".srt.mkv", "srt"), (".webm", "webvtt")):
        found[suffix] = folder / f"source{suffix}"
        subtitle_inputs = [part for _ in range(2) for part in ("-i", folder / "s.srt")]
        told = [
            "-metadata:s:s:0",
            "language=eng",
            "-metadata:s:s:0",
            "title=Full",
            "-metadata:s:s:1",
            "language=fra",
            "-disposition:s:0",
            "default",
            "-disposition:s:1",
            "forced",
        ]
        maps = ["-map", "0", "-map", "1", "-map", "2", "-map_metadata", 3, "-map_chapters", 3]
        picture = vp9 if suffix == ".webm" else plain
        media.run_ffmpeg(
            "-i", picture, *subtitle_inputs, "-i", folder / "c.txt", *maps, "-c", "copy", "-c:s", codec, *told, found[suffix]
        )  # fmt: skip
    return found


def spoken(path: Path, track: int) -> tuple[list[tuple[float, float]], list[str]]:
    """Times and texts of a track of subtitles, as ffmpeg reads them."""
    command = [ffmpeg.executable(), "-v", "error", "-i", str(path), "-map", f"0:s:{track}", "-f", "srt", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    times, texts = [], []
    for block in text.strip().split("\n\n"):
        _, line, body = block.split("\n", 2)
        times.append(tuple(round(float(part[6:].replace(",", ".")), 3) for part in line.split(" --> ")))
        texts.append(re.sub(r"<[^>]*>", "", body))
    return times, texts


def chapters(path: Path) -> list[tuple[float, float, str]]:
    return [(round(start_s, 3), round(end_s, 3), tags["title"]) for start_s, end_s, tags in headers.read(path, "").chapters]


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        (".mp4", ".mp4"),
        (".mp4", ".mkv"),
        (".mov", ".mov"),
        (".mkv", ".mkv"),
        (".mkv", ".mp4"),
        (".srt.mkv", ".m4v"),
        (".srt.mkv", ".mkv"),
        (".webm", ".webm"),
        (".webm", ".mp4"),
        (".mp4", ".webm"),
    ],
)
def test_they_come_along_at_their_new_times(sources, tmp_path, source, suffix):
    info, target = probe(sources[source]), tmp_path / f"summary{suffix}"
    warnings = render(Timeline.of(info.path, KEPT), info, target)
    assert not any("left out" in note for note in warnings)
    for track in (0, 1):
        times, texts = spoken(target, track)
        assert texts == TEXTS
        assert np.abs(np.subtract(times, TIMES)).max() <= 0.011  # ASS has hundredths
    assert chapters(target) == [(0.0, 1.5, "a = b"), (1.5, 2.0, "end")]
    header = headers.read(target, "")
    assert ["default" in stream.dispositions for stream in header.subtitles] == [True, False]
    forced = suffix != ".mov"  # QuickTime's tracks have no such mark
    assert ["forced" in stream.dispositions for stream in header.subtitles] == [False, forced]
    if source.endswith(".mkv") and suffix == ".mkv":
        assert [stream.tags.get("title") for stream in header.subtitles] == ["Full", None]
    assert [stream.language for stream in header.subtitles] in (["eng", "fra"], ["eng", "fre"])
    assert header.tags["title"] == "A film"
    made = probe(target)
    assert len(made.times_s) == 50
    assert made.rate == 25
    assert made.audio is not None
    assert [media.read_stamp(frame) for frame in Frames(made).read(np.array([0, 24, 25, 49]))] == [25, 49, 75, 99]


def test_the_picture_and_the_sound_are_what_they_are_without(sources, tmp_path):
    info = probe(sources[".mp4"])
    plain = probe(media.draw_scenes(tmp_path / "plain.mp4", [("wall", 5)], (64, 36), Fraction(25)))
    render(Timeline.of(info.path, KEPT), info, tmp_path / "with.mp4")
    render(Timeline.of(plain.path, KEPT), plain, tmp_path / "without.mp4")
    assert np.array_equal(media.decode_audio(tmp_path / "with.mp4"), media.decode_audio(tmp_path / "without.mp4"))
    assert np.array_equal(probe(tmp_path / "with.mp4").times_s, probe(tmp_path / "without.mp4").times_s)


def test_a_chapter_for_each_kept_stretch(sources, tmp_path):
    info = probe(sources[".mp4"])
    render(Timeline.of(info.path, KEPT), info, tmp_path / "summary.mp4", chapters=True)
    assert chapters(tmp_path / "summary.mp4") == [(0.0, 1.0, "0:01 - 0:02"), (1.0, 2.0, "0:03 - 0:04")]


def test_styles_stay(sources, tmp_path):
    info = probe(sources[".mkv"])
    ass = tmp_path / "s.ass"
    media.run_ffmpeg("-i", info.path, "-map", "0:s:0", ass)
    ass.write_text(ass.read_text().replace("Style: Default,Arial,16,", "Style: Default,Comic Sans,31,"))
    media.run_ffmpeg("-i", info.path, "-i", ass, "-map", "0:v", "-map", "1", "-c", "copy", tmp_path / "styled.mkv")
    styled = probe(tmp_path / "styled.mkv")
    render(Timeline.of(styled.path, KEPT), styled, tmp_path / "summary.mkv")
    media.run_ffmpeg("-i", tmp_path / "summary.mkv", "-map", "0:s:0", "-c", "copy", tmp_path / "out.ass")
    assert "Style: Default,Comic Sans,31," in (tmp_path / "out.ass").read_text()


def test_what_is_cut_away_is_gone(sources, tmp_path):
    info = probe(sources[".mp4"])
    render(Timeline.of(info.path, [Segment(4.0, 4.4)]), info, tmp_path / "summary.mp4")
    assert headers.read(tmp_path / "summary.mp4", "").subtitles == []
    assert chapters(tmp_path / "summary.mp4") == [(0.0, 0.4, "end")]


def test_subtitles_of_pictures_are_left_out_by_name(sources, tmp_path):
    def segment(time_s: float, kind: int, body: bytes = b"") -> bytes:
        return b"PG" + round(90_000 * time_s).to_bytes(4, "big") + bytes(4) + bytes([kind]) + len(body).to_bytes(2, "big") + body

    composition = bytes([0, 64, 0, 36, 0x10, 0, 0, 0x80, 0, 0, 0])
    sup = b"".join(segment(time_s, 0x16, composition) + segment(time_s, 0x80) for time_s in (0.5, 1.5, 2.5))
    (tmp_path / "s.sup").write_bytes(sup)
    media.run_ffmpeg(
        "-i", sources[".mkv"], "-i", tmp_path / "s.sup", "-map", "0:v", "-map", "1", "-map", "0:s:0", "-c", "copy", tmp_path / "pgs.mkv"
    )
    info = probe(tmp_path / "pgs.mkv")
    warnings = render(Timeline.of(info.path, KEPT), info, tmp_path / "summary.mp4")
    assert "subtitle track 1 is of pictures (hdmv_pgs_subtitle), which cannot be moved: left out" in warnings
    assert spoken(tmp_path / "summary.mp4", 0)[1] == TEXTS


def test_a_clock_that_does_not_begin_at_zero(sources, tmp_path):
    media.run_ffmpeg("-itsoffset", 7, "-i", sources[".srt.mkv"], "-map", "0", "-c", "copy", "-copyts", tmp_path / "late.mkv")
    info = probe(tmp_path / "late.mkv")
    assert info.origin_s == pytest.approx(7, abs=0.03)
    render(Timeline.of(info.path, KEPT), info, tmp_path / "summary.mkv")
    assert np.abs(np.subtract(spoken(tmp_path / "summary.mkv", 0)[0], TIMES)).max() < 0.03


@pytest.mark.skipif(not (REAL_MEDIA / "mov_text.mp4").is_file(), reason="real media are not here")
def test_a_real_file(tmp_path):
    info = probe(REAL_MEDIA / "mov_text.mp4")
    render(Timeline.of(info.path, [Segment(info.snap(1.6), info.end_s)]), info, tmp_path / "summary.mp4")
    times, texts = spoken(tmp_path / "summary.mp4", 0)
    assert texts == ["boop"]
    assert np.abs(np.subtract(times, [(0.0, 1.916 - info.snap(1.6))])).max() < 0.01
