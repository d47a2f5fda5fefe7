"""Tiny versions of OASIS, Emotify, VGMIDI and EmoBank in their real layouts, drawn with known answers."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mmvatool.cli.dataset import dataset
from tests.trainer import synthetic
from trainer.data import clips, emotify, fluidsynth, manifest
from trainer.data.files import read_sound
from trainer.data.open_sets import Sources, build
from trainer.errors import DataError

EMOTIONS = tuple(emotify.EMOTIONS)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def oasis_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "oasis"
    (folder / "images").mkdir(parents=True)
    themes = {"Acorns 1": (4.0, 1.0), "Acorns 2": (7.0, 2.5), "Car crash 10": (1.0, 7.0), "War 2 ": (2.5, 5.5)}
    lines = ["\ufeff,Theme,Category,Source,Valence_mean,Valence_SD,Valence_N,Arousal_mean,Arousal_SD,Arousal_N"]
    for number, (theme, (valence, arousal)) in enumerate(themes.items(), 1):
        lines.append(f"I{number},{theme},Object,Pixabay,{valence},0.9,102,{arousal},1.6,101")
        Image.new("RGB", (50, 40), (60 * number, 100, 20)).save(folder / "images" / f"{theme.strip()}.jpg")
    # As published: lines end in a lone carriage return.
    (folder / "OASIS.csv").write_bytes("\r".join(lines).encode())
    return folder


def ticks(*emotions: str) -> str:
    return ",".join(str(int(emotion in emotions)) for emotion in EMOTIONS)


@pytest.fixture
def emotify_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "emotify"
    (folder / "data").mkdir(parents=True)
    header = "track id, genre, " + ", ".join(EMOTIONS) + ", mood, liked, disliked, age, gender, mother tongue"
    votes = [
        ("1,classical", ticks("calmness", "sadness")),
        ("1,classical", ticks("calmness")),
        ("2,classical", ticks("power")),
        ("101,rock", ticks("tension")),
        ("101,rock", ticks()),
    ]
    lines = [f"{track},{given},3,1,0,21,1,English" for track, given in votes]
    (folder / "data" / "data.csv").write_text("\n".join([header, *lines]) + "\n")
    for name, length_s, hz in (("classical/1", 16, 220), ("classical/2", 14, 330), ("rock/1", 21, 440)):
        path = folder / "music" / f"{name}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone(path, length_s, hz)
    return folder


def tone(path: Path, length_s: float, hz: float) -> None:
    source = f"sine=frequency={hz}:sample_rate=24000:duration={length_s}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-b:a", "32k", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def midi_bytes(notes: int, pitches: Sequence[int] = range(60, 72)) -> bytes:
    """So many notes after another, half a second each: a quarter note of 96 ticks at 120 beats a minute."""
    keys = [pitches[number % len(pitches)] for number in range(notes)]
    events = b"".join(bytes([0, 0x90, key, 100, 96, 0x80, key, 0]) for key in keys)
    track = b"\x00\xc0\x00" + events + b"\x00\xff\x2f\x00"
    return b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, 96]) + b"MTrk" + len(track).to_bytes(4) + track


def rater(valence: list[float], arousal: list[float]) -> dict[str, object]:
    return {"age": "21-25", "valence": valence, "arousal": arousal}


@pytest.fixture
def vgmidi_dir(tmp_path: Path) -> Path:
    """Two pieces, said to last 18 s and 25 s; of the first piece's raters, one drew too few points."""
    folder = tmp_path / "vgmidi"
    (folder / "labelled" / "annotations").mkdir(parents=True)
    (folder / "labelled" / "midi").mkdir()
    for name in ("One_PS1_A Theme.mid", "Two_NES_B.mid"):
        (folder / "labelled" / "midi" / name).write_bytes(midi_bytes(30))
    pieces = {
        "piece0": {"audio": "audio/a.wav", "duration": 18, "measures": 3, "midi": "One_PS1_A Theme.mid", "name": "A"},
        "piece1": {"audio": "audio/b.wav", "duration": 25.0, "measures": 1, "midi": "Two_NES_B.mid", "name": "B"},
    }
    annotations = {
        "piece0_0": rater([-1, 0, 0.5], [0, 0, 1]),
        "piece0_1": rater([0, 0, 0.5], [0, 0, 1]),
        "piece0_2": rater([1, 1], [1, 1]),
        "piece1_0": rater([0.5], [-1]),
        "piece7_0": rater([0.5], [-1]),
    }
    document = {"pieces": pieces, "annotations": annotations}
    (folder / "labelled" / "annotations" / "vgmidi_raw_1.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def emobank(tmp_path: Path) -> Path:
    file = tmp_path / "emobank.csv"
    file.write_text(
        'id,split,V,A,D,text\nA_1,train,3.0,1.0,3.2,"He said ""yes"", twice."\nA_2,dev,5,4.5,1,Ça va.\nB,test,1.0,3,3,If I wasn\'t here.\n',
        encoding="utf-8",
    )
    return file


@pytest.fixture
def soundfont(tmp_path: Path) -> Path:
    """What the made-up fluidsynth takes for a soundfont."""
    file = tmp_path / "font.sf2"
    file.write_bytes(b"RIFF\x04\x00\x00\x00sfbk")
    return file


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a made-up `fluidsynth` on PATH: Python that finds the output in `out` and its calls in a log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(body: str) -> Path:
        program = folder / "fluidsynth"
        head = f"#!{sys.executable} -S\nimport os, sys, time\nout = sys.argv[sys.argv.index('-F') + 1]\n"
        program.write_text(f"{head}open({str(folder / 'calls')!r}, 'a').write(out + ' ' + str(os.getpid()) + '\\n')\n{body}\n")
        program.chmod(0o755)
        return folder / "calls"

    return write


def plays(length_s: float = 20.0, silence_s: float = 4.0) -> str:
    """A square wave in stereo, then silence, as fluidsynth writes it."""
    return (
        "import wave\n"
        "with wave.open(out, 'wb') as f:\n"
        "    f.setnchannels(2); f.setsampwidth(2); f.setframerate(44100)\n"
        f"    f.writeframes((b'\\x00\\x20' * 200 + b'\\x00\\xe0' * 200) * int(44100 * {length_s} / 200) + bytes(int({silence_s} * 176400)))\n"
    )


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
    vgmidi_dir: Path, soundfont: Path, pretend: Callable[[str], Path], tmp_path: Path
) -> None:
    pretend(plays())
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
    found = [(float(row["valence"]), float(row["arousal"])) for row in rows]
    assert found == [pytest.approx(va, abs=2e-3) for va in [(0.35, 0.5), (0.6875, 0.875), (0.75, 0.0), (0.75, 0.0)]]
    for name, length_s in (("vgmidi-1-0-1", 8), ("vgmidi-1-1-1", 10)):
        assert len(read_sound(tmp_path / "out/music" / f"{name}.wav", clips.RATE_HZ)) / clips.RATE_HZ == pytest.approx(length_s, abs=0.02)


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


