"""`mmvatool train`, `python -m trainer` and `mmvatool evaluate`."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mmvatool.cli.train import train
from trainer import evaluate_command as evaluate
from trainer.errors import TrainerError

SMALL = Path(__file__).parent / "small.toml"
QUICK = ["--set", "towers.image.input_px=32", "--set", "towers.music.window_s=1.0", "--set", "train.epochs=2", "--device", "cpu"]


def run(command: click.Command, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrainerError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("commands") / "run"
    code, stdout, stderr = run(train, SMALL, "--data", small, "--out", out, *QUICK, "--batch-size", "8", "--precision", "float32")
    assert code == 0
    assert stdout.splitlines()[2].startswith("small ")
    assert "MMVA (paper)" in stdout
    assert "epoch 2: training loss" in stderr
    return out


def test_resume_needs_nothing_but_the_folder(trained: Path) -> None:
    code, stdout, stderr = run(
        train, SMALL, *QUICK, "--batch-size", "8", "--precision", "float32", "--resume", trained, "--set", "train.epochs=3"
    )
    assert code == 0
    assert "epoch 3: training loss" in stderr
    assert "epoch 2:" not in stderr
    assert "MMVA (paper)" in stdout


def test_what_is_missing_or_too_much_is_a_usage_error(small: Path, trained: Path) -> None:
    for arguments, message in (
        (("compact",), "give --data and --out, or --resume"),
        (("compact", "--resume", trained, "--data", small), "--resume knows the run's data and folder"),
        (("compact", "--data", "/nowhere", "--out", "x"), "Directory '/nowhere' does not exist"),
    ):
        code, _, stderr = run(train, *arguments)
        assert code == 2
        assert message in stderr
    with pytest.raises(TrainerError, match="no recipe 'vgg': give compact"):
        run(train, "vgg", "--data", small, "--out", "x")
    with pytest.raises(TrainerError, match="holds no run to resume"):
        run(train, SMALL, "--resume", small)


def test_python_m_trainer_says_what_is_wrong_in_one_line(small: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", str(SMALL), "--data", str(small), "--out", str(tmp_path), "--set", "train.epochs=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "train.epochs: 0: must be a whole number" in done.stderr
    assert done.stderr.count("\n") == 1


def test_evaluate_va_prints_and_saves_the_figures_of_training(small: Path, trained: Path) -> None:
    code, stdout, stderr = run(evaluate, "va", trained / "best.safetensors", "--data", small, "--device", "cpu", "--json")
    assert code == 0
    assert stderr == ""
    document = json.loads(stdout)
    assert set(document) == {"image", "music", "text", "similarity"}
    expected = json.loads((trained / "best.json").read_text())
    assert document["similarity"] == pytest.approx(expected["similarity"], abs=1e-5)
    for modality in ("image", "music", "text"):
        assert document[modality]["valence"] == pytest.approx(expected[modality]["valence"], abs=1e-3)
    assert json.loads((trained / "best.va-test.json").read_text()) == document

    _, stdout, stderr = run(evaluate, "va", trained / "best.safetensors", "--data", small, "--part", "all", "--device", "cpu")
    assert "MMVA (paper)" in stdout
    assert "may have been trained on" in stderr
    assert stderr.splitlines()[-1] == f"{trained / 'best.va-all.json'}: these figures"


def test_evaluate_the_bundled_model(small: Path) -> None:
    code, stdout, stderr = run(evaluate, "va", "compact", "--data", small, "--device", "cpu", "--json")
    assert code == 0
    assert set(json.loads(stdout)) == {"image", "music", "text", "similarity"}
    assert "may have been trained on" in stderr  # other data than its own: it cannot tell


def test_cross_validation_prints_a_table_and_refuses_what_is_not_for_it(small: Path) -> None:
    arguments = ("va", SMALL, "--cv", "--data", small, "--folds", "2", "--only", "image", "--device", "cpu", *QUICK[:-2])
    code, stdout, _ = run(evaluate, *arguments)
    assert code == 0
    assert [line.split(",")[0] for line in stdout.splitlines()[1:]] == ["image"] * 4  # by theme and plain, in all views and in one
    assert "ridge on colours" in stdout
    _, stdout, _ = run(evaluate, *arguments, "--json")
    assert json.loads(stdout)["figures"][0]["protocol"] == "unseen themes"
    for wrong, message in (
        (("va", SMALL, "--data", small, "--only", "image"), "--only, --set and --cache go with --cv"),
        (("va", SMALL, "--cv", "--data", small, "--part", "all"), "--weights and --part do not go with --cv"),
    ):
        code, _, stderr = run(evaluate, *wrong)
        assert code == 2
        assert message in stderr


def test_evaluate_retrieval(small: Path, trained: Path) -> None:
    arguments = ("retrieval", trained / "best.safetensors", "--data", small, "--part", "all", "--pairs", "20", "--device", "cpu")
    code, stdout, _ = run(evaluate, *arguments, "--json")
    assert code == 0
    result = json.loads(stdout)
    assert result["pairs"] == 20
    assert 0 <= result["recall_1"] <= result["recall_5"] <= result["recall_10"] <= 100
    assert "Contrastive-BERT (paper)  10.20" in run(evaluate, *arguments)[1]


def test_weights_of_a_tower_are_named_by_modality(small: Path, trained: Path) -> None:
    code, _, stderr = run(evaluate, "va", trained / "best.safetensors", "--data", small, "--weights", "video=/x")
    assert code == 2
    assert "'video=/x': must be image=, music= or text= and a folder or hub name" in stderr
