"""From paths to jobs: what is read, in which order, and where it goes."""

import json
import os
from pathlib import Path

import click
import pytest

from mmvatool.cli.inputs import find_videos, plan_jobs
from mmvatool.files import is_own_output


def targets(*inputs: str, output: str | None = None) -> dict[str, str]:
    """Where each input's summary goes."""
    return {str(job.input): str(job.target) for job in plan_jobs([Path(name) for name in inputs], "summary", output)}


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
    found, errors, notes = find_videos((".",))
    assert names(found) == ["clip.mp4", "clip1.mkv", "clip2.MOV", "clip10.mp4"]
    assert errors == []
    assert notes == ["1 other file left out: 1 .txt"]


def test_other_files_of_folders_are_counted(files: Path):
    """All folders in one line, the most frequent first; not what is hidden, in folders below, named or this tool's own."""
    (files / "more").mkdir()
    for name in ("a.TXT", "b.srt", "README", "Mr. Smith's holiday", "x.summary.plan.json", "y.soundtrack.html", "c.mp4", "d.srt", "e.txt"):
        (files / "more" / name).touch()
    assert find_videos((".", "more", "clip1.summary.json")).notes == ["7 other files left out: 3 .txt, 2 .srt, 2 without a suffix"]
    for number in range(10):
        (files / "more" / f"a.s{number}").touch()
    line = "16 other files left out: 2 .srt, 2 .txt, 2 without a suffix, 1 .s0, 1 .s1 and 8 more"
    assert find_videos(("more",)).notes == [line]
    assert find_videos(("more/*.mp4",)).notes == []


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
    found, errors, _ = find_videos(given)
    assert found == []
    assert len(errors) == 1


@pytest.mark.parametrize(
    "name",
    [
        "a.summary.mp4",
        "a.b.summary.webm",
        ".summary.mp4",
        "x.summary.json",
        "x.summary.plan.json",
        "a.soundtrack.mp4",
        "two\nlines.soundtrack.m4a",
    ],
)
def test_own_outputs(name: str):
    assert is_own_output(name)


@pytest.mark.parametrize("name", ["summary.mp4", "a.summary", "a.summary.tar.gz", "a.summary2.mp4", "asummary.mp4", "soundtrack.mp4"])
def test_not_own_outputs(name: str):
    assert not is_own_output(name)


def test_each_file_once_whatever_its_spelling(files: Path):
    found, *_ = find_videos(("sub/../clip2.MOV", "clip10.mp4", ".", "clip2.MOV", str(files / "clip10.mp4")))
    assert names(found) == ["sub/../clip2.MOV", "clip10.mp4", "clip.mp4", "clip1.mkv"]


@pytest.mark.parametrize("given", ["missing.mp4", "*.webm", "missing/*.mp4", "sub/missing[1].mp4", ""])
def test_missing_alone_is_a_usage_error(files: Path, given: str):
    with pytest.raises(click.BadParameter, match=r"no such file|no file matches|empty name"):
        find_videos((given,))


def test_missing_among_others_is_an_error_of_its_own(files: Path):
    found, errors, _ = find_videos(("missing.mp4", "clip10.mp4", "*.webm"))
    assert names(found) == ["clip10.mp4"]
    assert [str(error) for error in errors] == [
        "missing.mp4: no such file: check the name",
        "*.webm: no file matches this pattern: check it",
    ]


def test_a_name_the_system_refuses_is_an_error_not_a_crash(folder: Path):
    long = "x" * 300 + ".mp4"
    (folder / "a.mp4").touch()
    found, errors, _ = find_videos((long, "a.mp4"))
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
    assert targets("a/x.mkv", "b/x.mkv") == {"a/x.mkv": "a/x.summary.mp4", "b/x.mkv": "b/x.summary.mp4"}


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
    jobs = plan_jobs([Path(f"x{number}.mov") for number in range(inputs)], "summary", output, several=several)
    assert str(jobs[0].target) == target
    assert not (folder / "new").exists()


