"""The bundled model on things nobody trained on: they fall where a person would put them. And it fits its limits."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.helpers import media
from trainer import Predictor, checkpoint
from trainer.affect import COMMON

RATE_HZ = 24_000
SECONDS = 10
BATCH_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def model() -> Predictor:
    return Predictor.load("compact", device="cpu")


def notes(pitches_hz: list[float], note_s: float, decay: float, overtones: int) -> np.ndarray:
    """A melody that repeats, each note fading."""
    time_s = np.arange(round(note_s * RATE_HZ)) / RATE_HZ
    envelope = np.minimum(time_s / 0.02, 1) * np.exp(-decay * time_s)
    played = [sum(np.sin(2 * np.pi * hz * n * time_s) / n**2 for n in range(1, overtones + 1)) * envelope for hz in pitches_hz]
    melody = np.concatenate(played)
    return np.resize(melody, SECONDS * RATE_HZ).astype(np.float32)


def lullaby() -> np.ndarray:
    c, e, g = 261.6, 329.6, 392.0
    return 0.2 * notes([e, e, g, e, e, g, c * 2, g, e, c], 0.8, 2.0, 4)


def distorted_loop() -> np.ndarray:
    rng = np.random.default_rng(0)
    riff = notes([82.4, 82.4, 98.0, 82.4, 110.0, 82.4, 116.5, 110.0], 0.09, 3.0, 12)
    beat = np.resize(np.exp(-np.arange(RATE_HZ // 6) / 900) * rng.normal(0, 1, RATE_HZ // 6), len(riff))
    return (0.8 * np.tanh(6 * riff + 1.5 * beat)).astype(np.float32)


def test_sounds_are_in_a_persons_order(model: Predictor) -> None:
    silence = np.zeros(SECONDS * RATE_HZ, np.float32)
    nothing, calm, wild = model.music([silence, lullaby(), distorted_loop()])
    assert nothing.tolist() == [0.5, 0.0]
    assert nothing[1] < calm[1] < wild[1] - 0.2, (calm, wild)
    assert calm[0] > wild[0], (calm, wild)


def test_words_are_in_a_persons_order(model: Predictor) -> None:
    words = ("calm", "furious", "euphoric", "melancholic")
    calm, furious, euphoric, melancholic = model.text(words)
    assert not any(model.unknown(words))
    assert min(furious[1], euphoric[1]) > max(calm[1], melancholic[1]) + 0.1
    assert min(calm[0], euphoric[0]) > max(furious[0], melancholic[0]) + 0.1
    sad, happy = model.text(["a slow sad cello", "a fast happy banjo"])
    assert (happy > sad + 0.1).all()
    assert model.unknown(["qwrtzk", "", "!!!", "a calm evening"]) == [True, True, True, False]


def wall() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(150 + rng.normal(0, 4, (200, 300, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)


def crash() -> np.ndarray:
    """Smoke, flames and a broken dark body under a dark sky."""
    rng = np.random.default_rng(1)
    picture = Image.new("RGB", (300, 200), (40, 40, 45))
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, r = rng.integers(0, 300), rng.integers(0, 110), rng.integers(10, 40)
        grey = int(rng.integers(25, 90))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(grey, grey, grey))
    for _ in range(80):
        x, y = rng.normal(150, 45), rng.normal(115, 20)
        draw.polygon([(x, y - rng.integers(10, 45)), (x - 9, y + 14), (x + 9, y + 14)], fill=(255, int(rng.integers(60, 200)), 0))
    draw.polygon([(60, 170), (90, 125), (180, 120), (240, 160), (235, 180), (70, 182)], fill=(15, 15, 18))
    return np.asarray(picture)


def birthday() -> np.ndarray:
    """Balloons of all colours over a cake on a bright wall."""
    rng = np.random.default_rng(2)
    picture = Image.new("RGB", (300, 200), (255, 236, 200))
    draw = ImageDraw.Draw(picture)
    for number in range(14):
        x, y = 15 + number * 21, 40 + int(rng.integers(-20, 25))
        colour = tuple(int(v) for v in rng.permutation([250, int(rng.integers(60, 220)), int(rng.integers(30, 120))]))
        draw.line((x, y + 20, 150, 130), fill=(200, 180, 160))
        draw.ellipse((x - 16, y - 20, x + 16, y + 20), fill=colour)
    draw.rectangle((100, 135, 200, 185), fill=(250, 190, 210))
    for x in range(110, 200, 16):
        draw.line((x, 120, x, 135), fill=(80, 120, 255), width=3)
        draw.ellipse((x - 3, 112, x + 3, 121), fill=(255, 210, 60))
    return np.asarray(picture)


def test_pictures_are_in_a_persons_order(model: Predictor) -> None:
    grey, burning, party = model.image([wall(), crash(), birthday()], still=True)
    assert grey[1] < burning[1] - 0.1
    assert grey[1] < party[1]
    assert burning[0] < party[0] - 0.1


def test_the_same_alone_and_among_many(model: Predictor) -> None:
    rng = np.random.default_rng(3)
    frames = np.stack([media.meadow((96, 54), t) for t in range(3)])
    windows = [lullaby()[: RATE_HZ * 2], distorted_loop(), rng.normal(0, 0.1, 2400).astype(np.float32)]
    words = ["calm", "furious drums at night", "a slow sad cello, then nothing"]
    many = Predictor.load("compact", device="cpu", batch_size=64)
    one = Predictor.load("compact", device="cpu", batch_size=1)
    for call in ("image", "music", "text"):
        rows = {"image": frames, "music": windows, "text": words}[call]
        np.testing.assert_allclose(getattr(one, call)(rows), getattr(many, call)(rows), atol=BATCH_TOLERANCE, err_msg=call)


def test_it_is_whole_small_and_says_how_it_was_measured(model: Predictor) -> None:
    assert model.modalities == ("image", "music", "text")
    assert model.sigma is not None
    loaded = checkpoint.read("compact")
    assert loaded.path.stat().st_size < 35e6
    assert set(model.order_scale) == set(model.modalities)
    assert any(key.startswith("similarity.") for key in loaded.tensors)
    figures = {(row["modality"], row["source"], row["protocol"]) for row in json.loads(loaded.notes["cross_validation"])["figures"]}
    assert {("image", "oasis", "unseen themes"), ("image", "oasis", "unseen themes, one view"), ("image", "emotion6", "plain")} <= figures
    assert ("text", "emobank", "test split") in figures
    for modality in model.modalities:
        given = loaded.tensors[f"calibrations.{modality}.given"]
        assert given.shape == (2, len(COMMON) + 2)
        assert (given.diff(dim=1) >= 0).all()
