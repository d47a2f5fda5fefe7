"""A library in which all is sad, and `--match library`: it has its happiest and its saddest track still."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.errors import QueryError
from mmvatool.library.database import Library, Sound
from mmvatool.library.update import model_key
from mmvatool.library.walk import walk
from mmvatool.pipelines.soundtrack import soundtrack
from mmvatool.soundtracks.result import SoundtrackSettings
from tests.helpers import media
from tests.helpers.models import save_planted
from tests.pipelines.test_soundtrack import SIZE, TOWER_HZ, draw, pad
from trainer import share_below


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory):
    """A model to which meadows are happy and fireworks sad, all as exciting as each other."""
    from trainer import Predictor

    frames = [
        (np.asarray(scene(SIZE, t)), va) for scene, va in ((media.meadow, (0.9, 0.5)), (media.fireworks, (0.2, 0.5))) for t in (0, 1, 2)
    ]
    path = save_planted(tmp_path_factory.mktemp("moods") / "moods.safetensors", frames, [(pad(10, TOWER_HZ), (0.1, 0.5))])
    return Predictor.load(path, device="cpu")


BAND = {"least.wav": 0.05, "less.wav": 0.07, "middle.wav": 0.08, "more.wav": 0.1, "most.wav": 0.11}


@pytest.fixture
def sad_library(tmp_path: Path, moods) -> Path:
    """music/, in index.db beside it: five sad tracks of 2 minutes, in the first and the last of whose windows valence is .02 lower and higher."""
    folder = tmp_path / "music"
    folder.mkdir()
    for name in BAND:
        media.write_wav(folder / name, np.zeros(2400, np.float32))
    times_s = np.arange(12) * 10.0 + 5
    with Library(tmp_path / "index.db") as index:
        for file in walk(folder)[0]:
            valence = BAND[file.display_path.name] + np.repeat([-0.02, 0.0, 0.02], 4)
            va = np.column_stack([valence, np.full(12, 0.5)])
            index.put_predicted(file.path, file.stamp, file.path[-20:], Sound(120.0), model_key(moods), times_s, va)
    return folder


@pytest.mark.parametrize(("scene", "first"), [("meadow", "most.wav"), ("fireworks", "least.wav")])
@pytest.mark.parametrize("fit", ["pictures", "music"])
def test_by_rank_a_sad_library_has_its_happiest_and_its_saddest_track(scene, first, fit, tmp_path, moods, sad_library):
    pictures = draw(tmp_path / "show", scene, 10)
    found = {}
    for match in ("absolute", "library"):
        made = soundtrack(
            pictures,
            library=sad_library,
            index_file=tmp_path / "index.db",
            predictor=moods,
            settings=SoundtrackSettings(match=match, fit=fit),
            dry_run=True,
        )
        found[match] = made
        assert made.to_json()["settings"]["match"] == match
        for ranked in made.ranking:  # distances are those in VA
            played = BAND[ranked.path.name] + (-0.02 if ranked.match.offset_s < 40 else 0.02 if ranked.match.offset_s >= 80 else 0)
            assert ranked.match.distance == pytest.approx(abs(made.va[0] - played), abs=0.03)
    assert found["absolute"].timeline.cues[0].path.name == "most.wav"
    cue = found["library"].timeline.cues[0]
    assert cue.path.name == first
    if fit == "pictures":
        assert (cue.offset_s >= 80) if scene == "meadow" else (cue.offset_s < 40)
    expected = list(BAND) if scene == "fireworks" else list(BAND)[::-1]
    assert [ranked.path.name for ranked in found["library"].ranking] == expected
    # Whether nothing is near does not depend on ranks.
    assert (found["library"].is_far, found["absolute"].is_far) == ((True, True) if scene == "meadow" else (False, False))


def test_by_rank_each_scene_has_its_track(tmp_path, moods, sad_library):
    pictures = [*draw(tmp_path / "a", "meadow", 8), *draw(tmp_path / "b", "fireworks", 8)]
    settings = SoundtrackSettings(match="library", per_scene=True)
    made = soundtrack(pictures, library=sad_library, index_file=tmp_path / "index.db", predictor=moods, settings=settings, dry_run=True)
    assert [cue.path.name for cue in made.timeline.cues] == ["most.wav", "least.wav"]
    assert made.timeline.cues[0].distance > 0.7


def test_ranks_are_those_of_the_tracks_that_may_be_chosen(tmp_path, moods, sad_library):
    """Of the three that --exclude leaves the one in the middle of the five is the happiest: its rank is 5/6 instead of 1/2."""
    Image.fromarray(np.asarray(media.meadow(SIZE, 1))).save(tmp_path / "a.png")
    settings = SoundtrackSettings(match="library", exclude=("mo*",))
    made = soundtrack(
        tmp_path / "a.png", library=sad_library, index_file=tmp_path / "index.db", predictor=moods, settings=settings, dry_run=True
    )
    rank = share_below(made.va)[0]
    assert made.ranking[0].path.name == "middle.wav"
    assert made.ranking[1].path.name == "less.wav"
    # Its last windows lie .02 above its mean: beyond the happiest of the three, but at the rank of the second of the five, .7.
    assert made.ranking[0].match.apart == pytest.approx(rank - (5 / 6 + 0.02), abs=0.02)


def test_excluding_all_tracks_is_an_error_by_rank_as_well(tmp_path, moods, sad_library):
    settings = SoundtrackSettings(match="library", exclude=("*",))
    with pytest.raises(QueryError, match="--exclude leaves none of its 5 tracks"):
        soundtrack(
            draw(tmp_path / "show", "meadow", 1),
            library=sad_library,
            index_file=tmp_path / "index.db",
            predictor=moods,
            settings=settings,
            dry_run=True,
        )
