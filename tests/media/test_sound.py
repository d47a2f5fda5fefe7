"""Sound whose format changes, whose channels are unusual or that begins late: levels of each channel and onsets in the result."""

from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import cut, layouts, mix, render
from mmvatool.media.audio import cut_samples, read_windows
from mmvatool.media.probe import AudioStream, MediaInfo, probe
from mmvatool.timeline import Cue, Segment, Timeline
from tests.helpers import media

TOLERANCE_DB = 1.0
SYNC_S = 0.020
PICTURE = ("-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=4")
CODED = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25")


def tones(layout: str, seconds: float = 4, rate_hz: int = 48_000) -> tuple[str, ...]:
    """A tone of its own in each channel, at -17 dB."""
    waves = "|".join(f"0.2*sin({hz}*2*PI*t)" for hz in hertz(layout).values())
    return "-f", "lavfi", "-i", f"aevalsrc={waves}:c={layout}:d={seconds}:s={rate_hz}"


def draw(path: Path, layout: str, *options: object, rate_hz: int = 48_000) -> Path:
    media.run_ffmpeg(*PICTURE, *tones(layout, rate_hz=rate_hz), *CODED, *options, path)
    return path


def joined(path: Path, parts: list[tuple[str, int]], *codec: object) -> Path:
    """A transport stream of 4 s in each layout and rate."""
    data = b""
    for number, (layout, rate_hz) in enumerate(parts):
        part = draw(path.with_name(f"{number}.ts"), layout, *codec, "-output_ts_offset", 4 * number, rate_hz=rate_hz)
        data += part.read_bytes()
    path.write_bytes(data)
    return path


def hertz(layout: str) -> dict[str, int]:
    """The tone that stands for a place: the same in all layouts."""
    order = ("FL", "FR", "FC", "LFE", "BL", "BR", "BC", "SL", "SR", "FLC", "FRC")
    return {place: 60 if place == "LFE" else 300 + 110 * order.index(place) for place in layouts.places(layout)}


def levels(info: MediaInfo, from_s: float, to_s: float) -> dict[str, float]:
    """RMS in dB of the tone that stands for a place, in the channel that has it."""
    assert info.audio is not None
    rate_hz, names = info.audio.rate_hz, layouts.places(info.audio.layout or "")
    samples = next(cut_samples(info, [(round(from_s * rate_hz), round(to_s * rate_hz))], rate_hz, len(names))) / 32768
    window = np.hanning(len(samples))
    found = {}
    for number, (place, hz) in enumerate(hertz(info.audio.layout or "").items()):
        turn = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / rate_hz)
        found[place] = float(20 * np.log10(np.sqrt(2) * abs((samples[:, number] * window) @ turn) / window.sum() + 1e-5))
    return found


def rendered(path: Path, target: Path, *spans: tuple[float, float]) -> tuple[MediaInfo, list[str]]:
    info = probe(path)
    warnings = render.render(Timeline.of(path, [Segment(info.snap(first), info.snap(stop)) for first, stop in spans]), info, target)
    return probe(target), warnings


AC3 = ("-c:a", "ac3")
TONE_DB = 20 * np.log10(0.2 / np.sqrt(2))


