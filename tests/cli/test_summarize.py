"""`mmvatool summarize` as scripts and people meet it: exit codes, what is printed where, what lies on disk afterwards."""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers import media
from trainer import checkpoint
from trainer.model.mmva import MMVA

RESULT_KEYS = {"schema", "input", "output", "model", "settings", "duration_s", "summary_s", "shots", "timeline", "cuts", "warnings"}
SETTINGS_KEYS = {"ratio", "duration_s", "by", "shots", "value", "min_shot_s", "max_shot_s", "keep", "drop", "sampling", "lossless"}
SHOT_KEYS = {"start_s", "end_s", "valence", "arousal", "kept"}
ODD_NAMES = ["a'b\"c.mp4", "two\nlines.mp4", "🎆 :smile: $x$ [b].mp4", "-dash.mp4", os.fsdecode(b"not\xffutf8.mp4"), "per%d%%cent.mp4"]
# What no user should see, whatever goes wrong.
INNER_WORDS = ("Traceback", "Warning", '.py"')


def in_folder(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def one_line_error(err: str, *words: str) -> None:
    """stderr is one line: the error, with these words, its cure after a colon."""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    for word in (*words, ": "):
        assert word in err
    assert not any(word in err for word in INNER_WORDS)


class TestOutputs:
    def test_a_summary_and_its_plan(self, mmvatool, clip):
        code, out, err = mmvatool("summarize", clip.name)
        assert (code, out) == (0, "")
        assert err.startswith("clip.mp4: 1 shot, 0.6 s of 4.0 s (15.0%) -> clip.summary.mp4 in ")
        assert err.count("\n") == 1
        assert in_folder(clip.parent) == {"clip.mp4", "clip.summary.mp4", "clip.summary.json"}

    def test_plot_writes_a_picture_too(self, mmvatool, clip):
        assert mmvatool("summarize", clip.name, "--plot", "-q")[0] == 0
        assert (clip.parent / "clip.summary.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

    def test_o_names_a_file_with_another_container(self, mmvatool, clip):
        assert mmvatool("summarize", clip.name, "-o", "short.mkv", "-q")[0] == 0
        assert in_folder(clip.parent) == {"clip.mp4", "short.mkv", "short.json"}

    def test_o_with_a_slash_makes_the_folder(self, mmvatool, clip):
        assert mmvatool("summarize", clip.name, "-o", "new/deep/", "-q")[0] == 0
        assert in_folder(clip.parent / "new" / "deep") == {"clip.summary.mp4", "clip.summary.json"}

    def test_a_folder_gives_its_videos(self, mmvatool, clip):
        shutil.copy(clip, clip.with_name("clip10.mp4"))
        shutil.copy(clip, clip.with_name("clip2.mp4"))
        code, out, _ = mmvatool("summarize", ".", "--dry-run", "--json")
        assert code == 0
        assert [result["input"] for result in json.loads(out)["results"]] == ["clip.mp4", "clip2.mp4", "clip10.mp4"]

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, mmvatool, clip, name: str):
        odd = clip.rename(clip.with_name(name))
        code, out, err = mmvatool("summarize", "--plot", "--json", "--", name)
        assert code == 0, err
        stem = odd.stem
        assert in_folder(clip.parent) == {name, f"{stem}.summary.mp4", f"{stem}.summary.json", f"{stem}.summary.png"}
        assert json.loads(out)["results"][0]["input"] == name
        assert json.loads((clip.parent / f"{stem}.summary.json").read_bytes())["output"] == f"{stem}.summary.mp4"
        assert err.count("\n") == 1, err
        assert err.isascii() or "🎆 :smile: $x$ [b].mp4" in err


class TestJson:
    def test_the_shape_of_the_document(self, mmvatool, clip):
        (clip.parent / "empty.mp4").touch()
        code, out, _ = mmvatool("summarize", "empty.mp4", "clip.mp4", "--json", "--keep", "0-0.2")
        assert code == 3
        document = json.loads(out)
        assert set(document) == {"results", "skipped", "failures"}
        assert document["skipped"] == []
        (failure,) = document["failures"]
        assert failure == {"input": "empty.mp4", "error": "empty.mp4: the file is empty: record or copy it again"}
        (result,) = document["results"]
        assert set(result) == RESULT_KEYS
        assert set(result["settings"]) == SETTINGS_KEYS
        assert all(set(shot) == SHOT_KEYS for shot in result["shots"])
        assert (result["schema"], result["input"], result["output"], result["model"]) == (
            "mmvatool.summary/1",
            "clip.mp4",
            "clip.summary.mp4",
            "compact",
        )
        assert result["settings"]["ratio"] == 0.15
        assert result["settings"]["keep"] == [[0.0, 0.2]]
        assert result["duration_s"] == pytest.approx(4.0, abs=0.001)
        shots = result["shots"]
        assert shots[0]["start_s"] == 0
        assert shots[-1]["end_s"] == result["duration_s"]
        assert all(a["end_s"] == b["start_s"] for a, b in pairwise(shots))
        assert all(0 <= shot["valence"] <= 1 and 0 <= shot["arousal"] <= 1 for shot in shots)
        kept_s = sum(shot["end_s"] - shot["start_s"] for shot in shots if shot["kept"])
        assert result["summary_s"] == pytest.approx(kept_s, abs=1e-5)
        assert result["summary_s"] <= 0.15 * 4.0 + 1e-6
        assert result == json.loads((clip.parent / "clip.summary.json").read_bytes())

    @pytest.mark.parametrize("by", ["audio", "music", "both"])
    def test_sound_has_a_valence_and_the_models_name(self, mmvatool, clip, whole, by: str):
        code, out, _ = mmvatool("summarize", "clip.mp4", "--json", "--dry-run", "--by", by, "--shots", "uniform", "--model", whole)
        (result,) = json.loads(out)["results"]
        assert code == 0
        assert result["model"] == "whole"
        assert result["settings"]["by"] == ("both" if by == "both" else "audio")
        assert all(0 <= shot["valence"] <= 1 for shot in result["shots"])

    def test_a_model_without_a_music_tower_is_one_line(self, mmvatool, clip):
        tower: dict[str, dict[str, str | int | float]] = {"image": {"name": "compact"}}
        checkpoint.save(clip.with_name("sees.safetensors"), MMVA(tower), "sees", tower)
        code, _, err = mmvatool("summarize", "clip.mp4", "--by", "audio", "--model", "sees.safetensors")
        assert code == 1
        one_line_error(err, "sees.safetensors: has no music tower, only image: use one that was trained on music")

    @pytest.mark.parametrize("args", [["--model", "nonesuch"], ["-o", "file.txt/out/"]])
    def test_there_is_a_document_when_nothing_could_start(self, mmvatool, clip, args: list[str]):
        (clip.parent / "file.txt").touch()
        code, out, err = mmvatool("summarize", "clip.mp4", "--json", *args)
        assert code == 1
        one_line_error(err)
        document = json.loads(out)
        assert (document["results"], document["skipped"]) == ([], [])
        assert [failure["input"] for failure in document["failures"]] == ["clip.mp4"]

    def test_stdout_of_a_real_process_holds_the_document_alone(self, start, clip):
        (clip.parent / "cut.mp4").write_bytes(clip.read_bytes()[:20000])
        process = start("summarize", "clip.mp4", "cut.mp4", "--json", "--plot")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 3
        assert len(json.loads(out)["results"]) == 1
        first, second, counts = err.splitlines()  # libraries say nothing of their own
        assert first.startswith("clip.mp4: 1 shot")
        one_line_error(second + "\n", "cut.mp4", "truncated")
        assert counts == "1 done, 1 failed"


class TestMessages:
    def test_quiet_says_nothing(self, mmvatool, clip):
        assert mmvatool("summarize", "clip.mp4", "--quiet") == (0, "", "")

    def test_quiet_still_tells_errors(self, mmvatool, clip):
        clip.write_bytes(b"")
        code, out, err = mmvatool("summarize", "clip.mp4", "--quiet")
        assert (code, out) == (1, "")
        one_line_error(err, "clip.mp4", "empty")

    def test_verbose_tells_what_was_done_otherwise(self, mmvatool, folder, drawn_clip):
        silent = media.draw_scenes(folder / "silent.mp4", [("meadow", 2)], size=(160, 90), with_sound=False)
        code, _, err = mmvatool("summarize", silent.name, "--by", "both", "-v", "--dry-run", "--json")
        assert code == 0
        assert "silent.mp4: no sound: scored by its pictures alone\n" in err
        _, out, err = mmvatool("summarize", silent.name, "--by", "both", "--dry-run", "--json")
        assert "no sound" not in err
        assert json.loads(out)["results"][0]["warnings"] == ["no sound: scored by its pictures alone"]

    def test_dry_run_prints_the_table_and_writes_nothing(self, mmvatool, clip):
        code, out, err = mmvatool("summarize", "clip.mp4", "--dry-run", "-o", "new/")
        assert code == 0
        assert in_folder(clip.parent) == {"clip.mp4"}
        lines = out.splitlines()
        assert lines[0].strip() == "clip.mp4"
        for heading in ("start", "end", "length s", "valence", "arousal", "kept"):
            assert heading in lines[2]
        assert sum("kept" in line for line in lines[3:]) == 1
        assert "0:00.00" in out
        assert "0:04.00" in out
        assert "would be kept" in err

    def test_dry_run_with_json_prints_the_document(self, mmvatool, clip):
        code, out, _ = mmvatool("summarize", "clip.mp4", "--dry-run", "--json", "--quiet")
        assert code == 0
        assert json.loads(out)["results"][0]["output"] is None
        assert in_folder(clip.parent) == {"clip.mp4"}

    def test_debug_shows_the_traceback_and_goes_on(self, mmvatool, clip):
        (clip.parent / "empty.mp4").touch()
        code, _, err = mmvatool("summarize", "empty.mp4", "clip.mp4", "--debug", "--dry-run")
        assert code == 3
        assert "Traceback (most recent call last)" in err
        assert "Error: empty.mp4: the file is empty" in err
        assert "clip.mp4: 1 shot" in err

    def test_debug_leaves_exit_codes_alone(self, mmvatool, clip):
        code, _, err = mmvatool("summarize", "clip.mp4", "--ratio", "2", "--debug")
        assert code == 2
        assert "Traceback" in err

    def test_what_nobody_foresaw_is_one_line_and_the_others_go_on(self, mmvatool, clip, monkeypatch):
        from mmvatool.media import render

        shutil.copy(clip, clip.with_name("other.mp4"))
        real = render.render

        def failing(timeline, info, target, on_frame, **options):
            if info.path.name == "clip.mp4":
                raise OSError(28, "No space left on device")
            return real(timeline, info, target, on_frame, **options)

        monkeypatch.setattr(render, "render", failing)
        code, _, err = mmvatool("summarize", "clip.mp4", "other.mp4")
        assert code == 3
        one_line_error(err.splitlines(keepends=True)[0], "clip.mp4: failed unexpectedly (No space left on device)", "--debug")
        assert (clip.parent / "other.summary.mp4").is_file()


class TestExisting:
    def test_default_is_an_error(self, mmvatool, clip):
        (clip.parent / "clip.summary.mp4").write_text("mine")
        code, _, err = mmvatool("summarize", "clip.mp4")
        assert code == 1
        one_line_error(err, "clip.summary.mp4", "already exists", "--overwrite or --skip-existing")
        assert (clip.parent / "clip.summary.mp4").read_text() == "mine"

    def test_an_existing_plan_or_plot_is_an_error_too(self, mmvatool, clip):
        (clip.parent / "clip.summary.png").write_text("mine")
        assert mmvatool("summarize", "clip.mp4", "--plot")[0] == 1
        assert in_folder(clip.parent) == {"clip.mp4", "clip.summary.png"}

    def test_overwrite_replaces(self, mmvatool, clip):
        (clip.parent / "clip.summary.mp4").write_text("mine")
        assert mmvatool("summarize", "clip.mp4", "--overwrite")[0] == 0
        assert (clip.parent / "clip.summary.mp4").stat().st_size > 1000

    def test_a_failed_overwrite_leaves_the_old_file(self, mmvatool, clip):
        clip.write_bytes(clip.read_bytes()[:20000])
        (clip.parent / "clip.summary.mp4").write_text("mine")
        assert mmvatool("summarize", "clip.mp4", "--overwrite")[0] == 1
        assert (clip.parent / "clip.summary.mp4").read_text() == "mine"
        assert in_folder(clip.parent) == {"clip.mp4", "clip.summary.mp4"}

    def test_skip_existing(self, mmvatool, clip):
        (clip.parent / "clip.summary.mp4").write_text("mine")
        shutil.copy(clip, clip.with_name("new.mp4"))
        code, out, err = mmvatool("summarize", "clip.mp4", "new.mp4", "--skip-existing", "--json")
        assert code == 0
        assert json.loads(out)["skipped"] == ["clip.mp4"]
        assert [result["input"] for result in json.loads(out)["results"]] == ["new.mp4"]
        assert err.startswith("clip.mp4: skipped, clip.summary.mp4 exists\n")
        assert (clip.parent / "clip.summary.mp4").read_text() == "mine"

    def test_nothing_new_is_success(self, mmvatool, clip):
        (clip.parent / "clip.summary.mp4").write_text("mine")
        code, out, _ = mmvatool("summarize", ".", "--skip-existing", "--json", "--model", "not needed")
        assert code == 0
        assert json.loads(out) == {"results": [], "skipped": ["clip.mp4"], "failures": []}

    def test_the_input_is_never_the_target(self, mmvatool, clip):
        before = clip.read_bytes()
        code, _, err = mmvatool("summarize", "clip.mp4", "-o", "clip.mp4", "--overwrite")
        assert code == 1
        one_line_error(err, "clip.mp4", "is the input itself", "-o")
        assert clip.read_bytes() == before


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20000])


