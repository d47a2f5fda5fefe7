"""Progress and closing lines, as a terminal shows them and as a script gets them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mmvatool.cli.console import STAGES, Reporter, again, opener
from tests.cli.conftest import PROGRAM
from tests.helpers.media import scene_sound, write_wav

ROOT = Path(__file__).parents[2]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """stderr claims to be a terminal."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "platform", "linux")


def test_next_steps_are_aligned_and_quoted(terminal, capsys: pytest.CaptureFixture[str]):
    Reporter.of(quiet=False).suggest(("watch it", opener(Path("my clip's.mp4"))), ("why", ["mmvatool", "x"]))
    assert capsys.readouterr().err == "  watch it:  xdg-open 'my clip'\"'\"'s.mp4'\n  why:       mmvatool x\n"


@pytest.mark.parametrize("options", [{"quiet": True}, {"quiet": False, "as_json": True}])
def test_next_steps_are_not_for_quiet_nor_json(terminal, capsys: pytest.CaptureFixture[str], options: dict[str, bool]):
    Reporter.of(**options).suggest(("watch it", ["x"]))
    assert capsys.readouterr().err == ""


def test_next_steps_are_not_for_scripts(capsys: pytest.CaptureFixture[str]):
    Reporter.of(quiet=False).suggest(("watch it", ["x"]))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("platform", "word"), [("linux", "xdg-open"), ("darwin", "open"), ("win32", "start")])
def test_the_word_that_opens_a_file(monkeypatch: pytest.MonkeyPatch, platform: str, word: str):
    monkeypatch.setattr(sys, "platform", platform)
    assert opener("a.mp4") == [word, "a.mp4"]


def test_a_command_line_is_repeated_with_and_without_options():
    with click.Context(click.Command("x"), obj=["summarize", "a b.mp4", "--overwrite", "--dry-run"]):
        assert again("--report", "--overwrite") == ["mmvatool", "summarize", "a b.mp4", "--overwrite", "--dry-run", "--report"]
        assert again(without=["--dry-run"]) == ["mmvatool", "summarize", "a b.mp4", "--overwrite"]


def test_every_stage_has_plain_words():
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "mmvatool").rglob("*.py"))
    stages = set(re.findall(r"\bprogress\(\s*\"([^\"]+)\"", sources))
    assert stages | {"prompts"} == set(STAGES)  # Prompter keeps its progress


def steps_of(err: str) -> dict[str, str]:
    return dict(re.findall(r"^  ([\w ]+): +(.*)$", err, re.MULTILINE))


class TestCommands:
    def test_summarize_is_watched_and_explained(self, mmvatool, clip, terminal):
        assert steps_of(mmvatool("summarize", "clip.mp4", "--skip-existing")[2]) == {
            "watch it": "xdg-open clip.summary.mp4",
            "why these shots": "mmvatool summarize clip.mp4 --report --overwrite",
        }

    def test_a_suggested_command_succeeds(self, mmvatool, clip, terminal):
        why = steps_of(mmvatool("summarize", "clip.mp4")[2])["why these shots"]
        code, _, err = mmvatool(*why.split()[1:])
        assert (code, steps_of(err)["why these shots"]) == (0, "xdg-open clip.summary.html")

    def test_a_dry_run_is_rendered(self, mmvatool, clip, terminal):
        assert steps_of(mmvatool("summarize", "clip.mp4", "--dry-run")[2]) == {"render it": "mmvatool summarize clip.mp4"}
        err = mmvatool("summarize", "clip.mp4", "--dry-run", "--plan", "plans/")[2]
        step = steps_of(err)["render it"]
        assert step == "mmvatool render plans/clip.summary.plan.json"
        code, _, err = mmvatool(*step.split()[1:])
        assert (code, steps_of(err)) == (0, {"watch it": "xdg-open plans/clip.summary.mp4"})

    def test_several_inputs_have_one_line_of_counts(self, mmvatool, clip, terminal):
        other = clip.with_name("other.mp4")
        other.write_bytes(clip.read_bytes())
        clip.with_name("clip.summary.mp4").touch()
        err = mmvatool("summarize", "clip.mp4", "other.mp4", "missing.mp4", "--skip-existing")[2]
        assert err.splitlines()[-1] == "1 done, 1 skipped, 1 failed"
        assert steps_of(err) == {}

    def test_a_data_set_is_trained_on_and_a_checkpoint_measured(self, mmvatool, folder: Path, terminal):
        Path("emobank.csv").write_text("id,split,V,A,D,text\nA,train,3.0,1.0,3.2,Yes.\n")
        err = mmvatool("dataset", "open", "--emobank", "emobank.csv", "--out", "my data")[2]
        assert steps_of(err) == {"train on it": "mmvatool train mmva-open --data 'my data' --out runs/mmva-open"}
        assert steps_of(mmvatool("dataset", "open", "--emobank", "emobank.csv", "--out", "other", "--json")[2]) == {}

        from mmvatool.cli.train import next_steps

        given = {"resume": None, "out": folder, "data": Path("data")}
        assert next_steps(given) == []  # nothing was trained here
        (folder / "best.safetensors").touch()
        assert next_steps(given)[0][1] == ["mmvatool", "evaluate", "va", folder / "best.safetensors", "--data", Path("data")]

    def test_music_is_searched_and_heard(self, mmvatool, folder: Path, terminal):
        (folder / "music").mkdir()
        write_wav(folder / "music" / "a b.wav", scene_sound([("meadow", 4)]))
        assert steps_of(mmvatool("library", "index", "music", "--index", "my.db")[2]) == {
            "find music": "mmvatool search calm --library music --index my.db",
            "set pictures to it": "mmvatool soundtrack pictures/ --library music --index my.db",
        }
        search = ("search", "--va", "0.5,0.5", "--library", "music", "--index", "my.db")
        assert steps_of(mmvatool(*search)[2]) == {"listen to the first": "xdg-open 'music/a b.wav'"}
        assert steps_of(mmvatool(*search, "--paths")[2]) == {}

    @pytest.mark.parametrize("option", ["--json", "--quiet"])
    def test_none_with(self, mmvatool, clip, terminal, option: str):
        assert steps_of(mmvatool("summarize", "clip.mp4", option)[2]) == {}

    def test_a_failure_suggests_nothing(self, mmvatool, clip, terminal):
        clip.with_name("clip.summary.mp4").touch()
        code, _, err = mmvatool("summarize", "clip.mp4")
        assert (code, steps_of(err)) == (1, {})


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_terminal_sees_named_stages_and_nothing_is_left_of_them(clip: Path):
    import pty

    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.environ |= {"TERM": "xterm", "COLUMNS": "80"}
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, "summarize", "clip.mp4"])
    shown = b""
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not data:
            break
        shown += data
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    text = shown.decode()
    for words in ("loading the model", STAGES["decoding"], STAGES["rendering"], "100%", "left"):
        assert words in text
    left = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[text.rindex("\x1b[2K") :]).splitlines()
    assert [line.partition(":")[0].strip() for line in left] == ["clip.mp4", "watch it", "why these shots"]


def test_the_list_of_fonts_is_made_in_silence():
    program = PROGRAM.replace("; main()", "; sys.argv = ['mmvatool', '--version']")
    program += (
        "\ntry:\n    main()\nfinally:\n    import logging; logging.getLogger('matplotlib.font_manager').warning('this may take a moment')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
