import json
import tomllib
from pathlib import Path

import pytest

from tests.helpers import json_schemas
from trainer import recipe as recipes
from trainer.errors import RecipeError

SCHEMA = json_schemas.validator(json_schemas.RECIPE)
FOLDER = Path(recipes.__file__).parents[1] / "recipes"


def test_the_recipes_that_come_along() -> None:
    assert recipes.names() == ["compact", "compact-pretrain", "mmva", "mmva-no-random-matching", "mmva-no-similarity", "mmva-open"]
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipe.name == name
        text = (FOLDER / f"{name}.toml").read_text()
        assert f"mmvatool train {name} " in text.splitlines()[0]
        SCHEMA.validate(tomllib.loads(text))


def test_mmva_is_the_paper() -> None:
    recipe = recipes.load("mmva")
    train = recipe.train
    assert (train.epochs, train.batch_size, train.lr, train.weight_decay, train.betas) == (1000, 128, 3e-4, 0.01, (0.9, 0.999))
    assert {modality: spec["name"] for modality, spec in recipe.towers.items()} == {"image": "clip", "music": "mert", "text": "roberta"}
    assert recipe.model.similarity
    assert recipe.model.dropout == 0.5
    assert recipes.load("mmva-no-random-matching").pairs.matching == "imemnet"
    assert not recipes.load("mmva-no-similarity").model.similarity


def test_a_change_is_read_as_toml_or_as_text() -> None:
    recipe = recipes.load("mmva", ["train.epochs=20", "towers.music.source=/a folder/mert", 'train.finetune=["image"]', "train.lr=1"])
    assert recipe.train.epochs == 20
    assert recipe.towers["music"]["source"] == "/a folder/mert"
    assert recipe.train.finetune == ("image",)
    assert recipe.train.lr == 1.0


def test_json_gives_the_recipe_back() -> None:
    recipe = recipes.load("compact", ["train.epochs=3"])
    assert recipes.from_json(recipe.to_json()) == recipe
    SCHEMA.validate(json.loads(recipe.to_json()))


def test_the_json_stays_as_it_is_in_checkpoints() -> None:
    """A resumed run compares it with the one that it began with."""
    assert recipes.load("compact-pretrain", ["train.lr=1", "train.betas=[0, 0.5]", "data.cache=false"]).to_json() == (
        '{"data": {"arousal_weight": {}, "cache": false, "fractions": [0.8, 0.05, 0.15], "labels": "given", "split": "track", '
        '"split_seed": 0}, "distill": {"crops": 2, "hold_out_every": 20, "least_crop": 0.25}, '
        '"model": {"dropout": 0.5, "similarity": false}, "name": "compact-pretrain", '
        '"pairs": {"distinct": {}, "matching": "random", "shares": {}}, "start": {}, '
        '"towers": {"image": {"input_px": 208, "name": "compact"}}, '
        '"train": {"backbone_lr": 5e-05, "batch_size": 32, "betas": [0.0, 0.5], "calibrate": false, "clip_norm": 1.0, '
        '"deterministic": false, "ema": 0.99, "epochs": 1, "finetune": [], "freeze_batch_norm": false, "lr": 1.0, "mixup": 0.0, '
        '"precision": "auto", "save_every_s": 60.0, "seed": 0, "validate_every": 1, "weight_decay": 0.01}}'
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.epoch=3", "train.epoch: unknown key: allowed are epochs, batch_size"),
        ("trian.epochs=3", "trian: unknown key: allowed are name, towers, start, model, data, pairs, train"),
        ("train.epochs=ten", 'train.epochs: "ten": must be a whole number from 1 to 1000000'),
        ("train.epochs=true", "train.epochs: true: must be a whole number from 1"),
        ("train.epochs=0", "train.epochs: 0: must be a whole number from 1"),
        ("train.lr=nan", "train.lr: NaN: must be a number from 1e-09 to 10"),
        ("train.betas=[0.9]", "train.betas: [0.9]: must be a list of 2, each a number from 0 to 0.999999"),
        ("train.betas=[0.9, 1.0]", "train.betas[1]: 1.0: must be a number from 0 to 0.999999"),
        ("train.finetune=image", 'train.finetune: "image": must be a list, each one of image, music, text'),
        ('train.finetune=["sound"]', 'train.finetune[0]: "sound": must be one of image, music, text'),
        ("towers.image.name=vgg", 'towers.image.name: "vgg": must be one of clip, compact'),
        ("towers.image.input_px=64", "towers.image.input_px: unknown key: allowed are name, source, pretrained"),
        ("towers.music.pool=max", 'towers.music.pool: "max": must be one of first, mean'),
        ("towers.video.name=x", "towers.video: unknown key: allowed are image, music, text"),
        ("towers.image=3", "towers.image: 3: must be a table"),
        ("data.fractions=[0.5, 0.6, 0.1]", "data.fractions: [0.5, 0.6, 0.1]: must be three above 0"),
        ("data.split=song", 'data.split: "song": must be one of track, clip, all'),
        ("pairs.matching=all", 'pairs.matching: "all": must be one of random, imemnet, zhao2020'),
        ("model.similarity=1", "model.similarity: 1: must be true or false"),
        ("train.epochs=1.0", "train.epochs: 1.0: must be a whole number"),
        ('train.lr="1"', 'train.lr: "1": must be a number'),
        ("train.lr=2020-01-01", 'train.lr: "2020-01-01": must be a number'),
        ("model=[]", "model: []: must be a table"),
        ("pairs.shares=[]", "pairs.shares: []: must be a table"),
        ("pairs.distinct.video=3", "pairs.distinct.video: unknown key: allowed are image, music, text"),
        ("start.music=compact", "start.music: unknown key: allowed are image"),
        ("towers.image={}", "towers.image.name: is missing: give one of clip, compact"),
        ("name=3", "name: 3: must be text"),
    ],
)
def test_what_is_wrong_is_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("mmva", [change])
    assert str(caught.value).startswith(f"{FOLDER / 'mmva.toml'}: {message}")
    assert "\n" not in str(caught.value)
    assert SCHEMA.is_valid(changed("mmva", change)) == (change in ONLY_READ)


