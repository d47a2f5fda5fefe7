"""What was felt of a video is kept, and used only where it is the same."""

import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.analysis import cache, video
from mmvatool.errors import MediaError
from mmvatool.media import frames as frames_module
from mmvatool.media.frames import Frames
from mmvatool.media.probe import probe, sound_digest
from mmvatool.media.sampling import Sampler
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.result import Summary
from mmvatool.summary.settings import SummarySettings
from tests.helpers import media
from tests.helpers.models import save_random
from trainer import Predictor


@pytest.fixture
def kept(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of analyses, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmvatool" / "analysis"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many frames are decoded, and how many pictures and windows of sound are felt."""
    done = {"frames": 0, "image": 0, "music": 0}
    read, sample, image, music = Frames.read, Sampler.read, Predictor.image, Predictor.music

    def count_samples(self, frames):
        done["frames"] += len(frames)
        return sample(self, frames)

    def count_read(self, indices):
        done["frames"] += len(indices)
        return read(self, indices)

    def count_image(self, frames, **options):
        done["image"] += len(frames)
        return image(self, frames, **options)

    def count_music(self, windows, **options):
        done["music"] += len(windows)
        return music(self, windows, **options)

    monkeypatch.setattr(Frames, "read", count_read)
    monkeypatch.setattr(Sampler, "read", count_samples)
    monkeypatch.setattr(Predictor, "image", count_image)
    monkeypatch.setattr(Predictor, "music", count_music)
    return done


def plan(path: Path, predictor: Predictor, *, cache: bool = True, **settings: object) -> Summary:
    settings = {"sampling": "exact", **settings}
    return summarize(path, predictor=predictor, settings=SummarySettings(**settings), dry_run=True, cache=cache)  # type: ignore[arg-type]


def same(one: Summary, two: Summary) -> None:
    assert one.to_json() == two.to_json()
    np.testing.assert_array_equal(one.curve.va, two.curve.va)


def test_another_ratio_decodes_nothing_and_makes_the_same_plan(vlog, predictor, kept, work):
    plan(vlog, predictor, ratio=0.15, max_shot_s=4)
    assert work["image"] == 12
    assert work["frames"] > 12  # and those between the samples
    before = dict(work)
    found = plan(vlog, predictor, ratio=0.5, max_shot_s=4)
    assert work == before
    same(found, plan(vlog, predictor, ratio=0.5, max_shot_s=4, cache=False))
    assert work["image"] == 24
    assert [file.suffix for file in kept.iterdir()] == [".npz"]


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.9])
def test_cuts_that_other_settings_need_are_found_and_kept(vlog, predictor, kept, work, ratio: float):
    plan(vlog, predictor, ratio=0.6, min_shot_s=3)
    found = plan(vlog, predictor, ratio=ratio)
    assert work["image"] == 12
    frames = work["frames"]
    again = plan(vlog, predictor, ratio=ratio)
    assert work["frames"] == frames
    same(found, again)
    same(found, plan(vlog, predictor, ratio=ratio, cache=False))


def test_pictures_and_sound_are_kept_apart(vlog, whole_predictor, kept, work):
    plan(vlog, whole_predictor)
    plan(vlog, whole_predictor, by="music", shots="uniform")
    assert (work["image"], work["music"]) == (12, 12)
    found = plan(vlog, whole_predictor, by="both")
    assert (work["image"], work["music"]) == (12, 12)
    same(found, plan(vlog, whole_predictor, by="both", cache=False))
    assert len(list(kept.iterdir())) == 2


def test_what_is_felt_anew(vlog, whole_predictor, whole, tmp_path, kept, work, monkeypatch):
    """Another model, arithmetic, setting or version; not another name of the file."""
    plan(vlog, whole_predictor, shots="uniform")
    copy = tmp_path / "copy.mp4"
    shutil.copyfile(vlog, copy)
    plan(copy, whole_predictor, shots="uniform")
    assert work["image"] == 12
    another = save_random(tmp_path / "other.safetensors", seed=3)
    others = [Predictor.load(another, device="cpu"), Predictor.load(whole, device="cpu", precision="bf16")]
    for count, other in enumerate(others, start=2):
        plan(vlog, other, shots="uniform")
        assert work["image"] == 12 * count
    plan(vlog, whole_predictor, shots="uniform", sampling="keyframes")
    assert work["image"] == 48
    monkeypatch.setattr(video, "__version__", "another")
    plan(vlog, whole_predictor, shots="uniform")
    assert work["image"] == 60


