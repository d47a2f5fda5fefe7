"""What is measured and read of music beside its samples: loudness in the pass that is heard, and tags wherever they are kept."""

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from mmvatool.errors import MediaError
from mmvatool.media.audio import Loudness, SilentError, read_steps
from mmvatool.media.probe import probe_audio
from tests.helpers import media

RATE_HZ = 24_000
TAGS = {"title": "Palace: the ; second", "artist": "Will Ünï", "copyright": "(c) 2010"}
# ffmpeg prints a tenth; gating on other blocks than pyloudnorm's makes up the rest.
TOLERANCE_LU = 0.15


def measure(path: Path) -> float | None:
    loudness = Loudness()
    for _ in read_steps(probe_audio(path), 10.0, 10.0, RATE_HZ, least_s=0.1, loudness=loudness):
        pass
    return loudness.lufs


def noise(seconds: float, gain: float, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(0, gain, (int(seconds * 48_000), channels)).clip(-1, 1)


def write(path: Path, samples: np.ndarray, *options: object) -> Path:
    (path.parent / "raw").write_bytes((samples * 32767).astype("<i2").tobytes())
    media.run_ffmpeg("-f", "s16le", "-ar", 48_000, "-ac", samples.shape[1], "-i", path.parent / "raw", *options, path)
    return path


class TestLoudness:
    @pytest.mark.parametrize(("name", "channels"), [("a.wav", 1), ("a.wav", 2), ("a.flac", 2)])
    def test_as_pyloudnorm_measures_it(self, tmp_path: Path, name: str, channels: int):
        samples = np.concatenate([noise(3, 0.1, channels), noise(12, 0.02, channels), noise(4, 0.0, channels)])
        expected = pyloudnorm.Meter(48_000).integrated_loudness(samples)
        assert measure(write(tmp_path / name, samples)) == pytest.approx(expected, abs=TOLERANCE_LU)

    @pytest.mark.parametrize(("seconds", "gain"), [(5, 0.0), (0.3, 0.1), (5, 5e-5)], ids=["silence", "short", "under the gate"])
    def test_silence_has_none(self, tmp_path: Path, seconds: float, gain: float):
        assert measure(write(tmp_path / "a.wav", noise(seconds, gain))) is None

    def test_channels_without_a_place(self, tmp_path: Path):
        path = write(tmp_path / "a.wav", noise(3, 0.1, 11))
        assert not probe_audio(path).audio.layout
        loudness = measure(path)
        assert loudness is not None
        assert loudness == pytest.approx(-20 + 10 * np.log10(11) + 3, abs=3)  # as far as weights by place can tell

    @pytest.mark.parametrize(("name", "rate_hz"), [("a.ogg", 48_000), ("a.mp3", 48_000), ("a.mp3", 44_100)])
    def test_recordings_joined_byte_by_byte(self, tmp_path: Path, name: str, rate_hz: int):
        """At another rate filters begin anew, but not the gate: the louder part counts, as it is ten times as loud."""
        loud = write(tmp_path / f"loud {name}", noise(4, 0.1))
        quiet = write(tmp_path / f"quiet {name}", noise(4, 0.01), "-ar", rate_hz)
        for first, second in ((loud, quiet), (quiet, loud)):
            (tmp_path / name).write_bytes(first.read_bytes() + second.read_bytes())
            assert measure(tmp_path / name) == pytest.approx(measure(loud), abs=0.5)

    def test_the_samples_are_those_of_a_plain_reading(self, tmp_path: Path):
        info = probe_audio(write(tmp_path / "a.wav", noise(25, 0.1)))
        plain = list(read_steps(info, 10.0, 10.0, RATE_HZ, least_s=0.1))
        measured = list(read_steps(info, 10.0, 10.0, RATE_HZ, least_s=0.1, loudness=Loudness()))
        assert [time_s for time_s, _ in plain] == [time_s for time_s, _ in measured]
        for (_, one), (_, other) in zip(plain, measured, strict=True):
            np.testing.assert_allclose(one, other, atol=2 / 32768)  # the filter computes in floats

    def test_what_is_said_of_broken_sound_is_an_error(self, tmp_path: Path):
        path = write(tmp_path / "a.mp3", noise(2, 0.1))
        data = path.read_bytes()
        path.write_bytes(data[:600] + bytes(len(data)))
        with pytest.raises((SilentError, MediaError)) as caught:
            measure(path)
        assert "\n" not in str(caught.value)
        assert "Summary" not in str(caught.value)
        assert "[info]" not in str(caught.value)


class TestTags:
    @pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.flac", "a.mp3", "a.m4a", "a.wav"])
    def test_they_are_found_wherever_they_are_kept(self, tmp_path: Path, name: str):
        options = [part for key, value in TAGS.items() for part in ("-metadata", f"{key}={value}")]
        got = {key.lower(): value for key, value in probe_audio(write(tmp_path / name, noise(1, 0.1), *options)).tags.items()}
        assert {key: got[key] for key in TAGS} == TAGS
        assert not got.keys() & {"encoder", "handler_name", "vendor_id"}

    def test_vorbis_comments_of_several_lines(self, tmp_path: Path):
        path = write(tmp_path / "a.ogg", noise(1, 0.1), "-metadata", "LICENSE=CC BY 4.0", "-metadata", "comment=first\nsecond: third")
        tags = probe_audio(path).tags
        assert tags["LICENSE"] == "CC BY 4.0"
        assert tags["comment"] == "first\nsecond: third"


class TestListen:
    def test_the_sound_of_a_video(self, tmp_path: Path):
        path = tmp_path / "clip.mp4"
        media.run_ffmpeg("-f", "lavfi", "-i", "testsrc=d=2:s=64x64", "-f", "lavfi", "-i", "sine=d=3", path)
        info = probe_audio(path)
        assert (info.audio.codec, info.audio.channels) == ("aac", 1)
        assert sum(len(window) for _, window in read_steps(info, 10.0, 10.0, RATE_HZ, least_s=0.1)) == pytest.approx(3 * RATE_HZ, abs=2048)

    def test_a_video_without_sound(self, silent: Path):
        with pytest.raises(MediaError, match="holds no sound: give a sound file"):
            probe_audio(silent)
