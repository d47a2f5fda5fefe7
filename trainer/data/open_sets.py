"""Lay open data sets out as one data folder: pictures, music and sentences with valence and arousal in [0, 1].

Every label is on its source's own scale, whose ends become 0 and 1; no source is stretched to what happens to occur in it.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trainer.data import emotify, oasis, vgmidi
from trainer.data.building import Progress, each, raise_or_skip, refuse_existing, write_csv
from trainer.data.clips import Track, cut_all
from trainer.data.manifest import IMAGE_CSV, MUSIC_CSV, TEXT_CSV
from trainer.data.sentences import read_emobank, read_words
from trainer.errors import DataError

IMAGE_HEADER = ("id", "valence", "arousal", "group", "source")
MUSIC_HEADER = ("id", "valence", "arousal", "track", "source")
TEXT_HEADER = ("id", "valence", "arousal", "text", "source", "split")


@dataclass(frozen=True)
class Sources:
    """Where the data sets are; None for one that is not at hand.

    Attributes:
        oasis: folder with `OASIS.csv` and `images/`.
        emotify: folder with `data.csv` and a folder of sound files a genre.
        vgmidi: folder with `labelled/`.
        emobank: `emobank.csv`.
        norms: Warriner's word norms, `Ratings_Warriner_et_al.csv`.
    """

    oasis: Path | None = None
    emotify: Path | None = None
    vgmidi: Path | None = None
    emobank: Path | None = None
    norms: Path | None = None


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes:
        rows: source -> its number of rows.
        skipped: one line for each bad picture, track or row that was left out.
    """

    rows: dict[str, int]
    skipped: tuple[str, ...]


def build(
    sources: Sources,
    out: str | Path,
    *,
    soundfont: str | Path | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda items, total: items,
) -> Built:
    """Write `image_va.csv`, `music_va.csv` and `text_va.csv`, as far as there is a source for them, with `images/` and `music/`.

    Each CSV is written whole from the sources that are named, last and under a temporary name. Clips that an earlier run cut from the
    same files are kept.

    Args:
        sources: at least one.
        out: the data folder; made if it is not there.
        soundfont: what plays VGMIDI; a General MIDI one is looked for without.
        skip_bad: leave out what is bad and list it, instead of raising.
        overwrite: replace CSV files that are there.
        progress: wraps the iterables of pictures and of tracks (and their number), for a progress bar.

    Raises:
        DataError: a source is missing or bad, nothing is left of it, a CSV is there already, or no source is named.
    """
    out = Path(out)
    music = sources.emotify is not None or sources.vgmidi is not None
    wanted = {IMAGE_CSV: sources.oasis is not None, MUSIC_CSV: music, TEXT_CSV: sources.emobank is not None or sources.norms is not None}
    if not any(wanted.values()):
        raise DataError("no source: name at least one data set")
    refuse_existing([out / name for name, needed in wanted.items() if needed], overwrite)
    # All tables first: what is wrong with them is known before minutes of decoding.
    problems: list[str] = []
    pictures = oasis.read(sources.oasis, problems) if sources.oasis else []
    tracks: list[Track] = emotify.read(sources.emotify, problems) if sources.emotify else []
    tracks += vgmidi.read(sources.vgmidi, Path(soundfont) if soundfont else None, problems) if sources.vgmidi else []
    texts = read_emobank(sources.emobank, problems) if sources.emobank else []
    texts += read_words(sources.norms) if sources.norms else []
    raise_or_skip(problems, skip_bad)
    counts: dict[str, int] = {}
    try:
        if pictures:
            (out / "images").mkdir(parents=True, exist_ok=True)
            images = _add_pictures(pictures, out, problems, skip_bad, progress)
            counts["oasis"] = len(images)
        if tracks:
            (out / "music").mkdir(parents=True, exist_ok=True)
            clips = cut_all(tracks, out, problems, skip_bad, progress, counts)
            if not clips:
                raise DataError(f"{out / 'music'}: not one clip could be cut; the first bad track: {problems[0]}")
        out.mkdir(parents=True, exist_ok=True)
        if pictures:
            write_csv(out / IMAGE_CSV, IMAGE_HEADER, images)
        if tracks:
            write_csv(out / MUSIC_CSV, MUSIC_HEADER, clips)
        if texts:
            write_csv(out / TEXT_CSV, TEXT_HEADER, texts)
            counts |= Counter(str(row[4]) for row in texts)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); make room, or name another folder with --out") from error
    return Built(counts, tuple(problems))


def _add_pictures(pictures: list[oasis.Picture], out: Path, problems: list[str], skip_bad: bool, progress: Progress) -> list[list[object]]:
    def add(picture: oasis.Picture) -> str:
        try:
            oasis.add(picture, out / "images")
        except DataError as error:
            return str(error)
        return ""

    rows: list[list[object]] = []
    with each(add, pictures, progress) as results:
        for picture, problem in zip(pictures, results, strict=True):
            if problem:
                problems.append(problem)
                raise_or_skip(problems, skip_bad)
            else:
                rows.append([picture.id, *picture.va, picture.group, "oasis"])
    if not rows:
        raise DataError(f"{out / 'images'}: not one picture can be read; the first bad one: {problems[0]}")
    return rows
