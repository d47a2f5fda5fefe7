"""`score`: valence and arousal of pictures, audio files, videos and texts. One pipeline, readable top to bottom.

files in chunks -> the kind of each, by its suffix or its content -> pictures in batches across files, audio in batches across
files, videos one by one -> results in the order given, then the texts.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.analysis.curves import check_step, check_window_s, image_curve, music_curve, music_curves
from mmvatool.analysis.prefetch import prefetch_map
from mmvatool.choices import SAMPLINGS
from mmvatool.errors import MediaError, SettingsError
from mmvatool.files import MEDIA_SUFFIXES, PICTURE_SUFFIXES
from mmvatool.media.audio import SilentError, notes
from mmvatool.media.probe import MediaInfo, SoundInfo, probe_media
from mmvatool.progress import Progress, no_progress
from mmvatool.timeline import Curve
from trainer import usable_cpus

if TYPE_CHECKING:
    from trainer import Predictor

EVERY_S = 2.0
UNKNOWN = "no word of it is known"
# A text is scored by its beginning: the towers read some hundred words, and a line may be of any length.
LONGEST_TEXT = 10_000
CHUNK = 64  # files, or 16 times as many texts, are scored at once
READERS = min(4, usable_cpus())  # threads that decode pictures; each holds one of full size
_PLACES = 6

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Score:
    """The VA of one input: `valence` and `arousal` in [0, 1], of audio files and videos the means of their curve.

    `kind` is "image", "music", "video" or "text". `curve` is empty for pictures and texts; a video's is the mean of its
    `curves` ("image" and "music"; one of them where it has no sound, or the model no such tower). `note` is a warning.
    """

    input: Path | str
    kind: str
    valence: float
    arousal: float
    model: str
    curve: Curve = field(default_factory=lambda: Curve(np.empty(0), np.empty((0, 2), np.float32)))
    curves: dict[str, Curve] = field(default_factory=dict)
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The documented form (docs/formats.md)."""
        document: dict[str, Any] = {
            "input": str(self.input),
            "kind": self.kind,
            "valence": round(self.valence, _PLACES),
            "arousal": round(self.arousal, _PLACES),
            "curve": _points(self.curve),
            "model": self.model,
        }
        if self.curves:
            document["curves"] = {modality: _points(curve) for modality, curve in self.curves.items()}
        if self.note is not None:
            document["note"] = self.note
        return document


@dataclass(frozen=True)
class Failure:
    """An input that could not be scored, and the error."""

    input: Path | str
    error: Exception


class Towers:
    """A model's predictors, one for each tower, loaded on first use.

    Args:
        load: loads a predictor of one modality.
        modalities: those of the model.
    """

    def __init__(self, load: "Callable[[str], Predictor]", modalities: Collection[str]) -> None:
        self.modalities = frozenset(modalities)
        self._load = load
        self._loaded: dict[str, Predictor] = {}

    @classmethod
    def of(cls, predictor: "Predictor") -> "Towers":
        """The towers of a loaded model."""
        return cls(lambda modality: predictor, predictor.modalities)

    @classmethod
    def named(cls, model: str | Path = "compact", device: str = "auto", load: "Callable[[str], Predictor] | None" = None) -> "Towers":
        """The towers of a bundled model or a checkpoint.

        Args:
            model: its name or path.
            device: where they predict.
            load: loads a predictor of one modality; `Predictor.load` by default.

        Raises:
            CheckpointError: no such model, or not a valid checkpoint.
            DeviceError: the device is not available.
        """
        from trainer import Predictor, pick_device, read_checkpoint

        if device != "auto":
            pick_device(device)
        return cls(load or (lambda modality: Predictor.load(model, device=device, modalities=(modality,))), read_checkpoint(model).towers)

    def __call__(self, modality: str) -> "Predictor":
        """The predictor of a modality.

        Raises:
            CheckpointError: the model has no such tower.
            WeightsError: the tower's pretrained weights are not available.
        """
        if modality not in self._loaded:
            self._loaded[modality] = self._load(modality)
        return self._loaded[modality]