def test_the_same_sources_give_the_same_bytes(
    oasis_dir: Path, emotify_dir: Path, vgmidi_dir: Path, emobank: Path, soundfont: Path, pretend: Callable[[str], Path], tmp_path: Path
) -> None:
    pretend(plays())
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


def test_another_soundfont_renders_anew(vgmidi_dir: Path, soundfont: Path, pretend: Callable[[str], Path], tmp_path: Path) -> None:
    calls = pretend(plays())
    out = tmp_path / "out"
    for _ in range(2):
        build(Sources(vgmidi=vgmidi_dir), out, soundfont=soundfont, overwrite=True)
    assert len(calls.read_text().splitlines()) == 2
    soundfont.write_bytes(soundfont.read_bytes() + b"x")
    build(Sources(vgmidi=vgmidi_dir), out, soundfont=soundfont, overwrite=True)
    assert len(calls.read_text().splitlines()) == 4


RUNS_AWAY = {
    "time": ("open(out, 'wb').write(bytes(1000))\ntime.sleep(60)", "fluidsynth was stopped after 0.3 s without an end"),
    "size": (
        "f = open(out, 'wb')\nend = time.monotonic() + 30\nwhile time.monotonic() < end:\n    f.write(bytes(1 << 18)); f.flush(); time.sleep(.002)",
        "MB, more than the piece can take",
    ),
    "log": (
        "end = time.monotonic() + 30\nwhile time.monotonic() < end:\n    print('Unrecognized MIDI event' * 9999); time.sleep(.001)",
        "MB, more than the piece can take",
    ),
}


