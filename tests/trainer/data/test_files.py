import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.helpers import synthetic
from trainer.data import files
from trainer.data.files import read_picture, read_sound
from trainer.errors import DataError

RAMP = np.linspace(0, 255, 24, dtype=np.uint8).reshape(4, 6)


def colours(height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(picture: Image.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)  # type: ignore[arg-type]
    return path


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_picture(saved(Image.fromarray(colours()), tmp_path / "a.png")), colours())


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn a quarter clockwise to see it upright
    path = saved(Image.fromarray(colours()), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(path), np.rot90(colours(), -1))


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    alpha = np.zeros((4, 6, 1), np.uint8)
    alpha[:2] = 255
    read = read_picture(saved(Image.fromarray(np.concatenate([colours(), alpha], 2)), tmp_path / "a.png"))
    np.testing.assert_array_equal(read[:2], colours()[:2])
    assert (read[2:] == 255).all()
    palette = Image.fromarray(RAMP % 3).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    read = read_picture(saved(palette, tmp_path / "p.png", transparency=1))
    np.testing.assert_array_equal(read[RAMP % 3 == 1], np.full((int((RAMP % 3 == 1).sum()), 3), 255))
    np.testing.assert_array_equal(read[RAMP % 3 == 2][0], [0, 0, 255])


@pytest.mark.parametrize("mode", ["I;16", "F", "I"])
def test_grey_of_more_than_8_bits_keeps_its_brightness(tmp_path: Path, mode: str) -> None:
    deep = {"I;16": RAMP.astype(np.uint16) * 257, "I": RAMP.astype(np.int32) * 257, "F": (RAMP / 255).astype(np.float32)}[mode]
    read = read_picture(saved(Image.fromarray(deep), tmp_path / "a.tif"))
    np.testing.assert_allclose(read, np.repeat(RAMP[..., None], 3, 2), atol=1)


def test_cmyk_grey_and_bilevel(tmp_path: Path) -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    read = read_picture(saved(Image.fromarray(red).convert("CMYK"), tmp_path / "a.jpg", quality=95))
    np.testing.assert_allclose(read, red, atol=6)
    assert read_picture(saved(Image.fromarray(RAMP), tmp_path / "g.png")).shape == (4, 6, 3)
    assert set(read_picture(saved(Image.fromarray(RAMP > 99), tmp_path / "b.png")).ravel()) == {0, 255}


def test_bad_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"gone.jpg: no such picture"):
        read_picture(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(DataError, match=r"text.jpg: not a picture .*convert"):
        read_picture(tmp_path / "text.jpg")
    whole = saved(Image.fromarray(colours(64, 64)), tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half.jpg: damaged picture \(.*\); get the file again"):
        read_picture(tmp_path / "half.jpg")
    with pytest.raises(DataError, match="damaged picture"):
        read_picture(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"whole.jpg: has over .* million pixels; scale it down"):
        read_picture(tmp_path / "whole.jpg")


def tone(length_s: float, rate_hz: int = 24_000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(length_s * rate_hz)) / rate_hz)).astype(np.float32)


def test_sound_is_decoded_resampled_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "-a:b [1].wav"
    synthetic.write_wav(path, tone(1.0))
    same = read_sound(path, 24_000)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, tone(1.0), atol=1e-4)
    half = read_sound(path, 16_000)
    assert len(half) == 16_000
    np.testing.assert_allclose(half[100:-100], tone(1.0, 16_000)[100:-100], atol=5e-3)
    np.testing.assert_allclose(read_sound(path, 24_000, max_s=0.25), tone(0.25), atol=1e-4)


def test_plain_wav_is_read_without_ffmpeg_and_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 24_000, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(0).integers(-32768, 32768, (5000, 2)).astype("<i2").tobytes())
    for cut_s in (None, 0.1, 9.0):
        fast = read_sound(path, 24_000, cut_s)
        with monkeypatch.context() as patch:
            patch.setattr(files, "_plain_wav", lambda *_: None)
            np.testing.assert_allclose(fast, read_sound(path, 24_000, cut_s), atol=1e-6)
    path.write_bytes(path.read_bytes()[:-1001])  # truncated in the middle of a sample: what is there counts
    assert len(read_sound(path, 24_000)) == 4749
    path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setattr(files.imageio_ffmpeg, "get_ffmpeg_exe", lambda: pytest.fail("ffmpeg is not needed"))
    assert len(read_sound(path, 24_000)) == 4749


def test_stereo_is_mixed_to_mono_within_range(tmp_path: Path) -> None:
    path = tmp_path / "stereo.flac"
    filters = "aevalsrc=0.9|0.5:s=8000:d=0.1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-f", "lavfi", "-i", filters, str(path)]
    subprocess.run(command, check=True, timeout=60)
    np.testing.assert_allclose(read_sound(path, 8000), 0.7, atol=1e-3)


def test_bad_sounds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.wav: no such sound file"):
        read_sound(tmp_path / "gone.wav", 8000)
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(DataError, match=r"text.wav: not a sound that can be decoded \(.+\); convert"):
        read_sound(tmp_path / "text.wav", 8000)
    synthetic.write_wav(tmp_path / "none.wav", np.zeros(0))
    with pytest.raises(DataError, match=r"none.wav: zero-length sound"):
        read_sound(tmp_path / "none.wav", 8000)
    still = saved(Image.fromarray(colours(64, 64)), tmp_path / "still.png")
    with pytest.raises(DataError, match=r"still.png: has no audio"):
        read_sound(still, 8000)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match=r"list.m3u8: "):
        read_sound(tmp_path / "list.m3u8", 8000)


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_a_playlist_opens_no_other_sound(tmp_path: Path, tag: bytes) -> None:
    synthetic.write_wav(tmp_path / "other.wav", tone(1.0))
    (tmp_path / "list.mp3").write_bytes(tag + b"ffconcat version 1.0\nfile other.wav\n" + b"#\n" * 100)
    with pytest.raises(
        DataError, match=r"list.mp3: (is a playlist .*; give|not a sound that can be decoded \(of no kind that is read\); )"
    ):
        read_sound(tmp_path / "list.mp3", 24_000)
