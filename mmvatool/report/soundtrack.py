"""The report of `soundtrack`: curves of visuals and music, pictures or moments, the ranking, and credits of the music."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError
from mmvatool.report import page, svg
from mmvatool.report.page import Card, Figure, Group, Page, Table, Thumbnail
from mmvatool.report.svg import Band, Dot, Line
from mmvatool.report.thumbnails import MOST_THUMBNAILS, POSTER_PX, WIDTH_PX, frame_thumbnail, thumbnail, thumbnails
from mmvatool.report.wording import AXES, format_count, format_range, format_score
from mmvatool.soundtracks.matching import STEP_S
from mmvatool.text import format_position
from mmvatool.timeline import Clip

if TYPE_CHECKING:
    from mmvatool.soundtracks.result import Soundtrack
    from mmvatool.soundtracks.tracks import CandidateTrack
    from mmvatool.soundtracks.visuals import Visuals

MOST_MOMENTS = 24  # cards of a video
MOST_POINTS = 2000  # of the music's curve, which is constant for ten seconds


def soundtrack_page(result: "Soundtrack", visuals: "Visuals", tracks: Sequence["CandidateTrack"], card: str) -> str:
    """The HTML report of a rendered soundtrack.

    Args:
        result: its output is set.
        visuals: its pictures or its video.
        tracks: the candidates, with all tracks of the result among them.
        card: of the model, in Markdown.
    """
    assert result.output is not None
    timeline = result.timeline
    track_of = {track.path: track for track in tracks}
    cards = _slide_cards(result, visuals) if visuals.slides else _moment_cards(result, visuals)
    noun = "picture" if visuals.slides else "moment"
    about = "In the order of the slideshow." if visuals.slides else "Moments of the video at even distances."
    far = ", nothing is near" if result.is_far else ""
    return page.to_html(
        Page(
            kind="Soundtrack",
            name=result.input.name or result.output.name,
            facts=(
                ("length", format_position(timeline.duration_s)),
                ("music", ", ".join(dict.fromkeys(cue.path.name for cue in timeline.cues))),
                ("distance", format_score(max(cue.distance for cue in timeline.cues)) + far),
                ("model", result.model),
            ),
            video=result.output,
            poster=_slide_thumbnail(visuals, 0, timeline.clips[0], POSTER_PX),
            source=None,
            curves=(
                f"Predicted valence and arousal of the visuals and of the music under them. {AXES}",
                _curves(result, visuals, track_of),
            ),
            groups=(Group(f"Visuals: {format_count(len(cards), noun)}", about, cards),),
            tables=(_cues_table(result), _ranking_table(result)),
            plane=(
                "Each dot is a picture or a moment; a ring is the mean of a track, with its rank.",
                _plane(result, visuals, track_of),
            ),
            settings=_settings(result),
            warnings=result.warnings,
            model=result.model,
            card=card,
        )
    )


def _curves(result: "Soundtrack", visuals: "Visuals", track_of: Mapping[Path, "CandidateTrack"]) -> list[Figure]:
    """Arousal and valence of visuals and music over time, with the cues as bands."""
    duration_s = result.timeline.duration_s
    times_s = np.linspace(0, duration_s, min(MOST_POINTS, int(duration_s * 2) + 2))
    music_va = _music_va(result, track_of, times_s)
    visual_times_s, visual_va = _visual_curve(visuals)
    bands = [
        Band(cue.start_s, cue.end_s, "scene" if number % 2 else "other", f"{format_position(cue.start_s)}: {cue.path.name}")
        for number, cue in enumerate(result.timeline.cues)
    ]
    figures = []
    for column, name in ((1, "Arousal"), (0, "Valence")):
        lines = [Line("visuals", visual_times_s, visual_va[:, column]), Line("music", times_s, music_va[:, column])]
        description = f"Visuals: {visual_va[:, column].mean():.2f} on average; music: {music_va[:, column].mean():.2f}"
        drawing = svg.curves(f"curve-{name.lower()}", f"{name} over time", description, lines, bands, (0.0, duration_s))
        figures.append(Figure(name, drawing, (("curve visuals", "visuals"), ("curve music", "music"))))
    return figures


def _music_va(result: "Soundtrack", track_of: Mapping[Path, "CandidateTrack"], times_s: np.ndarray) -> np.ndarray:
    """VA (N, 2) of the music at these times: that of the track's window; of the later cue where two overlap."""
    va = np.empty((len(times_s), 2))
    for cue in result.timeline.cues:
        track, within = track_of[cue.path], times_s >= cue.start_s - 1e-6
        position_s = (cue.offset_s + times_s[within] - cue.start_s) % track.duration_s
        va[within] = track.va[np.minimum((position_s / STEP_S).astype(np.int64), len(track.va) - 1)]
    return va


