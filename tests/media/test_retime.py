"""Chapters and subtitles at their new times: cut away, cut into, split."""

import pytest

from mmvatool.media.retime import Chapter, chapter_each, move_chapters, move_interval, move_subtitles, to_metadata
from mmvatool.timeline import Segment

# Kept: 2 to 5 s, shown from 0; 8 to 10 s, shown from 3.
PIECES = [(Segment(2.0, 5.0), 0.0), (Segment(8.0, 10.0), 3.0)]


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (0, 2, []),
        (5, 8, []),
        (2, 5, [(0, 3)]),
        (3, 4, [(1, 2)]),
        (1, 3, [(0, 1)]),
        (4, 6, [(2, 3)]),
        (4, 9, [(2, 3), (3, 4)]),
        (0, 20, [(0, 3), (3, 5)]),
        (4.999, 7, []),
    ],
)
def test_what_is_kept_of_a_stretch(start_s, end_s, expected):
    assert move_interval(start_s, end_s, PIECES) == expected


def test_chapters():
    chapters = [Chapter(0, 1, "away"), Chapter(1, 3, "cut into"), Chapter(3, 9, "split"), Chapter(9, 12, "last")]
    assert move_chapters(chapters, PIECES) == [Chapter(0, 1, "cut into"), Chapter(1, 4, "split"), Chapter(4, 5, "last")]
    assert chapter_each([*PIECES, (Segment(3600, 3670.5), 5)]) == [
        Chapter(0, 3, "0:02 - 0:05"),
        Chapter(3, 5, "0:08 - 0:10"),
        Chapter(5, 75.5, "1:00:00 - 1:01:10"),
    ]


def test_chapters_in_ffmpegs_form():
    assert to_metadata([Chapter(0, 1.5, "a=b;c#\\")]) == ("[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=a\\=b\\;c\\#\\\\\n")


SRT = """1
00:00:00,000 --> 00:00:01,500
away

2
00:00:01,000 --> 00:00:03,250
<i>cut into</i>

3
00:00:04,000 --> 00:00:09,000
split,

5 lines

4
00:00:09,100 --> 00:00:09,900
10 --> 11
"""


def test_subrip():
    assert move_subtitles(SRT, "srt", PIECES) == (
        "1\n00:00:00,000 --> 00:00:01,250\n<i>cut into</i>\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\nsplit,\n\n5 lines\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nsplit,\n\n5 lines\n\n"
        "4\n00:00:04,100 --> 00:00:04,900\n10 --> 11\n"
    )


def test_webvtt_keeps_its_settings():
    text = "WEBVTT\n\n00:01.000 --> 00:03.000 line:0 align:start\none\n\nname\n01:00:00.000 --> 01:00:01.000\ntwo\n"
    assert move_subtitles(text, "webvtt", [(Segment(2, 4), 0), (Segment(3600, 3601), 2)]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000 line:0 align:start\none\n\n00:00:02.000 --> 00:00:03.000\ntwo\n"
    )


ASS = """[Script Info]
PlayResX: 384

[V4+ Styles]
Style: Loud,Arial,40,&H0000ff

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:02.00,0:00:03.00,Loud,,0,0,0,,none
Dialogue: 0,0:00:00.00,0:00:01.00,Loud,,0,0,0,,away
Dialogue: 1,0:00:04.00,0:00:09.00,Loud,He,0,0,0,,split, {\\i1}in two{\\r}
"""


def test_of_ass_all_but_the_times_stays():
    stderr = "Loud,He,0,0,0,,split, {\\i1}in two{\\r}"
    head = ASS[: ASS.index("Dialogue")]
    assert (
        move_subtitles(ASS, "ass", PIECES)
        == f"{head}Dialogue: 1,0:00:02.00,0:00:03.00,{stderr}\nDialogue: 1,0:00:03.00,0:00:04.00,{stderr}\n"
    )


@pytest.mark.parametrize(("text", "form"), [(SRT, "srt"), (ASS, "ass"), ("WEBVTT\n", "webvtt"), ("", "srt"), ("nonsense", "ass")])
def test_nothing_of_it_is_kept(text, form):
    assert move_subtitles(text, form, [(Segment(20, 30), 0.0)]) is None
