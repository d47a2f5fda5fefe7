from pathlib import Path

import pytest

from trainer import recipe as recipes
from trainer.errors import RecipeError


def test_the_recipes_that_come_along() -> None:
    assert recipes.names() == ["compact", "compact-pretrain", "mmva", "mmva-no-random-matching", "mmva-no-similarity", "mmva-open"]
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipe.name == name
        assert f"mmvatool train {name} " in (Path(recipes.__file__).parents[1] / "recipes" / f"{name}.toml").read_text().splitlines()[0]


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.epoch=3", "train.epoch: unknown key: allowed are epochs, batch_size"),
        ("trian.epochs=3", "trian: unknown key: allowed are name, towers, start, model, data, pairs, train"),
        ("train.epochs=ten", "train.epochs: 'ten': must be a whole number from 1 to"),
        ("train.epochs=true", "train.epochs: True: must be a whole number"),
        ("train.epochs=0", "train.epochs: 0: must be a whole number from 1"),
        ("train.lr=nan", "train.lr: nan: must be a number"),
        ("train.betas=[0.9]", "train.betas: [0.9]: must be two numbers"),
        ("train.betas=[0.9, 1.0]", "train.betas: 1.0: must be a number from 0 to 0.999999"),
        ("train.finetune=image", "train.finetune: 'image': must be a list"),
        ('train.finetune=["sound"]', "train.finetune: 'sound': must be text, one of image, music, text"),
        ("towers.image.name=vgg", "towers.image.name: 'vgg': must be text, one of compact, clip"),
        ("towers.image.input_px=64", "towers.image.input_px: unknown key: allowed are name, source, pretrained"),
        ("towers.music.pool=max", "towers.music.pool: 'max': must be text, one of first, mean"),
        ("towers.video.name=x", "towers.video: unknown key: allowed are image, music, text"),
        ("towers.image=3", "towers.image: 3: must be a table"),
        ("data.fractions=[0.5, 0.6, 0.1]", "data.fractions: [0.5, 0.6, 0.1]: must be three above 0"),
        ("data.split=song", "data.split: 'song': must be text, one of track, clip"),
        ("pairs.matching=all", "pairs.matching: 'all': must be text, one of random, imemnet, zhao2020"),
        ("model.similarity=1", "model.similarity: 1: must be true or false"),
        ("epochs", "--set 'epochs': must be key=value"),
        ("name.x=1", "--set 'name.x=1': name is not a table"),
    ],
)
def test_what_is_wrong_is_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("mmva", [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_must_fit_together(tmp_path: Path) -> None:
    image_alone = '[towers.image]\nname = "compact"\n'
    for text, message in (
        (image_alone, "model.similarity: the similarity predictor needs all of image, music, text"),
        (
            image_alone + '[model]\nsimilarity = false\n[pairs]\nmatching = "zhao2020"\n',
            "pairs.matching: 'zhao2020' needs an image",
        ),
        (
            '[towers.text]\nname = "compact"\n[model]\nsimilarity = false\n[train]\nfinetune = ["text"]\n',
            "only compact (image), clip (image), mert (music), roberta (text) have a backbone to fine-tune",
        ),
        (image_alone + '[start]\nmusic = "compact"\n[model]\nsimilarity = false\n', "start.music: unknown key: allowed are image"),
        (image_alone + '[model]\nsimilarity = false\n[pairs]\nshares = { a = "much" }\n', "pairs.shares.a: 'much': must be a number"),
        ("", "towers: at least one of image, music, text"),
        ("[towers", "not readable as TOML"),
    ):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        with pytest.raises(RecipeError) as caught:
            recipes.load(path)
        assert message in str(caught.value)
    path.write_text(image_alone + "[model]\nsimilarity = false\n")
    assert recipes.load(path).name == "mine"


def test_an_unknown_recipe_is_answered_with_the_known() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'mmvb': give compact, compact-pretrain, mmva, .*, or the path of a .toml file"):
        recipes.load("mmvb")