def _visual_curve(visuals: "Visuals") -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) and VA (N, 2): a step for each picture of a slideshow, a point for each sample of a video."""
    if visuals.slides:
        return np.repeat(visuals.edges_s, 2)[1:-1], np.repeat(visuals.va, 2, axis=0)
    return (visuals.edges_s[1:] + visuals.edges_s[:-1]) / 2, visuals.va


def _plane(result: "Soundtrack", visuals: "Visuals", track_of: Mapping[Path, "CandidateTrack"]) -> Figure:
    """Visuals, ranked tracks and chosen tracks in the VA plane."""
    chosen = {cue.path for cue in result.timeline.cues}
    ranks = {ranked.path: str(rank) for rank, ranked in enumerate(result.ranking, start=1)}
    means = {ranked.path: ranked.mean for ranked in result.ranking} | {path: track_of[path].mean for path in chosen}
    dots = [Dot(float(va[0]), float(va[1]), "picture", "visuals") for va in visuals.va]
    dots += [
        Dot(float(va[0]), float(va[1]), "chosen" if path in chosen else "track", path.name, ranks.get(path, "♪"))
        for path, va in means.items()
    ]
    dots.append(Dot(float(result.va[0]), float(result.va[1]), "mean", "mean of the visuals"))
    nearest = result.ranking[0]
    description = (
        f"Mean of the visuals: valence {result.va[0]:.2f}, arousal {result.va[1]:.2f}; "
        f"of the nearest track, {nearest.path.name}: {nearest.mean[0]:.2f}, {nearest.mean[1]:.2f}"
    )
    drawing = svg.plane("plane-drawing", "Visuals and tracks in the plane of valence and arousal", description, dots)
    legend = (("dot picture", "visuals"), ("dot mean", "their mean"), ("dot chosen", "chosen track"), ("dot track", "other track"))
    return Figure("", drawing, legend)


def _slide_cards(result: "Soundtrack", visuals: "Visuals") -> list[Card]:
    """A card for each picture or clip of a slideshow."""
    assert result.output is not None
    url = page.url(result.output)
    cards = []
    for number, (slide, clip) in enumerate(zip(visuals.slides, result.timeline.clips, strict=True)):
        small = _slide_thumbnail(visuals, number, clip) if number < MOST_THUMBNAILS else None
        scores = (format_range(clip.start_s, clip.end_s), f"arousal {format_score(slide.va[1])}", f"valence {format_score(slide.va[0])}")
        track = _track_at(result, (clip.start_s + clip.end_s) / 2)
        cards.append(Card(slide.path.name, scores, track, "kept", clip.start_s, clip.end_s, small, url, clip.start_s))
    return cards


def _moment_cards(result: "Soundtrack", visuals: "Visuals") -> list[Card]:
    """A card for each of MOST_MOMENTS equal segments of a video, with the frame in its middle."""
    assert result.output is not None
    assert visuals.info is not None
    url = page.url(result.output)
    bounds = np.unique(np.linspace(0, len(visuals.va), min(len(visuals.va), MOST_MOMENTS) + 1).astype(np.int64))
    edges_s = visuals.edges_s[bounds]
    small = thumbnails(visuals.info, ((edges_s[1:] + edges_s[:-1]) / 2).tolist())
    cards = []
    for number, (start_s, end_s) in enumerate(zip(edges_s[:-1].tolist(), edges_s[1:].tolist(), strict=True)):
        valence, arousal = visuals.va[bounds[number] : bounds[number + 1]].mean(0)
        scores = (f"arousal {format_score(arousal)}", f"valence {format_score(valence)}")
        track = _track_at(result, (start_s + end_s) / 2)
        cards.append(Card(format_range(start_s, end_s), scores, track, "kept", start_s, end_s, small[number], url, start_s))
    return cards


def _slide_thumbnail(visuals: "Visuals", number: int, clip: Clip, most_px: int = WIDTH_PX) -> Thumbnail | None:
    """The picture of a slide, or the frame in the middle of a clip or video."""
    info = visuals.slides[number].info if visuals.slides else visuals.info
    if info is not None:
        assert clip.source is not None
        return frame_thumbnail(info, (clip.source.start_s + clip.source.end_s) / 2, most_px)
    with suppress(MediaError):  # deleted since it was rendered
        return thumbnail(pictures.read(visuals.slides[number].path, least_px=2 * most_px), most_px)
    return None


def _track_at(result: "Soundtrack", time_s: float) -> str:
    """The name of the track at a time; empty if there is only one."""
    if len({cue.path for cue in result.timeline.cues}) == 1:
        return ""
    return next(cue.path.name for cue in reversed(result.timeline.cues) if cue.start_s <= time_s + 1e-6)


def _cues_table(result: "Soundtrack") -> Table:
    credit_of = {credit.path: credit for credit in result.credits}
    rows = []
    for cue in result.timeline.cues:
        credit = credit_of[cue.path]
        tags = [tag or "not stated" for tag in (credit.title, credit.artist, credit.licence)]
        rows.append((format_range(cue.start_s, cue.end_s), cue.path.name, *tags, format_position(cue.offset_s), format_score(cue.distance)))
    columns = ("at", "track", "title", "artist", "licence", "from", "distance")
    return Table("Music", "The track at each time, with its file's tags.", columns, rows, frozenset((5, 6)), frozenset((1, 2, 3, 4)))


def _ranking_table(result: "Soundtrack") -> Table:
    chosen = {cue.path for cue in result.timeline.cues}
    rows = [
        (
            str(rank),
            ranked.path.name,
            "-" if ranked.match.score is None else format_score(ranked.match.score),
            format_score(ranked.match.distance),
            format_score(ranked.mean[0]),
            format_score(ranked.mean[1]),
            format_position(round(ranked.match.offset_s)),
            format_position(round(ranked.duration_s)),
            "chosen" if ranked.path in chosen else "",
        )
        for rank, ranked in enumerate(result.ranking, start=1)
    ]
    columns = ("", "track", "score", "distance", "valence", "arousal", "from", "length", "")
    by = "the ranks of their best match within the library" if result.settings.match == "library" else "their best match"
    about = f"The nearest tracks to the visuals as a whole, by {by}; score is exp(-distance / sigma)."
    return Table("Ranking", about, columns, rows, frozenset((0, 2, 3, 4, 5, 6, 7)), frozenset((1,)))


def _settings(result: "Soundtrack") -> list[tuple[str, str]]:
    settings = result.settings
    pairs = [
        ("Music", "a track for each scene" if settings.per_scene else "one track for the whole"),
        ("Chosen by", "ranks within the library" if settings.match == "library" else "valence and arousal as predicted"),
        ("Sound of videos", "kept, with quieter music under it" if settings.duck else "replaced by the music"),
        ("Loudness, target", f"{settings.lufs:g} LUFS"),
    ]
    if result.mixed is not None and result.mixed.lufs is not None:
        pairs.append(("Loudness, measured", f"{result.mixed.lufs:.1f} LUFS, true peak {result.mixed.true_peak_dbtp or 0:.1f} dBTP"))
    if result.timeline.clips[0].source is None or len(result.timeline.clips) > 1:
        pairs += [
            ("Picture", f"{settings.size[0]} x {settings.size[1]}, {settings.rate} frames a second, fill: {settings.fill}"),
            ("Time of a picture", f"about {settings.seconds:g} s, crossfade {settings.crossfade_s:g} s{', still' * settings.still}"),
            ("Ends with", f"the {settings.fit}"),
            ("Changes on beats", "yes" if settings.beats else "no"),
        ]
    pairs += [("Excluded from the library", ", ".join(settings.exclude))] if settings.exclude else []
    return pairs + ([("Seed", str(settings.seed))] if settings.seed is not None else [])
