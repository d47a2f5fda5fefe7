"""Title, artist and licence from tags as files have them."""

import pytest

from mmvatool.library.tags import Credits, read_credits

BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, Credits()),
        ({"TITLE": "Palace", "Artist": "Will Savino"}, Credits("Palace", "Will Savino")),
        ({"title": "  two\n lines ", "artist": "\t"}, Credits("two lines")),
        ({"composer": "J. S. Bach", "album_artist": "A quartet"}, Credits(None, "A quartet")),
        ({"LICENSE": "CC0", "copyright": "(c) 2020 A"}, Credits(licence="CC0")),
        ({"licence": "Public domain"}, Credits(licence="Public domain")),
        ({"copyright": "(c) 2020 A"}, Credits(licence="(c) 2020 A")),
        ({"copyright": "2020 A. Licensed under " + BY}, Credits(licence="2020 A. Licensed under " + BY)),
        ({"copyright": "2020 A", "comment": f"Free to use ({BY})."}, Credits(licence=BY)),
        (
            {"comment": "http://creativecommons.org/publicdomain/zero/1.0/, thanks"},
            Credits(licence="http://creativecommons.org/publicdomain/zero/1.0/"),
        ),
        ({"comment": "see https://example.org/licenses/by/4.0/"}, Credits()),
    ],
)
def test_what_tags_say(tags: dict[str, str], expected: Credits):
    assert read_credits(tags) == expected
