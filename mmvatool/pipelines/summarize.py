"""`summarize`: from a video file to the part of it worth watching. One pipeline, readable top to bottom.

probe -> sample a frame (and/or 10 seconds of sound) for each 2-second slot -> predict VA and embeddings -> shots -> value of
a shot = mean arousal x length -> exact knapsack under the budget -> Timeline -> render -> check -> rename.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.files import write_file
from mmvatool.media import render
from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.pipelines.curves import feel_frames, feel_sound
from mmvatool.pipelines.outputs import check_writable
from mmvatool.pipelines.progress import Progress, no_progress
from mmvatool.pipelines.summary_page import summary_page
from mmvatool.report import curve_png
from mmvatool.selection import Curve, ScoredShot, Settings, budget_s, choose
from mmvatool.shots import LEAST_MAX_SHOT_S, Slots, shots, slots, uniform_shots
from mmvatool.timeline import Segment, Timeline

if TYPE_CHECKING:
    from trainer import Predictor

SCHEMA = "mmvatool.summary/1"


@dataclass(frozen=True)
class Summary:
    """The result: the plan, and what was written (`output` is None for a dry run)."""

    input: Path
    output: Path | None
    model: str
    settings: Settings
    info: MediaInfo
    curve: Curve
    shots: tuple[ScoredShot, ...]
    fallbacks: tuple[str, ...] = ()

    @property
    def timeline(self) -> Timeline:
        """What is rendered."""
        return Timeline.of(self.input, (shot.segment for shot in self.shots if shot.kept))

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md), schema SCHEMA."""
        settings = asdict(self.settings)
        for name in ("keep", "drop"):
            settings[name] = [[round(part.start_s, 6), round(part.end_s, 6)] for part in getattr(self.settings, name)]
        return {
            "schema": SCHEMA,
            "input": str(self.input),
            "output": None if self.output is None else str(self.output),
            "model": self.model,
            "settings": settings,
            "duration_s": round(self.info.duration_s, 6),
            "summary_s": round(self.timeline.duration_s, 6),
            "shots": [
                {
                    "start_s": round(shot.segment.start_s, 6),
                    "end_s": round(shot.segment.end_s, 6),
                    "valence": round(shot.valence, 6),
                    "arousal": round(shot.arousal, 6),
                    "kept": shot.kept,
                }
                for shot in self.shots
            ],
            "timeline": self.timeline.to_json(),
            "fallbacks": list(self.fallbacks),
        }


