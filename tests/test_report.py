import io

import numpy as np
from PIL import Image

from mmvatool.report import curve_png
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
