"""Combine open data sets in one data folder: pictures, music and sentences with valence and arousal in [0, 1].

The ends of each source's rating scale are mapped to 0 and 1, whatever the range of the ratings.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trainer.data import emopia, emotify, emotion6, oasis, vgmidi
from trainer.data.building import Progress, each, raise_or_skip, refuse_existing, write_csv
from trainer.data.clips import Track, cut_all
from trainer.data.manifest import IMAGE_CSV, MUSIC_CSV, TEXT_CSV
from trainer.data.pictures import Picture, add
from trainer.data.sentences import read_emobank, read_words
from trainer.errors import DataError

IMAGE_HEADER = ("id", "valence", "arousal", "group", "source")
MUSIC_HEADER = ("id", "valence", "arousal", "track", "source")
TEXT_HEADER = ("id", "valence", "arousal", "text", "source", "split")


@dataclass(frozen=True)
class Sources:
    """Locations of the data sets; None for those not used.

    Attributes:
        oasis: folder with `OASIS.csv` and `images/`.
        emotify: folder with `data.csv` and a folder of sound files a genre.
        vgmidi: folder with `labelled/`.
        emobank: `emobank.csv`.
        norms: Warriner's word norms, `Ratings_Warriner_et_al.csv`.
        emotion6: folder with `ground_truth.txt` and `images/`.
        emopia: folder with MIDI files named Q1_SONG_0.mid.
    """

    oasis: Path | None = None
    emotify: Path | None = None
    vgmidi: Path | None = None
    emobank: Path | None = None
    norms: Path | None = None
    emotion6: Path | None = None
    emopia: Path | None = None


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
    """Write `image_va.csv`, `music_va.csv` and `text_va.csv`, if there is a source for them, with `images/` and `music/`.

    The CSVs are written last and atomically. Clips that an earlier run cut from the same files are kept.

    Args:
        sources: at least one.
        out: the data folder, created if missing.
        soundfont: to render VGMIDI and EMOPIA with; None to search for a General MIDI one.
        skip_bad: leave out bad items and list them, instead of raising.
        overwrite: replace existing CSV files.
        progress: wraps the iterables of pictures and of tracks, for a progress bar.

    Raises:
        DataError: a source is missing or bad, no item of it is usable, a CSV exists, or there is no source.
    """
    out = Path(out)
    music = any(source is not None for source in (sources.emotify, sources.vgmidi, sources.emopia))
    images = sources.oasis is not None or sources.emotion6 is not None
    wanted = {IMAGE_CSV: images, MUSIC_CSV: music, TEXT_CSV: sources.emobank is not None or sources.norms is not None}
    if not any(wanted.values()):
        raise DataError("no source: name at least one data set")
    refuse_existing([out / name for name, needed in wanted.items() if needed], overwrite)
    # Read all tables first, so that errors in them are raised before minutes of decoding.
    problems: list[str] = []
    pictures = oasis.read(sources.oasis, problems) if sources.oasis else []
    pictures += emotion6.read(sources.emotion6, problems) if sources.emotion6 else []
    tracks: list[Track] = emotify.read(sources.emotify, problems) if sources.emotify else []
    font = Path(soundfont) if soundfont else None
    tracks += vgmidi.read(sources.vgmidi, font, problems) if sources.vgmidi else []
    tracks += emopia.read(sources.emopia, font, problems) if sources.emopia else []
    texts = read_emobank(sources.emobank, problems) if sources.emobank else []
    texts += read_words(sources.norms) if sources.norms else []
    raise_or_skip(problems, skip_bad)
    try:
        counts = _write(out, pictures, tracks, texts, problems, skip_bad, progress)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); make room, or name another folder with --out") from error
    return Built(counts, tuple(problems))


def _write(
    out: Path,
    pictures: list[Picture],
    tracks: list[Track],
    texts: list[list[object]],
    problems: list[str],
    skip_bad: bool,
    progress: Progress,
) -> dict[str, int]:
    """Write pictures, clips and CSVs; returns the number of rows of each source."""
    counts: dict[str, int] = {}
    if pictures:
        (out / "images").mkdir(parents=True, exist_ok=True)
        images = _add_pictures(pictures, out, problems, skip_bad, progress)
        counts |= Counter(str(row[4]) for row in images)
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
    return counts


def _add_pictures(pictures: list[Picture], out: Path, problems: list[str], skip_bad: bool, progress: Progress) -> list[list[object]]:
    def link(picture: Picture) -> str:
        try:
            add(picture, out / "images")
        except DataError as error:
            return str(error)
        return ""

    rows: list[list[object]] = []
    with each(link, pictures, progress) as results:
        for picture, problem in zip(pictures, results, strict=True):
            if problem:
                problems.append(problem)
                raise_or_skip(problems, skip_bad)
            else:
                rows.append([picture.id, *picture.va, picture.group, picture.source])
    if not rows:
        raise DataError(f"{out / 'images'}: not one picture can be read; the first bad one: {problems[0]}")
    return rows
