from pathlib import Path

import numpy as np
import pytest

from tests.helpers import synthetic
from tests.helpers.open_sources import emobank, emopia_dir, emotify_dir, emotion6_dir, fake_fluidsynth, oasis_dir, soundfont, vgmidi_dir  # noqa: F401 - fixtures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder small enough to be drawn for each test, which may then damage it."""
    return synthetic.draw(tmp_path / "data", images=12, tracks=5, clips_a_track=3, clip_s=0.25, image_px=16)


@pytest.fixture
def clips(tmp_path: Path) -> list[tuple[str, Path]]:
    """Ids and files of four short clips."""
    clips = []
    for number in range(4):
        path = tmp_path / f"1-{number}.wav"
        synthetic.write_wav(path, np.full(800, 0.1 * (number + 1)), 16_000)
        clips.append((f"1-{number}", path))
    return clips
