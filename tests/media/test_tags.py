"""What a phone writes about a recording is in what is made of it."""

from fractions import Fraction

import numpy as np
import pytest

from mmvatool.media import cut, splice
from mmvatool.media.probe import probe
from mmvatool.media.render import render
from mmvatool.timeline import Segment, Timeline
from tests.helpers import media

PHONE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15",
    "com.apple.quicktime.creationdate": "2024-05-01T10:00:00+0200",
    "creation_time": "2024-05-01T08:00:00.000000Z",
    "title": "Ö=a;b #1",
    "comment": "two\nlines",
}
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-pix_fmt", "yuv420p", "-c:a", "aac")


def _draw(path, tags):
    written = [option for key, value in tags.items() for option in ("-metadata", f"{key}={value}")]
    return probe(media.draw_flashes(path, 3, Fraction(30), (64, 36), params=(*X264, "-movflags", "use_metadata_tags", *written)))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("way", ["rendered", "with chapters", "copied", "copied and encoded", "with music"])
def test_tags_of_phones_are_kept(tmp_path, way, suffix):
    info, out = _draw(tmp_path / "in.mov", PHONE), tmp_path / f"out{suffix}"
    assert PHONE.items() <= info.tags.items()  # otherwise nothing is tested
    segment = Segment(0.5, 1.5) if way != "copied and encoded" else Segment(float(info.times_s[10]), float(info.times_s[40]))
    if way in ("rendered", "with chapters"):
        render(Timeline.of(info.path, [segment]), info, out, chapters=way == "with chapters")
    elif way == "with music":
        sound = media.write_wav(tmp_path / "sound.wav", np.zeros(media.RATE_HZ * 3))
        media.run_ffmpeg("-i", sound, "-c:a", "aac", tmp_path / "sound.m4a")
        splice.copy_picture(info, tmp_path / "sound.m4a", out)
    else:
        cut.cut(Timeline.of(info.path, [segment]), cut.cut_points(info, out), out)
    got = {key.lower(): value for key, value in probe(out).tags.items()}
    assert PHONE.items() <= got.items()
    assert "major_brand" not in got
    if suffix != ".mkv":  # by the name that players know, as well
        assert got["com.apple.quicktime.title"] == PHONE["title"]


def test_ordinary_tags_stay_where_every_player_looks_for_them(tmp_path):
    info, out = _draw(tmp_path / "in.mkv", {"title": "A title", "artist": "Someone"}), tmp_path / "out.mp4"
    cut.cut(Timeline.of(info.path, [Segment(0.5, 1.5)]), cut.cut_points(info, out), out)
    assert b"\xa9nam" in out.read_bytes()
    got = probe(out).tags
    assert (got["title"], got["artist"]) == ("A title", "Someone")
