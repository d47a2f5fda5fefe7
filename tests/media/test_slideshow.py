"""A slideshow is decoded again: which picture is on screen when, how it moves and fades, its colours, its sound."""

import subprocess
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.errors import MediaError, OutputError, RenderError, SettingsError
from mmvatool.media import ffmpeg, slideshow
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import probe
from mmvatool.timeline import Clip, Timeline
from tests.helpers import media

SIZE = (160, 90)
RATE = Fraction(10)
COLOUR_TOLERANCE = 4.0  # of 255
RED, GREEN, BLUE, GREY = (200, 40, 40), (30, 160, 60), (40, 60, 190), (128, 128, 128)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), colour, np.uint8)


def dotted(at: tuple[float, float], size: tuple[int, int] = (640, 360)) -> np.ndarray:
    """A soft white dot on black; its place in shares of width and height."""
    y, x = np.mgrid[: size[1], : size[0]]
    distance = (x + 0.5 - at[0] * size[0]) ** 2 + (y + 0.5 - at[1] * size[1]) ** 2
    return np.repeat((255 * np.exp(-distance / (2 * (size[0] / 40) ** 2)))[..., None].round().astype(np.uint8), 3, 2)


def dots(frames: np.ndarray) -> np.ndarray:
    """Where the dot is in each frame, (N, 2) as x and y in pixels."""
    light = np.clip(frames.astype(float).mean(3) - 20, 0, None)
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]]
    return np.stack([(light * axis).sum((1, 2)) / light.sum((1, 2)) for axis in (x, y)], 1)


def made(
    target: Path, pictures: Sequence[np.ndarray], seconds: float | Sequence[float] = 1.0, sound: Path | None = None, **options: object
) -> np.ndarray:
    """Render pictures, each for some seconds; all frames of the result."""
    lengths = [seconds] * len(pictures) if isinstance(seconds, (int, float)) else list(seconds)
    ends = np.cumsum(lengths)
    clips = tuple(
        Clip(Path(str(index)), float(end - length), float(end)) for index, (end, length) in enumerate(zip(ends, lengths, strict=True))
    )
    return shown(target, Timeline(clips), sound, read=lambda path: pictures[int(path.name)], **options)


def shown(target: Path, timeline: Timeline, sound: Path | None = None, **options: object) -> np.ndarray:
    given = {"size": SIZE, "rate": RATE, "infos": {}, "read": lambda path: pytest.fail("no picture")} | options
    slideshow.render(timeline, sound, target, **given)  # type: ignore[arg-type]
    info = probe(target)
    return FFmpegFrames(info).read(np.arange(len(info.times_s)))


def middle(frames: np.ndarray) -> np.ndarray:
    """The mean colour of the middle of each frame, (N, 3)."""
    return frames[:, 35:55, 70:90].mean((1, 2))


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(24000, 1001)])
@pytest.mark.parametrize("still", [True, False])
def test_every_picture_is_shown_when_it_should_be(tmp_path, rate, still):
    lengths = [1.0, 0.75, 1.3]
    colours = [RED, GREEN, BLUE]
    frames = made(tmp_path / "a.mp4", [plain(colour) for colour in colours], lengths, rate=rate, still=still, crossfade_s=0)
    info = probe(tmp_path / "a.mp4")
    assert len(frames) == round(3.05 * rate)
    assert (info.rate, info.constant_rate, info.start_s) == (rate, True, 0.0)
    assert info.end_s == pytest.approx(float(len(frames) / rate), abs=1e-6)
    expected = [colours[int(np.searchsorted([1.0, 1.75], float(n / rate) + 1e-9, side="right"))] for n in range(len(frames))]
    np.testing.assert_allclose(middle(frames), expected, atol=COLOUR_TOLERANCE)


