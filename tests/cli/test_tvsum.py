"""`mmvatool evaluate tvsum`, from the command line."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.media.probe import probe
from tests.helpers import tvsum as files

STARTS = list(range(0, 300, 30))
AGREED = files.annotation("agreed", STARTS, 300, ["1113111111", "2225222222"])
APART = files.annotation("apart", STARTS, 300, ["1511111111", "1111111115"])


@pytest.fixture
def mat(folder: Path) -> Path:
    return files.write_mat(folder / "ydata-tvsum50.mat", [AGREED, APART], rate=15)


def rows_of(stdout: str) -> dict[tuple[str, str], dict[str, object]]:
    return {(row["protocol"], row["name"]): row for row in json.loads(stdout)["rows"]}


def test_reference_rows_alone(mat, mmvatool):
    code, out, err = mmvatool("evaluate", "tvsum", "--annotations", mat)
    assert code == 0
    for text in (
        "Table 4 of the MMVA paper",
        "CA-SUM",
        "61.4",
        "random, 100 draws",
        "evenly spaced shots",
        "oracle",
        "uniform, 2 s: 60 frames",
    ):
        assert text in out
    assert "The paper's figures need the shots of the h5 (--shots)" in out
    assert "2 videos measured in " in err
    rows = rows_of(mmvatool("evaluate", "tvsum", "--annotations", mat, "--json", "-q")[1])
    assert rows["native2s", "oracle"]["f"] == pytest.approx(75)
    assert rows["paper", "MMVA (paper)"] == {
        "name": "MMVA (paper)",
        "protocol": "paper",
        "f": 58.2,
        "f_sd": None,
        "tau": None,
        "rho": None,
        "videos": None,
    }


def test_scores_on_the_shots_of_an_h5(mat, mmvatool, folder):
    group = {"picks": np.arange(0, 300, 15), "n_frames": 300}
    cut = np.array([[0, 89], [90, 119], [120, 299]])
    liked = np.zeros((2, 300), np.float32)
    liked[:, 90:120] = 1
    videos = {"video_1": group | {"change_points": cut, "user_summary": liked}, "video_2": group | {"change_points": cut[:2]}}
    h5 = files.write_h5(folder / "eccv16_dataset_tvsum_google_pool5.h5", videos)
    (folder / "scores").mkdir()
    np.save(folder / "scores" / "agreed.npy", (np.arange(20) == 7).astype(float))  # the eighth pick: frames 105 to 119
    code, out, err = mmvatool("evaluate", "tvsum", "--annotations", mat, "--shots", h5, "--scores", "scores", "--json")
    assert code == 3
    assert "Error: scores/apart: no scores: add apart with .json, .csv, .npy" in err
    rows = rows_of(out)
    assert rows["kts_h5", "scores"]["f"] == pytest.approx(100)
    assert (rows["kts_h5", "scores"]["videos"], rows["kts_h5", "oracle"]["videos"]) == (1, 2)
    assert json.loads(out)["failures"] == [
        {"input": "scores/apart", "error": "scores/apart: no scores: add apart with .json, .csv, .npy"},
    ]
    code, out, _ = mmvatool("evaluate", "tvsum", "--annotations", mat, "--shots", h5, "--scores", "scores", "-q")
    assert code == 3
    assert "KTS from the h5" in out
    table4 = out[out.index("Table 4") : out.index("KTS from the h5")]
    assert "scores" in table4
    assert "100.0" in table4
    assert "Users' summaries equal to the h5's, frame by frame: 2 of 2." in out
    assert "The paper's figures need" not in out


def test_shots_of_a_json_csv_and_plot(mat, mmvatool, folder):
    (folder / "mine.json").write_text(json.dumps({"agreed": [[0, 89], [90, 119], [120, 299]]}))
    arguments = ("evaluate", "tvsum", "--annotations", mat, "--shots", "mine.json", "--csv", "each.csv", "--plot", "all.png")
    code, out, err = mmvatool(*arguments)
    assert code == 0
    assert "shots of mine.json" in out
    assert "mine.json: has shots of 1 of 2 videos: only these are measured on them" in err
    assert "written: each.csv, all.png" in err
    table = list(csv.DictReader(io.StringIO((folder / "each.csv").read_text())))
    assert [(row["video"], row["protocol"], float(row["f"])) for row in table if row["name"] == "oracle"] == [
        ("agreed", "mine", 100.0),
        ("agreed", "uniform60", 0.0),
        ("agreed", "native2s", 100.0),
        ("apart", "uniform60", 0.0),
        ("apart", "native2s", 50.0),
    ]
    assert {row["tau"] for row in table if row["name"] == "constant"} == {""}
    with Image.open(folder / "all.png") as picture:
        assert picture.size[0] > 800
    code, _, err = mmvatool(*arguments)
    assert (code, err) == (1, "Error: each.csv: already exists: use --overwrite\n")
    assert mmvatool(*arguments, "--overwrite")[0] == 0


def test_the_summarizer_over_videos(mmvatool, folder, vlog, silent):
    """Two drawn videos of which people like what is intense, one that is broken and one that is not there."""
    (folder / "video").mkdir()
    annotated = []
    # A score for every 2 s: 8 s of meadow, 3 of fireworks, 9 of sea, 4 of rays; 6 s of meadow, 4 of fireworks.
    # Each person likes another of the three intense shots best; of the long video one shot fits, of the short one none.
    liked = ["111153111144", "222242222254", "111131111135"]
    for name, source, users in (("long", vlog, liked), ("short", silent, ["11155", "22244", "11144"])):
        shutil.copy(source, folder / "video" / f"{name}.mp4")
        times_s = probe(source).times_s
        starts = [int(np.searchsorted(times_s, 2 * shot - 1e-3)) for shot in range(len(users[0]))]
        annotated.append(files.annotation(name, starts, len(times_s), users))
    (folder / "video" / "broken.mp4").write_bytes(b"nothing")
    annotated += [files.annotation(name, [0, 60], 120, ["12", "21"]) for name in ("broken", "missing")]
    files.write_json(folder / "made.json", annotated)
    code, out, err = mmvatool("evaluate", "tvsum", "--annotations", "made.json", "--videos", "video", "--json")
    assert code == 3
    assert "Error: video/missing.mp4: does not exist: add it, or leave out its annotation" in err
    assert "video/long.mp4: scored (1 of 4)" in err
    assert [failure["input"] for failure in json.loads(out)["failures"]] == ["video/broken.mp4", "video/missing.mp4"]
    rows = rows_of(out)
    assert json.loads(out)["model"] == "compact"
    assert rows["kts_own", "compact"]["videos"] == rows["kts_own", "oracle"]["videos"] == 2
    assert rows["native2s", "oracle"]["videos"] == 4
    assert rows["native2s", "compact"]["tau"] > 0.6
    assert rows["native2s", "compact"]["f"] == pytest.approx((100 / 3 + 0) / 2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            (),
            2,
            "Error: Missing option '--annotations'. For example: mmvatool evaluate tvsum --annotations ydata-tvsum50.mat --videos TVSum/",
        ),
        (("--annotations", "none.mat"), 2, "Error: Invalid value for '--annotations': File 'none.mat' does not exist."),
        (
            ("--annotations", "a.json", "--videos", ".", "--scores", "."),
            2,
            "Error: --videos and --scores exclude each other: give one",
        ),
        (("--annotations", "a.json", "--model", "compact"), 2, "Error: --model goes with --videos"),
        (("--annotations", "a.json", "--plot", "x.jpg"), 1, "Error: x.jpg: name it .png"),
        (("--annotations", "a.json", "--csv", "no/x.csv"), 1, "Error: no/x.csv: its folder does not exist: create it, or choose another"),
        (("--annotations", "a.json", "--csv", "d.csv"), 1, "Error: d.csv: is a folder: choose another name"),
        (
            ("--annotations", "a.json", "--shots", "a.json"),
            1,
            "Error: a.json: is no object {video: [[first frame, last frame], ...]}: see docs/formats.md",
        ),
        (("--annotations", "b.json"), 1, "Error: b.json: holds no video"),
    ],
)
def test_errors(arguments, code, message, mmvatool, folder):
    files.write_json(folder / "a.json", [AGREED])
    (folder / "b.json").write_text("[]")
    (folder / "d.csv").mkdir()
    got, out, err = mmvatool("evaluate", "tvsum", *arguments)
    assert (got, out) == (code, "")
    assert err.splitlines()[-1] == message


def test_no_video_at_all_is_a_failure(mat, mmvatool, folder):
    (folder / "empty").mkdir()
    code, out, err = mmvatool("evaluate", "tvsum", "--annotations", mat, "--videos", "empty", "--json")
    assert code == 1
    assert err.count("does not exist: add it") == 2
    assert rows_of(out)["native2s", "oracle"]["f"] == pytest.approx(75)
    assert json.loads(out)["model"] is None
