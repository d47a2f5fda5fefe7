"""Stills in HDR look as clips of the same light do."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pillow_heif
import pytest

from mmvatool.analysis import pictures
from mmvatool.media.probe import probe
from mmvatool.media.sampling import Sampler
from tests.helpers import media

TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
# PQ's are black, 18 % grey, diffuse white of 203 cd/m2, a light of 1000, and three colours.
BARS = np.array([[0, 0, 0], [89, 89, 89], [148, 148, 148], [191, 191, 191], [125, 110, 105], [108, 118, 108], [108, 108, 122]], np.uint8)
SIZE = (7 * 32, 64)
TOLERANCE = 6.0  # of 255: one of 8 bits of PQ is up to 3


def drawing() -> np.ndarray:
    return np.broadcast_to(BARS.repeat(32, 0)[None], (SIZE[1], SIZE[0], 3))


def heic(path: Path, transfer: int) -> Path:
    deep = (drawing().astype(np.uint16) * 257).tobytes()
    picture = pillow_heif.from_bytes(mode="RGB;16", size=SIZE, data=deep)
    picture.save(
        path, quality=100, chroma=444, color_primaries=9, transfer_characteristics=transfer, matrix_coefficients=9, full_range_flag=1
    )
    return path


def from_rgb(transfer: int, *, still: bool) -> tuple[str, ...]:
    tags = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={TRANSFERS[transfer]}:range=limited"
    coder = ("-c:v", "libaom-av1", "-crf", "4", "-cpu-used", "8", "-still-picture", "1") if still else (
        "-c:v", "libx265", "-preset", "ultrafast", "-crf", "4", "-x265-params", "log-level=none")  # fmt: skip
    return ("-vf", f"scale=out_color_matrix=bt2020:out_range=limited,format=yuv444p10le,{tags}", *coder)


def centres(frame: np.ndarray) -> np.ndarray:
    return frame[frame.shape[0] // 2, 16::32].astype(float)


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_still_looks_as_a_clip_of_the_same_light(tmp_path, kind, transfer):
    clip = probe(media.encode(tmp_path / "clip.mp4", lambda n: drawing(), 5, Fraction(25), None, from_rgb(transfer, still=False)))
    path = tmp_path / f"still.{kind}"
    if kind == "heic":
        heic(path, transfer)
    else:
        media.encode(path, lambda n: drawing(), 1, Fraction(25), None, from_rgb(transfer, still=True))
    got, wanted = centres(pictures.read(path)), centres(next(iter(Sampler(clip).read([2]))))
    np.testing.assert_allclose(got, wanted, atol=TOLERANCE)
    assert np.ptp(got[:4], axis=1).max() <= 3  # grey stays grey
    assert got[0].max() <= 3
    if transfer == 16:
        assert got[2].mean() > 185  # white was 148


def test_stills_of_sdr_are_left_as_they_are(tmp_path):
    got = centres(pictures.read(heic(tmp_path / "still.heic", 13)))
    np.testing.assert_allclose(got, BARS, atol=3)
