"""The report of `summarize`: the curve, every shot with its picture and why it was kept or not, and what it was made with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.media.probe import MediaInfo
from mmvatool.report import page, svg
from mmvatool.report.page import Card, Figure, Group, Page
from mmvatool.report.svg import Band, Dot, Line, clock
from mmvatool.report.thumbnails import AXES, MOST_THUMBNAILS, POSTER_PX, count, moment, plain, thumbnails
from mmvatool.summary.selection import ScoredShot
from mmvatool.summary.settings import SummarySettings, budget_s
from mmvatool.timeline import Clip

if TYPE_CHECKING:
    from mmvatool.summary.result import Summary

MOST_CARDS = 1000  # shots of the least arousal are left out of the page beyond that
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


def summary_page(summary: "Summary", card: str) -> str:
    """The report of a summary that is written.

    Args:
        summary: the result; its output is set.
        card: of the model.
    """
    assert summary.output is not None
    shots, timeline, info = summary.shots, summary.timeline, summary.info
    kept = [shot for shot in shots if shot.kept]
    cards = _shot_cards(summary)
    groups = [
        Group(
            f"Kept: {count(len(cards['kept']), 'shot')}",
            f"{_about_kept(summary.settings, info, kept)} No. 1 of the {len(shots)} shots is the one of the highest arousal.",
            cards["kept"],
        )
    ]
    if cards["runner-up"]:
        runners = f"The best for their length of those that are not kept: each would have fitted alone, but not beside what is. {_score_unit(summary.settings)}"
        groups.append(Group("Runners-up", runners, cards["runner-up"]))
    if cards["left"]:
        hidden = len(shots) - sum(map(len, cards.values()))
        more = f" {hidden} more of less arousal are in the JSON only." if hidden else ""
        groups.append(
            Group(f"Left out: {count(len(cards['left']) + hidden, 'shot')}", f"All others, in the order of time.{more}", cards["left"])
        )
    span_s = (info.start_s, info.end_s)
    bands = [_band(shot) for shot in shots]
    said = f"{count(len(kept), 'shot')} kept of {len(shots)}: " + ", ".join(page.span(*_ends(shot)) for shot in kept[:20])
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
            poster=moment(info, _middle(kept[0], summary.curve.times_s), POSTER_PX),
            other=info.path if beside else None,
            curves=(f"What the model feels in each moment of the source; what is kept is shaded. {AXES}", [Figure("", drawing, legend)]),
            groups=groups,
            tables=(),
            plane=(
                "Each dot is a shot, by its means.",
                Figure("", plane, (("dot kept", "kept"), ("dot runner-up", "runner-up"), ("dot left", "left out"))),
            ),
            settings=_summary_settings(summary.settings, info),
            warnings=summary.warnings,
            model=summary.model,
            card=card,
        )
    )


def _shot_cards(summary: "Summary") -> dict[str, list[Card]]:
    """By kind, in the order of time. Of many shots those of less arousal have no picture, of very many no card."""
    assert summary.output is not None
    shots, info = summary.shots, summary.info
    beside = info.path.exists() and info.path.resolve().parent == summary.output.resolve().parent
    first = {"kept": 0, "runner-up": 1, "left": 2}
    ranks = np.empty(len(shots), np.int64)
    ranks[np.argsort([-shot.arousal for shot in shots], kind="stable")] = np.arange(1, len(shots) + 1)
    order = sorted(range(len(shots)), key=lambda number: (first[_kind(shots[number])], ranks[number]))
    seen = order[:MOST_THUMBNAILS]
    small = dict(zip(seen, thumbnails(info, [_middle(shots[number], summary.curve.times_s) for number in seen]), strict=True))
    cards: dict[str, list[Card]] = {kind: [] for kind in first}
    clips = summary.timeline.clips
    for number in sorted(order[: max(MOST_CARDS, sum(shot.kept for shot in shots))]):
        shot, kind = shots[number], _kind(shots[number])
        url = page.url(summary.output) if shot.kept else page.url(info.path) if beside else None
        at_s = _place(shot, clips) if shot.kept else shot.segment.start_s
        cards[kind].append(
            Card(
                name=page.span(*_ends(shot)),
                scores=(
                    f"arousal {plain(shot.arousal)}, no. {ranks[number]}",
                    f"valence {plain(shot.valence)}",
                    *([f"at {clock(at_s)} in the summary"] if shot.kept else []),
                ),
                badge=_WHY[shot.reason],
                kind=kind,
                start_s=shot.segment.start_s,
                end_s=shot.segment.end_s,
                thumbnail=small.get(number),
                url=url,
                at_s=at_s,
            )
        )
    return cards


def _place(shot: ScoredShot, clips: Sequence[Clip]) -> float:
    """Where a kept shot begins in the summary: those that touch are joined to one clip."""
    within = ((clip, clip.source) for clip in clips if clip.source is not None and clip.source.overlap_s(shot.segment) > 0)
    return next((clip.start_s + max(0.0, shot.segment.start_s - source.start_s) for clip, source in within), 0.0)


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
    return Band(*_ends(shot), kind, f"{page.span(*_ends(shot))}: arousal {plain(shot.arousal)}, {_WHY[shot.reason]}")


def _score_unit(settings: SummarySettings) -> str:
    return (
        "What counts is arousal for each second."
        if settings.value == "integral"
        else "What counts is mean arousal, however short the shot."
    )


def _about_kept(settings: SummarySettings, info: MediaInfo, kept: Sequence[ScoredShot]) -> str:
    budget = clock(budget_s(info, settings))
    if any(shot.reason == "run" for shot in kept):
        return f"No shot as a whole fits into {budget}: this is the run of frames of the most arousal that does."
    worth = "arousal x length" if settings.value == "integral" else "mean arousal"
    if settings.keep:
        others = f"Of all sets of other shots that fit into the rest of {budget}, the chosen ones have the largest sum of {worth}."
        return f"What --keep names is kept in any case. {others}"
    return f"Of all sets of shots that fit into {budget}, these have the largest sum of {worth}."


def _felt_range(shots: Sequence[ScoredShot], what: str) -> str:
    arousal = [shot.arousal for shot in shots]
    return f"arousal of the {len(shots)} {what} shots from {min(arousal):.2f} to {max(arousal):.2f}"


def _summary_settings(settings: SummarySettings, info: MediaInfo) -> list[tuple[str, str]]:
    share = f"{settings.ratio:.1%} of the length" if settings.duration_s is None else "as asked"
    by = {"image": "the pictures", "audio": "the sound", "both": "the mean of the ranks of pictures and sound"}[settings.by]
    pairs = [
        ("Budget", f"{clock(budget_s(info, settings))} ({share})"),
        ("Arousal of", by),
        ("Shots", "at change points of what the model sees" if settings.shots == "auto" else "every 2 seconds"),
        (
            "Frames looked at",
            {"auto": "keyframes where they are, else exact", "exact": "exact", "keyframes": "keyframes"}[settings.sampling],
        ),
        ("Cut", "without encoding, at keyframes where it can be" if settings.lossless else "at the frame, encoded anew"),
        ("Worth of a shot", "mean arousal x length" if settings.value == "integral" else "mean arousal"),
        ("Length of a shot", f"{settings.min_shot_s:g} to {settings.max_shot_s:g} s"),
    ]
    for name, parts in (("Kept in any case", settings.keep), ("Left out in any case", settings.drop)):
        pairs += [(name, ", ".join(page.span(part.start_s, part.end_s) for part in parts))] if parts else []
    rate = f"{float(info.rate):.3f}".rstrip("0").rstrip(".")
    return [*pairs, ("Source", f"{info.video.width} x {info.video.height}, {rate} frames a second, {info.container.split(',')[0]}")]