# What a JSON Schema cannot say, though the reader does: to a schema 1.0 is a whole number.
ONLY_READ = ("train.lr=nan", "data.fractions=[0.5, 0.6, 0.1]", "train.epochs=1.0")


def changed(name: str, change: str) -> dict:
    """The recipe as a file has it, with a change."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    recipes._set(table, change)
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs", "--set 'epochs': must be key=value"),
        ("name.x=1", "--set 'name.x=1': name is not a table"),
    ],
)
def test_what_is_no_change(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("mmva", [change])
    assert message in str(caught.value)


ALONE = '[towers.image]\nname = "compact"\n'
UNLIKE = "[model]\nsimilarity = false\n"


@pytest.mark.parametrize(
    ("text", "message", "in_schema"),
    [
        (ALONE, "model.similarity: the similarity predictor needs all of image, music, text", False),
        (ALONE + UNLIKE + '[pairs]\nmatching = "zhao2020"\n', "pairs.matching: 'zhao2020' needs an image", False),
        (
            '[towers.text]\nname = "compact"\n' + UNLIKE + '[train]\nfinetune = ["text"]\n',
            "train.finetune: 'text': its tower is 'compact': only compact (image), clip (image), mert (music), roberta (text) have a backbone",
            False,
        ),
        (ALONE + UNLIKE + '[pairs]\nmatching = "zhao2020"\n[train]\nmixup = 0.4', "train.mixup, pairs.shares and pairs.distinct go with", False),
        ('[towers.image]\nname = "clip"\n' + UNLIKE + '[start]\nimage = "compact"', "start.image: only an image tower named 'compact' can", False),
        ('[towers.text]\nname = "compact"\n' + UNLIKE + "[distill]\n", "distill: only an image tower named 'compact', alone, can", False),
        (ALONE + '[start]\nmusic = "compact"\n' + UNLIKE, "start.music: unknown key: allowed are image", True),
        (ALONE + UNLIKE + '[pairs]\nshares = { a = "much" }\n', 'pairs.shares.a: "much": must be a number of at least 0', True),
        ("", "towers: is missing: give a table", True),
        ("[towers]", "towers: at least one of image, music, text", True),
    ],
)  # fmt: skip
def test_parts_must_fit_together(tmp_path: Path, text: str, message: str, in_schema: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        recipes.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert SCHEMA.is_valid(tomllib.loads(text)) == (not in_schema)


def test_a_file_of_ones_own_gives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(ALONE + UNLIKE)
    assert recipes.load(path).name == "mine"
    path.write_text("[towers")
    with pytest.raises(RecipeError, match="not readable as TOML"):
        recipes.load(path)


def test_an_unknown_recipe_is_answered_with_the_known() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'mmvb': give compact, compact-pretrain, mmva, .*, or the path of a .toml file"):
        recipes.load("mmvb")