class TestChanges:
    @pytest.mark.parametrize(
        ("first", "second"), [("stereo", "5.1(side)"), ("mono", "stereo"), ("stereo", "mono"), ("5.1(side)", "stereo")]
    )
    def test_each_channel_is_as_loud_as_it_was(self, tmp_path: Path, first: str, second: str):
        path = joined(tmp_path / "in.ts", [(first, 48_000), (second, 48_000)], *AC3)
        for layout, span in ((first, (1, 3)), (second, (5, 7))):
            got, warnings = rendered(path, tmp_path / "out.mp4", span)
            assert got.audio is not None
            assert layouts.alike(got.audio.layout or "", layout)
            assert list(levels(got, 0.5, 1.5).values()) == pytest.approx([TONE_DB] * got.audio.channels, abs=TOLERANCE_DB)
            assert warnings == []

    def test_both_layouts_in_one_result(self, tmp_path: Path):
        path = joined(tmp_path / "in.ts", [("stereo", 48_000), ("5.1(side)", 48_000)], *AC3)
        got, warnings = rendered(path, tmp_path / "out.mp4", (1, 3), (5, 7))
        assert warnings == ["the layout of its sound changes (stereo, 5.1(side)): rendered as 5.1(side)"]
        assert levels(got, 2.5, 3.5) == pytest.approx(dict.fromkeys(("FL", "FR", "FC", "LFE", "BL", "BR"), TONE_DB), abs=TOLERANCE_DB)
        before = levels(got, 0.5, 1.5)
        assert (before["FL"], before["FR"]) == pytest.approx((TONE_DB, TONE_DB), abs=TOLERANCE_DB)
        assert max(before["FC"], before["LFE"], before["BL"], before["BR"]) < -60

    def test_mix_levels_that_change(self, tmp_path: Path):
        draw(tmp_path / "0.ts", "5.1(side)", *AC3, "-center_mixlev", 0.5, "-surround_mixlev", 0.5)
        draw(tmp_path / "1.ts", "5.1(side)", *AC3, "-center_mixlev", 0.707, "-surround_mixlev", 0, "-output_ts_offset", 4)
        path = tmp_path / "in.ts"
        path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
        got, warnings = rendered(path, tmp_path / "out.mp4", (5, 7))
        assert warnings == []
        assert list(levels(got, 0.5, 1.5).values()) == pytest.approx([TONE_DB] * 6, abs=TOLERANCE_DB)

    @pytest.mark.parametrize("rates", [(48_000, 44_100), (32_000, 48_000)])
    def test_a_rate_that_changes(self, tmp_path: Path, rates: tuple[int, int]):
        path = joined(tmp_path / "in.ts", [("stereo", rate_hz) for rate_hz in rates], *AC3)
        got, warnings = rendered(path, tmp_path / "out.mp4", (5, 7))
        assert warnings == []
        assert list(levels(got, 0.5, 1.5).values()) == pytest.approx([TONE_DB] * 2, abs=TOLERANCE_DB)
        sound = next(cut_samples(got, [(24_000, 72_000)], 48_000, 2))[:, 0] * np.hanning(48_000)
        assert np.abs(np.fft.rfft(sound)).argmax() == 300  # Hz: neither faster nor slower

    def test_it_stays_in_step(self, tmp_path: Path):
        """A click at 6 s: behind a change of layout and rate."""
        draw(tmp_path / "0.ts", "stereo", *AC3)
        click = "aevalsrc=0.9*between(t\\,2\\,2.01)*sin(2000*PI*t):c=5.1(side):d=4:s=44100"
        media.run_ffmpeg(*PICTURE, "-f", "lavfi", "-i", click, *CODED, *AC3, "-output_ts_offset", 4, tmp_path / "1.ts")
        path = tmp_path / "in.ts"
        path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
        got, _ = rendered(path, tmp_path / "out.mp4", (5, 7))
        assert onset_s(got) == pytest.approx(1, abs=SYNC_S)

    def test_what_is_heard_of_it_is_equally_loud(self, tmp_path: Path):
        """For the curve, and under music: the centre alone of 5.1 is as loud as the same tone in mono is on two loudspeakers."""
        waves = {"stereo": "0.1414*sin(2000*PI*t)|0.1414*sin(2000*PI*t)", "5.1(side)": "0|0|0.2*sin(2000*PI*t)|0|0|0"}
        data = b""
        for number, (layout, wave) in enumerate(waves.items()):
            part = tmp_path / f"{number}.ts"
            source = f"aevalsrc={wave}:c={layout}:d=4:s=48000"
            media.run_ffmpeg(*PICTURE, "-f", "lavfi", "-i", source, *CODED, *AC3, "-output_ts_offset", 4 * number, part)
            data += part.read_bytes()
        path = tmp_path / "in.ts"
        path.write_bytes(data)
        before, after = (np.sqrt((window**2).mean()) for window in read_windows(probe(path), [Segment(1, 3), Segment(5, 7)], 24_000))
        assert 20 * np.log10(after / before) == pytest.approx(0, abs=TOLERANCE_DB)
        mix.write_sound([], 6, tmp_path / "out.m4a", under=[(0.0, probe(path), Segment(1, 7))])
        sound = media.decode_audio(tmp_path / "out.m4a")
        before, after = (float(sound[round(first * 48_000) :][:48_000].std()) for first in (1, 4.5))
        assert 20 * np.log10(after / before) == pytest.approx(0, abs=TOLERANCE_DB)

    def test_a_track_whose_rate_changes(self, tmp_path: Path):
        """Music joined byte by byte: 440 Hz for 4 s, then 880 Hz at another rate, is taken from 5 s on."""
        for number, rate_hz in enumerate((44_100, 48_000)):
            wave = f"sine=f={440 + 440 * number}:r={rate_hz}:d=4"
            media.run_ffmpeg("-f", "lavfi", "-i", wave, "-c:a", "libmp3lame", tmp_path / f"{number}.mp3")
        path = tmp_path / "track.mp3"
        path.write_bytes((tmp_path / "0.mp3").read_bytes() + (tmp_path / "1.mp3").read_bytes())
        mix.write_sound([Cue(path, 0, 2, 5, 0.0)], 2, tmp_path / "out.m4a")
        sound = media.decode_audio(tmp_path / "out.m4a")[24_000:72_000, 0] * np.hanning(48_000)
        assert np.abs(np.fft.rfft(sound)).argmax() == 880


