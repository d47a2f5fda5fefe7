"""Six drawn scenes of planted moods, three calm and three wild: pictures, and moving.

A scene is a function of a size and a time in seconds. What does not move is drawn once for a size. Lengths in the drawing
are in heights, places from 0 to 1. A test holds the moods to what the bundled model sees in them.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Frame = np.ndarray
Size = tuple[int, int]
Colour = tuple[int, int, int]
Fill = int | Colour | tuple[int, int, int, int]
Pen = ImageDraw.ImageDraw


def noise(size: Size, cells: tuple[int, int], seed: int, octaves: int = 5) -> np.ndarray:
    """Fractal noise from 0 to 1 that begins again at its edges; its coarsest grid has (columns, rows)."""
    width, height = size
    draw = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        columns, rows = cells[0] << octave, cells[1] << octave
        grid = np.pad(draw.random((rows, columns)).astype(np.float32), 2, mode="wrap")
        grown = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC, box=(2, 2, 2 + columns, 2 + rows))
        total += np.asarray(grown) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def ridge(width: int, bumps: int, seed: int) -> np.ndarray:
    """A skyline from 0 to 1 that begins again at its right edge."""
    return noise((width, 2), (bumps, 2), seed)[0]


def gradient(size: Size, *stops: tuple[float, Colour]) -> np.ndarray:
    """Colours from top to bottom through (place, colour)."""
    at = np.linspace(0, 1, size[1])
    colours = np.array([colour for _, colour in stops], float)
    column = np.stack([np.interp(at, [stop for stop, _ in stops], colours[:, channel]) for channel in range(3)], -1)
    return np.repeat(column[:, None], size[0], axis=1).astype(np.float32)


def blend(picture: np.ndarray, colour: np.ndarray | Colour, alpha: np.ndarray) -> None:
    """Lay a colour, or another picture, over a picture in place."""
    picture += (np.asarray(colour, np.float32) - picture) * alpha[..., None].astype(np.float32)


def finish(picture: np.ndarray) -> Frame:
    return picture.clip(0, 255).astype(np.uint8)


def smooth(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 at `low` and beyond, 1 at `high` and beyond, an S between."""
    at = ((value - low) / (high - low)).clip(0, 1)
    return at * at * (3 - 2 * at)


def distance(size: Size, x: float, y: float, radius: float) -> np.ndarray:
    """From a place, in radii."""
    rows, columns = np.ogrid[: size[1], : size[0]]
    return np.hypot(columns - x * size[0], rows - y * size[1]) / (radius * size[1])


def below(line: np.ndarray, height: int) -> np.ndarray:
    """An alpha of 1 below a skyline in pixels, soft over one pixel."""
    return (np.arange(height)[:, None] - line[None] + 0.5).clip(0, 1)


def shape(size: Size, draw: Callable[[Pen, int], None]) -> np.ndarray:
    """An alpha with smooth edges: what is drawn in white at twice the size, made smaller again."""
    canvas = Image.new("L", (2 * size[0], 2 * size[1]))
    draw(ImageDraw.Draw(canvas), 2)
    return np.asarray(canvas.reduce(2), np.float32) / 255


