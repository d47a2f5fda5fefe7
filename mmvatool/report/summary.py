"""The report of `summarize`: curves, every shot with a thumbnail and why it was kept or not, and the settings."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmvatool.media.probe import MediaInfo
from mmvatool.report import page, svg
from mmvatool.report.page import Card, Figure, Group, Page
from mmvatool.report.svg import Band, Dot, Line
from mmvatool.report.thumbnails import MOST_THUMBNAILS, POSTER_PX, frame_thumbnail, thumbnails
from mmvatool.report.wording import AXES, format_count, format_range, format_score
from mmvatool.summary.selection import ScoredShot
from mmvatool.summary.settings import SummarySettings, budget_s
from mmvatool.text import format_position
from mmvatool.timeline import Clip

if TYPE_CHECKING:
    from mmvatool.summary.result import Summary

MOST_CARDS = 1000  # of the shots beyond that, those of the least arousal have no card
_KINDS = ("kept", "runner-up", "left")
_REASONS = {
    "keep": "kept by --keep",
    "chosen": "chosen",
    "run": "best run of frames",
    "runner-up": "runner-up",
    "drop": "dropped by --drop",
    "rest": "too short a rest",
    "too long": "longer than the budget",
    "left": "not chosen",
}


def summary_page(summary: "Summary", card: str, order_scale: Mapping[str, tuple[float, float]]) -> str:
    """The HTML report of a rendered summary.

    Args:
        summary: the result; its output is set.
        card: of the model, in Markdown.
        order_scale: of the model, see `trainer.Predictor`.
    """
    assert summary.output is not None
    timeline, info = summary.timeline, summary.info
    kept = [shot for shot in summary.shots if shot.kept]
    return page.to_html(
        Page(
            kind="Summary",
            name=summary.input.name,
            facts=(
                (
                    "kept",
                    f"{format_position(timeline.duration_s)} of {format_position(info.duration_s)} "
                    f"({timeline.duration_s / info.duration_s:.1%})",
                ),
                ("shots", f"{len(kept)} of {len(summary.shots)}"),
                ("model", summary.model),
            ),
            video=summary.output,
            poster=frame_thumbnail(info, _middle(kept[0], summary.curve.times_s), POSTER_PX),
            source=info.path if _source_is_beside(summary) else None,
            curves=(f"Predicted valence and arousal of the source; the kept shots are shaded. {AXES}", [_curves(summary, kept)]),
            groups=_groups(summary, kept, order_scale),
            tables=(),
            plane=("Each dot is a shot, by its means.", _plane(summary, kept)),
            settings=_settings(summary.settings, info),
            warnings=summary.warnings,
            model=summary.model,
            card=card,
        )
    )


def _curves(summary: "Summary", kept: Sequence[ScoredShot]) -> Figure:
    times_s, va = summary.curve.times_s, summary.curve.va
    ranges = ", ".join(_range(shot) for shot in kept[:20])
    description = f"{format_count(len(kept), 'shot')} kept of {len(summary.shots)}: {ranges}"
    lines = [Line("valence", times_s, va[:, 0]), Line("arousal", times_s, va[:, 1])]
    bands = [_band(shot) for shot in summary.shots]
    span_s = (summary.info.start_s, summary.info.end_s)
    drawing = svg.curves("curve", "Valence and arousal over time", description, lines, bands, span_s)
    return Figure("", drawing, (("curve arousal", "arousal"), ("curve valence", "valence"), ("band kept", "kept")))


def _band(shot: ScoredShot) -> Band:
    label = f"{_range(shot)}: arousal {format_score(shot.arousal)}, {_REASONS[shot.reason]}"
    return Band(shot.segment.start_s, shot.segment.end_s, "kept" if shot.kept else "other", label)


def _plane(summary: "Summary", kept: Sequence[ScoredShot]) -> Figure:
    arousal = [shot.arousal for shot in kept]
    description = f"arousal of the {len(kept)} kept shots from {min(arousal):.2f} to {max(arousal):.2f} of {len(summary.shots)} shots"
    dots = [Dot(shot.valence, shot.arousal, _kind(shot), f"{_range(shot)}: {_REASONS[shot.reason]}") for shot in summary.shots]
    dots.sort(key=lambda dot: -_KINDS.index(dot.kind))  # kept shots are drawn on top
    drawing = svg.plane("plane-drawing", "The shots in the plane of valence and arousal", description, dots)
    return Figure("", drawing, (("dot kept", "kept"), ("dot runner-up", "runner-up"), ("dot left", "left out")))


def _groups(summary: "Summary", kept: Sequence[ScoredShot], order_scale: Mapping[str, tuple[float, float]]) -> list[Group]:
    """The cards of kept shots, runners-up and all others."""
    shots, settings = summary.shots, summary.settings
    cards = _cards(summary)
    rule = f"{_selection_rule(settings, summary.info, kept)} No. 1 of the {len(shots)} shots is the one of the highest arousal."
    groups = [Group(f"Kept: {format_count(len(cards['kept']), 'shot')}", rule, cards["kept"])]
    if cards["runner-up"]:
        criterion = "arousal for each second" if settings.value == "integral" else "mean arousal, however short the shot"
        about = f"The best of the shots that are not kept, by {criterion}. Each would have fitted alone, but not beside the kept ones."
        about += _closeness(summary, kept, order_scale)
        groups.append(Group("Runners-up", about, cards["runner-up"]))
    if cards["left"]:
        hidden = len(shots) - sum(map(len, cards.values()))
        more = f" {hidden} more of less arousal are in the JSON only." if hidden else ""
        title = f"Left out: {format_count(len(cards['left']) + hidden, 'shot')}"
        groups.append(Group(title, f"All others, in the order of time.{more}", cards["left"]))
    return groups


def _closeness(summary: "Summary", kept: Sequence[ScoredShot], order_scale: Mapping[str, tuple[float, float]]) -> str:
    """How far apart the kept shot of the least arousal and the best runner-up are, against the model's own error."""
    modality = {"image": "image", "audio": "music"}.get(summary.settings.by, "")
    if modality not in order_scale:
        return ""
    apart = min(shot.arousal for shot in kept) - max(shot.arousal for shot in summary.shots if _kind(shot) == "runner-up")
    right = 0.5 * (1 + math.erf(abs(apart) / order_scale[modality][1] / math.sqrt(2)))
    things = "pictures" if modality == "image" else "pieces of music"
    order = f"{format_score(abs(apart))} {'above' if apart > 0 else 'below'} the best of these"
    return (
        f" The calmest shot that was kept lies {order} in arousal. Of two {things} that this model puts so far apart, people's ratings have "
        f"the same order in {right:.0%} of all pairs."
    )


