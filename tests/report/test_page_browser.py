"""Reports in headless Chromium: they fetch nothing, play, work from the keyboard, in dark and light, and on a phone's width.

Skipped where there is no Chromium (Debian: chromium and chromium-driver).
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.pipelines.soundtrack import soundtrack
from mmvatool.pipelines.summarize import summarize
from mmvatool.soundtracks.result import SoundtrackSettings
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Segment
from tests.helpers import media

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here")
HOSTILE = "\"'&<img src=x onerror=alert(1)>\n" + os.fsdecode(b"\xff") + ".mp4"
LEAST_CONTRAST = 4.5
SHAPES = {"wide": (160, 90), "wider": (420, 180), "upright": (90, 160)}
NAMES = {"wide": "סרטון משפחתי מהקיץ 12", "wider": "W" * 200, "upright": "clip"}
WINDOWS = [(width, height) for width in (360, 800, 1200) for height in (740, 2000)]
# The colour of a text and of what lies behind it, as computed: the first ancestor that is not transparent.
COLOURS = """
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
return [...document.querySelectorAll("body *")].filter((element) => {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return own && element.checkVisibility() && !["TITLE", "desc", "title", "SCRIPT", "STYLE"].includes(element.tagName);
}).map((element) => {
  const style = getComputedStyle(element);
  return [element.tagName + "." + element.getAttribute("class"), element.closest("svg") ? style.fill : style.color, behind(element)];
});
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A browser that logs what it says and what it asks for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory, whole_predictor) -> Path:
    """The page of a summary of two shots, of a video with a hostile name, six shots and no dull moment."""
    folder = tmp_path_factory.mktemp("summary")
    plan = [("meadow", 2), ("fireworks", 2), ("sea", 2), ("rays", 2), ("wall", 2), ("fireworks", 2)]
    path = media.draw_scenes(folder / "drawn.mp4", plan, size=(160, 90), rate=Fraction(10)).rename(folder / HOSTILE)
    settings = SummarySettings(ratio=0.35, shots="uniform", keep=(Segment(6, 8),), drop=(Segment(0, 2),))
    result = summarize(path, predictor=whole_predictor, settings=settings, report=True)
    assert result.output is not None
    return result.output.with_suffix(".html")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, whole_predictor) -> Path:
    """The page of a slideshow of three pictures with two tracks to choose from."""
    folder = tmp_path_factory.mktemp("soundtrack")
    (folder / "show").mkdir()
    for name, scene in (("a.jpg", "meadow"), ("b.png", "sea"), ("an exceedingly_long_name_without_any_space_in_it.png", "rays")):
        Image.fromarray(np.asarray(media.SCENES[scene]((64, 48), 1))).save(folder / "show" / name)
    tracks = [media.write_wav(folder / f"{scene}.wav", media.scene_sound([(scene, 12)])) for scene in ("meadow", "rays")]
    settings = SoundtrackSettings(seconds=2, size=(160, 90), rate=Fraction(10), crossfade_s=0)
    result = soundtrack(folder / "show", tracks=tracks, predictor=whole_predictor, settings=settings, report=True)
    assert result.output is not None
    return result.output.with_suffix(".html")


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory, whole_predictor) -> dict[tuple[str, str], Path]:
    """The pages of a summary and of a soundtrack in each shape; the soundtrack's poster is a panorama, whatever the shape of the video."""
    pages = {}
    for shape, size in SHAPES.items():
        folder = tmp_path_factory.mktemp(shape)
        path = media.draw_scenes(folder / f"{NAMES[shape]}.mp4", [("meadow", 2), ("rays", 2), ("sea", 2)], size=size, rate=Fraction(10))
        summary = summarize(path, predictor=whole_predictor, settings=SummarySettings(ratio=0.4, shots="uniform"), report=True)
        (folder / "show").mkdir()
        for name, scene, picture in (("a", "meadow", (600, 60)), (NAMES[shape], "sea", (64, 48))):
            Image.fromarray(np.asarray(media.SCENES[scene](picture, 1))).save(folder / "show" / f"{name}.png")
        settings = SoundtrackSettings(seconds=2, size=size, rate=Fraction(10), crossfade_s=0)
        tracks = [media.write_wav(folder / f"{NAMES[shape]}.wav", media.scene_sound([("rays", 12)]))]
        track = soundtrack(folder / "show", tracks=tracks, predictor=whole_predictor, settings=settings, report=True)
        for kind, result in (("summary", summary), ("soundtrack", track)):
            assert result.output is not None
            pages[kind, shape] = result.output.with_suffix(".html")
    return pages


