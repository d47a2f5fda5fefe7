"""A small synthetic IMEMNet-C whose valence and arousal are known functions of pictures, sounds and captions.

pictures   valence: from blue (0) to yellow (1); arousal: from dark (0) to bright (1)
sounds     valence: pitch from 220 Hz (0) to 880 Hz (1); arousal: from 1 (0) to 8 pulses a second (1)
captions   one of seven words for valence and one of seven for arousal
"""

import csv
import wave
from pathlib import Path

import numpy as np
from PIL import Image

RATE_HZ = 24_000
FIRST_CLIP = 9
VALENCE_WORDS = ("desperate", "gloomy", "wistful", "plain", "pleasant", "cheerful", "blissful")
AROUSAL_WORDS = ("motionless", "sleepy", "calm", "moderate", "lively", "driving", "frantic")
TEMPLATES = (
    "A {v} piece with a {a} beat.",
    "The song is {a} and the melody sounds {v}.",
    "This {a} instrumental has a {v} mood.",
    "A {v} tune, played at a {a} pace, features a synthesizer.",
)


def draw(
    folder: Path,
    *,
    images: int = 400,
    tracks: int = 100,
    clips_a_track: int = 4,
    clip_s: float = 2.0,
    image_px: int = 64,
    seed: int = 0,
    shuffled: bool = False,
) -> Path:
    """Draw the data folder.

    Args:
        folder: created if missing.
        images: number of pictures.
        tracks: number of recordings; ids of clips are "track-number" from 9 on.
        clips_a_track: clips of one track, whose labels differ a little.
        clip_s: length of a clip in seconds.
        image_px: side of a picture.
        seed: of everything drawn.
        shuffled: labels are permuted over images and over clips, so that nothing can be learned.

    Returns:
        The folder, with `image_va.csv`, `music_va.csv`, `images/` and `music/`.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "music").mkdir(exist_ok=True)

    image_va = rng.random((images, 2))
    for index, va in enumerate(image_va):
        suffix = ".JPG" if index % 5 == 0 else ".jpg"
        Image.fromarray(picture(va, image_px, rng)).save(folder / "images" / f"im{index:04d}{suffix}", format="JPEG", quality=92)

    centres = rng.random((tracks, 1, 2))
    clip_va = np.clip(centres + rng.normal(0, 0.04, (tracks, clips_a_track, 2)), 0, 1).reshape(-1, 2)
    ids = [f"{track + 1}-{number + FIRST_CLIP}" for track in range(tracks) for number in range(clips_a_track)]
    for index, (name, va) in enumerate(zip(ids, clip_va, strict=True)):
        write_wav(folder / "music" / f"{name}{'.WAV' if index % 5 == 0 else '.wav'}", sound(va, clip_s, rng))
    captions = [caption(va, rng) for va in clip_va]

    image_labels, clip_labels = (rng.permutation(va) if shuffled else va for va in (image_va, clip_va))
    with (folder / "image_va.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", "img", "valence", "arousal"])
        writer.writerows([index, f"im{index:04d}", *va] for index, va in enumerate(image_labels.tolist()))
    with (folder / "music_va.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", "clip_id", "valence", "arousal", "caption"])
        writer.writerows([index, ids[index], *va, captions[index]] for index, va in enumerate(clip_labels.tolist()))
    return folder


def picture(va: np.ndarray, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (side, side, 3): a few lighter and darker patches on the colour of the VA."""
    valence, arousal = va
    colour = np.array([valence, 0.2 + 0.6 * valence, 1 - valence]) * (0.25 + 0.7 * arousal)
    canvas = np.broadcast_to(colour, (side_px, side_px, 3)).copy()
    for _ in range(4):
        top, left = rng.integers(0, side_px * 3 // 4, 2)
        height, width = rng.integers(side_px // 8, side_px // 3, 2)
        canvas[top : top + height, left : left + width] *= rng.uniform(0.85, 1.15)
    canvas += rng.normal(0, 0.02, canvas.shape)
    return (np.clip(canvas, 0, 1) * 255).astype(np.uint8)


def sound(va: np.ndarray, length_s: float, rng: np.random.Generator, rate_hz: int = RATE_HZ) -> np.ndarray:
    """float32 (n,): a tone with two overtones with the pitch of the valence, pulsing at the rate of the arousal."""
    valence, arousal = va
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    pitch_hz, pulses_hz = 220 * 4**valence, 8**arousal
    tone = sum(np.sin(2 * np.pi * pitch_hz * n * time_s + rng.uniform(0, 6.28)) / n for n in (1, 2, 3)) / 2
    pulse = np.exp(-3 * ((time_s * pulses_hz + rng.random()) % 1))
    noise = rng.normal(0, 0.005, len(time_s))
    return (rng.uniform(0.5, 0.9) * np.clip(tone * pulse, -1, 1) + noise).astype(np.float32)


def caption(va: np.ndarray, rng: np.random.Generator) -> str:
    """A sentence with one word for valence and one for arousal."""
    valence_index, arousal_index = (min(int(value * 7), 6) for value in va)
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    return template.format(v=VALENCE_WORDS[valence_index], a=AROUSAL_WORDS[arousal_index])


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    """Mono 16-bit WAV of float samples in [-1, 1]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


SENTENCES = 90


def open_sets(folder: Path) -> Path:
    """A small data folder like `draw`'s in the form of several open sets: pictures of themes, and texts without clips.

    90 sentences on a narrow scale with a published split, and seven rated words without one.
    """
    rng = np.random.default_rng(0)
    draw(folder, images=60, tracks=20, clips_a_track=2, clip_s=1.0, image_px=32)
    with (folder / "image_va.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with (folder / "image_va.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "valence", "arousal", "group", "source"])
        writer.writerows([row[1], row[2], row[3], f"theme{number % 12}", "drawn"] for number, row in enumerate(rows[1:]))
    with (folder / "text_va.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "valence", "arousal", "text", "source", "split"])
        for number, va in enumerate(rng.random((SENTENCES, 2))):
            part = ("train", "train", "dev", "test")[number % 4]
            low, high = (0.45 + 0.1 * va).tolist()
            writer.writerow([f"s{number}", low, high, caption(va, rng), "sentences", part])
        for index, word in enumerate(VALENCE_WORDS):
            writer.writerow([f"w{index}", (index + 0.5) / 7, 0.4 + 0.01 * index, word, "words", ""])
    return folder