def _cards(summary: "Summary") -> dict[str, list[Card]]:
    """Cards by kind, in the order of time. Of many shots those of less arousal have no thumbnail, of very many no card."""
    shots, times_s = summary.shots, summary.curve.times_s
    ranks = np.empty(len(shots), np.int64)
    ranks[np.argsort([-shot.arousal for shot in shots], kind="stable")] = np.arange(1, len(shots) + 1)
    order = sorted(range(len(shots)), key=lambda number: (_KINDS.index(_kind(shots[number])), ranks[number]))
    pictured = order[:MOST_THUMBNAILS]
    small = thumbnails(summary.info, [_middle(shots[number], times_s) for number in pictured])
    thumbnail_of = dict(zip(pictured, small, strict=True))
    cards: dict[str, list[Card]] = {kind: [] for kind in _KINDS}
    for number in sorted(order[: max(MOST_CARDS, sum(shot.kept for shot in shots))]):
        card = _card(summary, shots[number], int(ranks[number]), thumbnail_of.get(number))
        cards[card.kind].append(card)
    return cards


def _card(summary: "Summary", shot: ScoredShot, rank: int, thumbnail: page.Thumbnail | None) -> Card:
    assert summary.output is not None
    source_url = page.url(summary.info.path) if _source_is_beside(summary) else None
    play_s = _start_in_summary(shot, summary.timeline.clips) if shot.kept else shot.segment.start_s
    return Card(
        name=_range(shot),
        scores=(
            f"arousal {format_score(shot.arousal)}, no. {rank}",
            f"valence {format_score(shot.valence)}",
            *([f"at {format_position(play_s)} in the summary"] if shot.kept else []),
        ),
        badge=_REASONS[shot.reason],
        kind=_kind(shot),
        start_s=shot.segment.start_s,
        end_s=shot.segment.end_s,
        thumbnail=thumbnail,
        url=page.url(summary.output) if shot.kept else source_url,
        play_s=play_s,
    )


