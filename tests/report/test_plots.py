import io

import numpy as np
import pytest
from PIL import Image

from mmvatool.report.plots import BenchmarkRow, PlottedScore, benchmark_png, curve_png, plane_png
from mmvatool.timeline import Segment


def _picture(kept):
    times = np.arange(1, 60, 2.0)
    data = curve_png(times, 0.3 + 0.1 * np.sin(times / 9), kept, (0, 60), "a $weird_title$ <b>.mp4")
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_kept_parts_are_shaded_where_they_are():
    plain, shaded = _picture([]), _picture([Segment(30, 45)])
    assert plain.shape == shaded.shape == (360, 1200, 3)
    changed = np.abs(plain - shaded).sum(2)[100:300].max(0) > 30
    columns = np.flatnonzero(changed)
    left, right = np.flatnonzero((plain[:, :, :].sum(2) < 150).sum(0) > 150)[0], 1195  # the y axis; the plot's right edge
    for column, share in ((columns.min(), 0.5), (columns.max(), 0.75)):
        assert abs((column - left) / (right - left) - share) < 0.02


def test_one_sample_is_drawn():
    assert curve_png(np.array([0.5]), np.array([0.4]), [], (0, 1), "x")[:4] == b"\x89PNG"


def _plane(*scores: PlottedScore) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(plane_png(scores))).convert("RGB")).astype(int)


def _still(name: str, valence: float, arousal: float) -> PlottedScore:
    return PlottedScore(name, valence, arousal, np.empty(0), np.empty((0, 2)))


def test_a_dot_lies_where_it_should():
    """The plane is a square: the frame's left and lower edge are its longest dark lines."""
    picture = _plane(_still("", 0.25, 0.75))
    dark = picture.sum(2) < 100
    left, bottom = int(dark.sum(0).argmax()), int(dark.sum(1).argmax())
    blue = np.argwhere((picture[..., 2] > 150) & (picture[..., 0] < 80))
    y, x = blue.mean(0)
    side = dark[:, left].sum()
    assert abs((x - left) / side - 0.25) < 0.01
    assert abs((bottom - y) / side - 0.75) < 0.01


def test_curves_make_the_plot_wide_and_names_are_shown_as_they_are():
    times = np.arange(1, 60, 2.0)
    va = np.column_stack([0.5 + 0.2 * np.sin(times), np.linspace(0.2, 0.8, len(times))])
    odd = "a $weird_title$ <b> \U0001f386\n.mp4"
    assert _plane(_still(odd, 0.1, 0.9), PlottedScore(odd, 0.5, 0.5, times, va)).shape == (720, 1440, 3)
    assert _plane(_still(odd, 0.1, 0.9)).shape == (720, 768, 3)


def test_names_do_not_cover_each_other_and_very_many_are_left_out():
    near = _plane(*[_still(f"name {number}", 0.5, 0.5) for number in range(5)])
    rows = np.flatnonzero((near[:, 450:].sum(2) < 100).any(1))
    # Five names over each other would take the height of one: 12 pixels.
    assert len(rows) > 3 * 9
    many = _plane(*[_still(f"name {number}", 0.5, 0.5) for number in range(300)])
    assert many.shape == near.shape


def test_a_benchmark_has_a_line_for_each_row_and_its_mean_where_it_lies():
    rows = [BenchmarkRow("mine $x$", 80.0, [70, 90], ours=True), BenchmarkRow("other", 40.0, [20, 60]), BenchmarkRow("published", 60.0)]
    picture = np.asarray(Image.open(io.BytesIO(benchmark_png({"one": rows, "two": rows[:1]}, "F", "title"))).convert("RGB")).astype(int)
    assert picture.shape[1] == 1080
    red = (picture[:, :, 0] > 180) & (picture[:, :, 1] < 100)  # our marks, in both panels, and the numbers at the right
    blue = (picture[:, :, 2] > 100) & (picture[:, :, 0] < 70)
    marks = [np.flatnonzero(colour[:, :960].sum(0) >= 12).mean() for colour in (red, blue)]
    left = np.flatnonzero((picture.sum(2) < 150).sum(0) > 60)[0]  # the y axis, at 0
    assert (marks[1] - left) / (marks[0] - left) == pytest.approx(0.5, abs=0.01)