@pytest.mark.parametrize("how", RUNS_AWAY)
def test_a_render_that_runs_away_is_stopped(
    how: str, vgmidi_dir: Path, soundfont: Path, pretend: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, message = RUNS_AWAY[how]
    calls = pretend(body)
    began = time.monotonic()
    limit_s = 20.0 if how in ("size", "log") else 0.3
    with pytest.raises(DataError, match=f"Two_NES_B.mid: .*{message}; get the file again or leave the piece out"):
        fluidsynth.render(vgmidi_dir / "labelled/midi/Two_NES_B.mid", soundfont, 1.0, clips.RATE_HZ, limit_s=limit_s)
    assert time.monotonic() - began < 10
    out, pid = calls.read_text().rsplit(maxsplit=1)
    assert not Path(out).parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_broken_midi_is_listed_and_the_rest_goes_on(
    vgmidi_dir: Path, soundfont: Path, pretend: Callable[[str], Path], tmp_path: Path
) -> None:
    pretend("if 'Two' in sys.argv[-1]:\n    print('fluidsynth: error: Unrecognized MIDI event', file=sys.stderr); sys.exit(1)\n" + plays())
    with pytest.raises(DataError, match=r"Two_NES_B.mid: fluidsynth cannot render it \(fluidsynth: error: Unrecognized MIDI event\)"):
        build(Sources(vgmidi=vgmidi_dir), tmp_path / "out", soundfont=soundfont)
    assert not (tmp_path / "out/music_va.csv").exists()
    built = build(Sources(vgmidi=vgmidi_dir), tmp_path / "out", soundfont=soundfont, skip_bad=True)
    assert built.rows == {"vgmidi": 2}
    assert len(built.skipped) == 1
    assert "Two_NES_B.mid" in built.skipped[0]


def test_what_fluidsynth_leaves_silent_or_out_is_bad(vgmidi_dir: Path, soundfont: Path, pretend: Callable[[str], Path]) -> None:
    midi = vgmidi_dir / "labelled/midi/Two_NES_B.mid"
    for body, message in (
        ("", "cannot render it \\(exit code 0\\)"),
        (plays(0, 2), "nothing is to be heard of it"),
    ):
        pretend(body)
        with pytest.raises(DataError, match=message):
            fluidsynth.render(midi, soundfont, 15.0, clips.RATE_HZ)
    midi.write_bytes(b"RIFF, not MIDI")
    with pytest.raises(DataError, match="not a MIDI file; get the file again"):
        fluidsynth.render(midi, soundfont, 15.0, clips.RATE_HZ)


def test_without_fluidsynth_or_soundfont_it_says_how_to_get_them(vgmidi_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluidsynth, "_FONT_FOLDERS", (str(tmp_path),))
    with pytest.raises(DataError, match=r"no General MIDI soundfont in .*apt install fluid-soundfont-gm.*--soundfont"):
        fluidsynth.find_soundfont()
    with pytest.raises(DataError, match="no such soundfont"):
        fluidsynth.find_soundfont(tmp_path / "none.sf2")
    (tmp_path / "default.sf2").write_bytes(b"not one")
    assert fluidsynth.find_soundfont() == tmp_path / "default.sf2"
    with pytest.raises(DataError, match=r"default.sf2: not a soundfont"):
        fluidsynth.find_soundfont(tmp_path / "default.sf2")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"not installed.*apt install fluidsynth fluid-soundfont-gm"):
        build(Sources(vgmidi=vgmidi_dir), tmp_path / "out")


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")
def test_the_real_fluidsynth_plays_the_notes_and_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        font = fluidsynth.find_soundfont()
    except DataError as error:
        pytest.skip(str(error))
    midi = tmp_path / "-a b.mid"
    midi.write_bytes(midi_bytes(6, [69]))
    sound = fluidsynth.render(midi, font, 3.0, clips.RATE_HZ)
    assert 3 < len(sound) / clips.RATE_HZ < 6
    assert np.abs(sound[-1:]).max() > fluidsynth.SILENT
    spectrum = np.abs(np.fft.rfft(sound[: 2 * clips.RATE_HZ]))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=3)
    assert (fluidsynth.render(midi, font, 3.0, clips.RATE_HZ) == sound).all()

    # One broken number: the last note ends 16 days later, and would fill the disk with 250 GB.
    monkeypatch.setattr(fluidsynth, "TAIL_S", 10.0)
    content = midi_bytes(1, [69]).replace(bytes([69, 100, 96]), bytes([69, 100, 0xFF, 0xFF, 0xFF, 0x7F]))
    midi.write_bytes(content.replace(len(content[22:-3]).to_bytes(4), len(content[22:]).to_bytes(4)))
    with pytest.raises(DataError, match=r"-a b.mid: fluidsynth was stopped after \d+ MB, more than the piece can take"):
        fluidsynth.render(midi, font, 3.0, clips.RATE_HZ)


