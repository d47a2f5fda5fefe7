"""The files of TVSum: annotations (.mat or JSON), shots (h5 or JSON), scores (a file for each video)."""

import csv
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmvatool.analysis.slots import SLOT_S
from mmvatool.errors import AnnotationError
from mmvatool.tvsum.protocol import RANK_STEP, Annotation

if TYPE_CHECKING:
    import h5py

# Protocols, in words: a summary is chosen from these shots.
TITLES = {
    "kts_h5": "KTS from the h5",
    "kts_own": "KTS computed by us",
    "uniform60": "uniform, 2 s: 60 frames",
    "native2s": "uniform, 2 s: as people scored it",
}
PAPER = "paper"
SCORE_SUFFIXES = (".json", ".csv", ".npy")
# Rates that videos of the set have; nframes / length lies a little beside them.
_RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
_NEAR_RATE = 0.001
_PICK_FRAMES = RANK_STEP  # the h5's, too


@dataclass(frozen=True)
class Shots:
    """A segmentation of videos, read from a file.

    Attributes:
        name: its protocol's name: kts_h5, or that of the JSON file, without .json unless another protocol has that name.
        pieces: video -> int64 (S, 2), rows [first, stop).
        picks: video -> frames that features were taken at; of an h5 only.
        summaries: video -> the users' summaries, bool (U, frames), to compare with; of an h5 only.
    """

    name: str
    pieces: dict[str, np.ndarray]
    picks: dict[str, np.ndarray]
    summaries: dict[str, np.ndarray]


def read_annotations(path: Path) -> list[Annotation]:
    """Annotations of `ydata-tvsum50.mat` (MATLAB v7.3) or of a JSON (docs/formats.md), in the file's order.

    Raises:
        AnnotationError: it cannot be read, or holds something else.
    """
    annotations = _read_mat(path) if _is_hdf5(path) else _read_json_annotations(path)
    if not annotations:
        raise AnnotationError(path, "holds no video")
    names = [annotation.video for annotation in annotations]
    for name in names:
        if names.count(name) > 1:
            raise AnnotationError(path, f"video {name} is there twice: remove one")
    return annotations


def read_shots(path: Path, annotations: Sequence[Annotation]) -> Shots:
    """Shots of the eccv16 h5, or of a JSON `{video: [[first frame, last frame], ...]}` (inclusive).

    Videos of the h5 are identified by their `video_name`, else by their number (video_N is the N-th annotation) where the number of frames
    agrees, else by a number of frames that only one annotation has.

    Raises:
        AnnotationError: it cannot be read, names a video that is not annotated, or its shots overlap or leave the video.
    """
    if _is_hdf5(path):
        return _read_h5(path, annotations)
    document = _load_json(path)
    if not isinstance(document, dict) or not document:
        raise AnnotationError(path, "is no object {video: [[first frame, last frame], ...]}: see docs/formats.md")
    frames = {annotation.video: annotation.frames for annotation in annotations}
    pieces = {}
    for video, shots in document.items():
        if video not in frames:
            raise AnnotationError(path, f"video {video}: is not in the annotations")
        pieces[video] = _check_pieces(path, video, shots, frames[video])
    return Shots(path.name if path.stem in (*TITLES, PAPER) else path.stem, pieces, {}, {})


def read_scores(folder: Path, annotation: Annotation, picks: np.ndarray | None) -> np.ndarray:
    """Scores (frames,) of a video: one for each frame, or one for each pick, which holds until the next pick.

    The file is VIDEO.json, VIDEO.csv or VIDEO.npy. Picks are those of the file, else those given, else every 15th frame.

    Raises:
        AnnotationError: there is none, it cannot be read, or its length fits neither.
    """
    path = next((file for suffix in SCORE_SUFFIXES if (file := folder / f"{annotation.video}{suffix}").is_file()), None)
    if path is None:
        raise AnnotationError(folder / annotation.video, f"no scores: add {annotation.video} with {', '.join(SCORE_SUFFIXES)}")
    scores, own = _READERS[path.suffix](path)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise AnnotationError(path, "is no list of finite numbers, one for each frame or pick")
    every = np.arange(0, annotation.frames, _PICK_FRAMES)
    if own is None and len(scores) == annotation.frames:
        return scores
    candidates = (own,) if own is not None else (picks, every)
    positions = next((frames for frames in candidates if frames is not None and len(frames) == len(scores)), None)
    if positions is None:
        expected = (
            f"{len(own)} picks" if own is not None else f"{annotation.frames} frames and {len(every if picks is None else picks)} picks"
        )
        raise AnnotationError(path, f"{len(scores)} scores for {expected}: give one for each")
    if positions[0] != 0 or (np.diff(positions) <= 0).any() or positions[-1] >= annotation.frames:
        raise AnnotationError(path, f"picks must rise from frame 0 and stay below {annotation.frames}")
    return np.repeat(scores, np.diff(np.append(positions, annotation.frames)))


