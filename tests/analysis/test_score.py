"""The pipeline of `score`: by an untrained model with all towers, and pictures by the bundled one."""

import threading
import weakref
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmvatool
from mmvatool.analysis import pictures
from mmvatool.analysis.score import LONGEST_TEXT, UNKNOWN, Failure, Score, Towers, score
from mmvatool.errors import MediaError, SettingsError
from tests.helpers import media
from trainer import CheckpointError, Predictor

BATCH_TOLERANCE = 1e-5


def scored(*args: object, **options: object) -> list[Score]:
    """All results, none of them a failure."""
    results = list(score(*args, **options))  # type: ignore[arg-type]
    assert all(isinstance(result, Score) for result in results), results
    return results  # type: ignore[return-value]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine pictures of as many sizes."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for place, scene in enumerate([*media.SCENES.values()] * 2):
        path = folder / f"{place}.png"
        Image.fromarray(scene((60 + 50 * place, 200 - 15 * place), 0.7 * place)).save(path)
        paths.append(path)
    return paths[:9]


def test_pictures_score_the_same_alone_in_a_batch_and_as_arrays(photos, predictor):
    together = scored(photos, predictor=predictor)
    single = Predictor.load(device="cpu", batch_size=1)
    for path, result in zip(photos, together, strict=True):
        assert (result.input, result.kind, result.model, len(result.curve.times_s)) == (path, "image", "compact", 0)
        (alone,) = scored([path], predictor=single)
        (array,) = predictor.image(pictures.read(path)[None], still=True)
        for va in ((alone.valence, alone.arousal), array):
            np.testing.assert_allclose((result.valence, result.arousal), va, atol=BATCH_TOLERANCE)
    assert np.ptp([result.arousal for result in together]) > 0.1


def test_a_sound_is_the_mean_of_its_curve(song, whole_predictor):
    (result,) = scored([song], predictor=whole_predictor, every_s=1, window_s=1)
    np.testing.assert_allclose(result.curve.times_s, [0.5, 1.5, 2.5])
    np.testing.assert_allclose((result.valence, result.arousal), result.curve.va.mean(0), atol=1e-6)
    assert (result.kind, result.curves, result.note) == ("music", {}, None)


def test_silence_has_a_place(tmp_path, whole_predictor):
    (result,) = scored([media.write_wav(tmp_path / "a.wav", np.zeros(5 * media.RATE_HZ))], predictor=whole_predictor)
    assert len(result.curve.times_s) == 3
    assert 0 <= result.valence <= 1
    assert 0 <= result.arousal <= 1


def test_a_video_is_the_mean_of_what_is_seen_and_heard(vlog, whole_predictor):
    (result,) = scored([vlog], predictor=whole_predictor)
    assert (result.kind, set(result.curves)) == ("video", {"image", "music"})
    np.testing.assert_allclose(result.curve.va, (result.curves["image"].va + result.curves["music"].va) / 2, atol=1e-6)
    np.testing.assert_allclose((result.valence, result.arousal), result.curve.va.mean(0), atol=1e-6)
    document = result.to_json()
    assert list(document) == ["input", "kind", "valence", "arousal", "curve", "model", "curves"]
    assert len(document["curve"]) == 12
    assert set(document["curve"][0]) == {"t_s", "valence", "arousal"}


def test_a_video_without_sound_and_models_with_half_of_the_towers(vlog, silent, whole):
    sees, hears = (Predictor.load(whole, device="cpu", modalities=(modality,)) for modality in ("image", "music"))
    for path, predictor, modality, note in (
        (silent, sees, "image", "no sound: scored by its pictures alone"),
        (vlog, sees, "image", "the model has no music tower: scored by its pictures alone"),
        (vlog, hears, "music", "the model has no image tower: scored by its sound alone"),
    ):
        (result,) = scored([path], predictor=predictor)
        assert (set(result.curves), result.note) == ({modality}, note)
        np.testing.assert_array_equal(result.curve.va, result.curves[modality].va)
    (failure,) = score([silent], predictor=hears)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, CheckpointError)


def test_texts(whole_predictor):
    texts = ["a slow sad cello", "", "   ", "long " * LONGEST_TEXT]
    results = scored([], texts, predictor=whole_predictor)
    va = whole_predictor.text([text[:LONGEST_TEXT] for text in texts])
    np.testing.assert_allclose([(result.valence, result.arousal) for result in results], va, atol=BATCH_TOLERANCE)
    assert [result.note for result in results[1:3]] == [UNKNOWN, UNKNOWN]
    assert results[0].note is None
    assert results[3].note == f"scored by its first {LONGEST_TEXT} characters"
    assert len(str(results[3].input)) == LONGEST_TEXT


