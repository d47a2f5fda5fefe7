"""What a newcomer sees first: the opening screen, the help of every command, and answers to a command that is none."""

import re

import click
import pytest

from mmvatool.cli import COMMANDS
from tests.helpers import cli_reference

FOUND = list(cli_reference.commands())
WIDTH, HEIGHT = 80, 24


def name_of(found: object) -> str | None:
    return found.command_path if isinstance(found, click.Context) else None


def help_of(command: click.Command, context: click.Context) -> list[str]:
    """The lines on a terminal of WIDTH columns."""
    narrow = click.Context(command, info_name=context.info_name, parent=context.parent, terminal_width=WIDTH, **command.context_settings)
    command._help_option = None  # click keeps the one of a command's first call
    return command.get_help(narrow).splitlines()


def test_the_opening_screen_fits_a_small_terminal(mmvatool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    code, out, err = mmvatool()
    lines = (out + err).splitlines()
    assert code in (0, 2)  # before click 8.2, and since
    assert len(lines) <= HEIGHT - 1  # the shell's prompt has a line
    assert max(map(len, lines)) <= WIDTH
    assert mmvatool("--help")[1].splitlines() == lines


def test_the_opening_screen_lists_all_by_use_and_says_what_words_mean(mmvatool):
    out = mmvatool("--help")[1]
    assert re.findall(r"^  (\w+) {2,}\S", out, re.MULTILINE) == list(COMMANDS)
    assert next(iter(COMMANDS)) == "summarize"
    assert list(COMMANDS)[-1] == "completion"
    assert 3 <= len(re.findall(r"^    mmvatool ", out, re.MULTILINE)) <= 4
    for words in ("valence (how pleasant)", "arousal (how exciting)", "Exit codes: 0 done, 1 failed, 2 wrong usage, 3"):
        assert words in out
    assert out.index("For researchers") < out.index("  train ")


@pytest.mark.parametrize(("command", "context"), FOUND, ids=name_of)
def test_help_opens_with_a_sentence_and_examples(command: click.Command, context: click.Context):
    text = command.help
    assert text is not None
    if command is FOUND[0][0]:  # its examples stand in the paragraph: the screen is small
        return
    sentence, examples = text.split("\n\n")[:2]
    assert re.fullmatch(r"[A-Z][^.]*(\.\w[^.]*)*\.", " ".join(sentence.split()))
    shown = examples.splitlines()
    assert shown[0].strip() == "\b"
    assert shown[1].strip() in ("Example:", "Examples:")
    assert any(line.strip().startswith(f"{context.command_path} ") for line in shown[2:])


@pytest.mark.parametrize(("command", "context"), FOUND, ids=name_of)
def test_nothing_is_cut_off_on_a_small_terminal(command: click.Command, context: click.Context):
    lines = help_of(command, context)
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage: ")]


@pytest.mark.parametrize(("command", "context"), FOUND, ids=name_of)
def test_every_default_is_shown(command: click.Command, context: click.Context):
    for option in command.params:
        if isinstance(option, click.Option) and not (option.is_flag and not option.secondary_opts):
            record = option.get_help_record(context)
            assert record is not None
            given = option.to_info_dict()["default"]
            assert not isinstance(given, (str, int, float)) or "default: " in record[1], option.name


@pytest.mark.parametrize("name", ["summarize", "soundtrack"])
def test_options_are_listed_once_below_headings(mmvatool, name: str):
    out = mmvatool(name, "--help")[1]
    command = next(command for command, context in FOUND if context.command_path == f"mmvatool {name}")
    headings = re.findall(r"^([A-Z][\w ]*):$", out, re.MULTILINE)
    assert headings[-3:] == ["If outputs exist", "The model", "Messages"]
    assert len(headings) > 6
    assert "Options" not in headings  # each has found its place
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", out, re.MULTILINE)
    assert sorted(listed) == sorted(["--help", *(max(param.opts, key=len) for param in command.params if isinstance(param, click.Option))])


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (["sumarize", "my vlog.mp4"], "No such command 'sumarize'. Did you mean: mmvatool summarize 'my vlog.mp4'"),
        (["vlog.mp4", "--ratio", "0.2"], "'vlog.mp4' is a video: run mmvatool summarize vlog.mp4 --ratio 0.2"),
        (["photo.JPG"], "'photo.JPG' is a picture: run mmvatool score photo.JPG"),
        (["song.mp3"], "'song.mp3' is a sound: run mmvatool score song.mp3"),
        (["clips"], "'clips' is a folder: run mmvatool summarize clips, or mmvatool soundtrack clips --library music/"),
        (["help", "score"], "No such command 'help': run mmvatool score --help"),
        (["a\nb"], "No such command 'a\\nb': mmvatool --help lists them"),
    ],
)
def test_what_is_no_command_is_answered_with_what_was_meant(mmvatool, folder, args: list[str], answer: str):
    (folder / "clips").mkdir()
    code, out, err = mmvatool(*args)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: {answer}"


@pytest.mark.parametrize(
    ("args", "example"),
    [
        (["summarize"], "mmvatool summarize vlog.mp4"),
        (["search", "calm"], 'mmvatool search "something dreamy for a sunset" --library music/'),
        (["library", "index"], "mmvatool library index music/"),
    ],
)
def test_what_is_missing_is_shown_by_an_example(mmvatool, args: list[str], example: str):
    code, out, err = mmvatool(*args)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"Error: Missing .* For example: {re.escape(example)}", err.splitlines()[-1])