def score(
    paths: Iterable[Path | str] = (),
    texts: Iterable[str] = (),
    *,
    predictor: "Predictor | Towers | None" = None,
    every_s: float = EVERY_S,
    window_s: float | None = None,
    sampling: str = "auto",
    progress: Progress = no_progress,
) -> Iterator[Score | Failure]:
    """Score files and texts, in batches, in bounded memory however many there are.

    Args:
        paths: pictures, audio files and videos, told apart by suffix, else by content.
        texts: sentences or words, scored by their first LONGEST_TEXT characters.
        predictor: a loaded model; the bundled one by default.
        every_s: seconds between two points of a curve, at least .1.
        window_s: length of the audio windows around each, in seconds; None for 10, or the model's greatest if that is less.
        sampling: which frame of a video is scored for a step: "auto" (a keyframe, where one lies in it), "exact" (at its centre) or
            "keyframes".
        progress: is given how many files are scored, if `paths` has a length.

    Yields:
        A Score or a Failure for each input, in the order given, files first.

    Raises:
        SettingsError: a step or a window out of range, or an unknown sampling.
        CheckpointError, DeviceError: the bundled model cannot be loaded.
    """
    check_step(every_s)
    if sampling not in SAMPLINGS:
        raise SettingsError(f"sampling {sampling!r}: allowed are {', '.join(SAMPLINGS)}")
    towers = predictor if isinstance(predictor, Towers) else Towers.named() if predictor is None else Towers.of(predictor)
    if window_s is not None and "music" in towers.modalities:
        check_window_s(towers("music"), window_s)
    total = len(paths) if isinstance(paths, Collection) else 0
    done = 0
    with progress("files", total) as on_progress, ThreadPoolExecutor(READERS) as pool:
        for chunk in _chunks(map(Path, paths), CHUNK):
            # The stages of a single file are shown; those of many would fill the screen.
            yield from _score_files(chunk, towers, pool, every_s, window_s, sampling, progress if total == 1 else no_progress)
            done += len(chunk)
            on_progress(min(done, total))
    for lines in _chunks(texts, 16 * CHUNK):
        yield from _score_texts(lines, towers)


def _score_files(
    paths: list[Path], towers: Towers, pool: ThreadPoolExecutor, every_s: float, window_s: float | None, sampling: str, progress: Progress
) -> list[Score | Failure]:
    """Score one chunk: all pictures together, all audio files together, the videos one by one."""
    results: dict[int, Score | Failure] = {}
    probed = dict(enumerate(prefetch_map(pool, _probe, paths, READERS)))
    results |= {index: Failure(paths[index], info) for index, info in probed.items() if isinstance(info, Exception)}
    images = [index for index, info in probed.items() if info is None]
    results |= dict(zip(images, _score_pictures([paths[index] for index in images], towers, pool), strict=True))
    sounds = {index: info for index, info in probed.items() if isinstance(info, SoundInfo)}
    results |= dict(zip(sounds, _score_sounds(list(sounds.values()), towers, every_s, window_s, progress), strict=True))
    for index, info in probed.items():
        if isinstance(info, MediaInfo):
            try:
                results[index] = _score_video(info, towers, every_s, window_s, sampling, progress)
            except SettingsError:
                raise
            except Exception as error:  # whatever it is, the other files go on
                results[index] = Failure(info.path, error)
    return [results[index] for index in range(len(paths))]


def _probe(path: Path) -> MediaInfo | SoundInfo | Exception | None:
    """The probed video or audio file; None for a picture; or the error."""
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES or (suffix not in MEDIA_SUFFIXES and pictures.is_picture(path)):
        return None
    try:
        return probe_media(path, "a picture, a sound or a video (words go to --text-file)")
    except Exception as error:
        return None if pictures.is_picture(path) else error


