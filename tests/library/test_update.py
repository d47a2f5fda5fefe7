"""Bringing the index up to date: what is decoded and what is not, whatever happens to the files or to the run."""

import os
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmvatool.analysis.curves import music_curve
from mmvatool.errors import MediaError
from mmvatool.library import update as pipeline
from mmvatool.library.analyze import TrackFeatures
from mmvatool.library.database import Library
from mmvatool.library.update import index, model_key
from mmvatool.library.walk import real_path, walk
from tests.helpers.media import run_ffmpeg
from tests.helpers.models import save_random
from tests.helpers.synthetic import sound, write_wav
from trainer import CheckpointError, Predictor

# A WAV of 16 bits; what ffmpeg resamples may lose a few samples at the end.
LENGTH_TOLERANCE_S = 0.01


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(tmp_path_factory.mktemp("models") / "random.safetensors")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Predictor:
    return Predictor.load(checkpoint, device="cpu", modalities=("music",))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Three tracks: a.wav and b.wav of 1 s, and in a folder below c.wav of 12 s."""
    rng = np.random.default_rng(0)
    (tmp_path / "music" / "sub").mkdir(parents=True)
    write_wav(tmp_path / "music" / "a.wav", sound(np.array([0.2, 0.1]), 1.0, rng))
    write_wav(tmp_path / "music" / "b.wav", sound(np.array([0.8, 0.9]), 1.0, rng))
    write_wav(tmp_path / "music" / "sub" / "c.wav", sound(np.array([0.5, 0.5]), 16.0, rng))
    return tmp_path / "music"


@pytest.fixture
def library(tmp_path: Path):
    with Library(tmp_path / "index.db") as opened:
        yield opened


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded, as they are."""
    names: list[str] = []
    analyze = pipeline.analyze_track

    def counted(path: Path, predictor: Predictor) -> TrackFeatures:
        names.append(path.name)
        return analyze(path, predictor)

    monkeypatch.setattr(pipeline, "analyze_track", counted)
    return names


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed, as they are."""
    names: list[str] = []
    digest = pipeline._hash
    monkeypatch.setattr(pipeline, "_hash", lambda path: names.append(os.fsdecode(path).rsplit("/", 1)[-1]) or digest(path))
    return names


def found(library: Library, music: Path, model: Predictor) -> dict[str, tuple[float, list[float]]]:
    """Length and mean VA by name."""
    tracks = library.tracks(library.means(real_path(music), model_key(model)).ids, model_key(model))
    return {track.path.name: (track.duration_s, track.mean.tolist()) for track in tracks}


def numbers(music: Path, library: Library, model: Predictor) -> tuple[dict[str, int], list[str]]:
    seen = index(music, library, model)
    counts = {name: getattr(seen, name) for name in ("added", "changed", "moved", "unchanged", "removed", "predicted")}
    return {name: count for name, count in counts.items() if count}, [str(error) for error in seen.broken]


class TestWhatIsHeard:
    def test_a_first_run_hears_all(self, music, library, model):
        assert numbers(music, library, model) == ({"added": 3, "predicted": 3}, [])
        tracks = found(library, music, model)
        assert {name: length for name, (length, _) in tracks.items()} == pytest.approx(
            {"a.wav": 1.0, "b.wav": 1.0, "c.wav": 16.0}, abs=LENGTH_TOLERANCE_S
        )
        for name in ("a.wav", "sub/c.wav"):
            expected = music_curve(music / name, model).va
            np.testing.assert_allclose(tracks[Path(name).name][1], expected.mean(0), atol=1e-5)
        assert len(expected) == 2

    def test_tags_loudness_and_tempo_are_kept(self, music, library, model):
        beats = np.tile(np.concatenate([np.sin(np.arange(1200) / 4), np.zeros(13_200)]), 20).astype(np.float32)  # 100 a minute
        write_wav(music / "beats.wav", beats / 2)
        tags = ("-metadata", "title=A title", "-metadata", "artist=An artist", "-metadata", "LICENSE=CC BY 4.0")
        run_ffmpeg("-i", music / "beats.wav", *tags, music / "beats.ogg")
        write_wav(music / "silence.wav", np.zeros(48_000, np.float32))
        index(music, library, model)
        tracks = {track.path.name: track for track in library.tracks_below(real_path(music), model_key(model))}
        beaten = tracks["beats.ogg"]
        assert (beaten.title, beaten.artist, beaten.licence) == ("A title", "An artist", "CC BY 4.0")
        assert beaten.tempo_bpm == pytest.approx(100, rel=0.01)
        assert beaten.loudness_lufs == pytest.approx(tracks["beats.wav"].loudness_lufs, abs=0.5)
        assert -30 < beaten.loudness_lufs < -10
        silent = tracks["silence.wav"]
        assert (silent.loudness_lufs, silent.tempo_bpm, silent.title) == (None, None, None)

    def test_a_second_run_opens_nothing(self, music, library, model, decoded, hashed):
        index(music, library, model)
        decoded.clear()
        hashed.clear()
        assert numbers(music, library, model) == ({"unchanged": 3}, [])
        assert (decoded, hashed) == ([], [])

    def test_a_renamed_file_is_not_heard_again(self, music, library, model, decoded):
        index(music, library, model)
        before = found(library, music, model)
        decoded.clear()
        (music / "a.wav").rename(music / "sub" / "z.wav")
        assert numbers(music, library, model) == ({"moved": 1, "unchanged": 2}, [])
        assert decoded == []
        after = found(library, music, model)
        assert after["z.wav"] == before["a.wav"]
        assert library._file.sql.execute("SELECT count(*) FROM contents").fetchone() == (3,)  # its row, not another like it
        assert set(after) == {"z.wav", "b.wav", "c.wav"}

    def test_a_copy_and_a_touched_file_are_not_heard_again(self, music, library, model, decoded, hashed):
        index(music, library, model)
        decoded.clear()
        hashed.clear()
        shutil.copy(music / "a.wav", music / "copy.wav")
        os.utime(music / "b.wav", (1, 1))
        assert numbers(music, library, model) == ({"added": 1, "unchanged": 3}, [])
        assert (decoded, sorted(hashed)) == ([], ["b.wav", "copy.wav"])

    def test_copies_in_one_run_are_heard_once(self, music, library, model, decoded):
        for number in range(5):
            shutil.copy(music / "sub" / "c.wav", music / f"c{number}.wav")
        assert numbers(music, library, model) == ({"added": 8, "predicted": 3}, [])
        assert len(decoded) == 3

    def test_a_changed_file_is_heard_again(self, music, library, model, decoded):
        index(music, library, model)
        before = found(library, music, model)["a.wav"][1]
        decoded.clear()
        write_wav(music / "a.wav", sound(np.array([0.9, 0.9]), 1.0, np.random.default_rng(1)))
        os.utime(music / "a.wav", (1, 1))  # the same length; a clock may be too coarse to tell the times apart
        assert numbers(music, library, model) == ({"changed": 1, "unchanged": 2, "predicted": 1}, [])
        assert decoded == ["a.wav"]
        assert np.abs(np.subtract(found(library, music, model)["a.wav"][1], before)).max() > 1e-4

    def test_a_deleted_file_is_not_found_and_comes_back_unheard(self, music, library, model, decoded):
        index(music, library, model)
        decoded.clear()
        (music / "a.wav").rename(music.parent / "a.wav")
        assert numbers(music, library, model) == ({"unchanged": 2, "removed": 1}, [])
        assert set(found(library, music, model)) == {"b.wav", "c.wav"}
        (music.parent / "a.wav").rename(music / "a.wav")
        assert numbers(music, library, model) == ({"added": 1, "unchanged": 2}, [])
        assert decoded == []

    def test_another_model_hears_for_itself(self, music, library, model, decoded, tmp_path):
        index(music, library, model)
        other = Predictor.load(save_random(tmp_path / "other.safetensors", seed=1), device="cpu", modalities=("music",))
        assert numbers(music, library, other) == ({"unchanged": 3, "predicted": 3}, [])
        assert Counter(decoded) == Counter(["a.wav", "b.wav", "c.wav"] * 2)
        assert found(library, music, model)["a.wav"] != found(library, music, other)["a.wav"]
        assert numbers(music, library, model) == ({"unchanged": 3}, [])

    def test_bf16_is_kept_apart(self, model, checkpoint):
        rounded = Predictor.load(checkpoint, device="cpu", modalities=("music",), precision="bf16")
        assert model_key(rounded) != model_key(model)

    def test_a_folder_by_another_name_is_the_same(self, music, library, model, decoded, monkeypatch):
        index(music, library, model)
        (music.parent / "link").symlink_to(music)
        monkeypatch.chdir(music.parent)
        for name in ("link", "music", "./music/../music/"):
            assert numbers(Path(name), library, model) == ({"unchanged": 3}, [])

    def test_a_model_without_a_music_tower_says_so(self, music, library, predictor, checkpoint):
        pictures = Predictor.load(checkpoint, device="cpu", modalities=("image",))
        with pytest.raises(CheckpointError, match="no music tower"):
            index(music, library, pictures)


class TestBroken:
    @pytest.fixture
    def spoilt(self, music: Path) -> Path:
        (music / "empty.mp3").touch()
        (music / "text.mp3").write_text("not music\n" * 50)
        (music / "short.wav").write_bytes((music / "a.wav").read_bytes()[:44])
        return music

    def test_it_is_listed_and_not_tried_again(self, spoilt, library, model, decoded, hashed):
        counts, errors = numbers(spoilt, library, model)
        assert counts == {"added": 3, "predicted": 3}
        assert [error.split(": ")[0].rsplit("/", 1)[-1] for error in errors] == ["empty.mp3", "short.wav", "text.mp3"]
        assert "the file is empty" in errors[0]
        assert "is not a media file" in errors[2]
        decoded.clear()
        hashed.clear()
        assert numbers(spoilt, library, model) == ({"unchanged": 3}, errors)
        assert (decoded, hashed) == ([], [])

    def test_it_is_tried_again_when_it_has_changed(self, spoilt, library, model):
        index(spoilt, library, model)
        shutil.copy(spoilt / "sub" / "c.wav", spoilt / "text.mp3")
        (spoilt / "empty.mp3").unlink()
        counts, errors = numbers(spoilt, library, model)
        assert counts == {"changed": 1, "unchanged": 3, "removed": 1}
        assert len(errors) == 1
        assert "text.mp3" in found(library, spoilt, model)

    def test_what_fails_unexpectedly_is_tried_each_time(self, music, library, model, monkeypatch):
        analyze = pipeline.analyze_track

        def fail(path, predictor):
            if path.name == "b.wav":
                raise RuntimeError("out of memory")
            return analyze(path, predictor)

        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "analyze_track", fail)
            counts, errors = numbers(music, library, model)
            assert counts == {"added": 2, "predicted": 2}
            assert errors == [
                f"{music / 'b.wav'}: failed unexpectedly (RuntimeError: out of memory): please report it if the machine is well"
            ]
        assert numbers(music, library, model) == ({"added": 1, "unchanged": 2, "predicted": 1}, [])

    def test_a_file_that_grows_is_not_kept(self, music, library, model, monkeypatch):
        analyze = pipeline.analyze_track

        def grow(path, predictor):
            heard = analyze(path, predictor)
            with path.open("ab") as file:
                file.write(b"more")
            return heard

        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "analyze_track", grow)
            counts, errors = numbers(music, library, model)
            assert counts == {"predicted": 3}
            assert all("changed while it was read: run again" in error for error in errors)
        assert numbers(music, library, model)[0] == {"added": 3, "predicted": 3}

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_permissions(self, music, library, model):
        (music / "a.wav").chmod(0)
        (music / "sub").chmod(0)
        counts, errors = numbers(music, library, model)
        assert counts == {"added": 1, "predicted": 1}
        assert all("cannot be read (Permission denied)" in error for error in errors)
        (music / "a.wav").chmod(0o644)
        (music / "sub").chmod(0o755)
        assert numbers(music, library, model)[0] == {"added": 2, "unchanged": 1, "predicted": 2}


class TestVideos:
    """Files with a video's suffix are music where they hold sound alone."""

    @pytest.fixture
    def mixed(self, music: Path) -> Path:
        """a.wav's sound as .mp4, .webm (with a cover), .mkv; a video with sound; one that cannot be read; a picture and words."""
        for name, codec in (("only.mp4", "aac"), ("only.webm", "libopus"), ("only.mkv", "flac")):
            run_ffmpeg("-i", music / "a.wav", "-c:a", codec, music / name)
        run_ffmpeg("-f", "lavfi", "-i", "color=s=64x48:d=1", "-i", music / "a.wav", music / "film.mp4")
        (music / "broken.mod").write_bytes(b"nothing" * 500)
        (music / "sub" / "cover.jpg").touch()
        (music / "notes.txt").touch()
        return music

    def test_content_decides_and_the_rest_is_counted(self, mixed, library, model):
        seen = index(mixed, library, model)
        assert (seen.added, seen.predicted, seen.broken) == (6, 6, ())
        assert seen.left_out == {".mp4": 1, ".mod": 1, ".jpg": 1, ".txt": 1}
        assert {"only.mp4", "only.webm", "only.mkv"} < set(found(library, mixed, model))
        assert "film.mp4" not in found(library, mixed, model)

    def test_a_video_is_opened_once_until_it_changes(self, mixed, library, model, monkeypatch):
        opened: list[str] = []
        read = pipeline.headers.read
        monkeypatch.setattr(pipeline, "headers", SimpleNamespace(read=lambda path, wanted: opened.append(path.name) or read(path, wanted)))
        index(mixed, library, model)
        assert sorted(opened) == ["broken.mod", "film.mp4", "only.mkv", "only.mp4", "only.webm"]
        opened.clear()
        again = index(mixed, library, model)
        assert (opened, again.unchanged, again.removed) == ([], 6, 0)
        assert again.left_out == {".mp4": 1, ".mod": 1, ".jpg": 1, ".txt": 1}
        shutil.copy(mixed / "only.mp4", mixed / "film.mp4")
        (mixed / "broken.mod").unlink()
        changed = index(mixed, library, model)
        assert opened == ["film.mp4"]
        assert (changed.unchanged + changed.added + changed.changed, changed.removed, changed.broken) == (7, 0, ())


