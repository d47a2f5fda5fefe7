"""The plan as a file: what is written is read again, and what cannot be is an error that names the field."""

import copy
import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from mmvatool.errors import PlanError
from mmvatool.media.probe import probe
from mmvatool.plan import document as documents
from mmvatool.plan import schema as plans
from mmvatool.plan.schema import Fingerprint, Plan, Rendering
from mmvatool.timeline import Clip, Cue, Segment, Timeline
from tests.helpers import json_schemas

FILE = Fingerprint(10, "ab" * 20)
SCHEMA = json_schemas.validator(json_schemas.PLAN)
# What a JSON Schema cannot say, though the reader does.
ONLY_READ = ("segment [", "is not a rate", "NaN", "Infinity", "must be a number of at least 0")


@pytest.fixture
def show(tmp_path: Path) -> Plan:
    clips = (Clip(tmp_path / "a.jpg", 0, 4), Clip(tmp_path / "silent.mp4", 4, 6, Segment(1, 3)))
    rendering = Rendering((160, 90), Fraction(30000, 1001), "crop", 0.5, True, True, -20.0)
    timeline = Timeline(clips, (Cue(tmp_path / "c.mp3", 0, 6, 2.5, 0.1, 0.8),))
    return Plan("slideshow", timeline, ((0.5, 0.25), (0.75, 1.0)), {tmp_path / "a.jpg": FILE}, rendering)


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def written(path: Path, plan: Plan) -> Path:
    """A plan in a file, which its schema allows."""
    SCHEMA.validate(json.loads(json.dumps(plan.to_json(path.parent))))
    return write(path, plan.to_json(path.parent))


def test_what_is_written_is_read(show: Plan, tmp_path: Path):
    assert documents.read(written(tmp_path / "p.json", show)) == show


def test_a_soundtrack_is_read(tmp_path: Path):
    clips = (Clip(tmp_path / "a.mp4", 0, 4, Segment(0, 4)),)
    plan = Plan("soundtrack", Timeline(clips, (Cue(tmp_path / "c.mp3", 0, 4, 0, 0.1),)), ((0.5, 0.5),), {}, Rendering(duck=True, lufs=-20))
    assert documents.read(written(tmp_path / "p.json", plan)) == plan


def test_keys_that_are_not_known_are_passed_over(show: Plan, tmp_path: Path):
    document = show.to_json(tmp_path)
    for at in (document, document["settings"], document["timeline"], document["timeline"]["clips"][0], document["files"][0]):
        at["$schema"] = "https://example.org/plan.schema.json"
    SCHEMA.validate(json.loads(json.dumps(document)))
    assert documents.read(write(tmp_path / "p.json", document)) == show


def test_numbers_need_no_decimals_and_may_have_them(show: Plan, tmp_path: Path):
    document = show.to_json(tmp_path)
    document["settings"] |= {"size": [160.0, 90.0], "crossfade_s": 1}
    document["files"][0]["size"] = 10.0
    read = documents.read(write(tmp_path / "p.json", document))
    assert (read.rendering.size, read.rendering.crossfade_s, read.files) == ((160, 90), 1.0, show.files)
    assert all(type(side) is int for side in read.rendering.size)


def test_names_of_files_need_not_be_text(tmp_path: Path):
    """On Linux they are bytes."""
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    cut = Plan("cut", Timeline.of(path, [Segment(0, 1)]), ((0.5, 0.5),), {path: FILE})
    assert documents.read(written(tmp_path / "p.json", cut)) == cut


def test_only_the_settings_of_a_kind_are_kept(tmp_path: Path):
    cut = Plan("cut", Timeline.of(tmp_path / "a.mp4", [Segment(0, 1)]), ((0.5, 0.5),), {}, Rendering(chapters=True, lufs=-30))
    assert cut.to_json(tmp_path)["settings"] == {"chapters": True, "lossless": False, "interlaced": "deinterlace", "to_sdr": False}
    assert documents.read(written(tmp_path / "p.json", cut)).rendering == Rendering(chapters=True)


def test_relative_paths_are_told_from_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "plans").mkdir()
    monkeypatch.chdir(tmp_path)
    cut = Plan("cut", Timeline.of(Path("in/a.mp4"), [Segment(0, 1)]), ((0.5, 0.5),), {Path("in/a.mp4"): FILE})
    document = cut.to_json(Path("plans"))
    assert document["timeline"]["clips"][0]["path"] == document["files"][0]["path"] == "../in/a.mp4"
    read = documents.read(write(Path("plans") / "p.json", document))
    assert read.paths == [Path("plans/../in/a.mp4")] == list(read.files)
    assert (
        Plan("cut", Timeline.of(Path("/x/a.mp4"), [Segment(0, 1)]), ((0, 0),)).to_json(Path("plans"))["timeline"]["clips"][0]["path"]
        == "/x/a.mp4"
    )


