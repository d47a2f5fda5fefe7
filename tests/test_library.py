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
from mmvatool.index_file import APPLICATION_ID, SCHEMA_VERSION, default_index
from mmvatool.library import FileRow, Library, Sound, Stamp

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
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
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
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "one", TIMES_S, VA)
        assert len(library.means(ROOT, "two").ids) == 0
        assert library.files(ROOT, "two") == {below("a.mp3"): FileRow(*STAMP, 1, None, felt=False)}
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "two", TIMES_S, VA / 2)
        np.testing.assert_allclose(library.means(ROOT, "one").va, [[0.2, 0.5]], atol=1e-7)
        np.testing.assert_allclose(library.means(ROOT, "two").va, [[0.1, 0.25]], atol=1e-7)
        with pytest.raises(KeyError):
            library.curve(1, "three")

    def test_a_copy_needs_no_hearing(self, library: Library):
        content = library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        known = library.content(b"hash", "model")
        assert known is not None
        assert (known.id, known.felt) == (content, True)
        library.put(below("b.mp3"), STAMP, content)
        assert len(library.means(ROOT, "model").ids) == 2
        assert library.content(b"other", "model") is None

    def test_what_a_removed_file_sounded_like_stays(self, library: Library):
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        library.remove([below("a.mp3")])
        assert library.files(ROOT, "model") == {}
        assert library.content(b"hash", "model") is not None

    def test_a_changed_file_keeps_its_row(self, library: Library):
        library.put_felt(below("a.mp3"), STAMP, b"old", Sound(31.0), "model", TIMES_S, VA)
        (before,) = library.means(ROOT, "model").ids
        library.put_broken(below("a.mp3"), STAMP, "is broken")
        assert library.files(ROOT, "model") == {below("a.mp3"): FileRow(*STAMP, None, "is broken", felt=False)}
        library.put_felt(below("a.mp3"), Stamp(7, 8), b"new", Sound(5.0), "model", TIMES_S[:1], VA[:1])
        assert library.means(ROOT, "model").ids.tolist() == [before]
        np.testing.assert_allclose(library.means(ROOT, "model").va, VA[:1], atol=1e-7)

    def test_a_root_is_a_folder_not_a_prefix(self, library: Library):
        for number, path in enumerate([b"/music/a", b"/music2/a", b"/music", b"/music-old/a", b"/music/sub/\xff\n'.mp3", b"/mus/a"]):
            library.put_felt(path, STAMP, bytes([number]), Sound(1.0), "model", TIMES_S, VA)
        assert set(library.files(ROOT, "model")) == {b"/music/a", b"/music/sub/\xff\n'.mp3"}
        assert len(library.means(ROOT, "model").ids) == 2
        assert len(library.means(b"/", "model").ids) == 6
        odd = [track.path for track in library.tracks(library.means(b"/music/sub", "model").ids, "model")]
        assert odd == [Path(os.fsdecode(b"/music/sub/\xff\n'.mp3"))]

    @pytest.mark.parametrize("va", [VA[:0], np.array([[np.nan, 0.5]])])
    def test_an_empty_curve_is_not_stored(self, library: Library, va: np.ndarray):
        with pytest.raises(ValueError, match="cannot be stored"):
            library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S[: len(va)], va)
        assert library.content(b"hash", "model") is None

    def test_a_track_that_went_is_left_out(self, library: Library):
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        assert [track.id for track in library.tracks([1, 99], "model")] == [1]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory):
    """An index of a hundred thousand made-up tracks, and their means."""
    path = tmp_path_factory.mktemp("many") / "index.db"
    va = benchmark.lay(path, 100_000)
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
        curves = library.curves(benchmark.ROOT + b"/artist 1", benchmark.MODEL)
        seconds = time.perf_counter() - started
        assert len(tracks) == 100
        np.testing.assert_allclose([track.mean for track in tracks], va[[track.id - 1 for track in tracks]], atol=1e-12)
        assert curves.keys() == {track.id for track in tracks}
        assert all(va.shape == (benchmark.WINDOWS, 2) for _, va in curves.values())
        assert seconds < 0.1

    @pytest.mark.parametrize("read", ["means", "tracks_below", "curves", "files"])
    def test_nothing_is_scanned_or_sorted(self, many, read: str, monkeypatch: pytest.MonkeyPatch):
        library, _ = many
        asked: list[tuple[str, tuple[object, ...]]] = []
        rows = library._rows
        monkeypatch.setattr(library, "_rows", lambda query, values: asked.append((query, values)) or rows(query, values))
        getattr(library, read)(benchmark.ROOT + b"/artist 1", benchmark.MODEL)
        ((query, values),) = asked
        plan = [row[3] for row in library._file.sql.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan
        if read == "means":
            assert plan == ["SEARCH felt USING PRIMARY KEY (model=? AND path>? AND path<?)"]


class TestTheFile:
    def test_it_lies_in_the_cache_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with Library() as library:
            assert library.path == default_index() == tmp_path / "cache" / "mmvatool" / "library.sqlite3"
        assert library.path.is_file()

    def test_no_home_is_said(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
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

    def test_another_version_says_so(self, library: Library):
        library._file.sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(
            LibraryError, match=f"version {SCHEMA_VERSION + 1}, and this mmvatool reads version {SCHEMA_VERSION}: delete it"
        ):
            Library(library.path)

    def test_a_damaged_page_says_so(self, library: Library):
        for number in range(200):
            library.put_felt(below(f"{number}.mp3"), STAMP, bytes([number]), Sound(31.0), "model", TIMES_S, VA)
        library.close()
        data = bytearray(library.path.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        library.path.write_bytes(data)
        with pytest.raises(LibraryError, match=r"damaged one .*: delete it to have it made anew"), Library(library.path) as again:
            again.means(ROOT, "model")

    def test_a_damaged_curve_says_so(self, library: Library):
        library.put_felt(below("a.mp3"), STAMP, b"hash", Sound(31.0), "model", TIMES_S, VA)
        library._file.sql.execute("UPDATE curves SET samples = x'00112233'")
        with pytest.raises(LibraryError, match="a curve of 4 bytes"):
            library.curve(1, "model")

    def test_a_lock_that_stays_is_named(self, library: Library, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("mmvatool.index_file.BUSY_LIMIT_S", 0.1)
        with Library(library.path) as second:
            library._file.sql.execute("BEGIN IMMEDIATE")
            with pytest.raises(LibraryError, match=r"locked by another run for .*: try again"):
                second.remove([b"x"])
            assert second.files(ROOT, "model") == {}  # readers do not wait

    def test_the_schema_is_what_the_header_says(self, library: Library):
        assert library._file.header() == (APPLICATION_ID, SCHEMA_VERSION)
        assert library._file.sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)


WRITER = """
import sys
import numpy as np
from mmvatool.library import Library, Sound, Stamp
who, index = sys.argv[1:]
for number in range(60):
    with Library(index) as library:
        path = f"/music/{number}-{who}.mp3".encode()
        library.put_felt(path, Stamp(1, number), number.to_bytes(2, "big"), Sound(10.0), "model", np.array([5.0]), np.array([[0.5, number / 60]]))
"""


def test_several_processes_lay_and_write_one_index(tmp_path: Path):
    root = Path(__file__).parents[1]
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(who), str(tmp_path / "index.db")], cwd=root, stderr=subprocess.PIPE, text=True)
        for who in range(4)
    ]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in started] == [("", 0)] * 4
    with Library(tmp_path / "index.db") as library:
        assert len(library.means(ROOT, "model").ids) == 240
        assert library._file.sql.execute("SELECT count(*) FROM contents").fetchone() == (60,)
        assert library._file.sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