def spoil(file: Path, old: str, new: str) -> None:
    content = file.read_bytes().decode()
    assert old in content
    file.write_bytes(content.replace(old, new).encode())


OASIS_BAD = [
    (lambda d: (d / "OASIS.csv").unlink(), "OASIS.csv: no such file"),
    (lambda d: shutil.rmtree(d / "images"), "images: no such folder; name the folder that OASIS was unpacked to"),
    (lambda d: spoil(d / "OASIS.csv", "Arousal_mean", "Arousal"), r"OASIS.csv row 1: no column 'arousal_mean'"),
    (lambda d: spoil(d / "OASIS.csv", "4.0,0.9", "7.5,0.9"), r"row 2 \(id 'Acorns 1'\): valence_mean '7.5' is outside \[1, 7\]"),
    (lambda d: spoil(d / "OASIS.csv", "4.0,0.9", "?,0.9"), r"valence_mean '\?' is not a number"),
    (lambda d: spoil(d / "OASIS.csv", "Acorns 2", "Acorns 1"), "the theme comes twice"),
    (lambda d: (d / "images/Acorns 2.jpg").unlink(), r"row 3 \(id 'Acorns 2'\): no picture .*Acorns 2.jpg; put it there"),
    (lambda d: (d / "images/Acorns 2.jpg").write_bytes(b"hello"), "Acorns 2.jpg: not a picture that can be read"),
]
EMOTIFY_BAD = [
    (lambda d: (d / "data/data.csv").unlink(), "table data.csv is needed once, there are none"),
    (lambda d: shutil.copy(d / "data/data.csv", d / "music/data.csv"), "there are several: .*name the folder of one Emotify"),
    (lambda d: spoil(d / "data/data.csv", "sadness", "gladness"), "row 1: no column 'sadness'"),
    (
        lambda d: spoil(d / "data/data.csv", "2,classical,0", "2,classical,7"),
        r"row 4 \(id '2'\): amazement '7' is outside \[0, 1\]; a vote is",
    ),
    (lambda d: spoil(d / "data/data.csv", "2,classical", "x,classical"), "the track id is not a number"),
    (lambda d: (d / "music/rock/1.mp3").unlink(), r"track 101 \(rock\) is rated but has no sound file rock/1.mp3 or rock/101.mp3"),
    (lambda d: (d / "music/rock/1.mp3").write_bytes(b"no mp3" * 99), "rock/1.mp3: not a sound that can be decoded"),
    (lambda d: (d / "music/rock/1.mp3").write_bytes(b""), "rock/1.mp3: not a sound that can be decoded"),
    (lambda d: tone(d / "music/rock/1.mp3", 3, 440), r"rock/1.mp3: lasts 3.\d s, and a clip 5 s at least"),
    (lambda d: spoil(d / "data/data.csv", ticks("power"), ticks()), "track 2 has no vote for any emotion"),
]
ANNOTATIONS = "labelled/annotations/vgmidi_raw_1.json"
VGMIDI_BAD = [
    (lambda d: shutil.rmtree(d / "labelled/midi"), "no folder labelled/midi; name the folder that VGMIDI was cloned to"),
    (lambda d: (d / ANNOTATIONS).unlink(), "annotations: not one .json"),
    (lambda d: (d / ANNOTATIONS).write_text("{"), "vgmidi_raw_1.json: not readable JSON"),
    (lambda d: (d / ANNOTATIONS).write_text("[]"), "has not VGMIDI's tables 'pieces' and 'annotations'"),
    (lambda d: spoil(d / ANNOTATIONS, "[-1]", "[-3]"), r"piece 'piece1': annotation 'piece1_0': arousal -3 is not a number in \[-1, 1\]"),
    (lambda d: spoil(d / ANNOTATIONS, "[-1]", "[NaN]"), "arousal nan is not a number"),
    (lambda d: spoil(d / ANNOTATIONS, "[-1]", "null"), "has no lists 'valence' and 'arousal'"),
    (lambda d: spoil(d / ANNOTATIONS, "[-1]", "[]"), "no rater's valence and arousal have one length"),
    (lambda d: spoil(d / ANNOTATIONS, '"piece1_0"', '"piece8_0"'), "piece 'piece1': nobody rated it"),
    (lambda d: spoil(d / ANNOTATIONS, "25.0", "1e9"), "'duration' 1000000000.0 is not a number of seconds up to 3600"),
    (lambda d: spoil(d / ANNOTATIONS, "Two_NES", "../midi/Two_NES"), r"'midi' '../midi/Two_NES_B.mid' is not a file name"),
    (lambda d: (d / "labelled/midi/Two_NES_B.mid").unlink(), r"piece 'piece1': no file .*Two_NES_B.mid; put it there"),
    (lambda d: (d / "labelled/midi/Two_NES_B.mid").write_bytes(b"garbage"), "Two_NES_B.mid: not a MIDI file"),
]
EMOBANK_BAD = [
    (lambda f: f.unlink(), "emobank.csv: no such file"),
    (lambda f: spoil(f, "V,A", "Val,A"), "row 1: no column 'v'"),
    (lambda f: spoil(f, "3.0,1.0", "3.0,0.5"), r"row 2 \(id 'A_1'\): a '0.5' is outside \[1, 5\]; EmoBank is rated from 1 to 5"),
    (lambda f: spoil(f, "dev", "valid"), "split 'valid' is not one of train, dev, test"),
    (lambda f: spoil(f, "Ça va.", " "), "the text is empty"),
    (lambda f: f.write_text("id,split,V,A,D,text\n"), "not one usable row"),
]