def summarize(
    path: Path | str,
    output: Path | str | None = None,
    *,
    predictor: "Predictor | None" = None,
    settings: Settings | None = None,
    plot: bool = False,
    report: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Summary:
    """Summarize a video: the shots of the highest arousal that fit the budget, as a finished video.

    Args:
        path: the video.
        output: where to; `<name>.summary.mp4` beside the input by default. A JSON lies beside it, under the same name.
        predictor: a loaded model with the towers that `modalities` names; the bundled one by default.
        settings: how to choose.
        plot: also write the arousal curve, with the kept parts shaded, as a PNG beside the output.
        report: also write a page about it beside the output, as one HTML file.
        dry_run: choose only; nothing is written.
        overwrite: replace existing outputs; otherwise they are an error.
        progress: told how far each stage is.

    Returns:
        The plan and where it went.

    Raises:
        MediaError: the input cannot be read as a video (or has no sound, when sound is asked for).
        PlanError: the budget is under one frame, or ranges to keep do not fit.
        OutputError: an output exists or cannot be written.
        RenderError: encoding failed or its result did not pass the check.
    """
    path, settings = Path(path), settings or Settings()
    target = Path(output) if output is not None else default_output(path)
    if not dry_run:
        check_writable(outputs(target, plot=plot, report=report), [path], overwrite=overwrite)
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load(modalities=modalities(settings))
    info = probe(path)
    grid = slots(info.start_s, info.end_s)
    frames = Frames(info)
    curve, embeddings, notes = _feel(info, grid, frames, predictor, settings, progress)
    summary = Summary(
        input=path,
        output=None,
        model=predictor.name,
        settings=settings,
        info=info,
        curve=curve,
        shots=choose(_find_shots(info, grid, frames, embeddings, settings), curve, info, settings),
    )
    if info.restarts:
        notes.append(
            "its clock restarts in the middle (joined recordings?), so that times are ambiguous: summarize the parts, or join them anew"
        )
    notes += [note for note in (frames.fallback, f"{frames.damaged} frames are damaged" if frames.damaged else None) if note]
    if not dry_run:
        total = sum(round(segment.length_s * info.rate) for segment in summary.timeline.segments)
        with progress("rendering", total) as rendered:
            notes += render.render(summary.timeline, info, target, rendered)
        summary = replace(summary, output=target)
    summary = replace(summary, fallbacks=tuple(notes))
    if not dry_run:
        write_file(target.with_suffix(".json"), (json.dumps(summary.to_json(), indent=2) + "\n").encode())
        if plot:
            kept = summary.timeline.segments
            write_file(target.with_suffix(".png"), curve_png(curve.times_s, curve.va[:, 1], kept, (info.start_s, info.end_s), path.name))
        if report:
            write_file(target.with_suffix(".html"), summary_page(summary, frames, predictor.card).encode())
    return summary


def modalities(settings: Settings) -> tuple[str, ...]:
    """The towers that settings need: shots are found in what is seen, whatever they are chosen by."""
    if settings.by == "image":
        return ("image",)
    return ("music",) if settings.by == "music" and settings.shots == "uniform" else ("image", "music")


def default_output(path: Path) -> Path:
    """`<name>.summary.mp4`, beside the input."""
    return path.with_name(f"{path.stem}.summary.mp4")


def outputs(target: Path, *, plot: bool, report: bool) -> list[Path]:
    """All files that a summary writes."""
    suffixes = [".json"] + [".png"] * plot + [".html"] * report
    return [target, *(target.with_suffix(suffix) for suffix in suffixes)]


def _feel(
    info: MediaInfo, grid: Slots, frames: Frames, predictor: "Predictor", settings: Settings, progress: Progress
) -> tuple[Curve, np.ndarray, list[str]]:
    """The curve over the slots, the embeddings (N, 512) of their frames, and notes."""
    notes: list[str] = []
    by = settings.by
    if by == "both" and info.audio is None:
        notes.append("no sound: scored by its pictures alone")
        by = "image"
    seen, embeddings = np.empty((len(grid), 2), np.float32), np.zeros((len(grid), 512), np.float32)
    if by != "music" or settings.shots == "auto":
        seen, embeddings = feel_frames(info, grid.centres_s, frames, predictor, progress)
    if by == "image":
        return Curve(grid.centres_s, seen), embeddings, notes
    heard = feel_sound(info, grid.centres_s, predictor, progress=progress)
    if by == "music":
        return Curve(grid.centres_s, heard), embeddings, notes
    both = (seen + heard) / 2
    both[:, 1] = (_ranks(seen[:, 1]) + _ranks(heard[:, 1])) / 2
    return Curve(grid.centres_s, both), embeddings, notes


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks scaled to [0, 1], equal values sharing their mean rank; a constant is .5 throughout."""
    from scipy.stats import rankdata  # here: --help must not wait for it

    if len(values) == 1:
        return np.full(1, 0.5, np.float32)
    return ((rankdata(values) - 1) / (len(values) - 1)).astype(np.float32)


def _find_shots(info: MediaInfo, grid: Slots, frames: Frames, embeddings: np.ndarray, settings: Settings) -> list[Segment]:
    if settings.shots == "uniform":
        return uniform_shots(grid, info.times_s)
    sampled = info.frame_at(grid.centres_s)

    def refine(change: int) -> float:
        """The frame of the largest change between two samples; midway where nothing changes."""
        between = np.arange(sampled[change - 1], sampled[change] + 1)
        if len(between) < 2:
            return float(grid.edges_s[change])
        small = frames.read(between)[:, ::4, ::4].astype(np.int16)
        steps = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
        largest = int(steps.argmax()) if steps.max() > 0 else len(steps) // 2
        return float(info.times_s[between[largest + 1]])

    # A shot over the budget could never be kept: it is over the maximum, too.
    longest_s = min(settings.max_shot_s, max(budget_s(info, settings), LEAST_MAX_SHOT_S, 2 * settings.min_shot_s))
    return shots(embeddings, info.times_s[sampled], info.times_s, info.end_s, refine, settings.min_shot_s, longest_s)
