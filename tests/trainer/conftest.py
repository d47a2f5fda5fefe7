from pathlib import Path

import pytest
import torch

from tests.helpers import synthetic


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run side by side: threads of one would wait for those of the other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder too small to learn from, which tests must leave as it is."""
    return synthetic.draw(tmp_path_factory.mktemp("small"), images=24, tracks=8, clips_a_track=3, clip_s=1.0, image_px=32)


@pytest.fixture(scope="session")
def open_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder in the form of several open sets, which tests must leave as it is."""
    return synthetic.open_sets(tmp_path_factory.mktemp("open") / "data")
