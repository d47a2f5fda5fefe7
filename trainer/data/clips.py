"""Cut labelled tracks into 10-second clips that do not overlap, with a journal.

The journal `music.jsonl` has a line for each track that was cut: its fingerprint, its length, its clips. A track with the same
fingerprint and complete files is not decoded again: an interrupted run is resumed, and a changed file is cut again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.constants import SILENCE_PEAK
from trainer.data.building import Progress, each, raise_or_skip
from trainer.data.files import write_wav
from trainer.errors import DataError

CLIP_S = 10
SHORTEST_S = 5
"""The least length of the last clip of a track."""
RATE_HZ = 24_000
"""MERT's sample rate, the highest of all music towers."""
JOURNAL = "music.jsonl"

_WAV_HEADER_BYTES = 44


@dataclass(frozen=True)
class Track:
    """A recording with its labels.

    Attributes:
        id: prefix of the ids of its clips, "emotify-12".
        source: the data set.
        file: the sound or MIDI file.
        sound: decodes or renders it, float32 (n,) mono at `RATE_HZ`.
        key: what the sound depends on besides the file.
        curve: valence and arousal in [0, 1], float64 (m, 2), each row for an equal part of its length; one row for a label of the whole track.
        group: what must not be divided between training and test, "" for the track alone.
    """

    id: str
    source: str
    file: Path
    sound: Callable[[], np.ndarray]
    key: str
    curve: np.ndarray
    group: str = ""


@dataclass(frozen=True)
class _Cut:
    fingerprint: str
    samples: int
    clips: tuple[int, ...]


def cut_all(
    tracks: Sequence[Track], out: Path, problems: list[str], skip_bad: bool, progress: Progress, sources: dict[str, int]
) -> list[list[object]]:
    """Write the clips of all tracks to `out/music/`.

    Silent clips are left out.

    Args:
        tracks: in the order of the rows.
        out: the data folder, with a folder `music/`.
        problems: gets a line for each bad track.
        skip_bad: continue after bad tracks.
        progress: wraps the iterable of tracks.
        sources: the number of clips of each source is added here.

    Returns:
        Rows id, valence, arousal, track, source.

    Raises:
        DataError: a bad track, unless `skip_bad`.
    """
    before = _read_journal(out / JOURNAL)

    def cut(track: Track) -> tuple[_Cut | None, str]:
        try:
            return _cut(track, out / "music", before.get(track.id)), ""
        except DataError as error:
            return None, str(error)

    rows: list[list[object]] = []
    with (out / JOURNAL).open("a", encoding="utf-8") as journal, each(cut, tracks, progress) as results:
        for track, (result, problem) in zip(tracks, results, strict=True):
            if result is None:
                problems.append(problem)
                raise_or_skip(problems, skip_bad)
                continue
            if result != before.get(track.id):
                line = {"track": track.id, "fingerprint": result.fingerprint, "samples": result.samples, "clips": result.clips}
                journal.write(json.dumps(line) + "\n")
                journal.flush()
            for number in result.clips:
                start, end = _bounds(number, result.samples)
                valence, arousal = mean_between(track.curve, start / result.samples, end / result.samples)
                rows.append([f"{track.id}-{number}", valence, arousal, track.group or track.id, track.source])
            sources[track.source] = sources.get(track.source, 0) + len(result.clips)
    return rows


def mean_between(curve: np.ndarray, start: float, end: float) -> tuple[float, float]:
    """Mean valence and arousal of a segment of a track.

    Args:
        curve: (m, 2), each row for an equal part of the track.
        start: of the segment, as a fraction of the track in [0, 1).
        end: of the segment, above `start`, at most 1.
    """
    edges = np.arange(len(curve) + 1) / len(curve)
    shares = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None)
    valence, arousal = shares @ curve / shares.sum()
    # Rounded, as the last digits of a sum depend on the processor.
    return round(float(valence), 6), round(float(arousal), 6)


def _cut(track: Track, music: Path, before: _Cut | None) -> _Cut:
    fingerprint = _fingerprint(track)
    if before and before.fingerprint == fingerprint and _is_complete(track, music, before):
        return before
    sound = track.sound()
    if len(sound) < SHORTEST_S * RATE_HZ:
        raise DataError(f"{track.file}: lasts {len(sound) / RATE_HZ:.1f} s, and a clip {SHORTEST_S} s at least; get the file again")
    clips = []
    for number in range(-(-len(sound) // (CLIP_S * RATE_HZ))):
        start, end = _bounds(number, len(sound))
        if end - start >= SHORTEST_S * RATE_HZ and np.abs(sound[start:end]).max() >= SILENCE_PEAK:
            write_wav(music / f"{track.id}-{number}.wav", sound[start:end], RATE_HZ)
            clips.append(number)
    if not clips:
        raise DataError(f"{track.file}: silent; get the file again")
    return _Cut(fingerprint, len(sound), tuple(clips))


def _bounds(number: int, samples: int) -> tuple[int, int]:
    """First sample of a clip and its end, exclusive."""
    return number * CLIP_S * RATE_HZ, min((number + 1) * CLIP_S * RATE_HZ, samples)


def _fingerprint(track: Track) -> str:
    try:
        return hashlib.sha256(track.key.encode() + b"\0" + track.file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"{track.file}: cannot be read ({error.strerror}); put the file there") from error


def _is_complete(track: Track, music: Path, cut: _Cut) -> bool:
    for number in cut.clips:
        start, end = _bounds(number, cut.samples)
        path = music / f"{track.id}-{number}.wav"
        if not path.is_file() or path.stat().st_size != 2 * (end - start) + _WAV_HEADER_BYTES:
            return False
    return True


def _read_journal(file: Path) -> dict[str, _Cut]:
    """The tracks cut before; the last line of a track counts, partial lines are ignored."""
    cuts = {}
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            cuts[str(entry["track"])] = _Cut(str(entry["fingerprint"]), int(entry["samples"]), tuple(map(int, entry["clips"])))
        except (ValueError, KeyError, TypeError):
            continue
    return cuts
