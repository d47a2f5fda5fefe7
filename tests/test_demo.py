"""What `make demo` draws has the moods it is meant to have, by the bundled model; its commands work on that; what it names is there."""

import json
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from mmvatool import SoundtrackSettings, score, soundtrack, summarize
from mmvatool.cli import cli
from mmvatool.soundtracks.matching import FAR
from tests.helpers import demo, media, scenery, tunes

MAKEFILE = Path(__file__).parents[1] / "Makefile"
CALM, WILD = ("lake", "meadow", "snow"), ("storm", "fire", "fireworks")
CLEARLY = 0.25  # between calm and wild, in arousal
AT_LEAST = 0.12  # between what is pleasant and what is not, in valence
KEPT_S = [(12.0, 17.0), (35.0, 39.0)]  # of the clip: the fireworks and the fire


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo draws, smaller, its clip of fewer frames."""
    path = tmp_path_factory.mktemp("demo")
    demo.draw(path, picture_size=(640, 360), clip_size=(160, 90), clip_rate=5)
    return path


@pytest.fixture(scope="module")
def valence_arousal(folder: Path, predictor) -> dict[str, tuple[float, float]]:
    """Of pictures by their scene and tunes by their name."""
    found = score(sorted(folder.glob("*/*")), predictor=predictor)
    return {re.sub(r"^\d-", "", Path(one.input).stem): (one.valence, one.arousal) for one in found}


def test_pictures_have_their_moods(valence_arousal: dict[str, tuple[float, float]]) -> None:
    valence, arousal = ({scene: valence_arousal[scene][axis] for scene in demo.PICTURES} for axis in (0, 1))
    assert max(arousal[scene] for scene in CALM) < min(arousal[scene] for scene in WILD) - CLEARLY, arousal
    assert valence["fire"] < min(valence[scene] for scene in (*CALM, "fireworks")) - AT_LEAST, valence
    assert valence["storm"] < valence["fireworks"] - AT_LEAST, valence


def test_tunes_have_their_moods(valence_arousal: dict[str, tuple[float, float]]) -> None:
    valence, arousal = ({name: valence_arousal[name][axis] for name in tunes.TUNES} for axis in (0, 1))
    assert max(arousal["calm-happy"], arousal["calm-sad"]) < min(arousal["wild-happy"], arousal["wild-tense"]) - CLEARLY, arousal
    assert valence["calm-sad"] < valence["calm-happy"] - AT_LEAST, valence
    assert valence["wild-tense"] < valence["wild-happy"] - AT_LEAST, valence


def test_tunes_are_short_and_not_too_loud(folder: Path) -> None:
    for name in tunes.TUNES:
        sound = media.decode_audio(folder / "music" / f"{name}.flac")
        assert 15 < len(sound) / media.RATE_HZ <= 20, name
        assert 0.4 < np.abs(sound).max() < 0.9, name
        assert np.abs(sound[0]).max() < 0.1, name  # no click at the start
        assert np.abs(sound[-480:]).max() < 0.01, name  # nor at the end
        assert np.abs(sound.mean(axis=0)).max() < 1e-3, name
        assert np.corrcoef(sound.T)[0, 1] < 0.98, name  # played in a room, not in the middle of the head


@pytest.mark.parametrize("scene", scenery.SCENES)
def test_scenes_look_the_same_at_any_size_and_move(scene: str) -> None:
    small, large = (scenery.SCENES[scene](size, 2.0) for size in ((320, 180), (640, 360)))
    assert small.shape == (180, 320, 3)
    assert small.dtype == np.uint8
    shrunk = np.asarray(Image.fromarray(large).reduce(2), float)
    assert np.abs(shrunk.mean(axis=(0, 1)) - small.mean(axis=(0, 1))).max() < 20
    assert (scenery.SCENES[scene]((320, 180), 2.5) != small).any()
    assert (scenery.SCENES[scene]((320, 180), 2.0) == small).all()


def test_the_summary_is_the_fireworks_and_the_fire(folder: Path, predictor) -> None:
    made = summarize(folder / "vlog.mp4", folder / "short.mp4", predictor=predictor)
    assert [(clip.start_s, clip.end_s) for clip in made.timeline.segments] == KEPT_S


def test_the_slideshow_has_a_calm_and_a_wild_track_and_says_whose(folder: Path, predictor, tmp_path: Path) -> None:
    settings = SoundtrackSettings(per_scene=True, seconds=5)
    made = soundtrack(
        folder / "pictures", library=folder / "music", index_file=tmp_path / "index", predictor=predictor, settings=settings, dry_run=True
    )
    assert [cue.path.stem for cue in made.timeline.cues] == ["calm-happy", "wild-happy"]
    assert all(cue.distance < FAR for cue in made.timeline.cues)
    assert [(one["artist"], one["licence"]) for one in made.to_json()["credits"]] == [("mmvatool demo", "CC0-1.0")] * 2


def recipe() -> list[str]:
    """The commands of `make demo` as a user types them."""
    lines = re.search(r"^demo: .*\n((?:\t.*\n)+)", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    return [line.strip().replace("$(BIN)/", "") for line in lines[1].splitlines()]


def test_the_commands_are_shown_and_can_run_again() -> None:
    commands = [shlex.split(line) for line in recipe() if line.startswith("mmvatool ")]  # a line with an @ is not shown
    assert [words[1] for words in commands] == ["summarize", "score", "soundtrack"]
    assert not [line for line in recipe() if line.startswith("@mmvatool")]
    for words in commands:
        assert "--overwrite" in words
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None
        parser = command.make_parser(click.Context(command))
        parser.parse_args(words[2:])  # raises at an option that there is not


def test_all_that_is_written_is_named_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.results(tmp_path) == []
    written = {word for line in recipe() for word in shlex.split(line) if word.startswith("demo/") and Path(word).suffix}
    for name in written | {"demo/vlog.summary.mp4", "demo/vlog.summary.html", "demo/slideshow.html"}:
        (tmp_path / Path(name).name).touch()
    (tmp_path / "vlog.summary.json").write_text(json.dumps({"summary_s": 9.0, "duration_s": 60.0}))
    (tmp_path / "slideshow.json").write_text(json.dumps({"cues": [{"path": "music/a.flac"}, {"path": "music/b.flac"}]}))
    demo.main("results", tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {str(path) for path in tmp_path.iterdir()}
    assert f"{tmp_path / 'vlog.summary.mp4'}   the summary: 9 s of 60 s" in lines
    assert any("a.flac and b.flac" in line for line in lines)
