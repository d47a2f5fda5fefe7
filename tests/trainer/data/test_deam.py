import csv
import errno
import json
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers import synthetic
from trainer import dataset_command as dataset
from trainer.data import deam, imemnet, manifest
from trainer.data.deam import windows
from trainer.data.scale import to_unit
from trainer.errors import DataError, RecipeError

RATE_HZ = 8000
ANNOTATIONS = "DEAM_Annotations/annotations/annotations averaged per song/dynamic (per second annotations)"
LENGTHS_S = {"2": 26, "10": 24, "2001": 31}
"""Short stand-ins for DEAM's excerpts (45 s) and full songs."""


def label(track: str, half_seconds: int, axis: int) -> float:
    """A known label for each half second of each song."""
    return float(np.round(np.sin(0.3 * half_seconds + int(track) + axis) * 0.6, 4))


@pytest.fixture
def deam_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "DEAM"
    audio, annotations = folder / "DEAM_audio/MEMD_audio", folder / ANNOTATIONS
    audio.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for track, length_s in LENGTHS_S.items():
        # Second n sounds at 200 + 20 n Hz, so that a cut shows where it was made.
        time_s = np.arange(length_s * RATE_HZ) / RATE_HZ
        synthetic.write_wav(audio / f"{track}.wav", 0.5 * np.sin(2 * np.pi * (200 + 20 * np.floor(time_s)) * time_s), RATE_HZ)
    for axis, name in enumerate(("valence", "arousal")):
        with (annotations / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            halves = range(30, 2 * max(LENGTHS_S.values()))
            writer.writerow(["song_id", *(f" sample_{half * 500}ms" for half in halves)])
            for track, length_s in LENGTHS_S.items():
                writer.writerow([track, *(label(track, half, axis) if half < 2 * length_s else "" for half in halves)])
    return folder


def edit_annotation(folder: Path, name: str, change: Callable[[str], str]) -> None:
    path = folder / ANNOTATIONS / name
    path.write_text(change(path.read_text()))


def test_windows_join_up_to_five_clips_of_two_seconds_and_average_their_seconds() -> None:
    seconds = {second: (second / 100, -second / 100) for second in range(15, 30)}
    joined = windows(seconds, 45.0)
    # Second 15 is half of a clip; from 16 on there are seven whole ones.
    assert [(window.number, window.start_s, window.end_s) for window in joined] == [
        (9, 16, 26), (10, 18, 28), (11, 20, 30), (12, 22, 30), (13, 24, 30), (14, 26, 30), (15, 28, 30),
    ]  # fmt: skip
    np.testing.assert_allclose(joined[0].ratings, (0.205, -0.205), atol=1e-12)  # mean of 16..25
    np.testing.assert_allclose(joined[-1].ratings, (0.285, -0.285), atol=1e-12)  # mean of 28, 29


def test_windows_stop_at_a_gap_and_at_the_end_of_the_sound() -> None:
    seconds = {second: (0.0, 0.0) for second in range(15, 40) if second != 21}
    assert [(window.start_s, window.end_s) for window in windows(seconds, 27.97)][:3] == [(16, 20), (18, 20), (22, 28)]
    assert [window.end_s for window in windows(seconds, 27.5)][2:] == [26, 26]
    assert windows(seconds, 16.5) == []


def test_scales() -> None:
    ratings = np.array([[-0.5, 0.0], [0.3, 0.1], [0.1, 0.4]])
    np.testing.assert_allclose(to_unit(ratings, "deam"), [[0, 0], [1, 0.25], [0.75, 1]], atol=1e-12)
    np.testing.assert_allclose(to_unit(ratings, "deam", "nominal"), (ratings + 1) / 2, atol=1e-12)
    np.testing.assert_allclose(to_unit(np.array([[1.0, 9.0], [5.0, 3.0]]), "iaps", "nominal"), [[0, 1], [0.5, 0.25]], atol=1e-12)
    np.testing.assert_allclose(to_unit(np.array([[1.0, 10.0], [5.5, 1.0]]), "emotic", "nominal"), [[0, 1], [0.5, 0]], atol=1e-12)
    with pytest.raises(DataError, match=r"deam: a rating of 1.2 is outside its scale of -1 to 1"):
        to_unit(np.array([[1.2, 0.0]]), "deam")
    with pytest.raises(DataError, match=r"naps: all ratings are the same.*--scale nominal"):
        to_unit(np.array([[2.0, 3.0], [2.0, 4.0]]), "naps")


def test_build_cuts_labels_and_names_as_imemnet(deam_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = imemnet.build(deam_dir, out, scale="nominal")
    assert (built.clips, built.images, built.skipped) == (5 + 4 + 7, 0, ())
    with (out / "music_va.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip_id"] for row in rows][:6] == ["2-9", "2-10", "2-11", "2-12", "2-13", "10-9"]
    first = [np.mean([label("2", half, axis) for half in range(32, 52)]) for axis in (0, 1)]
    np.testing.assert_allclose([float(rows[0]["valence"]), float(rows[0]["arousal"])], (np.array(first) + 1) / 2, atol=1e-9)
    with wave.open(str(out / "music/2-9.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (24_000, 1, 240_000)
        samples = np.frombuffer(sound.readframes(240_000), "<i2").astype(float)
    for second in (0, 5, 9):
        spectrum = np.abs(np.fft.rfft(samples[second * 24_000 :][:24_000]))
        assert abs(spectrum.argmax() - (200 + 20 * (16 + second))) <= 2  # Hz
    with wave.open(str(out / "music/2001-15.wav")) as sound:
        assert sound.getnframes() == 48_000


def test_minmax_spans_the_unit_interval_and_keeps_the_order(deam_dir: Path, tmp_path: Path) -> None:
    labels = {}
    for scale in ("minmax", "nominal"):
        imemnet.build(deam_dir, tmp_path / scale, scale=scale)
        with (tmp_path / scale / "music_va.csv").open(newline="") as file:
            labels[scale] = np.array([(float(row["valence"]), float(row["arousal"])) for row in csv.DictReader(file)])
    np.testing.assert_allclose(labels["minmax"].min(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(labels["minmax"].max(axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(labels["minmax"].argsort(axis=0), labels["nominal"].argsort(axis=0))


def test_pictures_of_three_sources_each_on_its_scale(deam_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "iaps.csv").write_text("id,valence,arousal\n1050,1,9\n1120,9,1\n1200,5,5\n")
    (tmp_path / "emotic.csv").write_text("file,valence,arousal\nCOCO_1,10,2\nCOCO_1,4,4\nCOCO_2,1,10\n")
    built = imemnet.build(
        deam_dir, tmp_path / "out", scale="nominal", ratings={"iaps": tmp_path / "iaps.csv", "emotic": tmp_path / "emotic.csv"}
    )
    assert built.images == 5
    with (tmp_path / "out/image_va.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["", "img", "valence", "arousal"]
    assert rows[1] == ["0", "1050", "0.0", "1.0"]
    assert rows[4][1] == "COCO_1"
    np.testing.assert_allclose([float(cell) for cell in rows[4][2:]], (6 / 9, 2 / 9), atol=1e-12)
    (tmp_path / "iaps.csv").write_text("id,valence,arousal\n1050,11,9\n")
    with pytest.raises(DataError, match=r"iaps.csv row 2 \(id '1050'\): valence '11' is outside \[1, 9\]; iaps is rated from 1 to 9"):
        imemnet.build(deam_dir, tmp_path / "out2", ratings={"iaps": tmp_path / "iaps.csv"})


def test_bad_tracks_are_errors_or_skipped(deam_dir: Path, tmp_path: Path) -> None:
    audio = deam_dir / "DEAM_audio/MEMD_audio"
    (audio / "10.wav").unlink()
    with pytest.raises(DataError, match=r"song 10 is annotated but has no file 10.mp3; put it there; --skip-bad"):
        imemnet.build(deam_dir, tmp_path / "out")
    (audio / "10.wav").write_text("not a sound")
    with pytest.raises(DataError, match=r"10.wav: not a sound"):
        imemnet.build(deam_dir, tmp_path / "out")
    synthetic.write_wav(audio / "2.wav", np.concatenate([np.zeros(24 * RATE_HZ), np.full(2 * RATE_HZ, 0.5)]), RATE_HZ)
    built = imemnet.build(deam_dir, tmp_path / "out", skip_bad=True)
    assert built.clips == 5 + 7 - 0
    assert [line.split(":")[0].rsplit("/")[-1] for line in built.skipped] == ["10.wav"]
    synthetic.write_wav(audio / "2.wav", np.zeros(26 * RATE_HZ), RATE_HZ)
    built = imemnet.build(deam_dir, tmp_path / "out", skip_bad=True, overwrite=True)
    assert built.clips == 7
    assert sum("2.wav: silent from" in line for line in built.skipped) == 5
    synthetic.write_wav(audio / "2.wav", np.ones(16 * RATE_HZ), RATE_HZ)
    with pytest.raises(DataError, match=r"2.wav: lasts 16.0 s and has no whole 2-second clip among its 11 labelled seconds"):
        imemnet.build(deam_dir, tmp_path / "out3")


def test_bad_annotations(deam_dir: Path, tmp_path: Path) -> None:
    edit_annotation(deam_dir, "valence.csv", lambda text: text.replace("\n10,", "\n10,1.5,"))
    with pytest.raises(DataError, match=r"valence.csv row 3 \(song 10\): sample_15000ms '1.5' is not a number in \[-1, 1\]"):
        imemnet.build(deam_dir, tmp_path / "out")
    edit_annotation(deam_dir, "valence.csv", lambda text: "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"valence.csv row 1: not DEAM's header"):
        imemnet.build(deam_dir, tmp_path / "out")
    (deam_dir / ANNOTATIONS / "arousal.csv").unlink()
    with pytest.raises(DataError, match=r"valence.csv beside arousal.csv\) are needed once, there are none"):
        imemnet.build(deam_dir, tmp_path / "out")
    with pytest.raises(DataError, match="nowhere: no such folder"):
        imemnet.build(tmp_path / "nowhere", tmp_path / "out")


def test_a_folder_that_cannot_be_written(deam_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: cannot be written \(Not a directory\); make room"):
        imemnet.build(deam_dir, tmp_path / "file")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(deam, "write_wav", full)
    with pytest.raises(DataError, match=r"out: cannot be written \(No space left on device\)"):
        imemnet.build(deam_dir, tmp_path / "out", skip_bad=True)


def test_labels_before_second_15_do_not_count(deam_dir: Path) -> None:
    early = lambda text: text.replace(" sample_15000ms", " sample_14500ms")  # noqa: E731
    edit_annotation(deam_dir, "valence.csv", early)
    assert min(deam.read_annotations(deam_dir)["2"]) == 15
    np.testing.assert_allclose(deam.read_annotations(deam_dir)["2"][15][0], label("2", 31, 0), atol=1e-9)


def test_the_command_builds_a_folder_that_loads(deam_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    imemnet.build(deam_dir, out)
    with (out / "music_va.csv").open(newline="") as file:
        ids = [row["clip_id"] for row in csv.DictReader(file)]
    captions, ratings = tmp_path / "captions.csv", tmp_path / "naps.csv"
    captions.write_text("id,caption\n" + "".join(f"{name},Song {name}.\n" for name in ids))
    ratings.write_text("id,valence,arousal\nAnimals_001_h,1.5,7\nFaces_001_v,8,2\nObjects_001_h,6,5\n")
    arguments = ["imemnet-c", "--deam", str(deam_dir), "--out", str(out), "--naps", str(ratings), "--captions", str(captions)]
    result = CliRunner().invoke(dataset, arguments)
    assert isinstance(result.exception, DataError)
    assert "music_va.csv: is there already; name another folder, or --overwrite" in str(result.exception)
    result = CliRunner().invoke(dataset, [*arguments, "--overwrite", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"folder": str(out), "clips": 16, "images": 3, "skipped": []}
    assert "16 clips, 3 images." in result.stderr
    (out / "images").mkdir()
    for name in ("Animals_001_h.jpg", "Faces_001_v.JPG", "Objects_001_h.jpg"):
        (out / "images" / name).write_bytes(b"x")
    data = manifest.load(out, strict=True)
    assert data.clips[0].caption == "Song 2-9."
    assert [row.track for row in data.clips] == ["2"] * 5 + ["10"] * 4 + ["2001"] * 7
    np.testing.assert_allclose(data.clip_va().min(axis=0), 0, atol=1e-7)


def test_the_command_says_what_is_missing(deam_dir: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(dataset, ["imemnet-c", "--deam", str(deam_dir), "--out", str(tmp_path / "o")], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "image_va.csv is not written: give --iaps, --naps or --emotic" in result.stderr
    assert "no captions: give --captions or --recipe" in result.stderr
    captions = tmp_path / "captions.csv"
    captions.write_text("id,caption\n2-9,Only one.\n")
    arguments = ["imemnet-c", "--deam", str(deam_dir), "--out", str(tmp_path / "p"), "--captions", str(captions)]
    result = CliRunner().invoke(dataset, arguments)
    assert isinstance(result.exception, DataError)
    assert "captions.csv: no caption for clip 2-10; add one (and 14 more such); --skip-bad" in str(result.exception)
    result = CliRunner().invoke(dataset, [*arguments, "--skip-bad"], catch_exceptions=False)
    assert "Skipped 15 in all." in result.stderr
    result = CliRunner().invoke(dataset, [*arguments, "--recipe", str(captions)])
    assert result.exit_code == 2
    assert "--captions and --recipe: give one of them" in result.stderr


def test_the_command_captions_by_a_recipe_and_goes_on(deam_dir: Path, tmp_path: Path) -> None:
    captioner = tmp_path / "captioner.py"
    captioner.write_text(
        "import sys\nfor line in sys.stdin:\n    path = line.rstrip()\n"
        f"    open({str(tmp_path / 'asked')!r}, 'a').write(path + '\\n')\n"
        "    print(path, 'The low quality recording features a tone.', sep='\\t')\n"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"name = 'any'\n[captions]\ncaptioner = 'command'\ncommand = [{sys.executable!r}, {str(captioner)!r}]\n")
    arguments = ["imemnet-c", "--deam", str(deam_dir), "--out", str(tmp_path / "out"), "--recipe", str(recipe), "--overwrite"]
    for _ in range(2):
        assert CliRunner().invoke(dataset, arguments, catch_exceptions=False).exit_code == 0
    with (tmp_path / "out/music_va.csv").open(newline="") as file:
        assert {row["caption"] for row in csv.DictReader(file)} == {"The recording features a tone."}
    assert len((tmp_path / "asked").read_text().splitlines()) == 16
    for text, message in (
        ("[captions]\ncaptioner = 'x'\n", "recipe.toml: captions.captioner: 'x'; allowed are lp-musiccaps, command, csv"),
        ("[captions\n", "recipe.toml: not TOML"),
        ("name = 'any'\n", r"recipe.toml: no \[captions\] table"),
    ):
        recipe.write_text(text)
        with pytest.raises(RecipeError, match=message):
            CliRunner().invoke(dataset, arguments, catch_exceptions=False)


def test_help_names_every_source_and_an_example() -> None:
    text = CliRunner().invoke(dataset, ["imemnet-c", "--help"]).stdout
    for word in ("--deam", "--iaps", "--naps", "--emotic", "--scale", "--captions", "--recipe", "Example:"):
        assert word in text
