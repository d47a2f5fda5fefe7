"""Layouts of channels, by libav's names: which an encoder can write, and which channel of one is which of another."""

from collections.abc import Sequence

import av

OPUS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
# Besides the standard's own, those that ffmpeg's encoder describes by a "program config element". It writes sides as backs.
AAC = (
    "mono", "stereo", "2.1", "3.0", "3.0(back)", "4.0", "quad", "quad(side)", "3.1", "5.0", "5.0(side)", "4.1", "5.1", "5.1(side)", "6.0",
    "6.0(front)", "hexagonal", "6.1", "6.1(back)", "6.1(front)", "7.0", "7.0(front)", "7.1", "7.1(wide)", "7.1(wide-side)", "octagonal",
)  # fmt: skip
CODED = {"aac": AAC, "libopus": OPUS}


def placed(layout: str) -> bool:
    """Whether it is known where the channels of a layout are."""
    return not layout.endswith(" channels") and not layout.startswith("ambisonic")


def channels(layout: str) -> int:
    """The number of channels of a layout."""
    return int(av.AudioLayout(layout).nb_channels)


def places(layout: str) -> list[str]:
    """The place of each channel; the sides are the backs where a layout has not both: 5.1 has backs on discs and sides on television."""
    names = [str(channel.name) for channel in av.AudioLayout(layout).channels]
    backs = {"SL": "BL", "SR": "BR"} if not {"BL", "BR"} & {*names} else {}
    return [backs.get(name, name) for name in names]


def copied(given: str, layout: str) -> list[int | None] | None:
    """Which channel of a given layout each of another is, None where it is silent; None in all where some would be left out.

    Mono is each of two loudspeakers.
    """
    if not placed(given) or not placed(layout):
        return None
    if (given, layout) == ("mono", "stereo"):
        return [0, 0]
    from_places, to_places = places(given), places(layout)
    if not {*from_places} <= {*to_places}:
        return None
    return [from_places.index(place) if place in from_places else None for place in to_places]


def coded(layout: str, encoder: str) -> str:
    """The layout to encode sound of a layout in: its own, or the smallest with most of its channels, and if possible room for all.

    Channels that have no place get the usual ones for their number; of more than eight the mean is heard in two.
    """
    count = channels(layout)
    if not placed(layout):
        return next((name for name in OPUS if channels(name) >= count), "stereo")
    if layout in CODED[encoder]:
        return layout
    given = {*places(layout)}
    return max(CODED[encoder], key=lambda name: (len(given & {*places(name)}), channels(name) >= count, -channels(name)))


def widest(layouts: Sequence[str]) -> str:
    """The one with the most channels, the first of several."""
    return max(layouts, key=channels)


def alike(layout: str, other: str) -> bool:
    """Whether two layouts differ in the names of backs and sides only, or one has as many channels and no places."""
    if not placed(layout) or not placed(other):
        return channels(layout) == channels(other)
    return sorted(places(layout)) == sorted(places(other))
