"""`search`: the music of a folder whose VA is nearest to that of words, a picture, a song or a video (MMVA's Figure 3).

query -> its VA -> index brought up to date -> distance of each track's mean VA, or of its ranks -> Eq. 1's score -> ranking.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.analysis.curves import image_curve, music_curve
from mmvatool.choices import MATCHES
from mmvatool.errors import FileError, QueryError, SettingsError
from mmvatool.files import natural_key
from mmvatool.library.database import Library, Track
from mmvatool.library.update import IndexResult, display_path, index, model_key, no_music
from mmvatool.library.walk import real_path
from mmvatool.media.probe import MediaInfo, probe_media
from mmvatool.progress import Progress, no_progress
from mmvatool.soundtracks.matching import FAR, rank
from mmvatool.soundtracks.scale import ABSOLUTE, Scale

if TYPE_CHECKING:
    from trainer import Predictor

DEFAULT_TOP = 10


@dataclass(frozen=True)
class Query:
    """What to search for: one of `text`, `like` and `va`.

    Args:
        text: words for a mood.
        like: a picture, an audio file or a video (whose images count).
        va: valence and arousal, each in [0, 1].

    Raises:
        SettingsError: none of them or several, empty words, or a VA outside of [0, 1].
    """

    text: str | None = None
    like: Path | None = None
    va: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.like, self.va)) != 1:
            raise SettingsError("what to search for: give either words, or --like FILE, or --va VALENCE,AROUSAL")
        if self.text is not None and not self.text.strip():
            raise SettingsError("what to search for: the words are empty")
        if self.va is not None and not all(0 <= value <= 1 for value in self.va):
            raise SettingsError(f"VA {self.va[0]:g},{self.va[1]:g}: both must lie between 0 and 1")


@dataclass(frozen=True)
class Hit:
    """A track of the result: its distance from the query in VA, and Eq. 1's score, None for a model without a sigma."""

    path: Path
    score: float | None
    distance: float
    valence: float
    arousal: float
    duration_s: float


@dataclass(frozen=True)
class SearchResult:
    """The result of a search: the query with its VA (2,), the tracks, the nearest first, and the run that updated the index.

    `match`, one of MATCHES, is what was compared. `nearest_distance` in VA is the least of all tracks, whichever is the first.
    """

    query: Query
    match: str
    va: np.ndarray
    hits: tuple[Hit, ...]
    nearest_distance: float
    indexed: IndexResult
    model: str

    @property
    def is_far(self) -> bool:
        """Whether even the nearest track lies farther than matching.FAR."""
        return bool(self.hits) and self.nearest_distance > FAR

    @property
    def failures(self) -> tuple[FileError, ...]:
        """Files of the library that cannot be decoded."""
        return self.indexed.broken

    def to_json(self) -> dict[str, object]:
        """The documented form (docs/formats.md)."""
        given: dict[str, object] = {}
        if self.query.text is not None:
            given["text"] = self.query.text
        if self.query.like is not None:
            given["like"] = str(self.query.like)
        valence, arousal = self.va.tolist()
        return {
            "query": {**given, "valence": round(valence, 6), "arousal": round(arousal, 6)},
            "match": self.match,
            "results": [
                {
                    "path": str(hit.path),
                    "score": None if hit.score is None else round(hit.score, 6),
                    "distance": round(hit.distance, 6),
                    "valence": round(hit.valence, 6),
                    "arousal": round(hit.arousal, 6),
                    "duration_s": round(hit.duration_s, 3),
                }
                for hit in self.hits
            ],
            "failures": [{"input": str(error.path), "error": str(error)} for error in self.failures],
            "model": self.model,
        }