class TestWalk:
    def names(self, root: Path) -> list[str]:
        files, errors = walk(root)
        assert errors == []
        return sorted(str(file.display_path.relative_to(root)) for file in files)

    def test_what_may_be_music(self, tmp_path: Path):
        kept = [f"{suffix}.{suffix}" for suffix in ("mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff", "aif", "aac", "wma", "m4b", "wv")]
        kept += ["CAPITALS.MP3", "-dash.mp3", "film.mp4"]
        left = [".hidden.mp3", "notes.txt", "a.summary.m4a", "a.soundtrack.wav", "mp3", ".mmvatool-x/a.mp3"]
        (tmp_path / ".mmvatool-x").mkdir()
        for name in (*kept, *left):
            (tmp_path / name).touch()
        (tmp_path / "folder.mp3").mkdir()
        assert self.names(tmp_path) == sorted(kept)
        left_out: Counter[str] = Counter()
        walk(tmp_path, left_out)
        assert left_out == {".txt": 1, "": 1}

    def test_links_and_loops(self, tmp_path: Path):
        (tmp_path / "music" / "real").mkdir(parents=True)
        (tmp_path / "outside").mkdir()
        for name in ("music/real/a.mp3", "outside/b.mp3"):
            (tmp_path / name).touch()
        music = tmp_path / "music"
        (music / "a link to real").symlink_to(music / "real")
        (music / "real" / "up").symlink_to(music)
        (music / "far").symlink_to(tmp_path / "outside")
        (music / "c.mp3").symlink_to(tmp_path / "outside" / "b.mp3")
        (music / "gone.mp3").symlink_to(tmp_path / "nowhere")
        assert self.names(music) == ["c.mp3", "far/b.mp3", "real/a.mp3"]

    def test_a_link_to_itself_is_named(self, tmp_path: Path):
        (tmp_path / "self.mp3").symlink_to(tmp_path / "self.mp3")
        files, errors = walk(tmp_path)
        assert files == []
        problem = "cannot be read (Too many levels of symbolic links): check its name and permissions"
        assert [str(error) for error in errors] == [f"{tmp_path / 'self.mp3'}: {problem}"]

    def test_odd_names(self, music, library, model):
        names = [os.fsdecode(b"not\xffutf8.wav"), "two\nlines.wav", "a'b\"c.wav", "🎵 $x$.wav", "-dash.wav"]
        for name in names:
            shutil.copy(music / "a.wav", music / name)
        assert numbers(music, library, model) == ({"added": 8, "predicted": 3}, [])
        assert set(names) < set(found(library, music, model))
        assert numbers(music, library, model) == ({"unchanged": 8}, [])

    def test_no_folder(self, tmp_path: Path):
        with pytest.raises(MediaError, match="no such folder: name one"):
            walk(tmp_path / "missing")


def test_a_run_that_is_halted_is_not_waited_for_without_end(music, library, model, monkeypatch):
    monkeypatch.setattr(pipeline, "PATIENCE_S", 0.3)
    monkeypatch.setattr(pipeline.TrackLocks, "acquire", lambda locks, name: False)
    assert numbers(music, library, model) == ({"added": 3, "predicted": 3}, [])
