"""The report of `soundtrack`: what is shown beside the music under it, the ranking, and who made what is heard."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError
from mmvatool.report import page, svg
from mmvatool.report.page import Card, Figure, Group, Page, Table, Thumbnail
from mmvatool.report.svg import Band, Dot, Line, clock
from mmvatool.report.thumbnails import AXES, MOST_THUMBNAILS, POSTER_PX, WIDTH_PX, count, moment, plain, thumbnail, thumbnails
from mmvatool.soundtracks.matching import STEP_S
from mmvatool.timeline import Clip

if TYPE_CHECKING:
    from mmvatool.soundtracks.result import Soundtrack
    from mmvatool.soundtracks.tracks import CandidateTrack
    from mmvatool.soundtracks.visuals import Visuals

MOST_MOMENTS = 24  # of a video that gets a soundtrack
MOST_POINTS = 2000  # of the music's curve, which is constant for ten seconds


def soundtrack_page(made: "Soundtrack", show: "Visuals", music: Sequence["CandidateTrack"], card: str) -> str:
    """The report of a soundtrack that is written.

    Args:
        made: the result; its output is set.
        show: what is shown.
        music: the tracks it was chosen from; all that are heard are among them.
        card: of the model.
    """
    assert made.output is not None
    timeline, heard = made.timeline, {track.path: track for track in music}
    span_s = (0.0, timeline.duration_s)
    grid = np.linspace(0, timeline.duration_s, min(MOST_POINTS, int(timeline.duration_s * 2) + 2))
    played = _music_curve(made, heard, grid)
    shown_times_s, shown = _shown_curve(show)
    bands = [
        Band(cue.start_s, cue.end_s, "scene" if number % 2 else "other", f"{clock(cue.start_s)}: {cue.path.name}")
        for number, cue in enumerate(timeline.cues)
    ]
    figures = []
    for column, name in ((1, "Arousal"), (0, "Valence")):
        lines = [Line("shown", shown_times_s, shown[:, column]), Line("music", grid, played[:, column])]
        said = f"What is shown: {shown[:, column].mean():.2f} on average; the music: {played[:, column].mean():.2f}"
        drawing = svg.curves(f"curve-{name.lower()}", f"{name} over time", said, lines, bands, span_s)
        figures.append(Figure(name, drawing, (("curve shown", "what is shown"), ("curve music", "the music under it"))))
    cards = _slide_cards(made, show) if show.slides else _moment_cards(made, show)
    about = "In order." if show.slides else "Moments of the video, evenly apart."
    chosen = {cue.path for cue in timeline.cues}
    places = {ranked.path: str(place) for place, ranked in enumerate(made.ranking, start=1)}
    scores = {ranked.path: ranked.mean for ranked in made.ranking} | {path: heard[path].mean for path in chosen}
    dots = [Dot(float(va[0]), float(va[1]), "picture", "what is shown") for va in show.va]
    dots += [
        Dot(float(va[0]), float(va[1]), "chosen" if path in chosen else "track", path.name, places.get(path, "♪"))
        for path, va in scores.items()
    ]
    dots.append(Dot(float(made.va[0]), float(made.va[1]), "mean", "mean of what is shown"))
    nearest = made.ranking[0]
    said = f"What is shown lies at valence {made.va[0]:.2f}, arousal {made.va[1]:.2f}; the nearest track, {nearest.path.name}, at {nearest.mean[0]:.2f}, {nearest.mean[1]:.2f}"
    plane = svg.plane("plane-drawing", "What is shown and the tracks in the plane of valence and arousal", said, dots)
    return page.to_html(
        Page(
            what="Soundtrack",
            name=made.input.name or made.output.name,
            facts=(
                ("length", clock(timeline.duration_s)),
                ("music", ", ".join(dict.fromkeys(cue.path.name for cue in timeline.cues))),
                ("distance", plain(max(cue.distance for cue in timeline.cues)) + (", nothing is near" if made.is_far else "")),
                ("model", made.model),
            ),
            video=made.output,
            poster=_slide_picture(show, 0, timeline.clips[0], POSTER_PX),
            other=None,
            curves=(f"What the model feels in what is shown, and in the music under it. {AXES}", figures),
            groups=(Group(f"What is shown: {count(len(cards), 'picture' if show.slides else 'moment')}", about, cards),),
            tables=(_cues_table(made), _ranking_table(made, chosen)),
            plane=(
                "Each dot is a picture or a moment; a ring is a track as a whole, with its place in the ranking.",
                Figure(
                    "",
                    plane,
                    (("dot picture", "shown"), ("dot mean", "mean of it"), ("dot chosen", "chosen track"), ("dot track", "other track")),
                ),
            ),
            settings=_soundtrack_settings(made),
            warnings=made.warnings,
            model=made.model,
            card=card,
        )
    )


def _soundtrack_settings(made: "Soundtrack") -> list[tuple[str, str]]:
    settings = made.settings
    pairs = [
        ("CandidateTrack", "a track for each scene" if settings.per_scene else "one track for the whole"),
        ("Sound of videos", "kept, the music lower under it" if settings.duck else "replaced by the music"),
        ("Loudness asked for", f"{settings.lufs:g} LUFS"),
    ]
    if made.mixed is not None and made.mixed.lufs is not None:
        pairs.append(("Loudness as written", f"{made.mixed.lufs:.1f} LUFS, true peak {made.mixed.true_peak_dbtp or 0:.1f} dBTP"))
    if made.timeline.clips[0].source is None or len(made.timeline.clips) > 1:
        pairs += [
            ("Picture", f"{settings.size[0]} x {settings.size[1]}, {settings.rate} frames a second, fill: {settings.fill}"),
            ("A picture is shown", f"about {settings.seconds:g} s, crossfade {settings.crossfade_s:g} s{', still' * settings.still}"),
            ("Ends with", f"the {settings.fit}"),
            ("Changes on beats", "yes" if settings.beats else "no"),
        ]
    pairs += [("Left out of the library", ", ".join(settings.exclude))] if settings.exclude else []
    return pairs + ([("Seed", str(settings.seed))] if settings.seed is not None else [])


def _music_curve(made: "Soundtrack", heard: "dict[Path, CandidateTrack]", times_s: np.ndarray) -> np.ndarray:
    """VA (N, 2) of the music that is heard at these times: of the window of its track; where two sound, of the later."""
    va = np.empty((len(times_s), 2))
    for cue in made.timeline.cues:
        track, within = heard[cue.path], times_s >= cue.start_s - 1e-6
        position = (cue.offset_s + times_s[within] - cue.start_s) % track.duration_s
        va[within] = track.va[np.minimum((position / STEP_S).astype(np.int64), len(track.va) - 1)]
    return va


def _shown_curve(show: "Visuals") -> tuple[np.ndarray, np.ndarray]:
    """Times and VA: of pictures in steps, of a video from sample to sample."""
    if show.slides:
        return np.repeat(show.edges_s, 2)[1:-1], np.repeat(show.va, 2, axis=0)
    return (show.edges_s[1:] + show.edges_s[:-1]) / 2, show.va


def _track_at(made: "Soundtrack", time_s: float) -> str:
    """The track under a moment, where that is not the same throughout."""
    if len({cue.path for cue in made.timeline.cues}) == 1:
        return ""
    return next(cue.path.name for cue in reversed(made.timeline.cues) if cue.start_s <= time_s + 1e-6)


def _slide_picture(show: "Visuals", number: int, clip: Clip, most_px: int = WIDTH_PX) -> Thumbnail | None:
    """Of a slide the picture, or the frame in its middle; of a video the latter."""
    info = show.slides[number].info if show.slides else show.info
    if info is not None:
        assert clip.source is not None
        return moment(info, (clip.source.start_s + clip.source.end_s) / 2, most_px)
    with suppress(MediaError):  # gone since it was rendered
        return thumbnail(pictures.read(show.slides[number].path, least_px=2 * most_px), most_px)
    return None


def _slide_cards(made: "Soundtrack", show: "Visuals") -> list[Card]:
    assert made.output is not None
    cards = []
    for number, (slide, clip) in enumerate(zip(show.slides, made.timeline.clips, strict=True)):
        small = _slide_picture(show, number, clip) if number < MOST_THUMBNAILS else None
        scores = (page.span(clip.start_s, clip.end_s), f"arousal {plain(slide.va[1])}", f"valence {plain(slide.va[0])}")
        middle_s = (clip.start_s + clip.end_s) / 2
        url = page.url(made.output)
        cards.append(Card(slide.path.name, scores, _track_at(made, middle_s), "kept", clip.start_s, clip.end_s, small, url, clip.start_s))
    return cards


def _moment_cards(made: "Soundtrack", show: "Visuals") -> list[Card]:
    """Stretches of a video, evenly apart, each with the frame in its middle."""
    assert made.output is not None
    assert show.info is not None
    bounds = np.unique(np.linspace(0, len(show.va), min(len(show.va), MOST_MOMENTS) + 1).astype(np.int64))
    edges_s = show.edges_s[bounds]
    small = thumbnails(show.info, ((edges_s[1:] + edges_s[:-1]) / 2).tolist())
    cards = []
    for number, (start_s, end_s) in enumerate(zip(edges_s[:-1].tolist(), edges_s[1:].tolist(), strict=True)):
        valence, arousal = show.va[bounds[number] : bounds[number + 1]].mean(0)
        scores, track = (f"arousal {plain(arousal)}", f"valence {plain(valence)}"), _track_at(made, (start_s + end_s) / 2)
        url = page.url(made.output)
        cards.append(Card(page.span(start_s, end_s), scores, track, "kept", start_s, end_s, small[number], url, start_s))
    return cards


def _cues_table(made: "Soundtrack") -> Table:
    said = {credit.path: credit for credit in made.credits}
    rows = []
    for cue in made.timeline.cues:
        credit = said[cue.path]
        about = [part or "not stated" for part in (credit.title, credit.artist, credit.licence)]
        rows.append((page.span(cue.start_s, cue.end_s), cue.path.name, *about, clock(cue.offset_s), plain(cue.distance)))
    columns = ("at", "track", "title", "artist", "licence", "from", "distance")
    return Table(
        "CandidateTrack",
        "What is heard when, with what the files say of themselves.",
        columns,
        rows,
        frozenset((5, 6)),
        frozenset((1, 2, 3, 4)),
    )


def _ranking_table(made: "Soundtrack", chosen: set[Path]) -> Table:
    rows = [
        (
            str(place),
            ranked.path.name,
            "-" if ranked.match.score is None else plain(ranked.match.score),
            plain(ranked.match.distance),
            plain(ranked.mean[0]),
            plain(ranked.mean[1]),
            clock(round(ranked.match.offset_s)),
            clock(round(ranked.duration_s)),
            "chosen" if ranked.path in chosen else "",
        )
        for place, ranked in enumerate(made.ranking, start=1)
    ]
    columns = ("", "track", "score", "distance", "valence", "arousal", "from", "length", "")
    about = "The tracks that lie nearest to the whole of what is shown, by their best stretch; score is exp(-distance / sigma)."
    return Table("Ranking", about, columns, rows, frozenset((0, 2, 3, 4, 5, 6, 7)), frozenset((1,)))