def search(
    text: str | None = None,
    *,
    library: Path | str,
    like: Path | str | None = None,
    va: tuple[float, float] | None = None,
    top: int = DEFAULT_TOP,
    match: str = "absolute",
    index_file: Path | str | None = None,
    predictor: "Predictor | None" = None,
    progress: Progress = no_progress,
) -> SearchResult:
    """Find the music of a folder whose VA is nearest to that of words or a file, or to a VA.

    Args:
        text: words for a mood; or give `like` or `va`.
        library: a folder of music, with all below it. Its VA is kept in an index.
        like: a picture, an audio file or a video, whose images count.
        va: valence and arousal, each in [0, 1].
        top: how many tracks, at least 1.
        match: what is compared: "absolute": VA as predicted; "library": ranks, of the tracks within the library, of the query among all
            pictures, music and words.
        index_file: the index; in the user's cache folder by default.
        predictor: a loaded model; the bundled one by default.
        progress: is given how much of each stage is done.

    Returns:
        The nearest tracks, by Eq. 1's score, that is by distance, or by the distance of ranks; equally near ones in the natural order of
        their names.

    Raises:
        SettingsError: not exactly one kind of query, a number out of its bounds, or another `match`.
        QueryError: the model knows no word of the text, or the folder has no music that can be decoded.
        MediaError: the folder is not there, or the file to be like cannot be read.
        CheckpointError: the model has no tower for the query, or none for music.
        LibraryError: the index cannot be used.
    """
    query = Query(text, None if like is None else Path(like), va)
    if top < 1:
        raise SettingsError(f"top {top}: must be at least 1")
    if match not in MATCHES:
        raise SettingsError(f"match {match!r}: allowed are {', '.join(MATCHES)}")
    library = Path(library)
    if predictor is None:
        from trainer import Predictor

        predictor = Predictor.load()
    query_va = predict_query(query, predictor)
    with Library(index_file) as opened:
        indexed = index(library, opened, predictor, progress=progress)
        if not indexed.tracks:
            raise QueryError(no_music(library, indexed))
        root, model = real_path(library), model_key(predictor)
        means = opened.means(root, model)
        scale = Scale.of_library(means.va) if match == "library" else ABSOLUTE
        ranking = rank(query_va, means.va, top, predictor.sigma, scale)
        tracks = {track.id: track for track in opened.tracks(means.ids[ranking.indices], model)}
    hits = list[tuple[float, Hit]]()
    for position, track_id in enumerate(means.ids[ranking.indices].tolist()):
        if track_id in tracks:  # else it was removed in the meantime
            score = None if ranking.scores is None else float(ranking.scores[position])
            hit = _hit(tracks[track_id], root, library, score, float(ranking.distances[position]))
            hits.append((float(ranking.apart[position]), hit))
    hits.sort(key=lambda ranked: (ranked[0], ranked[1].distance, natural_key(ranked[1].path)))
    nearest = tuple(hit for _, hit in hits[:top])
    return SearchResult(query, match, query_va, nearest, ranking.nearest_distance, indexed, predictor.name)


def predict_query(query: Query, predictor: "Predictor") -> np.ndarray:
    """The VA (2,) of a query: of a song or a video the mean over time.

    Raises:
        QueryError: the model knows no word of the text.
        MediaError: the file cannot be read as a picture, sound or video.
        CheckpointError: the model has no tower for it.
    """
    if query.va is not None:
        return np.array(query.va, np.float32)
    if query.text is not None:
        if all(predictor.unknown([query.text])):
            raise QueryError(
                f"{query.text!r}: {predictor.name} knows no word of it: describe a mood in English, such as 'calm' or 'upbeat rock'"
            )
        return predictor.text([query.text])[0]
    assert query.like is not None
    if pictures.is_picture(query.like):
        return predictor.image([pictures.read(query.like)], still=True)[0]
    info = probe_media(query.like)
    curve = image_curve(info, predictor)[0] if isinstance(info, MediaInfo) else music_curve(info, predictor)
    return curve.va.mean(axis=0)


def _hit(track: Track, root: bytes, library: Path, score: float | None, distance: float) -> Hit:
    """A track with its path as the user would write it."""
    path = display_path(library, root, track.path)
    return Hit(path, score, distance, float(track.mean[0]), float(track.mean[1]), track.duration_s)