def light_of(bright: Image.Image, *glows: tuple[float, float]) -> np.ndarray:
    """What bright things throw around them: glows of (radius, strength), computed on a quarter of the size."""
    width, height = bright.size
    small = bright.resize((width // 4, height // 4), Image.Resampling.BOX)
    total = 0
    for radius, strength in glows:
        blurred = small.filter(ImageFilter.GaussianBlur(radius * height / 4))
        total = total + strength * np.asarray(blurred.resize(bright.size, Image.Resampling.BILINEAR), np.float32)
    return np.asarray(total)


def dots(pen: Pen, x: np.ndarray, y: np.ndarray, radius: np.ndarray, fill: Fill | Sequence[Fill]) -> None:
    """Discs of one colour, or of one each."""
    fills = fill if isinstance(fill, list) else [fill] * len(x)
    for cx, cy, r, one in zip(x.tolist(), y.tolist(), radius.tolist(), fills, strict=True):
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=one)


def firs(pen: Pen, places: np.ndarray, feet: np.ndarray, heights: np.ndarray, slim: float = 1.0) -> None:
    """White firs, of five tiers each, for `shape`."""
    for x, foot, height in zip(places.tolist(), feet.tolist(), heights.tolist(), strict=True):
        for tier in range(5):
            top, bottom, width = (
                foot - height * (1 - 0.17 * tier),
                foot - height * (0.70 - 0.17 * tier),
                slim * height * (0.09 + 0.045 * tier),
            )
            pen.polygon([(x, top), (x - width, bottom), (x + width, bottom)], fill=255)
        pen.rectangle((x - 0.02 * height, foot - 0.05 * height, x + 0.02 * height, foot + 0.04 * height), fill=255)


@cache
def _meadow(size: Size) -> tuple[Image.Image, Image.Image, Image.Image, Image.Image]:
    width, height = size
    sky = gradient(size, (0, (150, 180, 206)), (0.35, (184, 202, 218)), (0.58, (222, 228, 232)), (1, (222, 228, 232)))
    at = np.linspace(0, 1, height)[:, None]
    clouds = smooth(0.50, 0.74, noise(size, (3, 5), 11, 6)) * smooth(0.58, 0.25, at) * smooth(-0.1, 0.15, at) * 0.5
    ground, alpha = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    far_to_near: list[tuple[float, float, Colour]] = [
        (0.50, 0.13, (140, 175, 205)),
        (0.56, 0.10, (115, 170, 150)),
        (0.62, 0.08, (105, 175, 95)),
        (0.70, 0.06, (95, 178, 62)),
    ]
    for place, (top, rise, colour) in enumerate(far_to_near):
        line = (top + rise * (0.5 - ridge(width, 5 - place, 20 + place))) * height
        hill = below(line, height)
        shades = 0.92 + 0.16 * noise(size, (6 + 5 * place, 8 + 6 * place), 30 + place)
        blend(ground, np.asarray(colour, np.float32) * shades[..., None], hill)
        alpha = np.maximum(alpha, hill)
        if place == 2:
            trees = np.random.default_rng(4).random((2, 70))
            x, r = trees[0] * width, (0.008 + 0.012 * trees[1]) * height
            foot = line[x.astype(int)] + 0.015 * height

            def wood(pen: Pen, scale: int, x: np.ndarray = x, foot: np.ndarray = foot, r: np.ndarray = r) -> None:
                for across, up, part in ((0, 0.6, 1), (-0.8, 0.2, 0.8), (0.8, 0.3, 0.75)):
                    dots(pen, scale * (x + across * r), scale * (foot - up * r), scale * part * r, 255)

            blend(ground, np.array([50, 105, 60]) * shades[..., None], shape(size, wood))
            alpha = np.maximum(alpha, shape(size, wood))
    ground *= (1 + (noise(size, (260, 60), 40, 3) - 0.5) * 0.5 * smooth(0.66, 1, at))[..., None]
    draw = np.random.default_rng(3)
    canvas = Image.fromarray(finish(ground)).resize((2 * width, 2 * height))
    pen = ImageDraw.Draw(canvas)
    petals: list[Colour] = [(255, 255, 255), (255, 225, 70), (250, 120, 150), (235, 80, 70), (190, 140, 235)]
    for near in np.sort(draw.random(40)) ** 1.5:
        x, y = draw.random() * 2 * width, (0.74 + 0.27 * near) * 2 * height
        r = (0.0022 + 0.011 * near) * height * draw.uniform(0.7, 1.2)
        pen.line((x, y, x + r, y + 5 * r), fill=(60, 130, 40), width=max(1, round(r / 2)))
        turn = np.arange(5) * 2 * np.pi / 5 + draw.random()
        colour = petals[int(draw.integers(len(petals)))]
        dots(pen, x + r * np.cos(turn), y + 0.8 * r * np.sin(turn), np.full(5, 0.65 * r), colour)
        dots(pen, np.array([x]), np.array([y]), np.array([0.5 * r]), (245, 190, 50))
    return (
        Image.fromarray(finish(sky)),
        Image.fromarray(finish(255 * np.concatenate([clouds, clouds, clouds[:, :1]], axis=1))),
        canvas.reduce(2),
        Image.fromarray(finish(255 * alpha)),
    )


def meadow(size: Size, t: float) -> Frame:
    """Grass under a hazy sky, clouds drifting: calm."""
    sky, clouds, ground, ground_alpha = _meadow(size)
    shift, picture = (-0.012 * t % 1) * size[0], sky.copy()
    # Between two pixels a cloud is a mixture of both places, or it would jerk.
    one, two = (clouds.crop((int(shift) + step, 0, int(shift) + step + size[0], round(0.6 * size[1]))) for step in (0, 1))
    picture.paste((255, 255, 255), (0, 0), Image.blend(one, two, shift % 1))
    picture.paste(ground, mask=ground_alpha)
    return np.asarray(picture)


@cache
def _lake(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    width, height = size
    shore = round(0.58 * height)
    land = gradient((width, shore), (0, (112, 160, 214)), (0.55, (222, 212, 214)), (1, (252, 232, 212)))
    far, near, haze = np.array([178, 186, 208]), np.array([46, 86, 92]), np.array([248, 232, 214])
    for place in range(5):
        line = (0.40 + 0.036 * place + (0.10 - 0.015 * place) * (0.5 - ridge(width, 3 + 2 * place, 11 + place))) * height
        colour = far + (near - far) * place / 4
        depth = smooth(0, 0.3 * height, np.arange(shore)[:, None] - line[None])
        blend(land, (colour + (haze - colour) * 0.9 * depth[..., None]).astype(np.float32), below(line, shore))
    draw = np.random.default_rng(5)
    places = draw.random(110) * width

    def wood(pen: Pen, scale: int) -> None:
        firs(pen, places * scale, np.full(110, (shore + 1) * scale), height * scale * draw.uniform(0.02, 0.055, 110), 0.9)

    blend(land, (28, 60, 66), shape((width, shore), wood))
    depth = np.linspace(0, 1, height - shore)
    # Waves are larger towards the eye.
    waves = noise(size, (6, 30), 6, 4)[(depth**0.5 * (height - 1)).astype(int)] - 0.5
    water = finish(0.9 * land[::-1][: height - shore] + 0.1 * np.array([215, 190, 185]))
    return finish(land), water, waves, (0.006 + 0.05 * depth) * height


def lake(size: Size, t: float) -> Frame:
    """Hills mirrored in a lake in the morning, a boat on it: calm."""
    land, water, waves, swell = _lake(size)
    width, height = size
    rows, columns = np.ogrid[: len(water), :width]
    moved = 0.6 * np.roll(waves, round(0.015 * t * width), axis=1) + 0.4 * np.roll(waves, -round(0.025 * t * width) - width // 3, axis=1)
    mirrored = water[(rows + moved * swell[:, None]).astype(int).clip(0, len(water) - 1), columns]
    picture = np.concatenate([land, mirrored])
    left, top, side = (0.24 + 0.006 * t) * width, round(0.53 * height), round(0.3 * height)

    def boat(pen: Pen, scale: int) -> None:
        unit, x, y = 0.045 * height * scale, (left % 1 + 0.15 * height) * scale, 0.15 * height * scale
        hull, main, jib = (
            [(-1.1, 0), (1.2, 0), (0.8, 0.4), (-0.8, 0.4)],
            [(0, -0.1), (0, -2.6), (1.05, -0.3)],
            [(-0.12, -0.1), (-0.12, -2.2), (-0.9, -0.2)],
        )
        for outline in (hull, main, jib):
            pen.polygon([(x + unit * across, y + unit * down) for across, down in outline], fill=255)
            pen.polygon([(x + unit * across, y + unit * (0.8 - 0.8 * down)) for across, down in outline], fill=70)

    part = picture[top : top + side, int(left) : int(left) + side].astype(np.float32)
    blend(part, (250, 246, 240), shape((side, side), boat))
    picture[top : top + side, int(left) : int(left) + side] = finish(part)
    return picture


@cache
def _snow(size: Size) -> tuple[Image.Image, np.ndarray]:
    width, height = size
    day = gradient(size, (0, (188, 194, 200)), (0.45, (212, 217, 222)), (0.65, (228, 231, 234)), (1, (228, 231, 234)))
    draw = np.random.default_rng(8)
    peaks = np.array([205, 212, 220]) * (0.95 + 0.08 * noise(size, (18, 12), 62))[..., None]
    blend(day, peaks.astype(np.float32), below((0.56 - 0.26 * ridge(width, 4, 61) ** 1.3) * height, height))
    fields: list[tuple[float, float, Colour, int]] = [
        (0.60, 0.08, (196, 208, 226), 16),
        (0.70, 0.10, (206, 220, 243), 9),
        (0.82, 0.10, (232, 240, 252), 0),
    ]
    for place, (top, rise, colour, trees) in enumerate(fields):
        line = (top - rise * ridge(width, 2, 70 + place)) * height
        places = draw.random(trees) * width
        feet, tall = line[places.astype(int)] + 0.02 * height, height * draw.uniform(0.06, 0.11, trees) * (1 + 0.9 * place)

        def wood(pen: Pen, scale: int, rows: tuple[np.ndarray, ...] = (places, feet, tall)) -> None:
            firs(pen, rows[0] * scale, rows[1] * scale, rows[2] * scale)

        blend(day, (96 - 14 * place, 106 - 16 * place, 112 - 18 * place), shape(size, wood))
        drift = np.array(colour) * (0.93 + 0.1 * noise(size, (4, 10), 80 + place))[..., None]
        blend(day, drift.astype(np.float32), below(line + 0.025 * height * (trees > 0), height))
    return Image.fromarray(finish(day)), np.stack([draw.random(160), draw.random(160), draw.uniform(0.3, 1, 160)])


def snow(size: Size, t: float) -> Frame:
    """A grey winter day, snow falling: calm."""
    day, (x, y, near) = _snow(size)
    picture = day.copy()
    at_x, at_y = (x + 0.01 * np.sin(0.8 * t + 40 * x)) % 1, (y + 0.05 * near * t) % 1
    fills = [(255, 255, 255, alpha) for alpha in (150 * near).astype(int).tolist()]
    dots(ImageDraw.Draw(picture, "RGBA"), at_x * size[0], at_y * size[1], 0.0035 * near * size[1], fills)
    return np.asarray(picture)


@cache
def _city(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width, height = size
    draw = np.random.default_rng(21)
    canvas, dark = Image.new("RGB", (2 * width, 2 * height)), Image.new("L", (2 * width, 2 * height))
    pen, outline = ImageDraw.Draw(canvas), ImageDraw.Draw(dark)
    shore, x, pane = 1.6 * height, 0.0, 0.018 * height
    while x < 2 * width:
        wide, tall = height * draw.uniform(0.07, 0.18), height * draw.uniform(0.08, 0.34)
        pen.rectangle((x, shore - tall, x + wide, shore), fill=(10, 10, 22))
        outline.rectangle((x, shore - tall, x + wide, shore), fill=255)
        for column in np.arange(x + pane, x + wide - pane, 1.9 * pane):
            for row in np.arange(shore - tall + pane, shore - pane, 2.1 * pane):
                if draw.random() < 0.4:
                    pen.rectangle((column, row, column + 0.8 * pane, row + pane), fill=(255, int(draw.integers(190, 235)), 130))
        x += wide * draw.uniform(1.0, 1.25)
    sky = gradient(size, (0, (6, 8, 30)), (0.7, (26, 22, 62)), (0.78, (50, 34, 78)), (1, (8, 10, 26)))
    return sky, np.asarray(canvas.reduce(2), np.float32), np.asarray(dark.reduce(2), np.float32) / 255


BURST_EVERY_S, BURST_S = 0.22, 1.8
BURST_COLOURS = np.array(
    [(255, 80, 70), (255, 205, 80), (110, 220, 255), (140, 255, 130), (255, 120, 230), (255, 255, 255), (170, 140, 255)], np.float32
)


def _bursts(size: Size, t: float) -> Image.Image:
    """The rockets that have burst within the last seconds: sparks that slow down, fall and fade, on black."""
    width, height = 2 * size[0], 2 * size[1]  # made smaller again, which makes edges smooth
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    thick = max(1, round(height / 300))
    for number in range(int(np.floor((t - BURST_S) / BURST_EVERY_S)) + 1, int(np.floor(t / BURST_EVERY_S)) + 1):
        draw = np.random.default_rng(1000 + number)
        age = t - number * BURST_EVERY_S
        # One side after the other, so that they fill the sky.
        x, y, reach = (0.12 + 0.76 * (0.618 * number % 1)) * width, draw.uniform(0.14, 0.46) * height, draw.uniform(0.22, 0.36) * height
        count = int(draw.integers(55, 90))
        angle, speed = draw.uniform(0, 2 * np.pi, count), np.sqrt(draw.uniform(0.1, 1, count))
        colours = BURST_COLOURS[draw.choice(len(BURST_COLOURS), 2, replace=False)] * max(0.0, 1 - (age / BURST_S) ** 3)
        path = []
        for at in np.maximum(0, age - np.array([0.32, 0.14, 0])):
            far = reach * (1 - np.exp(-3.2 * at)) * speed
            path.append(np.stack([x + far * np.cos(angle), y + far * np.sin(angle) + 0.07 * height * at * at], -1))
        for one, two, strength in ((path[0], path[1], 0.5), (path[1], path[2], 1.0)):
            fills = [tuple(colour) for colour in (colours * strength).astype(int).tolist()]
            for spark, ends in enumerate(np.concatenate([one, two], -1).tolist()):
                pen.line(ends, fill=fills[spark % 2], width=thick)
        if age < 0.2:
            dots(pen, np.array([x]), np.array([y]), np.array([0.35 * reach * (0.25 - age)]), (255, 250, 235))
    return canvas.reduce(2)


def fireworks(size: Size, t: float) -> Frame:
    """Rockets bursting over a city and its river: wild and pleasant."""
    sky, city, city_alpha = _city(size)
    width, height = size
    bursts = _bursts(size, t + 10)
    picture = sky + np.asarray(bursts, np.float32) + light_of(bursts, (0.008, 0.9), (0.04, 1.1))
    blend(picture, city, city_alpha)
    shore = round(0.80 * height)
    row = np.arange(height - shore)
    wobble = np.round(0.006 * width * np.sin(9.0 * row + 7 * t)).astype(int)
    mirrored = picture[(shore - 1 - 3 * row).clip(0)[:, None], (np.arange(width)[None] + wobble[:, None]) % width]
    picture[shore:] = 0.3 * picture[shore:] + 0.62 * mirrored
    return finish(picture)


def _bolt(draw: np.random.Generator, start: np.ndarray, end: np.ndarray, order: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Lightning from one point to another, with branches: (from, to, order)."""
    points = [start, end]
    for _ in range(6):
        bent = []
        for one, two in pairwise(points):
            along = two - one
            bent += [one, (one + two) / 2 + np.array([-along[1], along[0]]) * np.clip(draw.normal(0, 0.13), -0.22, 0.22)]
        points = [*bent, end]
    lines = [(one, two, order) for one, two in pairwise(points)]
    for at in draw.integers(8, len(points) - 12, 5 - order) if order < 3 else ():
        angle = draw.uniform(0.25, 0.85) * draw.choice([-1, 1])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        lines += _bolt(draw, points[at], points[at] + turn @ (end - points[at]) * draw.uniform(0.35, 0.7), order + 1)
    return lines


@cache
def _storm(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width, height = size
    sky = gradient(size, (0, (20, 21, 30)), (0.6, (48, 46, 58)), (0.75, (84, 68, 66)), (1, (16, 16, 22)))
    cloud = noise(size, (4, 5), 52, 6)
    sky *= (0.45 + 0.95 * cloud)[..., None]
    draw = np.random.default_rng(9)
    canvas = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(canvas)
    for x, foot, order in ((0.42, 0.80, 0), (0.88, 0.62, 1)):
        for one, two, rank in _bolt(draw, np.array([x + 0.05, 0.02]) * 2 * np.array(size), np.array([x, foot]) * 2 * np.array(size), order):
            pen.line(
                (*one.tolist(), *two.tolist()), fill=(255, 210, 140, 90)[rank], width=max(1, round(height / (110, 200, 320, 420)[rank]))
            )
    bolts = canvas.reduce(2)
    lit = light_of(bolts, (0.008, 1.0), (0.03, 1.6), (0.12, 2.2)) * (0.35 + 0.9 * cloud)
    glow = np.array([196, 190, 255], np.float32) * lit[..., None] / 255
    return (
        sky,
        glow + np.asarray(bolts, np.float32)[..., None],
        below((0.84 - 0.10 * ridge(width, 5, 55)) * height, height),
    )


def storm(size: Size, t: float) -> Frame:
    """Lightning over black hills: wild."""
    sky, light, hills = _storm(size)
    flash = 0.7 + 0.3 * np.cos(23 * t) * np.cos(7 * t)
    picture = sky + np.float32(flash) * light
    blend(picture, (5, 5, 9), hills)
    return finish(picture)


@cache
def _fire(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    width, height = size
    slow, quick = noise((width, height), (7, 5), 91, 5), noise((width, height), (14, 9), 92, 4)
    draw = np.random.default_rng(14)
    places = np.sort(draw.random(12)) * width
    feet, tall = height * draw.uniform(0.94, 1.02, 12), height * draw.uniform(0.25, 0.66, 12)

    def wood(pen: Pen, scale: int) -> None:
        firs(pen, places * scale, feet * scale, tall * scale, 0.55)

    trees = np.maximum(shape(size, wood), below((0.93 - 0.05 * ridge(width, 6, 93)) * height, height))
    stops = (0, 0.2, 0.42, 0.62, 0.82, 1)
    channels = ((12, 66, 190, 255, 255, 255), (9, 15, 38, 116, 205, 246), (14, 14, 10, 15, 60, 190))
    palette = np.stack([np.interp(np.linspace(0, 1, 256), stops, channel) for channel in channels], -1).astype(np.float32)
    return np.concatenate([slow, slow]), np.concatenate([quick, quick]), trees, palette


def fire(size: Size, t: float) -> Frame:
    """A forest burning at night: wild and unpleasant."""
    slow, quick, trees, palette = _fire(size)
    width, height = size
    rising = [texture[(start := int(speed * height * t) % height) : start + height] for texture, speed in ((slow, 0.45), (quick, 0.8))]
    up = np.linspace(1, 0, height)[:, None] ** 1.3
    heat = 0.95 * rising[0] + 0.75 * rising[1] + 0.42 - 1.5 * up
    picture = palette[(heat * 255).clip(0, 255).astype(int)]
    blend(picture, (16, 7, 6), 0.94 * trees)
    canvas = Image.fromarray(finish(picture))
    x, y, speed, big = np.random.default_rng(15).random((4, 150))
    fills = [(255, green, 70) for green in (150 + 90 * big).astype(int).tolist()]
    at_x, at_y = (x + 0.02 * np.sin(5 * t + 30 * y)) % 1, (y - (0.25 + 0.5 * speed) * t) % 1
    dots(ImageDraw.Draw(canvas), at_x * width, at_y * height, (0.001 + 0.0024 * big) * height, fills)
    return np.asarray(canvas)


SCENES: dict[str, Callable[[Size, float], Frame]] = {scene.__name__: scene for scene in (meadow, lake, snow, storm, fire, fireworks)}
