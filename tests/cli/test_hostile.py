"""Files that name others, under innocent suffixes: nothing but the file named is opened, and nothing is connected to."""

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.media.probe import probe
from tests.cli.conftest import PROGRAM
from tests.helpers import media

IN_OPEN, IN_NONBLOCK = 0x20, 0o4000
EVENT = struct.Struct("iIII")
ONE_LINE = "is a playlist that names other files: give the files themselves"
TAG = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)  # an ID3 tag, which libav passes over wherever it stands


class Watch:
    """Notices that files of folders are opened, by inotify, and that a port of this machine is connected to."""

    def __init__(self, *folders: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(IN_NONBLOCK)
        assert self._events >= 0
        for folder in folders:
            assert libc.inotify_add_watch(self._events, os.fsencode(folder), IN_OPEN) >= 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._met: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed
                return
            self._met.append("a connection")
            connection.close()

    def met(self) -> set[str]:
        """What was opened or connected to since the last call."""
        while True:
            try:
                data = os.read(self._events, 1 << 16)
            except BlockingIOError:
                break
            while data:
                length = EVENT.unpack_from(data)[3]
                self._met.append(os.fsdecode(data[EVENT.size : EVENT.size + length].rstrip(b"\0")))
                data = data[EVENT.size + length :]
        met, self._met = set(self._met) - {""}, []  # a folder itself has no name
        return met

    def close(self) -> None:
        os.close(self._events)
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def decoys(folder: Path, drawn_clip: Path) -> Path:
    """A folder of real files that nobody names on a command line."""
    (folder / "decoys").mkdir()
    shutil.copy(drawn_clip, folder / "decoys" / "decoy.mp4")
    media.write_wav(folder / "decoys" / "decoy.wav", media.scene_sound([("meadow", 2)]))
    for name in ("p1.jpg", "decoy.jpg"):
        Image.fromarray(np.asarray(media.SCENES["sea"]((64, 48), 1))).save(folder / "decoys" / name)
    return folder / "decoys"


@pytest.fixture
def watch(folder: Path, decoys: Path) -> Iterator[Watch]:
    """Watches the decoys, and hostile/, where what is tried lies."""
    (folder / "hostile").mkdir()
    watching = Watch(decoys, folder / "hostile")
    yield watching
    watching.close()


def playlists(decoys: Path, address: str) -> dict[str, bytes]:
    """Contents that name the decoys, or the address, by what they are."""
    segments = "".join(f"#EXTINF:2,\n{name}\n" for name in (f"{decoys}/decoy.mp4", f"file:{decoys}/decoy.mp4", f"http://{address}/a.ts"))
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n"
    keyed = hls.replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{decoys}/decoy.wav"\n#EXT-X-MAP:URI="{decoys}/decoy.mp4"\n#EXTINF', 1)
    remote = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://{address}/a.ts\n#EXTINF:2,\ntcp://{address}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static" '
        'mediaPresentationDuration="PT4S"><Period><AdaptationSet contentType="video"><Representation id="1" bandwidth="1"><BaseURL>'
        f"{decoys}/decoy.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    imf = '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:0</Id></CompositionPlaylist>'
    host, port = address.split(":")
    sdp = f"v=0\r\no=- 0 0 IN IP4 {host}\r\ns=x\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    return {
        "hls": hls.encode(),
        "keyed": keyed.encode(),
        "remote": remote.encode(),
        "concat": f"ffconcat version 1.0\nfile {decoys}/decoy.mp4\nfile http://{address}/a.mp4\n".encode(),
        "dash": dash.encode(),
        "imf": imf.encode(),
        "sdp": sdp.encode(),
        "vobsub": b"# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    }


def with_external_data(clip: bytes, named: Path) -> bytes:
    """An MP4 whose tracks say that their data lie in another file, by an alias of QuickTime."""
    path = os.fsencode(named)
    alias = (
        bytes(10)
        + b"\x06volume".ljust(28, b"\0")
        + bytes(12)
        + bytes([len(named.name)])
        + os.fsencode(named.name).ljust(63, b"\0")
        + bytes(16)
    )
    alias += struct.pack(">hh", 1, 1) + bytes(16)
    alias += struct.pack(">hh", 2, len(path)) + path + bytes(len(path) % 2) + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    return _changed(clip, b"dref", bytes(4) + struct.pack(">I", 1) + entry)


def _changed(boxes: bytes, kind: bytes, payload: bytes) -> bytes:
    """Boxes of MP4, those of a kind with another payload. The index must come last, or positions of samples would be wrong."""
    changed = b""
    while boxes:
        size, found = struct.unpack_from(">I4s", boxes)
        inner = boxes[8:size]
        if found == kind:
            inner = payload
        elif found in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            inner = _changed(inner, kind, payload)
        changed += box(found, inner)
        boxes = boxes[size:]
    return changed


def pictures(decoys: Path, address: str) -> dict[str, bytes]:
    """Contents that are drawn by naming others."""
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file://{0}/decoy.jpg">]><svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" width="64" height="64"><image xlink:href="file://{0}/decoy.jpg"/>'
        '<image xlink:href="http://{1}/a.png"/>&x;</svg>'
    )
    eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n({0}/decoy.jpg) (r) file pop\nshowpage\n%%EOF\n"
    return {"svg": svg.format(decoys, address).encode(), "eps": eps.format(decoys).encode()}


