"""Beats, on drawn clicks. librosa takes some seconds to load."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvatool.errors import MediaError, SettingsError
from mmvatool.media import beats as module
from mmvatool.media.beats import beats, check_installed
from tests.helpers import media

TOLERANCE_S = 0.06
SETTLED_S = 2.0  # at both ends of the sound a beat or two may be missed


def _f(found: np.ndarray, grid: np.ndarray) -> float:
    """F of beats within TOLERANCE_S of a grid, one to one."""
    hit = sum(np.abs(found - time_s).min(initial=np.inf) <= TOLERANCE_S for time_s in grid)
    return 2 * hit / (len(found) + len(grid))


def _settled(times_s: np.ndarray, from_s: float, to_s: float) -> np.ndarray:
    return times_s[(times_s >= from_s + SETTLED_S) & (times_s < to_s - SETTLED_S)]


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """40 s at 120 BPM from .3 s on."""
    pytest.importorskip("librosa")
    grid = np.arange(0.3, 40, 0.5)
    return media.write_wav(tmp_path_factory.mktemp("beats") / "-clicks 'x'.wav", media.click_sound(40, grid)), grid


def test_the_beats_of_clicks(clicks: tuple[Path, np.ndarray]):
    path, grid = clicks
    found = beats(path, 0, 40)
    assert _f(_settled(found, 0, 40), _settled(grid, 0, 40)) >= 0.9
    nearest = np.abs(found[:, None] - grid)
    assert np.abs(nearest.min(1)).max() <= TOLERANCE_S
    assert abs(np.median(found - grid[nearest.argmin(1)])) < 0.015  # neither early nor late
    assert (np.diff(found) > 0).all()


def test_a_stretch_counts_in_the_time_of_the_file(clicks: tuple[Path, np.ndarray]):
    path, grid = clicks
    found = beats(path, 11.0, 25.0)
    assert found.min() >= 11
    assert found.max() < 25
    inside = grid[(grid >= 11) & (grid < 25)]  # its first and last beats are there, since sound around it is heard, too
    assert _f(found, inside) >= 0.95
    assert len(beats(path, 50.0, 60.0)) == 0  # behind the end


def test_long_stretches_in_pieces(clicks: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    """No beat is lost or found twice where the pieces join; each piece is bounded."""
    monkeypatch.setattr(module, "PIECE_S", 9.0)
    path, grid = clicks
    longest = max(len(sound) for _, _, sound in module._pieces(module.probe_media(path), 0, 40))
    assert longest <= (1.5 * 9 + 2 * module.LEAD_S) * module.RATE_HZ
    parts = [part for _, part, _ in module._pieces(module.probe_media(path), 3, 33)]
    assert (parts[0].start_s, parts[-1].end_s) == (3, 33)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    found = beats(path, 0, 40)
    assert _f(_settled(found, 0, 40), _settled(grid, 0, 40)) >= 0.95
    assert np.diff(found).min() > 0.3


@pytest.mark.parametrize("late_s", [0.03, -0.03])
def test_a_beat_where_two_pieces_join(clicks: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch, late_s: float):
    """Heard behind the join by the first and before it by the second, or the other way round: it is found once."""
    path, grid = clicks
    monkeypatch.setattr(module, "PIECE_S", float(beats(path, 0, 40)[30]))
    first, second = module._pieces(module.probe_media(path), 2, 30)
    shifted = [(start_s + shift_s, part, sound) for (start_s, part, sound), shift_s in ((first, late_s), (second, -late_s))]
    monkeypatch.setattr(module, "_pieces", lambda *_: iter(shifted))
    inside = grid[(grid >= 2) & (grid < 30)]
    np.testing.assert_allclose(beats(path, 2, 30), inside, atol=TOLERANCE_S)


@pytest.mark.parametrize(("name", "codec"), [("clicks.mp3", "libmp3lame"), ("clicks.m4a", "aac"), ("clicks.opus", "libopus")])
def test_packed_sound_keeps_its_time(clicks: tuple[Path, np.ndarray], tmp_path: Path, name: str, codec: str):
    path, grid = clicks
    media.run_ffmpeg("-i", f"file:{path}", "-c:a", codec, tmp_path / name)
    found = beats(tmp_path / name, 0, 40)
    assert _f(_settled(found, 0, 40), _settled(grid, 0, 40)) >= 0.9


def test_the_sound_of_a_video(clicks: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PIECE_S", 9.0)
    grid = np.arange(0.3, 20, 0.5)
    frame = np.zeros((36, 64, 3), np.uint8)
    video = media.encode(tmp_path / "clicks.mp4", lambda _: frame, 200, sound=media.click_sound(20, grid), rate=media.Fraction(10))
    found = beats(video, 3, 60)
    assert found.min() >= 3
    assert _f(_settled(found, 3, 20), _settled(grid, 3, 20)) >= 0.9
    assert len(beats(video, 30, 40)) == 0


def test_silence_has_no_beats(clicks: tuple[Path, np.ndarray], tmp_path: Path):
    assert len(beats(media.write_wav(tmp_path / "silence.wav", np.zeros(media.RATE_HZ * 10)), 0, 10)) == 0


def test_what_cannot_be_heard(clicks: tuple[Path, np.ndarray], tmp_path: Path):
    text = tmp_path / "text.mp3"
    text.write_text("no music")
    with pytest.raises(MediaError, match=r"text\.mp3"):
        beats(text, 0, 10)
    with pytest.raises(MediaError, match="at least 2 s"):
        beats(media.write_wav(tmp_path / "short.wav", np.zeros(media.RATE_HZ)), 0, 10)
    with pytest.raises(ValueError, match="must come after"):
        beats(clicks[0], 5, 5)


def test_without_librosa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(SettingsError, match=r'^--beats needs librosa: pip install "mmvatool\[beats\]"$'):
        beats(tmp_path / "any.wav", 0, 10)
    with pytest.raises(SettingsError):
        check_installed()
