"""What is shown: a video, or pictures and short clips in the order asked for; each looked at and felt."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.analysis.curves import image_curve
from mmvatool.analysis.score import Score, Towers, score
from mmvatool.analysis.slots import slots
from mmvatool.errors import FileError, MediaError
from mmvatool.files import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, is_own_output, list_files, natural_key
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.progress import Progress, no_progress
from mmvatool.soundtracks import pacing
from mmvatool.soundtracks.matching import Steps, steps
from mmvatool.timeline import Curve, Segment

if TYPE_CHECKING:
    from trainer import Predictor

ORDERS = ("name", "time", "given")
LONGEST_CLIP_S = 15.0  # of a longer clip the most arousing run of this length is shown


@dataclass(frozen=True)
class Slide:
    """A picture, or a stretch `shown` of the clip that `info` describes, and its VA (2,)."""

    path: Path
    va: np.ndarray
    info: MediaInfo | None = None
    shown: Segment | None = None

    @property
    def length_s(self) -> float | None:
        """Length of a clip; a picture has none of its own."""
        return None if self.shown is None else self.shown.length_s


@dataclass(frozen=True)
class Visuals:
    """What is shown: `slides`, or the video of `info`; its VA (N, 2) between the N + 1 `edges_s`."""

    slides: tuple[Slide, ...]
    info: MediaInfo | None
    va: np.ndarray
    edges_s: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> Steps:
        """What the music should feel like."""
        return steps(self.va, self.edges_s)

    @property
    def fixed_s(self) -> np.ndarray:
        """(N,) lengths of clips, NaN for pictures."""
        return np.array([np.nan if slide.length_s is None else slide.length_s for slide in self.slides])


def predict_visuals(
    given: list[Path], predictor: "Predictor", order: str | None, seconds: float, progress: Progress
) -> tuple[Visuals, list[FileError]]:
    """What is shown and felt, and an error for each file that cannot be."""
    folder = given[0] if len(given) == 1 and given[0].is_dir() else None
    if folder is None and len(given) == 1 and not pictures.is_picture(given[0]):
        info = probe(given[0])
        curve, damaged = image_curve(info, predictor, progress=progress)
        edges_s = slots(info.start_s, info.end_s).edges_s.copy()
        edges_s[0] = 0.0  # the sound begins with the container, whenever the picture does
        return Visuals((), info, curve.va, edges_s, [f"{damaged} frames are damaged"] if damaged else []), []
    files = given if folder is None else list_files(folder, PICTURE_SUFFIXES | VIDEO_SUFFIXES)
    files = [file for file in files if folder is None or not is_own_output(file.name)]
    order = order or ("name" if folder else "given")
    slides, errors = predict_slides(files, predictor, order, progress)
    if not slides:
        more = f" ({errors[0]}{f' and {len(errors) - 1} more' if len(errors) > 1 else ''})" if errors else ""
        raise MediaError(folder or given[0], f"holds nothing that can be shown{more}: name a folder with pictures or clips in it")
    show = Visuals(tuple(slides), None, np.array([slide.va for slide in slides]), np.empty(0))
    return replace(show, edges_s=pacing.evenly(show.fixed_s, seconds)), list(errors)


def predict_slides(
    paths: Sequence[Path], predictor: "Predictor", order: str = "name", progress: Progress = no_progress
) -> tuple[list[Slide], list[MediaError]]:
    """Read, feel and sort pictures and clips.

    Args:
        paths: files, each once.
        predictor: with an image tower.
        order: "name" (natural: 2 before 10, folder by folder), "time" (when they were taken: EXIF, a clip's creation time, else the
            file's own), or "given".
        progress: told how many are felt.

    Returns:
        The slides, and an error for each file that is none.
    """
    slides: list[Slide] = []
    errors: list[MediaError] = []
    sounds = [path for path in paths if path.suffix.lower() in SOUND_SUFFIXES]
    errors += [MediaError(path, "is a sound: give pictures and clips here, and music with --track or --library") for path in sounds]
    files = [path for path in paths if path not in sounds]
    towers = Towers(lambda modality: predictor, ("image",))
    for path, felt in zip(files, score(files, predictor=towers, progress=progress), strict=True):
        if isinstance(felt, Score):
            try:
                slides.append(_slide(path, felt))
            except MediaError as error:
                errors.append(error)
        elif isinstance(felt.error, MediaError):
            errors.append(felt.error)
        else:
            errors.append(MediaError(path, f"cannot be shown ({felt.error}): leave it out"))
    if order == "name":
        slides.sort(key=lambda slide: natural_key(slide.path))
    elif order == "time":
        slides.sort(key=lambda slide: (_taken_at(slide), natural_key(slide.path)))
    return slides, errors


def _slide(path: Path, felt: Score) -> Slide:
    if felt.kind == "image":
        return Slide(path, np.array([felt.valence, felt.arousal]))
    info = probe(path)
    shown = most_arousing(felt.curve, info)
    list_files = (felt.curve.times_s >= shown.start_s) & (felt.curve.times_s < shown.end_s)
    va = felt.curve.va[list_files] if list_files.any() else felt.curve.va
    return Slide(path, va.mean(0, dtype=np.float64), info, shown)


def most_arousing(curve: Curve, info: MediaInfo, length_s: float = LONGEST_CLIP_S) -> Segment:
    """The run of `length_s` of the highest mean arousal, its bounds on frames; the whole of a video that is no longer."""
    if info.duration_s <= length_s:
        return Segment(info.start_s, info.end_s)
    starts = np.append(curve.times_s[curve.times_s <= info.end_s - length_s], info.end_s - length_s)
    sums = np.concatenate([[0.0], np.cumsum(curve.va[:, 1], dtype=np.float64)])
    first, past = np.searchsorted(curve.times_s, starts), np.searchsorted(curve.times_s, starts + length_s)
    means = (sums[past] - sums[first]) / np.maximum(1, past - first)
    start_s = info.snap(float(starts[means.argmax()]))
    return Segment(start_s, max(info.snap(start_s + length_s), float(np.nextafter(start_s, np.inf))))


def _taken_at(slide: Slide) -> float:
    """Seconds since 1970. A time without a zone is of the zone that this machine is in."""
    taken = pictures.taken_at(slide.path) if slide.info is None else _stated(slide.info.tags.get("creation_time"))
    try:
        return slide.path.stat().st_mtime if taken is None else taken.timestamp()
    except (OSError, OverflowError, ValueError):
        return 0.0


def _stated(text: str | None) -> datetime | None:
    """A container's creation time; 1904 and 1970 are what cameras write that have no clock."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.year > 1970 else None
