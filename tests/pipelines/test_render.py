"""A plan that was written is rendered: the same frames as without it, twice, and as a person changed it."""

import contextlib
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.errors import MediaError, OutputError, PlanError
from mmvatool.media import ffmpeg
from mmvatool.media.frames import Frames
from mmvatool.media.probe import probe
from mmvatool.pipelines.render import render
from mmvatool.pipelines.soundtrack import soundtrack
from mmvatool.pipelines.summarize import summarize
from mmvatool.plan.files import default_output
from mmvatool.soundtracks.result import SoundtrackSettings
from mmvatool.summary.settings import SummarySettings
from tests.helpers import json_schemas, media

SCHEMA = json_schemas.validator(json_schemas.PLAN)
SMALL = SoundtrackSettings(size=(160, 90), rate=Fraction(10), crossfade_s=0.2, seconds=1, lufs=-20)


def frames_md5(path: Path) -> list[str]:
    """A hash of every decoded frame and of the sound."""
    command = [ffmpeg.executable(), "-v", "error", "-i", str(path), "-map", "0", "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split(",")[0] + line.split(",")[-1] for line in lines if not line.startswith("#")]


def numbers(path: Path) -> list[int]:
    """The number that each frame carries."""
    info = probe(path)
    return [media.read_stamp(frame) for frame in Frames(info).read(np.arange(len(info.times_s)))]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, silent: Path, predictor) -> Path:
    """A folder with a video and a plan of it, made by a dry run."""
    folder = tmp_path_factory.mktemp("planned")
    shutil.copy(silent, folder / "vlog.mp4")
    with contextlib.chdir(folder):  # a relative path
        made = summarize("vlog.mp4", settings=SummarySettings(ratio=0.3), predictor=predictor, plan="vlog.plan.json", dry_run=True)
    assert made.output is None
    assert {path.name for path in folder.iterdir()} == {"vlog.mp4", "vlog.plan.json"}
    SCHEMA.validate(json.loads((folder / "vlog.plan.json").read_text()))
    return folder


@pytest.fixture
def moved(planned: Path, tmp_path: Path) -> Path:
    """The folder at another place: the plan names the video from its own."""
    return Path(shutil.copytree(planned, tmp_path / "elsewhere"))


def change(plan: Path, **sources: list[float]) -> Path:
    """Move bounds by hand."""
    document = json.loads(plan.read_text())
    clips = document["timeline"]["clips"]
    for name, source in sources.items():
        place = int(name.removeprefix("clip"))
        while len(clips) <= place:
            clips.append(clips[0] | {"source": None})
        clips[place]["source"] = source
    plan.write_text(json.dumps(document))
    return plan


def test_a_plan_renders_what_summarize_renders_and_twice_the_same(moved: Path, predictor):
    plan = moved / "vlog.plan.json"
    first = render(plan)
    assert first.output == moved / "vlog.summary.mp4"
    second = render(plan, moved / "again.mp4")
    with contextlib.chdir(moved):
        made = summarize("vlog.mp4", "direct.mp4", settings=SummarySettings(ratio=0.3), predictor=predictor, plan=".")
    assert frames_md5(first.output) == frames_md5(second.output) == frames_md5(moved / "direct.mp4")
    assert first.plan.timeline.segments == made.timeline.segments
    assert json.loads((moved / "direct.plan.json").read_text()) == json.loads(plan.read_text())
    assert np.abs(np.subtract(first.plan.clip_va, made.clip_va)).max() < 1e-6


def test_a_boundary_moved_by_hand_goes_to_the_frame(moved: Path):
    rendered = render(change(moved / "vlog.plan.json", clip0=[0.99, 1.5], clip1=[5.01, 5.2]))
    assert numbers(rendered.output) == [*range(25, 37), *range(125, 130)]
    assert rendered.to_json()["timeline"]["clips"][1]["source"] == [5.0, 5.2]


def test_clips_that_touch_after_a_change_are_one(moved: Path):
    rendered = render(change(moved / "vlog.plan.json", clip0=[1, 1.2], clip1=[1.2, 1.4]))
    assert numbers(rendered.output) == [*range(25, 35)]


def test_a_changed_video_is_an_error_unless_forced(moved: Path, vlog: Path):
    change(moved / "vlog.plan.json", clip0=[1, 1.2])
    shutil.copy(vlog, moved / "vlog.mp4")
    with pytest.raises(PlanError, match=r"plan\.json: files\[0\]: .*vlog\.mp4 was changed since: .* --force"):
        render(moved / "vlog.plan.json")
    assert not (moved / "vlog.summary.mp4").exists()
    rendered = render(moved / "vlog.plan.json", force=True)
    assert rendered.output.exists()
    assert rendered.warnings[0] == f"files[0]: {moved / 'vlog.mp4'} was changed since"


