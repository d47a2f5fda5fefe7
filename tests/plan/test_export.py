"""What editors are given, read back by OpenTimelineIO: the same ranges to the frame."""

import re
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mmvatool.errors import OutputError
from mmvatool.media.probe import probe
from mmvatool.media.timecode import timecode_frames
from mmvatool.plan.export import check_export, export
from mmvatool.plan.schema import Plan, Rendering
from mmvatool.timeline import Clip, Cue, Segment, Timeline
from tests.helpers import media

otio = pytest.importorskip("opentimelineio")
fcpx_xml = pytest.importorskip("otio_fcpx_xml_adapter.fcpx_xml")
FILM, NTSC, PAL = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25)
KEPT = ((12, 50), (60, 61), (100, 131))  # frames of the source: first, past


class ExactFcpx(fcpx_xml.FcpxXml):
    """The adapter's reader with exact rates: its own takes 30000/1001 for 29, rounds times down, and takes elements without children for none."""

    def _audio_only(self, element):
        asset = self._asset_by_id(element.get("ref"))
        return asset.get("hasVideo") is None

    def _format_frame_rate(self, format_id):
        total, rate = self._format_frame_duration(format_id)
        return float(rate) / float(total)

    def _number_of_frames(self, time_value, format_id):
        return round(Fraction((time_value or "0s").removesuffix("s")) * Fraction(self._format_frame_rate(format_id)))


