"""The reports of `summarize` and `soundtrack`: what is told of a result, with small pictures of it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmvatool import page, svg
from mmvatool.media.frames import Frames
from mmvatool.media.probe import MediaInfo
from mmvatool.page import Card, Figure, Group, Page, Table, Thumbnail
from mmvatool.pipelines import pictures
from mmvatool.selection import ScoredShot, Settings, budget_s
from mmvatool.svg import Band, Dot, Line, clock

if TYPE_CHECKING:
    from mmvatool.pipelines.music import Music
    from mmvatool.pipelines.slides import Show
    from mmvatool.pipelines.soundtrack import Soundtrack
    from mmvatool.pipelines.summarize import Summary

WIDTH_PX = 160  # of a thumbnail, and at most its height: 3 to 8 kB each
QUALITY = 60
MOST_THUMBNAILS = 400  # a page stays under 5 MB
MOST_CARDS = 1000  # shots of the least arousal are left out of the page beyond that
MOST_MOMENTS = 24  # of a video that gets a soundtrack
MOST_POINTS = 2000  # of the music's curve, which is constant for ten seconds
_BATCH = 32  # frames held at a time
_WHY = {
    "keep": "kept by --keep",
    "chosen": "chosen",
    "run": "best run of frames",
    "runner-up": "runner-up",
    "drop": "dropped by --drop",
    "rest": "too short a rest",
    "too long": "longer than the budget",
    "left": "not chosen",
}
_AXES = "From 0, calm or unpleasant, to 1, excited or pleasant."


def summary_page(summary: "Summary", frames: Frames, card: str) -> str:
    """The report of a summary that is written.

    Args:
        summary: the result; its output is set.
        frames: reads its source.
        card: of the model.
    """
    assert summary.output is not None
    shots, timeline, info = summary.shots, summary.timeline, summary.info
    kept = [shot for shot in shots if shot.kept]
    cards = _shot_cards(summary, frames)
    groups = [Group(f"Kept: {_count(len(cards['kept']), 'shot')}", _about_kept(summary.settings, info, kept), cards["kept"])]
    if cards["runner-up"]:
        runners = f"The best for their length of those that are not kept: each would have fitted alone, but not beside what is. {_score_unit(summary.settings)}"
        groups.append(Group("Runners-up", runners, cards["runner-up"]))
    if cards["left"]:
        hidden = len(shots) - sum(map(len, cards.values()))
        more = f" {hidden} more of less arousal are in the JSON only." if hidden else ""
        groups.append(
            Group(f"Left out: {_count(len(cards['left']) + hidden, 'shot')}", f"All others, in the order of time.{more}", cards["left"])
        )
    span_s = (info.start_s, info.end_s)
    bands = [_band(shot) for shot in shots]
    said = f"{_count(len(kept), 'shot')} kept of {len(shots)}: " + ", ".join(page.span(*_ends(shot)) for shot in kept[:20])
    lines = [Line("valence", summary.curve.times_s, summary.curve.va[:, 0]), Line("arousal", summary.curve.times_s, summary.curve.va[:, 1])]
    drawing = svg.curves("curve", "Valence and arousal over time", said, lines, bands, span_s)
    legend = (("curve arousal", "arousal"), ("curve valence", "valence"), ("band kept", "kept"))
    order = {"left": 0, "runner-up": 1, "kept": 2}
    dots = [Dot(shot.valence, shot.arousal, _kind(shot), f"{page.span(*_ends(shot))}: {_WHY[shot.reason]}") for shot in shots]
    dots.sort(key=lambda dot: order[dot.kind])
    plane = svg.plane(
        "plane-drawing", "The shots in the plane of valence and arousal", f"{_felt_range(kept, 'kept')} of {len(shots)} shots", dots
    )
    beside = info.path.exists() and info.path.resolve().parent == summary.output.resolve().parent
    return page.to_html(
        Page(
            what="Summary",
            name=summary.input.name,
            facts=(
                ("kept", f"{clock(timeline.duration_s)} of {clock(info.duration_s)} ({timeline.duration_s / info.duration_s:.1%})"),
                ("shots", f"{len(kept)} of {len(shots)}"),
                ("model", summary.model),
            ),
            video=summary.output,
            other=info.path if beside else None,
            curves=(f"What the model feels in each moment of the source; what is kept is shaded. {_AXES}", [Figure("", drawing, legend)]),
            groups=groups,
            tables=(),
            plane=(
                "Each dot is a shot, by its means.",
                Figure("", plane, (("dot kept", "kept"), ("dot runner-up", "runner-up"), ("dot left", "left out"))),
            ),
            settings=_summary_settings(summary.settings, info),
            notes=summary.fallbacks,
            model=summary.model,
            card=card,
        )
    )


def soundtrack_page(made: "Soundtrack", show: "Show", music: Sequence["Music"], card: str) -> str:
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
    felt = {ranked.path: ranked.mean for ranked in made.ranking} | {path: heard[path].mean for path in chosen}
    dots = [Dot(float(va[0]), float(va[1]), "picture", "what is shown") for va in show.va]
    dots += [
        Dot(float(va[0]), float(va[1]), "chosen" if path in chosen else "track", path.name, places.get(path, "♪"))
        for path, va in felt.items()
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
                ("distance", f"{max(cue.distance for cue in timeline.cues):.3f}" + (", nothing is near" if made.is_far else "")),
                ("model", made.model),
            ),
            video=made.output,
            other=None,
            curves=(f"What the model feels in what is shown, and in the music under it. {_AXES}", figures),
            groups=(Group(f"What is shown: {_count(len(cards), 'picture' if show.slides else 'moment')}", about, cards),),
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
            notes=made.fallbacks,
            model=made.model,
            card=card,
        )
    )


def thumbnail(picture: np.ndarray) -> Thumbnail:
    """A small JPEG of a picture, uint8 (H, W, 3)."""
    small = Image.fromarray(picture)
    small.thumbnail((WIDTH_PX, WIDTH_PX), reducing_gap=2.0)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(data.getvalue(), *small.size)


def _thumbnails(info: MediaInfo, frames: Frames, times_s: Sequence[float]) -> list[Thumbnail]:
    """Of the frames on screen at these times, in any order."""
    wanted, place = np.unique(info.frame_at(np.array(times_s)), return_inverse=True)
    small: list[Thumbnail] = []
    for start in range(0, len(wanted), _BATCH):
        small += [thumbnail(frame) for frame in frames.read(wanted[start : start + _BATCH])]
    return [small[number] for number in place]


def _shot_cards(summary: "Summary", frames: Frames) -> dict[str, list[Card]]:
    """By kind, in the order of time. Of many shots those of less arousal have no picture, of very many no card."""
    assert summary.output is not None
    shots, info = summary.shots, summary.info
    beside = info.path.exists() and info.path.resolve().parent == summary.output.resolve().parent
    first = {"kept": 0, "runner-up": 1, "left": 2}
    ranks = np.empty(len(shots), np.int64)
    ranks[np.argsort([-shot.arousal for shot in shots], kind="stable")] = np.arange(1, len(shots) + 1)
    order = sorted(range(len(shots)), key=lambda number: (first[_kind(shots[number])], ranks[number]))
    seen = order[:MOST_THUMBNAILS]
    small = dict(zip(seen, _thumbnails(info, frames, [_middle(shots[number], summary.curve.times_s) for number in seen]), strict=True))
    cards: dict[str, list[Card]] = {kind: [] for kind in first}
    for number in sorted(order[: max(MOST_CARDS, sum(shot.kept for shot in shots))]):
        shot, kind = shots[number], _kind(shots[number])
        url = page.url(summary.output) if shot.kept else page.url(info.path) if beside else None
        # Kept shots lie one after the other, those that touch joined.
        clips = (clip for clip in summary.timeline.clips if clip.source and clip.source.overlap_s(shot.segment) > 0)
        at_s = next((clip.start_s + shot.segment.start_s - clip.source.start_s for clip in clips if clip.source), 0.0)
        cards[kind].append(
            Card(
                name=page.span(*_ends(shot)),
                felt=f"arousal {shot.arousal:.3f} (no. {ranks[number]} of {len(shots)}), valence {shot.valence:.3f}",
                badge=_WHY[shot.reason] + (f", at {clock(at_s)}" if shot.kept else ""),
                kind=kind,
                start_s=shot.segment.start_s,
                end_s=shot.segment.end_s,
                thumbnail=small.get(number),
                url=url,
                at_s=at_s if shot.kept else shot.segment.start_s,
            )
        )
    return cards


def _kind(shot: ScoredShot) -> str:
    return "kept" if shot.kept else "runner-up" if shot.reason == "runner-up" else "left"


def _ends(shot: ScoredShot) -> tuple[float, float]:
    return shot.segment.start_s, shot.segment.end_s


def _middle(shot: ScoredShot, times_s: np.ndarray) -> float:
    """The sample that is nearest to the middle of a shot, which was decoded once already; the middle itself where none lies inside."""
    middle = (shot.segment.start_s + shot.segment.end_s) / 2
    nearest = float(times_s[np.abs(times_s - middle).argmin()])
    return nearest if shot.segment.start_s <= nearest < shot.segment.end_s else middle


def _band(shot: ScoredShot) -> Band:
    kind = "kept" if shot.kept else "other"
    return Band(*_ends(shot), kind, f"{page.span(*_ends(shot))}: arousal {shot.arousal:.3f}, {_WHY[shot.reason]}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _score_unit(settings: Settings) -> str:
    return (
        "What counts is arousal for each second."
        if settings.value == "integral"
        else "What counts is mean arousal, however short the shot."
    )


def _about_kept(settings: Settings, info: MediaInfo, kept: Sequence[ScoredShot]) -> str:
    budget = clock(budget_s(info, settings))
    if any(shot.reason == "run" for shot in kept):
        return f"No shot as a whole fits into {budget}: this is the run of frames of the most arousal that does."
    worth = "arousal x length" if settings.value == "integral" else "mean arousal"
    chosen = f"Of all sets of shots that fit into {budget}, these have the largest sum of {worth}."
    return chosen if not settings.keep else f"What --keep names is kept in any case. {chosen}"


def _felt_range(shots: Sequence[ScoredShot], what: str) -> str:
    arousal = [shot.arousal for shot in shots]
    return f"arousal of the {len(shots)} {what} shots from {min(arousal):.2f} to {max(arousal):.2f}"


def _summary_settings(settings: Settings, info: MediaInfo) -> list[tuple[str, str]]:
    share = f"{settings.ratio:.1%} of the length" if settings.duration_s is None else "as asked"
    by = {"image": "the pictures", "music": "the sound", "both": "the mean of the ranks of pictures and sound"}[settings.by]
    pairs = [
        ("Budget", f"{clock(budget_s(info, settings))} ({share})"),
        ("Arousal of", by),
        ("Shots", "at change points of what the model sees" if settings.shots == "auto" else "every 2 seconds"),
        ("Worth of a shot", "mean arousal x length" if settings.value == "integral" else "mean arousal"),
        ("Length of a shot", f"{settings.min_shot_s:g} to {settings.max_shot_s:g} s"),
    ]
    for name, parts in (("Kept in any case", settings.keep), ("Left out in any case", settings.drop)):
        pairs += [(name, ", ".join(page.span(part.start_s, part.end_s) for part in parts))] if parts else []
    rate = f"{float(info.rate):.3f}".rstrip("0").rstrip(".")
    return [*pairs, ("Source", f"{info.video.width} x {info.video.height}, {rate} frames a second, {info.container.split(',')[0]}")]


def _soundtrack_settings(made: "Soundtrack") -> list[tuple[str, str]]:
    settings = made.settings
    pairs = [
        ("Music", "a track for each scene" if settings.per_scene else "one track for the whole"),
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


def _music_curve(made: "Soundtrack", heard: "dict[Path, Music]", times_s: np.ndarray) -> np.ndarray:
    """VA (N, 2) of the music that is heard at these times: of the window of its track; where two sound, of the later."""
    va = np.empty((len(times_s), 2))
    for cue in made.timeline.cues:
        track, within = heard[cue.path], times_s >= cue.start_s - 1e-6
        position = (cue.offset_s + times_s[within] - cue.start_s) % track.duration_s
        va[within] = track.va[np.minimum((position / 10).astype(np.int64), len(track.va) - 1)]
    return va


def _shown_curve(show: "Show") -> tuple[np.ndarray, np.ndarray]:
    """Times and VA: of pictures in steps, of a video from sample to sample."""
    if show.slides:
        return np.repeat(show.edges_s, 2)[1:-1], np.repeat(show.va, 2, axis=0)
    return (show.edges_s[1:] + show.edges_s[:-1]) / 2, show.va


def _track_at(made: "Soundtrack", time_s: float) -> str:
    return next(cue.path.name for cue in reversed(made.timeline.cues) if cue.start_s <= time_s + 1e-6)


def _slide_cards(made: "Soundtrack", show: "Show") -> list[Card]:
    assert made.output is not None
    cards = []
    for number, (slide, clip) in enumerate(zip(show.slides, made.timeline.clips, strict=True)):
        small = None
        if number < MOST_THUMBNAILS:
            if slide.info is None:
                small = thumbnail(pictures.read(slide.path, least_px=2 * WIDTH_PX))
            else:
                shown = clip.source or slide.shown
                assert shown is not None
                (small,) = _thumbnails(slide.info, Frames(slide.info), [(shown.start_s + shown.end_s) / 2])
        felt = f"{page.span(clip.start_s, clip.end_s)}, arousal {slide.va[1]:.3f}, valence {slide.va[0]:.3f}"
        middle_s = (clip.start_s + clip.end_s) / 2
        url = page.url(made.output)
        cards.append(Card(slide.path.name, felt, _track_at(made, middle_s), "kept", clip.start_s, clip.end_s, small, url, clip.start_s))
    return cards


def _moment_cards(made: "Soundtrack", show: "Show") -> list[Card]:
    """Stretches of a video, evenly apart, each with the frame in its middle."""
    assert made.output is not None
    assert show.info is not None
    bounds = np.unique(np.linspace(0, len(show.va), min(len(show.va), MOST_MOMENTS) + 1).astype(np.int64))
    edges_s = show.edges_s[bounds]
    small = _thumbnails(show.info, Frames(show.info), ((edges_s[1:] + edges_s[:-1]) / 2).tolist())
    cards = []
    for number, (start_s, end_s) in enumerate(zip(edges_s[:-1].tolist(), edges_s[1:].tolist(), strict=True)):
        valence, arousal = show.va[bounds[number] : bounds[number + 1]].mean(0)
        felt, track = f"arousal {arousal:.3f}, valence {valence:.3f}", _track_at(made, (start_s + end_s) / 2)
        url = page.url(made.output)
        cards.append(Card(page.span(start_s, end_s), felt, track, "kept", start_s, end_s, small[number], url, start_s))
    return cards


def _cues_table(made: "Soundtrack") -> Table:
    said = {credit.path: credit for credit in made.credits}
    rows = []
    for cue in made.timeline.cues:
        credit = said[cue.path]
        about = [part or "not stated" for part in (credit.title, credit.artist, credit.licence)]
        rows.append((page.span(cue.start_s, cue.end_s), cue.path.name, *about, clock(cue.offset_s), f"{cue.distance:.3f}"))
    columns = ("at", "track", "title", "artist", "licence", "from", "distance")
    return Table("Music", "What is heard when, with what the files say of themselves.", columns, rows, frozenset((5, 6)))


def _ranking_table(made: "Soundtrack", chosen: set[Path]) -> Table:
    rows = [
        (
            str(place),
            ranked.path.name,
            "chosen" if ranked.path in chosen else "",
            "-" if ranked.stretch.score is None else f"{ranked.stretch.score:.3f}",
            f"{ranked.stretch.distance:.3f}",
            f"{ranked.mean[0]:.3f}",
            f"{ranked.mean[1]:.3f}",
            clock(round(ranked.stretch.offset_s)),
            clock(round(ranked.duration_s)),
        )
        for place, ranked in enumerate(made.ranking, start=1)
    ]
    columns = ("", "track", "", "score", "distance", "valence", "arousal", "from", "length")
    about = "The tracks that lie nearest to the whole of what is shown, by their best stretch; score is exp(-distance / sigma)."
    return Table("Ranking", about, columns, rows, frozenset((0, 3, 4, 5, 6, 7, 8)))
