"""What a command writes is checked before any work is done, and written only if it was asked for."""

from pathlib import Path

import pytest

from mmvatool.errors import OutputError
from mmvatool.pipelines.outputs import Outputs


def test_files_are_named_after_the_video_and_written_if_asked_for(tmp_path: Path):
    (tmp_path / "plans").mkdir()
    outputs = Outputs.resolve(tmp_path / "a.mp4", [], beside=[".json"], plan=tmp_path / "plans")
    assert outputs.plan == tmp_path / "plans" / "a.plan.json"
    outputs.write_beside({".json": lambda: "{}", ".png": lambda: pytest.fail("not asked for")})
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a.json"]


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"video": "a.avi"}, "cannot write .avi"),
        ({"video": "in.mp4"}, "is the input itself"),
        ({"beside": [".txt"]}, "already exists"),
        ({"plan": "a.txt"}, "a plan is JSON"),
        ({"plan": "gone/a.json"}, "its folder does not exist"),
        ({"exports": ["a.xml"]}, "is not known as an editor's format"),
    ],
)
def test_each_is_refused_before_any_work(tmp_path: Path, monkeypatch, wanted: dict[str, object], problem: str):
    monkeypatch.chdir(tmp_path)
    Path("in.mp4").touch()
    Path("a.txt").touch()
    given = {"video": "a.mp4"} | wanted
    with pytest.raises(OutputError, match=problem):
        Outputs.resolve(Path(str(given.pop("video"))), [Path("in.mp4")], **given)  # type: ignore[arg-type]


def test_a_dry_run_writes_the_plan_and_the_exports_alone(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    assert not Outputs.resolve(tmp_path / "a.mp4", [], dry_run=True).writes
    assert Outputs.resolve(tmp_path / "a.mp4", [], dry_run=True, plan=tmp_path / "a.json").writes