def test_order_is_kept_and_failures_stand_where_their_inputs_did(photos, vlog, song, tmp_path, whole_predictor):
    (tmp_path / "text.mp3").write_text("words " * 200)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    given = [photos[0], vlog, tmp_path / "text.mp3", song, photos[1], tmp_path / "cut.jpg", tmp_path / "not there.wav", photos[2]]
    results = list(score(given, ["calm"], predictor=whole_predictor))
    assert [result.input for result in results] == [*given, "calm"]
    assert [isinstance(result, Failure) for result in results] == [False, False, True, False, False, True, True, False, False]
    assert all(isinstance(result.error, MediaError) for result in results if isinstance(result, Failure))


def test_the_content_decides_where_the_suffix_does_not_say(photos, song, vlog, tmp_path, whole_predictor):
    files = {"picture": photos[0], "sound.bin": song, "video.dat": vlog, "picture.mp4": photos[0], "video.mp3": vlog}
    paths = [Path(tmp_path / name) for name in files]
    for path, source in zip(paths, files.values(), strict=True):
        path.write_bytes(source.read_bytes())
    kinds = [result.kind for result in scored(paths, predictor=whole_predictor)]
    assert kinds == ["image", "music", "video", "image", "video"]


def test_bad_pictures_are_named(tmp_path, predictor):
    whole_jpeg = tmp_path / "whole.jpg"
    Image.fromarray(media.meadow((320, 180), 0)).save(whole_jpeg)
    (tmp_path / "cut.jpg").write_bytes(whole_jpeg.read_bytes()[:3000])
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("words")
    Image.new("1", (60_000, 4_000)).save(tmp_path / "huge.png")
    problems = {}
    for result in score([tmp_path / name for name in ("cut.jpg", "empty.png", "words.png", "huge.png")], predictor=predictor):
        assert isinstance(result, Failure)
        assert isinstance(result.error, MediaError)
        problems[result.error.path.name] = result.error.problem
    assert problems["cut.jpg"].startswith("damaged picture (image file is truncated")
    assert problems["empty.png"] == "the file is empty: copy it again"
    assert problems["words.png"] == "not a picture that can be read; convert it to JPEG or PNG"
    assert problems["huge.png"].startswith("has over 178 million pixels")


def test_a_picture_of_one_pixel_and_a_black_one_are_scored(tmp_path, predictor):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "one.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    for result in scored([tmp_path / "one.png", tmp_path / "black.png"], predictor=predictor):
        assert 0 <= result.valence <= 1
        assert 0 <= result.arousal <= 1


def test_few_decoded_pictures_are_held_at_once(photos, predictor, monkeypatch):
    """However many there are: those that the threads make, and the one that is looked at."""
    lock, held, most = threading.Lock(), 0, 0
    read = pictures.read

    def gone() -> None:
        nonlocal held
        with lock:
            held -= 1

    def counted(path: Path) -> np.ndarray:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        picture = read(path)
        weakref.finalize(picture, gone)
        return picture

    monkeypatch.setattr(pictures, "read", counted)
    assert len(scored(photos * 4, predictor=predictor)) == 36
    assert 1 <= most <= 6


def test_inputs_are_taken_as_they_are_needed(photos, predictor):
    """A generator of a million paths or lines must not be read to its end first."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield photos[0]

    assert isinstance(next(score(endless(), predictor=predictor)), Score)
    assert taken <= 64


def test_towers_are_loaded_when_they_are_needed(photos, song, whole):
    loaded: list[str] = []

    def load(modality: str) -> Predictor:
        loaded.append(modality)
        return Predictor.load(whole, device="cpu", modalities=(modality,))

    towers = Towers(load, ("image", "music", "text"))
    scored(photos[:1], predictor=towers)
    assert loaded == ["image"]
    scored([song, photos[0], song], ["calm"], predictor=towers)
    assert loaded == ["image", "music", "text"]
    assert Towers.named(whole).modalities == {"image", "music", "text"}
    with pytest.raises(CheckpointError, match="no model 'nonesuch'"):
        Towers.named("nonesuch")


def test_settings_are_refused_before_anything_is_read(photos, song, whole_predictor):
    for options in ({"every_s": 0}, {"window_s": 11.0}, {"window_s": 0.01}):
        for paths in ([song], photos):
            with pytest.raises(SettingsError):
                next(score(paths, predictor=whole_predictor, **options))


def test_progress_counts_files(photos, predictor):
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def progress(stage: str, total: int):
        yield lambda done: told.append((stage, total, done))

    scored(photos, predictor=predictor, progress=progress)
    assert told[-1] == ("files", 9, 9)


def test_python_api():
    assert mmvatool.score is score
    assert (mmvatool.Score, mmvatool.Failure) == (Score, Failure)