def onset_s(info: MediaInfo) -> float:
    samples = np.abs(next(cut_samples(info, [(0, round(info.end_s * 48_000))], 48_000, 1))[:, 0].astype(float))
    return float(np.flatnonzero(samples > samples.max() / 4)[0] / 48_000)


class TestLayouts:
    @pytest.mark.parametrize("layout", ["quad", "4.0", "5.0", "5.1(side)", "hexagonal", "6.1(back)", "7.1", "7.1(wide)", "octagonal"])
    def test_they_are_the_sources(self, tmp_path: Path, layout: str):
        path = draw(tmp_path / "in.mov", layout, "-c:a", "pcm_s16le")
        assert probe(path).audio is not None
        got, warnings = rendered(path, tmp_path / "out.mp4", (1, 3))
        assert warnings == []
        assert got.audio is not None
        assert sorted(layouts.places(got.audio.layout or "")) == sorted(layouts.places(probe(path).audio.layout or ""))
        assert levels(got, 0.5, 1.5) == pytest.approx(levels(probe(path), 1.5, 2.5), abs=TOLERANCE_DB)

    @pytest.mark.parametrize(
        ("layout", "written", "said"),
        [
            ("quad", "quad", []),
            ("5.1(side)", "5.1", []),
            ("4.0", "6.1", ["opus has no 4.0 sound: rendered as 6.1"]),
            ("2.1", "5.1", ["opus has no 2.1 sound: rendered as 5.1"]),
            ("5.0", "5.0", []),
            ("6.1", "6.1", []),
            ("hexagonal", "6.1", ["opus has no hexagonal sound: rendered as 6.1"]),
            ("octagonal", "7.1", ["opus has no octagonal sound: rendered as 7.1"]),
        ],
    )
    def test_opus_has_fewer(self, tmp_path: Path, layout: str, written: str, said: list[str]):
        path = draw(tmp_path / "in.mov", layout, "-c:a", "pcm_s16le")
        got, warnings = rendered(path, tmp_path / "out.webm", (1, 2.5))
        assert warnings == said
        assert got.audio is not None
        assert got.audio.layout == written
        before, after = levels(probe(path), 1.3, 2.2), levels(got, 0.3, 1.2)
        for place in before:
            assert after.get(place, -99) == pytest.approx(before[place], abs=TOLERANCE_DB) or (layout, place) == ("octagonal", "BC")

    def test_channels_without_a_place_are_kept(self, tmp_path: Path):
        path = draw(tmp_path / "in.mkv", "quad", "-c:a", "pcm_s16le")
        assert probe(path).audio == AudioStream(1, "pcm_s16le", 48_000, 4, None, None)
        got, warnings = rendered(path, tmp_path / "out.mp4", (1, 3))
        assert warnings == []
        assert list(levels(got, 0.5, 1.5).values()) == pytest.approx([TONE_DB] * 4, abs=TOLERANCE_DB)