def _source_is_beside(summary: "Summary") -> bool:
    """Whether the source lies in the folder of the summary, where the page can play it."""
    assert summary.output is not None
    source = summary.info.path
    return source.exists() and source.resolve().parent == summary.output.resolve().parent


def _start_in_summary(shot: ScoredShot, clips: Sequence[Clip]) -> float:
    """When a kept shot begins in the summary: adjacent shots are joined to one clip."""
    within = ((clip, clip.source) for clip in clips if clip.source is not None and clip.source.overlap_s(shot.segment) > 0)
    return next((clip.start_s + max(0.0, shot.segment.start_s - source.start_s) for clip, source in within), 0.0)


def _kind(shot: ScoredShot) -> str:
    return "kept" if shot.kept else "runner-up" if shot.reason == "runner-up" else "left"


def _range(shot: ScoredShot) -> str:
    return format_range(shot.segment.start_s, shot.segment.end_s)


def _middle(shot: ScoredShot, times_s: np.ndarray) -> float:
    """The sample nearest to the middle of a shot, known to be decodable; the middle itself where no sample lies inside."""
    middle_s = (shot.segment.start_s + shot.segment.end_s) / 2
    nearest_s = float(times_s[np.abs(times_s - middle_s).argmin()])
    return nearest_s if shot.segment.start_s <= nearest_s < shot.segment.end_s else middle_s


def _selection_rule(settings: SummarySettings, info: MediaInfo, kept: Sequence[ScoredShot]) -> str:
    budget = format_position(budget_s(info, settings))
    if any(shot.reason == "run" for shot in kept):
        return f"No shot as a whole fits into {budget}: this is the run of frames of the most arousal that does."
    value = "arousal x length" if settings.value == "integral" else "mean arousal"
    if settings.keep:
        others = f"Of all sets of other shots that fit into the rest of {budget}, the chosen ones have the largest sum of {value}."
        return f"The ranges of --keep are kept in any case. {others}"
    return f"Of all sets of shots that fit into {budget}, these have the largest sum of {value}."


def _settings(settings: SummarySettings, info: MediaInfo) -> list[tuple[str, str]]:
    share = f"{settings.ratio:.1%} of the length" if settings.duration_s is None else "as asked"
    signals = {"image": "the pictures", "both": "the mean of the ranks of pictures and sound"}
    samples = {"auto": "keyframes where there are any, else exact", "exact": "exact", "keyframes": "keyframes"}
    pairs = [
        ("Budget", f"{format_position(budget_s(info, settings))} ({share})"),
        ("Arousal of", signals.get(settings.by, "the sound")),
        ("Shots", "divided at change points of the pictures' embeddings" if settings.shots == "auto" else "every 2 seconds"),
        ("Sampled frames", samples[settings.sampling]),
        ("Cut", "without encoding, at keyframes where possible" if settings.lossless else "to the frame, encoded again"),
        ("Value of a shot", "mean arousal x length" if settings.value == "integral" else "mean arousal"),
        ("Length of a shot", f"{settings.min_shot_s:g} to {settings.max_shot_s:g} s"),
    ]
    for name, ranges in (("Kept in any case", settings.keep), ("Left out in any case", settings.drop)):
        pairs += [(name, ", ".join(format_range(one.start_s, one.end_s) for one in ranges))] if ranges else []
    rate = f"{float(info.rate):.3f}".rstrip("0").rstrip(".")
    return [*pairs, ("Source", f"{info.video.width} x {info.video.height}, {rate} frames a second, {info.container.split(',')[0]}")]
