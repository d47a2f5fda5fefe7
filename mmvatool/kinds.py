"""What a file is said to be by its suffix. In lower case, with the dot."""

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
