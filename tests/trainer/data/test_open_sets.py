"""`mmvatool dataset open`: what it writes of the drawn sources."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers import synthetic
from tests.helpers.open_sources import contents, plays, replace_in, rows_of, tone
from trainer import dataset_command as dataset
from trainer.data import clips, emotify, manifest, sentences
from trainer.data.files import read_sound
from trainer.data.open_sets import Sources, build
from trainer.errors import DataError


def test_pictures_keep_their_theme_and_scale(oasis_dir: Path, tmp_path: Path) -> None:
    built = build(Sources(oasis=oasis_dir), tmp_path / "out")
    assert built.rows == {"oasis": 4}
    assert built.skipped == ()
    rows = rows_of(tmp_path / "out" / "image_va.csv")
    assert list(rows[0]) == ["id", "valence", "arousal", "group", "source"]
    assert [(row["id"], float(row["valence"]), float(row["arousal"]), row["group"]) for row in rows] == [
        ("oasis-acorns-1", 0.5, 0.0, "acorns"),
        ("oasis-acorns-2", 1.0, 0.25, "acorns"),
        ("oasis-car-crash-10", 0.0, 1.0, "car crash"),
        ("oasis-war-2", 0.25, 0.75, "war"),
    ]
    assert {row["source"] for row in rows} == {"oasis"}
    assert (tmp_path / "out/images/oasis-car-crash-10.jpg").read_bytes() == (oasis_dir / "images/Car crash 10.jpg").read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"image_va.csv", "images"}


def test_photographs_of_flickr_have_no_group(emotion6_dir: Path, oasis_dir: Path, tmp_path: Path) -> None:
    built = build(Sources(oasis=oasis_dir, emotion6=emotion6_dir), tmp_path / "out")
    assert built.rows == {"oasis": 4, "emotion6": 3}
    rows = [row for row in rows_of(tmp_path / "out/image_va.csv") if row["source"] == "emotion6"]
    assert [(row["id"], float(row["valence"]), float(row["arousal"]), row["group"]) for row in rows] == [
        ("emotion6-disgust-1", 0.1875, 0.35, ""),
        ("emotion6-joy-1", 1.0, 0.5, ""),
        ("emotion6-joy-2", 0.5, 0.0, ""),
    ]
    assert (tmp_path / "out/images/emotion6-joy-2.jpg").read_bytes() == (emotion6_dir / "images/joy/2.jpg").read_bytes()


def test_pictures_are_copied_where_there_are_no_links(oasis_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    build(Sources(oasis=oasis_dir), tmp_path / "out")
    copy = tmp_path / "out/images/oasis-war-2.jpg"
    assert copy.read_bytes() == (oasis_dir / "images/War 2.jpg").read_bytes()
    assert copy.stat().st_nlink == 1


def test_votes_become_the_mean_of_the_emotions_words(emotify_dir: Path, tmp_path: Path) -> None:
    built = build(Sources(emotify=emotify_dir), tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "music_va.csv")
    assert list(rows[0]) == ["id", "valence", "arousal", "track", "source"]
    # The last clips of the first two have 6 s and 4 s, that of the third 1 s.
    assert [row["id"] for row in rows] == ["emotify-1-0", "emotify-1-1", "emotify-2-0", "emotify-101-0", "emotify-101-1"]
    assert [row["track"] for row in rows] == ["emotify-1", "emotify-1", "emotify-2", "emotify-101", "emotify-101"]
    assert {row["source"] for row in rows} == {"emotify"}
    # Two votes for calmness (6.89, 1.67) and one for sadness (2.40, 2.81).
    calm = ((2 * 6.89 + 2.40) / 3 - 1) / 8, ((2 * 1.67 + 2.81) / 3 - 1) / 8
    assert [(float(row["valence"]), float(row["arousal"])) for row in rows] == [
        pytest.approx(va, abs=1e-6) for va in [calm, calm, ((5.97 - 1) / 8, (5.41 - 1) / 8), *[((3.60 - 1) / 8, (5.08 - 1) / 8)] * 2]
    ]
    assert built.rows == {"emotify": 5}
    for row in rows:
        sound = read_sound(tmp_path / "out/music" / f"{row['id']}.wav", clips.RATE_HZ)
        seconds = 10 if not row["id"].startswith("emotify-1-1") else 6
        assert len(sound) / clips.RATE_HZ == pytest.approx(seconds, abs=0.1)
        loudest = np.abs(np.fft.rfft(sound)).argmax() / (len(sound) / clips.RATE_HZ)
        assert loudest == pytest.approx({"emotify-1": 220, "emotify-2": 330, "emotify-101": 440}[row["track"]], abs=1)


def test_tracks_may_be_numbered_over_all_genres(emotify_dir: Path, tmp_path: Path) -> None:
    build(Sources(emotify=emotify_dir), tmp_path / "one")
    (emotify_dir / "music/rock/1.mp3").rename(emotify_dir / "music/rock/101.mp3")
    build(Sources(emotify=emotify_dir), tmp_path / "other")
    assert contents(tmp_path / "one").keys() == contents(tmp_path / "other").keys()
    assert (tmp_path / "one/music_va.csv").read_bytes() == (tmp_path / "other/music_va.csv").read_bytes()


def test_curves_are_averaged_over_raters_and_seconds(
    vgmidi_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_fluidsynth(plays())
    build(Sources(vgmidi=vgmidi_dir), tmp_path / "out", soundfont=soundfont)
    rows = rows_of(tmp_path / "out" / "music_va.csv")
    assert [(row["id"], row["track"]) for row in rows] == [
        ("vgmidi-1-0-0", "vgmidi-1-0"),
        ("vgmidi-1-0-1", "vgmidi-1-0"),
        ("vgmidi-1-1-0", "vgmidi-1-1"),
        ("vgmidi-1-1-1", "vgmidi-1-1"),
    ]
    # Of 18 s each of three points has 6 s; the third rater's two points do not count. Two seconds ring on after what raters heard, and
    # the silence after 20 s is no part of the second piece, though 25 s were promised.
    predicted = [(float(row["valence"]), float(row["arousal"])) for row in rows]
    assert predicted == [pytest.approx(va, abs=2e-3) for va in [(0.35, 0.5), (0.6875, 0.875), (0.75, 0.0), (0.75, 0.0)]]
    for name, length_s in (("vgmidi-1-0-1", 8), ("vgmidi-1-1-1", 10)):
        assert len(read_sound(tmp_path / "out/music" / f"{name}.wav", clips.RATE_HZ)) / clips.RATE_HZ == pytest.approx(length_s, abs=0.02)


def test_excerpts_have_the_middle_of_their_quadrant_and_those_of_a_song_are_one_group(
    emopia_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_fluidsynth(plays(12))
    built = build(Sources(emopia=emopia_dir), tmp_path / "out", soundfont=soundfont)
    rows = [tuple(row.values()) for row in rows_of(tmp_path / "out" / "music_va.csv")]
    assert [(name, float(valence), float(arousal), track, source) for name, valence, arousal, track, source in rows] == [
        ("emopia-Q1_a_-b_0-0", 0.75, 0.75, "emopia-a_-b", "emopia"),
        ("emopia-Q3_a_-b_1-0", 0.25, 0.25, "emopia-a_-b", "emopia"),
        ("emopia-Q4_c_0-0", 0.75, 0.25, "emopia-c", "emopia"),
    ]
    assert built.rows == {"emopia": 3}


@pytest.mark.parametrize("name", ["Q5_a_0.mid", "Q1_a.mid", "song.MID"])
def test_what_is_not_named_as_emopias_excerpts_is_bad(
    name: str, emopia_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_fluidsynth(plays(12))
    (emopia_dir / name).write_bytes(b"MThd")
    with pytest.raises(DataError, match=f"{name}: its name does not say quadrant, song and number"):
        build(Sources(emopia=emopia_dir), tmp_path / "out", soundfont=soundfont)
    assert len(build(Sources(emopia=emopia_dir), tmp_path / "out", soundfont=soundfont, skip_bad=True).skipped) == 1
    for folder, words in ((tmp_path / "none", "no such folder"), (tmp_path / "bin", "not one excerpt of EMOPIA")):
        with pytest.raises(DataError, match=words):
            build(Sources(emopia=folder), tmp_path / "other", soundfont=soundfont)


def test_a_stretch_counts_by_how_much_of_each_part_it_covers() -> None:
    curve = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert clips.mean_between(curve, 0.0, 1.0) == (0.5, 0.5)
    assert clips.mean_between(curve, 0.25, 1.0) == pytest.approx((2 / 3, 1 / 3), abs=1e-6)
    assert clips.mean_between(curve, 0.0, 0.4) == (0.0, 1.0)


def test_sentences_keep_their_split(emobank: Path, tmp_path: Path) -> None:
    built = build(Sources(emobank=emobank), tmp_path / "out")
    assert built.rows == {"emobank": 3}
    assert [tuple(row.values()) for row in rows_of(tmp_path / "out" / "text_va.csv")] == [
        ("emobank-A_1", "0.5", "0.0", 'He said "yes", twice.', "emobank", "train"),
        ("emobank-A_2", "1.0", "0.875", "Ça va.", "emobank", "dev"),
        ("emobank-B", "0.0", "0.5", "If I wasn't here.", "emobank", "test"),
    ]


def test_rated_words_and_captions_of_them_join_the_sentences(emobank: Path, tmp_path: Path) -> None:
    norms = tmp_path / "norms.csv"
    norms.write_text(",Word,V.Mean.Sum,A.Mean.Sum\n1,aardvark,6.26,2.41\n2,calm,6.89,1.67\n3,sad,2.1,3.49\n")
    built = build(Sources(emobank=emobank, norms=norms), tmp_path / "out")
    assert built.rows == {"emobank": 3, "norms": 3, "vocabulary": sentences.CAPTIONS}
    rows = rows_of(tmp_path / "out" / "text_va.csv")
    assert [tuple(row.values()) for row in rows[3:6]] == [
        ("norms-aardvark", "0.6575", "0.17625", "aardvark", "norms", ""),
        ("norms-calm", "0.73625", "0.08375", "calm", "norms", ""),
        ("norms-sad", "0.1375", "0.31125", "sad", "norms", ""),
    ]
    assert {row["split"] for row in rows[3:]} == {""}
    assert all(0 <= float(row[axis]) <= 1 for row in rows for axis in ("valence", "arousal"))
    assert len({row["id"] for row in rows}) == len(rows)
    # A caption of sad words lies below one of calm words.
    predicted = {row["text"]: float(row["valence"]) for row in rows if row["source"] == "vocabulary"}
    assert predicted["sad"] < predicted["calm"]
    build(Sources(emobank=emobank, norms=norms), tmp_path / "again")
    assert (tmp_path / "again/text_va.csv").read_bytes() == (tmp_path / "out/text_va.csv").read_bytes()
    norms.write_text("word,rating\nx,1\n")
    with pytest.raises(DataError, match=r"norms.csv: has no column 'Word': give the word norms"):
        build(Sources(norms=norms), tmp_path / "bad")


def test_the_same_sources_give_the_same_bytes(
    oasis_dir: Path,
    emotify_dir: Path,
    vgmidi_dir: Path,
    emobank: Path,
    soundfont: Path,
    fake_fluidsynth: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    fake_fluidsynth(plays())
    sources = Sources(oasis_dir, emotify_dir, vgmidi_dir, emobank)
    for name in ("one", "two"):
        built = build(sources, tmp_path / name, soundfont=soundfont)
    assert built.rows == {"oasis": 4, "emotify": 5, "vgmidi": 4, "emobank": 3}
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not [name for name in contents(tmp_path / "one") if name.endswith("tmp")]


def test_a_run_that_broke_off_goes_on(emotify_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, decoded = tmp_path / "out", []
    whole = build(Sources(emotify=emotify_dir), tmp_path / "whole")

    def decode(path: Path, rate_hz: int) -> np.ndarray:
        decoded.append(path.parent.name + "/" + path.name)
        if path.parent.name == "rock" and len(decoded) < 4:
            raise KeyboardInterrupt
        return read_sound(path, rate_hz)

    monkeypatch.setattr(emotify, "read_sound", decode)
    with pytest.raises(KeyboardInterrupt):
        build(Sources(emotify=emotify_dir), out)
    assert not (out / "music_va.csv").exists()
    with (out / clips.JOURNAL).open("a") as journal:
        journal.write('{"track": "emotify-1", "finger')  # killed while it wrote

    decoded[:] = ["", "", ""]
    assert build(Sources(emotify=emotify_dir), out) == whole
    assert decoded[3:] == ["rock/1.mp3"]
    for name, content in contents(tmp_path / "whole").items():
        if name != clips.JOURNAL:
            assert (out / name).read_bytes() == content

    # A clip that is gone or cut short, or a source that changed, is made again.
    (out / "music" / "emotify-2-0.wav").write_bytes(b"RIFF")
    tone(emotify_dir / "music/classical/1.mp3", 12, 500)
    decoded[:] = ["", "", ""]
    assert build(Sources(emotify=emotify_dir), out, overwrite=True).rows == {"emotify": 4}
    assert sorted(set(decoded[3:]) - {"rock/1.mp3"}) == ["classical/1.mp3", "classical/2.mp3"]
    assert (out / "music" / "emotify-2-0.wav").read_bytes() == (tmp_path / "whole/music/emotify-2-0.wav").read_bytes()


def test_another_soundfont_renders_anew(vgmidi_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path) -> None:
    calls = fake_fluidsynth(plays())
    out = tmp_path / "out"
    for _ in range(2):
        build(Sources(vgmidi=vgmidi_dir), out, soundfont=soundfont, overwrite=True)
    assert len(calls.read_text().splitlines()) == 2
    soundfont.write_bytes(soundfont.read_bytes() + b"x")
    build(Sources(vgmidi=vgmidi_dir), out, soundfont=soundfont, overwrite=True)
    assert len(calls.read_text().splitlines()) == 4


def test_silent_clips_are_left_out(emotify_dir: Path, tmp_path: Path) -> None:
    sound = 0.5 * np.sin(np.arange(30 * 24_000) / 10)
    sound[10 * 24_000 : 20 * 24_000] = 0
    synthetic.write_wav(emotify_dir / "music/rock/1.wav", sound, 24_000)
    (emotify_dir / "music/rock/1.mp3").unlink()
    build(Sources(emotify=emotify_dir), tmp_path / "out")
    ids = [row["id"] for row in rows_of(tmp_path / "out/music_va.csv")]
    assert ids[-2:] == ["emotify-101-0", "emotify-101-2"]
    synthetic.write_wav(emotify_dir / "music/rock/1.wav", 0 * sound, 24_000)
    with pytest.raises(DataError, match=r"1.wav: silent; get the file again"):
        build(Sources(emotify=emotify_dir), tmp_path / "out", overwrite=True)


def test_what_is_there_is_replaced_only_when_asked(emobank: Path, oasis_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(Sources(emobank=emobank), out)
    with pytest.raises(DataError, match=r"text_va.csv: is there already; name another folder, or --overwrite replaces it"):
        build(Sources(emobank=emobank), out)
    # A source of another CSV joins what is there.
    build(Sources(oasis=oasis_dir), out)
    assert {path.name for path in out.glob("*.csv")} == {"image_va.csv", "text_va.csv"}
    replace_in(emobank, "B,test,1.0", "B,test,2.0")
    build(Sources(emobank=emobank), out, overwrite=True)
    assert rows_of(out / "text_va.csv")[2]["valence"] == "0.25"
    with pytest.raises(DataError, match="name at least one data set"):
        build(Sources(), out)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/o: cannot be written \(.*\); make room"):
        build(Sources(emobank=emobank), tmp_path / "file/o")


def test_the_command(oasis_dir: Path, emotify_dir: Path, emobank: Path, tmp_path: Path) -> None:
    out = tmp_path / "open"
    arguments = ["open", "--oasis", oasis_dir, "--emotify", emotify_dir, "--emobank", emobank, "--out", out]
    result = CliRunner().invoke(dataset, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"folder": str(out), "rows": {"oasis": 4, "emotify": 5, "emobank": 3}, "skipped": []}
    assert result.stderr == f"{out}: 4 rows of oasis, 5 rows of emotify, 3 rows of emobank.\n"

    (emotify_dir / "music/rock/1.mp3").write_bytes(b"no mp3" * 99)
    result = CliRunner().invoke(dataset, [*map(str, arguments), "--skip-bad", "--overwrite"], catch_exceptions=False)
    assert "Skipped: " in result.stderr
    assert "Skipped 1 in all." in result.stderr
    assert result.stdout == ""
    quiet = CliRunner().invoke(dataset, [*map(str, arguments), "--skip-bad", "--overwrite", "-q"], catch_exceptions=False)
    assert quiet.stderr == ""

    result = CliRunner().invoke(dataset, ["open", "--out", str(out)])
    assert result.exit_code == 2
    assert "no source: give at least one of --oasis, --emotion6" in result.stderr


def test_the_trainer_reads_what_was_written(oasis_dir: Path, emotify_dir: Path, emobank: Path, tmp_path: Path) -> None:
    build(Sources(oasis_dir, emotify_dir, None, emobank), tmp_path / "out")
    read = manifest.load(tmp_path / "out")
    assert [(row.id, row.group, row.source) for row in read.images[2:]] == [
        ("oasis-car-crash-10", "car crash", "oasis"),
        ("oasis-war-2", "war", "oasis"),
    ]
    assert {clip.track for clip in read.clips} == {"emotify-1", "emotify-2", "emotify-101"}
    assert [(row.caption, row.va, row.split) for row in read.texts[:2]] == [
        ('He said "yes", twice.', (0.5, 0.0), "train"),
        ("Ça va.", (1.0, 0.875), "val"),
    ]
    assert manifest.sound_of(read.clips[0], clips.RATE_HZ).shape == (240_000,)
    assert manifest.picture_of(read.images[0]).shape == (40, 50, 3)
