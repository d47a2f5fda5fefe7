"""Where a picture changes: by what the encoder spent, and by looking."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmvatool.media import changes, sampling
from mmvatool.media.changes import exact_changes, likely_change
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.media.sampling import Sampler
from tests.helpers import media

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
CUTS = (33, 83, 127)  # of four scenes in 200 frames
KINDS = {
    "a keyframe at each cut": ("-g", "25"),
    "a keyframe a second": ("-g", "25", "-x264-params", "scenecut=0"),
    "no keyframe": ("-g", "500", "-x264-params", "scenecut=0"),
    "all keyframes": ("-g", "1"),
    "a low rate": ("-g", "25", "-x264-params", "scenecut=0", "-b:v", "60k", "-maxrate", "60k", "-bufsize", "30k"),
}


def _scenes(path: Path, params: tuple[str, ...], flash: int = 0) -> MediaInfo:
    """Patches that drift, others at each cut; with `flash` so much brighter in every other frame."""
    patches = np.random.default_rng(0).integers(0, 256, (4, 9, 16, 3)).repeat(10, 1).repeat(10, 2).astype(np.uint8)

    def picture(number: int) -> np.ndarray:
        scene = np.roll(patches[np.searchsorted(CUTS, number, side="right")] // 2, number // 4, axis=1)
        return scene + np.uint8(flash * (number % 2))

    return probe(media.encode(path, picture, 200, Fraction(25), None, (*X264, *params)))


def test_a_change_is_found_by_what_the_encoder_spent(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), np.uint8)

    def picture(number: int) -> np.ndarray:
        return noise[0 if number < 83 else 1]

    for params in (("-g", "25"), ("-g", "25", "-x264-params", "scenecut=0"), ("-g", "500", "-x264-params", "scenecut=0")):
        info = probe(media.encode(tmp_path / "a.mp4", picture, 200, Fraction(25), None, (*X264, *params)))
        assert likely_change(info, 50, 100) == pytest.approx(83, abs=3), params
    info = probe(media.encode(tmp_path / "b.mp4", picture, 200, Fraction(25), None, (*X264, "-g", "1")))
    assert likely_change(info, 50, 100) is None


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_are_found_to_the_frame(kind, tmp_path):
    info = _scenes(tmp_path / "a.mp4", KINDS[kind])
    assert exact_changes(info, [(10, 50), (60, 110), (115, 160)]) == [*CUTS]
    assert exact_changes(info, [(82, 83)]) == [83]
    assert exact_changes(info, []) == []


def test_only_around_a_likely_cut_is_looked_at(tmp_path, decoded):
    info = _scenes(tmp_path / "a.mp4", KINDS["a keyframe at each cut"])
    assert exact_changes(info, [(10, 50), (60, 110)]) == [33, 83]
    assert decoded == [2 * (2 * round(changes.REACH_S * 25) + 1)]


def test_all_of_a_span_is_looked_at_where_nothing_stands_out(tmp_path, decoded):
    """A strobe: every step is as large as a cut."""
    info = _scenes(tmp_path / "a.mp4", KINDS["no keyframe"], flash=100)
    (found,) = exact_changes(info, [(60, 110)])
    assert 60 < found <= 110
    assert decoded[-1] == 51


def test_no_change_is_midway(tmp_path):
    """A still picture; and one of which nothing can be decoded."""
    info = probe(media.encode(tmp_path / "a.mp4", lambda number: np.full((90, 160, 3), 90, np.uint8), 100, Fraction(25), None, X264))
    assert exact_changes(info, [(20, 40)]) == [31]
    data = bytearray(info.path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    data[start:end] = bytes(end - start)
    info.path.write_bytes(data)
    assert exact_changes(info, [(20, 40)]) == [31]


def test_a_span_is_not_compared_with_another(tmp_path):
    """Its first frame is damaged: the next is not a cut, whatever the span before it showed."""
    info = _scenes(tmp_path / "a.mp4", ("-g", "1"))
    alone = exact_changes(info, [(130, 160)])
    data = bytearray(info.path.read_bytes())
    begins = np.concatenate([[0], np.cumsum(info.sizes)]) + data.index(b"mdat") + 4
    for frame in (130, 131):
        data[begins[frame] : begins[frame + 1]] = bytes(int(info.sizes[frame]))
    info.path.write_bytes(data)
    assert exact_changes(info, [(10, 50), (130, 160)]) == [33, *alone]


def test_open_groups_are_not_decoded_between_spans(tmp_path, monkeypatch):
    """Packets that refer to the group before cannot be dropped: a run for each place, where ffmpeg can go there by itself."""
    info = replace(_scenes(tmp_path / "a.mp4", KINDS["a keyframe a second"]), open_gop=True)
    runs = []
    run = Sampler._run
    monkeypatch.setattr(Sampler, "_run", lambda self, times_s, first: runs.append((len(times_s), first)) or run(self, times_s, first))
    spans = [(80, 86), (125, 129)]
    assert exact_changes(info, spans) == [83, 127]
    near = len(runs)
    monkeypatch.setattr(sampling, "FAR_S", 1.0)
    assert exact_changes(info, spans) == [83, 127]
    assert len(runs) - near == 2 * near
    assert exact_changes(replace(info, open_gop=False), spans) == [83, 127]


def test_enough_frames_are_looked_at_at_a_low_rate(tmp_path, decoded):
    """At 4 frames a second there would be one beside a likely cut, and nothing for it to stand out from."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), np.uint8)
    info = probe(media.encode(tmp_path / "a.mp4", lambda n: noise[int(n >= 13)] // 2, 40, Fraction(4), None, (*X264, "-g", "4")))
    assert likely_change(info, 8, 16) == 13
    assert exact_changes(info, [(8, 16)]) == [13]
    assert decoded == [7]


def test_a_likely_cut_that_is_none_is_not_taken_for_one(tmp_path, monkeypatch, decoded):
    """Where the encoder spent most there is only motion."""
    info = _scenes(tmp_path / "a.mp4", KINDS["a keyframe a second"])
    monkeypatch.setattr(changes, "likely_change", lambda info, first, last: first + 8)
    assert exact_changes(info, [(60, 110)]) == [83]
    assert decoded == [11, 51]


def test_damaged_frames_are_passed_over(tmp_path):
    info = _scenes(tmp_path / "a.mp4", ("-g", "1"))
    data = bytearray(info.path.read_bytes())
    begins = np.concatenate([[0], np.cumsum(info.sizes)]) + data.index(b"mdat") + 4
    for frame in (70, 71, 95):
        data[begins[frame] : begins[frame + 1]] = bytes(int(info.sizes[frame]))
    info.path.write_bytes(data)
    assert exact_changes(info, [(60, 110)]) == [83]
