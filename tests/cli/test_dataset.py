"""`mmvatool dataset open` as a shell sees it: exit codes, one line for each error."""

import json
import re
from pathlib import Path

import pytest

EMOBANK = "id,split,V,A,D,text\nA,train,3.0,1.0,3.2,Yes.\nB,test,1.0,3,3,No.\n"


@pytest.fixture
def emobank(folder: Path) -> Path:
    file = folder / "emobank.csv"
    file.write_text(EMOBANK)
    return file


def test_it_says_what_it_wrote_and_where(mmvatool, emobank: Path):
    code, out, err = mmvatool("dataset", "open", "--emobank", emobank)
    assert (code, out, err) == (0, "", "open-va: 2 rows of emobank.\n")
    assert Path("open-va/text_va.csv").read_text().splitlines()[1:] == [
        "emobank-A,0.5,0.0,Yes.,emobank,train",
        "emobank-B,0.0,0.5,No.,emobank,test",
    ]


def test_one_json_document(mmvatool, emobank: Path):
    code, out, err = mmvatool("dataset", "open", "--emobank", emobank, "--out", "data", "--json", "-q")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"folder": "data", "rows": {"emobank": 2}, "skipped": []}


def test_bad_input_is_one_line_and_exit_code_1(mmvatool, emobank: Path, folder: Path):
    emobank.write_text(EMOBANK.replace("1.0,3.2", "9,3.2"))
    code, out, err = mmvatool("dataset", "open", "--emobank", emobank)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"Error: \S+emobank.csv row 2 \(id 'A'\): a '9' is outside \[1, 5\]; .*; --skip-bad leaves such out.*\n", err)
    code, _, err = mmvatool("dataset", "open", "--emobank", emobank, "--skip-bad")
    assert code == 0
    assert err.splitlines()[1:] == ["Skipped 1 in all.", "open-va: 1 rows of emobank."]
    code, _, err = mmvatool("dataset", "open", "--emobank", emobank, "--skip-bad")
    assert code == 1
    assert "text_va.csv: is there already" in err
    (folder / "empty").mkdir()
    for option in ("--oasis", "--emotify", "--vgmidi"):
        code, out, err = mmvatool("dataset", "open", option, "empty", "--out", "new")
        assert (code, out) == (1, "")
        assert re.fullmatch(r"Error: empty\S*: .*\n", err)
    assert not Path("new").exists()


def test_nothing_to_build_is_wrong_usage(mmvatool, folder: Path):
    for arguments, message in ((["--out", "x"], "no source"), (["--oasis", "nowhere"], "does not exist")):
        code, _, err = mmvatool("dataset", "open", *arguments)
        assert code == 2
        assert message in err