def one_line_each(err: str, files: list[Path]) -> None:
    lines = err.splitlines()
    for file in files:
        assert len([line for line in lines if f"{file.name}: " in line]) == 1, err


class TestPlaylists:
    """Whatever their suffix, and also behind an ID3 tag."""

    @pytest.fixture
    def hostile(self, folder: Path, decoys: Path, watch: Watch) -> Path:
        for name, content in playlists(decoys, watch.address).items():
            for suffix in ("mp4", "ts", "mp3", "jpg"):
                (folder / "hostile" / f"{name}.{suffix}").write_bytes(content)
            (folder / "hostile" / f"{name}-tagged.mp3").write_bytes(TAG + content)
        (folder / "hostile" / "vobsub.sub").write_bytes(bytes(4096))
        watch.met()
        return folder / "hostile"

    def test_score(self, mmvatool: Callable, hostile: Path, watch: Watch):
        files = sorted(file for file in hostile.iterdir() if file.suffix != ".sub")
        code, _, err = mmvatool("score", *files, "-q")
        assert (code, watch.met()) == (1, {file.name for file in files})
        one_line_each(err, files)
        assert err.count(ONE_LINE) >= 3 * 8  # what is called .jpg is looked at as a picture

    def test_summarize(self, mmvatool: Callable, hostile: Path, watch: Watch):
        files = [*sorted(hostile.glob("*.mp4")), *sorted(hostile.glob("*.ts"))]
        code, _, err = mmvatool("summarize", *files, "--dry-run", "-q")
        assert (code, watch.met()) == (1, {file.name for file in files})
        one_line_each(err, files)
        assert err.count(ONE_LINE) == len(files)

    @pytest.mark.parametrize("name", ["hls.mp4", "keyed.ts", "concat.ts", "dash.jpg", "sdp.mp3", "hls-tagged.mp3", "concat-tagged.mp3"])
    def test_soundtrack(self, mmvatool: Callable, hostile: Path, watch: Watch, clip: Path, name: str):
        for args in ((hostile / name, "--track", clip), (clip, "--track", hostile / name)):
            code, _, err = mmvatool("soundtrack", *args, "--dry-run", "-q")
            assert (code, watch.met()) == (1, {name}), err
            assert err.count("\n") == 1

    def test_library(self, mmvatool: Callable, hostile: Path, watch: Watch, clip: Path):
        shutil.copy(clip, hostile / "song.m4a")
        watch.met()
        code, _, err = mmvatool("library", "index", hostile, "--index", "index.db", "-q")
        assert code == 3, err
        assert all(name.endswith((".mp3", ".mp4", ".ts", ".m4a")) for name in watch.met())
        one_line_each(err, list(hostile.glob("*.mp3")))


def test_a_track_whose_data_lie_elsewhere(mmvatool: Callable, folder: Path, clip: Path, decoys: Path, watch: Watch):
    content = with_external_data(clip.read_bytes(), decoys / "decoy.mp4")
    for suffix in ("mp4", "mov", "m4a"):
        (folder / "hostile" / f"alias.{suffix}").write_bytes(content)
    named = folder / "hostile" / "alias.mov"
    watch.met()
    for command in (("score", named), ("summarize", named, "--dry-run"), ("soundtrack", named, "--track", clip, "--dry-run")):
        code, _, err = mmvatool(*command, "-q")
        assert (code, watch.met()) == (1, {"alias.mov"}), err
        assert err.count("\n") == 1
    assert mmvatool("library", "index", folder / "hostile", "--index", "index.db", "-q")[0] == 1
    assert watch.met() == {"alias.mp4", "alias.mov", "alias.m4a"}


