"""From pictures or a video to the same with music: the planted track is chosen, and what is written is what was asked for."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvatool.errors import MediaError, OutputError, QueryError, SettingsError
from mmvatool.files import default_output
from mmvatool.media.probe import probe
from mmvatool.pipelines.soundtrack import soundtrack
from mmvatool.soundtracks.result import SoundtrackSettings
from tests.helpers import media
from tests.helpers.models import save_planted

TOWER_HZ = 24_000  # of the model's windows
SIZE = (320, 240)
SMALL = {"size": (160, 90), "rate": Fraction(10), "crossfade_s": 0.2}
LUFS_TOLERANCE = 1.0
GOOD_PAIRS = (("soft.mp3", "deep/wild.flac"), ("soft.mp3", "turning.ogg"), ("turning.ogg", "deep/wild.flac"))  # calm, then exciting


def pad(seconds: float, rate_hz: int = media.RATE_HZ) -> np.ndarray:
    """A soft tone: planted as calm."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.2 * np.sin(2 * np.pi * 220 * time_s) * (1 + 0.2 * np.sin(2 * np.pi * 0.3 * time_s))).astype(np.float32)


def drums(seconds: float, rate_hz: int = media.RATE_HZ) -> np.ndarray:
    """Four beats a second over a humming bass: planted as exciting."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    beat = np.exp(-np.arange(rate_hz // 4) / (rate_hz / 30)) * np.random.default_rng(0).normal(0, 1, rate_hz // 4)
    return (0.4 * np.tanh(np.resize(beat, len(time_s))) + 0.15 * np.sign(np.sin(2 * np.pi * 110 * time_s))).astype(np.float32)


def write_sound(path: Path, sound: np.ndarray) -> Path:
    """Sound in the format that the suffix names, with tags."""
    wav = media.write_wav(path.with_suffix(".tmp"), sound)
    tags = ["-metadata", f"title={path.stem}", "-metadata", "artist=A. Nonymous", "-metadata", "copyright=CC0"]
    media.run_ffmpeg("-y", "-i", wav, *tags, path)
    wav.unlink()
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory):
    """A model that predicts low arousal for meadows and the tone, high for fireworks and drums."""
    from trainer import Predictor

    frames = [
        (np.asarray(scene(SIZE, t)), va) for scene, va in ((media.meadow, (0.7, 0.2)), (media.fireworks, (0.6, 0.9))) for t in (0, 1, 2)
    ]
    path = save_planted(
        tmp_path_factory.mktemp("planted") / "planted.safetensors",
        frames,
        [(pad(10, TOWER_HZ), (0.7, 0.2)), (drums(10, TOWER_HZ), (0.6, 0.9))],
    )
    return Predictor.load(path, device="cpu")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of tone and drums; one is nearly as calm as the tone alone, but for its 50 to 80 s, nearly as wild as drums alone."""
    folder = tmp_path_factory.mktemp("music")
    write_sound(folder / "turning.ogg", np.concatenate([pad(50) + 0.05 * drums(50), drums(30) + 0.3 * pad(30), pad(20) + 0.05 * drums(20)]))
    write_sound(folder / "soft.mp3", pad(40))
    (folder / "deep").mkdir()
    write_sound(folder / "deep" / "wild.flac", drums(40))
    return folder


