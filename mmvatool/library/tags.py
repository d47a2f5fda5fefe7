"""Who made a piece of music and what may be done with it, from its tags. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# In lower case; the first present counts. LICENSE is Vorbis comments'; ID3 has COPYRIGHT, where Creative Commons' statement goes, too.
_TITLE = ("title",)
_ARTIST = ("artist", "performer", "album_artist", "albumartist", "author", "composer")
_LICENCE = ("license", "licence", "license_url", "licenseurl", "licence_url", "licenceurl")
_RIGHTS = ("copyright", "rights")
_PUBLIC = re.compile(r"https?://(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/[^\s<>\"']*[^\s<>\"'.,;)]")


@dataclass(frozen=True)
class Credits:
    """Each None where no tag has it."""

    title: str | None = None
    artist: str | None = None
    licence: str | None = None


def read_credits(tags: Mapping[str, str]) -> Credits:
    """Title, artist and licence from a file's tags.

    The licence is the text of a licence tag, else the address of a Creative Commons licence that any tag holds, else the copyright line.

    Args:
        tags: names in any case.
    """
    known = {key.lower(): text for key, value in tags.items() if (text := " ".join(value.split()))}

    def first(names: tuple[str, ...]) -> str | None:
        return next((known[name] for name in names if name in known), None)

    rights = first(_RIGHTS)
    public = next((match[0] for text in known.values() if (match := _PUBLIC.search(text))), None)
    return Credits(first(_TITLE), first(_ARTIST), first(_LICENCE) or (rights if rights and _PUBLIC.search(rights) else public or rights))
