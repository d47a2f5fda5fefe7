"""The visuals of a soundtrack and their VA: a video, or pictures and short clips in the order asked for."""

from collections.abc import Mapping, Sequence
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
from mmvatool.media.live import live_clips
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.progress import Progress, no_progress
from mmvatool.soundtracks import pacing
from mmvatool.soundtracks.matching import Steps, steps
from mmvatool.timeline import Curve, Segment

if TYPE_CHECKING:
    from trainer import Predictor

ORDERS = ("name", "time", "given")
LONGEST_CLIP_S = 15.0  # of a longer clip the most arousing segment of this length is shown


@dataclass(frozen=True)
class Slide:
    """A picture, or the `segment` of a clip that `info` describes, and its VA (2,)."""

    path: Path
    va: np.ndarray
    info: MediaInfo | None = None
    segment: Segment | None = None

    @property
    def length_s(self) -> float | None:
        """Length of a clip; a picture has none of its own."""
        return None if self.segment is None else self.segment.length_s


@dataclass(frozen=True)
class Visuals:
    """`slides`, or the video of `info`; with their VA (N, 2) between the N + 1 `edges_s`, from 0."""

    slides: tuple[Slide, ...]
    info: MediaInfo | None
    va: np.ndarray
    edges_s: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def target(self) -> Steps:
        """The VA over time that the music should have."""
        return steps(self.va, self.edges_s)

    def part_target(self, part: slice) -> Steps:
        """The same of a part of the N."""
        return steps(self.va[part], self.edges_s[part.start : part.stop + 1])

    @property
    def fixed_s(self) -> np.ndarray:
        """(N,) lengths of clips, NaN for pictures."""
        return np.array([np.nan if slide.length_s is None else slide.length_s for slide in self.slides])


def predict_visuals(
    given: list[Path], predictor: "Predictor", order: str | None, seconds: float, progress: Progress, *, live: str = "still"
) -> tuple[Visuals, list[FileError]]:
    """Read visuals and predict their VA.

    Args:
        given: a folder of pictures and clips, a video, or pictures and clips one by one.
        predictor: with an image tower.
        order: of pictures, one of ORDERS; None: "name" for a folder, else "given".
        seconds: how long a picture is shown.
        progress: is given how much of each stage is done.
        live: what is shown of a Live Photo, one of LIVES.

    Returns:
        The visuals, and an error for each file that cannot be shown.

    Raises:
        MediaError: none of the files can be shown.
    """
    folder = given[0] if len(given) == 1 and given[0].is_dir() else None
    if folder is None and len(given) == 1 and not pictures.is_picture(given[0]):
        info = probe(given[0])
        curve, damaged = image_curve(info, predictor, progress=progress)
        edges_s = slots(info.start_s, info.end_s).edges_s.copy()
        edges_s[0] = 0.0  # sound begins at 0 of the container, even if the first frame comes later
        return Visuals((), info, curve.va, edges_s, [f"{damaged} frames are damaged"] if damaged else []), []
    files = given if folder is None else list_files(folder, PICTURE_SUFFIXES | VIDEO_SUFFIXES)
    files = [file for file in files if folder is None or not is_own_output(file.name)]
    files, notes = _one_of_live_photos(files, live)
    order = order or ("name" if folder else "given")
    slides, errors = predict_slides(files, predictor, order, progress)
    if not slides:
        more = f" ({errors[0]}{f' and {len(errors) - 1} more' if len(errors) > 1 else ''})" if errors else ""
        raise MediaError(folder or given[0], f"holds nothing that can be shown{more}: name a folder with pictures or clips in it")
    visuals = Visuals(tuple(slides), None, np.array([slide.va for slide in slides]), np.empty(0), notes)
    return replace(visuals, edges_s=pacing.evenly(visuals.fixed_s, seconds)), list(errors)


def _one_of_live_photos(files: list[Path], live: str) -> tuple[list[Path], list[str]]:
    """The files without the clips, or without the stills, of Live Photos, and a warning if there are any."""
    clips = {} if live == "both" else live_clips(files)
    if not clips:
        return files, []
    left_out = set(clips) if live == "still" else {still for stills in clips.values() for still in stills}
    photos = f"{len(clips)} Live Photo{'s' if len(clips) > 1 else ''}"
    return [file for file in files if file not in left_out], [f"{photos}: shown by the {live}, not twice"]


