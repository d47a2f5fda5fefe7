"""`mmvatool dataset`: the trainer's command."""

from mmvatool.cli.console import then_suggest
from trainer import dataset_command as dataset

__all__ = ["dataset"]

for _name, _recipe in (("imemnet-c", "mmva"), ("open", "mmva-open")):
    then_suggest(
        dataset.commands[_name],
        lambda given, recipe=_recipe: [  # type: ignore[misc]
            ("train on it", ["mmvatool", "train", recipe, "--data", given["out"], "--out", f"runs/{recipe}"])
        ],
    )
