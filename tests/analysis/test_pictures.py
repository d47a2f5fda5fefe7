"""Pictures as people have them: of every kind and colour space, turned, broken, and named by nobody with scripts in mind."""

import struct
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError

ORIENTATION, TAKEN, DIGITIZED, CHANGED = 0x0112, 0x9003, 0x9004, 0x0132
CODED = 12  # of 255: what a lossy format may change in a flat area
# Upright: red, green over blue, white, in blocks of 16 x 16.
COLOURS = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 0)], [(0, 0, 255), (255, 255, 255), (0, 0, 0)]], np.uint8)
UPRIGHT = COLOURS.repeat(16, 0).repeat(16, 1)
# How each orientation stores it, by EXIF's definition of where row 0 and column 0 are seen.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


def blocks(picture: np.ndarray) -> np.ndarray:
    """The colour in the middle of every block."""
    return picture[8::16, 8::16].astype(int)


def oriented(number: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif.tobytes()


def save_heic(picture: Image.Image, path: Path, **options: object) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif")
    if not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("this build of pillow-heif encodes nothing")
    pillow_heif.from_pillow(picture).save(path, quality=95, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "packed.tif"])
def test_every_orientation_is_upright(tmp_path, orientation, name):
    options = {"packed.tif": {"compression": "tiff_lzw"}, "a.jpg": {"quality": 95, "subsampling": 0}, "a.webp": {"lossless": True}}
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(tmp_path / name, exif=oriented(orientation), **options.get(name, {}))
    np.testing.assert_allclose(blocks(pictures.read(tmp_path / name)), COLOURS, atol=3 if name == "a.jpg" else 0)
    assert pictures.read(tmp_path / name).shape == UPRIGHT.shape


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(tmp_path, orientation):
    """As phones write it: the turn is in the container and in the EXIF block; whoever honours both turns it twice."""
    path = save_heic(Image.fromarray(np.ascontiguousarray(STORED[orientation])), tmp_path / "a.HEIC", exif=oriented(orientation))
    read = pictures.read(path)
    assert read.shape == UPRIGHT.shape
    np.testing.assert_allclose(blocks(read), COLOURS, atol=3 * CODED)  # its colours are stored at half the resolution
    assert pictures.is_picture(path)


def test_heic_by_any_name(tmp_path):
    save_heic(Image.fromarray(UPRIGHT), tmp_path / "a.heic")
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")
    assert pictures.is_picture(tmp_path / "a.jpg")
    assert pictures.read(tmp_path / "a.jpg").shape == UPRIGHT.shape


def test_a_broken_heic_is_one_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    whole = save_heic(Image.fromarray(noise), tmp_path / "a.heic").read_bytes()
    for length in (40, len(whole) // 2):
        (tmp_path / "a.heic").write_bytes(whole[:length])
        with pytest.raises(MediaError, match=r"a\.heic: (damaged picture|not a picture)") as caught:
            pictures.read(tmp_path / "a.heic")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "I;16", "RGB;16", "RGBA;16"])
def test_every_mode_is_rgb_over_white(tmp_path, mode):
    """Left half a grey of 100 (black for 1 bit), right half white or see-through."""
    path = tmp_path / "a.png"
    grey = np.full((8, 16), 100, np.uint8)
    grey[:, 8:] = 255
    alpha = np.full((8, 16), 255, np.uint8)
    alpha[:, 8:] = 0
    if mode in ("RGB;16", "RGBA;16"):
        write_png(path, np.stack([grey.astype(np.uint16) * 257] * 3 + [alpha.astype(np.uint16) * 257] * (mode == "RGBA;16"), -1))
    elif mode == "RGBA":
        Image.fromarray(np.dstack([grey % 255, grey % 255, grey % 255, alpha])).save(path)
    elif mode == "LA":
        Image.merge("LA", [Image.fromarray(grey % 255), Image.fromarray(alpha)]).save(path)
    elif mode == "P":
        picture = Image.fromarray((grey == 255).astype(np.uint8)).convert("P")
        picture.putpalette([100, 100, 100, 9, 9, 9])
        picture.save(path, transparency=1)
    elif mode == "1":
        Image.fromarray(grey == 255).save(path)
    elif mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif mode == "CMYK":
        path = tmp_path / "a.tif"
        Image.fromarray(np.dstack([grey] * 3)).convert("CMYK").save(path)
    else:
        Image.fromarray(grey).save(path)
    read = pictures.read(path)
    assert (read.shape, read.dtype) == ((8, 16, 3), np.uint8)
    np.testing.assert_allclose(read[:, :8], 0 if mode == "1" else 100, atol=1)
    assert (read[:, 8:] == 255).all()


