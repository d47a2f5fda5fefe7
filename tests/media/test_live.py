"""Live Photos: which clips belong to a still."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from mmvatool.media.live import live_clips
from tests.helpers import media


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """IMG_0001.JPG and a clip of 3 s."""
    Image.new("RGB", (64, 48), "red").save(tmp_path / "IMG_0001.JPG")
    media.draw_scenes(tmp_path / "IMG_0001.MOV", [("meadow", 3)], size=(64, 48), rate=Fraction(10))
    return tmp_path


@pytest.mark.parametrize("still", ["IMG_0001.JPG", "img_0001.heic", "IMG_0001.jpeg", "IMG_0001.HEIF"])
@pytest.mark.parametrize("clip", ["IMG_0001.MOV", "IMG_0001.mp4", "Img_0001.mov"])
def test_a_still_and_a_short_clip_of_one_name(photos: Path, still: str, clip: str):
    (photos / "IMG_0001.JPG").rename(photos / still)
    (photos / "IMG_0001.MOV").rename(photos / clip)
    assert live_clips(photos.iterdir()) == {photos / clip: [photos / still]}


@pytest.mark.parametrize("clip", ["IMG_0002.MOV", "IMG_0001.mkv", "below/IMG_0001.MOV", "IMG_0001.x.MOV"])
def test_other_clips(photos: Path, clip: str):
    (photos / "below").mkdir()
    (photos / "IMG_0001.MOV").rename(photos / clip)
    assert live_clips([photos / "IMG_0001.JPG", photos / clip]) == {}


def test_a_clip_beside_a_graphic_is_none(photos: Path):
    (photos / "IMG_0001.JPG").rename(photos / "IMG_0001.png")
    assert live_clips(photos.iterdir()) == {}


@pytest.mark.parametrize(("seconds", "is_live"), [(6, True), (7, False)])
def test_a_long_video_is_one_of_its_own(photos: Path, seconds: int, is_live: bool):
    media.draw_scenes(photos / "IMG_0001.MOV", [("sea", seconds)], size=(64, 48), rate=Fraction(10), with_sound=False)
    assert bool(live_clips(photos.iterdir())) == is_live


def test_a_clip_that_cannot_be_read_is_left_to_whoever_wants_it(photos: Path):
    (photos / "IMG_0001.MOV").write_bytes(b"nothing")
    assert live_clips(photos.iterdir()) == {}
