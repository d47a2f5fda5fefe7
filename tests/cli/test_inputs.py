"""From paths to jobs: what is read, in which order, and where it goes."""

import os
from pathlib import Path

import click
import pytest

from mmvatool.cli.inputs import find_videos, plan_jobs
from mmvatool.files import is_own_output


def _wanted(*names: str) -> list[tuple[Path, Path]]:
    """Inputs, each with its target beside it."""
    return [(Path(name), Path(name).with_name(f"{Path(name).stem}.summary.mp4")) for name in names]


@pytest.fixture
def files(folder: Path) -> Path:
    """A folder of empty files: looking up does not open them."""
    for name in (
        "clip10.mp4",
        "clip.mp4",
        "clip2.MOV",
        "clip1.mkv",
        "clip1.summary.mp4",
        "clip1.summary.json",
        "notes.txt",
        ".hidden.mp4",
        "sub/deep.mp4",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "folder.mp4").mkdir()
    return folder


def names(found: list[Path]) -> list[str]:
    return [str(path) for path in found]


def test_a_folder_gives_its_videos_in_natural_order(files: Path):
    found, errors = find_videos((".",))
    assert names(found) == ["clip.mp4", "clip1.mkv", "clip2.MOV", "clip10.mp4"]
    assert errors == []


def test_a_pattern_gives_matches_without_own_outputs_and_hidden_files(files: Path):
    assert names(find_videos(("*.m*",))[0]) == ["clip.mp4", "clip1.mkv", "clip10.mp4"]
    assert names(find_videos(("*.mp4",))[0]) == ["clip.mp4", "clip10.mp4"]
    assert names(find_videos((str(files / "clip?.MOV"),))[0]) == [str(files / "clip2.MOV")]


def test_two_stars_go_into_subfolders(files: Path):
    assert names(find_videos(("**/*.mp4",))[0]) == ["clip.mp4", "clip10.mp4", "sub/deep.mp4"]
    assert names(find_videos(("c**0.mp4",))[0]) == ["clip10.mp4"]


def test_a_name_with_brackets_is_a_name_if_it_exists(folder: Path):
    (folder / "a[1].mp4").touch()
    assert names(find_videos(("a[1].mp4",))[0]) == ["a[1].mp4"]


def test_several_names_leave_own_outputs_out_and_one_alone_does_not(files: Path):
    assert names(find_videos(("clip1.mkv", "clip1.summary.mp4"))[0]) == ["clip1.mkv"]
    assert names(find_videos(("clip1.summary.mp4",))[0]) == ["clip1.summary.mp4"]


@pytest.mark.parametrize("given", [("clip1.summary.mp4", "clip1.summary.json"), ("*.summary.mp4",), ("sub/empty",)])
def test_nothing_left_to_do_is_an_error(files: Path, given: tuple[str, ...]):
    (files / "sub" / "empty").mkdir()
    found, errors = find_videos(given)
    assert found == []
    assert len(errors) == 1


@pytest.mark.parametrize(
    "name", ["a.summary.mp4", "a.b.summary.webm", ".summary.mp4", "x.summary.json", "a.soundtrack.mp4", "two\nlines.soundtrack.m4a"]
)
def test_own_outputs(name: str):
    assert is_own_output(name)


@pytest.mark.parametrize("name", ["summary.mp4", "a.summary", "a.summary.tar.gz", "a.summary2.mp4", "asummary.mp4", "soundtrack.mp4"])
def test_not_own_outputs(name: str):
    assert not is_own_output(name)


def test_each_file_once_whatever_its_spelling(files: Path):
    found, _ = find_videos(("sub/../clip2.MOV", "clip10.mp4", ".", "clip2.MOV", str(files / "clip10.mp4")))
    assert names(found) == ["sub/../clip2.MOV", "clip10.mp4", "clip.mp4", "clip1.mkv"]


@pytest.mark.parametrize("given", ["missing.mp4", "*.webm", "missing/*.mp4", "sub/missing[1].mp4", ""])
def test_missing_alone_is_a_usage_error(files: Path, given: str):
    with pytest.raises(click.BadParameter, match=r"no such file|no file matches|empty name"):
        find_videos((given,))


