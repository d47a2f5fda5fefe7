"""Tags of a source in MP4 and QuickTime: cameras and phones write what ffmpeg's muxer leaves out unless it is asked for."""

import os
import re
from pathlib import Path

from mmvatool.media.encode import MP4_SUFFIXES

# Linux takes arguments of up to 128 KiB, Windows command lines of 32,767 characters.
LONGEST_TAG_BYTES = 16_384
# What the muxer writes anyway, where every player looks for it.
ORDINARY = (
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping", "lyrics", "description",
    "synopsis", "show", "episode_id", "network", "keywords", "track", "disc", "creation_time", "location", "location-eng", "timecode",
    "encoder", "media_type", "hd_video", "gapless_playback", "compilation", "episode_sort", "season_number",
)  # fmt: skip
# Where the muxer writes what is not ordinary, it writes these by their bare names only, by which players do not know them.
QUICKTIME = {
    key: f"com.apple.quicktime.{name}"
    for key, name in {
        "title": "title", "artist": "artist", "album": "album", "comment": "comment", "copyright": "copyright", "genre": "genre",
        "description": "description", "keywords": "keywords", "make": "make", "model": "model", "location": "location.ISO6709",
    }.items()
}  # fmt: skip


def short(tags: dict[str, str]) -> dict[str, str]:
    """The tags short enough for a command line."""
    return {key: value for key, value in tags.items() if len(os.fsencode(key + value)) < LONGEST_TAG_BYTES}


def of_a_part(tags: dict[str, str]) -> dict[str, str]:
    """The tags that are true of a part of the file, too: its time code is that of its first frame."""
    return {key: value for key, value in tags.items() if key.lower() != "timecode"}


def all_kept(tags: dict[str, str], suffix: str) -> bool:
    """Whether the muxer of a container, by its suffix, keeps all of the tags without being asked."""
    return suffix not in MP4_SUFFIXES or all(key.lower() in ORDINARY for key in tags)


def written(tags: dict[str, str], suffix: str) -> dict[str, str]:
    """The tags to write into a container, by its suffix: the short ones, ordinary ones also by the names that players know."""
    kept = short(tags)
    if all_kept(tags, suffix):
        return kept
    return {QUICKTIME[key]: value for key, value in kept.items() if key in QUICKTIME} | kept


def write(tags: dict[str, str], suffix: str, file: Path) -> Path:
    """Write the tags for a container to a file in ffmpeg's metadata format, ffmetadata."""
    lines = [f"{_escaped(key)}={_escaped(value)}" for key, value in written(tags, suffix).items()]
    file.write_text("\n".join([";FFMETADATA1", *lines]) + "\n", encoding="utf-8")
    return file


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\\n])", r"\\\1", text)
