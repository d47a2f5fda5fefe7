"""The pipeline, on drawn videos."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

import mmvatool
from mmvatool.analysis.slots import slots
from mmvatool.errors import MediaError, MmvatoolError, OutputError, PlanError, SettingsError
from mmvatool.files import write_file
from mmvatool.media.audio import read_windows
from mmvatool.media.frames import FFmpegFrames
from mmvatool.media.probe import probe
from mmvatool.media.sampling import pick
from mmvatool.pipelines.summarize import summarize
from mmvatool.summary.curve import _ranks, modalities
from mmvatool.summary.selection import ScoredShot
from mmvatool.summary.settings import SummarySettings
from mmvatool.timeline import Segment
from tests.helpers import media
from trainer import CheckpointError, Predictor

RATE = Fraction(30000, 1001)


def _kept(shots: tuple[ScoredShot, ...]) -> list[Segment]:
    return [shot.segment for shot in shots if shot.kept]


def test_a_vlog_becomes_its_intense_part(vlog, tmp_path, predictor):
    """The drawn fireworks (8-11 s) and rays (20-24 s) are intense by the model's own scores; 15 % of 24 s is 3.6 s."""
    summary = summarize(vlog, tmp_path / "out.mp4", predictor=predictor, plot=True)
    (segment,) = summary.timeline.segments
    assert segment.start_s == pytest.approx(8, abs=0.04)
    assert segment.end_s == pytest.approx(11, abs=0.04)
    got = probe(tmp_path / "out.mp4")
    assert got.rate == RATE
    assert got.duration_s <= 0.15 * summary.info.duration_s
    first = round(segment.start_s * RATE)
    stamps = [media.read_stamp(frame) for frame in FFmpegFrames(got).read(np.arange(len(got.times_s)))]
    assert stamps == list(range(first, first + len(got.times_s)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.mp4", "out.png"]
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved == summary.to_json()
    assert saved["summary_s"] == pytest.approx(got.duration_s, abs=1e-4)
    assert list(saved) == [
        "schema",
        "input",
        "output",
        "model",
        "settings",
        "duration_s",
        "summary_s",
        "shots",
        "timeline",
        "cuts",
        "warnings",
    ]
    assert set(saved["shots"][0]) == {"start_s", "end_s", "valence", "arousal", "kept"}


@pytest.mark.parametrize("every", [25, 1000])
def test_what_is_kept_begins_and_ends_where_the_picture_changes(tmp_path, predictor, every: int):
    """Scenes of 4 to 6 s at 25 frames/s, by encoders that put keyframes at cuts and by one that does not, as in phones."""
    plan = [("meadow", 5), ("rays", 6), ("sea", 4), ("wall", 5)]
    for params in (("-g", str(every)), ("-g", str(every), "-x264-params", "scenecut=0")):
        path = tmp_path / f"{len(params)}.mp4"
        media.draw_scenes(path, plan, rate=Fraction(25), params=("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", *params))
        exact, auto = (
            summarize(
                path,
                predictor=predictor,
                settings=SummarySettings(ratio=0.3, max_shot_s=8, sampling=sampling),
                plan=tmp_path / f"{len(params)} {sampling}.json",
                dry_run=True,
            )
            for sampling in ("exact", "auto")
        )
        (kept,) = _kept(auto.shots)
        assert (kept.start_s, kept.end_s) == pytest.approx((5, 11), abs=0.05), params
        assert _kept(exact.shots)[0].overlap_s(_kept(auto.shots)[0]) > 0.9 * exact.timeline.duration_s


def test_a_dry_run_decodes_no_more_than_it_looks_at(tmp_path, predictor, decoded):
    """Cuts to the frame are for what is rendered or written for others to render."""
    path = tmp_path / "a.mp4"
    params = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "25", "-x264-params", "scenecut=0")
    media.draw_scenes(path, [("meadow", 5.2), ("rays", 6), ("sea", 4), ("wall", 4.8)], rate=Fraction(25), params=params)
    settings = SummarySettings(ratio=0.4, max_shot_s=8)
    probe_media = summarize(path, predictor=predictor, settings=settings, dry_run=True)
    assert (probe_media.cuts, decoded) == ("likely", [10])
    (likely,) = _kept(probe_media.shots)
    assert (likely.start_s, likely.end_s) == pytest.approx((5.2, 11.2), abs=1)
    planned = summarize(path, predictor=predictor, settings=settings, dry_run=True, plan=tmp_path / "plan.json")
    made = summarize(path, predictor=predictor, settings=settings)
    assert planned.cuts == made.cuts == "exact"
    assert planned.shots == made.shots
    (kept,) = _kept(made.shots)
    assert (kept.start_s, kept.end_s) == pytest.approx((5.2, 11.2), abs=0.05)
    assert summarize(path, predictor=predictor, settings=replace(settings, sampling="exact"), dry_run=True).cuts == "exact"
    before = len(decoded)
    copied = summarize(path, tmp_path / "copied.mp4", predictor=predictor, settings=replace(settings, lossless=True))
    assert copied.cuts == "keyframes"
    assert len(decoded) == before + 1  # a copy begins at a keyframe, wherever the cut is


def test_sampling_is_part_of_the_settings(vlog, predictor):
    summary = summarize(vlog, predictor=predictor, settings=SummarySettings(sampling="keyframes"), dry_run=True)
    settings = summary.to_json()["settings"]
    assert isinstance(settings, dict)
    assert settings["sampling"] == "keyframes"
    with pytest.raises(SettingsError, match="sampling 'all': allowed are auto, exact, keyframes"):
        SummarySettings(sampling="all")


def test_kept_seconds_are_the_most_arousing_that_fit(vlog, predictor):
    """Against every greedy order, and against 1,000 random choices of the same length."""
    summary = summarize(vlog, predictor=predictor, settings=SummarySettings(ratio=0.3), dry_run=True)
    shots = summary.shots
    lengths = np.array([shot.segment.length_s for shot in shots])
    arousal = np.array([shot.arousal for shot in shots])
    kept = np.array([shot.kept for shot in shots])
    budget = 0.3 * summary.info.duration_s

    def integral(order: np.ndarray) -> tuple[float, float]:
        """Take shots in an order while they fit; the last one that does not is cut, so that all have one length."""
        left, total = lengths[kept].sum(), 0.0
        for place in order:
            taken = min(left, lengths[place])
            total, left = total + taken * arousal[place], left - taken
        return total / lengths[kept].sum(), left

    mine = float((arousal * lengths)[kept].sum() / lengths[kept].sum())
    assert lengths[kept].sum() <= budget
    random = np.random.default_rng(0)
    drawn_at_random = [integral(random.permutation(len(shots)))[0] for _ in range(1000)]
    assert mine > np.mean(drawn_at_random) + 0.05
    assert mine >= max(drawn_at_random) - 1e-9
    for order in (np.argsort(-lengths), np.argsort(lengths), np.arange(len(shots)), np.arange(len(shots))[::-1]):
        left, picked = budget, []
        for place in order:
            if lengths[place] <= left:
                picked.append(place)
                left -= lengths[place]
        assert (arousal * lengths)[kept].sum() >= (arousal * lengths)[picked].sum()


def test_by_audio_takes_ten_seconds_around_each_slot(vlog, whole_predictor):
    summary = summarize(vlog, predictor=whole_predictor, settings=SummarySettings(by="audio"), dry_run=True)
    assert summary.model == "whole"
    rate_hz = whole_predictor.sample_rate_hz
    sound = next(read_windows(summary.info, [Segment(0, summary.info.end_s)], rate_hz))
    # Around the frame that stands for the slot, which the shots are found by.
    times_s = pick(summary.info, slots(summary.info.start_s, summary.info.end_s).edges_s, "auto").times_s
    windows = [sound[round(max(0, at - 5) * rate_hz) : round((at + 5) * rate_hz)] for at in times_s]
    np.testing.assert_array_equal(summary.curve.times_s, times_s)
    # The windows may begin and end a sample apart, which shows where a short one is repeated; the next slot's is further off.
    expected = whole_predictor.music(windows)
    np.testing.assert_allclose(summary.curve.va, expected, atol=0.01)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.02
    assert np.ptp(summary.curve.va, axis=0).min() > 1e-4
    assert all(0 <= shot.valence <= 1 for shot in summary.shots)


def test_by_music_keeps_what_sounds_most_arousing(vlog, whole_predictor):
    summary = summarize(vlog, predictor=whole_predictor, settings=SummarySettings(by="audio", shots="uniform"), dry_run=True)
    kept = [shot.arousal for shot in summary.shots if shot.kept]
    assert kept
    assert min(kept) >= max(shot.arousal for shot in summary.shots if not shot.kept)


def test_by_music_with_uniform_shots_needs_a_music_tower_alone(vlog, whole):
    settings = SummarySettings(by="audio", shots="uniform")
    assert modalities(settings) == ("music",)
    deaf_to_pictures = Predictor.load(whole, device="cpu", modalities=modalities(settings))
    assert _kept(summarize(vlog, predictor=deaf_to_pictures, settings=settings, dry_run=True).shots)
    assert modalities(SummarySettings(by="audio")) == modalities(SummarySettings(by="both")) == ("image", "music")
    assert modalities(SummarySettings()) == ("image",)


def test_a_model_that_does_not_hear_says_what_to_do(vlog, whole):
    sees = Predictor.load(whole, device="cpu", modalities=("image",))
    with pytest.raises(CheckpointError, match="whole: has no music tower, only image: use one that was trained on music"):
        summarize(vlog, predictor=sees, settings=SummarySettings(by="audio"), dry_run=True)


def test_by_both_is_the_mean_of_ranks_and_of_valences(vlog, whole_predictor):
    image, music, both = (
        summarize(vlog, predictor=whole_predictor, settings=SummarySettings(by=by), dry_run=True).curve.va
        for by in ("image", "audio", "both")
    )
    ranks = [(rankdata(curve[:, 1]) - 1) / (len(curve) - 1) for curve in (image, music)]
    np.testing.assert_allclose(both[:, 1], np.mean(ranks, axis=0), atol=1e-6)
    np.testing.assert_allclose(both[:, 0], (image[:, 0] + music[:, 0]) / 2, atol=1e-6)


def test_without_sound(silent, predictor, whole_predictor):
    with pytest.raises(MediaError, match="no sound: use --by image"):
        summarize(silent, predictor=whole_predictor, settings=SummarySettings(by="audio"), dry_run=True)
    both = summarize(silent, predictor=predictor, settings=SummarySettings(by="both"), dry_run=True)
    assert both.model == "compact"
    assert both.warnings == ("no sound: scored by its pictures alone",)


def test_a_two_second_clip_and_a_single_frame(tmp_path, predictor):
    clip = media.draw_scenes(tmp_path / "clip.mp4", [("rays", 2)], rate=Fraction(25))
    summary = summarize(clip, predictor=predictor)
    assert summary.output == tmp_path / "clip.summary.mp4"
    assert len(probe(summary.output).times_s) == 7  # 15 % of 50
    still = media.encode(tmp_path / "still.mp4", lambda n: media.wall((320, 180), 0), 1, Fraction(25))
    with pytest.raises(PlanError, match="under one frame"):
        summarize(still, predictor=predictor)


def test_uniform_shots_and_long_budget(vlog, predictor):
    summary = summarize(vlog, predictor=predictor, settings=SummarySettings(shots="uniform", duration_s=1000), dry_run=True)
    assert len(summary.shots) == 12
    assert all(shot.kept for shot in summary.shots)


def test_dry_run_writes_nothing(vlog, tmp_path, predictor):
    before = sorted(vlog.parent.iterdir())
    summary = summarize(vlog, predictor=predictor, dry_run=True)
    assert summary.output is None
    assert sorted(vlog.parent.iterdir()) == before


def test_targets_are_refused_before_any_work(vlog, tmp_path):
    class Never:
        batch_size = 1

        def image(self, *args: object, **kwargs: object) -> None:
            pytest.fail("worked before it looked at the target")

    def refuse(target: Path, message: str, **options: bool) -> None:
        with pytest.raises(OutputError, match=message):
            summarize(vlog, target, predictor=Never(), **options)  # type: ignore[arg-type]

    (tmp_path / "there.mp4").touch()
    (tmp_path / "json.json").touch()
    (tmp_path / "folder.mp4").mkdir()
    refuse(tmp_path / "there.mp4", "already exists")
    refuse(tmp_path / "json.mp4", "json.json: already exists")
    refuse(tmp_path / "folder.mp4", "is a folder", overwrite=True)
    refuse(tmp_path / "a.gif", "cannot write .gif")
    refuse(tmp_path / "no" / "a.mp4", "folder does not exist")
    refuse(vlog, "is the input itself", overwrite=True)


def test_overwrite_replaces(tmp_path, predictor):
    clip = media.draw_scenes(tmp_path / "clip.mp4", [("rays", 2)], rate=Fraction(25))
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    summarize(clip, target, predictor=predictor, overwrite=True)
    assert len(probe(target).times_s) == 7


def test_two_runs_make_the_same_plan_and_the_same_frames(vlog, tmp_path, predictor):
    one = summarize(vlog, tmp_path / "a.mp4", predictor=predictor)
    two = summarize(vlog, tmp_path / "b.mp4", predictor=predictor)
    assert one.timeline.segments == two.timeline.segments
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_python_api():
    assert mmvatool.SummarySettings is SummarySettings
    assert mmvatool.summarize is summarize
    assert replace(mmvatool.SummarySettings(), ratio=0.2).ratio == 0.2
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmvatool.nothing
    assert issubclass(MediaError, MmvatoolError)


def test_ranks_share_ties_and_fill_the_range():
    assert _ranks(np.array([0.3, 0.1, 0.3, 0.9])).tolist() == pytest.approx([0.5, 0, 0.5, 1])
    assert _ranks(np.array([0.2, 0.2, 0.2])).tolist() == [0.5, 0.5, 0.5]
    assert _ranks(np.array([0.2])).tolist() == [0.5]


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "out.json"
    target.write_text("old")

    def full(self, where):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"out\.json: cannot be written \(No space left on device\)"):
        write_file(target, b"new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out.json", "old")]
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(target / "inside.json", b"new")