def test_the_file_is_what_phones_and_browsers_play(tmp_path):
    pictures = [media.SCENES[name](SIZE, 0.3) for name in ("fireworks", "meadow", "rays")]
    made(tmp_path / "a.mp4", pictures, 2.5)
    info = probe(tmp_path / "a.mp4")
    assert (info.video.codec, info.video.pixel_format, info.video.width, info.video.height) == ("h264", "yuv420p", *SIZE)
    color = info.video.color
    assert (color.matrix, color.primaries, color.transfer, color.full_range, color.range_tagged) == ("bt709", "bt709", "bt709", False, True)
    assert not info.open_gop
    assert np.diff(info.keys_s, append=info.end_s).max() <= slideshow.KEY_S + 1e-6
    stderr = subprocess.run([ffmpeg.executable(), "-i", str(tmp_path / "a.mp4")], capture_output=True, text=True, timeout=60).stderr
    assert "h264 (High)" in stderr
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("still", [True, False])
def test_saturated_colours_survive(tmp_path, still):
    colours = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)], [(0, 255, 255), (255, 0, 255), (255, 255, 255), (0, 0, 0)]])
    picture = colours.astype(np.uint8).repeat(45, 0).repeat(40, 1)
    frames = made(tmp_path / "a.mp4", [picture], 1, still=still, crossfade_s=0)
    np.testing.assert_allclose(frames[5, 22::45, 20::40], colours, atol=COLOUR_TOLERANCE)


def test_a_crossfade_is_centred_on_the_cut(tmp_path):
    frames = middle(made(tmp_path / "a.mp4", [plain(RED), plain(BLUE)], 2, crossfade_s=0.8))
    red, blue = np.array(RED), np.array(BLUE)
    np.testing.assert_allclose(frames[20], (red + blue) / 2, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[18], 0.75 * red + 0.25 * blue, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[22], 0.25 * red + 0.75 * blue, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[6:17], np.broadcast_to(red, (11, 3)), atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[24:34], np.broadcast_to(blue, (10, 3)), atol=COLOUR_TOLERANCE)
    # From black and to black in half a second.
    np.testing.assert_allclose(frames[:5], np.outer(np.arange(5) / 5, red), atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[-5:], np.outer(np.arange(5)[::-1] / 5, blue), atol=COLOUR_TOLERANCE)