def test_a_video_of_the_same_size_is_told_apart(moved: Path):
    data = bytearray((moved / "vlog.mp4").read_bytes())
    data[len(data) // 2] ^= 1
    (moved / "vlog.mp4").write_bytes(data)
    with pytest.raises(PlanError, match="was changed since"):
        render(moved / "vlog.plan.json")


def test_a_file_without_fingerprint_is_an_error_unless_forced(moved: Path):
    plan = moved / "vlog.plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"files": []}))
    with pytest.raises(PlanError, match=r"files: has no entry for .*vlog.mp4"):
        render(plan)


def test_a_video_that_is_gone(moved: Path):
    (moved / "vlog.mp4").unlink()
    with pytest.raises(MediaError, match=r"vlog\.mp4: cannot be read"):
        render(moved / "vlog.plan.json")


def test_bounds_after_the_end_name_the_field(moved: Path):
    with pytest.raises(PlanError, match=r"timeline\.clips\[0\]\.source\[1\]: 12\.4 is after the end of vlog\.mp4 \(10\)"):
        render(change(moved / "vlog.plan.json", clip0=[1, 12.4]))
    assert not (moved / "vlog.summary.mp4").exists()


def test_outputs_that_cannot_be(moved: Path, predictor):
    with pytest.raises(OutputError, match="is the input itself"):
        render(moved / "vlog.plan.json", moved / "vlog.mp4", overwrite=True)
    (moved / "vlog.summary.mp4").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        render(moved / "vlog.plan.json")
    with pytest.raises(OutputError, match=r"vlog\.plan\.json: already exists"):
        summarize(moved / "vlog.mp4", predictor=predictor, plan=moved / "vlog.plan.json", dry_run=True)
    with pytest.raises(OutputError, match=r"name it \.json"):
        summarize(moved / "vlog.mp4", predictor=predictor, plan=moved / "vlog.mp4", dry_run=True, overwrite=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vlog.summary.plan.json", "vlog.summary.mp4"),
        ("vlog.plan.json", "vlog.summary.mp4"),
        ("vlog.json", "vlog.summary.mp4"),
        ("vlog", "vlog.summary.mp4"),
    ],
)
def test_where_a_rendering_goes(moved: Path, name: str, expected: str):
    from mmvatool.plan import document as documents

    assert default_output(moved / name, documents.read(moved / "vlog.plan.json")) == moved / expected


@pytest.fixture
def show(tmp_path: Path, silent: Path, song: Path) -> Path:
    """A folder with two pictures and a clip, and a song beside it."""
    folder = tmp_path / "show"
    folder.mkdir()
    for number, scene in enumerate(("meadow", "fireworks")):
        Image.fromarray(np.asarray(media.SCENES[scene]((160, 90), number))).save(folder / f"{number}.png")
    media.run_ffmpeg("-ss", 4, "-i", silent, "-t", 2, "-c", "copy", folder / "2.mp4")
    shutil.copy(song, tmp_path / "song.wav")
    return folder


def test_a_slideshow_renders_from_its_plan(show: Path, whole_predictor):
    here = show.parent
    with contextlib.chdir(here):
        made = soundtrack(
            "show", "made.mp4", tracks=["song.wav"], predictor=whole_predictor, settings=SMALL, plan="show.plan.json", exports=["a.otio"]
        )
    assert (here / "a.otio").read_text().count("song.wav") == 2
    rendered = render(here / "show.plan.json", here / "again.mp4")
    assert frames_md5(rendered.output) == frames_md5(here / "made.mp4")
    assert rendered.mixed == made.mixed
    document = json.loads((here / "show.plan.json").read_text())
    assert document["kind"] == "slideshow"
    SCHEMA.validate(document)
    assert [(clip["path"], clip["source"] is None) for clip in document["timeline"]["clips"]] == [
        ("show/0.png", True), ("show/1.png", True), ("show/2.mp4", False)
    ]  # fmt: skip
    assert document["settings"]["rate"] == "10"
    clips = document["timeline"]["clips"]
    clips[0]["end_s"] = clips[1]["start_s"] = 0.52  # of a frame's 0.1
    (here / "show.plan.json").write_text(json.dumps(document))
    changed = render(here / "show.plan.json")
    assert changed.output == here / "show.soundtrack.mp4"
    assert changed.plan.timeline.clips[0].end_s == 0.5
    assert len(probe(changed.output).times_s) == len(probe(here / "made.mp4").times_s)


def test_the_soundtrack_of_a_video_renders_from_its_plan(show: Path, whole_predictor, vlog: Path):
    here = show.parent
    media.run_ffmpeg("-i", vlog, "-t", 3, "-c", "copy", here / "vlog.mp4")
    settings = SoundtrackSettings(duck=True, lufs=-20)
    made = soundtrack(here / "vlog.mp4", tracks=[here / "song.wav"], predictor=whole_predictor, settings=settings, plan=here / "p.json")
    rendered = render(here / "p.json", here / "again.mp4")
    assert frames_md5(rendered.output) == frames_md5(made.output)
    document = json.loads((here / "p.json").read_text())
    given = {"duck": True, "lufs": -20, "interlaced": "deinterlace", "to_sdr": False}
    assert (document["kind"], document["settings"]) == ("soundtrack", given)
    SCHEMA.validate(document)
    document["timeline"]["cues"][0]["offset_s"] = 4.0
    (here / "p.json").write_text(json.dumps(document))
    with pytest.raises(PlanError, match=r"timeline\.cues\[0\]\.offset_s: 4 is after the end of song\.wav \(3\)"):
        render(here / "p.json")


def test_a_lossless_plan_renders_what_summarize_cuts(tmp_path: Path, silent: Path, predictor):
    settings = SummarySettings(ratio=0.5, lossless=True)
    with contextlib.chdir(tmp_path):
        media.run_ffmpeg("-i", silent, "-c:v", "libx264", "-g", 25, "-keyint_min", 25, "-sc_threshold", 0, "keyed.mp4")
        made = summarize("keyed.mp4", "made.mp4", settings=settings, predictor=predictor, plan="p.json")
    rendered = render(tmp_path / "p.json", tmp_path / "again.mp4")
    assert rendered.plan.rendering.lossless
    assert frames_md5(tmp_path / "again.mp4") == frames_md5(tmp_path / "made.mp4")
    assert abs(rendered.plan.timeline.duration_s - made.timeline.duration_s) < 1e-9
