"""What the model predicts for a video, kept in the user's cache folder: another run on it, with another ratio for example, decodes nothing.

There is a file for the pictures and one for the sound, each under a key of all that decides what is in it: the content, the times,
the model and its arithmetic, the settings, this program's version.
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
    """The settings that decide what is predicted, as part of the key; all others decide what is made of it."""
    return f"sampling={sampling}"


class Analysis:
    """What is felt of a video: read from the cache, or computed when it is first asked for.

    Args:
        info: the probed video.
        samples: the N frames that are looked at.
        predictor: with the towers for what will be asked for.
        sampling: how the samples were picked, one of `SAMPLINGS`.
        keep: whether to use the cache. What a model that is no file feels is never kept.
        progress: told how far each stage is.

    Attributes:
        frames: all frames of the video, for finding cuts.
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
        self._cuts: dict[int, float] = {}
        self._cuts_kept = -1
        self._damaged = 0
        self._fallback = ""  # when what was kept was felt

    @cached_property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """VA (N, 2) and embeddings (N, 512) of the frames.

        Raises:
            MediaError: they cannot be decoded.
        """
        found = self._store.read(self._picture_key) if self._store else None
        if found is None:
            va, embeddings, self._damaged = predict_frames(self._info, self._samples.frames, self._predictor, self._progress)
            return va, embeddings
        self._cuts = dict(zip(found["changes"].tolist(), found["cuts_s"].tolist(), strict=True))
        self._cuts_kept = len(self._cuts)
        self._fallback, self._damaged = str(found["fallback"]), int(found["damaged"])
        return found["va"], found["embeddings"]

    def sound(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """VA of the sound around M rising times.

        Yields:
            Parts of (M, 2), in order.

        Raises:
            MediaError: there is none, or none that can be decoded.
            CheckpointError: the model has no music tower.
        """
        if self._store is None or self._info.audio is None:
            yield from predict_audio(self._info, times_s, self._predictor, progress=self._progress)
            return
        key = self._key("sound", sound_digest(self._info), times_s, self._info.audio)
        found = self._store.read(key)
        if found is not None:
            yield found["va"]
            return
        parts = []
        for part in predict_audio(self._info, times_s, self._predictor, progress=self._progress):
            parts.append(part)
            yield part
        self._store.write(key, {"va": np.concatenate(parts)})

    def cuts(self, changes: Iterable[int], find: Callable[[list[int]], Iterable[float]]) -> list[float]:
        """The times of the frames at which changes between two samples happen: `find` finds those that are not known yet, once."""
        wanted = list(changes)
        new = [change for change in wanted if change not in self._cuts]
        if new:
            self._cuts.update(zip(new, find(new), strict=True))
        return [self._cuts[change] for change in wanted]

    def keep(self) -> None:
        """Keep what was seen, with the cuts that were found in it."""
        if self._store is None or "pictures" not in vars(self) or len(self._cuts) == self._cuts_kept:
            return
        va, embeddings = self.pictures
        arrays = {
            "va": va,
            "embeddings": embeddings,
            "changes": np.array(list(self._cuts), np.int64),
            "cuts_s": np.array(list(self._cuts.values()), np.float64),
            "fallback": np.array(self._why_ffmpeg),
            "damaged": np.array(self._damaged),
        }
        self._store.write(self._picture_key, arrays)
        self._cuts_kept = len(self._cuts)

    @property
    def warnings(self) -> list[str]:
        """What was done otherwise than usual, now or when what was kept was felt."""
        damaged = f"{self._damaged} frames are damaged" if self._damaged else None
        return [note for note in (damaged, self._why_ffmpeg, self._store.problem if self._store else None) if note]

    @property
    def _why_ffmpeg(self) -> str:
        return self._fallback or self.frames.fallback or ""

    @cached_property
    def _picture_key(self) -> str:
        return self._key("pictures", self._info.digest, self._samples.frames, self._info.video)

    def _key(self, what: str, content: str, places: np.ndarray, stream: VideoStream | AudioStream) -> str:
        """A line for all that decides what is felt: the packets' digest, which frames or times, shape and colours."""
        where = hashlib.blake2b(places.tobytes(), digest_size=16).hexdigest()
        model = f"{self._predictor.fingerprint}-{self._predictor.precision}"
        return f"{what} {__version__} {content} {where} {model} {self._settings} {self._info.origin_s} {stream}"
