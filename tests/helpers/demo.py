"""What `make demo` draws, and what it says in the end.

    python -m tests.helpers.demo draw demo/       # a clip, six pictures, four tunes
    python -m tests.helpers.demo results demo/    # names what there is, a line each

It needs what the product needs, no more.
"""

import json
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers import media, scenery, tunes

# Calm and wild by turns: what is kept of a minute at the default ratio of 15 % is the fireworks and the fire, to the second.
CLIP = [("meadow", 12), ("fireworks", 5), ("lake", 11), ("snow", 7), ("fire", 4), ("meadow", 9), ("storm", 4), ("lake", 8)]
CLIP_SIZE, CLIP_RATE, AHEAD = (640, 360), 25, 8
# Not faster: ultrafast sets no keyframes at cuts, which is where they are looked for first.
X264 = ("-c:v", "libx264", "-preset", "superfast", "-pix_fmt", "yuv420p")
SLOW = ("lake", "meadow")  # they move so little that every other frame will do
# From calm to wild, in the order of their names, so that a slideshow of them has two scenes.
PICTURES = ("lake", "meadow", "snow", "storm", "fire", "fireworks")
PICTURE_SIZE, PICTURE_S = (960, 540), 1.3
TUNE_OF = {
    "meadow": "calm-happy",
    "lake": "calm-happy",
    "snow": "calm-sad",
    "storm": "wild-tense",
    "fire": "wild-tense",
    "fireworks": "wild-happy",
}


def draw_picture(path: Path, scene: str, size: scenery.Size = PICTURE_SIZE) -> Path:
    Image.fromarray(scenery.SCENES[scene](size, PICTURE_S)).save(path, quality=92)
    return path


def draw_tune(path: Path, name: str) -> tunes.Sound:
    """Play a tune and write it, with tags that say whose it is."""
    tune = tunes.TUNES[name]
    sound = tune.play()
    wav = media.write_wav(path.with_name(f".{path.name}.wav"), sound)
    tags = {"title": tune.title, "artist": tunes.ARTIST, "license": tunes.LICENCE, "comment": f"Drawn by make demo: {tune.mood}"}
    try:
        media.run_ffmpeg("-i", wav, *(word for tag in tags.items() for word in ("-metadata", "=".join(tag))), "-c:a", "flac", path)
    finally:
        wav.unlink()
    return sound


def clip_sound(plan: list[tuple[str, int]], tune_of: dict[str, tunes.Sound]) -> tunes.Sound:
    """To each scene the tune of its mood, which goes on where it was, and what there is to hear."""
    parts, played = [], dict.fromkeys(tune_of, 0)
    for scene, length_s in plan:
        name, count = TUNE_OF[scene], length_s * tunes.RATE_HZ
        start = played[name] if played[name] + count <= len(tune_of[name]) else 0
        played[name] = start + count
        part = 0.8 * tune_of[name][start : start + count].mean(axis=1) + tunes.AMBIENCE[scene](length_s)
        parts.append(tunes.faded(part, 0.08, 0.08))
    sound = np.concatenate(parts)
    return sound * tunes.PEAK / np.abs(sound).max()


def draw_clip(path: Path, plan: list[tuple[str, int]], sound: tunes.Sound, size: scenery.Size, rate: int, pool: Executor) -> Path:
    """Draw scenes one after the other, each (name, seconds); frames are drawn while those before them are encoded."""
    starts = np.cumsum([0, *(length_s * rate for _, length_s in plan)])
    coming: dict[int, Future[scenery.Frame]] = {}

    def place(number: int) -> int:
        return min(int(np.searchsorted(starts, number, side="right")), len(plan)) - 1

    def shown(number: int) -> int:
        since = number - int(starts[place(number)])
        return number - since % 2 if plan[place(number)][0] in SLOW else number

    def frame_at(number: int) -> scenery.Frame:
        for needed in {shown(soon) for soon in range(number, number + AHEAD)} - coming.keys():
            coming[needed] = pool.submit(scenery.SCENES[plan[place(needed)][0]], size, needed / rate)
        for past in [other for other in coming if other < shown(number)]:
            del coming[past]
        return coming[shown(number)].result()

    return media.encode(path, frame_at, int(starts[-1]), Fraction(rate), sound, (*X264, "-g", str(2 * rate)))


def draw(folder: Path, picture_size: scenery.Size = PICTURE_SIZE, clip_size: scenery.Size = CLIP_SIZE, clip_rate: int = CLIP_RATE) -> None:
    """All that the demo's commands work on."""
    pictures, music = folder / "pictures", folder / "music"
    for made in (pictures, music):
        made.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        played = {name: pool.submit(draw_tune, music / f"{name}.flac", name) for name in tunes.TUNES}
        drawn = [
            pool.submit(draw_picture, pictures / f"{number}-{scene}.jpg", scene, picture_size) for number, scene in enumerate(PICTURES, 1)
        ]
        sound = clip_sound(CLIP, {name: tune.result() for name, tune in played.items()})
        draw_clip(folder / "vlog.mp4", CLIP, sound, clip_size, clip_rate, pool)
        for picture in drawn:
            picture.result()


def results(folder: Path) -> list[tuple[Path, str]]:
    """The demo's files, and what each is, as far as they are there."""
    summary, show = folder / "vlog.summary.mp4", folder / "slideshow.mp4"
    said: dict[Path, str] = {folder / "vlog.mp4": "the clip"}
    if (account := summary.with_suffix(".json")).exists():
        kept = json.loads(account.read_text(encoding="utf-8"))
        said[summary] = f"the summary: {kept['summary_s']:.0f} s of {kept['duration_s']:.0f} s"
        said[account] = "what was kept, and the valence and arousal of every shot"
    said[summary.with_suffix(".png")] = "the arousal over time; what was kept is shaded"
    said[summary.with_suffix(".html")] = "a page about it, for a browser: why each shot was kept or not"
    said[folder / "score.png"] = "valence and arousal of the clip, the pictures and the tunes"
    if (account := show.with_suffix(".json")).exists():
        cues = json.loads(account.read_text(encoding="utf-8"))["cues"]
        said[show] = f"the pictures, to {' and '.join(Path(cue['path']).name for cue in cues)}"
        said[account] = "which track plays when, why, and whose it is"
    said[show.with_suffix(".html")] = "a page about it"
    return [(path, text) for path, text in said.items() if path.exists()]


def main(action: str, folder: Path) -> None:
    if action == "draw":
        length_s = sum(seconds for _, seconds in CLIP)
        print(f"Drawing a clip of {length_s} s, {len(PICTURES)} pictures and {len(tunes.TUNES)} tunes into {folder}/ ...", flush=True)
        draw(folder)
        return
    found = results(folder)
    width = max((len(str(path)) for path, _ in found), default=0)
    for path, text in found:
        print(f"{path!s:{width}}  {text}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
