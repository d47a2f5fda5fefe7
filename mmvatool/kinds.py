"""What a file is said to be by its name. Suffixes are in lower case, with the dot."""

import re

PICTURE_SUFFIXES = frozenset(
    f".{name}" for name in ["avif", "bmp", "gif", "heic", "heif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"]
)
SOUND_SUFFIXES = frozenset(
    f".{name}"
    for name in ["aac", "ac3", "aif", "aiff", "amr", "ape", "flac", "m4a", "mka", "mp2", "mp3", "oga", "ogg", "opus", "wav", "wma", "wv"]
)
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in [
        "3gp",
        "asf",
        "avi",
        "flv",
        "m2ts",
        "m4v",
        "mkv",
        "mov",
        "mp4",
        "mpeg",
        "mpg",
        "mts",
        "mxf",
        "ogv",
        "ts",
        "vob",
        "webm",
        "wmv",
    ]
)
MEDIA_SUFFIXES = PICTURE_SUFFIXES | SOUND_SUFFIXES | VIDEO_SUFFIXES


def is_own_output(name: str) -> bool:
    """Whether a file's name looks like one that this tool gave: `<name>.summary.<suffix>` or `<name>.soundtrack.<suffix>`."""
    return bool(re.search(r"\.(summary|soundtrack)\.[^.]+$", name))
