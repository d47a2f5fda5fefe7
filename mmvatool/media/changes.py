"""The change (shot boundary) between two frames of a video: a likely one from the packet sizes, or the exact one by decoding."""

from collections.abc import Iterator, Sequence

import numpy as np

from mmvatool.media.probe import MediaInfo
from mmvatool.media.sampling import Sampler, keyframes

# A frame with so many times the bytes of the large ones around it is a change.
STANDS_OUT = 2.0
AROUND_S = 4.0
# Encoders put a keyframe at a change: one that comes this much earlier than usual was put there.
EARLY = 0.9
SHORT_S = 1.1  # a group of pictures so short that its keyframe is close enough
# Decoded first is so much around the likely change. A difference so many times as large as all others there is an abrupt change.
REACH_S = 0.2
CUT = 3.0
LEAST_REACH = 3  # frames: among fewer no difference can stand out


def exact_changes(info: MediaInfo, spans: Sequence[tuple[int, int]]) -> list[int]:
    """The frame in each span at which the shot changes.

    The frames around the likely change are decoded first: an abrupt change there is taken. Only where there is none the whole span is
    decoded, and the change is the frame that differs most from the one before it; the middle where none differs, or none can be decoded.

    Args:
        info: the probed video.
        spans: frames (first, last), first < last; the change is in first + 1..last.
    """
    reach = max(LEAST_REACH, round(REACH_S * info.rate))
    likely = {index: likely_change(info, *span) for index, span in enumerate(spans)}
    near = {
        index: (max(spans[index][0], frame - reach), min(spans[index][1], frame + reach))
        for index, frame in likely.items()
        if frame is not None
    }
    changes: dict[int, int] = {}
    for index, steps in zip(near, _steps(info, [*near.values()]), strict=True):
        largest = int(steps.argmax())
        if steps[largest] > CUT * max(1.0, np.delete(steps, largest).max(initial=0.0)):
            changes[index] = near[index][0] + 1 + largest
    remaining = [index for index in range(len(spans)) if index not in changes]
    for index, steps in zip(remaining, _steps(info, [spans[index] for index in remaining]), strict=True):
        changes[index] = spans[index][0] + 1 + (int(steps.argmax()) if steps.max() > 0 else len(steps) // 2)
    return [changes[index] for index in range(len(spans))]


def _steps(info: MediaInfo, spans: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """For each span (first, last), how much its frames first + 1..last differ from the ones before them, in levels of 255."""
    if not spans:
        return
    wanted = np.unique(np.concatenate([np.arange(first, last + 1) for first, last in spans]))
    sampler = Sampler(info, rough=True)
    differences, before = [], None
    for frame in sampler.read(wanted):
        now = frame.astype(np.int16)
        differences.append(0.0 if before is None else float(np.abs(now - before).mean()))
        before = now
    decoded = np.array(sampler.decoded, np.int64)
    steps = np.zeros(len(wanted))
    steps[decoded] = differences
    for first, last in spans:
        index = int(np.searchsorted(wanted, first))
        inside = steps[index + 1 : index + 1 + last - first].copy()
        next_decoded = int(np.searchsorted(decoded, index))
        if next_decoded < len(decoded) and index < decoded[next_decoded] <= index + last - first:
            inside[decoded[next_decoded] - index - 1] = (
                0.0  # its first frame is damaged: this one was compared with a frame of another span
            )
        yield inside


def likely_change(info: MediaInfo, first: int, last: int) -> int | None:
    """The frame in first + 1..last at which the shot changes, estimated from the packet sizes, without decoding.

    Candidates are a frame inside a group of pictures with many more bytes than those around it, a keyframe that comes earlier than usual,
    and a keyframe with many more or fewer bytes than the one before. Without a candidate the change is a gradual one, for which the
    keyframe nearest to the middle will do if keyframes are a second apart.

    Returns:
        None: the sizes do not show it: there is no candidate and groups are long, or (nearly) all frames are keyframes.
    """
    within = np.arange(first + 1, last + 1)
    keys = keyframes(info)
    around = np.flatnonzero(np.abs(info.times_s - info.times_s[first]) <= AROUND_S)
    plain = np.setdiff1d(around, keys)
    if len(plain) < len(around) / 2:
        return None
    sizes = np.maximum(info.sizes, 1).astype(np.float64)
    novelty = np.log(sizes[within] / np.quantile(sizes[plain], 0.9))
    inner = np.flatnonzero(np.isin(keys, within))
    novelty[keys[inner] - first - 1] = 0.0
    usual_s = np.inf
    if len(keys) > 1:
        usual_s = float(np.quantile(np.diff(info.times_s[keys]), 0.9))
        for key, before in zip(keys[inner], keys[inner - 1], strict=True):
            length_s = info.times_s[key] - info.times_s[before]
            early = length_s < EARLY * usual_s
            group = novelty[max(0, before - first) : key - first - 1]
            # A change in the group before makes the keyframe after it differ from the last one, too.
            if length_s > 0 and (early or (length_s <= SHORT_S and group.max(initial=0.0) < np.log(STANDS_OUT))):
                novelty[key - first - 1] = abs(np.log(sizes[key] / sizes[before])) + early * np.log(STANDS_OUT)
    if novelty.max() >= np.log(STANDS_OUT):
        return int(within[novelty.argmax()])
    if not len(inner) or usual_s > SHORT_S:
        return None
    middle_s = (info.times_s[first] + info.times_s[last]) / 2
    return int(keys[inner][np.abs(info.times_s[keys[inner]] - middle_s).argmin()])
