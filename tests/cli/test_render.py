"""`mmvatool render`, and `--plan` of what writes plans."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from tests.helpers import media


@pytest.fixture
def plan(mmvatool, clip: Path) -> Path:
    """A plan of clip.mp4, made by a dry run."""
    assert mmvatool("summarize", clip.name, "--plan", "clip.plan.json", "--dry-run", "-q")[0] == 0
    return clip.with_name("clip.plan.json")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_plan_is_all_that_a_dry_run_writes(plan: Path):
    assert names(plan.parent) == {"clip.mp4", "clip.plan.json"}


def test_a_plan_is_rendered(mmvatool, plan: Path):
    code, out, err = mmvatool("render", plan.name, "--export", "cut.edl")
    assert (code, out) == (0, "")
    assert err.startswith("clip.plan.json: 0.6 s -> clip.summary.mp4 in ")
    assert names(plan.parent) == {"clip.mp4", "clip.plan.json", "clip.summary.mp4", "cut.edl"}


def test_o_and_json(mmvatool, plan: Path):
    code, out, _ = mmvatool("render", plan.name, "-o", "new/", "--json", "-q")
    assert code == 0
    (result,) = json.loads(out)["results"]
    assert (result["input"], result["output"], result["kind"]) == ("clip.plan.json", "new/clip.summary.mp4", "cut")
    assert mmvatool("render", plan.name, "-o", "short.mkv", "-q")[0] == 0
    assert names(plan.parent) == {"clip.mp4", "clip.plan.json", "new", "short.mkv"}


def test_a_plan_that_cannot_be_rendered_is_one_line(mmvatool, plan: Path):
    document = json.loads(plan.read_text())
    document["timeline"]["clips"][0]["source"][1] = 12.4
    plan.write_text(json.dumps(document))
    code, out, err = mmvatool("render", plan.name)
    assert (code, out) == (1, "")
    assert err == "Error: clip.plan.json: timeline.clips[0].source[1]: 12.4 is after the end of clip.mp4 (4)\n"


def test_force_renders_a_changed_video(mmvatool, plan: Path):
    with (plan.parent / "clip.mp4").open("ab") as file:
        file.write(bytes(8))
    code, _, err = mmvatool("render", plan.name)
    assert code == 1
    assert "files[0]: clip.mp4 was changed since: make the plan again, or render it all the same with --force" in err
    code, _, err = mmvatool("render", plan.name, "--force", "-v")
    assert code == 0
    assert "files[0]: clip.mp4 was changed since\n" in err


def test_plans_of_several_videos_need_a_folder(mmvatool, clip: Path):
    shutil.copy(clip, clip.with_name("b.mp4"))
    code, _, err = mmvatool("summarize", "clip.mp4", "b.mp4", "--plan", "p.json", "--dry-run")
    assert code == 2
    assert "several inputs have several plans: name a folder" in err
    assert mmvatool("summarize", "clip.mp4", "b.mp4", "--plan", "plans/", "--dry-run", "-q")[0] == 0
    assert names(clip.parent / "plans") == {"clip.summary.plan.json", "b.summary.plan.json"}
    assert mmvatool("render", "plans/b.summary.plan.json", "-o", "./", "-q")[0] == 0
    assert (clip.parent / "b.summary.mp4").exists()


def test_a_plan_that_exists_is_kept(mmvatool, clip: Path):
    clip.with_name("p.json").write_text("mine")
    code, _, err = mmvatool("summarize", clip.name, "--plan", "p.json")
    assert code == 1
    assert "p.json: already exists: use --overwrite" in err
    assert names(clip.parent) == {"clip.mp4", "p.json"}


def test_exports_are_written_with_a_dry_run_and_without(mmvatool, clip: Path):
    exports = ("--export", "cut.otio", "--export", "cut.edl", "--export", "cut.fcpxml")
    assert mmvatool("summarize", clip.name, "--dry-run", "-q", *exports)[0] == 0
    assert names(clip.parent) == {"clip.mp4", "cut.otio", "cut.edl", "cut.fcpxml"}
    code, _, err = mmvatool("summarize", clip.name, *exports)
    assert code == 1
    assert "cut.otio: already exists" in err
    assert mmvatool("summarize", clip.name, "--overwrite", "-q", *exports)[0] == 0
    assert names(clip.parent) == {"clip.mp4", "clip.summary.mp4", "clip.summary.json", "cut.otio", "cut.edl", "cut.fcpxml"}


def test_exports_that_cannot_be(mmvatool, clip: Path):
    code, _, err = mmvatool("summarize", clip.name, "--export", "cut.aaf")
    assert code == 1
    assert "cut.aaf: is not known as an editor's format" in err
    shutil.copy(clip, clip.with_name("b.mp4"))
    code, _, err = mmvatool("summarize", "clip.mp4", "b.mp4", "--export", "cut.edl")
    assert code == 2
    assert "several inputs would write it" in err
    assert names(clip.parent) == {"clip.mp4", "b.mp4"}


def test_an_export_that_cannot_hold_it_stops_before_the_rendering(mmvatool, folder: Path):
    media.draw_scenes(folder / "slow.mp4", [("wall", 3)], (64, 36), Fraction(10))
    code, _, err = mmvatool("summarize", "slow.mp4", "--ratio", "0.5", "--export", "cut.edl")
    assert code == 1
    assert "cut.edl: an EDL cannot hold 10 frames a second" in err
    assert names(folder) == {"slow.mp4"}


def test_chapters_stay_in_the_plan(mmvatool, clip: Path):
    from mmvatool.media import headers

    assert mmvatool("summarize", clip.name, "--chapters", "--plan", "p.json", "-q")[0] == 0
    assert mmvatool("render", "p.json", "-q")[0] == 0
    for name in ("clip.summary.mp4", "p.summary.mp4"):
        ((start_s, end_s, tags),) = headers.read(clip.with_name(name), "").chapters
        assert (start_s, tags["title"].count("0:0")) == (0, 2)
        assert end_s == pytest.approx(0.6, abs=0.01)