def test_missing_among_others_is_an_error_of_its_own(files: Path):
    found, errors = find_videos(("missing.mp4", "clip10.mp4", "*.webm"))
    assert names(found) == ["clip10.mp4"]
    assert [str(error) for error in errors] == [
        "missing.mp4: no such file: check the name",
        "*.webm: no file matches this pattern: check it",
    ]


def test_a_name_the_system_refuses_is_an_error_not_a_crash(folder: Path):
    long = "x" * 300 + ".mp4"
    (folder / "a.mp4").touch()
    found, errors = find_videos((long, "a.mp4"))
    assert names(found) == ["a.mp4"]
    assert len(errors) == 1
    assert "cannot be read" in errors[0].problem or "no such file" in errors[0].problem


def test_natural_order_takes_any_digits(folder: Path):
    order = ["1.mp4", "1²2.mp4", "2.mp4", "10.mp4", "a1.mp4", "A01.mp4", "a2.mp4", os.fsdecode(b"b\xff.mp4")]
    for name in order:
        (folder / name).touch()
    found = names(find_videos((".",))[0])
    assert found.index("2.mp4") < found.index("10.mp4") < found.index("a2.mp4")
    assert found == names(find_videos((".",))[0])
    assert sorted(found) == sorted(order)


def test_targets_lie_beside_the_inputs_without_o():
    jobs = plan_jobs(_wanted("a/x.mkv", "b/x.mkv"), None)
    assert names([job.target for job in jobs]) == ["a/x.summary.mp4", "b/x.summary.mp4"]


@pytest.mark.parametrize(
    ("output", "inputs", "several", "target"),
    [
        ("new.mkv", 1, False, "new.mkv"),
        ("new", 1, False, "new"),
        ("new/", 1, False, "new/x0.summary.mp4"),
        ("there", 1, False, "there/x0.summary.mp4"),
        ("new", 2, False, "new/x0.summary.mp4"),
        ("new", 1, True, "new/x0.summary.mp4"),  # the other input given is missing
    ],
)
def test_o_is_a_folder_or_a_file(folder: Path, output: str, inputs: int, several: bool, target: str):
    (folder / "there").mkdir()
    jobs = plan_jobs(_wanted(*(f"x{number}.mov" for number in range(inputs))), output, several=several)
    assert str(jobs[0].target) == target
    assert not (folder / "new").exists()


@pytest.mark.parametrize("output", ["file.txt/", "file.txt", ""])
def test_o_that_cannot_be_is_a_usage_error(folder: Path, output: str):
    (folder / "file.txt").touch()
    with pytest.raises(click.UsageError, match=r"is a file, but a folder is needed|is empty"):
        plan_jobs(_wanted("a.mp4", "b.mp4"), output)


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (["a/x.mp4", "b/x.mp4"], "out/"),
        (["x.mp4", "x.mkv"], None),
        (["x.mp4", "a/../x.mkv"], None),
    ],
)
def test_two_inputs_for_one_target_are_a_usage_error(folder: Path, inputs: list[str], output: str | None):
    (folder / "a").mkdir()
    with pytest.raises(click.UsageError, match="would both write"):
        plan_jobs(_wanted(*inputs), output)


def test_two_inputs_for_one_target_are_refused_before_any_work(mmvatool, clip: Path):
    (clip.parent / "clip.mkv").write_bytes(clip.read_bytes())
    code, out, err = mmvatool("summarize", "clip.mp4", "clip.mkv", "--json")
    assert (code, out) == (2, "")
    assert "clip.mp4 and clip.mkv would both write clip.summary.mp4" in err.splitlines()[-1]
    assert not (clip.parent / "clip.summary.mp4").exists()


def test_missing_inputs_leave_o_a_folder(mmvatool, clip: Path):
    code, _, _ = mmvatool("summarize", "clip.mp4", "missing.mp4", "-o", "out")
    assert code == 3
    assert (clip.parent / "out" / "clip.summary.mp4").is_file()
