"""The musical vocabulary and the captions made from it."""

from pathlib import Path

import numpy as np
import pytest

from trainer.data import musical_words
from trainer.data.vocabulary import captions, moods, read_norms
from trainer.errors import DataError

NORMS = {"calm": (0.74, 0.08), "furious": (0.2, 0.64), "happy": (0.93, 0.63), "sad": (0.14, 0.31), "aardvark": (0.65, 0.18)}


def test_norms_are_read_as_zero_to_one(tmp_path: Path) -> None:
    path = tmp_path / "norms.csv"
    path.write_text(",Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum\n1,aardvark,6.26,2.21,2.41\n2,Calm,9,1,1\n")
    assert read_norms(path) == {"aardvark": pytest.approx((0.6575, 0.17625)), "calm": (1.0, 0.0)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column 'Word'"),
        (b"Word,V.Mean.Sum\ncalm,5\n", "has no column 'A.Mean.Sum'"),
        (b"Word,V.Mean.Sum,A.Mean.Sum\n", "holds no words"),
        (b"Word,V.Mean.Sum,A.Mean.Sum\ncalm,5,9.5\n", "line 2: 'calm' rated '5', '9.5', not a word with two numbers from 1 to 9"),
        (b"Word,V.Mean.Sum,A.Mean.Sum\ncalm,nan,5\n", "not a word with two numbers"),
        (b"Word,V.Mean.Sum,A.Mean.Sum\n,5,5\n", "not a word with two numbers"),
        (b"Word,V.Mean.Sum,A.Mean.Sum\ncalm,5\n", "not a word with two numbers"),
        (b"\xff\xfe\x00\x01", "not a readable CSV"),
    ],
)
def test_files_that_are_no_norms_are_refused_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "norms.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_norms(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv: not a readable CSV"):
        read_norms(tmp_path / "nowhere.csv")


def test_captions_are_the_seeds() -> None:
    drawn = captions(NORMS, 1500, 0)
    assert len(drawn) == 1500
    assert drawn == captions(NORMS, 1500, 0)
    assert drawn != captions(NORMS, 1500, 1)
    assert len({text for text, _, _ in drawn}) > 1300
    va = np.array([row[1:] for row in drawn])
    assert va.min() >= 0
    assert va.max() <= 1
    assert va.std(0).min() > 0.1
    assert captions({}, 10, 0)
    assert captions(NORMS, 0, 0) == []
    assert not any(" a a" in text or " a e" in text or "{" in text for text, _, _ in drawn)


def test_moods_come_from_the_norms_or_from_us() -> None:
    rated = moods(NORMS)
    assert rated["calm"] == NORMS["calm"]
    assert "aardvark" not in rated
    assert rated["easy going"][0] > 0.6
    assert "gloomy" not in rated  # neither in these norms nor judged
    drawn = {text: (valence, arousal) for text, valence, arousal in captions(NORMS, len(rated), 0)}
    assert drawn == rated  # each mood alone comes first


def test_what_moves_a_caption() -> None:
    drawn = captions(NORMS, 20_000, 3)

    def mean(*words: str) -> np.ndarray:
        return np.mean([row[1:] for row in drawn if any(word in row[0] for word in words)], 0)

    assert mean("very fast", "racing")[1] > mean("very slow", "dragging")[1] + 0.15
    assert mean("heavy metal", "death metal")[1] > mean("lullaby", "dark ambient")[1] + 0.15
    assert mean("lullaby")[0] > mean("death metal")[0] + 0.1
    assert mean("banjo")[0] > mean("cello")[0]
    assert mean("wedding", "birthday")[0] > mean("funeral", "graveyard")[0] + 0.15
    assert mean("not furious", "not sad")[0] > mean("not happy", "not jubilant")[0]


def test_every_candidate_of_the_papers_prompt_is_known() -> None:
    paper = {
        "GENRES": "rock, pop funk, ambient, classic metal, electronic, hip hop, country, jazz",
        "INSTRUMENTS": "no instrument, electric guitar, male vocalist, female vocalist, violin, piano, saxophone, bass guitar, drum, "
        "acoustic guitar, trumpet, synthesiser",
        "TEMPOS": "fast, slow, moderate, mid-tempo",
    }
    for table, words in paper.items():
        assert set(words.split(", ")) <= set(getattr(musical_words, table)), table
    assert {"euphoric", "majestic", "mysterious", "dramatic", "whimsical", "soothing", "energetic"} <= set(musical_words.MOODS)
    assert {"easy going", "melancholic", "haunting", "exuberant", "aggressive", "dreamy"} <= set(musical_words.JUDGED)
    tables = (musical_words.TEMPOS, musical_words.DYNAMICS, musical_words.GENRES, musical_words.INSTRUMENTS, musical_words.OCCASIONS)
    assert sum(len(table) for table in tables) > 300
    assert max(abs(value) for table in tables for shift in table.values() for value in shift) <= 0.3
    assert all(0 <= value <= 1 for va in musical_words.JUDGED.values() for value in va)
