"""The plan as a file: what may stand in it, and how it is read. docs/plan.schema.json is made from the models.

An error names the field by its path. Keys that are not known are passed over, so that new ones may come.
"""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainValidator,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import core_schema

from mmvatool.choices import INTERLACED
from mmvatool.errors import PlanError
from mmvatool.media.slideshow import FILLS, LEAST_PX, MOST_PX
from mmvatool.plan.schema import SCHEMA, Fingerprint, Plan, Rendering
from mmvatool.timeline import Clip, Cue, Segment, Timeline
from trainer import first_problem


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a path")
    return text


_RATE = r"^(\d{1,9}/\d{1,9}|\d{1,9}(\.\d{1,9})?)$"


def _rate(text: Any) -> Fraction:
    try:  # by the pattern, as Fraction also takes "1e99999999", on which it computes for hours
        rate = Fraction(text if isinstance(text, str) and re.match(_RATE, text) else 0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise ValueError(f'{json.dumps(text)} is not a rate that can be played: write "25" or "30000/1001"')
    return rate


def _whole(number: Any) -> Any:
    """In JSON 160.0 is the same number as 160."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    Segment(*bounds)
    return bounds


_PathText = Annotated[str, AfterValidator(_path), Field(json_schema_extra={"pattern": "^[^\\u0000]+$"})]
_Affect = Annotated[float, Field(ge=0, le=1)]
_AtLeastZero = Annotated[float, Field(ge=0)]
_Side = Annotated[int, Field(ge=LEAST_PX, le=MOST_PX, multiple_of=2), BeforeValidator(_whole)]
_LIST = Strict(False)  # JSON has lists, no tuples


class _Object(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class PlannedClip(_Object):
    """What is shown."""

    path: _PathText
    """A picture or a video. A relative path starts at the plan's folder."""
    start_s: float
    """Seconds of the result. In a cut it follows from `source`."""
    end_s: float
    """Seconds of the result, where the next clip begins. In a cut it follows from `source`."""
    source: Annotated[tuple[float, float], _LIST, AfterValidator(_in_order)] | None
    """[start, end] in seconds of the video; null for a picture."""
    valence: _Affect
    """For exports."""
    arousal: _Affect
    """For exports."""


class PlannedCue(_Object):
    """Music. Neighbouring cues overlap where they are crossfaded."""

    path: _PathText
    """A track. A relative path starts at the plan's folder."""
    start_s: _AtLeastZero
    """Seconds of the result."""
    end_s: _AtLeastZero
    """Seconds of the result."""
    offset_s: _AtLeastZero
    """Where in the track it begins, in seconds; a track that ends too soon begins again."""
    distance: _AtLeastZero
    """From the visuals, in VA."""
    score: float | None
    """Eq. 1 of the MMVA paper; null for a model without a sigma."""


class PlannedTimeline(_Object):
    """What is shown and heard."""

    clips: list[PlannedClip] = Field(min_length=1)
    """In order."""
    cues: list[PlannedCue]
    """The music; none in a cut."""


class PlannedFile(_Object):
    """A file as it was when the plan was made."""

    path: _PathText
    """A relative path starts at the plan's folder."""
    size: Annotated[int, Field(ge=0), BeforeValidator(_whole)]
    """Bytes."""
    blake2b: str
    """The BLAKE2b hash of the content, 20 bytes, in hexadecimal digits."""


class PictureSettings(_Object):
    """How a picture that must be encoded is."""

    interlaced: Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(INTERLACED)))] = "deinterlace"
    """Whether the fields of interlaced video become whole frames, or stay."""
    to_sdr: bool = False
    """Whether HDR becomes SDR."""


class CutSettings(PictureSettings):
    """How a cut is rendered."""

    chapters: bool
    """Whether there is one for each clip instead of the source's own."""
    lossless: bool
    """Whether packets are copied; bounds move to keyframes where nothing can be encoded."""


class MusicSettings(_Object):
    """How music is put below a picture."""

    duck: bool
    """Whether the video's own sound stays, and lowers the music."""
    lufs: float = Field(ge=-70, le=-5)
    """Integrated loudness."""


class SoundtrackSettings(MusicSettings, PictureSettings):
    """How music is put below a video, whose picture is encoded only where it cannot be copied."""


class SlideshowSettings(MusicSettings):
    """How a slideshow is rendered."""

    size: Annotated[tuple[_Side, _Side], _LIST]
    """[width, height] in pixels."""
    rate: Annotated[Fraction, PlainValidator(_rate), WithJsonSchema({"type": "string", "pattern": _RATE})]
    """Frames a second, as a fraction: 25, 30000/1001."""
    fill: Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(FILLS)))]
    """What surrounds a picture of another aspect ratio."""
    crossfade_s: _AtLeastZero
    """Seconds; 0 for hard cuts."""
    still: bool
    """Whether pictures do not move."""


class _Document(_Object):
    schema_: Literal["mmvatool.plan/1"] = Field(alias="schema")
    """The format; another number is refused."""
    timeline: PlannedTimeline
    files: list[PlannedFile]
    """Each file that is read."""


class CutDocument(_Document):
    """Segments of one video, in order and without overlap."""

    kind: Literal["cut"]
    """Segments of one video."""
    settings: CutSettings


class SlideshowDocument(_Document):
    """Pictures and clips with music, each clip beginning where the one before ends."""

    kind: Literal["slideshow"]
    """Pictures and clips with music."""
    settings: SlideshowSettings


class SoundtrackDocument(_Document):
    """A whole video, its picture copied, with music."""

    kind: Literal["soundtrack"]
    """A video with music."""
    settings: SoundtrackSettings


_Any = CutDocument | SlideshowDocument | SoundtrackDocument
DOCUMENT: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="kind")])


def read(path: Path) -> Plan:
    """Read a plan. Relative paths in it start at its folder, as `path` names it.

    Raises:
        PlanError: the file cannot be read, is no plan, or a field is wrong; the field's path is named.
    """
    try:
        given = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(path, f"cannot be read ({error.strerror}): name a plan that --plan wrote") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(path, f"is not JSON ({error}): name a plan that --plan wrote") from error
    if not isinstance(given, dict):
        raise PlanError(path, "is not a plan: name one that --plan wrote")
    if given.get("schema", SCHEMA) != SCHEMA:
        raise PlanError(path, f"schema: {given['schema']!r} is not {SCHEMA!r}: make the plan again with --plan")
    try:
        document = DOCUMENT.validate_python(given)
    except ValidationError as error:
        raise PlanError(path, first_problem(error, DOCUMENT.json_schema(), "an object")) from error
    folder, timeline = path.parent, document.timeline
    clips = [Clip(folder / clip.path, clip.start_s, clip.end_s, clip.source and Segment(*clip.source)) for clip in timeline.clips]
    cues = [Cue(folder / cue.path, cue.start_s, cue.end_s, cue.offset_s, cue.distance, cue.score) for cue in timeline.cues]
    return Plan(
        document.kind,
        Timeline(tuple(clips), tuple(cues)),
        tuple((clip.valence, clip.arousal) for clip in timeline.clips),
        {folder / file.path: Fingerprint(file.size, file.blake2b) for file in document.files},
        Rendering(**dict(document.settings)),
    )