def damaged(document: dict, where: str, value: object) -> dict:
    """A copy with another value at a place like `timeline.clips[0].source`; `...` takes it away."""
    whole = copy.deepcopy(document)
    *path, last = [int(part) if part.isdigit() else part for part in where.replace("[", ".").replace("]", "").split(".")]
    at = whole
    for part in path:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return whole


@pytest.mark.parametrize(
    ("where", "value", "problem"),
    [
        ("schema", "mmvatool.plan.schema/2", "'mmvatool.plan.schema/2' is not 'mmvatool.plan/1'"),
        ("schema", ..., "is missing"),
        ("kind", "film", '"film": must be one of cut, slideshow, soundtrack'),
        ("kind", ..., "is missing: give one of cut, slideshow, soundtrack"),
        ("kind", 3, "3: must be one of cut, slideshow, soundtrack"),
        ("timeline", [], "[]: must be an object"),
        ("timeline.clips", [], "[]: must be a list of at least 1"),
        ("timeline.clips", {}, "{}: must be a list of at least 1"),
        ("timeline.clips[1].source", [1], "[1]: must be a list of 2, each a number, or null"),
        ("timeline.clips[1].source", [1, 2, 3], "[1, 2, 3]: must be a list of 2, each a number, or null"),
        ("timeline.clips[1].source", 1, "1: must be a list of 2, each a number, or null"),
        ("timeline.clips[1].source[0]", "1.0", '"1.0": must be a number'),
        ("timeline.clips[1].source[1]", True, "true: must be a number"),
        ("timeline.clips[1].source[1]", float("nan"), "NaN: must be a number"),
        ("timeline.clips[1].source", [1, 1], "segment [1.0, 1.0): the end must come after the start"),
        ("timeline.clips[1].source", [1, 0.25], "segment [1.0, 0.25): the end must come after the start"),
        ("timeline.clips[0].arousal", 1.5, "1.5: must be a number from 0 to 1"),
        ("timeline.clips[0].path", "", "'' is not a path"),
        ("timeline.clips[0].path", "a\0.jpg", r"'a\x00.jpg' is not a path"),
        ("timeline.clips[0].path", ..., "is missing: give text"),
        ("timeline.cues[0].offset_s", -1, "-1: must be a number of at least 0"),
        ("timeline.cues[0].distance", 10**400, "must be a number of at least 0"),
        ("timeline.cues[0].score", [], "[]: must be a number, or null"),
        ("timeline.cues[0].score", float("inf"), "Infinity: must be a number, or null"),
        ("settings.rate", "0/1", "is not a rate"),
        ("settings.rate", "1e99999999", "1e99999999"),
        ("settings.rate", "fast", '"fast" is not a rate that can be played: write "25" or "30000/1001"'),
        ("settings.rate", 25, '25 is not a rate that can be played: write "25" or "30000/1001"'),
        ("settings.size[0]", 161, "161: must be a whole number from 16 to 8192, a multiple of 2"),
        ("settings.size[1]", 8194, "8194: must be a whole number from 16 to 8192, a multiple of 2"),
        ("settings.size[0]", 160.5, "160.5: must be a whole number from 16 to 8192, a multiple of 2"),
        ("settings.size", [160], "[160]: must be a list of 2, each a whole number from 16 to 8192"),
        ("settings.fill", "red", '"red": must be one of blur, black, crop'),
        ("settings.still", 1, "1: must be true or false"),
        ("settings.lufs", 0, "0: must be a number from -70 to -5"),
        ("files[0].size", -1, "-1: must be a whole number of at least 0"),
        ("files[0].blake2b", None, "null: must be text"),
    ],
)
def test_each_field_is_checked(show: Plan, tmp_path: Path, where: str, value: object, problem: str):
    path = write(tmp_path / "p.json", damaged(show.to_json(tmp_path), where, value))
    with pytest.raises(PlanError) as raised:
        documents.read(path)
    assert str(raised.value).startswith(f"{path}: {where}: ")
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)
    assert SCHEMA.is_valid(json.loads(path.read_text())) == problem.startswith(ONLY_READ)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff", "[" * 10**6], ids=len)
def test_what_is_no_plan(tmp_path: Path, text: str):
    (tmp_path / "p.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError, match=r"name (a plan|one) that --plan wrote"):
        documents.read(tmp_path / "p.json")


def cut_of(path: Path, *sources: tuple[float, float]) -> Plan:
    """As a person may leave it: when each is shown is not kept up."""
    return Plan("cut", Timeline(tuple(Clip(path, 0, 1, Segment(*source)) for source in sources)), ((0.5, 0.5),) * len(sources))


def test_bounds_of_a_cut_go_to_frames(silent: Path, tmp_path: Path):
    info = probe(silent)
    fitted = plans.fitted(cut_of(silent, (0.99, 2.013), (4, 10.01)), tmp_path / "p.json", {silent: info}, {})
    assert [(clip.source.start_s, clip.source.end_s) for clip in fitted.timeline.clips] == [(1.0, 2.0), (4.0, 10.0)]
    assert [(clip.start_s, clip.end_s) for clip in fitted.timeline.clips] == [(0, 1), (1, 7)]


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ([(0, 1), (2, 3), (4, 5), (6, 12.4)], "timeline.clips[3].source[1]: 12.4 is after the end of silent.mp4 (10)"),
        ([(11, 12)], "timeline.clips[0].source[0]: 11 is after the end of silent.mp4 (10)"),
        ([(-1, 2)], "timeline.clips[0].source[0]: -1 is before the start of silent.mp4 (0)"),
        ([(0, 2), (1.5, 3)], "timeline.clips[1].source[0]: 1.5 is before the end of clips[0] (2): they overlap"),
        ([(4, 5), (1, 2)], "timeline.clips[1].source[0]: 1 is before the end of clips[0] (5): they overlap, or are not in order"),
        ([(1.001, 1.002)], "timeline.clips[0].source: [1.001, 1.002] holds no frame of silent.mp4"),
    ],
)
def test_bounds_that_cannot_be(silent: Path, tmp_path: Path, sources: list, problem: str):
    with pytest.raises(PlanError) as raised:
        plans.fitted(cut_of(silent, *sources), tmp_path / "p.json", {silent: probe(silent)}, {})
    assert str(raised.value).startswith(f"{tmp_path / 'p.json'}: {problem}")


