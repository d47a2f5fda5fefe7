"""The index of a library: what is stored is found, and nothing but an index is taken for one."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import library as benchmark
from mmvatool.errors import LibraryError
from mmvatool.library.database import FileRow, Library, Sound, Stamp
from mmvatool.library.schema import APPLICATION_ID, SCHEMA_VERSION, default_index

ROOT = os.fsencode("/music")
STAMP = Stamp(100, 12345)
TIMES_S = np.array([5.0, 15.0, 25.5])
VA = np.array([[0.1, 0.8], [0.3, 0.6], [0.2, 0.1]], np.float32)


@pytest.fixture
def library(tmp_path: Path):
    with Library(tmp_path / "index.db") as opened:
        yield opened


def below(name: str | bytes) -> bytes:
    return ROOT + b"/" + (name if isinstance(name, bytes) else os.fsencode(name))


class TestTracks:
    def test_what_was_felt_comes_back(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        means = library.means(ROOT, "model")
        np.testing.assert_allclose(means.va, [[0.2, 0.5]], atol=1e-7)
        (track,) = library.tracks(means.ids, "model")
        assert (track.path, track.duration_s) == (Path("/music/a.mp3"), 31.0)
        np.testing.assert_allclose(track.mean, VA.mean(0), atol=1e-7)
        np.testing.assert_allclose(track.spread, VA.std(0), atol=1e-7)
        times_s, va = library.curve(track.id, "model")
        np.testing.assert_array_equal(times_s, TIMES_S.astype(np.float32))
        np.testing.assert_array_equal(va, VA)

    def test_a_curve_belongs_to_a_model(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "one", TIMES_S, VA)
        assert len(library.means(ROOT, "two").ids) == 0
        assert library.files(ROOT, "two") == {below("a.mp3"): FileRow(*STAMP, 1, None, predicted=False)}
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "two", TIMES_S, VA / 2)
        np.testing.assert_allclose(library.means(ROOT, "one").va, [[0.2, 0.5]], atol=1e-7)
        np.testing.assert_allclose(library.means(ROOT, "two").va, [[0.1, 0.25]], atol=1e-7)
        with pytest.raises(KeyError):
            library.curve(1, "three")

    def test_a_copy_needs_no_hearing(self, library: Library):
        content = library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        known = library.content(b"hash", "model")
        assert known is not None
        assert (known.id, known.predicted) == (content, True)
        library.put(below("b.mp3"), STAMP, content)
        assert len(library.means(ROOT, "model").ids) == 2
        assert library.content(b"other", "model") is None

    def test_what_a_removed_file_sounded_like_stays(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        library.remove([below("a.mp3")])
        assert library.files(ROOT, "model") == {}
        assert library.content(b"hash", "model") is not None

    def test_a_changed_file_keeps_its_row(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"old", Sound(31.0), "model", TIMES_S, VA)
        (before,) = library.means(ROOT, "model").ids
        library.put_broken(below("a.mp3"), STAMP, "is broken")
        assert library.files(ROOT, "model") == {below("a.mp3"): FileRow(*STAMP, None, "is broken", predicted=False)}
        library.put_predicted(below("a.mp3"), Stamp(7, 8), b"new", Sound(5.0), "model", TIMES_S[:1], VA[:1])
        assert library.means(ROOT, "model").ids.tolist() == [before]
        np.testing.assert_allclose(library.means(ROOT, "model").va, VA[:1], atol=1e-7)

    def test_a_root_is_a_folder_not_a_prefix(self, library: Library):
        for number, path in enumerate([b"/music/a", b"/music2/a", b"/music", b"/music-old/a", b"/music/sub/\xff\n'.mp3", b"/mus/a"]):
            library.put_predicted(path, STAMP, bytes([number]), Sound(1.0), "model", TIMES_S, VA)
        assert set(library.files(ROOT, "model")) == {b"/music/a", b"/music/sub/\xff\n'.mp3"}
        assert len(library.means(ROOT, "model").ids) == 2
        assert len(library.means(b"/", "model").ids) == 6
        odd = [track.path for track in library.tracks(library.means(b"/music/sub", "model").ids, "model")]
        assert odd == [Path(os.fsdecode(b"/music/sub/\xff\n'.mp3"))]

    @pytest.mark.parametrize("va", [VA[:0], np.array([[np.nan, 0.5]])])
    def test_an_empty_curve_is_not_stored(self, library: Library, va: np.ndarray):
        with pytest.raises(ValueError, match="cannot be stored"):
            library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S[: len(va)], va)
        assert library.content(b"hash", "model") is None

    def test_a_track_that_went_is_left_out(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        assert [track.id for track in library.tracks([1, 99], "model")] == [1]


WHOLE = Sound(31.0, "A title", "An artist", "CC BY 4.0", -14.2, 120.5)


class TestSounds:
    def test_what_belongs_to_the_sound_comes_back(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", WHOLE, "model", TIMES_S, VA)
        library.put_predicted(below("b.mp3"), STAMP, b"other", Sound(2.0), "model", TIMES_S, VA)
        library.put(below("copy.mp3"), STAMP, 1)
        tracks = library.tracks_below(ROOT, "model")
        assert [track.path.name for track in tracks] == ["a.mp3", "b.mp3", "copy.mp3"]
        sounds = [Sound(t.duration_s, t.title, t.artist, t.licence, t.loudness_lufs, t.tempo_bpm) for t in tracks]
        assert sounds == [WHOLE, Sound(2.0), WHOLE]
        np.testing.assert_allclose(tracks[0].mean, VA.mean(0), atol=1e-7)
        np.testing.assert_allclose(tracks[0].spread, VA.std(0), atol=1e-7)

    def test_tracks_and_curves_below_a_root(self, library: Library):
        for number, name in enumerate(["z/1.mp3", "a/1.mp3", "a/2.mp3"]):
            library.put_predicted(below(name), STAMP, bytes([number]), WHOLE, "model", TIMES_S, VA / (number + 1))
        library.put_predicted(below("a/3.mp3"), STAMP, b"3", WHOLE, "another", TIMES_S, VA)
        library.put_broken(below("a/4.mp3"), STAMP, "is broken")
        tracks = library.tracks_below(below("a"), "model")
        assert [track.path.name for track in tracks] == ["1.mp3", "2.mp3"]
        for track, divisor in zip(tracks, (2, 3), strict=True):
            times_s, va = library.curve(track.id, "model")
            np.testing.assert_array_equal(times_s, TIMES_S.astype(np.float32))
            np.testing.assert_array_equal(va, VA / divisor)
        assert library.tracks_below(below("b"), "model") == []

    def test_means_follow_what_becomes_of_a_file(self, library: Library):
        """The means lie apart from the curves: they must be the same whatever was done."""
        library.put_predicted(below("a"), STAMP, b"1", WHOLE, "one", TIMES_S, VA)
        library.put(below("copy"), STAMP, 1)
        library.put_predicted(below("copy"), STAMP, b"1", WHOLE, "two", TIMES_S, VA / 2)  # felt of the first name, too
        library.put_predicted(below("b"), STAMP, b"2", WHOLE, "one", TIMES_S, VA / 4)
        library.put(below("a"), Stamp(5, 5), 2)  # another content now
        library.put_broken(below("b"), Stamp(5, 5), "is broken")

        def means(model: str) -> dict[str, list[float]]:
            found = library.means(ROOT, model)
            names = {track.id: track.path.name for track in library.tracks(found.ids, model)}
            return {names[number]: va.tolist() for number, va in zip(found.ids.tolist(), found.va, strict=True)}

        assert means("one") == {"copy": pytest.approx([0.2, 0.5]), "a": pytest.approx([0.05, 0.125])}
        assert means("two") == {"copy": pytest.approx([0.1, 0.25])}
        library.remove([below("copy")])
        assert means("one") == {"a": pytest.approx([0.05, 0.125])}
        assert means("two") == {}
        assert library._file.sql.execute("SELECT count(*) FROM predictions").fetchone() == (1,)

    def test_a_damaged_mean_says_so(self, library: Library):
        library.put_predicted(below("a"), STAMP, b"1", WHOLE, "model", TIMES_S, VA)
        library._file.sql.execute("UPDATE predictions SET mean = x'00'")
        with pytest.raises(LibraryError, match="1 means of 1 bytes"):
            library.means(ROOT, "model")


class TestForgetting:
    @pytest.fixture
    def full(self, library: Library) -> Library:
        """old/a with a copy in new/, old/b, a broken old/c, and what a file sounded like that is gone."""
        library.put_predicted(below("old/a"), STAMP, b"a", WHOLE, "model", TIMES_S, VA)
        library.put(below("new/a"), STAMP, 1)
        library.put_predicted(below("old/b"), STAMP, b"b", WHOLE, "model", TIMES_S, VA)
        library.put_broken(below("old/c"), STAMP, "is broken")
        library.put_predicted(below("gone"), STAMP, b"gone", WHOLE, "model", TIMES_S, VA)
        library.remove([below("gone")])
        return library

    def test_a_folder(self, full: Library):
        assert full.forget(below("old")) == 3
        assert set(full.files(ROOT, "model")) == {below("new/a")}
        assert [track.path.name for track in full.tracks_below(ROOT, "model")] == ["a"]
        assert full.content(b"a", "model") is not None
        for digest in (b"b", b"gone"):
            assert full.content(digest, "model") is None
        assert [full._file.sql.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("curves", "predictions")] == [(1,), (1,)]
        assert full.forget(below("old")) == 0

    def test_everything(self, full: Library):
        assert full.forget(None) == 4
        assert [
            full._file.sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("contents", "curves", "files", "predictions")
        ] == [0] * 4

    def test_the_space_is_freed(self, library: Library):
        times_s, va = np.arange(2000.0), np.full((2000, 2), 0.5)
        for number in range(50):
            library.put_predicted(below(str(number)), STAMP, bytes([number]), WHOLE, "model", times_s, va)
        with Library(library.path) as second:  # another run that has it open does not matter
            assert second.forget(ROOT) == 50
        library.close()
        assert library.path.stat().st_size < 100_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory):
    """An index of a hundred thousand made-up tracks, and their means."""
    path = tmp_path_factory.mktemp("many") / "index.db"
    va = benchmark.create_index(path, 100_000)
    with Library(path) as opened:
        yield opened, va


class TestManyTracks:
    def test_they_are_searched_in_under_a_second(self, many):
        library, va = many
        started = time.perf_counter()
        found = benchmark.search(library)
        seconds = time.perf_counter() - started
        nearest = np.argsort(np.linalg.norm(va - [0.3, 0.8], axis=1))[: benchmark.TOP]
        assert found == (nearest + 1).tolist()
        assert seconds < 1

    def test_a_folder_of_them_costs_what_it_holds(self, many):
        library, va = many
        started = time.perf_counter()
        tracks = library.tracks_below(benchmark.ROOT + b"/artist 1", benchmark.MODEL)
        curves = {track.id: library.curve(track.id, benchmark.MODEL) for track in tracks}
        seconds = time.perf_counter() - started
        assert len(tracks) == 100
        np.testing.assert_allclose([track.mean for track in tracks], va[[track.id - 1 for track in tracks]], atol=1e-12)
        assert curves.keys() == {track.id for track in tracks}
        assert all(va.shape == (benchmark.WINDOWS, 2) for _, va in curves.values())
        assert seconds < 0.1

    @pytest.mark.parametrize("read", ["means", "tracks_below", "files"])
    def test_nothing_is_scanned_or_sorted(self, many, read: str, monkeypatch: pytest.MonkeyPatch):
        library, _ = many
        asked: list[tuple[str, tuple[object, ...]]] = []
        name = "_row" if read == "means" else "_rows"
        ask = getattr(library, name)
        monkeypatch.setattr(library, name, lambda query, values: asked.append((query, values)) or ask(query, values))
        getattr(library, read)(benchmark.ROOT + b"/artist 1", benchmark.MODEL)
        ((query, values),) = asked
        plan = [row[3] for row in library._file.sql.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan
        if read == "means":
            assert plan == ["SEARCH predictions USING PRIMARY KEY (model=? AND path>? AND path<?)"]


class TestTheFile:
    def test_it_lies_in_the_cache_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with Library() as library:
            assert library.path == default_index() == tmp_path / "cache" / "mmvatool" / "library.sqlite3"
        assert library.path.is_file()

    def test_no_home_is_said(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("platformdirs.user_cache_path", lambda *names, **options: Path("~/.cache/mmvatool"))
        with pytest.raises(LibraryError, match=r"has no place .*: name one with --index"):
            Library()

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("missing/index.db", "its folder does not exist: create it"),
            ("folder", "is a folder: name a file"),
            ("file/index.db", "its folder does not"),
        ],
    )
    def test_places_that_cannot_be(self, tmp_path: Path, name: str, words: str):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(LibraryError, match=words):
            Library(tmp_path / name)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written(self, tmp_path: Path):
        tmp_path.chmod(0o500)
        with pytest.raises(LibraryError, match=r"cannot be used \(.*\): check permissions"):
            Library(tmp_path / "index.db")

    def test_what_is_no_index(self, tmp_path: Path):
        (tmp_path / "index.db").write_text("notes\n" * 1000)
        with pytest.raises(LibraryError, match=r"index\.db: is not an index, or a damaged one \(file is not a database\): delete it"):
            Library(tmp_path / "index.db")
        assert (tmp_path / "index.db").read_text() == "notes\n" * 1000

    def test_another_programs_database_is_left_alone(self, tmp_path: Path):
        path = tmp_path / "index.db"
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE notes (text)")
        before = path.read_bytes()
        with pytest.raises(LibraryError, match="another program's SQLite file: choose another with --index"):
            Library(path)
        assert path.read_bytes() == before

    def test_a_later_version_says_so(self, library: Library):
        library._file.sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(
            LibraryError, match=f"version {SCHEMA_VERSION + 1}, and this mmvatool reads version {SCHEMA_VERSION}: delete it"
        ):
            Library(library.path)

    def test_an_older_version_is_rebuilt(self, tmp_path: Path):
        path = tmp_path / "index.db"
        with sqlite3.connect(path) as old:
            for statement in VERSION_1.split(";"):
                old.execute(statement)
        old.close()
        with Library(path) as library:
            assert library.files(ROOT, "model") == {}
            library.put_predicted(below("a.mp3"), STAMP, b"hash", WHOLE, "model", TIMES_S, VA)
            assert library._file.header() == (APPLICATION_ID, SCHEMA_VERSION)
            assert library._file.sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            tables = {name for (name,) in library._file.sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {"contents", "curves", "files", "predictions"}
        with Library(path) as again:
            assert len(again.means(ROOT, "model").ids) == 1

    def test_one_that_is_only_read_is_not_created(self, tmp_path: Path):
        for path in (tmp_path / "index.db", tmp_path / "missing" / "index.db"):
            with pytest.raises(LibraryError, match=r"index\.db: there is no index yet: run mmvatool library index FOLDER first"):
                Library(path, create=False)
        assert list(tmp_path.iterdir()) == []
        Library(tmp_path / "index.db").close()
        Library(tmp_path / "index.db", create=False).close()

    def test_a_damaged_page_says_so(self, library: Library):
        for number in range(200):
            library.put_predicted(below(f"{number}.mp3"), STAMP, bytes([number]), Sound(31.0), "model", TIMES_S, VA)
        library.close()
        data = bytearray(library.path.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        library.path.write_bytes(data)
        with pytest.raises(LibraryError, match=r"damaged one .*: delete it to have it rebuilt"), Library(library.path) as again:
            again.means(ROOT, "model")

    def test_a_damaged_curve_says_so(self, library: Library):
        library.put_predicted(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        library._file.sql.execute("UPDATE curves SET samples = x'00112233'")
        with pytest.raises(LibraryError, match="a curve of 4 bytes"):
            library.curve(1, "model")

    def test_a_lock_that_stays_is_named(self, library: Library, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("mmvatool.library.schema.BUSY_LIMIT_S", 0.1)
        with Library(library.path) as second:
            library._file.sql.execute("BEGIN IMMEDIATE")
            with pytest.raises(LibraryError, match=r"locked by another run for .*: try again"):
                second.remove([b"x"])
            assert second.files(ROOT, "model") == {}  # readers do not wait

    def test_the_schema_is_what_the_header_says(self, library: Library):
        assert library._file.header() == (APPLICATION_ID, SCHEMA_VERSION)
        assert library._file.sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)


VERSION_1 = f"""
CREATE TABLE contents (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, duration_s REAL NOT NULL);
CREATE TABLE curves (
    content INTEGER NOT NULL REFERENCES contents ON DELETE CASCADE, model TEXT NOT NULL, mean_valence REAL, mean_arousal REAL, samples BLOB,
    PRIMARY KEY (content, model)
);
CREATE INDEX curves_by_model ON curves (model, content, mean_valence, mean_arousal);
CREATE TABLE files (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER, content INTEGER REFERENCES contents, error TEXT);
INSERT INTO contents VALUES (1, x'00', 2.0);
INSERT INTO files VALUES (1, x'2f6d757369632f61', 1, 1, 1, NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1
"""
WRITER = """
import sys
import numpy as np
from mmvatool.library.database import Library, Sound, Stamp
who, index = sys.argv[1:]
for number in range(60):
    with Library(index) as library:
        path = f"/music/{number}-{who}.mp3".encode()
        library.put_predicted(path, Stamp(1, number), number.to_bytes(2, "big"), Sound(10.0), "model", np.array([5.0]), np.array([[0.5, number / 60]]))
"""


def test_several_processes_lay_and_write_one_index(tmp_path: Path):
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(who), str(tmp_path / "index.db")], cwd=root, stderr=subprocess.PIPE, text=True)
        for who in range(4)
    ]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in started] == [("", 0)] * 4
    with Library(tmp_path / "index.db") as library:
        assert len(library.means(ROOT, "model").ids) == 240
        assert library._file.sql.execute("SELECT count(*) FROM contents").fetchone() == (60,)
        assert library._file.sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
