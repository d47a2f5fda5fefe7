"""Recipes: TOML files that describe training runs, checked completely before any data is read.

name = "mmva"
[towers.image]  name, and the settings of that tower (`trainer.model.towers.TOWERS`)
[towers.music]
[towers.text]
[start]         modality -> a checkpoint (a path, or the name of a bundled one) whose backbone initialises its tower
[classes]       pretrain the image tower on classes of pictures instead
[model] [data] [pairs] [train]  see the dataclasses below for keys and defaults
"""

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.constants import MODALITIES, SPLIT_BY, TRAIN_PRECISIONS
from trainer.errors import RecipeError
from trainer.model.towers import BACKBONES, TOWERS, Setting, TowerSpec

# Recipes are beside this file in a wheel, at the top in a checkout.
_FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[1] / "recipes")


def _of(default: Any, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    rule = Setting(type(default), low, high, choices)
    return field(default_factory=lambda: default, metadata={"rule": rule})


@dataclass(frozen=True)
class ModelRecipe:
    """The heads."""

    similarity: bool = _of(True)  # whether there is a similarity predictor
    dropout: float = _of(0.5, 0, 0.95)


@dataclass(frozen=True)
class DataRecipe:
    """Split, labels and feature cache of the data."""

    # "clip" leaks windows of one track into the test split; "all" trains and tests on everything.
    split: str = _of("track", choices=SPLIT_BY)
    fractions: tuple[float, ...] = _of((0.8, 0.05, 0.15), 0, 1)  # train, val, test
    split_seed: int = _of(0, 0, 2**31)
    cache: bool = _of(True)
    labels: str = _of("given", choices=("given", "standard"))  # "standard": the same mean and spread for every source


@dataclass(frozen=True)
class PairsRecipe:
    """Which image goes with which clip."""

    matching: str = _of("random", choices=("random", "imemnet", "zhao2020"))
    # source -> how often its rows are drawn, relative to other sources of its modality
    shares: dict[str, float] = field(default_factory=dict, metadata={"rule": Setting(dict, 0)})
    # modality -> number of distinct rows per step, each in several pairs: fewer epochs over a small set
    distinct: dict[str, float] = field(default_factory=dict, metadata={"rule": Setting(dict, 1)})


@dataclass(frozen=True)
class TrainRecipe:
    """The optimisation."""

    epochs: int = _of(1000, 1, 1_000_000)
    batch_size: int = _of(128, 1, 1_000_000)  # of all processes together
    lr: float = _of(3e-4, 1e-9, 10)
    backbone_lr: float = _of(1e-5, 1e-9, 10)  # of fine-tuned backbones
    weight_decay: float = _of(0.01, 0, 10)
    betas: tuple[float, ...] = _of((0.9, 0.999), 0, 0.999999)
    clip_norm: float = _of(1.0, 1e-6, 1e6)
    seed: int = _of(0, 0, 2**31)
    precision: str = _of("auto", choices=TRAIN_PRECISIONS)  # autocast; auto: bf16 on a GPU, else float32
    finetune: tuple[str, ...] = _of((), choices=MODALITIES)
    freeze_batch_norm: bool = _of(False)
    mixup: float = _of(0.0, 0, 10)  # alpha of mixup's Beta distribution, for images and clips; 0: none
    ema: float = _of(0.0, 0, 0.99999)  # decay of the moving average of the weights that is evaluated and saved; 0: none
    deterministic: bool = _of(False)
    validate_every: int = _of(1, 1, 1_000_000)  # epochs
    save_every_s: float = _of(60.0, 0, 1e6)
    calibrate: bool = _of(False)  # after training: cross-validate, calibrate the heads, write an 8-bit copy


@dataclass(frozen=True)
class ClassesRecipe:
    """Pretraining on classes of pictures (`trainer.pretrain`)."""

    label_smoothing: float = _of(0.1, 0, 0.9)
    least_crop: float = _of(0.25, 0.01, 1)  # area of the smallest crop, as a fraction of the picture
    hold_out_every: int = _of(20, 2, 1_000_000)  # every n-th picture is held out


@dataclass(frozen=True)
class Recipe:
    """One training run, checked."""

    name: str
    towers: dict[str, TowerSpec]
    model: ModelRecipe
    data: DataRecipe
    pairs: PairsRecipe
    train: TrainRecipe
    start: dict[str, str] = field(default_factory=dict)
    classes: ClassesRecipe | None = None

    def to_json(self) -> str:
        """The recipe with all defaults as one line of JSON."""
        table = dataclasses.asdict(self)
        return json.dumps({key: value for key, value in table.items() if value is not None}, sort_keys=True)


_SECTIONS = {"model": ModelRecipe, "data": DataRecipe, "pairs": PairsRecipe, "train": TrainRecipe}


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
    _refuse_unknown(table, ("name", "towers", "start", *_SECTIONS, "classes"), where, "")
    name = _checked(table.get("name", Path(where).stem), Setting(str), f"{where}: name")
    towers_table = _table(table.get("towers", {}), f"{where}: towers")
    _refuse_unknown(towers_table, MODALITIES, where, "towers.")
    if not towers_table:
        raise RecipeError(f"{where}: towers: at least one of {', '.join(MODALITIES)} is needed")
    towers = {modality: _tower(modality, towers_table[modality], where) for modality in MODALITIES if modality in towers_table}
    sections = {key: _section(kind, table.get(key, {}), where, key) for key, kind in _SECTIONS.items()}
    start = _table(table.get("start", {}), f"{where}: start")
    _refuse_unknown(start, tuple(towers), where, "start.")
    for modality in start:
        if (modality, towers[modality]["name"]) != ("image", "compact"):
            raise RecipeError(f"{where}: start.{modality}: only an image tower named 'compact' can start from a checkpoint")
    starts = {modality: _checked(value, Setting(str), f"{where}: start.{modality}") for modality, value in start.items()}
    classes = _section(ClassesRecipe, table["classes"], where, "classes") if "classes" in table else None
    recipe = Recipe(name, towers, **sections, start=starts, classes=classes)
    _check_together(recipe, where)
    return recipe


def _check_together(recipe: Recipe, where: str) -> None:
    if recipe.classes is not None and recipe.towers != {"image": {**recipe.towers.get("image", {}), "name": "compact"}}:
        raise RecipeError(f"{where}: classes: only an image tower named 'compact', alone, can be pretrained on classes")
    if recipe.model.similarity and set(recipe.towers) != set(MODALITIES):
        raise RecipeError(f"{where}: model.similarity: the similarity predictor needs all of {', '.join(MODALITIES)}: set it to false")
    fractions = recipe.data.fractions
    if len(fractions) != 3 or not math.isclose(sum(fractions), 1, abs_tol=1e-6) or min(fractions) == 0:
        raise RecipeError(f"{where}: data.fractions: {list(fractions)}: must be three above 0 (train, val, test) that add up to 1")
    if len(recipe.train.betas) != 2:
        raise RecipeError(f"{where}: train.betas: {list(recipe.train.betas)}: must be two numbers")
    for modality in recipe.train.finetune:
        tower = recipe.towers.get(modality, {}).get("name")
        if (modality, tower) not in BACKBONES:
            having = ", ".join(f"{name} ({kind})" for kind, name in BACKBONES)
            raise RecipeError(f"{where}: train.finetune: {modality!r}: its tower is {tower!r}: only {having} have a backbone to fine-tune")
    if recipe.pairs.matching != "random" and (recipe.train.mixup or recipe.pairs.shares or recipe.pairs.distinct):
        raise RecipeError(
            f"{where}: train.mixup, pairs.shares and pairs.distinct go with pairs.matching 'random' alone, not {recipe.pairs.matching!r}"
        )
    _refuse_unknown(recipe.pairs.distinct, MODALITIES, where, "pairs.distinct.")
    if recipe.pairs.matching != "random" and not {"image", "music"} <= set(recipe.towers):
        raise RecipeError(f"{where}: pairs.matching: {recipe.pairs.matching!r} needs an image and a music tower: use 'random'")


def _tower(modality: str, value: Any, where: str) -> TowerSpec:
    table = _table(value, f"{where}: towers.{modality}")
    kinds = TOWERS[modality]
    name = _checked(table.get("name", ""), Setting(str, choices=tuple(kinds)), f"{where}: towers.{modality}.name")
    settings = kinds[name]
    _refuse_unknown(table, ("name", *settings), where, f"towers.{modality}.")
    checked = {key: _checked(table[key], settings[key], f"{where}: towers.{modality}.{key}") for key in table if key != "name"}
    return {"name": name, **checked}


def _section(kind: type, value: Any, where: str, name: str) -> Any:
    table = _table(value, f"{where}: {name}")
    rules: dict[str, Setting] = {item.name: item.metadata["rule"] for item in dataclasses.fields(kind)}
    _refuse_unknown(table, tuple(rules), where, f"{name}.")
    return kind(**{key: _checked(table[key], rules[key], f"{where}: {name}.{key}") for key in table})


def _checked(value: Any, rule: Setting, what: str) -> Any:
    if rule.kind is tuple:
        if not isinstance(value, (list, tuple)):
            raise RecipeError(f"{what}: {value!r}: must be a list")
        return tuple(_checked(item, Setting(str if rule.choices else float, rule.low, rule.high, rule.choices), what) for item in value)
    if rule.kind is dict:
        table = _table(value, what)
        return {key: _checked(item, Setting(float, rule.low, rule.high), f"{what}.{key}") for key, item in table.items()}
    if rule.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = type(value) is rule.kind and not (isinstance(value, float) and not math.isfinite(value))
    if right and isinstance(value, (int, float)):
        right = (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)
    if not right or (rule.choices and value not in rule.choices):
        raise RecipeError(f"{what}: {value!r}: must be {_KINDS[rule.kind]}{_allowed(rule)}")
    return value


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table of numbers"}


def _allowed(rule: Setting) -> str:
    if rule.choices:
        return f", one of {', '.join(rule.choices)}"
    if rule.low is None:
        return ""
    return f" from {rule.low:g} to {rule.high:g}" if rule.high is not None else f" of at least {rule.low:g}"


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{what}: {value!r}: must be a table")
    return value


def _refuse_unknown(table: Mapping[str, Any], allowed: Iterable[str], where: str, prefix: str) -> None:
    for key in table:
        if key not in allowed:
            raise RecipeError(f"{where}: {prefix}{key}: unknown key: allowed are {', '.join(allowed)}")


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