def show_of(clips: tuple[Clip, ...], *cues: Cue, kind: str = "slideshow") -> Plan:
    return Plan(
        kind, Timeline(clips, cues or (Cue(Path("c.mp3"), 0, 4, 0, 0.1),)), ((0.5, 0.5),) * len(clips), {}, Rendering(rate=Fraction(25))
    )


def test_bounds_of_slides_go_to_frames_of_the_result(silent: Path, tmp_path: Path):
    plan = show_of((Clip(Path("a.jpg"), 0, 2.01), Clip(silent, 2.013, 4, Segment(1.01, 3))), Cue(Path("c.mp3"), 0, 4.000001, 0, 0.1))
    timeline = plans.fitted(plan, tmp_path / "p.json", {silent: probe(silent)}, {}).timeline
    assert [(clip.start_s, clip.end_s) for clip in timeline.clips] == [(0, 2), (2, 4)]
    assert timeline.clips[1].source == Segment(1, 3)
    assert timeline.cues[0].end_s == 4


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda v: show_of((Clip(Path("a.jpg"), 0, 2), Clip(Path("b.jpg"), 3, 4))), "timeline.clips[1].start_s: 3 must be where clips[0] ends (2)"),
        (lambda v: show_of((Clip(Path("a.jpg"), 1, 2),)), "timeline.clips[0].start_s: 1 must be where the show does (0)"),
        (lambda v: show_of((Clip(Path("a.jpg"), 0, 2), Clip(Path("b.jpg"), 2, 1))), "timeline.clips[1].end_s: 1 is not a frame after the start (2)"),
        (lambda v: show_of((Clip(v, 0, 2),)), "timeline.clips[0].source: is null, but silent.mp4 is a video"),
        (lambda v: show_of((Clip(v, 0, 2, Segment(9, 11)),)), "timeline.clips[0].source[1]: 11 is after the end of silent.mp4 (10)"),
        (lambda v: show_of((Clip(Path("a.jpg"), 0, 4),), Cue(Path("c.mp3"), 2, 1, 0, 0)), "timeline.cues[0].end_s: 1 is not after the start (2)"),
        (lambda v: show_of((Clip(Path("a.jpg"), 0, 4),), Cue(Path("c.mp3"), 5, 6, 0, 0)), "timeline.cues[0].start_s: 5 is after the end of what is shown (4)"),
        (lambda v: show_of((Clip(Path("a.jpg"), 0, 4),), Cue(Path("c.mp3"), 0, 4, 7, 0)), "timeline.cues[0].offset_s: 7 is after the end of c.mp3 (6)"),
        (lambda v: show_of((Clip(v, 0, 10, Segment(0, 9)),), kind="soundtrack"), "timeline.clips[0].source: the picture is copied whole: write [0, 10]"),
        (lambda v: show_of((Clip(v, 0, 10, Segment(0, 10)), Clip(v, 0, 1)), kind="soundtrack"), "timeline.clips[1]: a soundtrack is that of one video"),
    ],
)  # fmt: skip
def test_slides_and_cues_that_cannot_be(silent: Path, tmp_path: Path, make, problem: str):
    with pytest.raises(PlanError) as raised:
        plans.fitted(make(silent), tmp_path / "p.json", {silent: probe(silent)}, {Path("c.mp3"): 6.0})
    assert str(raised.value).startswith(f"{tmp_path / 'p.json'}: {problem}")
