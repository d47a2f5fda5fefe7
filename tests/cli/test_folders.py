"""Folders as people have them: every kind of file, Live Photos, names of any length, and file systems that refuse some things."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool import files
from mmvatool.files import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from tests.helpers import media

DRY = ("--dry-run", "--json")
# How ffmpeg writes each kind that the tests can draw.
VIDEOS = {
    "mod": ["-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpeg"],
    "tod": ["-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpegts"],
    "m2t": ["-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpegts"],
    "dv": ["-s", "720x576", "-r", "25", "-pix_fmt", "yuv420p", "-c:v", "dvvideo", "-ar", "48000", "-ac", "2"],
    "3g2": ["-c:v", "libx264", "-c:a", "aac"],
    "f4v": ["-c:v", "libx264", "-c:a", "aac", "-f", "mp4"],
    "divx": ["-c:v", "mpeg4", "-c:a", "mp3", "-f", "avi"],
}
SOUNDS = {
    "caf": ["-c:a", "pcm_s16be"],
    "au": ["-c:a", "pcm_s16be"],
    "tta": [],
    "wv": [],
    "oga": ["-c:a", "libvorbis", "-f", "ogg"],
    "mka": ["-c:a", "flac"],
    "mp2": [],
    "ac3": [],
    "m4b": ["-c:a", "aac", "-f", "ipod"],
    "webm": ["-c:a", "libopus"],
    "mp4": ["-c:a", "aac"],
}


def refuse(number: int) -> Callable[..., None]:
    """A system call that fails with this error."""

    def call(*given: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def music(folder: Path) -> Path:
    """music/ with a track."""
    (folder / "music").mkdir()
    media.write_wav(folder / "music" / "calm.wav", media.scene_sound([("meadow", 8)]))
    return folder / "music"


@pytest.fixture
def live(folder: Path) -> Path:
    """live/: a Live Photo and a picture."""
    (folder / "live").mkdir()
    for name, scene in (("IMG_0001.JPG", "meadow"), ("IMG_0002.JPG", "sea")):
        Image.fromarray(np.asarray(media.SCENES[scene]((64, 48), 1))).save(folder / "live" / name)
    media.draw_scenes(folder / "live" / "IMG_0001.MOV", [("fireworks", 3)], size=(64, 48), rate=Fraction(10))
    return folder / "live"


class TestSuffixes:
    def test_each_is_of_one_kind(self):
        assert not PICTURE_SUFFIXES & SOUND_SUFFIXES
        assert not (PICTURE_SUFFIXES | SOUND_SUFFIXES) & VIDEO_SUFFIXES
        wanted = ".tod .m2t .dv .3g2 .f4v .divx .mod .mp4 .webm .caf .dsf .au .tta .wv .ape .oga .mka .mp2 .ac3 .amr .m4b .hif"
        assert set(wanted.split()) < PICTURE_SUFFIXES | SOUND_SUFFIXES | VIDEO_SUFFIXES

    def test_videos_in_a_folder(self, mmvatool, clip):
        (clip.parent / "videos").mkdir()
        for suffix, options in VIDEOS.items():
            media.run_ffmpeg("-i", clip, *options, clip.parent / "videos" / f"A{suffix}.{suffix.upper()}")
        names = sorted(f"videos/A{suffix}.{suffix.upper()}" for suffix in VIDEOS)
        (clip.parent / "videos" / "list.txt").touch()
        code, out, err = mmvatool("summarize", "videos", *DRY)
        assert code == 0, err
        assert sorted(result["input"] for result in json.loads(out)["results"]) == names
        assert err.splitlines()[0] == "1 other file left out: 1 .txt"
        code, out, _ = mmvatool("score", "videos", "--json")
        assert code == 0
        assert {result["kind"] for result in json.loads(out)["results"]} == {"video"}

    def test_sounds_in_a_folder(self, mmvatool, music):
        for suffix, options in SOUNDS.items():
            media.run_ffmpeg("-i", music / "calm.wav", *options, music / f"a.{suffix}")
        (music / "cover.jpg").touch()
        code, out, err = mmvatool("library", "index", "music", "--index", "i.db", "--json")
        assert code == 0, err
        assert json.loads(out)["tracks"] == 1 + len(SOUNDS)
        assert err.splitlines()[0] == "1 other file left out: 1 .jpg"
        (music / "cover.jpg").unlink()
        code, out, _ = mmvatool("score", "music", "--json")
        assert code == 0
        assert [result["kind"] for result in json.loads(out)["results"]] == ["music"] * (1 + len(SOUNDS))

    def test_a_folder_of_videos_is_no_library_and_says_what_it_holds(self, mmvatool, clip):
        (clip.parent / "note.txt").touch()
        code, out, err = mmvatool("library", "index", ".")
        assert (code, out) == (1, "")
        assert "holds no music (2 other files left out: 1 .mp4, 1 .txt): name a folder with mp3, flac" in err

    def test_pictures_and_clips_in_a_folder(self, mmvatool, music, live):
        media.run_ffmpeg("-i", live / "IMG_0001.MOV", *VIDEOS["tod"], live / "MOV002.TOD")
        (live / "song.mp3").touch()
        code, out, err = mmvatool("soundtrack", "live", "--library", "music", "--index", "i.db", *DRY)
        assert code == 0, err
        assert "live/MOV002.TOD" in [clip["path"] for clip in json.loads(out)["results"][0]["timeline"]["clips"]]
        assert "1 other file left out: 1 .mp3" in err.splitlines()


class TestLivePhotos:
    def shown(self, mmvatool, *options: str) -> tuple[list[str], list[str]]:
        code, out, err = mmvatool("soundtrack", "live", "--library", "music", "--index", "i.db", *DRY, *options)
        assert code == 0, err
        (result,) = json.loads(out)["results"]
        return [Path(clip["path"]).name for clip in result["timeline"]["clips"]], result["warnings"]

    def test_one_item_of_a_slideshow(self, mmvatool, music, live):
        assert self.shown(mmvatool) == (["IMG_0001.JPG", "IMG_0002.JPG"], ["1 Live Photo: shown by the still, not twice"])
        assert self.shown(mmvatool, "--live", "clip") == (
            ["IMG_0001.MOV", "IMG_0002.JPG"],
            ["1 Live Photo: shown by the clip, not twice"],
        )
        assert self.shown(mmvatool, "--live", "both") == (["IMG_0001.JPG", "IMG_0001.MOV", "IMG_0002.JPG"], [])

    def test_its_clip_is_no_video_to_summarize_unless_named(self, mmvatool, live):
        code, out, err = mmvatool("summarize", "live", *DRY)
        assert code == 1
        assert "live: holds no video but live/IMG_0001.MOV: the clip of a Live Photo left out: name one to summarize it" in err
        media.draw_scenes(live / "MOV_0003.mp4", [("sea", 2)], size=(64, 48), rate=Fraction(10))
        code, out, err = mmvatool("summarize", "live", *DRY)
        assert code == 0
        assert [result["input"] for result in json.loads(out)["results"]] == ["live/MOV_0003.mp4"]
        assert "live/IMG_0001.MOV: the clip of a Live Photo left out: name one to summarize it" in err.splitlines()
        code, out, _ = mmvatool("summarize", "live/IMG_0001.MOV", *DRY)
        assert [result["input"] for result in json.loads(out)["results"]] == ["live/IMG_0001.MOV"]

    def test_both_are_scored(self, mmvatool, live):
        _, out, _ = mmvatool("score", "live", "--json")
        assert [Path(result["input"]).name for result in json.loads(out)["results"]] == ["IMG_0001.JPG", "IMG_0001.MOV", "IMG_0002.JPG"]


class TestLongNames:
    @pytest.mark.parametrize("stem", ["a" * 251, "é" * 125 + "e", "x" + "🎆" * 62 + "yz", os.fsdecode(b"n\xff" * 125)])
    def test_of_the_longest_name_everything_is_written(self, mmvatool, clip, stem: str):
        name = clip.rename(clip.with_name(f"{stem}.mp4")).name
        code, out, err = mmvatool("summarize", name, "--plot", "--report", "--plan", ".", "--json")
        assert code == 0, err
        written = [path.name for path in clip.parent.iterdir() if path.name != name]
        assert all(any(one.endswith(end) for one in written) for end in (".mp4", ".json", ".png", ".html", ".plan.json"))
        assert len(written) == 5
        assert json.loads(out)["results"][0]["output"] in written
        for one in written:
            assert len(os.fsencode(one)) <= 255
            cut = one.partition("~")[0]
            assert stem.startswith(cut)
            assert len(os.fsencode(cut)) > 200
        code, out, _ = mmvatool("summarize", name, "--skip-existing", "--json")
        assert json.loads(out)["skipped"] == [name]

    def test_two_that_differ_in_the_end_only(self, mmvatool, clip):
        for end in "ab":
            shutil.copy(clip, clip.with_name(f"{'x' * 249}{end}.mp4"))
        clip.unlink()
        code, out, _ = mmvatool("summarize", ".", "--json")
        assert code == 0
        assert len({result["output"] for result in json.loads(out)["results"]}) == 2

    def test_a_folder_of_pictures(self, mmvatool, music, live):
        live.rename(live.with_name("d" * 255))
        code, out, err = mmvatool(
            "soundtrack", "d" * 255, "--library", "music", "--index", "i.db", "--size", "64x48", "--fps", "5", "--json"
        )
        assert code == 0, err
        assert Path(json.loads(out)["results"][0]["output"]).is_file()

    @pytest.mark.parametrize(
        "arguments",
        [
            ("summarize", "clip.mp4", "-o", "LONG.mp4"),
            ("summarize", "clip.mp4", "-o", "LONG/"),
            ("summarize", "clip.mp4", "--plan", "LONG.json"),
            ("summarize", "clip.mp4", "--export", "LONG.edl"),
            ("summarize", "LONG.mp4"),
            ("soundtrack", "LONG.mp4", "--track", "clip.mp4"),
            ("score", "clip.mp4", "--plot", "LONG.png"),
            ("library", "list", "music", "--index", "LONG.db"),
        ],
    )
    def test_a_name_that_is_too_long_is_one_clear_line(self, mmvatool, clip, arguments: tuple[str, ...]):
        before = sorted(clip.parent.iterdir())
        code, out, err = mmvatool(*(argument.replace("LONG", "z" * 260) for argument in arguments))
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "too long" in err
        assert "unexpected" not in err
        assert sorted(clip.parent.iterdir()) == before


class TestWhatAFileSystemRefuses:
    """Network mounts and unions of disks: what is only nice to have costs nothing when it is refused."""

    @pytest.mark.parametrize("call", ["chmod", "utime", "fsync"])
    def test_a_nicety(self, mmvatool, clip, monkeypatch, call: str):
        monkeypatch.setattr(os, call, refuse(errno.EPERM))
        for _ in range(2):  # the second time from the cache
            assert mmvatool("summarize", clip.name, "--plot", "--report", "--plan", "p.json", "--overwrite")[0] == 0
        assert {path.name for path in clip.parent.iterdir()} == {
            "clip.mp4", "p.json", "clip.summary.mp4", "clip.summary.json", "clip.summary.png", "clip.summary.html",
        }  # fmt: skip

    def test_a_cache_whose_times_cannot_be_set_is_read(self, mmvatool, clip, monkeypatch, decoded):
        monkeypatch.setattr(os, "utime", refuse(errno.EPERM))
        mmvatool("summarize", clip.name, *DRY)
        assert decoded
        decoded.clear()
        mmvatool("summarize", clip.name, *DRY)
        assert decoded == []

    def test_others_may_read_what_is_written(self, tmp_path: Path):
        before = os.umask(0o027)
        try:
            files.write_file(tmp_path / "a.json", b"{}")
        finally:
            os.umask(before)
        assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_rename(self, mmvatool, clip, monkeypatch, number: int):
        monkeypatch.setattr(Path, "replace", refuse(number))
        assert mmvatool("summarize", clip.name)[0] == 0
        assert {path.name for path in clip.parent.iterdir()} == {"clip.mp4", "clip.summary.mp4", "clip.summary.json"}

    def test_a_copy_that_fails_leaves_nothing(self, tmp_path: Path, monkeypatch):
        def half(file: Path, target: Path) -> None:
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", refuse(errno.EXDEV))
        monkeypatch.setattr(shutil, "copyfile", half)
        with pytest.raises(files.OutputError, match="No space left"):
            files.write_file(tmp_path / "a.json", b"{}")
        assert list(tmp_path.iterdir()) == []
