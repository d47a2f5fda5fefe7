"""What is mixed is decoded again as a player would, and measured."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from mmvatool.errors import MediaError, OutputError, RenderError
from mmvatool.media import loop, loudness, master, mix, pcm
from mmvatool.media.probe import probe
from mmvatool.timeline import Cue, Segment
from tests.helpers import media
from tests.helpers.media import RATE_HZ

AAC_FRAME = 1024


def _noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).clip(-1, 1)


def _tone(seconds: float, hz: float, level: float = 0.2) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


@pytest.fixture(scope="module")
def band(tmp_path_factory) -> Path:
    """20 s of a chord with drums, whose peaks are far above its loudness."""
    chord = sum((_tone(20, hz, 0.05) for hz in (220, 277, 330, 660)), np.zeros(20 * RATE_HZ))
    return media.write_wav(tmp_path_factory.mktemp("music") / "band.wav", chord + 0.4 * media.scene_sound([("rays", 20)]))


def _cue(path: Path, start_s: float, end_s: float, offset_s: float = 0.0) -> Cue:
    return Cue(path, start_s, end_s, offset_s, 0.0)


def _level_db(sound: np.ndarray, hz: float) -> float:
    """Of one frequency in sound (n, 2)."""
    mono = sound.mean(axis=1) * np.hanning(len(sound))
    turn = np.exp(-2j * np.pi * hz * np.arange(len(sound)) / RATE_HZ)
    return float(20 * np.log10(2 * abs(mono @ turn) / np.hanning(len(sound)).sum() + 1e-12))


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".m4a"), ("opus", ".webm")])
@pytest.mark.parametrize("lufs", [-14.0, -23.0])
def test_loudness_peak_and_length_are_as_asked(band, tmp_path, codec, suffix, lufs):
    target = tmp_path / f"out{suffix}"
    told = []
    remix = mix.write_sound([_cue(band, 0, 15.3)], 15.3, target, lufs=lufs, codec=codec, on_progress=told.append)
    sound = media.decode_audio(target)
    assert pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.astype(float)) == pytest.approx(lufs, abs=0.5)
    assert remix.lufs == pytest.approx(lufs, abs=0.4)
    assert remix.true_peak_dbtp is not None
    assert remix.true_peak_dbtp <= -1.0
    assert master.measure(target, target) == (remix.lufs, remix.true_peak_dbtp)
    assert remix.warnings == ()
    assert abs(len(sound) - round(15.3 * RATE_HZ)) <= AAC_FRAME
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_peaks_that_the_encoder_raises_are_brought_down(tmp_path):
    """Drums of noise: what AAC makes of them overshoots by more than the limiter leaves room for."""
    path = media.write_wav(tmp_path / "drums.wav", media.scene_sound([("rays", 8)]))
    remix = mix.write_sound([_cue(path, 0, 8)], 8, tmp_path / "out.m4a")
    peak = master.measure(tmp_path / "out.m4a", path)[1]
    assert peak is not None
    assert peak <= -1.0
    assert remix.true_peak_dbtp == peak
    assert remix.lufs == pytest.approx(-14, abs=1)


def test_what_cannot_be_louder_without_crushing_is_left_softer_with_a_note(tmp_path):
    """A soft tone with one loud clap a second: 25 dB between the peaks and the loudness asked for."""
    sound = _tone(10, 440, 0.003)
    sound[RATE_HZ // 2 :: RATE_HZ] = 0.9
    path = media.write_wav(tmp_path / "claps.wav", sound)
    remix = mix.write_sound([_cue(path, 0, 10)], 10, tmp_path / "out.m4a")
    assert remix.lufs is not None
    assert remix.lufs < -16
    assert remix.warnings == (f"its loudness is {remix.lufs:.1f} LUFS, not -14.0: more would crush its peaks",)


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_silence_stays_silence(tmp_path, codec):
    still = media.write_wav(tmp_path / "still.wav", np.zeros(2 * RATE_HZ))
    for cues in ([], [_cue(still, 0, 3)]):
        remix = mix.write_sound(cues, 3.0, tmp_path / "out", codec=codec)
        assert remix == mix.MixResult(None, None)
        sound = media.decode_audio(tmp_path / "out")
        assert abs(len(sound) - 3 * RATE_HZ) <= AAC_FRAME
        assert not sound.any()


def test_the_cue_begins_at_its_offset_in_the_track(tmp_path):
    tones = np.concatenate([_tone(2, hz) for hz in (300, 600, 900, 1200, 1500)])
    path = media.write_wav(tmp_path / "steps.wav", tones)
    for suffix, codec in ((".mp3", "libmp3lame"), (".ogg", "libvorbis"), (".m4a", "aac"), (".flac", "flac")):
        packed = path.with_suffix(suffix)
        media.run_ffmpeg("-i", path, "-c:a", codec, packed)
        mix.write_sound([_cue(packed, 1, 5, 4.5)], 6, tmp_path / "out.m4a")
        sound = media.decode_audio(tmp_path / "out.m4a")
        assert not np.abs(sound[: round(0.97 * RATE_HZ)]).max() > 1e-3  # nothing before the cue
        assert not np.abs(sound[round(5.03 * RATE_HZ) :]).max() > 1e-3
        # In the track the tone changes at 6 s, which is at 2.5 s of the result.
        edge = round(2.5 * RATE_HZ)
        before, after = sound[edge - 4800 : edge - 480], sound[edge + 480 : edge + 4800]
        assert _level_db(before, 900) > _level_db(before, 1200) + 20
        assert _level_db(after, 1200) > _level_db(after, 900) + 20


@pytest.mark.parametrize("channels", [1, 2, 6, 7])
def test_tracks_of_any_channels(tmp_path, channels):
    path = media.write_wav(tmp_path / "many.wav", _tone(4, 500), channels)
    assert mix.write_sound([_cue(path, 0, 3)], 3, tmp_path / "out.m4a").lufs == pytest.approx(-14, abs=0.5)
    sound = media.decode_audio(tmp_path / "out.m4a")[RATE_HZ // 2 : RATE_HZ]
    assert _level_db(sound[:, :1], 500) == pytest.approx(_level_db(sound[:, 1:], 500), abs=0.5)


def test_fades_at_the_ends(tmp_path):
    path = media.write_wav(tmp_path / "noise.wav", _noise(30))
    mix.write_sound([_cue(path, 0, 12, 3)], 12, tmp_path / "out.m4a")
    powers = 10 * np.log10((media.decode_audio(tmp_path / "out.m4a")[: 12 * RATE_HZ].reshape(-1, 4800, 2) ** 2).mean(axis=(1, 2)))
    usual = np.median(powers)
    assert powers[0] < usual - 8
    assert powers[-1] < usual - 15
    assert np.abs(powers[6:99] - usual).max() < 1.5
    assert powers[110] == pytest.approx(usual - 3, abs=1.5)  # half-way through the fade-out


def test_tracks_cross_without_a_dip_and_are_equally_loud(tmp_path):
    soft = media.write_wav(tmp_path / "soft.wav", _noise(20, 1, 0.01))
    loud = media.write_wav(tmp_path / "loud.wav", _noise(20, 2, 0.2))
    mix.write_sound([_cue(loud, 8, 20), _cue(soft, 0, 11)], 20, tmp_path / "out.m4a")
    powers = 10 * np.log10((media.decode_audio(tmp_path / "out.m4a")[: 20 * RATE_HZ].reshape(-1, 9600, 2) ** 2).mean(axis=(1, 2)))
    assert np.abs(powers[5:88] - np.median(powers)).max() < 1.0


def test_a_short_track_goes_on(tmp_path):
    path = media.write_wav(tmp_path / "short.wav", np.concatenate([_noise(5), np.zeros(2 * RATE_HZ)]))
    mix.write_sound([_cue(path, 0, 20, 2)], 20, tmp_path / "out.m4a")
    powers = 10 * np.log10((media.decode_audio(tmp_path / "out.m4a")[: 20 * RATE_HZ].reshape(-1, 9600, 2) ** 2).mean(axis=(1, 2)))
    assert np.abs(powers[5:88] - np.median(powers)).max() < 1.5


def test_a_cue_a_breath_longer_than_its_track_ends_with_it(tmp_path):
    path = media.write_wav(tmp_path / "piece.wav", np.concatenate([_tone(8, 500), _tone(1, 900)]))
    mix.write_sound([_cue(path, 0, 9.05)], 9.05, tmp_path / "out.m4a")
    last = media.decode_audio(tmp_path / "out.m4a")[round(8.2 * RATE_HZ) : round(8.6 * RATE_HZ)]
    assert _level_db(last, 900) > _level_db(last, 500) + 20


def _talk(path: Path, sounds: np.ndarray, codec: str = "aac") -> Path:
    picture = np.full((36, 64, 3), 90, np.uint8)
    count = round(len(sounds) / RATE_HZ * 10)
    params = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", codec)
    return media.encode(path, lambda _: picture, count, Fraction(10), sounds, params)


def test_music_gives_way_to_the_original(tmp_path):
    music = media.write_wav(tmp_path / "music.wav", _tone(40, 3000))
    stderr = np.zeros(20 * RATE_HZ)
    for start_s, end_s in ((5, 7), (7.4, 9), (14, 15)):  # the first two with the pause of a comma between them
        stderr[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] = _tone(end_s - start_s, 400, 0.1)
    video = probe(_talk(tmp_path / "talk.mp4", stderr))
    remix = mix.write_sound([_cue(music, 0, 20)], 20, tmp_path / "out.m4a", under=[(0.0, video, Segment(0, 20))])
    assert remix.warnings == ()
    sound = media.decode_audio(tmp_path / "out.m4a")

    def music_db(start_s: float, end_s: float) -> float:
        return _level_db(sound[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)], 3000)

    free = music_db(2, 4)
    assert music_db(5.05, 6.9) == pytest.approx(free - 12, abs=1)
    assert music_db(7.05, 7.35) == pytest.approx(free - 12, abs=1)  # no pumping
    assert music_db(7.5, 8.9) == pytest.approx(free - 12, abs=1)
    assert music_db(4.3, 4.7) == pytest.approx(free, abs=1)
    assert music_db(10.6, 13.5) == pytest.approx(free, abs=1)  # hold and release: 1.3 s
    assert free - 9 < music_db(9.7, 9.9) < free - 1
    assert music_db(14.1, 14.9) == pytest.approx(free - 12, abs=1)
    # The original is heard over it, at its place.
    assert _level_db(sound[round(5.1 * RATE_HZ) : round(6.9 * RATE_HZ)], 400) > music_db(5.1, 6.9) + 6
    assert _level_db(sound[round(4 * RATE_HZ) : round(4.9 * RATE_HZ)], 400) < free - 30


def test_the_original_lies_where_it_belongs_and_its_hiss_is_not_raised(tmp_path):
    """A stretch of a video from 2 s on, at 6 s of the result: its click comes at 6.5 s; its hiss of -66 dBFS ducks nothing."""
    music = media.write_wav(tmp_path / "music.wav", _tone(40, 3000))
    stderr = _noise(8, level=0.0005)
    stderr[round(2.5 * RATE_HZ) : round(2.51 * RATE_HZ)] = 0.7
    video = probe(_talk(tmp_path / "hiss.mkv", stderr, "pcm_s16le"))
    mix.write_sound([_cue(music, 0, 14)], 14, tmp_path / "out.m4a", under=[(6.0, video, Segment(2, 7))])
    sound = media.decode_audio(tmp_path / "out.m4a")
    free = _level_db(sound[round(2 * RATE_HZ) : round(4 * RATE_HZ)], 3000)
    assert _level_db(sound[round(9 * RATE_HZ) : round(11 * RATE_HZ)], 3000) == pytest.approx(free, abs=0.5)
    assert _level_db(sound[round(6.7 * RATE_HZ) : round(7 * RATE_HZ)], 3000) == pytest.approx(free - 12, abs=1)
    click = sound.mean(axis=1) - np.roll(sound.mean(axis=1), 16)  # a period of the music
    place = np.argmax(np.abs(click[round(5.5 * RATE_HZ) : round(7.5 * RATE_HZ)])) / RATE_HZ + 5.5
    assert place == pytest.approx(6.5, abs=0.015)


def test_hiss_is_not_raised_to_speech(tmp_path):
    """A quiet room of -60 dBFS: 12 dB more of it are still no reason to duck."""
    music = media.write_wav(tmp_path / "music.wav", _tone(20, 3000))
    video = probe(_talk(tmp_path / "room.mkv", _noise(8, level=0.001), "pcm_s16le"))
    mix.write_sound([_cue(music, 0, 8)], 8, tmp_path / "out.m4a", under=[(0.0, video, Segment(0, 8))])
    sound = media.decode_audio(tmp_path / "out.m4a")[2 * RATE_HZ : 5 * RATE_HZ]
    music_db = _level_db(sound, 3000)
    assert music_db == pytest.approx(10 * np.log10(2 * (sound.mean(axis=1) ** 2).mean()), abs=0.1)  # there is little else


def test_original_alone_and_original_without_sound(vlog, silent, tmp_path):
    remix = mix.write_sound([], 6, tmp_path / "out.m4a", under=[(0.0, probe(vlog), Segment(7, 13))])
    assert remix.lufs == pytest.approx(-14, abs=0.5)
    remix = mix.write_sound([], 2, tmp_path / "out.m4a", under=[(0.0, probe(silent), Segment(0, 2))])
    assert remix == mix.MixResult(None, None, ("silent.mp4 has no sound: the music is not ducked there",))


def _damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 6] = bytes(len(data) // 6)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("suffix", "codec"), [(".mp3", "libmp3lame"), (".ogg", "libvorbis"), (".flac", "flac"), (".m4a", "aac")])
def test_a_track_that_decodes_in_parts_is_named(band, tmp_path, suffix, codec):
    path = tmp_path / f"a 'track'{suffix}"
    media.run_ffmpeg("-i", band, "-c:a", codec, path)
    (tmp_path / "out").mkdir()
    mix.write_sound([_cue(path, 0, 4)], 4, tmp_path / "out" / "a.m4a")
    (tmp_path / "out" / "a.m4a").unlink()
    with pytest.raises(MediaError, match=r"a 'track'\S+: is damaged: \d+\.\d s of its 20\.\d s can be decoded"):
        mix.write_sound([_cue(_damaged(path), 0, 18)], 18, tmp_path / "out" / "a.m4a")
    assert list((tmp_path / "out").iterdir()) == []


def test_tracks_that_are_none(silent, tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.mp3").write_text("la la la")
    for path, problem in ((tmp_path / "empty.mp3", "is empty"), (tmp_path / "text.mp3", "is not a media file"), (silent, "has no sound")):
        with pytest.raises(MediaError, match=problem):
            mix.write_sound([_cue(path, 0, 3)], 3, tmp_path / "out.m4a")


def test_a_target_that_cannot_be_written(band, tmp_path):
    with pytest.raises(OutputError, match="choose another place"):
        mix.write_sound([_cue(band, 0, 3)], 3, tmp_path / "nowhere" / "out.m4a")


def test_an_encoder_that_fails(band, tmp_path, monkeypatch):
    monkeypatch.setitem(master.ENCODERS, "aac", {"acodec": "aac", "format": "webm"})
    with pytest.raises(RenderError, match="the encoder failed"):
        mix.write_sound([_cue(band, 0, 3)], 3, tmp_path / "out.m4a")
    assert list(tmp_path.iterdir()) == []


def test_longer_sound_needs_no_more_memory(band, tmp_path, monkeypatch):
    """In small pieces, so that a short time will do to see it: 1.5 MB of samples, then 6."""
    monkeypatch.setattr(loudness, "CHUNK_S", 1)
    monkeypatch.setattr(loop, "PIECE", 1 << 14)
    monkeypatch.setattr(mix, "PIECE", 1 << 14)
    monkeypatch.setattr(pcm, "PIECE", 1 << 14)
    peaks = []
    for length_s in (4, 4, 16):
        tracemalloc.start()
        try:
            mix.write_sound([_cue(band, 0, length_s)], length_s, tmp_path / "out.m4a")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1]
