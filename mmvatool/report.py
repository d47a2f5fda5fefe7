"""What people look at: the arousal curve with the kept parts shaded."""

import io
import warnings
from collections.abc import Sequence

import numpy as np

from mmvatool.timeline import Segment


def curve_png(times_s: np.ndarray, arousal: np.ndarray, kept: Sequence[Segment], span_s: tuple[float, float], title: str) -> bytes:
    """The arousal curve over time as a PNG.

    Args:
        times_s: (N,) sample times, seconds.
        arousal: (N,) in [0, 1].
        kept: the parts to shade.
        span_s: start and end of the video.
        title: shown as it is, above the plot; what cannot be printed is escaped.

    Returns:
        The PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(10, 3), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, part in enumerate(kept):
        axes.axvspan(part.start_s, part.end_s, color="#f2a65a", alpha=0.55, lw=0, label="kept" if number == 0 else None)
    axes.plot(times_s, arousal, color="#2b4c7e", lw=1.6, marker="o" if len(times_s) < 90 else None, ms=3, label="arousal")
    low, high = float(arousal.min()), float(arousal.max())
    margin = max(0.02, (high - low) * 0.15)
    axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
    axes.set_xlim(*span_s)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02d}"))
    axes.set_ylabel("arousal")
    printable = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in title)
    axes.set_title(printable, loc="left", fontsize=10, parse_math=False)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # an emoji in a name is drawn as a box
        FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()
