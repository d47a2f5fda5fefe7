"""Reading TVSum's annotations, shots and scores, whole and broken."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmvatool import errors
from mmvatool.tvsum.files import read_annotations, read_scores, read_shots, shot_starts
from tests.helpers import tvsum as files

# Two-second shots at 25 frames a second, as TVSum cuts them: the first has a frame more.
ONE = files.annotation("-one_A", [0, 51, 101], 130, ["135", "224"])
TWO = files.annotation("two", [0, 51, 101, 151], 160, ["1111", "5151"])
PIECES = {"-one_A": [[0, 40], [41, 129]], "two": [[0, 100], [101, 159]]}


def refuses(path: Path, read: object, *arguments: object) -> str:
    with pytest.raises(errors.AnnotationError) as caught:
        read(path, *arguments)  # type: ignore[operator]
    return str(caught.value).removeprefix(f"{path}: ")


def as_json(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), "utf-8")
    return path


@pytest.mark.parametrize("write", [files.write_json, files.write_mat], ids=["json", "mat"])
def test_annotations_come_back(write, tmp_path):
    found = read_annotations(write(tmp_path / "annotations", [ONE, TWO]))
    assert [one.video for one in found] == ["-one_A", "two"]
    for ours, theirs in zip(found, [ONE, TWO], strict=True):
        assert ours.scores.dtype == np.float64
        assert (ours.scores == theirs.scores).all()
        assert ours.starts.tolist() == theirs.starts.tolist()
        assert ours.pieces.tolist()[-1] == [theirs.starts[-1], theirs.frames]


@pytest.mark.parametrize("rate", [24000 / 1001, 25.0, 30000 / 1001])
def test_starts_of_shots_are_found_though_no_score_changes_there(rate):
    starts = [0, *(int(2 * shot * rate) + 1 for shot in range(1, 40))]
    frames = starts[-1] + 17
    scores = np.repeat(np.random.default_rng(0).integers(1, 6, (2, 40)), np.diff([*starts, frames]), axis=1).astype(float)
    scores[:, starts[7] : starts[12]] = 3  # nobody's score changes for ten seconds
    assert shot_starts(scores, frames / rate - 0.02).tolist() == starts


def test_starts_of_a_video_that_is_cut_otherwise():
    # Shots of 59 frames at 30 a second. The one at 177 begins where no score changes: between 118 and 236.
    scores = np.repeat([[1.0, 2, 3, 3, 4], [5.0, 5, 5, 5, 1]], 59, axis=1)
    assert shot_starts(scores, 295 / 30).tolist() == [0, 59, 118, 177, 236]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"a": 1}, "is neither a MATLAB v7.3 file nor a list of annotated videos: see docs/formats.md"),
        ([], "holds no video"),
        ([1], "video number 1: 'int' object is not subscriptable"),
        ([{"video": "a", "nframes": 9, "shot_starts": [0]}], "video a: 'user' is missing"),
        ([{"nframes": 9, "shot_starts": [1], "user": ["1", "1"]}], "video number 1: shot_starts must rise from 0 and stay below nframes"),
        (
            [{"video": "a", "nframes": 9, "shot_starts": [0, 9], "user": ["11"]}],
            "video a: shot_starts must rise from 0 and stay below nframes",
        ),
        (
            [{"video": "a", "nframes": 9, "shot_starts": [0, 5], "user": ["1", "1"]}],
            "video a: each user must have a score for each of the 2 shots",
        ),
        ([{"video": "a", "nframes": 9, "shot_starts": [0, 5], "user": ["12"]}], "video a: must have finite scores of two users or more"),
        ([{"video": "a", "nframes": 9, "shot_starts": [0], "user": ["1", "1"]}] * 2, "video a is there twice: remove one"),
    ],
)
def test_annotations_that_cannot_be_used(document, problem, tmp_path):
    assert refuses(as_json(tmp_path / "a.json", document), read_annotations) == problem


def test_files_that_are_no_annotations(tmp_path):
    assert refuses(tmp_path, read_annotations) == "is no file: give its path"
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(range(256)))
    assert refuses(tmp_path / "old.mat", read_annotations).startswith("is neither HDF5 nor JSON (")
    h5 = files.write_h5(tmp_path / "other.h5", {"video_1": {"n_frames": 3}})
    assert refuses(h5, read_annotations) == "has no struct tvsum50: give TVSum's ydata-tvsum50.mat"
    cut = files.write_mat(tmp_path / "cut.mat", [ONE])
    cut.write_bytes(cut.read_bytes()[:5000])
    assert "is not as TVSum's .mat is (" in refuses(cut, read_annotations)


def test_shots_of_json(tmp_path):
    found = read_shots(as_json(tmp_path / "mine.json", PIECES), [ONE, TWO])
    assert found.name == "mine"
    assert {video: pieces.tolist() for video, pieces in found.pieces.items()} == {
        "-one_A": [[0, 41], [41, 130]],
        "two": [[0, 101], [101, 160]],
    }
    assert read_shots(as_json(tmp_path / "uniform60.json", PIECES), [ONE, TWO]).name == "uniform60.json"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "is no object {video: [[first frame, last frame], ...]}: see docs/formats.md"),
        ({"three": [[0, 1]]}, "video three: is not in the annotations"),
        ({"two": [[0, "x"]]}, "video two: shots must be pairs [first frame, last frame]"),
        ({"two": [0, 1]}, "video two: shots must be pairs [first frame, last frame]"),
        ({"two": []}, "video two: shots must be pairs [first frame, last frame]"),
        ({"two": [[0, 9], [9, 20]]}, "video two: shot 1 [0, 9]: shots must follow each other and stay within frames 0 to 159"),
        ({"two": [[0, 9], [20, 10]]}, "video two: shot 2 [20, 10]: shots must follow each other and stay within frames 0 to 159"),
        ({"two": [[0, 160]]}, "video two: shot 1 [0, 160]: shots must follow each other and stay within frames 0 to 159"),
        ({"two": [[-1, 9]]}, "video two: shot 1 [-1, 9]: shots must follow each other and stay within frames 0 to 159"),
    ],
)
def test_shots_that_cannot_be(document, problem, tmp_path):
    assert refuses(as_json(tmp_path / "s.json", document), read_shots, [ONE, TWO]) == problem


def test_the_h5_knows_videos_by_name_number_or_length(tmp_path):
    others = [files.annotation(name, [0], frames, ["1", "2"]) for name, frames in (("b", 160), ("c", 170), ("d", 180))]
    annotations = [TWO, *others]  # two and b are equally long
    group = {"change_points": [[0, 159]], "n_frames": 160, "picks": np.arange(0, 160, 15), "user_summary": np.ones((2, 160), np.float32)}
    videos = {
        "video_2": group,
        "video_1": group | {"video_name": np.bytes_("two"), "n_frames": 999},
        "video_7": {"change_points": [[0, 99], [100, 179]], "n_frames": 180},
    }
    found = read_shots(files.write_h5(tmp_path / "e.h5", videos), annotations)
    assert found.name == "kts_h5"
    assert {video: pieces.tolist() for video, pieces in found.pieces.items()} == {
        "two": [[0, 160]],
        "b": [[0, 160]],
        "d": [[0, 100], [100, 180]],
    }
    assert found.picks["b"].tolist() == list(range(0, 160, 15))
    assert found.summaries["b"].shape == (2, 160)
    assert found.summaries["b"].all()
    assert "d" not in found.summaries
    for key, problem in {
        "video_9": "video_9: 2 annotated videos of 160 frames: which is it?",
        "x": "x: no annotated video of 161 frames: which is it?",
    }.items():
        bad = files.write_h5(tmp_path / f"{key}.h5", {key: group | {"n_frames": 160 + (key == "x")}})
        assert refuses(bad, read_shots, annotations) == problem
    bare = files.write_h5(tmp_path / "bare.h5", {"video_1": {"n_frames": 160}})
    assert refuses(bare, read_shots, annotations).startswith("is not as eccv16_dataset_tvsum_google_pool5.h5 is (")


def test_scores_by_frame_and_by_pick(tmp_path):
    frames, picks = np.random.default_rng(0).random(160), np.arange(0, 160, 15)
    held = np.repeat(picks / 10, np.diff([*picks, 160]))
    np.save(tmp_path / "two.npy", frames)
    assert (read_scores(tmp_path, TWO, None) == frames).all()
    (tmp_path / "two.csv").write_text("score\n" + "\n".join(map(str, picks / 10)))
    assert (read_scores(tmp_path, TWO, None) == held).all()
    (tmp_path / "two.csv").write_text("0,1.5\n100,-2\n")
    assert read_scores(tmp_path, TWO, None).tolist() == [1.5] * 100 + [-2] * 60
    as_json(tmp_path / "two.json", [1, 2, 3])
    assert read_scores(tmp_path, TWO, np.array([0, 10, 30])).tolist() == [1] * 10 + [2] * 20 + [3] * 130
    as_json(tmp_path / "two.json", {"scores": [1, 2], "picks": [0, 80]})
    assert read_scores(tmp_path, TWO, None).tolist() == [1] * 80 + [2] * 80


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("two.json", "[1, 2]", "2 scores for 160 frames and 11 picks: give one for each"),
        ("two.json", '{"scores": [1, 2], "picks": [0]}', "2 scores for 1 picks: give one for each"),
        ("two.json", '{"scores": [1, 2], "picks": [0, 160]}', "picks must rise from frame 0 and stay below 160"),
        ("two.json", '{"scores": [1, 2], "picks": [1, 10]}', "picks must rise from frame 0 and stay below 160"),
        ("two.json", "[1, null]", "is no list of finite numbers, one for each frame or pick"),
        ("two.json", '["x"]', 'is neither a list of numbers nor {"scores": [...], "picks": [...]}'),
        ("two.json", "{", "is neither HDF5 nor JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("two.csv", "1,2,3\n", "is no CSV of scores (one column (score) or two (frame, score))"),
        ("two.csv", "", "is no CSV of scores (one column (score) or two (frame, score))"),
        ("two.csv", "1\nx\n", "is no CSV of scores (could not convert string to float: 'x')"),
    ],
)
def test_scores_that_cannot_be_used(name, content, problem, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(errors.AnnotationError) as caught:
        read_scores(tmp_path, TWO, None)
    assert str(caught.value) == f"{tmp_path / name}: {problem}"


def test_scores_that_are_not_there_or_no_array(tmp_path):
    with pytest.raises(errors.AnnotationError, match=r"two: no scores: add two with \.json, \.csv, \.npy$"):
        read_scores(tmp_path, TWO, None)
    (tmp_path / "two.npy").write_bytes(b"no array")
    with pytest.raises(errors.AnnotationError, match="is no array of numbers"):
        read_scores(tmp_path, TWO, None)
