"""A timeline of OpenTimelineIO as Final Cut Pro's XML (FCPXML 1.8).

Written here and not by OpenTimelineIO's adapter, which knows a few rates in two decimals (23.98), rounds every time down to whole frames of whole
rates, and asks an ffprobe for sizes. All times are exact fractions of a second, whole frames of the timeline's rate.
"""

from fractions import Fraction
from typing import Any
from xml.etree import ElementTree as ET

from opentimelineio import schema


def fcpxml(timeline: Any, rate: Fraction) -> str:
    """The XML of a timeline: one track of pictures, the spine; further tracks of audio, connected to the clips that they play under.

    Args:
        timeline: of OpenTimelineIO; every clip with a source range at `rate`, and an external reference with an available range.
            A clip with the metadata `{"mmvatool": {"still": True}}` is a picture.
        rate: frames a second, exact.
    """
    return _Writer(rate).write(timeline)


class _Writer:
    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._root = ET.Element("fcpxml", version="1.8")
        self._resources = ET.SubElement(self._root, "resources")
        self._assets: dict[str, str] = {}

    def write(self, timeline: Any) -> str:
        ET.SubElement(self._resources, "format", id="r0", frameDuration=f"{self._rate.denominator}/{self._rate.numerator}s")
        total = self._seconds(timeline.duration().value)
        project = ET.SubElement(ET.SubElement(self._root, "event", name=timeline.name), "project", name=timeline.name)
        spine = ET.SubElement(ET.SubElement(project, "sequence", duration=total, format="r0", tcStart="0s", tcFormat="NDF"), "spine")
        first, *others = timeline.tracks
        in_spine = [(clip.range_in_parent(), clip, self._element(clip, clip.range_in_parent().start_time.value)) for clip in first]
        for lane, track in enumerate(others, start=1):
            for clip in track.find_clips():
                start = clip.range_in_parent().start_time
                # The offset of a connected clip is on the clock of the clip that it is connected to.
                parent_range, parent, element = next(item for item in reversed(in_spine) if item[0].start_time <= start)
                offset = parent.source_range.start_time.value + (start - parent_range.start_time).value
                element.append(self._element(clip, offset, lane=-lane))
        for _, clip, element in in_spine:
            for marker in clip.markers:  # in this format they come after the connected clips
                start, length = marker.marked_range.start_time.value, marker.marked_range.duration.value
                ET.SubElement(element, "marker", start=self._seconds(start), duration=self._seconds(length), value=marker.name)
            spine.append(element)
        ET.indent(self._root, "    ")
        return '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n' + ET.tostring(self._root, encoding="unicode") + "\n"

    def _element(self, clip: Any, offset: float, lane: int | None = None) -> ET.Element:
        still = bool(clip.metadata.get("mmvatool", {}).get("still"))
        times = {
            "offset": self._seconds(offset),
            "start": self._seconds(clip.source_range.start_time.value),
            "duration": self._seconds(clip.source_range.duration.value),
        }
        attributes = times if lane is None else times | {"lane": str(lane)}
        asset = self._asset(clip, still)
        if not still:
            return ET.Element("asset-clip", {"name": clip.name, "ref": asset, "format": "r0", **attributes})
        element = ET.Element("clip", {"name": clip.name, "format": "r0", **attributes})
        ET.SubElement(element, "video", name=clip.name, ref=asset, offset=times["start"], start=times["start"], duration=times["duration"])
        return element

    def _asset(self, clip: Any, still: bool) -> str:
        reference = clip.media_reference
        if reference.target_url not in self._assets:
            number = self._assets[reference.target_url] = f"r{len(self._assets) + 1}"
            is_video = clip.parent().kind == schema.TrackKind.Video
            streams = {"hasVideo": "1"} if is_video else {}
            if not is_video or clip.metadata.get("mmvatool", {}).get("sound"):
                streams["hasAudio"] = "1"
            available = reference.available_range
            ET.SubElement(
                self._resources,
                "asset",
                {
                    "id": number,
                    "name": clip.name,
                    "src": reference.target_url,
                    "start": self._seconds(available.start_time.value),
                    "duration": self._seconds(available.duration.value),
                    "format": "r0",
                    **streams,
                },
            )
        return self._assets[reference.target_url]

    def _seconds(self, frames: float) -> str:
        time = Fraction(round(frames)) / self._rate
        return f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"
