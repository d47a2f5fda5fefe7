"""Live Photos: a still and a clip of some seconds around it, which a phone saves under one name."""

from collections.abc import Iterable
from pathlib import Path

from mmvatool.errors import MediaError
from mmvatool.media import headers

STILL_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".jpeg", ".jpg"})
CLIP_SUFFIXES = frozenset({".mov", ".mp4"})
LONGEST_S = 6.0  # of the clip: Apple's last 3 s, others' up to 5 s; a video beside a picture of the same name is mostly longer


def live_clips(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """The clips of Live Photos among files, each with its stills: of the same name (in any case) in the same folder, and short.

    Only clips with a still beside them are opened. One that cannot be read is none.
    """
    files = list(files)
    stills: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        if file.suffix.lower() in STILL_SUFFIXES:
            stills.setdefault(_name(file), []).append(file)
    pairs = {file: stills[_name(file)] for file in files if file.suffix.lower() in CLIP_SUFFIXES and _name(file) in stills}
    return {clip: beside for clip, beside in pairs.items() if _is_short(clip)}


def _name(file: Path) -> tuple[Path, str]:
    return file.parent, file.stem.casefold()


def _is_short(clip: Path) -> bool:
    try:
        stated_s = headers.read(clip, "a video file").stated_s
    except MediaError:
        return False
    return stated_s is not None and stated_s <= LONGEST_S
