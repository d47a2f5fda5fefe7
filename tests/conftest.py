"""Fixtures shared by all tests. Media are drawn once a session; nothing is mocked."""

import os

# Before numpy is imported: two libraries' idle threads keep each other from working.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from mmvatool.media.sampling import Sampler
from tests.helpers import media

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: a test must not wait for the network

# Real files, where a checkout has them beside it; tests that use them are skipped elsewhere.
REAL_MEDIA = Path(os.environ.get("MMVATOOL_TEST_MEDIA", Path(__file__).parents[2] / "shared" / "media"))


@pytest.fixture(autouse=True)
def no_error_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A logged ERROR fails the test."""
    yield
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors


@pytest.fixture(scope="session")
def predictor():
    """The bundled model on the CPU."""
    from trainer import Predictor

    return Predictor.load(device="cpu")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with all three compact towers, untrained: it hears, sees and reads something, and always the same."""
    import torch

    from trainer import checkpoint
    from trainer.model.mmva import MMVA

    towers: dict[str, dict[str, str | int | float]] = {modality: {"name": "compact"} for modality in ("image", "music", "text")}
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save(path, MMVA(towers), "whole", towers, {"sigma": "0.5"})
    return path


@pytest.fixture(scope="session")
def whole_predictor(whole: Path):
    """That model on the CPU."""
    from trainer import Predictor

    return Predictor.load(whole, device="cpu")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this session's drawn media."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="session")
def vlog(drawn: Path) -> Path:
    """24 s at 30000/1001: calm, intense, calm, intense, with sound."""
    plan = [("meadow", 8), ("fireworks", 3), ("sea", 9), ("rays", 4)]
    return media.draw_scenes(drawn / "vlog.mp4", plan, rate=Fraction(30000, 1001))


@pytest.fixture(scope="session")
def silent(drawn: Path) -> Path:
    """10 s at 25, without sound."""
    return media.draw_scenes(drawn / "silent.mp4", [("meadow", 6), ("fireworks", 4)], rate=Fraction(25), with_sound=False)


@pytest.fixture(scope="session")
def song(drawn: Path) -> Path:
    """3 s of sound without picture."""
    return media.write_wav(drawn / "song.wav", media.scene_sound([("rays", 3)]))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each reading of samples asks for."""
    counts: list[int] = []
    read = Sampler.read

    def counting(self, frames):
        counts.append(len(frames))
        return read(self, frames)

    monkeypatch.setattr(Sampler, "read", counting)
    return counts
