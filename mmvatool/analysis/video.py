"""A model's predictions for a video, kept in the user's cache folder: another run on it, with another ratio for example, decodes nothing.

There is a file for the images and one for the audio, each under a key of all that decides the predictions: the content, the times,
the model and its precision, the settings, this program's version.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mmvatool import __version__
from mmvatool.analysis.cache import AnalysisCache
from mmvatool.analysis.curves import predict_audio, predict_frames
from mmvatool.media.frames import Frames
from mmvatool.media.probe import AudioStream, MediaInfo, VideoStream, sound_digest
from mmvatool.media.sampling import Samples
from mmvatool.progress import Progress, no_progress

if TYPE_CHECKING:
    from trainer import Predictor


def settings_key(sampling: str) -> str:
    """The settings that decide the predictions, as part of the key; all others decide only how they are used."""
    return f"sampling={sampling}"


class VideoAnalysis:
    """The predictions for a video: read from the cache, or computed on first use.

    Args:
        info: the probed video.
        samples: the N sampled frames.
        predictor: with the towers for the predictions that are used.
        sampling: how the samples were picked, one of `mmvatool.choices.SAMPLINGS`.
        keep: whether to use the cache. Predictions of a model without a file are never kept.
        progress: is given how much of each stage is done.

    Attributes:
        frames: all frames of the video, to locate changes.
    """

    def __init__(
        self,
        info: MediaInfo,
        samples: Samples,
        predictor: "Predictor",
        sampling: str,
        *,
        keep: bool,
        progress: Progress = no_progress,
    ) -> None:
        self._info, self._samples, self._predictor, self._progress = info, samples, predictor, progress
        self._settings = settings_key(sampling)
        self._store = AnalysisCache() if keep and predictor.fingerprint else None
        self.frames = Frames(info)
        self._changes: dict[int, float] = {}
        self._saved_changes = -1
        self._damaged = 0
        self._fallback = ""  # that of the run whose predictions were read from the cache

    @cached_property
    def image(self) -> tuple[np.ndarray, np.ndarray]:
        """VA (N, 2) and embeddings (N, 512) of the frames.

        Raises:
            MediaError: they cannot be decoded.
        """
        stored = self._store.read(self._image_key) if self._store else None
        if stored is None:
            va, embeddings, self._damaged = predict_frames(self._info, self._samples.frames, self._predictor, self._progress)
            return va, embeddings
        self._changes = dict(zip(stored["changes"].tolist(), stored["changes_s"].tolist(), strict=True))
        self._saved_changes = len(self._changes)
        self._fallback, self._damaged = str(stored["fallback"]), int(stored["damaged"])
        return stored["va"], stored["embeddings"]

    def audio(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """VA of the audio around M rising times.

        Yields:
            Parts of (M, 2), in order.

        Raises:
            MediaError: there is none, or none that can be decoded.
            CheckpointError: the model has no music tower.
        """
        if self._store is None or self._info.audio is None:
            yield from predict_audio(self._info, times_s, self._predictor, progress=self._progress)
            return
        key = self._key("audio", sound_digest(self._info), times_s, self._info.audio)
        stored = self._store.read(key)
        if stored is not None:
            yield stored["va"]
            return
        parts = []
        for part in predict_audio(self._info, times_s, self._predictor, progress=self._progress):
            parts.append(part)
            yield part
        self._store.write(key, {"va": np.concatenate(parts)})

    def change_times_s(self, changes: Iterable[int], locate: Callable[[list[int]], Iterable[float]]) -> list[float]:
        """The times of the frames at which changes between two samples happen: `locate` is called for those not known yet, once."""
        changes = list(changes)
        new = [change for change in changes if change not in self._changes]
        if new:
            self._changes.update(zip(new, locate(new), strict=True))
        return [self._changes[change] for change in changes]

    def save(self) -> None:
        """Write the image predictions to the cache, with the changes located so far."""
        if self._store is None or "image" not in vars(self) or len(self._changes) == self._saved_changes:
            return
        va, embeddings = self.image
        arrays = {
            "va": va,
            "embeddings": embeddings,
            "changes": np.array(list(self._changes), np.int64),
            "changes_s": np.array(list(self._changes.values()), np.float64),
            "fallback": np.array(self._current_fallback),
            "damaged": np.array(self._damaged),
        }
        self._store.write(self._image_key, arrays)
        self._saved_changes = len(self._changes)

    @property
    def warnings(self) -> list[str]:
        """Damaged frames and decoder fallbacks, of this run or of the one whose predictions were read, and errors of the cache."""
        damaged = f"{self._damaged} frames are damaged" if self._damaged else None
        problem = self._store.problem if self._store else None
        return [warning for warning in (damaged, self._current_fallback, problem) if warning]

    @property
    def _current_fallback(self) -> str:
        return self._fallback or self.frames.fallback or ""

    @cached_property
    def _image_key(self) -> str:
        return self._key("image", self._info.digest, self._samples.frames, self._info.video)

    def _key(self, modality: str, content: str, positions: np.ndarray, stream: VideoStream | AudioStream) -> str:
        """All that decides a prediction, in a line: the packets' digest, the frames or times, shape and colours, model and settings."""
        positions_digest = hashlib.blake2b(positions.tobytes(), digest_size=16).hexdigest()
        model = f"{self._predictor.fingerprint}-{self._predictor.precision}"
        return f"{modality} {__version__} {content} {positions_digest} {model} {self._settings} {self._info.origin_s} {stream}"
