"""Recipes: TOML files that describe training runs, checked completely before any data is read.

The models below are what may stand in one; docs/recipe.schema.json is made from them.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetPydanticSchema, Strict, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import core_schema
from typing_extensions import TypedDict

from trainer.constants import MODALITIES, SPLIT_BY, TRAIN_PRECISIONS
from trainer.errors import RecipeError
from trainer.model.towers import BACKBONES, POOLS, TowerSpec
from trainer.problems import first_problem

# Recipes are beside this file in a wheel, at the top in a checkout.
_FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[1] / "recipes")
_LIST = Strict(False)  # TOML and JSON have lists, no tuples


def _one_of(*choices: str) -> GetPydanticSchema:
    return GetPydanticSchema(lambda *_: core_schema.literal_schema(list(choices)))


def _without_default(rule: dict[str, Any]) -> None:
    del rule["default"]  # TOML has no null


def _parts_of_one(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if not math.isclose(sum(fractions), 1, abs_tol=1e-6) or min(fractions) == 0:
        raise ValueError(f"{list(fractions)}: must be three above 0 (train, val, test) that add up to 1")
    return fractions


_Modality = Annotated[str, _one_of(*MODALITIES)]
_Pool = Annotated[str, _one_of(*POOLS)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Beta = Annotated[float, Field(ge=0, le=0.999999)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Seed = Annotated[int, Field(ge=0, le=2**31)]
_Rate = Annotated[float, Field(ge=1e-9, le=10)]


class CompactImageTower(TypedDict, total=False):
    """A small EfficientNet, bundled."""

    name: Required[Literal["compact"]]
    """Bundled."""
    input_px: Annotated[int, Field(ge=32, le=512)]
    """Side of the square that pictures are resized to."""


class ClipTower(TypedDict, total=False):
    """CLIP, by open_clip."""

    name: Required[Literal["clip"]]
    """Pretrained."""
    source: str
    """A model of open_clip, or a folder."""
    pretrained: str
    """The tag of its weights."""


class CompactMusicTower(TypedDict, total=False):
    """Features of spectra and rhythm, and a small network."""

    name: Required[Literal["compact"]]
    """Bundled."""
    window_s: Annotated[float, Field(ge=1, le=60)]
    """Length of its windows in seconds."""


class MertTower(TypedDict, total=False):
    """MERT, by transformers."""

    name: Required[Literal["mert"]]
    """Pretrained."""
    source: str
    """A hub name, or a folder."""
    pool: _Pool
    """The first frame, or the mean over time."""


class CompactTextTower(TypedDict, total=False):
    """A lexicon, hashed words and a small network."""

    name: Required[Literal["compact"]]
    """Bundled."""


class RobertaTower(TypedDict, total=False):
    """RoBERTa, by transformers."""

    name: Required[Literal["roberta"]]
    """Pretrained."""
    source: str
    """A hub name, or a folder."""
    pool: _Pool
    """The first token, or the mean over all."""
    max_tokens: Annotated[int, Field(ge=2, le=512)]
    """Longer captions are truncated."""


class Towers(TypedDict, total=False):
    """A tower for each modality; at least one. The defaults of the settings are in the towers."""

    image: Annotated[CompactImageTower | ClipTower, Field(discriminator="name")]
    """Of pictures and frames."""
    music: Annotated[CompactMusicTower | MertTower, Field(discriminator="name")]
    """Of sound."""
    text: Annotated[CompactTextTower | RobertaTower, Field(discriminator="name")]
    """Of words."""


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class ModelRecipe(_Table):
    """The heads."""

    similarity: bool = True
    """Whether there is a similarity predictor, which needs all three towers."""
    dropout: Annotated[float, Field(ge=0, le=0.95)] = 0.5
    """In the heads."""


class DataRecipe(_Table):
    """Split, labels and feature cache of the data."""

    split: Annotated[str, _one_of(*SPLIT_BY)] = "track"
    """By "clip", windows of one track leak into the test split; "all" trains and tests on everything."""
    fractions: Annotated[tuple[_Fraction, _Fraction, _Fraction], _LIST, AfterValidator(_parts_of_one)] = (0.8, 0.05, 0.15)
    """Of train, val and test; they add up to 1."""
    split_seed: _Seed = 0
    """Decides what falls into which split."""
    cache: bool = True
    """Whether features of frozen towers are computed once and kept."""
    labels: Annotated[str, _one_of("given", "standard")] = "given"
    """With "standard", every source has the same mean and spread."""
    arousal_weight: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Source: how much its labels of arousal count in the loss, where they say little; 1 for those not named."""


