"""Shell completion: the scripts, and what a shell is answered."""

import shutil
import subprocess

import pytest

from mmvatool.cli import COMMANDS

BASH = shutil.which("bash")


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _mmvatool_completion mmvatool"),
        ("zsh", "#compdef mmvatool"),
        ("fish", "complete --no-files --command mmvatool"),
    ],
)
def test_the_script(mmvatool, shell: str, line: str):
    code, out, _ = mmvatool("completion", shell)
    assert code == 0
    assert line in out
    assert "_MMVATOOL_COMPLETE" in out


def test_the_bash_script_is_bash(mmvatool):
    if BASH is None:
        pytest.skip("no bash here")
    script = mmvatool("completion", "bash")[1]
    done = subprocess.run([BASH, "-n"], input=script, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_wrong_usage(mmvatool):
    code, _, err = mmvatool("completion", "tcsh")
    assert code == 2
    assert "bash" in err


@pytest.mark.parametrize(
    ("words", "place", "answers"),
    [
        ("mmvatool ", 1, [f"plain,{name}" for name in COMMANDS]),
        ("mmvatool summarize --du", 2, ["plain,--duration"]),
        ("mmvatool summarize --by a", 3, ["plain,audio"]),
        ("mmvatool summarize vl", 2, ["file,vl"]),
        ("mmvatool summarize -o ou", 3, ["file,ou"]),
        ("mmvatool summarize --model w", 3, ["file,w"]),
        ("mmvatool completion f", 2, ["plain,fish"]),
    ],
)
def test_what_bash_is_answered(start, folder, words: str, place: int, answers: list[str]):
    process = start(env={"_MMVATOOL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)})
    out, err = process.communicate(timeout=60)
    assert (out.splitlines(), err, process.returncode) == (answers, "", 0)