def predict_slides(
    paths: Sequence[Path], predictor: "Predictor", order: str = "name", progress: Progress = no_progress
) -> tuple[list[Slide], list[MediaError]]:
    """Read pictures and clips, predict their VA, and sort them.

    Args:
        paths: files, each once.
        predictor: with an image tower.
        order: "name" (natural: 2 before 10, folder by folder), "time" (when they were taken: EXIF, a clip's creation time, else the
            file's own), or "given".
        progress: is given how many are done.

    Returns:
        The slides, and an error for each file that cannot be one.
    """
    slides: list[Slide] = []
    errors: list[MediaError] = []
    sounds = [path for path in paths if path.suffix.lower() in SOUND_SUFFIXES]
    errors += [MediaError(path, "is a sound: give pictures and clips here, and music with --track or --library") for path in sounds]
    files = [path for path in paths if path not in sounds]
    towers = Towers(lambda modality: predictor, ("image",))
    for path, scored in zip(files, score(files, predictor=towers, progress=progress), strict=True):
        if isinstance(scored, Score):
            try:
                slides.append(_slide(path, scored))
            except MediaError as error:
                errors.append(error)
        elif isinstance(scored.error, MediaError):
            errors.append(scored.error)
        else:
            errors.append(MediaError(path, f"cannot be shown ({scored.error}): leave it out"))
    if order == "name":
        slides.sort(key=lambda slide: natural_key(slide.path))
    elif order == "time":
        slides.sort(key=lambda slide: (_taken_at(slide), natural_key(slide.path)))
    return slides, errors


def _slide(path: Path, scored: Score) -> Slide:
    if scored.kind == "image":
        return Slide(path, np.array([scored.valence, scored.arousal]))
    info = probe(path)
    curve = scored.curve
    segment = most_arousing(curve, info)
    inside = (curve.times_s >= segment.start_s) & (curve.times_s < segment.end_s)
    va = curve.va[inside] if inside.any() else curve.va
    return Slide(path, va.mean(0, dtype=np.float64), info, segment)


def most_arousing(curve: Curve, info: MediaInfo, length_s: float = LONGEST_CLIP_S) -> Segment:
    """The segment of `length_s` with the highest mean arousal, its bounds on frames; all of a video that is no longer."""
    if info.duration_s <= length_s:
        return Segment(info.start_s, info.end_s)
    starts = np.append(curve.times_s[curve.times_s <= info.end_s - length_s], info.end_s - length_s)
    sums = np.concatenate([[0.0], np.cumsum(curve.va[:, 1], dtype=np.float64)])
    first, stop = np.searchsorted(curve.times_s, starts), np.searchsorted(curve.times_s, starts + length_s)
    means = (sums[stop] - sums[first]) / np.maximum(1, stop - first)
    start_s = info.snap(float(starts[means.argmax()]))
    return Segment(start_s, max(info.snap(start_s + length_s), float(np.nextafter(start_s, np.inf))))


def _taken_at(slide: Slide) -> float:
    """Seconds since 1970. A time without a zone counts in the zone of this machine."""
    taken = pictures.taken_at(slide.path) if slide.info is None else _recorded_at(slide.info.tags)
    try:
        return slide.path.stat().st_mtime if taken is None else taken.timestamp()
    except (OSError, OverflowError, ValueError):
        return 0.0


def _recorded_at(tags: Mapping[str, str]) -> datetime | None:
    """When a clip was recorded, by its tags.

    A phone's own date, with its zone, comes first: `creation_time` is that of the file, which an export sets anew. `date` counts where it
    has a zone: it may be the year of a film.
    """
    lower = {key.lower(): value for key, value in tags.items()}
    date = _time(lower.get("date"))
    return (
        _time(lower.get("com.apple.quicktime.creationdate"))
        or (date if date is not None and date.tzinfo is not None else None)
        or _time(lower.get("creation_time"))
    )


def _time(text: str | None) -> datetime | None:
    """A time in a tag, the first of several; None for 1904 and 1970, which cameras without a clock write."""
    try:
        time = datetime.fromisoformat((text or "").partition(";")[0].strip())
    except ValueError:
        return None
    return time if time.year > 1970 else None