def shot_starts(scores: np.ndarray, length_s: float) -> np.ndarray:
    """First frames (S,) of the 2-second shots that scores (U, frames) were given to; the .mat does not have them.

    At a rate of r the k-th begins at the first whole frame after 2 k r (the 0-th at 0). Two of TVSum's videos are cut otherwise: there a
    shot begins where any user's score changes, and a segment without a change that is longer than a shot is divided evenly.
    """
    frames = scores.shape[1]
    rate = frames / length_s
    nearest = min(_RATES, key=lambda nominal: abs(nominal - rate))
    if abs(nearest - rate) < _NEAR_RATE * nearest:
        rate = nearest
    length = SLOT_S * rate
    grid = np.array([0, *(math.floor(shot * length) + 1 for shot in range(1, int(frames / length) + 1))])
    grid = grid[grid < frames]
    changes = np.flatnonzero((np.diff(scores, axis=1) != 0).any(0)) + 1
    if np.isin(changes, grid).all():
        return grid
    edges = [0, *changes.tolist(), frames]
    starts: list[int] = []
    for start, end in itertools.pairwise(edges):
        parts = max(1, round((end - start) / length))
        starts += [start + math.ceil(part * (end - start) / parts) for part in range(parts)]
    return np.array(starts)


def _is_hdf5(path: Path) -> bool:
    import h5py  # here: other commands do without it

    if not path.is_file():
        raise AnnotationError(path, "is no file: give its path")
    return bool(h5py.is_hdf5(path))


def _read_mat(path: Path) -> list[Annotation]:
    import h5py

    annotations = []
    try:
        with h5py.File(path) as file:
            if not isinstance(file.get("tvsum50"), h5py.Group):
                raise AnnotationError(path, "has no struct tvsum50: give TVSum's ydata-tvsum50.mat")
            columns = {name: file["tvsum50"][name][()].ravel() for name in ("video", "nframes", "length", "user_anno")}
            for row in range(len(columns["video"])):
                video, frames, length_s, scores = (file[columns[name][row]][()] for name in columns)
                name = "".join(map(chr, video.ravel()))
                if scores.ndim != 2 or scores.shape[1] != int(frames.item()):
                    raise AnnotationError(path, f"video {name}: {int(frames.item())} frames, but scores of shape {scores.shape}")
                scores = scores.astype(np.float64)
                annotations.append(_annotation(path, name, scores, shot_starts(scores, float(length_s.item()))))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise AnnotationError(path, f"is not as TVSum's .mat is ({error}): give ydata-tvsum50.mat") from error
    return annotations


