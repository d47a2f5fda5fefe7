"""Pictures in HDR (PQ or HLG), brought to what a screen of SDR shows, as ffmpeg's filters zscale and tonemap do it with clips."""

from pathlib import Path

import numpy as np
from PIL import Image

PQ, HLG = 16, 18  # transfer characteristics of H.273
BT2020 = 9  # primaries of H.273
WHITE = 203.0  # cd/m2 of diffuse white, ITU-R BT.2408
PQ_PEAK, HLG_PEAK = 10000.0, 1000.0  # cd/m2
KNEE, BRIGHTEST = 0.3, 10.0  # of the Moebius curve, in parts of WHITE: straight below the one, and the other becomes white
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
HLG_GAMMA = 1.2  # from the scene to a screen of HLG_PEAK
GAMMA = 2.4
ROWS = 256  # that are converted at once: a large picture in floats would take many times its memory
HEAD_BYTES = 1 << 16  # of an AVIF, in which its properties lie


def coding(picture: Image.Image, path: str | Path) -> tuple[int, int] | None:
    """Primaries and transfer characteristics (H.273) of an opened HEIC or AVIF that is in HDR; None of all others."""
    profile = picture.info.get("nclx_profile")
    found = None
    if isinstance(profile, dict):
        found = int(profile["color_primaries"]), int(profile["transfer_characteristics"])
    elif picture.format == "AVIF":  # Pillow does not say
        with Path(path).open("rb") as file:
            _, _, rest = file.read(HEAD_BYTES).partition(b"colrnclx")
        found = int.from_bytes(rest[:2]), int.from_bytes(rest[2:4])
    return found if found and found[1] in (PQ, HLG) else None


def to_sdr(picture: Image.Image, primaries: int, transfer: int) -> Image.Image:
    """A picture in HDR as one in SDR, by its primaries and transfer characteristics (H.273); its alpha stays."""
    pixels = np.array(picture.convert("RGB"))
    light = _light(transfer)
    for start in range(0, len(pixels), ROWS):
        pixels[start : start + ROWS] = _converted(light[pixels[start : start + ROWS]], primaries)
    converted = Image.fromarray(pixels)
    if "A" in picture.getbands():
        converted.putalpha(picture.getchannel("A"))
    return converted


def _light(transfer: int) -> np.ndarray:
    """The light that each of 256 levels stands for, in parts of WHITE. float32 (256,)."""
    signal = np.arange(256) / 255
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125) * PQ_PEAK / WHITE
    else:
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = scene**HLG_GAMMA * HLG_PEAK / WHITE
    return light.astype(np.float32)


def _converted(light: np.ndarray, primaries: int) -> np.ndarray:
    """Light as SDR in sRGB's primaries, uint8."""
    if primaries == BT2020:
        light = np.maximum(light @ TO_BT709.T, 0)
    most = np.maximum(light.max(-1, keepdims=True), 1e-6)
    light = light * (_moebius(most) / most)
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / GAMMA)).astype(np.uint8)


def _moebius(light: np.ndarray) -> np.ndarray:
    a = -(KNEE**2) * (BRIGHTEST - 1) / (KNEE**2 - 2 * KNEE + BRIGHTEST)
    b = (KNEE**2 - 2 * KNEE * BRIGHTEST + BRIGHTEST) / (BRIGHTEST - 1)
    return np.where(light <= KNEE, light, (b**2 + 2 * b * KNEE + KNEE**2) / (b - a) * (light + a) / (light + b))