def write_png(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 16 bits a channel, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.jpg"])
def test_of_several_pictures_in_a_file_the_first(tmp_path, name):
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    kind = {"format": "MPO"} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    red.save(tmp_path / name, save_all=True, append_images=[blue], **kind)
    with Image.open(tmp_path / name) as opened:
        assert opened.n_frames == 2  # the drawing is what it claims to be
    np.testing.assert_allclose(pictures.read(tmp_path / name), np.broadcast_to((255, 0, 0), (16, 16, 3)), atol=2)


def test_one_pixel_and_one_row(tmp_path):
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "a.png")
    assert pictures.read(tmp_path / "a.png").tolist() == [[[9, 8, 7]]]
    Image.new("RGB", (60_000, 8), "red").save(tmp_path / "wide.png")
    assert pictures.read(tmp_path / "wide.png").shape == (8, 60_000, 3)


def test_a_picture_too_large_is_refused_by_its_header(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint16))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.png: has over \d+ million pixels; scale it down"):
        pictures.read(tmp_path / "a.png")
    assert pictures.is_picture(tmp_path / "a.png")  # so that it is refused as what it is
    assert pictures.taken_at(tmp_path / "a.png") is None


@pytest.mark.parametrize("name", ['it\'s "quoted".jpg', "two\nlines.jpg", "\U0001f389 été.jpg", "-y.jpg", "a:b%03d.jpg"])
def test_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(UPRIGHT).save(tmp_path / name, quality=95)
    assert pictures.read(Path(name)).shape == UPRIGHT.shape
    assert pictures.is_picture(Path(name))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert pictures_problem(Path(name)).startswith("damaged picture (")


def pictures_problem(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        pictures.read(path)
    assert caught.value.path == path
    return caught.value.problem


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("not a picture")
    assert pictures_problem(tmp_path / "gone.jpg") == "no such file: check the name"
    assert pictures_problem(tmp_path / "empty.jpg") == "the file is empty: copy it again"
    assert pictures_problem(tmp_path / "words.jpg") == "not a picture that can be read; convert it to JPEG or PNG"
    assert not pictures.is_picture(tmp_path / "words.jpg")


def profile(red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...], gamma: float = 2.2) -> bytes:
    """An ICC profile of a screen: XYZ of its primaries at D50, and its gamma."""

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + s15(*values)

    text = b"drawn\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = [(b"desc", desc), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1, 0.8249))]
    tags += [(b"rXYZ", xyz(*red)), (b"gXYZ", xyz(*green)), (b"bXYZ", xyz(*blue)), *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))]
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    return header.ljust(68, b"\0") + s15(0.9642, 1, 0.8249) + bytes(48) + table + body


P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22250, 0.01393), (0.38506, 0.71688, 0.09710), (0.14308, 0.06062, 0.71417))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_wide_gamut_is_converted(tmp_path, mode):
    colours = np.array([[(200, 100, 80), (90, 160, 60), (70, 90, 180), (128, 128, 128)]], np.uint8)
    linear = np.linalg.inv(np.array(SRGB).T) @ np.array(P3).T @ ((colours[0] / 255) ** 2.2).T
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).T * 255
    assert np.abs(expected - colours[0]).max() > 10  # otherwise there is nothing to see
    picture = Image.fromarray(colours.repeat(4, 0)).convert(mode, **({"palette": Image.Palette.ADAPTIVE} if mode == "P" else {}))
    picture.save(tmp_path / "a.png", icc_profile=profile(*P3))
    np.testing.assert_allclose(pictures.read(tmp_path / "a.png")[0], expected, atol=2)


