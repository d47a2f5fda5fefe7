"""The compact music tower and its features, on sounds whose key, pulse and level are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from trainer import Predictor, checkpoint
from trainer.model import music_filters
from trainer.model.compact_music import CompactMusicTower
from trainer.model.mmva import MMVA
from trainer.model.music_features import MusicFeatures
from trainer.model.music_filters import COUNT, RATES_HZ

RATE_HZ = 24000
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11, 12), (0, 2, 3, 5, 7, 8, 10, 12)


def notes(semitones: tuple[int, ...], tonic: float = 60, note_s: float = 0.4, length_s: float = 10.0) -> np.ndarray:
    """float32 (n,): the scale up, over and over, with the triad of its tonic held below it."""
    time_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ

    def tone(midi: np.ndarray | float) -> np.ndarray:
        turns = np.cumsum(np.broadcast_to(440 * 2 ** ((np.asarray(midi) - 69) / 12), time_s.shape)) / RATE_HZ
        return sum(np.sin(2 * np.pi * turns * partial) / partial**2 for partial in (1, 2, 3))

    scale = np.array(semitones)[(time_s / note_s).astype(int) % len(semitones)]
    decay = np.exp(-2 * (time_s % note_s) / note_s)
    held = tone(tonic - 12) + tone(tonic - 12 + semitones[2]) + tone(tonic - 12 + semitones[4])
    return (0.2 * (tone(tonic + scale) * decay + 0.4 * held)).astype(np.float32)


def clicks(rate_hz: float, length_s: float = 10.0) -> np.ndarray:
    """float32 (n,): short bursts of noise."""
    time_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).normal(0, 0.3, len(time_s))
    return (noise * np.exp(-60 * (time_s % (1 / rate_hz))) + 1e-3 * noise).clip(-1, 1).astype(np.float32)


def low_scale(step: float, length_s: float) -> np.ndarray:
    return notes(MINOR if step > 2 else MAJOR, 48 + step, length_s=length_s)


def groups(*windows: np.ndarray) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return MusicFeatures().groups(torch.from_numpy(np.stack(windows)))


@pytest.fixture(scope="module")
def scales() -> dict[str, torch.Tensor]:
    """C major, C minor, E flat major and E major."""
    return groups(notes(MAJOR), notes(MINOR), notes(MAJOR, 63), notes(MAJOR, 64))


def test_features_distinguish_major_and_minor(scales: dict[str, torch.Tensor]) -> None:
    major, minor, difference, clear = scales["mode"][:, :4].T
    assert major[0] > minor[0] + 0.1
    assert minor[1] > major[1] + 0.05
    assert difference[0] - difference[1] > 0.2
    assert clear.min() > 0.7
    kinds = scales["chord kinds"]  # major, minor, ...
    assert kinds[0, 0] > kinds[0, 1]
    assert kinds[1, 1] > kinds[1, 0]


def test_the_tonic_comes_first(scales: dict[str, torch.Tensor]) -> None:
    bass = scales["from the tonic"][:, 12:24]
    assert bass.argmax(1).tolist() == [0, 0, 0, 0]
    assert set(bass[0].topk(3).indices.tolist()) == {0, 4, 7}
    assert set(bass[1].topk(3).indices.tolist()) == {0, 3, 7}


@pytest.mark.parametrize("name", ["mode", "from the tonic", "from the major tonic", "chord kinds", "degrees", "intervals", "circles"])
def test_transposition_changes_register_only(scales: dict[str, torch.Tensor], name: str) -> None:
    rows = scales[name][:, :12] if name == "from the tonic" else scales[name]  # what is bass and what treble does depend on height
    here, other = rows[0], rows[1]
    moved = rows[2:] - here
    assert moved.abs().max() < 0.06
    if name not in ("intervals", "circles"):  # a natural minor scale is a major one from another note: its intervals are the same
        assert moved.norm(dim=1).max() < 0.4 * (other - here).norm()


def test_register_follows_pitch(scales: dict[str, torch.Tensor]) -> None:
    height = scales["heights"][:, 0]  # octaves
    assert (height[2] - height[0]).item() == pytest.approx(3 / 12, abs=0.06)
    assert (height[3] - height[0]).item() == pytest.approx(4 / 12, abs=0.06)


@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 3.3, 8.0])
def test_clicks_show_their_rate(rate_hz: float) -> None:
    modulation = groups(clicks(rate_hz))["modulation"][0].unflatten(0, (5, -1))[4]
    # Clicks have overtones at all multiples of their rate; the lowest peak that nearly reaches the highest is the rate itself.
    first = int((modulation > modulation.max() - 0.3).nonzero()[0])
    assert RATES_HZ[first] == pytest.approx(rate_hz, rel=0.17)  # rates are 17% apart


def test_gain_does_not_matter() -> None:
    sound = notes(MAJOR)
    tower = CompactMusicTower()
    loud, soft = tower.preprocess([sound, sound * np.float32(0.03)])
    torch.testing.assert_close(loud, soft, atol=2e-3, rtol=0)


def test_silence_at_the_ends_does_not_matter() -> None:
    sound = notes(MAJOR, length_s=5.0)
    tower = CompactMusicTower()
    padded = np.concatenate([np.zeros(RATE_HZ * 2, np.float32), sound, np.zeros(RATE_HZ * 3, np.float32)])
    once, framed = tower.preprocess([sound, padded])
    torch.testing.assert_close(once, framed, atol=0.05, rtol=0)


def test_silence_inside_is_left_out_of_the_means() -> None:
    full = notes(MAJOR)
    gap = full.copy()
    gap[3 * RATE_HZ : 7 * RATE_HZ] = 0
    whole, cut = groups(full), groups(gap)
    for name, limit in (("mel", 0.15), ("cepstra", 0.5), ("mode", 0.05), ("register", 0.02)):
        half = whole[name].shape[1] // (2 if name in ("mel", "cepstra") else 1)  # means, not deviations
        assert (whole[name] - cut[name])[0, :half].abs().max() < limit, name


def test_features_depend_neither_on_length_nor_batch() -> None:
    tower = CompactMusicTower(window_s=2.0).eval()
    second = tiny.waves(24000)[0]
    torch.testing.assert_close(tower.preprocess([second]), tower.preprocess([np.tile(second, 2)]))
    windows = [*tiny.waves(24000, 30000, 96000, 2400, 48000), notes(MINOR, length_s=2.0), clicks(2, 2.0)]
    tower.fit(tower.preprocess(windows))
    with torch.no_grad():
        together = tower.embed(tower.preprocess(windows))
        alone = torch.cat([tower.embed(tower.preprocess([window])) for window in windows])
    assert together.shape == (7, 512)
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
    assert tower.preprocess([]).shape == (0, COUNT)


@pytest.mark.parametrize("window_s", [1.0, 10.0])
def test_any_sound_gives_finite_features(window_s: float) -> None:
    impulse = np.zeros(RATE_HZ, np.float32)
    impulse[100] = 1
    full = np.ones(RATE_HZ, np.float32)
    sounds = [tiny.waves(2400)[0], np.zeros(2400, np.float32), impulse, full, full * np.float32(2e-4), np.float32([0.5]), clicks(4, 0.1)]
    features = CompactMusicTower(window_s).preprocess(sounds)
    assert features.shape == (7, COUNT)
    assert features.isfinite().all()
    assert features.abs().max() < 1000  # float16 of a mean over them stays finite


def test_fit_standardises_and_survives_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    towers = {"music": {"name": "compact", "window_s": 1.0}}
    model = MMVA(towers, similarity=False)
    tower = model.tower("music")
    features = tower.preprocess([*tiny.waves(24000), *(make(2**step, length_s=1.0) for step in range(4) for make in (clicks, low_scale))])
    features[:, 3] = 7.0
    tower.fit(features)
    assert ((features - tower.mean) / tower.deviation).mean(0).abs().max() < 0.1
    assert tower.deviation[3] == 1e4
    checkpoint.save(tmp_path / "music.safetensors", model, "music", towers, {}, torch.float16)
    again = checkpoint.build(checkpoint.read(tmp_path / "music.safetensors")).tower("music")
    assert torch.equal(again.mean, tower.mean)
    assert torch.equal(again.deviation, tower.deviation)


def test_digital_silence_is_defined(tmp_path: Path) -> None:
    towers = {"music": {"name": "compact"}}
    checkpoint.save(tmp_path / "music.safetensors", MMVA(towers), "music", towers, {})
    predictor = Predictor.load(tmp_path / "music.safetensors", device="cpu")
    quiet = np.full(24000, 9e-5, np.float32)
    va, vectors = predictor.music([np.zeros(240000, np.float32), quiet, quiet * 2], embeddings=True)
    np.testing.assert_array_equal(va[:2], np.float32([[0.5, 0], [0.5, 0]]))
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert va[2, 1] > 0


def test_the_bundled_model_orders_what_nobody_trained_on() -> None:
    predictor = Predictor.load(device="cpu")
    if "music" not in predictor.modalities:
        pytest.skip("the bundled model has no music tower")
    assert predictor.sample_rate_hz == RATE_HZ
    lullaby = soft_lullaby()
    (silent, soft, wild) = predictor.music([np.zeros(240000, np.float32), lullaby, distorted_loop()])
    assert silent[1] < soft[1] < wild[1]
    assert soft[1] < 0.4
    assert wild[1] - soft[1] > 0.2
    assert soft[0] > 0.4


def soft_lullaby() -> np.ndarray:
    """10 s of slow notes of a major triad, sines that swell and fade."""
    time_s = np.arange(240000) / RATE_HZ
    melody = np.array([67, 64, 67, 64, 65, 62, 60, 60])[(time_s / 1.25).astype(int)]
    swell = np.sin(np.pi * (time_s % 1.25) / 1.25) ** 0.7
    low = np.sin(2 * np.pi * 130.81 * time_s) * 0.3
    return (0.2 * swell * (np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((melody - 69) / 12)) / RATE_HZ) + low)).astype(np.float32)


def distorted_loop() -> np.ndarray:
    """10 s of a clipped saw riff on two strings with kick and snare at 170 beats a minute."""
    time_s = np.arange(240000) / RATE_HZ
    beat = time_s * 170 / 60
    root = np.array([40, 40, 43, 40, 46, 45, 43, 40])[(beat * 2).astype(int) % 8]
    turns = np.cumsum(440 * 2 ** ((root - 69) / 12)) / RATE_HZ
    riff = np.tanh(6 * (turns % 1 + (turns * 1.5) % 1 - 1))
    drum = np.sin(300 * np.exp(-20 * (beat % 1))) * np.exp(-8 * (beat % 1))
    snare = np.random.default_rng(0).normal(0, 1, 240000) * np.exp(-10 * ((beat + 0.5) % 1))
    hat = np.random.default_rng(1).normal(0, 0.4, 240000) * np.exp(-30 * ((beat * 4) % 1))
    return np.clip(0.4 * riff + 0.6 * drum + 0.4 * snare + hat, -0.95, 0.95).astype(np.float32)


def test_the_size_is_declared() -> None:
    features = groups(notes(MAJOR, length_s=1.0))
    assert sum(group.shape[1] for group in features.values()) == COUNT
    assert CompactMusicTower.sample_rate_hz == music_filters.RATE_HZ