def read_fcpx(text: str, monkeypatch: pytest.MonkeyPatch):
    """The timeline in an FCPXML document."""
    exact = lambda text, rate: otio.opentime.RationalTime(round(float(Fraction((text or "0s").removesuffix("s"))) * rate), rate)  # noqa: E731
    monkeypatch.setattr(fcpx_xml, "to_rational_time", exact)
    (timeline,) = ExactFcpx(text).to_otio()
    return timeline


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos of 6 s without sound, of several rates and time codes."""
    folder = tmp_path_factory.mktemp("export")
    found = {}
    for name, rate, timecode in (
        ("film", FILM, "01:00:00:00"), ("ntsc", NTSC, "00:59:58:00"), ("drop", NTSC, "00:00:59;10"), ("pal", PAL, None), ("odd", Fraction(10), None)
    ):  # fmt: skip
        params = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *(["-timecode", timecode] if timecode else [])]
        found[name] = media.draw_scenes(folder / f"{name} & é.mov", [("wall", 6)], (64, 36), rate, with_sound=False, params=params)
    return found


def plan_of(path: Path) -> tuple[Plan, dict]:
    info = probe(path)
    edges = [*info.times_s, info.end_s]
    kept = [Segment(float(edges[min(a, len(edges) - 2)]), float(edges[min(b, len(edges) - 1)])) for a, b in KEPT]
    timeline = Timeline.of(path, kept)
    return Plan("cut", timeline, tuple((0.5, 0.125 * (number + 1)) for number in range(len(kept)))), {path: info}


def ranges(track) -> list[tuple[int, int]]:
    """First frame and past the last of each clip, in the source."""
    found = [clip.source_range for clip in track.find_clips()]
    return [(round(there.start_time.value), round(there.start_time.value + there.duration.value)) for there in found]


def expected(zero: int) -> list[tuple[int, int]]:
    return [(zero + first, zero + past) for first, past in KEPT]


# 01:00:00:00 of 24; 00:59:58:00 of 30, none dropped; 00:00:59;10 of 30; none.
ZEROS = {"film": 86400, "ntsc": (59 * 60 + 58) * 30, "drop": 59 * 30 + 10, "pal": 0}
RATES = {"film": FILM, "ntsc": NTSC, "drop": NTSC, "pal": PAL}


@pytest.mark.parametrize("name", list(ZEROS))
def test_otio_gives_the_same_ranges(clips, tmp_path, name):
    export(*plan_of(clips[name]), tmp_path / "cut.otio")
    timeline = otio.adapters.read_from_file(str(tmp_path / "cut.otio"))
    (track,) = timeline.tracks
    assert ranges(track) == expected(ZEROS[name])
    rates = {clip.source_range.duration.rate for clip in track} | {track.duration().rate}
    assert rates == {float(RATES[name])}
    assert Fraction(rates.pop()).limit_denominator(1001) == RATES[name]
    assert [clip.name for clip in track] == [clips[name].name] * 3
    assert [marker.name for clip in track for marker in clip.markers] == [
        f"arousal {a}, valence 0.500" for a in ("0.125", "0.250", "0.375")
    ]
    assert [marker.metadata["mmvatool"]["arousal"] for clip in track for marker in clip.markers] == [0.125, 0.25, 0.375]
    assert otio.url_utils.filepath_from_url(track[0].media_reference.target_url) == str(clips[name])
    assert track[0].media_reference.available_range.start_time.value == ZEROS[name]


@pytest.mark.parametrize("name", list(ZEROS))
def test_edl_gives_the_same_ranges(clips, tmp_path, name):
    export(*plan_of(clips[name]), tmp_path / "cut.edl")
    text = (tmp_path / "cut.edl").read_text()
    (track,) = otio.adapters.read_from_string(text, "cmx_3600", rate=float(RATES[name])).tracks
    assert ranges(track) == expected(ZEROS[name])
    assert [clip.name for clip in track] == [clips[name].name] * 3
    assert f"FCM: {'DROP FRAME' if name == 'drop' else 'NON-DROP FRAME'}\n" in text
    assert re.findall(r"\* LOC: \S+ RED +(AROUSAL [\d.]+)", text) == ["AROUSAL 0.125", "AROUSAL 0.250", "AROUSAL 0.375"]


def test_edl_is_exclusive_at_its_outs(clips, tmp_path):
    export(*plan_of(clips["film"]), tmp_path / "cut.edl")
    events = re.findall(r"^(\d{3})  (\S+) +V +C +(\S+) (\S+) (\S+) (\S+)$", (tmp_path / "cut.edl").read_text(), re.MULTILINE)
    assert events == [
        ("001", "FILM", "01:00:00:12", "01:00:02:02", "00:00:00:00", "00:00:01:14"),
        ("002", "FILM", "01:00:02:12", "01:00:02:13", "00:00:01:14", "00:00:01:15"),
        ("003", "FILM", "01:00:04:04", "01:00:05:11", "00:00:01:15", "00:00:02:22"),
    ]


def test_edl_drops_numbers_where_the_source_does(clips, tmp_path):
    export(*plan_of(clips["drop"]), tmp_path / "cut.edl")
    first = re.search(r"^001 .* C +(\S+) (\S+) ", (tmp_path / "cut.edl").read_text(), re.MULTILINE)
    assert first.groups() == ("00:00:59;22", "00:01:01;02")  # ;00 and ;01 are no numbers of 00:01:00


@pytest.mark.parametrize("name", list(ZEROS))
def test_fcpxml_gives_the_same_ranges(clips, tmp_path, name, monkeypatch):
    export(*plan_of(clips[name]), tmp_path / "cut.fcpxml")
    text = (tmp_path / "cut.fcpxml").read_text()
    (track,) = read_fcpx(text, monkeypatch).tracks
    assert ranges(track) == expected(ZEROS[name])
    assert [clip.name for clip in track] == [clips[name].name] * 3
    assert [clip.markers[0].name for clip in track] == [f"arousal {a}, valence 0.500" for a in ("0.125", "0.250", "0.375")]
    root = ET.fromstring(text)
    assert root.find("resources/format").get("frameDuration") == f"{RATES[name].denominator}/{RATES[name].numerator}s"
    times = [element.get(key) for element in root.iter() for key in ("start", "duration", "offset") if element.get(key)]
    assert all((Fraction(time.removesuffix("s")) * RATES[name]).denominator == 1 for time in times)
    offsets = [Fraction(clip.get("offset").removesuffix("s")) * RATES[name] for clip in root.iter("asset-clip")]
    assert offsets == [0, 38, 39]


def test_fcpxml_is_read_by_the_adapter_as_it_is_at_a_whole_rate(clips, tmp_path):
    plan, infos = plan_of(clips["pal"])
    export(plan, infos, tmp_path / "cut.fcpxml")
    (timeline,) = otio.adapters.read_from_file(str(tmp_path / "cut.fcpxml"), adapter_name="fcpx_xml")
    assert ranges(timeline.tracks[0]) == expected(0)


@pytest.fixture
def show(clips, tmp_path) -> tuple[Plan, dict]:
    """A picture, a clip and a picture; two cues that overlap."""
    picture, music = tmp_path / "a.jpg", (tmp_path / "one.mp3", tmp_path / "two.mp3")
    shown = (Clip(picture, 0, 2), Clip(clips["pal"], 2, 4, Segment(1, 3)), Clip(picture, 4, 6))
    cues = (Cue(music[0], 0, 3.5, 10, 0.1), Cue(music[1], 2.5, 6, 0, 0.2, 0.9))
    rendering = Rendering(rate=NTSC)
    return Plan("slideshow", Timeline(shown, cues), ((0.5, 0.5),) * 3, {}, rendering), {clips["pal"]: probe(clips["pal"])}


VIDEO = [(0, 60), (30, 90), (0, 60)]
AUDIO = [[(300, 405)], [(0, 105)]]


def placed(track, timeline) -> list[tuple[int, int]]:
    found = [clip.transformed_time_range(clip.trimmed_range(), timeline.tracks) for clip in track.find_clips()]
    return [(round(there.start_time.value), round(there.end_time_exclusive().value)) for there in found]


@pytest.mark.parametrize("suffix", [".otio", ".edl", ".fcpxml"])
def test_music_has_tracks_of_its_own(show, tmp_path, suffix, monkeypatch):
    path = tmp_path / f"show{suffix}"
    export(*show, path)
    if suffix == ".fcpxml":
        timeline = read_fcpx(path.read_text(), monkeypatch)
        tracks = sorted(timeline.tracks, key=lambda track: -int(track.name))
    else:
        timeline = otio.adapters.read_from_file(str(path), **({"rate": float(NTSC)} if suffix == ".edl" else {}))
        tracks = list(timeline.tracks)
    assert [track.kind for track in tracks] == ["Video", "Audio", "Audio"]
    assert [ranges(track) for track in tracks] == [VIDEO, *AUDIO]
    assert [placed(track, timeline) for track in tracks] == [[(0, 60), (60, 120), (120, 180)], [(0, 105)], [(75, 180)]]
    assert [clip.name for track in tracks[1:] for clip in track.find_clips()] == ["one.mp3", "two.mp3"]


def test_reels_of_an_edl_differ(clips, show, tmp_path):
    export(*show, tmp_path / "show.edl")
    assert re.findall(r"^\d+  (\S+)", (tmp_path / "show.edl").read_text(), re.MULTILINE) == ["A", "PAL", "A", "ONE", "TWO"]


@pytest.mark.parametrize("name", ["日本.mp4", "a\nb.mp4", "--.mov", '"<&>\x07.mp4'])
def test_names_that_try_to_be_something_else(clips, tmp_path, name, monkeypatch):
    plan, infos = plan_of(clips["pal"])
    path = clips["pal"].rename(tmp_path / name)
    clips["pal"] = path
    plan = Plan("cut", Timeline.of(path, plan.timeline.segments), plan.clip_va)
    infos = {path: next(iter(infos.values()))}
    for suffix in (".otio", ".edl", ".fcpxml"):
        export(plan, infos, tmp_path / f"cut{suffix}")
    assert ranges(read_fcpx((tmp_path / "cut.fcpxml").read_text(), monkeypatch).tracks[0]) == expected(0)
    assert ranges(otio.adapters.read_from_file(str(tmp_path / "cut.edl"), rate=25).tracks[0]) == expected(0)


def test_an_edl_of_another_rate_is_refused(clips, tmp_path):
    path = clips["odd"]
    info = probe(path)
    plan = Plan("cut", Timeline.of(path, [Segment(0, 1)]), ((0.5, 0.5),))
    with pytest.raises(OutputError, match=r"cut\.edl: an EDL cannot hold 10 frames a second"):
        export(plan, {path: info}, tmp_path / "cut.edl")
    export(plan, {path: info}, tmp_path / "cut.otio")
    assert not (tmp_path / "cut.edl").exists()


def test_other_suffixes_are_refused():
    with pytest.raises(OutputError, match=r"cut\.aaf: .*name it \.otio, \.edl, \.fcpxml"):
        check_export(Path("cut.aaf"))


@pytest.mark.parametrize(
    ("timecode", "rate", "frames"),
    [
        (None, PAL, 0),
        ("nonsense", PAL, 0),
        ("00:00:01:05", PAL, 30),
        ("01:00:00:00", FILM, 86400),
        ("01:00:00:00", NTSC, 108000),
        ("01:00:00;00", NTSC, 107892),
        ("00:01:00;02", NTSC, 1800),
        ("00:10:00;00", NTSC, 17982),
        ("01:00:00;00", Fraction(60000, 1001), 215784),
    ],
)
def test_time_codes_name_frames(timecode, rate, frames):
    assert timecode_frames(timecode, rate) == frames