@pytest.fixture
def index_file(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Path:
    """An index that all tests of this module share: the library is analyzed once."""
    return library.parent / "index.sqlite3"


def draw(folder: Path, scene: str, count: int, size: tuple[int, int] = SIZE) -> list[Path]:
    """Pictures of a scene."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{scene}{number}.jpg" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        Image.fromarray(np.asarray(media.SCENES[scene](size, number / 2))).save(path, quality=92)
    return paths


def decode_loudness(path: Path) -> tuple[float, float]:
    """Integrated loudness in LUFS and true peak in dBTP, as ffmpeg measures what a player would play."""
    import re
    import subprocess

    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", str(path), "-map", "0:a:0", "-af", "ebur128=peak=true", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    summary = said[said.rindex("Summary:") :]
    return float(re.search(r"I:\s+(-?[\d.]+|-inf) LUFS", summary)[1]), float(re.search(r"Peak:\s+(-?[\d.]+|-inf) dBFS", summary)[1])


@pytest.mark.parametrize(("scene", "track"), [("meadow", "soft.mp3"), ("fireworks", "deep/wild.flac")])
def test_swapping_the_pictures_swaps_the_choice(scene, track, tmp_path, planted, library, index_file):
    draw(tmp_path / "show", scene, 4)
    made = soundtrack(tmp_path / "show", library=library, predictor=planted, index_file=index_file, dry_run=True)
    assert made.ranking[0].path == library / track
    assert [cue.path for cue in made.timeline.cues] == [library / track]
    assert made.ranking[0].match.distance < 0.1 < made.ranking[-1].match.distance
    assert not made.is_far
    assert made.output is None
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob("*.json"))


def test_the_music_begins_in_the_planted_segment(tmp_path, planted, library):
    pictures = draw(tmp_path, "fireworks", 5)
    made = soundtrack(pictures, tracks=[library / "turning.ogg"], predictor=planted, dry_run=True)
    (cue,) = made.timeline.cues
    assert cue.offset_s >= 50
    assert cue.offset_s + cue.length_s <= 80
    made = soundtrack(draw(tmp_path, "meadow", 5), tracks=[library / "turning.ogg"], predictor=planted, dry_run=True)
    offset_s = made.timeline.cues[0].offset_s
    assert offset_s + 20 <= 50 or offset_s >= 80


def test_the_segment_follows_the_order_of_the_pictures(tmp_path, planted, library):
    calm, wild = draw(tmp_path, "meadow", 5), draw(tmp_path, "fireworks", 5)
    for pictures, offset_s in ((calm + wild, 30), (wild + calm, 60)):
        made = soundtrack(pictures, tracks=[library / "turning.ogg"], predictor=planted, dry_run=True)
        assert made.timeline.cues[0].offset_s == offset_s


def test_a_slideshow_is_what_was_asked_for(tmp_path, planted, library, index_file):
    draw(tmp_path / "show", "fireworks", 3)
    settings = SoundtrackSettings(seconds=2, **SMALL)
    made = soundtrack(tmp_path / "show", library=library, predictor=planted, index_file=index_file, settings=settings)
    assert made.output == tmp_path / "show.soundtrack.mp4"
    info = probe(made.output)
    assert (info.video.width, info.video.height, info.rate, len(info.times_s)) == (160, 90, 10, 60)
    assert (info.video.codec, info.audio.codec, info.audio.channels) == ("h264", "aac", 2)
    lufs, peak = decode_loudness(made.output)
    assert abs(lufs + 14) < LUFS_TOLERANCE
    assert peak <= -1
    saved = json.loads((tmp_path / "show.soundtrack.json").read_text())
    assert saved == made.to_json()
    assert saved["schema"] == "mmvatool.soundtrack/1"
    assert saved["cues"] == saved["timeline"]["cues"]
    assert saved["cues"][0] | {"offset_s": 0, "distance": 0, "score": 0} == {
        "path": str(library / "deep/wild.flac"), "start_s": 0, "end_s": 6, "offset_s": 0, "distance": 0, "score": 0
    }  # fmt: skip
    assert saved["credits"] == [{"path": str(library / "deep/wild.flac"), "title": "wild", "artist": "A. Nonymous", "licence": "CC0"}]
    assert [Path(clip["path"]).name for clip in saved["timeline"]["clips"]] == ["fireworks1.jpg", "fireworks2.jpg", "fireworks3.jpg"]
    assert [clip["end_s"] for clip in saved["timeline"]["clips"]] == [2, 4, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["show", "show.soundtrack.json", "show.soundtrack.mp4"]


def test_scenes_have_their_own_music(tmp_path, planted, library, index_file):
    pictures = draw(tmp_path, "meadow", 6) + draw(tmp_path, "fireworks", 6)
    settings = SoundtrackSettings(per_scene=True)
    made = soundtrack(pictures, library=library, predictor=planted, index_file=index_file, settings=settings, dry_run=True)
    calm, wild = made.timeline.cues
    assert {calm.path, wild.path} in ({library / calm, library / wild} for calm, wild in GOOD_PAIRS)
    assert max(calm.distance, wild.distance) < 0.1
    assert (calm.start_s, wild.end_s) == (0, 48)
    assert wild.start_s <= 24 <= calm.end_s  # they overlap where one goes over into the other
    assert calm.end_s - wild.start_s <= 3


def test_pictures_end_with_the_music(tmp_path, planted, library):
    settings = SoundtrackSettings(fit="music", seconds=3)
    made = soundtrack(draw(tmp_path, "meadow", 7), tracks=[library / "soft.mp3"], predictor=planted, settings=settings, dry_run=True)
    (cue,) = made.timeline.cues
    assert cue.offset_s + cue.length_s == pytest.approx(40, abs=0.1)
    lengths_s = [clip.end_s - clip.start_s for clip in made.timeline.clips]
    assert max(lengths_s) - min(lengths_s) < 0.05
    assert 1.5 <= lengths_s[0] <= 6


def test_a_dry_run_says_that_pictures_cannot_end_with_the_music(tmp_path, planted, library):
    settings = SoundtrackSettings(fit="music", seconds=1)
    made = soundtrack(draw(tmp_path, "meadow", 1), tracks=[library / "soft.mp3"], predictor=planted, settings=settings, dry_run=True)
    assert made.warnings == ("no track ends when the pictures can: the music is faded out with them",)


def test_changes_move_to_the_beats(tmp_path, planted, library):
    settings = SoundtrackSettings(beats=True, seconds=2.1)
    made = soundtrack(
        draw(tmp_path, "fireworks", 5), tracks=[library / "deep/wild.flac"], predictor=planted, settings=settings, dry_run=True
    )
    inner_s = np.array([clip.start_s for clip in made.timeline.clips[1:]]) + made.timeline.cues[0].offset_s
    assert np.abs(inner_s * 4 - np.rint(inner_s * 4)).max() / 4 < 0.06  # four beats a second
    assert made.timeline.duration_s == pytest.approx(10.5, abs=0.05)


def test_a_videos_picture_is_copied(tmp_path, vlog, planted, library, index_file):
    video = Path(shutil.copy(vlog, tmp_path / "a 'b'.mp4"))
    made = soundtrack(video, library=library, predictor=planted, index_file=index_file)
    before, after = probe(video), probe(made.output)
    assert made.output == tmp_path / "a 'b'.soundtrack.mp4"
    assert np.array_equal(before.times_s, after.times_s)
    assert packets(video) == packets(made.output)
    assert abs(decode_loudness(made.output)[0] + 14) < LUFS_TOLERANCE
    assert made.timeline.duration_s == pytest.approx(before.end_s)


def packets(path: Path) -> list[str]:
    """Hashes of the picture's packets."""
    import subprocess

    import imageio_ffmpeg

    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-c",
        "copy",
        "-f",
        "framemd5",
        "-",
    ]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