def test_a_list_does_not_open_what_lies_beside_it(mmvatool: Callable, folder: Path, drawn_clip: Path, watch: Watch):
    """Names without a folder: libav's own guard against others, of concat, lets them through."""
    hostile = folder / "hostile"
    shutil.copy(drawn_clip, hostile / "beside.mp4")
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nbeside.mp4\n#EXT-X-ENDLIST\n"
    for name, content in (("concat.mp4", "ffconcat version 1.0\nfile beside.mp4\n"), ("hls.m3u8", hls), ("hls.ts", hls)):
        (hostile / name).write_text(content)
        watch.met()
        for command in (("score",), ("summarize", "--dry-run")):
            code, _, err = mmvatool(command[0], hostile / name, *command[1:], "-q")
            assert (code, watch.met(), err.count("\n")) == (1, {name}, 1), err
            assert "is a playlist that names other files" in err


def test_a_name_with_a_number_in_it_is_a_name(mmvatool: Callable, folder: Path, drawn_clip: Path, decoys: Path, watch: Watch):
    """A pattern of libav's image2 would open p1.jpg beside it."""
    hostile = folder / "hostile"
    shutil.copy(decoys / "p1.jpg", hostile / "p1.jpg")
    for name in ("p%d.jpg", "p*.jpg"):
        shutil.copy(drawn_clip, hostile / name)
    shutil.copy(decoys / "p1.jpg", hostile / "q%d.jpg")
    for name, expected in (("p%d.jpg", 1), ("p*.jpg", 1), ("q%d.jpg", 0)):
        watch.met()
        for command in (("score",), ("soundtrack", "--track", drawn_clip, "--dry-run")):
            code, _, err = mmvatool(command[0], hostile / name, *command[1:], "-q")
            assert (code, watch.met()) == (expected, {name}), err
        code, _, err = mmvatool("summarize", hostile / name, "--dry-run", "-q")
        assert (code, watch.met(), err.count("\n")) == (1, {name}, 1), err


