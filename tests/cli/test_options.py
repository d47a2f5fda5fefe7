"""Times and ranges of time as people write them, options that become settings, and exit codes of errors."""

from fractions import Fraction

import click
import pytest
from click.testing import CliRunner

from mmvatool.cli import EXIT_CODES, EXIT_FAILED, EXIT_USAGE, exit_code
from mmvatool.cli.options import SignalChoice, Time, TimeRange, exclusive, parse_time, settings_options
from mmvatool.errors import MediaError, MmvatoolError, SettingsError
from mmvatool.timeline import Segment
from trainer import CheckpointError, TrainerError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1h2m3.5s", 3723.5),
        ("1:30", 90.0),
        ("0:05", 5.0),
        ("90:00", 5400.0),
        ("1:02:03.5", 3723.5),
        (" 12 ", 12.0),
    ],
)
def test_times(text: str, seconds: float):
    assert parse_time(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", " ", "-5", "+5", "1:90", "1:2:3:4", "1:", ":30", "5.", "1e3", "nan", "inf", "ten", "1m30", "1 m", "1d", "1,5"]
)
def test_wrong_times_are_named(text: str):
    with pytest.raises(ValueError, match=r"is not a time: write 90, 1\.5s, 1m30s or 1:30"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "segment"),
    [("0-10", Segment(0, 10)), ("1:20-1:35", Segment(80, 95)), ("1m-1m30s", Segment(60, 90)), ("0.5 - 1.5", Segment(0.5, 1.5))],
)
def test_ranges(text: str, segment: Segment):
    assert TimeRange().convert(text, None, None) == segment


@pytest.mark.parametrize("text", ["", "10", "10-", "-10", "10-5", "5-5", "1-2-3", "-5-10", "a-b"])
def test_wrong_ranges_are_named(text: str):
    with pytest.raises(click.BadParameter, match=r"is not a range of time: write 1:20-1:35, the end after the start"):
        TimeRange().convert(text, None, None)


def test_values_that_are_converted_already_pass():
    assert Time().convert(1.5, None, None) == 1.5
    assert TimeRange().convert(Segment(1, 2), None, None) == Segment(1, 2)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--ratio", "x"], "--ratio"),
        (["--duration", "1:90"], "'1:90' is not a time"),
        (["--keep", "5-1"], "'5-1' is not a range of time"),
        (["--by", "smell"], "--by"),
        (["--batch-size", "0"], "--batch-size"),
        (["--device", "tpu"], "--device"),
        (["--precision", "fp8"], "--precision"),
        (["--rato", "0.2"], "--rato"),
        (["--ratio", "0.2", "--duration", "5"], "--ratio and --duration"),
        (["--overwrite", "--skip-existing"], "--overwrite and --skip-existing"),
    ],
)
def test_wrong_options_are_usage_errors_that_name_them(mmvatool, clip, args: list[str], words: str):
    code, out, err = mmvatool("summarize", clip, *args)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert sorted(clip.parent.iterdir()) == [clip]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--ratio", "0"], "ratio 0.0: must lie between 0 and 1"),
        (["--ratio", "1"], "ratio 1.0: must lie between 0 and 1"),
        (["--ratio", "-0.1"], "ratio -0.1: must lie between 0 and 1"),
        (["--ratio", "15"], "ratio 15.0: must lie between 0 and 1"),
        (["--ratio", "nan"], "ratio nan: must lie between 0 and 1"),
        (["--duration", "0"], "duration 0.0 s: must be more than 0"),
        (["--min-shot", "0"], "shortest shot 0.0 s"),
        (["--max-shot", "3"], "longest shot 3.0 s: must be at least 4 s"),
        (["--min-shot", "3", "--max-shot", "5"], "twice the shortest (3.0 s)"),
        (["--keep", "0-2", "--drop", "1-3"], "overlap"),
    ],
)
def test_values_out_of_bounds_are_usage_errors(mmvatool, clip, args: list[str], words: str):
    code, out, err = mmvatool("summarize", clip, *args)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert words in err
    assert err.count("\n") == 1


@click.command()
@exclusive("numerator", "quiet", "one or the other")
@settings_options("fractions:Fraction", click.option("--top", "numerator", type=int), click.option("--below", "denominator", type=int))
@click.option("-q", "--quiet", is_flag=True)
def _command(make_settings, quiet: bool) -> None:
    click.echo(repr(make_settings()))


def test_options_become_settings_with_their_defaults():
    assert [param.name for param in _command.params] == ["numerator", "denominator", "quiet"]
    for args, settings in ((["--top", "3"], Fraction(3)), (["--below", "2", "--top", "3"], Fraction(3, 2)), ([], Fraction(0))):
        assert CliRunner().invoke(_command, args).output == f"{settings!r}\n"


def test_options_that_exclude_each_other_are_a_usage_error():
    both = CliRunner().invoke(_command, ["--top", "0", "-q"])
    assert (both.exit_code, "one or the other" in both.output) == (2, True)


def test_music_is_accepted_for_audio():
    choice = SignalChoice(["image", "audio"])
    assert [choice.convert(name, None, None) for name in ("image", "audio", "music")] == ["image", "audio", "audio"]
    with pytest.raises(click.BadParameter):
        choice.convert("text", None, None)


def test_errors_are_one_tree_with_an_exit_code_each(tmp_path):
    assert issubclass(TrainerError, MmvatoolError)
    assert EXIT_CODES[MmvatoolError] == EXIT_FAILED
    assert exit_code(SettingsError("two")) == EXIT_USAGE
    assert exit_code(MediaError(tmp_path, "is none")) == exit_code(CheckpointError("is none")) == EXIT_FAILED