def test_another_content_of_the_same_length_is_felt_anew(tmp_path, whole_predictor, kept, work):
    """The same name, size of picture and times: other pictures, then other sound."""
    path = tmp_path / "clip.mp4"
    plain = ("-c:v", "mpeg4", "-c:a", "pcm_s16le", "-f", "mov")
    digests = set()
    for count, (scene, heard) in enumerate([("meadow", "meadow"), ("sea", "meadow"), ("sea", "rays")], start=1):
        sound = media.scene_sound([(heard, 4)])
        media.encode(path, lambda n, scene=scene: media.SCENES[scene]((160, 90), n / 10), 40, Fraction(10), sound, plain)
        plan(path, whole_predictor, by="both", ratio=0.5)
        digests.add((probe(path).digest, sound_digest(probe(path))))
        assert len(digests) == count
    assert (work["image"], work["music"]) == (4, 4)


@pytest.mark.parametrize("harm", ["cut off", "a byte", "empty", "another key", "text"])
def test_a_damaged_file_is_made_anew(vlog, predictor, kept, work, harm: str):
    expected = plan(vlog, predictor, shots="uniform")
    (file,) = kept.iterdir()
    data = bytearray(whole := file.read_bytes())
    if harm == "cut off":
        data = data[: len(data) // 2]
    elif harm == "a byte":
        data[len(data) // 2] ^= 1
    elif harm == "another key":
        data = data.replace("image".encode("utf-32-le"), "imagE".encode("utf-32-le"))
    else:
        data = bytearray(b"" if harm == "empty" else b"not what it should be")
    file.write_bytes(data)
    assert data != whole
    same(plan(vlog, predictor, shots="uniform"), expected)
    assert work["image"] == 24
    assert file.read_bytes() == whole
    plan(vlog, predictor, shots="uniform")
    assert work["image"] == 24


def test_those_not_used_for_longest_go(silent, vlog, whole_predictor, kept, work, monkeypatch):
    plan(vlog, whole_predictor)
    (first,) = kept.iterdir()
    plan(silent, whole_predictor)
    (second,) = set(kept.iterdir()) - {first}
    for age_s, file in ((20, first), (10, second)):
        os.utime(file, (file.stat().st_mtime - age_s,) * 2)
    plan(vlog, whole_predictor)  # used just now
    monkeypatch.setattr(cache, "LIMIT_BYTES", sum(file.stat().st_size for file in (first, second)) + 2000)
    plan(vlog, whole_predictor, by="music", shots="uniform")  # small
    assert {first, second} < set(kept.iterdir())
    monkeypatch.setattr(cache, "LIMIT_BYTES", first.stat().st_size + 4000)
    monkeypatch.setattr(video, "settings_key", lambda sampling: "other")
    plan(vlog, whole_predictor, by="music", shots="uniform")
    assert second not in set(kept.iterdir())
    assert first in set(kept.iterdir())


def test_what_was_done_otherwise_is_remembered(vlog, predictor, kept, work, monkeypatch):
    def refuse(self, info):
        raise MediaError(info.path, "decord does not like it")

    monkeypatch.setattr(frames_module.DecordFrames, "__init__", refuse)
    first = plan(vlog, predictor)
    assert first.warnings == ("frames decoded by ffmpeg: decord does not like it",)
    frames = work["frames"]
    same(plan(vlog, predictor), first)
    assert work["frames"] == frames


def test_a_folder_that_cannot_be_written_is_a_note(vlog, predictor, tmp_path, kept):
    (tmp_path / "cache").write_text("a file")
    summary = plan(vlog, predictor)
    (note,) = summary.warnings
    assert note.startswith("the predictions are not kept for the next run (")
    assert note.endswith("): set XDG_CACHE_HOME to another folder")
    same(replace(summary, warnings=()), plan(vlog, predictor, cache=False))


def test_it_is_off_unless_asked_for_and_for_a_model_that_is_no_file(vlog, whole, kept):
    predictor = Predictor.load(whole, device="cpu")
    plan(vlog, predictor, cache=False)
    predictor.fingerprint = ""
    plan(vlog, predictor)
    assert not kept.exists()