def test_a_folder_mixes_pictures_and_clips(tmp_path, silent, planted, library, index_file):
    draw(tmp_path / "trip", "meadow", 2)
    shutil.copy(silent, tmp_path / "trip" / "clip.mp4")
    settings = SoundtrackSettings(seconds=1, **SMALL)
    made = soundtrack(tmp_path / "trip", library=library, predictor=planted, index_file=index_file, settings=settings)
    assert [(clip.path.name, clip.source is None) for clip in made.timeline.clips] == [
        ("clip.mp4", False), ("meadow1.jpg", True), ("meadow2.jpg", True)
    ]  # fmt: skip
    assert len(probe(made.output).times_s) == 120


def test_what_cannot_be_shown_is_named_and_the_rest_goes_on(tmp_path, planted, library, index_file):
    folder = tmp_path / "show"
    draw(folder, "meadow", 2)
    whole = (folder / "meadow1.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "words.webp").write_text("not a picture")
    made = soundtrack(folder, library=library, predictor=planted, index_file=index_file, dry_run=True)
    assert sorted(error.path.name for error in made.failures) == ["cut.jpg", "empty.png", "words.webp"]
    assert [clip.path.name for clip in made.timeline.clips] == ["meadow1.jpg", "meadow2.jpg"]


def test_what_nothing_can_be_made_of(tmp_path, planted, library, index_file):
    with pytest.raises(MediaError, match="holds nothing that can be shown: name a folder with pictures or clips in it"):
        soundtrack(tmp_path, library=library, predictor=planted, index_file=index_file)
    pictures = draw(tmp_path, "meadow", 1)
    (tmp_path / "none").mkdir()
    with pytest.raises(QueryError, match="holds no music: name a folder with mp3, flac"):
        soundtrack(pictures, library=tmp_path / "none", predictor=planted, index_file=index_file)
    with pytest.raises(QueryError, match="exclude"):
        soundtrack(pictures, library=library, predictor=planted, index_file=index_file, settings=SoundtrackSettings(exclude=("*",)))
    with pytest.raises(SettingsError, match="either a library or tracks"):
        soundtrack(pictures, predictor=planted)
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["meadow1.jpg"]


def test_an_output_that_exists_is_kept(tmp_path, planted, library, index_file):
    pictures = draw(tmp_path, "meadow", 1)
    default_output(pictures[0], "soundtrack").write_text("mine")
    with pytest.raises(OutputError, match="already exists: use --overwrite or --skip-existing"):
        soundtrack(pictures, library=library, predictor=planted, index_file=index_file)
    assert default_output(pictures[0], "soundtrack").read_text() == "mine"


def test_excluded_tracks_are_not_chosen(tmp_path, planted, library, index_file):
    settings = SoundtrackSettings(exclude=("deep/*",))
    made = soundtrack(
        draw(tmp_path, "fireworks", 3), library=library, predictor=planted, index_file=index_file, settings=settings, dry_run=True
    )
    assert [ranked.path.name for ranked in made.ranking] == ["turning.ogg", "soft.mp3"]


def test_far_music_is_said_to_be_far(tmp_path, planted, library, index_file):
    made = soundtrack(draw(tmp_path, "fireworks", 3), tracks=[library / "soft.mp3"], predictor=planted, dry_run=True)
    assert made.is_far
    assert made.ranking[0].match.distance > 0.5


@pytest.mark.parametrize("names", [["wild.flac"], ["wild.flac", "soft.mp3"]])
def test_tracks_that_are_named_are_ranked_among_each_other(names, tmp_path, planted, library):
    tracks = [library / ("deep/wild.flac" if name == "wild.flac" else name) for name in names]
    settings = SoundtrackSettings(match="library")
    for scene in ("meadow", "fireworks"):
        made = soundtrack(draw(tmp_path / scene, scene, 3), tracks=tracks, predictor=planted, settings=settings, dry_run=True)
        expected = "soft.mp3" if scene == "meadow" and len(names) == 2 else "wild.flac"
        assert made.ranking[0].path.name == expected
        assert not made.warnings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0}, "seconds 0"),
        ({"match": "genre"}, "match 'genre': allowed are absolute, library"),
        ({"fit": "best"}, "fit 'best': allowed are pictures, music"),
        ({"per_scene": True, "fit": "music"}, "contradict"),
        ({"size": (161, 90)}, "161"),
        ({"lufs": 3}, "loudness 3 LUFS"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(SettingsError, match=message):
        SoundtrackSettings(**settings)