def open_page(chromium, path: Path, width: int = 1200, height: int = 740, *, dark: bool = False) -> None:
    """Open a page in a window of a size, its logs emptied, and wait for its video."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get_log("performance")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    chromium.get(path.as_uri())
    wait(chromium, "document.querySelector('video').readyState >= 2 || document.querySelector('.player').hidden")


def wait(chromium, condition: str) -> None:
    """Until a condition in the page holds; fails after ten seconds."""
    script = f"""
        const done = arguments[0], started = Date.now();
        const look = () => ({condition}) ? done(true) : Date.now() - started > 10000 ? done(false) : setTimeout(look, 20);
        look();
    """
    assert chromium.execute_async_script(script), condition


def press(chromium, selector: str, number: int) -> None:
    """Click as a user does: what a script clicks may not play with sound."""
    element = chromium.find_elements("css selector", selector)[number]
    chromium.execute_script("arguments[0].scrollIntoView({block: 'end'})", element)
    element.click()


def asked_for(chromium) -> list[str]:
    """The addresses that were asked for since the last look, but for data in the page itself."""
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def contrast(text: str, behind: str) -> float:
    """WCAG's contrast of two colours, each `rgb(r, g, b)`."""
    luminances = []
    for colour in (text, behind):
        parts = np.array([float(part) for part in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


@pytest.mark.parametrize("kind", ["summary", "scored"])
def test_it_says_and_fetches_nothing(chromium, request, kind):
    path = request.getfixturevalue(kind)
    open_page(chromium, path)
    assert chromium.get_log("browser") == []
    assert set(asked_for(chromium)) == {path.as_uri(), path.with_suffix(".mp4").as_uri()}


def test_a_name_that_tries_to_be_html_is_text(chromium, summary):
    open_page(chromium, summary)
    shown = "\"'&<img src=x onerror=alert(1)>\\n\\udcff.mp4"
    assert chromium.execute_script("return document.querySelector('h1').textContent") == shown
    assert chromium.title == f"Summary: {shown}"
    assert chromium.execute_script("return document.querySelectorAll('img:not([src^=\"data:image/jpeg\"])').length") == 0
    assert chromium.execute_script("return document.scripts.length") == 1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["summary", "scored"])
def test_every_text_is_readable(chromium, request, kind, dark):
    open_page(chromium, request.getfixturevalue(kind), dark=dark)
    chromium.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = chromium.execute_script(COLOURS)
    assert len(found) > 60
    faint = {(name, text, behind) for name, text, behind in found if contrast(text, behind) < LEAST_CONTRAST}
    assert not faint
    page = contrast("rgb(0, 0, 0)", chromium.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert page < 2 if dark else page > 15


@pytest.mark.parametrize("width", [360, 768])
@pytest.mark.parametrize("kind", ["summary", "scored"])
def test_nothing_is_wider_than_the_window(chromium, request, kind, width):
    open_page(chromium, request.getfixturevalue(kind), width)
    chromium.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    whole, seen = chromium.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert whole == seen
    assert width - 20 < seen <= width  # less a scroll bar
    assert chromium.execute_script("return innerWidth") == width  # a phone zooms out where something is wider
    small = "return [...document.querySelectorAll('svg text')].map((one) => one.getBoundingClientRect().height)"
    assert min(chromium.execute_script(small)) > 9


def player_boxes(chromium) -> list[list[float]]:
    """Left, top, right and bottom of the player's row, of its video and of its caption."""
    return chromium.execute_script("""
        return [".player", ".player video", ".player figcaption"].map((selector) => {
          const box = document.querySelector(selector).getBoundingClientRect();
          return [box.left, box.top, box.right, box.bottom];
        });
    """)


def is_wide_enough(chromium) -> bool:
    """Whether a caption has 12 letters' room beside the video, or a row of its own."""
    row, video, caption = player_boxes(chromium)
    em = float(chromium.execute_script("return parseFloat(getComputedStyle(document.querySelector('figcaption')).fontSize)"))
    beside = caption[0] > video[2] and caption[2] - caption[0] >= 12 * em
    below = caption[1] >= video[3] and (caption[0], caption[2]) == (row[0], row[2])
    inside = all(row[0] <= box[0] and box[2] <= row[2] and row[1] <= box[1] and box[3] <= row[3] for box in (video, caption))
    return inside and (beside or below)


def overflow(chromium) -> int:
    return chromium.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "height"), WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_pages_lay_out_the_player_alike(chromium, shaped, shape, width, height):
    """The whole video in its own shape, whatever the poster's, and a caption that can be read, beside or below it."""
    seen = []
    for kind in ("summary", "soundtrack"):
        open_page(chromium, shaped[kind, shape], width, height, dark=kind == "summary")
        assert chromium.execute_script("return document.querySelector('video').poster !== ''")
        assert overflow(chromium) == 0
        assert is_wide_enough(chromium)
        row, video, caption = player_boxes(chromium)
        across, down = SHAPES[shape]
        assert (video[2] - video[0]) / (video[3] - video[1]) == pytest.approx(across / down, rel=0.02)
        assert video[3] - video[1] <= 0.345 * height
        seen.append((video[0] - row[0], video[2] - video[0], video[3] - video[1], caption[0] - row[0], caption[2] - row[0]))
    assert seen[0] == pytest.approx(seen[1], abs=0.1)
    beside = seen[0][3] > 0
    assert beside == (width > 640 or (shape == "upright" and height == 740))


@pytest.mark.parametrize(("width", "height"), [(360, 640), (800, 740), (1200, 740)])
@pytest.mark.parametrize(("kind", "shape"), [("summary", "wider"), ("soundtrack", "wider"), ("summary", "wide"), ("soundtrack", "wide")])
def test_a_long_name_in_the_caption_leaves_room_for_the_rest(chromium, shaped, kind, shape, width, height):
    open_page(chromium, shaped[kind, shape], width, height)
    press(chromium, *((".shot:not(.kept)", 0) if kind == "summary" else (".shot", 1)))
    wait(chromium, "document.getElementById('shot').textContent !== ''")
    shown = chromium.execute_script("return [document.getElementById('playing').textContent, document.getElementById('shot').textContent]")
    assert any(NAMES[shape] in one for one in shown)
    assert is_wide_enough(chromium)
    assert overflow(chromium) == 0
    shots = "const shots = document.querySelector('.shots'); shots.scrollIntoView(); return shots.getBoundingClientRect().top"
    assert chromium.execute_script(shots) >= player_boxes(chromium)[0][3]


@pytest.mark.parametrize("width", [360, 800, 1200])
@pytest.mark.parametrize("kind", ["summary", "soundtrack"])
def test_however_long_its_texts_are_nothing_is_squeezed(chromium, shaped, kind, width):
    open_page(chromium, shaped[kind, "wide"], width)
    chromium.execute_script("""
        for (const one of document.querySelectorAll("h1, h2, h3, p, dt, dd, th, td, .facts strong, nav a, .name, .scores, .badge, .legend li, strong")) {
          one.textContent = "W".repeat(200);
        }
    """)
    assert overflow(chromium) == 0
    assert is_wide_enough(chromium)
    narrow = chromium.execute_script("""
        return [...document.querySelectorAll("p, dt, dd, .badge, .name, .scores, td.name")].filter((one) => one.checkVisibility() && (
          one.getBoundingClientRect().width < 8 * parseFloat(getComputedStyle(one).fontSize)
        )).map((one) => one.tagName + "." + one.className);
    """)
    assert narrow == []
    dd = chromium.execute_script("return Math.min(...[...document.querySelectorAll('dd')].map((one) => one.clientWidth))")
    assert dd >= 12 * 16


def test_tab_reaches_every_shot_and_enter_plays_it(chromium, summary):
    from selenium.webdriver import ActionChains, Keys

    open_page(chromium, summary)
    wanted = chromium.execute_script("return [...document.querySelectorAll('.shots li')].map((one) => one.id)")
    assert len(wanted) == 6
    reached = []
    for _ in range(60):
        ActionChains(chromium).send_keys(Keys.TAB).perform()
        at = "const at = document.activeElement; return [at.className === 'skip' ? 'skip' : at.parentElement.id, getComputedStyle(at).outlineStyle, at.tagName]"
        name, outline, tag = chromium.execute_script(at)
        reached.append(name)
        assert outline in ("solid", "auto") or tag == "VIDEO", name  # where the focus is can be seen; a video's controls show it themselves
        if name == wanted[-1]:
            break
        if name == wanted[1]:
            ActionChains(chromium).send_keys(Keys.ENTER).perform()
            wait(chromium, "document.querySelector('video').currentTime >= 2")
            wait(chromium, "document.querySelectorAll('[aria-current]').length === 1")
            current = "return document.querySelector('[aria-current]').parentElement.id"
            assert chromium.execute_script(current) == wanted[1]
            assert chromium.execute_script("return document.activeElement.parentElement.id") == wanted[1]
    assert reached[0] == "skip"
    assert [name for name in reached if name in wanted] == wanted


def test_a_shot_plays_in_the_summary_and_one_left_out_in_the_source(chromium, summary):
    open_page(chromium, summary)
    plan = json.loads(summary.with_suffix(".json").read_text())
    kept = [shot for shot in plan["shots"] if shot["kept"]]
    assert [shot["start_s"] for shot in kept] == [kept[0]["start_s"], kept[1]["start_s"]]
    places = chromium.execute_script("return [...document.querySelectorAll('a.shot.kept')].map((one) => Number(one.dataset.play))")
    assert places == [0.0, 2.0]
    press(chromium, "a.shot.kept", 1)
    wait(chromium, "document.querySelector('video').currentTime > 2.05")
    assert chromium.execute_script("return document.querySelector('.playhead').classList.contains('on')")
    head = float(chromium.execute_script("return document.querySelector('.playhead').getAttribute('x1')"))
    assert kept[1]["start_s"] / 12 * 1000 <= head <= kept[1]["end_s"] / 12 * 1000
    press(chromium, "a.shot.left", 0)
    left = "const link = document.querySelector('a.shot.left'); return [link.hash, link.querySelector('.badge').textContent]"
    assert chromium.execute_script(left) == ["#t=0.000", "dropped by --drop"]
    wait(chromium, "!document.querySelector('video').src.includes('.summary.') && document.querySelector('video').readyState >= 2")
    assert "\\udcff.mp4" in chromium.execute_script("return document.getElementById('playing').textContent")
    assert chromium.execute_script("return document.querySelector('video').duration") == pytest.approx(12, abs=0.2)


def test_without_the_video_it_says_so(chromium, summary, tmp_path):
    alone = Path(shutil.copy(summary, tmp_path / "alone.html"))
    open_page(chromium, alone)
    assert chromium.execute_script("return document.getElementById('unplayable').checkVisibility()")
    assert not chromium.execute_script("return document.querySelector('video').checkVisibility()")


def test_a_soundtrack_plays_from_a_picture(chromium, scored):
    open_page(chromium, scored, 360, dark=True)
    press(chromium, "a.shot", 2)
    wait(chromium, "document.querySelector('video').currentTime > 4.05")
    assert chromium.execute_script("return document.querySelector('[aria-current] .name').textContent") == "b.png"
    assert chromium.execute_script("return document.querySelectorAll('.dot.picture').length") == 4  # three and the legend's
    assert chromium.execute_script("return document.querySelectorAll('#table-1 tbody tr').length") == 2