def test_drawings_are_no_pictures(mmvatool: Callable, folder: Path, decoys: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch):
    """Neither SVG nor EPS is drawn: for EPS Pillow would run a program, found by its name."""
    (folder / "gs").write_text(f"#!/bin/sh\ncat {decoys}/decoy.jpg\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    files = []
    for kind, content in pictures(decoys, watch.address).items():
        for suffix in ("jpg", "png", "mp4"):
            files.append(folder / "hostile" / f"{kind}.{suffix}")
            files[-1].write_bytes(content)
    watch.met()
    code, _, err = mmvatool("score", *files, "-q")
    assert (code, watch.met()) == (1, {file.name for file in files})
    one_line_each(err, files)
    for file in files:
        code, _, err = mmvatool("soundtrack", file, "--track", decoys / "decoy.wav", "--dry-run", "-q")
        assert (code, err.count("\n")) == (1, 1), err
    assert watch.met() <= {"decoy.wav", *(file.name for file in files)}


# A process that has grown hands its size on to what it starts, as the most memory that was taken: so a small one is between.
MEASURING = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(done.returncode)
"""


@pytest.fixture
def measured(folder: Path) -> Callable[..., tuple[int, str, int]]:
    """Run one command line in a process of its own: exit code, stderr, and the most memory that it took, in MB."""

    def call(*args: object) -> tuple[int, str, int]:
        command = [sys.executable, "-c", MEASURING, PROGRAM, *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")
        return done.returncode, done.stderr, int(done.stdout)

    return call


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG of black pixels that claims a size, its data those of a few lines."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *extra, chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")))


def resized(picture: bytes, before: bytes, skip: int, size: bytes) -> bytes:
    """A picture with another size behind each mark of that name."""
    head, *parts = picture.split(before)
    return before.join([head, *(part[:skip] + size + part[skip + len(size) :] for part in parts)])


def test_enormous_pictures_cost_a_line(measured: Callable, folder: Path):
    """Sizes that are claimed, and texts that unpack to half a gigabyte."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    drawn = {}
    for suffix in ("heic", "jpg", "bmp", "gif"):
        Image.new("RGB", (64, 64), "red").save(folder / f"small.{suffix}")
        drawn[suffix] = (folder / f"small.{suffix}").read_bytes()
    packer = zlib.compressobj()
    text = b"a\0\0" + b"".join(packer.compress(bytes(1 << 20)) for _ in range(500)) + packer.flush()
    side = struct.pack(">I", 100_000)
    files = {
        "a.png": png(100_000, 100_000),
        "b.png": png(8, 8, chunk(b"zTXt", text)),
        "c.png": png(8, 8, chunk(b"iCCP", text)),
        "d.heic": resized(drawn["heic"], b"ispe", 4, side * 2),
        "e.jpg": resized(drawn["jpg"], b"\xff\xc0", 3, struct.pack(">HH", 65_500, 65_500)),
        "f.bmp": drawn["bmp"][:18] + struct.pack("<II", 100_000, 100_000) + drawn["bmp"][26:],
        "g.gif": drawn["gif"][:6] + struct.pack("<HH", 65_535, 65_535) + drawn["gif"][10:],
        "h.heic": drawn["heic"][:-100],
        "i.jpg": drawn["jpg"][:-100],
        "j.png": png(8, 8)[:45],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    code, err, most_mb = measured("score", *files, "-q")
    assert code == 1
    assert err.count("\n") == len(files), err
    one_line_each(err, [folder / name for name in files])
    assert err.count("million pixels; scale it down") >= 5
    assert most_mb < 700


def test_enormous_tags_and_claims_cost_little(measured: Callable, folder: Path, clip: Path):
    """200 MB of ID3 and a subtitle file of 1 GB, both sparse; 100,000 streams; 64 MB of a title; rates and sizes that no file has."""
    content = clip.read_bytes()
    start, size = content.index(b"moov") - 4, struct.unpack_from(">I", content, content.index(b"moov") - 4)[0]
    before, index = content[:start], content[start + 8 : start + size]
    track = index[index.index(b"trak") - 4 :]
    track = track[: struct.unpack_from(">I", track)[0]]
    (folder / "streams.mp4").write_bytes(before + box(b"moov", index + track * 20_000))
    title = box(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0) + b"x" * (64 << 20)))
    tags = box(b"udta", box(b"meta", bytes(4) + box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)) + box(b"ilst", title)))
    (folder / "title.mp4").write_bytes(before + box(b"moov", index + tags))
    large = content.index(b"avc1") + 28
    (folder / "size.mp4").write_bytes(content[:large] + b"\xff" * 4 + content[large + 4 :])
    with (folder / "subtitles.mp4").open("wb") as file:
        file.write(b"1\n00:00:00,000 --> 00:00:01,000\n")
        file.truncate(1 << 30)
    media.run_ffmpeg("-i", clip, "-id3v2_version", 0, folder / "song.mp3")
    length = 200 << 20
    with (folder / "tagged.mp3").open("wb") as file:
        stated, text = (bytes(bits >> shift & 127 for shift in (21, 14, 7, 0)) for bits in (length, length - 10))
        file.write(b"ID3\x04\0\0" + stated + b"TIT2" + text + b"\0\0\x03")
        file.seek(10 + length)
        file.write((folder / "song.mp3").read_bytes())
    for rate_hz in (1, 2**31 - 1):
        head = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, 0, 2, 16)
        (folder / f"{rate_hz}.wav").write_bytes(
            b"RIFF\xff\xff\xff\xffWAVEfmt " + head + b"data" + struct.pack("<I", 200_000) + bytes(200_000)
        )
    code, err, most_mb = measured(
        "score", "streams.mp4", "subtitles.mp4", "1.wav", "2147483647.wav", "tagged.mp3", "title.mp4", "size.mp4", "-q"
    )
    assert code == 3
    assert most_mb < 1000
    assert err.count("\n") == 4, err
    one_line_each(err, [folder / name for name in ("streams.mp4", "subtitles.mp4", "1.wav", "2147483647.wav")])
    assert probe(folder / "title.mp4").tags == {}


def test_a_video_of_frames_that_are_too_large_is_refused(measured: Callable, folder: Path):
    """They fit into a few kilobytes."""
    media.run_ffmpeg("-f", "lavfi", "-i", "color=s=16384x8200:d=0.04,format=gray", "-c:v", "png", folder / "large.mov")
    code, err, most_mb = measured("summarize", "large.mov", "--dry-run", "-q")
    assert (code, err.count("\n")) == (1, 1), err
    assert "has frames of 16384 x 8200" in err
    assert most_mb < 1500


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
