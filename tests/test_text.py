"""Times and names as people read them."""

import os

import pytest

from mmvatool.text import format_clock, format_length, format_position, printable, shorten


@pytest.mark.parametrize(
    ("seconds", "options", "shown"),
    [
        (0, {}, "0:00"),
        (59.6, {}, "1:00"),
        (3599.4, {}, "59:59"),
        (3600, {}, "1:00:00"),
        (7384.25, {}, "2:03:04"),
        (7384.25, {"hours": False}, "123:04"),
        (83.456, {"decimals": 2}, "1:23.46"),
        (59.999, {"decimals": 2}, "1:00.00"),
        (7384.25, {"decimals": 2, "hours": False}, "123:04.25"),
    ],
)
def test_clock(seconds: float, options: dict[str, int], shown: str):
    assert format_clock(seconds, **options) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.96, "1:00"), (61.5, "1:01.5"), (3600, "1:00:00"), (7384.25, "2:03:04.2")])
def test_a_position_has_tenths_where_there_are_any(seconds: float, shown: str):
    assert format_position(seconds) == shown


def test_lengths_have_tenths_under_a_minute():
    assert [format_length(4.25), format_length(59.9), format_length(60)] == ["4.2 s", "59.9 s", "1:00"]
    assert format_length(4.25, 90) == "0:04"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("holiday ä 🎆.mp4", "holiday ä 🎆.mp4"),
        ("two\nlines\t\x1b[31m", "two\\nlines\\t\\x1b[31m"),
        ("\u202eevil", "\\u202eevil"),
        (os.fsdecode(b"not\xffutf8"), "not\\udcffutf8"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str):
    assert printable(text) == shown
    printable(text).encode()


def test_or_replaced():
    assert printable("a\nb\udcff", "_") == "a_b_"


def test_long_texts_are_cut():
    assert shorten("x" * 70) == "x" * 70
    assert shorten("x" * 71) == "x" * 67 + "..."
    assert shorten("\n" * 3, 10) == "\\n\\n\\n"