@pytest.mark.parametrize(
    ("source", "number"),
    [(name, n) for name, cases in (("oasis", OASIS_BAD), ("emotify", EMOTIFY_BAD), ("emobank", EMOBANK_BAD)) for n in range(len(cases))]
    + [("vgmidi", n) for n in range(len(VGMIDI_BAD))],
)
def test_bad_input_is_named_with_its_cure(
    source: str, number: int, request: pytest.FixtureRequest, soundfont: Path, pretend: Callable[[str], Path], tmp_path: Path
) -> None:
    pretend(plays())
    path = request.getfixturevalue(source if source == "emobank" else f"{source}_dir")
    damage, message = {"oasis": OASIS_BAD, "emotify": EMOTIFY_BAD, "vgmidi": VGMIDI_BAD, "emobank": EMOBANK_BAD}[source][number]
    damage(path)
    with pytest.raises(DataError, match=message) as caught:
        build(Sources(**{source: path}), tmp_path / "out", soundfont=soundfont)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*.csv"))


def test_skip_bad_lists_what_it_leaves_out(oasis_dir: Path, emotify_dir: Path, emobank: Path, tmp_path: Path) -> None:
    OASIS_BAD[3][0](oasis_dir)
    OASIS_BAD[7][0](oasis_dir)
    EMOTIFY_BAD[6][0](emotify_dir)
    EMOBANK_BAD[2][0](emobank)
    sources = Sources(oasis_dir, emotify_dir, None, emobank)
    with pytest.raises(DataError, match="and 1 more such"):
        build(sources, tmp_path / "out")
    built = build(sources, tmp_path / "out", skip_bad=True)
    assert built.rows == {"oasis": 2, "emotify": 3, "emobank": 2}
    assert [line.split(":")[0].split("/")[-1].split(" (")[0] for line in built.skipped] == [
        "OASIS.csv row 2",
        "emobank.csv row 2",
        "Acorns 2.jpg",
        "1.mp3",
    ]


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
    spoil(emobank, "B,test,1.0", "B,test,2.0")
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

    EMOTIFY_BAD[6][0](emotify_dir)
    result = CliRunner().invoke(dataset, [*map(str, arguments), "--skip-bad", "--overwrite"], catch_exceptions=False)
    assert "Skipped: " in result.stderr
    assert "Skipped 1 in all." in result.stderr
    assert result.stdout == ""
    quiet = CliRunner().invoke(dataset, [*map(str, arguments), "--skip-bad", "--overwrite", "-q"], catch_exceptions=False)
    assert quiet.stderr == ""

    result = CliRunner().invoke(dataset, ["open", "--out", str(out)])
    assert result.exit_code == 2
    assert "no source: give at least one of --oasis" in result.stderr


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
