"""docs/plan.schema.json and docs/recipe.schema.json from the models that check the files.

python -m tests.helpers.json_schemas docs
"""

import json
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from pydantic.json_schema import GenerateJsonSchema

from mmvatool.plan.document import DOCUMENT
from trainer.recipe import Recipe

DOCS = Path(__file__).parents[2] / "docs"
PLAN = "plan.schema.json"
RECIPE = "recipe.schema.json"


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """The name of each file: the schema in it."""
    plan, recipe = DOCUMENT.json_schema(schema_generator=_Untitled), Recipe.model_json_schema(schema_generator=_Untitled)
    about = {
        PLAN: {"title": "Plan of mmvatool", "description": "What `mmvatool render` renders."},
        RECIPE: {"title": "Recipe of mmvatool", "description": "What `mmvatool train` trains."},
    }
    return {
        name: {"$schema": GenerateJsonSchema.schema_dialect, **schema, **about[name]} for name, schema in ((PLAN, plan), (RECIPE, recipe))
    }


def text(schema: dict[str, Any]) -> str:
    """The content of a file."""
    return json.dumps(schema, indent=2) + "\n"


def validator(name: str) -> Draft202012Validator:
    """Of the file in docs/, as an editor has it."""
    schema = json.loads((DOCS / name).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


if __name__ == "__main__":
    for file, content in schemas().items():
        (Path(sys.argv[1]) / file).write_text(text(content), encoding="utf-8")