@pytest.mark.parametrize("output", ["file.txt/", "file.txt", ""])
def test_o_that_cannot_be_is_a_usage_error(folder: Path, output: str):
    (folder / "file.txt").touch()
    with pytest.raises(click.UsageError, match=r"is a file, but a folder is needed|is empty"):
        plan_jobs([Path("a.mp4"), Path("b.mp4")], "summary", output)


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["A.mp4", "A.MOV"], None, ["A.summary.mp4", "A.MOV.summary.mp4"]),
        (["x.mkv", "x.avi", "x.MP4"], None, ["x.mkv.summary.mp4", "x.avi.summary.mp4", "x.summary.mp4"]),
        (["x.mkv", "x.avi"], None, ["x.mkv.summary.mp4", "x.summary.mp4"]),
        (["A.MOV", "A.mp4", "A.MOV.mp4"], None, ["*-A.MOV.summary.mp4", "A.summary.mp4", "A.MOV.summary.mp4"]),
        (["a/x.mp4", "b/x.mp4"], "out/", ["out/x.summary.mp4", "out/b-x.mp4.summary.mp4"]),
        (["1/b/x.mp4", "2/b/x.mp4", "b/x.mov"], "out/", ["out/x.summary.mp4", "out/b-x.mp4.summary.mp4", "out/x.mov.summary.mp4"]),
        (["x.mp4", "a/../x.mkv"], None, ["x.summary.mp4", "a/../x.mkv.summary.mp4"]),
    ],
)
def test_two_inputs_of_one_name_have_two_targets_in_any_order(folder: Path, inputs: list[str], output: str | None, expected: list[str]):
    (folder / "a").mkdir()
    for given in (inputs, inputs[::-1]):
        planned = targets(*given, output=output)
        assert len({Path(target).resolve() for target in planned.values()}) == len(inputs)
        for name, target in zip(inputs, expected, strict=True):
            assert Path(planned[name]).match(target), planned


def test_any_number_of_inputs_of_one_name_have_targets_of_their_own(folder: Path):
    planned = targets(*(f"{number}/b/x.mp4" for number in range(4)), output="out/")
    assert len(set(planned.values())) == 4
    assert planned == targets(*(f"{number}/b/x.mp4" for number in (2, 0, 3, 1)), output="out/")


def test_who_has_a_name_keeps_it(folder: Path):
    """By the JSON of the run that gave it: A.MOV was alone then. Another's name is not taken from it either, even alone."""
    for name in ("A.MOV", "A.mp4"):
        (folder / name).touch()
    (folder / "A.summary.json").write_text('{\n  "schema": "x",\n  "input": "elsewhere/A.MOV",\n  "output": null\n}')
    assert targets("A.mp4", "A.MOV") == {"A.mp4": "A.mp4.summary.mp4", "A.MOV": "A.summary.mp4"}
    assert targets("A.mp4") == {"A.mp4": "A.mp4.summary.mp4"}
    assert targets("A.MOV") == {"A.MOV": "A.summary.mp4"}
    (folder / "A.MOV").unlink()
    assert targets("A.mp4") == {"A.mp4": "A.summary.mp4"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"input": 3}', b'{"input": "."}', b'{"input": "\\ud8"}', b"\xff" * 99, b'{"input": "A.mp4"}']
)
def test_a_json_that_says_nothing_of_it_changes_nothing(folder: Path, content: bytes):
    (folder / "A.mp4").touch()
    (folder / "A.summary.json").write_bytes(content)
    assert targets("A.mp4") == {"A.mp4": "A.summary.mp4"}


def test_two_inputs_of_one_name_are_both_summarized_and_keep_their_names(mmvatool, clip: Path):
    (clip.parent / "clip.MOV").write_bytes(clip.read_bytes())
    code, out, err = mmvatool("summarize", ".", "--json")
    assert code == 0
    assert "clip.MOV: goes to clip.MOV.summary.mp4, since clip.summary.mp4 is that of clip.mp4" in err.splitlines()
    written = {result["input"]: result["output"] for result in json.loads(out)["results"]}
    assert written == {"clip.mp4": "clip.summary.mp4", "clip.MOV": "clip.MOV.summary.mp4"}
    for given in (["."], ["clip.MOV", "clip.mp4"], ["clip.MOV"], ["clip.mp4"]):
        code, out, _ = mmvatool("summarize", *given, "--skip-existing", "--json")
        assert (code, json.loads(out)["results"]) == (0, [])
    before = (clip.parent / "clip.summary.mp4").stat().st_mtime_ns
    assert mmvatool("summarize", "clip.MOV", "--overwrite")[0] == 0
    assert (clip.parent / "clip.summary.mp4").stat().st_mtime_ns == before


def test_missing_inputs_leave_o_a_folder(mmvatool, clip: Path):
    code, _, _ = mmvatool("summarize", "clip.mp4", "missing.mp4", "-o", "out")
    assert code == 3
    assert (clip.parent / "out" / "clip.summary.mp4").is_file()
