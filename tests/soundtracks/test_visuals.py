"""The order of pictures and clips: when they were taken."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from mmvatool.progress import no_progress
from mmvatool.soundtracks.visuals import predict_slides
from tests.helpers import media

APPLE = "com.apple.quicktime.creationdate"


@pytest.fixture(scope="module")
def drawn_movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of meadow."""
    return media.draw_scenes(
        tmp_path_factory.mktemp("movie") / "m.mov", [("meadow", 1)], size=(64, 48), rate=Fraction(10), with_sound=False
    )


@pytest.mark.parametrize(
    "tags",
    [
        {APPLE: "2023-07-01T23:30:00-0700", "creation_time": "2024-01-01T00:00:00Z"},  # exported later
        {APPLE: "2023-07-02T08:30:00+02:00", "creation_time": "2020-01-01T00:00:00Z"},
        {APPLE: "not a time", "creation_time": "2023-07-02T06:30:00Z"},
        {APPLE: "1970-01-01T00:00:00+0000", "creation_time": "2023-07-02T06:30:00Z"},
        {"date": "2023-07-02T08:30:00+0200", "creation_time": "2024-01-01T00:00:00Z"},
        {"date": "2024-05-01", "creation_time": "2023-07-02T06:30:00Z"},  # of a release, without a zone
        {"creation_time": "2023-07-02T06:30:00Z"},
    ],
)
def test_a_clip_lies_where_its_own_clock_says(tmp_path, predictor, drawn_movie, tags: dict[str, str]):
    """Recorded at 6:30 in UTC, between two pictures of 6:00 and of 7:00, both with their zone."""
    for name, taken, zone in (("z.jpg", "2023:07:02 08:00:00", "+02:00"), ("a.jpg", "2023:07:02 00:00:00", "-07:00")):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x9003: taken, 0x9011: zone})
        Image.new("RGB", (64, 48), "red").save(tmp_path / name, exif=exif)
    written = [word for key, value in tags.items() for word in ("-metadata", f"{key}={value}")]
    media.run_ffmpeg("-i", drawn_movie, "-c", "copy", *written, "-movflags", "use_metadata_tags", tmp_path / "m.mov")
    os.utime(tmp_path / "m.mov", (0, 0))
    slides, errors = predict_slides(sorted(tmp_path.iterdir()), predictor, "time", no_progress)
    assert errors == []
    assert [slide.path.name for slide in slides] == ["z.jpg", "m.mov", "a.jpg"]