def test_a_crossfade_takes_half_a_short_clip_at_most(tmp_path):
    frames = middle(made(tmp_path / "a.mp4", [plain(RED), plain(GREEN), plain(BLUE)], [2, 0.8, 2], crossfade_s=5))
    np.testing.assert_allclose(frames[24], GREEN, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[20], (np.array(RED) + GREEN) / 2, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[28], (np.array(GREEN) + BLUE) / 2, atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(frames[18], RED, atol=COLOUR_TOLERANCE)  # .4 s for each of them, no more


def test_clips_shorter_than_a_frame_are_passed_over(tmp_path):
    frames = middle(made(tmp_path / "a.mp4", [plain(RED), plain(GREEN), plain(BLUE)], [1.01, 0.03, 0.96], crossfade_s=1, still=True))
    assert len(frames) == 20
    np.testing.assert_allclose(frames[[8, 14]], [RED, BLUE], atol=COLOUR_TOLERANCE)
    np.testing.assert_allclose(middle(made(tmp_path / "b.mp4", [plain(RED)], 0.02)), [RED], atol=COLOUR_TOLERANCE)


@pytest.mark.parametrize(
    ("size", "area"), [((400, 300), (120, 90)), ((90, 160), (51, 90)), ((300, 100), (160, 53)), ((4000, 2240), SIZE), ((7, 7), (90, 90))]
)
@pytest.mark.parametrize("fill", slideshow.FILLS)
def test_bars_are_where_they_should_be(tmp_path, size, area, fill):
    frame = made(tmp_path / "a.mp4", [plain(RED, size)], 0.5, fill=fill, crossfade_s=0)[2].astype(float)
    left, upper = (SIZE[0] - area[0]) // 2, (SIZE[1] - area[1]) // 2
    inside = np.zeros(SIZE[::-1], bool)
    inside[upper : upper + area[1], left : left + area[0]] = True
    if fill == "crop":
        inside[:] = True
    bars = {"black": np.zeros(3), "blur": slideshow.BLUR_LIGHT * np.array(RED), "crop": None}[fill]
    expected = np.where(inside[..., None], RED, 0 if bars is None else bars)
    close = np.abs(frame - expected).max(2) <= 2 * COLOUR_TOLERANCE
    # Chroma has half the resolution: the pixels at a border are a mixture, and those near it are coded less exactly.
    border = np.zeros_like(inside)
    for axis in (0, 1):
        edge = np.diff(inside.astype(int), axis=axis, prepend=inside.take([0], axis).astype(int)) != 0
        for shift in (-3, -2, -1, 0, 1, 2):
            border |= np.roll(edge, shift, axis)
    assert close[~border].all()


@pytest.mark.parametrize("size", [(60_000, 8), (8, 60_000), (1, 1), (161, 91)])
@pytest.mark.parametrize("fill", ["blur", "crop"])
def test_odd_shapes(tmp_path, size, fill):
    frames = made(tmp_path / "a.mp4", [plain(RED, size)], 0.3, fill=fill, crossfade_s=0)
    if fill == "crop" or size[0] < 200 > size[1]:
        np.testing.assert_allclose(middle(frames), np.broadcast_to(RED, (3, 3)), atol=COLOUR_TOLERANCE)
    else:
        assert frames[1, 44:46, 79:81].mean() > 20  # a thin line


@pytest.mark.parametrize("index", range(4))
def test_pan_and_zoom_are_smooth_and_go_on_through_the_crossfades(tmp_path, index):
    """A dot far from the point that stays in its place, in a picture of each of the four movements; the others are black."""
    anchor = slideshow.ANCHORS[index]
    dot = (1 - anchor[0], 1 - anchor[1])
    pictures = [plain((0, 0, 0))] * 5
    pictures[index] = dotted(dot)
    frames = made(tmp_path / "a.mp4", pictures, 2, crossfade_s=1)
    first, stop = max(3, 20 * index - 2), 20 * index + 23  # bright enough to be found
    start_s, end_s = (20 * index - 5 * (index > 0)) / 10, (20 * index + 25) / 10
    passed = (np.arange(first, stop) / 10 - start_s) / (end_s - start_s)
    zoom = slideshow.ZOOM ** (passed if index % 2 == 0 else 1 - passed)
    track = dots(frames[first:stop])
    for axis, side in enumerate(SIZE):
        expected = (anchor[axis] + (dot[axis] - anchor[axis]) * zoom) * side - 0.5
        np.testing.assert_allclose(track[:, axis], expected, atol=0.3)
        assert np.ptp(expected) > 3  # it does move
        steps = np.diff(track[:, axis]) * np.sign(expected[-1] - expected[0])
        assert (steps > 0).all()
        assert np.abs(steps - np.abs(np.diff(expected))).max() < 0.2  # no jerks


def test_fine_texture_is_equally_sharp_everywhere(tmp_path):
    """Noise, near the end of the zoom, where the copy has hardly more pixels than the frame."""
    noise = np.random.default_rng(0).integers(0, 256, (810, 1440, 1), dtype=np.uint8).repeat(3, 2)
    target = tmp_path / "a.mp4"
    slideshow.render(
        Timeline((Clip(Path("n"), 0, 2),)), None, target, size=(480, 270), rate=RATE, crossfade_s=0, read=lambda path: noise, infos={}
    )
    frame = FFmpegFrames(probe(target)).read([18])[0].mean(2)
    blocks = frame[: 30 * (frame.shape[0] // 30), : 30 * (frame.shape[1] // 30)].reshape(frame.shape[0] // 30, 30, -1, 30).std((1, 3))
    assert blocks.std() < 0.06 * blocks.mean()


def test_still_pictures_stand_still_and_backgrounds_always(tmp_path):
    picture = dotted((0.8, 0.7), (400, 300))
    frames = made(tmp_path / "still.mp4", [picture], 1, still=True, crossfade_s=0).astype(int)
    assert np.abs(frames - frames[0]).max() <= 3
    frames = made(tmp_path / "moving.mp4", [picture], 1, crossfade_s=0).astype(int)
    assert np.abs(frames - frames[0])[:, :, :16].max() <= 4  # the bars
    assert np.abs(frames - frames[0])[:, :, 20:140].max() > 40


SUFFIXES = [".mp4", ".m4v", ".mov", ".mkv", ".webm"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_is_copied_and_in_step(tmp_path, suffix):
    media.write_wav(tmp_path / "a.wav", media.click_sound(3, [1.0, 2.0]), 2)
    sound = tmp_path / ("a.opus" if suffix == ".webm" else "a.m4a")
    media.run_ffmpeg("-i", tmp_path / "a.wav", "-c:a", "libopus" if suffix == ".webm" else "aac", sound)
    frames = made(tmp_path / f"b{suffix}", [plain(RED), plain(BLUE), plain(GREEN)], 1, sound=sound, crossfade_s=0)
    info = probe(tmp_path / f"b{suffix}")
    assert info.audio is not None
    assert (info.audio.codec, info.video.codec) == (("opus", "vp9") if suffix == ".webm" else ("aac", "h264"))
    np.testing.assert_allclose(info.times_s, np.arange(30) / 10, atol=1e-6)
    np.testing.assert_allclose(middle(frames)[[9, 10, 19, 20]], [RED, BLUE, BLUE, GREEN], atol=COLOUR_TOLERANCE + 4 * (suffix == ".webm"))
    given, written = decoded(sound), decoded(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(written[: len(given)], given[: len(written)])
    assert min(len(given), len(written)) >= 3 * media.RATE_HZ - 1024
    loud = np.flatnonzero(np.abs(written) > 8000) / media.RATE_HZ
    np.testing.assert_allclose(loud[np.diff(loud, prepend=-1) > 0.2], [1.0, 2.0], atol=0.01)


def decoded(path: Path) -> np.ndarray:
    """The first channel of a file's sound, from where the picture begins."""
    node = ffmpeg.source(path)["a"].output("pipe:", format="s16le", ac=2, ar=media.RATE_HZ)
    return np.frombuffer(ffmpeg.run(node, path).stdout, "<i2").reshape(-1, 2)[:, 0].astype(int)


@pytest.mark.parametrize("error", [MediaError(Path("x.jpg"), "damaged picture"), KeyboardInterrupt()])
@pytest.mark.parametrize("index", [0, 2])
def test_a_picture_that_cannot_be_read_leaves_nothing(tmp_path, error, index):
    def read(path: Path) -> np.ndarray:
        if path.name == str(index):
            raise error
        return plain(RED)

    timeline = Timeline(tuple(Clip(Path(str(n)), n, n + 1) for n in range(4)))
    threads = threading.active_count()
    with pytest.raises(type(error)):
        slideshow.render(timeline, None, tmp_path / "a.mp4", size=SIZE, rate=RATE, read=read, infos={})
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


def test_interrupted_while_writing_leaves_nothing(tmp_path):
    def interrupt(count: int) -> None:
        if count == 12:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "a.mp4", [plain(RED), plain(BLUE)], 1, on_frame=interrupt)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


def test_pictures_are_read_one_ahead_and_frames_counted(tmp_path):
    """When a picture is read, the one before it is about to be shown: hundreds of them are never held together."""
    done, reads = [0], {}

    def read(path: Path) -> np.ndarray:
        reads[int(path.name)] = done[-1]
        return plain(RED)

    timeline = Timeline(tuple(Clip(Path(str(n)), 2 * n, 2 * n + 2) for n in range(6)))
    slideshow.render(timeline, None, tmp_path / "a.mp4", size=SIZE, rate=RATE, read=read, infos={}, on_frame=done.append)
    assert done == list(range(121))
    assert sorted(reads) == list(range(6))
    for index, frame in reads.items():
        assert frame >= 20 * (index - 1) - 5 - slideshow.MOST_WORKERS - 1


def test_sizes_that_no_player_shows():
    for size in ((1921, 1080), (1920, 1081), (14, 90), (8194, 1080), (0, 0), (-2, 90)):
        with pytest.raises(SettingsError, match=f"{size[0]}x{size[1]}"):
            slideshow.check_size(size)
    slideshow.check_size((16, 8192))


def test_an_odd_size_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(SettingsError):
        shown(tmp_path / "a.mp4", Timeline((Clip(Path("a"), 0, 1),)), size=(161, 90))


def test_a_target_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        made(tmp_path / "file" / "a.mp4", [plain(RED)])


def test_what_was_not_planned_gets_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(slideshow, "KEY_S", Fraction(1, 10))
    good = slideshow.video_params
    monkeypatch.setattr(slideshow, "video_params", lambda *args: [*good(*args), "-frames:v", "7"])
    with pytest.raises(RenderError):
        made(tmp_path / "a.mp4", [plain(RED)], 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("index", range(4))
def test_a_picture_is_drawn_at_bounds_that_miss_their_frames_by_rounding(index):
    picture = Image.new("RGB", (37, 23), "orange")
    appearance = slideshow._Appearance(Clip(Path("a.png"), 0, 1), index, 1e-9, 1 - 1e-9, 0, 5)
    moving = slideshow._ImageScene(appearance, Fraction(4), (32, 18), picture, None, False)
    assert [moving.draw(number)().size for number in (0, 2, 4)] == [(32, 18)] * 3