def test_a_phones_picture_is_converted_and_turned(tmp_path):
    """Display P3 and a turn at once, as a JPEG of one has them."""
    Image.fromarray(np.rot90(UPRIGHT // 2)).save(tmp_path / "a.jpg", icc_profile=profile(*P3), exif=oriented(6), quality=95, subsampling=0)
    read = blocks(pictures.read(tmp_path / "a.jpg"))
    assert read.shape == COLOURS.shape
    assert read[0, 0, 0] > 127 + 5  # more red than sRGB says with the same number
    np.testing.assert_allclose(read[1, 1], 127, atol=3)  # grey is grey in both


def test_srgb_and_broken_profiles_change_nothing(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for block in (srgb, b"nonsense", profile(*P3)[:200], profile(*P3).replace(b"RGB ", b"CMYK")):
        Image.fromarray(UPRIGHT).save(tmp_path / "a.png", icc_profile=block)
        np.testing.assert_array_equal(pictures.read(tmp_path / "a.png"), UPRIGHT)


def taken(**tags: str) -> bytes:
    """An EXIF block; the names are those of the tags below."""
    numbers = {"taken": TAKEN, "fraction": 0x9291, "offset": 0x9011, "digitized": DIGITIZED}
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    for name, value in tags.items():
        if name == "changed":
            exif[CHANGED] = value
        else:
            inner[numbers[name]] = value
    return exif.tobytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.heic"])
def test_when_it_was_taken(tmp_path, name):
    block = taken(taken="2021:02:03 04:05:06", fraction="25", offset="-03:30", changed="2024:01:01 00:00:00")
    if name == "a.heic":
        save_heic(Image.fromarray(UPRIGHT), tmp_path / name, exif=block)
    else:
        Image.fromarray(UPRIGHT).save(tmp_path / name, exif=block)
    zone = timezone(-timedelta(hours=3, minutes=30))
    assert pictures.taken_at(tmp_path / name) == datetime(2021, 2, 3, 4, 5, 6, 250_000, zone)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"taken": "2021:02:03 04:05:06"}, datetime(2021, 2, 3, 4, 5, 6)),
        ({"taken": "2021-02-03T04:05:06", "offset": "nonsense", "fraction": "?"}, datetime(2021, 2, 3, 4, 5, 6)),
        ({"taken": "0000:00:00 00:00:00", "digitized": "2020:01:01 00:00:00"}, datetime(2020, 1, 1)),
        ({"taken": "    :  :     :  :  ", "changed": "2019:12:31 23:59:59"}, datetime(2019, 12, 31, 23, 59, 59)),
        ({"taken": "2021:02:30 04:05:06"}, None),
        ({}, None),
    ],
)
def test_when_by_what_is_noted(tmp_path, tags, expected):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=taken(**tags))
    assert pictures.taken_at(tmp_path / "a.jpg") == expected


def test_a_broken_block_has_no_time_and_spoils_no_picture(tmp_path):
    block = taken(taken="2021:02:03 04:05:06", changed="2019:12:31 23:59:59")
    for broken in (b"Exif\0\0nonsense", block[:30], block[:14] + b"\xff" * 20 + block[34:]):
        Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=broken, quality=95, subsampling=0)
        assert pictures.taken_at(tmp_path / "a.jpg") is None
        np.testing.assert_allclose(blocks(pictures.read(tmp_path / "a.jpg")), COLOURS, atol=CODED)
    (tmp_path / "words.jpg").write_text("not a picture")
    assert pictures.taken_at(tmp_path / "words.jpg") is None
    assert pictures.taken_at(tmp_path / "gone.jpg") is None


def test_a_jpeg_may_come_smaller_but_not_too_small(tmp_path):
    """A quarter is the least that still has 200 pixels on both sides; it is upright, and of the same colours."""
    picture = Image.fromarray(UPRIGHT).resize((1600, 800), Image.Resampling.NEAREST)
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", quality=95, exif=oriented(6))
    whole, small = pictures.read(tmp_path / "a.jpg"), pictures.read(tmp_path / "a.jpg", least_px=200)
    assert whole.shape == (800, 1600, 3)
    assert small.shape == (200, 400, 3)
    shrunk = np.asarray(Image.fromarray(whole).resize((400, 200), Image.Resampling.BOX), np.float64)
    assert np.abs(shrunk - small).mean() < 3


def test_a_png_comes_whole(tmp_path):
    Image.fromarray(np.zeros((800, 800, 3), np.uint8)).save(tmp_path / "a.png")
    assert pictures.read(tmp_path / "a.png", least_px=100).shape == (800, 800, 3)