class PairsRecipe(_Table):
    """Which image goes with which clip."""

    matching: Annotated[str, _one_of("random", "imemnet", "zhao2020")] = "random"
    """Anew in each step, as the data folder lists them, or drawn once."""
    shares: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Source: how often its rows are drawn, relative to other sources of its modality."""
    distinct: dict[_Modality, Annotated[float, Field(ge=1)]] = {}
    """Modality: number of distinct rows per step, each in several pairs, which makes fewer epochs over a small set."""


class TrainRecipe(_Table):
    """The optimisation."""

    epochs: _Count = 1000
    """Passes over the largest modality."""
    batch_size: _Count = 128
    """Of all processes together."""
    lr: _Rate = 3e-4
    """Learning rate."""
    backbone_lr: _Rate = 1e-5
    """Learning rate of fine-tuned backbones."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """AdamW's."""
    betas: Annotated[tuple[_Beta, _Beta], _LIST] = (0.9, 0.999)
    """AdamW's."""
    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    """Longer gradients are shortened to this norm."""
    seed: _Seed = 0
    """Decides the order, the pairs and the dropout."""
    precision: Annotated[str, _one_of(*TRAIN_PRECISIONS)] = "auto"
    """Of autocast; "auto" is bf16 on a GPU, else float32."""
    finetune: Annotated[tuple[_Modality, ...], _LIST] = ()
    """Modalities whose backbones are trained, too."""
    freeze_batch_norm: bool = False
    """Whether batch norms keep their statistics."""
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Alpha of mixup's Beta distribution, for images and clips; 0 is none."""
    ema: Annotated[float, Field(ge=0, le=0.99999)] = 0.0
    """Decay of the moving average of the weights that is evaluated and saved; 0 is none."""
    deterministic: bool = False
    """Whether only deterministic kernels are used."""
    validate_every: _Count = 1
    """Epochs."""
    save_every_s: Annotated[float, Field(ge=0, le=1e6)] = 60.0
    """Seconds between two states for --resume."""
    calibrate: bool = False
    """Afterwards cross-validate, calibrate the heads and write an 8-bit copy."""


class DistillRecipe(_Table):
    """Distillation of the image tower's backbone on pictures without labels (`trainer.distill`)."""

    crops: Annotated[int, Field(ge=1, le=1000)] = 4
    """Parts of each picture that are looked at, of which the first is the whole."""
    least_crop: Annotated[float, Field(ge=0.01, le=1)] = 0.25
    """Area of the smallest of them, as a fraction of the picture."""
    hold_out_every: Annotated[int, Field(ge=2, le=1_000_000)] = 20
    """Every n-th picture is held out."""


class Recipe(_Table):
    """One training run, checked."""

    name: str = ""
    """Short name, shown with results; the file's by default."""
    towers: Annotated[
        dict[str, TowerSpec], GetPydanticSchema(lambda _, schema_of: schema_of(Towers)), Field(json_schema_extra={"minProperties": 1})
    ]
    """A tower for each modality."""
    start: dict[Annotated[str, _one_of("image")], str] = {}
    """Modality: a checkpoint (a path, or the name of a bundled one) whose backbone initialises its tower, a compact one."""
    model: ModelRecipe = ModelRecipe()
    data: DataRecipe = DataRecipe()
    pairs: PairsRecipe = PairsRecipe()
    train: TrainRecipe = TrainRecipe()
    distill: Annotated[DistillRecipe | SkipJsonSchema[None], Field(json_schema_extra=_without_default)] = None

    def to_json(self) -> str:
        """The recipe with all defaults as one line of JSON."""
        return json.dumps(self.model_dump(exclude_none=True), sort_keys=True)

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        towers, random = self.towers, self.pairs.matching == "random"
        kinds = {modality: spec["name"] for modality, spec in towers.items()}
        problem = ""
        if not towers:
            problem = f"towers: at least one of {', '.join(MODALITIES)} is needed"
        elif self.start and kinds.get("image") != "compact":
            problem = "start.image: only an image tower named 'compact' can start from a checkpoint"
        elif self.distill is not None and kinds != {"image": "compact"}:
            problem = "distill: only an image tower named 'compact', alone, can be distilled"
        elif self.model.similarity and set(towers) != set(MODALITIES):
            problem = f"model.similarity: the similarity predictor needs all of {', '.join(MODALITIES)}: set it to false"
        elif wrong := [modality for modality in self.train.finetune if (modality, kinds.get(modality)) not in BACKBONES]:
            having = ", ".join(f"{name} ({kind})" for kind, name in BACKBONES)
            problem = f"train.finetune: {wrong[0]!r}: its tower is {kinds.get(wrong[0])!r}: only {having} have a backbone to fine-tune"
        elif not random and (self.train.mixup or self.pairs.shares or self.pairs.distinct):
            problem = f"train.mixup, pairs.shares and pairs.distinct go with pairs.matching 'random' alone, not {self.pairs.matching!r}"
        elif not random and not {"image", "music"} <= set(towers):
            problem = f"pairs.matching: {self.pairs.matching!r} needs an image and a music tower: use 'random'"
        if problem:
            raise ValueError(problem)
        return self


def names() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.toml")})


def load(recipe: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        recipe: a path, or the name of one that comes with the package, such as "mmva".
        changes: `section.key=value` each, the value as in TOML; text needs no quotes.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, a wrong type, an impossible value.
    """
    path = Path(recipe)
    if not path.is_file():
        path = next((folder / f"{recipe}.toml" for folder in _FOLDERS if (folder / f"{recipe}.toml").is_file()), path)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"no recipe {str(recipe)!r}: give {', '.join(names())}, or the path of a .toml file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path}: not readable as TOML: {error}") from error
    for change in changes:
        _set(table, change)
    return from_table(table, str(path))


def from_json(text: str, changes: Iterable[str] = (), where: str = "recipe") -> Recipe:
    """The recipe from the result of `Recipe.to_json`, with `changes` as for `load`."""
    table = json.loads(text)
    for change in changes:
        _set(table, change)
    return from_table(table, where)


def from_table(table: Mapping[str, Any], where: str) -> Recipe:
    """Check a parsed recipe.

    Raises:
        RecipeError: as for `load`; the message begins with `where` and the key's full name.
    """
    try:
        return Recipe.model_validate({"name": Path(where).stem, **table})
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_problem(error, Recipe.model_json_schema())}") from error


def _set(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change!r}: must be key=value, such as train.epochs=20")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {change!r}: {section} is not a table")
    table[last] = value
