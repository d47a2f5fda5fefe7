"""A frame for each step, without decoding what is not needed: the right one, whatever the container and the codec."""

import itertools
import re
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.analysis.slots import slots
from mmvatool.choices import SAMPLINGS
from mmvatool.errors import MediaError
from mmvatool.media import ffmpeg, sampling
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler, Samples, keyframes, pick
from tests.helpers import media
from tests.media.test_frames import STAMPED, _numbers

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")


def _stamped(path: Path, count: int, every: int, *params: str) -> Path:
    """A stamped grey video at 25 frames/s with a keyframe every so many frames."""
    blank = np.full((32, 128, 3), 90, np.uint8)
    return media.encode(path, lambda number: media.stamp(blank, number), count, Fraction(25), None, (*X264, "-g", str(every), *params))


def _stamps(sampler: Sampler, question: np.ndarray) -> list[int]:
    return [media.read_stamp(frame) for frame in sampler.read(question)]


def _picked(path: Path, mode: str) -> tuple[MediaInfo, np.ndarray, Samples]:
    info = probe(path)
    edges_s = slots(info.start_s, info.end_s).edges_s
    return info, edges_s, pick(info, edges_s, mode)


@pytest.mark.parametrize("name", STAMPED)
def test_the_frames_asked_for(kinds, name):
    """Keyframes alone, keyframes and others, the first, the last, scattered, all."""
    info = probe(kinds(name))
    expected, keys, count = _numbers(info, name), keyframes(info), len(info.times_s)
    scattered = np.unique(np.random.default_rng(0).integers(0, count, 9))
    for question in (keys, np.union1d(keys[::2], [5, 17, count // 2]), np.array([count - 1]), np.array([0]), scattered, np.arange(count)):
        sampler = Sampler(info)
        assert _stamps(sampler, question) == expected[question].tolist()
        assert sampler.decoded == list(range(len(question)))


@pytest.mark.parametrize("name", ["plain.mp4", "vp9.webm", "hevc.mp4", "rotated.mp4", "anamorphic.mp4", "variable.mp4"])
def test_the_same_pictures_as_when_all_is_decoded(kinds, name):
    info = probe(kinds(name))
    question = np.union1d(keyframes(info), [7, len(info.times_s) // 2])
    np.testing.assert_array_equal(np.stack([*Sampler(info).read(question)]), FFmpegFrames(info).read(question))


def test_edges_of_blocks_stay_where_they_are_shrunk_away(tmp_path):
    """In keyframes of a large picture that are read alone; whatever builds on one must have it smoothed."""
    noise = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    clip = media.encode(
        tmp_path / "large.mp4", lambda number: np.roll(noise, 7 * number, 1), 20, Fraction(25), None, (*X264, "-g", "5", "-crf", "23")
    )
    info = probe(clip)
    keys, decoded = keyframes(info), FFmpegFrames(info)
    alone, smoothed = np.stack([*Sampler(info).read(keys)]).astype(int), decoded.read(keys)
    assert 0 < np.abs(alone - smoothed).mean() < 0.5
    among = np.union1d(keys, [7])
    np.testing.assert_array_equal(np.stack([*Sampler(info).read(among)]), decoded.read(among))


def test_only_what_is_needed_is_decoded(tmp_path, monkeypatch):
    stderr: list[str] = []
    reader_stderr, stream = ffmpeg.Reader.stderr, ffmpeg.stream
    monkeypatch.setattr(ffmpeg.Reader, "stderr", lambda self: stderr.append(reader_stderr(self)) or stderr[-1])
    monkeypatch.setattr(ffmpeg, "stream", lambda node, path, **options: stream(node, path, log="verbose"))

    def decoded(path: Path, mode: str) -> int:
        info, _, samples = _picked(path, mode)
        stderr.clear()
        assert _stamps(Sampler(info), np.unique(samples.frames)) == np.unique(samples.frames).tolist()
        return int(re.findall(r"(\d+) frames decoded", stderr[0])[-1])

    phone, long = _stamped(tmp_path / "phone.mp4", 500, 25), _stamped(tmp_path / "long.mp4", 500, 250)
    assert decoded(phone, "auto") == 10  # a keyframe for each slot of 2 s, not the 20 that there are
    assert decoded(long, "keyframes") == 2
    assert decoded(long, "exact") > 400


@pytest.mark.parametrize("every", [10, 25, 40, 70, 250, 1000])
@pytest.mark.parametrize("mode", SAMPLINGS)
def test_every_slot_has_a_frame_inside_it(tmp_path, every: int, mode: str):
    info, edges_s, samples = _picked(_stamped(tmp_path / "a.mp4", 437, every), mode)
    times_s, keys = info.times_s[samples.frames], keyframes(info)
    assert keys.tolist() == list(range(0, 437, every))
    assert (np.diff(samples.times_s) > 0).all()
    assert ((edges_s[:-1] <= samples.times_s) & (samples.times_s < edges_s[1:])).all()
    centres_s = (edges_s[:-1] + edges_s[1:]) / 2
    for slot, (start_s, end_s) in enumerate(itertools.pairwise(edges_s)):
        inside = keys[(info.times_s[keys] >= start_s) & (info.times_s[keys] < end_s)]
        away_s = np.abs(info.times_s[keys] - centres_s[slot])
        if mode == "keyframes" or (mode == "auto" and len(inside)):
            assert abs(times_s[slot] - centres_s[slot]) == pytest.approx(away_s.min())
            assert samples.frames[slot] in keys
        else:
            assert samples.frames[slot] == info.frame_at(centres_s)[slot]
        if mode != "keyframes":
            assert start_s <= times_s[slot] < end_s


def test_open_groups_are_decoded_whole(kinds):
    info, _, samples = _picked(kinds("opengop.mp4"), "auto")
    assert info.open_gop
    np.testing.assert_array_equal(samples.frames, _picked(kinds("opengop.mp4"), "exact")[2].frames)


def test_more_samples_than_one_run_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 7)
    sampler = Sampler(probe(_stamped(tmp_path / "a.mp4", 200, 10)))
    question = np.arange(0, 200, 5)
    assert _stamps(sampler, question) == question.tolist()
    assert sampler.decoded == list(range(40))


def test_ffmpeg_takes_as_many_samples_as_a_run_may_have(tmp_path):
    """The longest expression that there can be: keyframes and others by turns, at late times."""
    path = _stamped(tmp_path / "a.mp4", 4100, 2, "-preset", "ultrafast")
    shifted = tmp_path / "late.mp4"
    media.run_ffmpeg("-itsoffset", 90000, "-i", path, "-c", "copy", shifted)
    info = probe(shifted)
    question = np.arange(0, 4 * sampling.CHUNK, 4)
    question[::2] += 1
    assert len(keyframes(info)) == 2050
    assert _stamps(Sampler(info), question) == question.tolist()


def test_what_cannot_be_decoded_is_replaced_and_the_rest_stays_in_place(tmp_path):
    path = _stamped(tmp_path / "a.mp4", 500, 25)
    info, _, samples = _picked(path, "auto")
    data = bytearray(path.read_bytes())
    # The packets of some wanted keyframes, found by what they hold.
    begins = np.concatenate([[0], np.cumsum(info.sizes)])  # no reordering between groups: sizes add up to their places
    start = data.index(b"mdat") + 4
    for frame in samples.frames[[3, 4, 9]]:
        at = start + int(begins[frame])
        data[at : at + int(info.sizes[frame])] = bytes(int(info.sizes[frame]))
    path.write_bytes(data)
    sampler = Sampler(info)  # as probed before: a keyframe of zeros is none, and its group would be joined to the one before
    got = _stamps(sampler, samples.frames)
    assert sampler.decoded == [0, 1, 2, 5, 6, 7, 8]
    assert got == samples.frames[sampler.decoded].tolist()
    assert sampler.substitutes(10).tolist() == [0, 1, 2, 2, 2, 3, 4, 5, 6, 6]


def _shown(path: Path) -> np.ndarray:
    sampler = Sampler(probe(path))
    assert list(sampler.read([0, 5])) == []
    return sampler.substitutes(2)


def test_nothing_to_decode_is_an_error(kinds, tmp_path):
    data = bytearray(kinds("plain.mp4").read_bytes())
    start, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"damaged|no video frame"):
        _shown(path)


@pytest.mark.parametrize("name", ["resized.ts", "plain.avi", "plain.mpg", "edit.mp4"])
def test_sizes_of_all_shown_frames(kinds, name):
    info = probe(kinds(name))
    assert len(info.sizes) == len(info.times_s)
    assert (info.sizes > 0).all()
    assert np.median(info.sizes[keyframes(info)]) > np.median(info.sizes)


def test_memory_does_not_grow_with_the_length(tmp_path):
    """A hundred times the length, each in a process of its own: its packets as text and as Python's tuples would take 50 MB more."""
    short = _stamped(tmp_path / "short.mp4", 1500, 25)
    long = tmp_path / "long.mp4"
    media.run_ffmpeg("-stream_loop", 99, "-i", short, "-c", "copy", long)
    program = (
        "import resource, sys; from pathlib import Path; import numpy as np\n"
        "from mmvatool.media.probe import probe; from mmvatool.media.sampling import Sampler, pick; from mmvatool.analysis.slots import slots\n"
        "info = probe(Path(sys.argv[1])); samples = pick(info, slots(info.start_s, info.end_s).edges_s, 'auto')\n"
        "count = sum(1 for frame in Sampler(info).read(samples.frames[:200]))\n"
        "print(len(info.times_s), count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    run = [sys.executable, "-c", program]
    rows = [
        [*map(int, subprocess.run([*run, str(path)], capture_output=True, check=True, text=True).stdout.split())] for path in (short, long)
    ]
    assert [row[:2] for row in rows] == [[1500, 30], [150_000, 200]]
    unit = 1024 if resource.getpagesize() and sys.platform != "darwin" else 1 << 20
    assert (rows[1][2] - rows[0][2]) / unit < 40
