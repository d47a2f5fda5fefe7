from pathlib import Path

import pytest

from tests.trainer import synthetic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder small enough to be drawn for each test, which may then damage it."""
    return synthetic.draw(tmp_path / "data", images=12, tracks=5, clips_a_track=3, clip_s=0.25, image_px=16)