class TestLateSound:
    @pytest.mark.parametrize("rate_hz", [32_000, 44_100, 48_000])
    @pytest.mark.parametrize("origin_s", [0, 5000])
    def test_it_stays_with_the_picture(self, tmp_path: Path, rate_hz: int, origin_s: int):
        """Sound from 12 s on, behind 5 MB of picture: when a file is opened, nothing is known of it."""
        path = tmp_path / "in.ts"
        noise = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=16", "-f", "lavfi", "-i", f"sine=r={rate_hz}:d=16")
        coded = ("-c:v", "mpeg2video", "-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "1M", "-g", 25, "-c:a", "aac")
        media.run_ffmpeg(*noise, *coded, "-af", "atrim=start=12", "-output_ts_offset", origin_s, path)
        info = probe(path)
        assert info.audio is not None
        assert info.audio.rate_hz == rate_hz
        got, warnings = rendered(path, tmp_path / "out.mp4", (11, 14))
        assert warnings == []
        assert onset_s(got) == pytest.approx(1, abs=SYNC_S)
        before, after = read_windows(info, [Segment(0, 2), Segment(11, 13)], 24_000)
        assert not before.any()
        assert np.flatnonzero(np.abs(after) > 0.02)[0] / 24_000 == pytest.approx(1, abs=SYNC_S)
        assert cut.cut(Timeline.of(path, [Segment(11, 14)]), cut.cut_points(info, tmp_path / "cut.mp4"), tmp_path / "cut.mp4") == []
        assert onset_s(probe(tmp_path / "cut.mp4")) == pytest.approx(1, abs=SYNC_S)


class TestTracks:
    """The first of two tracks, of 440 Hz, cannot be decoded; the second, of 880 Hz, can."""

    @pytest.fixture
    def two(self, tmp_path: Path) -> Path:
        path = tmp_path / "two.mp4"
        sounds = [option for hz in (440, 880) for option in ("-f", "lavfi", "-i", f"sine=f={hz}:d=4")]
        media.run_ffmpeg(*PICTURE, *sounds, "-map", 0, "-map", 1, "-map", 2, *CODED, "-c:a", "aac", path)
        return path

    def unknown(self, path: Path, target: Path, name: bytes) -> Path:
        """Give the first track another codec."""
        data = path.read_bytes()
        entry = data.index(b"mp4a" + bytes(4))
        setup = data.index(b"esds", entry)
        target.write_bytes(data[:entry] + name + data[entry + 4 : setup] + b"free" + data[setup + 4 :])
        return target

    @pytest.mark.parametrize("kind", ["ac-4", "zz-4", "noise", "empty"])
    def test_the_second_is_used_and_it_is_said(self, two: Path, tmp_path: Path, kind: str):
        if "-" in kind:
            path = self.unknown(two, tmp_path / "in.mp4", kind.encode())
        else:
            path = tmp_path / "in.mkv"
            media.run_ffmpeg(
                "-i", two, "-map", 0, "-c", "copy", "-bsf:a:0", {"noise": "noise=amount=3", "empty": "noise=drop=1"}[kind], path
            )
        codec = {"ac-4": "ac4", "zz-4": "unknown"}.get(kind, "aac")
        said = [f"its first sound ({codec}) cannot be decoded: another track is used (aac)"]
        got, warnings = rendered(path, tmp_path / "out.mp4", (1, 3))
        assert warnings == said
        assert tone_hz(got) == pytest.approx(880, abs=2)
        points = cut.cut_points(probe(path), tmp_path / "cut.mp4")
        assert cut.cut(Timeline.of(path, [Segment(1, 3)]), points, tmp_path / "cut.mp4") == said
        assert tone_hz(probe(tmp_path / "cut.mp4")) == pytest.approx(880, abs=2)

    def test_one_that_can_be_decoded_stays_the_first(self, two: Path, tmp_path: Path):
        got, warnings = rendered(two, tmp_path / "out.mp4", (1, 3))
        assert warnings == []
        assert tone_hz(got) == pytest.approx(440, abs=2)

    def test_none_can_be_decoded(self, two: Path, tmp_path: Path):
        media.run_ffmpeg("-i", two, "-map", "0:v", "-map", "0:a:0", "-c", "copy", tmp_path / "one.mp4")
        self.unknown(tmp_path / "one.mp4", tmp_path / "in.mp4", b"ac-4")
        got, warnings = rendered(tmp_path / "in.mp4", tmp_path / "out.mp4", (1, 3))
        assert warnings == ["its sound (ac4) cannot be decoded: rendered without sound"]
        assert got.audio is None


@pytest.mark.parametrize(("suffix", "seconds"), [(".mp4", 7.2), (".mkv", 7.2), (".ts", 7.2), (".mp4", 4.1)])
def test_sound_that_outlasts_the_picture_is_said(tmp_path: Path, suffix: str, seconds: float):
    path = tmp_path / f"in{suffix}"
    media.run_ffmpeg(*PICTURE, *tones("mono", seconds), *CODED, "-c:a", "aac", path)
    said = ["its sound is 3.2 s longer than its picture: the rest is left out"] if seconds > 5 else []
    got, warnings = rendered(path, tmp_path / "out.mp4", (1, 3))
    assert warnings == said
    assert got.sound_end_s == pytest.approx(2, abs=0.05)
    if suffix != ".ts":
        points = cut.cut_points(probe(path), tmp_path / "cut.mkv")
        assert cut.cut(Timeline.of(path, [Segment(1, 3)]), points, tmp_path / "cut.mkv") == said
    info = probe(path)
    ducked = mix.write_sound([], info.end_s, tmp_path / "out.m4a", under=[(0.0, info, Segment(0, info.end_s))])
    assert list(ducked.warnings) == [f"in{suffix}: {note}" for note in said]
    assert mix.write_sound([], 2, tmp_path / "out.m4a", under=[(0.0, info, Segment(0, 2))]).warnings == ()


def tone_hz(info: MediaInfo) -> float:
    """The loudest frequency of a second of sound, to 1 Hz."""
    sound = next(cut_samples(info, [(24_000, 72_000)], 48_000, 1))[:, 0] * np.hanning(48_000)
    assert np.abs(sound).max() > 1000
    return float(np.abs(np.fft.rfft(sound)).argmax())


def test_places():
    assert layouts.copied("5.1(side)", "5.1") == [0, 1, 2, 3, 4, 5]
    assert layouts.copied("hexagonal", "6.1") == [0, 1, 2, None, 5, 3, 4]
    assert layouts.copied("mono", "stereo") == [0, 0]
    assert layouts.copied("5.1", "stereo") is None
    assert layouts.coded("7 channels", "libopus") == "6.1"
    assert layouts.coded("11 channels", "aac") == "stereo"
    assert layouts.coded("7.1.4", "aac") == "7.1"
