"""Tiny versions of OASIS, Emotion6, Emotify, VGMIDI and EmoBank in their real layouts, with known labels."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from trainer.data import emotify

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
    themes = {"Acorns 1": (4.0, 1.0), "Acorns 2": (7.0, 2.5), "Car crash 10": (1.0, 7.0), "War 2 ": (2.5, 5.5), "Nude man 3": (4.0, 4.0)}
    lines = ["\ufeff,Theme,Category,Source,Valence_mean,Valence_SD,Valence_N,Arousal_mean,Arousal_SD,Arousal_N"]
    for number, (theme, (valence, arousal)) in enumerate(themes.items(), 1):
        lines.append(f"I{number},{theme},Object,Pixabay,{valence},0.9,102,{arousal},1.6,101")
        Image.new("RGB", (50, 40), (60 * number, 100, 20)).save(folder / "images" / f"{theme.strip()}.jpg")
    # As published: lines end in a lone carriage return.
    (folder / "OASIS.csv").write_bytes("\r".join(lines).encode())
    return folder


@pytest.fixture
def emotion6_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "emotion6"
    rated = {"disgust/1.jpg": (2.5, 3.8), "joy/1.jpg": (9.0, 5.0), "joy/2.jpg": (5.0, 1.0)}
    lines = ["[image_filename]\t[valence]\t[arousal]\t[prob. anger]\t[prob. joy]"]
    for number, (name, (valence, arousal)) in enumerate(rated.items(), 1):
        lines.append(f"{name}\t{valence}\t{arousal}\t0.25\t0.75")
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (60 * number, 30, 90)).save(path)
    (folder / "ground_truth.txt").write_text("\n".join(lines) + "\n")
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
    """A MIDI file of consecutive notes, half a second each: a quarter note of 96 ticks at 120 beats a minute."""
    keys = [pitches[number % len(pitches)] for number in range(notes)]
    events = b"".join(bytes([0, 0x90, key, 100, 96, 0x80, key, 0]) for key in keys)
    track = b"\x00\xc0\x00" + events + b"\x00\xff\x2f\x00"
    return b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, 96]) + b"MTrk" + len(track).to_bytes(4) + track


def rater(valence: list[float], arousal: list[float]) -> dict[str, object]:
    return {"age": "21-25", "valence": valence, "arousal": arousal}


@pytest.fixture
def vgmidi_dir(tmp_path: Path) -> Path:
    """Two pieces of 18 s and 25 s; one of the first piece's raters has too few values."""
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
def emopia_dir(tmp_path: Path) -> Path:
    """Three excerpts of two songs, whose ids hold underscores as those of videos may."""
    folder = tmp_path / "emopia"
    (folder / "midis").mkdir(parents=True)
    for name in ("Q1_a_-b_0", "Q3_a_-b_1", "Q4_c_0"):
        (folder / "midis" / f"{name}.mid").write_bytes(midi_bytes(30))
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
    """A file that is accepted as a soundfont."""
    file = tmp_path / "font.sf2"
    file.write_bytes(b"RIFF\x04\x00\x00\x00sfbk")
    return file


@pytest.fixture
def fake_fluidsynth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a fake `fluidsynth` on PATH: a Python script with the path of its output in `out`, which logs its calls."""
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


def replace_in(file: Path, old: str, new: str) -> None:
    content = file.read_bytes().decode()
    assert old in content
    file.write_bytes(content.replace(old, new).encode())