def text(path: Path) -> None:
    path.write_text("not a video\n" * 20)


def sound(path: Path) -> None:
    media.write_wav(path.with_suffix(".wav"), media.scene_sound([("rays", 1)])).rename(path)


class TestBadInput:
    @pytest.mark.parametrize(
        ("spoil", "words"),
        [(empty, "is empty"), (truncated, "truncated"), (text, "clip.mp4"), (sound, "no video stream")],
    )
    def test_a_file_that_is_not_a_video(self, mmvatool, clip, spoil, words: str):
        spoil(clip)
        code, out, err = mmvatool("summarize", "clip.mp4")
        assert (code, out) == (1, "")
        one_line_error(err, "clip.mp4", words)
        assert in_folder(clip.parent) == {"clip.mp4"}

    def test_a_file_that_is_not_even_called_one(self, mmvatool, folder):
        text(folder / "notes.txt")
        code, _, err = mmvatool("summarize", "notes.txt")
        assert code == 1
        one_line_error(err, "notes.txt: is not a media file", "give a video file")

    def test_a_folder_without_videos(self, mmvatool, folder):
        (folder / "notes.txt").touch()
        code, _, err = mmvatool("summarize", ".")
        assert code == 1
        counted, error = err.splitlines(keepends=True)
        assert counted == "1 other file left out: 1 .txt\n"
        one_line_error(error, "holds no video")

    def test_missing_alone_is_wrong_usage(self, mmvatool, folder):
        code, out, err = mmvatool("summarize", "missing.mp4")
        assert (code, out) == (2, "")
        assert err.splitlines()[-1] == "Error: Invalid value for VIDEO|FOLDER: missing.mp4: no such file: check the name"

    def test_a_missing_name_cannot_write_to_the_terminal(self, mmvatool, folder):
        _, _, err = mmvatool("summarize", "miss\x1bc\ning.mp4")
        assert "\x1b" not in err
        assert err.splitlines()[-1].endswith(r"miss\x1bc\ning.mp4: no such file: check the name")

    def test_missing_among_others_is_partly(self, mmvatool, clip):
        code, _, err = mmvatool("summarize", "missing.mp4", "clip.mp4")
        assert code == 3
        first, second, counts = err.splitlines()
        assert first == "Error: missing.mp4: no such file: check the name"
        assert second.startswith("clip.mp4: 1 shot")
        assert counts == "1 done, 1 failed"

    def test_all_missing_is_failed(self, mmvatool, folder):
        code, _, err = mmvatool("summarize", "a.mp4", "b.mp4")
        assert code == 1
        assert err.count("Error: ") == 2

    def test_sound_asked_of_a_silent_video(self, mmvatool, folder, whole):
        media.draw_scenes(folder / "silent.mp4", [("meadow", 1)], size=(160, 90), with_sound=False)
        code, _, err = mmvatool("summarize", "silent.mp4", "--by", "audio", "--model", whole)
        assert code == 1
        one_line_error(err, "silent.mp4: has no sound", "--by image")

    def test_a_budget_under_one_frame(self, mmvatool, clip):
        code, _, err = mmvatool("summarize", "clip.mp4", "--duration", "10ms")
        assert code == 1
        one_line_error(err, "clip.mp4: the budget of 0.010 s is under one frame (0.040 s)", "raise --ratio or --duration")

    def test_keeping_more_than_the_budget_says_by_how_much(self, mmvatool, clip):
        code, _, err = mmvatool("summarize", "clip.mp4", "--keep", "0-2")
        assert code == 1
        one_line_error(err, "1.40 s over the budget of 0.60 s")

    @pytest.mark.parametrize("model", ["nonesuch", "missing.safetensors", "clip.mp4"])
    def test_an_unknown_model(self, mmvatool, clip, model: str):
        code, _, err = mmvatool("summarize", "clip.mp4", "--model", model)
        assert code == 1
        one_line_error(err, model)
        assert in_folder(clip.parent) == {"clip.mp4"}

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("file.txt/out.mp4", "folder does not exist"),  # not even root can write there
            ("file.txt/out/", "cannot be created"),
            ("missing/out.mp4", "folder does not exist"),
            ("out.avi", "cannot write .avi"),
            ("out", "cannot write a file without suffix"),
        ],
    )
    def test_a_target_that_cannot_be_written(self, mmvatool, clip, target: str, words: str):
        (clip.parent / "file.txt").touch()
        code, _, err = mmvatool("summarize", "clip.mp4", "-o", target)
        assert code == 1
        one_line_error(err, words)
        assert in_folder(clip.parent) == {"clip.mp4", "file.txt"}

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files, whoever asks")
    def test_a_folder_that_takes_no_files(self, mmvatool, clip):
        code, _, err = mmvatool("summarize", "clip.mp4", "-o", "/proc/self/out.mp4")
        assert code == 1
        one_line_error(err, "/proc/self/out.mp4", "-o")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
    def test_permissions(self, mmvatool, clip):
        clip.chmod(0)
        code, _, err = mmvatool("summarize", "clip.mp4")
        assert code == 1
        one_line_error(err, "clip.mp4", "cannot be read (Permission denied)", "permissions")