def _read_json_annotations(path: Path) -> list[Annotation]:
    document = _load_json(path)
    if not isinstance(document, list):
        raise AnnotationError(path, "is neither a MATLAB v7.3 file nor a list of annotated videos: see docs/formats.md")
    annotations = []
    for row, entry in enumerate(document):
        name = entry.get("video") if isinstance(entry, dict) else None
        try:
            frames, starts = int(entry["nframes"]), np.array(entry["shot_starts"], np.int64)
            scores = np.array([[float(score) for score in user] for user in entry["user"]])
            if starts.ndim != 1 or not len(starts) or starts[0] != 0 or (np.diff(np.append(starts, frames)) <= 0).any():
                raise ValueError("shot_starts must rise from 0 and stay below nframes")
            if scores.ndim != 2 or scores.shape[1] != len(starts):
                raise ValueError(f"each user must have a score for each of the {len(starts)} shots")
        except (KeyError, TypeError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise AnnotationError(path, f"video {name or f'number {row + 1}'}: {what}") from error
        annotations.append(_annotation(path, str(name), np.repeat(scores, np.diff(np.append(starts, frames)), axis=1), starts))
    return annotations


def _annotation(path: Path, video: str, scores: np.ndarray, starts: np.ndarray) -> Annotation:
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise AnnotationError(path, f"video {video}: must have finite scores of two users or more")
    return Annotation(video, scores, starts)


def _read_h5(path: Path, annotations: Sequence[Annotation]) -> Shots:
    import h5py

    pieces, picks, summaries = {}, {}, {}
    try:
        with h5py.File(path) as file:
            for key, group in file.items():
                annotation = _annotated(path, key, group, annotations)
                frames, video = annotation.frames, annotation.video
                if video in pieces:
                    raise AnnotationError(path, f"{key}: video {video} is there twice")
                pieces[video] = _check_pieces(path, video, group["change_points"][()], frames)
                if "picks" in group:
                    picks[video] = group["picks"][()].astype(np.int64)
                if "user_summary" in group and group["user_summary"].shape[1] == frames:
                    summaries[video] = group["user_summary"][()] > 0
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise AnnotationError(path, f"is not as eccv16_dataset_tvsum_google_pool5.h5 is ({error})") from error
    if not pieces:
        raise AnnotationError(path, "holds no video")
    return Shots("kts_h5", pieces, picks, summaries)


def _annotated(path: Path, key: str, group: "h5py.Group", annotations: Sequence[Annotation]) -> Annotation:
    """The annotation of a video of the h5, see `read_shots`."""
    if "video_name" in group:
        value = group["video_name"][()]
        name = value.decode() if isinstance(value, bytes) else str(value)
        if named := [annotation for annotation in annotations if annotation.video == name]:
            return named[0]
    frames = int(np.asarray(group["n_frames"][()]).item())
    number = key.rpartition("_")[2]
    if number.isdecimal() and 1 <= int(number) <= len(annotations) and annotations[int(number) - 1].frames == frames:
        return annotations[int(number) - 1]
    same_length = [annotation for annotation in annotations if annotation.frames == frames]
    if len(same_length) != 1:
        raise AnnotationError(
            path, f"{key}: {len(same_length) or 'no'} annotated video{'s' * (len(same_length) > 1)} of {frames} frames: which is it?"
        )
    return same_length[0]


def _check_pieces(path: Path, video: str, shots: Any, frames: int) -> np.ndarray:
    """Rows [first, last] as rows [first, stop)."""
    try:
        pieces = np.array(shots, np.int64) + np.array([0, 1])
    except (ValueError, TypeError) as error:
        raise AnnotationError(path, f"video {video}: shots must be pairs [first frame, last frame]") from error
    if pieces.ndim != 2 or pieces.shape[1] != 2 or not len(pieces):
        raise AnnotationError(path, f"video {video}: shots must be pairs [first frame, last frame]")
    edges = pieces.ravel()
    wrong = np.flatnonzero((pieces[:, 0] >= pieces[:, 1]) | (np.append(edges[2::2], frames) < edges[1::2]) | (pieces[:, 0] < 0))
    if len(wrong):
        first, stop = pieces[wrong[0]]
        raise AnnotationError(
            path,
            f"video {video}: shot {wrong[0] + 1} [{first}, {stop - 1}]: shots must follow each other and stay within frames 0 to {frames - 1}",
        )
    return pieces


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AnnotationError(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:  # also of UTF-8
        raise AnnotationError(path, f"is neither HDF5 nor JSON ({error})") from error


def _json_scores(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    document = _load_json(path)
    rows = document.get("scores") if isinstance(document, dict) else document
    picks = document.get("picks") if isinstance(document, dict) else None
    try:
        return np.array(rows, np.float64), None if picks is None else np.array(picks, np.int64)
    except (ValueError, TypeError) as error:
        raise AnnotationError(path, 'is neither a list of numbers nor {"scores": [...], "picks": [...]}') from error


def _csv_scores(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """A column of scores, or two: frame and score. A first line that is no number is a heading."""
    try:
        rows = [row for row in csv.reader(path.read_text("utf-8").splitlines()) if row]
        if rows and not _is_number(rows[0][-1]):
            rows = rows[1:]
        if {len(row) for row in rows} not in ({1}, {2}):
            raise ValueError("one column (score) or two (frame, score)")
        scores = np.array([float(row[-1]) for row in rows])
        return scores, np.array([int(row[0]) for row in rows]) if len(rows[0]) == 2 else None
    except (OSError, ValueError) as error:
        raise AnnotationError(path, f"is no CSV of scores ({error})") from error


def _npy_scores(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        return np.load(path, allow_pickle=False).astype(np.float64), None
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise AnnotationError(path, f"is no array of numbers ({error})") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path], tuple[np.ndarray, np.ndarray | None]]] = {
    ".json": _json_scores,
    ".csv": _csv_scores,
    ".npy": _npy_scores,
}