def _score_pictures(paths: list[Path], towers: Towers, pool: ThreadPoolExecutor) -> list[Score | Failure]:
    results: dict[int, Score | Failure] = {}
    readable: list[int] = []

    def read(path: Path) -> np.ndarray | Exception:
        try:
            return pictures.read(path)
        except Exception as error:
            return error

    def decoded() -> Iterator[np.ndarray]:
        for index, picture in enumerate(prefetch_map(pool, read, paths, READERS)):
            if isinstance(picture, Exception):
                results[index] = Failure(paths[index], picture)
            else:
                readable.append(index)
                yield picture

    if not paths:
        return []
    try:
        predictor = towers("image")
        for index, va in zip(readable, predictor.image(decoded(), still=True), strict=True):
            results[index] = Score(paths[index], "image", float(va[0]), float(va[1]), predictor.name)
    except Exception as error:
        results |= {index: Failure(path, error) for index, path in enumerate(paths) if index not in results}
    return [results[index] for index in range(len(paths))]


def _score_sounds(
    infos: list[SoundInfo], towers: Towers, every_s: float, window_s: float | None, progress: Progress
) -> list[Score | Failure]:
    if not infos:
        return []
    try:
        predictor = towers("music")
        curves = music_curves(infos, predictor, every_s=every_s, window_s=window_s, progress=progress)
    except SettingsError:
        raise
    except Exception as error:
        return [Failure(info.path, error) for info in infos]
    return [
        Failure(info.path, curve) if isinstance(curve, MediaError) else _of_curve(info.path, "music", curve, predictor.name)
        for info, curve in zip(infos, curves, strict=True)
    ]


def _score_video(info: MediaInfo, towers: Towers, every_s: float, window_s: float | None, sampling: str, progress: Progress) -> Score:
    curves: dict[str, Curve] = {}
    warnings = []
    name = ""
    if "image" in towers.modalities or info.audio is None or "music" not in towers.modalities:
        curves["image"], damaged = image_curve(info, towers("image"), every_s=every_s, sampling=sampling, progress=progress)
        warnings += [f"{damaged} frames are damaged"] if damaged else []
        name = towers("image").name
    else:
        warnings.append("the model has no image tower: scored by its sound alone")
    if info.audio is None:
        warnings.append("no sound: scored by its pictures alone")
    elif "music" not in towers.modalities:
        warnings.append("the model has no music tower: scored by its pictures alone")
    else:
        try:
            curves["music"] = music_curve(info, towers("music"), every_s=every_s, window_s=window_s, progress=progress)
            name = towers("music").name
            warnings += notes(info)
        except SilentError:
            if not curves:
                raise
            warnings.append(f"its sound ({info.audio.codec}) cannot be decoded: scored by its pictures alone")
    mean = np.stack([curve.va for curve in curves.values()]).mean(0)
    times_s = next(iter(curves.values())).times_s
    return _of_curve(info.path, "video", Curve(times_s, mean), name, curves, "; ".join(warnings) or None)


def _of_curve(path: Path, kind: str, curve: Curve, model: str, curves: dict[str, Curve] | None = None, note: str | None = None) -> Score:
    valence, arousal = (float(mean) for mean in curve.va.mean(0, dtype=np.float64))
    return Score(path, kind, valence, arousal, model, curve, curves or {}, note)


def _score_texts(texts: list[str], towers: Towers) -> list[Score | Failure]:
    shortened = [text[:LONGEST_TEXT] for text in texts]
    # A tokenizer refuses the surrogates of undecodable bytes in an argument.
    valid = [text.encode(errors="replace").decode() for text in shortened]
    try:
        predictor = towers("text")
        va = predictor.text(valid)
        unknown = predictor.unknown(valid)
    except Exception as error:
        return [Failure(text, error) for text in shortened]
    results: list[Score | Failure] = []
    for given, text, (valence, arousal), is_unknown in zip(texts, shortened, va, unknown, strict=True):
        warnings = [UNKNOWN] if is_unknown else []
        warnings += [f"scored by its first {LONGEST_TEXT} characters"] if len(given) > LONGEST_TEXT else []
        results.append(Score(text, "text", float(valence), float(arousal), predictor.name, note="; ".join(warnings) or None))
    return results


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def _points(curve: Curve) -> list[dict[str, float]]:
    return [
        {"t_s": round(float(time_s), _PLACES), "valence": round(float(valence), _PLACES), "arousal": round(float(arousal), _PLACES)}
        for time_s, (valence, arousal) in zip(curve.times_s, curve.va, strict=True)
    ]
