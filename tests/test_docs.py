"""docs/cli.md is what the commands print, and every command explains itself."""

import re
import shlex
from pathlib import Path

import click
import pytest

from mmvatool.files import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from tests.helpers import cli_reference, json_schemas

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cli.md"
COMMANDS = list(cli_reference.commands())
LEAVES = [found for found in COMMANDS if not isinstance(found[0], click.Group)]


def name_of(found: object) -> str | None:
    return found.command_path if isinstance(found, click.Context) else None


def test_the_page_is_what_the_commands_print():
    assert PAGE.read_text(encoding="utf-8") == cli_reference.reference(), "docs/cli.md is stale: run `make docs`"


@pytest.mark.parametrize(("name", "schema"), json_schemas.schemas().items())
def test_the_schemas_are_those_of_the_models(name: str, schema: dict):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == json_schemas.text(schema), f"docs/{name} is stale: run `make docs`"
    json_schemas.validator(name)
    for model in (schema, *schema["$defs"].values()):
        assert model["title"]
        assert model["description"]
        for key, rule in model.get("properties", {}).items():
            assert "description" in rule or "$ref" in rule, (model["title"], key)


def test_the_page_of_formats_has_every_suffix():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for kind, suffixes in (("pictures", PICTURE_SUFFIXES), ("sounds", SOUND_SUFFIXES), ("videos", VIDEO_SUFFIXES)):
        assert f"| {kind} | {' '.join(sorted(suffix[1:] for suffix in suffixes))} |" in page


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch):
    wide = cli_reference.reference()
    monkeypatch.setenv("COLUMNS", "60")
    assert cli_reference.reference() == wide
    assert max(len(line) for line in wide.splitlines()) <= cli_reference.WIDTH


def test_the_page_lists_every_command():
    headings = re.findall(r"^## (.*)$", cli_reference.reference(), re.MULTILINE)
    assert headings == [context.command_path for _, context in COMMANDS]
    assert {"mmvatool", "mmvatool summarize", "mmvatool completion"} <= set(headings)


@pytest.mark.parametrize(("command", "context"), COMMANDS, ids=name_of)
def test_every_command_and_option_has_help(command: click.Command, context: click.Context):
    assert command.get_short_help_str()
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize(("command", "context"), LEAVES, ids=name_of)
def test_every_command_has_examples_that_parse(command: click.Command, context: click.Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, option, context: value)  # an example's folders are the reader's
    lines = [line.strip() for line in command.get_help(context).splitlines()]
    examples = [line for line in lines if line.startswith(context.command_path + " ")]
    assert examples
    for example in examples:
        words = shlex.split(re.sub(r">.*$", "", example))[len(context.command_path.split()) :]
        command.make_context(context.info_name, words)


def test_recipes_open_with_their_launch_command():
    recipes = sorted((PAGE.parents[1] / "recipes" / "batch").glob("*.sh"))
    assert recipes
    for recipe in recipes:
        lines = recipe.read_text().splitlines()
        opening = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
        assert any(re.match(rf"#     recipes/batch/{recipe.name} \S", line) for line in opening), recipe.name


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_lines_are_short(page: Path):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", text):
        assert not target or (page.parent / target).exists(), target
    if page.name in ("cli.md", "LICENSE.md"):
        return
    prose = [line for line in text.splitlines() if not line.startswith(("|", "    "))]  # tables and commands have no other line
    assert max(map(len, prose)) < 100


def test_the_readme_is_for_a_person_in_a_hurry():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.split()) <= 700
    assert max(map(len, text.splitlines())) < 100
    assert 4 <= len(re.findall(r"^    mmvatool ", text, re.MULTILINE)) <= 8


def test_commands_of_the_pages_parse(monkeypatch: pytest.MonkeyPatch):
    """What stands in a page as a command is one: options that were renamed are found here."""
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, option, context: value)
    leaves = {context.command_path: (command, context) for command, context in LEAVES}
    seen = 0
    for page in PAGES:
        for line in re.findall(r"^    (mmvatool (?:.*\\\n)*.*)$", page.read_text("utf-8"), re.MULTILINE):
            words = shlex.split(re.sub(r"\\\n", " ", line), comments=True)
            words = words[: next((index for index, word in enumerate(words) if word in ("|", ">", ">>")), len(words))]
            name = next((" ".join(words[:count]) for count in (3, 2) if " ".join(words[:count]) in leaves), None)
            assert name is not None, line
            command, context = leaves[name]
            command.make_context(context.info_name, words[len(name.split()) :])
            seen += 1
    assert seen > 30
