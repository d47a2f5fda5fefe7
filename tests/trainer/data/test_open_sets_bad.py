"""Bad input of each source: one line with the file and the cure, or a line in the list."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.open_sources import plays, replace_in, ticks, tone
from trainer.data.open_sets import Sources, build
from trainer.errors import DataError

OASIS_BAD = [
    (lambda d: (d / "OASIS.csv").unlink(), "OASIS.csv: no such file"),
    (lambda d: shutil.rmtree(d / "images"), "images: no such folder; name the folder that OASIS was unpacked to"),
    (lambda d: replace_in(d / "OASIS.csv", "Arousal_mean", "Arousal"), r"OASIS.csv row 1: no column 'arousal_mean'"),
    (lambda d: replace_in(d / "OASIS.csv", "4.0,0.9", "7.5,0.9"), r"row 2 \(id 'Acorns 1'\): valence_mean '7.5' is outside \[1, 7\]"),
    (lambda d: replace_in(d / "OASIS.csv", "4.0,0.9", "?,0.9"), r"valence_mean '\?' is not a number"),
    (lambda d: replace_in(d / "OASIS.csv", "Acorns 2", "Acorns 1"), "the theme comes twice"),
    (lambda d: (d / "images/Acorns 2.jpg").unlink(), r"row 3 \(id 'Acorns 2'\): no picture .*Acorns 2.jpg; put it there"),
    (lambda d: (d / "images/Acorns 2.jpg").write_bytes(b"hello"), "Acorns 2.jpg: not a picture that can be read"),
]
EMOTION6_BAD = [
    (lambda d: (d / "ground_truth.txt").unlink(), "ground_truth.txt: no such file"),
    (lambda d: shutil.rmtree(d / "images"), "images: no such folder; name the folder that Emotion6 was unpacked to"),
    (lambda d: replace_in(d / "ground_truth.txt", "[arousal]", "[a]"), r"ground_truth.txt row 1: no column '\[arousal\]'"),
    (
        lambda d: replace_in(d / "ground_truth.txt", "\t3.8", "\t0.8"),
        r"row 2 \(id 'disgust/1.jpg'\): \[arousal\] '0.8' is outside \[1, 9\]",
    ),
    (lambda d: replace_in(d / "ground_truth.txt", "joy/2", "joy/1"), "the picture comes twice"),
    (lambda d: replace_in(d / "ground_truth.txt", "joy/2.jpg", "../2.jpg"), "the name is not EMOTION/NUMBER.jpg"),
    (lambda d: (d / "images/joy/2.jpg").unlink(), r"row 4 \(id 'joy/2.jpg'\): no picture .*joy/2.jpg; put it there"),
    (lambda d: (d / "images/joy/2.jpg").write_bytes(b"hello"), "2.jpg: not a picture that can be read"),
]
EMOTIFY_BAD = [
    (lambda d: (d / "data/data.csv").unlink(), "table data.csv is needed once, there are none"),
    (lambda d: shutil.copy(d / "data/data.csv", d / "music/data.csv"), "there are several: .*name the folder of one Emotify"),
    (lambda d: replace_in(d / "data/data.csv", "sadness", "gladness"), "row 1: no column 'sadness'"),
    (
        lambda d: replace_in(d / "data/data.csv", "2,classical,0", "2,classical,7"),
        r"row 4 \(id '2'\): amazement '7' is outside \[0, 1\]; a vote is",
    ),
    (lambda d: replace_in(d / "data/data.csv", "2,classical", "x,classical"), "the track id is not a number"),
    (lambda d: (d / "music/rock/1.mp3").unlink(), r"track 101 \(rock\) is rated but has no sound file rock/1.mp3 or rock/101.mp3"),
    (lambda d: (d / "music/rock/1.mp3").write_bytes(b"no mp3" * 99), "rock/1.mp3: not a sound that can be decoded"),
    (lambda d: (d / "music/rock/1.mp3").write_bytes(b""), "rock/1.mp3: not a sound that can be decoded"),
    (lambda d: tone(d / "music/rock/1.mp3", 3, 440), r"rock/1.mp3: lasts 3.\d s, and a clip 5 s at least"),
    (lambda d: replace_in(d / "data/data.csv", ticks("power"), ticks()), "track 2 has no vote for any emotion"),
]
ANNOTATIONS = "labelled/annotations/vgmidi_raw_1.json"
VGMIDI_BAD = [
    (lambda d: shutil.rmtree(d / "labelled/midi"), "no folder labelled/midi; name the folder that VGMIDI was cloned to"),
    (lambda d: (d / ANNOTATIONS).unlink(), "annotations: not one .json"),
    (lambda d: (d / ANNOTATIONS).write_text("{"), "vgmidi_raw_1.json: not readable JSON"),
    (lambda d: (d / ANNOTATIONS).write_text("[]"), "has not VGMIDI's tables 'pieces' and 'annotations'"),
    (
        lambda d: replace_in(d / ANNOTATIONS, "[-1]", "[-3]"),
        r"piece 'piece1': annotation 'piece1_0': arousal -3 is not a number in \[-1, 1\]",
    ),
    (lambda d: replace_in(d / ANNOTATIONS, "[-1]", "[NaN]"), "arousal nan is not a number"),
    (lambda d: replace_in(d / ANNOTATIONS, "[-1]", "null"), "has no lists 'valence' and 'arousal'"),
    (lambda d: replace_in(d / ANNOTATIONS, "[-1]", "[]"), "no rater's valence and arousal have one length"),
    (lambda d: replace_in(d / ANNOTATIONS, '"piece1_0"', '"piece8_0"'), "piece 'piece1': it has no annotations"),
    (lambda d: replace_in(d / ANNOTATIONS, "25.0", "1e9"), "'duration' 1000000000.0 is not a number of seconds up to 3600"),
    (lambda d: replace_in(d / ANNOTATIONS, "Two_NES", "../midi/Two_NES"), r"'midi' '../midi/Two_NES_B.mid' is not a file name"),
    (lambda d: (d / "labelled/midi/Two_NES_B.mid").unlink(), r"piece 'piece1': no file .*Two_NES_B.mid; put it there"),
    (lambda d: (d / "labelled/midi/Two_NES_B.mid").write_bytes(b"garbage"), "Two_NES_B.mid: not a MIDI file"),
]
EMOBANK_BAD = [
    (lambda f: f.unlink(), "emobank.csv: no such file"),
    (lambda f: replace_in(f, "V,A", "Val,A"), "row 1: no column 'v'"),
    (lambda f: replace_in(f, "3.0,1.0", "3.0,0.5"), r"row 2 \(id 'A_1'\): a '0.5' is outside \[1, 5\]; EmoBank is rated from 1 to 5"),
    (lambda f: replace_in(f, "dev", "valid"), "split 'valid' is not one of train, dev, test"),
    (lambda f: replace_in(f, "Ça va.", " "), "the text is empty"),
    (lambda f: f.write_text("id,split,V,A,D,text\n"), "not one usable row"),
]


@pytest.mark.parametrize(
    ("source", "number"),
    [
        (name, n)
        for name, cases in (("oasis", OASIS_BAD), ("emotion6", EMOTION6_BAD), ("emotify", EMOTIFY_BAD), ("emobank", EMOBANK_BAD))
        for n in range(len(cases))
    ]
    + [("vgmidi", n) for n in range(len(VGMIDI_BAD))],
)
def test_bad_input_is_named_with_its_cure(
    source: str, number: int, request: pytest.FixtureRequest, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_fluidsynth(plays())
    path = request.getfixturevalue(source if source == "emobank" else f"{source}_dir")
    damage, message = {"oasis": OASIS_BAD, "emotion6": EMOTION6_BAD, "emotify": EMOTIFY_BAD, "vgmidi": VGMIDI_BAD, "emobank": EMOBANK_BAD}[
        source
    ][number]
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


def test_a_broken_midi_is_listed_and_the_rest_goes_on(
    vgmidi_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_fluidsynth(
        "if 'Two' in sys.argv[-1]:\n    print('fluidsynth: error: Unrecognized MIDI event', file=sys.stderr); sys.exit(1)\n" + plays()
    )
    with pytest.raises(DataError, match=r"Two_NES_B.mid: fluidsynth cannot render it \(fluidsynth: error: Unrecognized MIDI event\)"):
        build(Sources(vgmidi=vgmidi_dir), tmp_path / "out", soundfont=soundfont)
    assert not (tmp_path / "out/music_va.csv").exists()
    built = build(Sources(vgmidi=vgmidi_dir), tmp_path / "out", soundfont=soundfont, skip_bad=True)
    assert built.rows == {"vgmidi": 2}
    assert len(built.skipped) == 1
    assert "Two_NES_B.mid" in built.skipped[0]
