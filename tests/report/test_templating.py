"""The rules that hold for every template, whoever changes it."""

import os
import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from mmvatool.report import templating

TEMPLATES = sorted(templating.FOLDER.glob("*.jinja"))


@pytest.mark.parametrize("source", ["{{ name }}", "{% set copy = name %}{{ copy }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(name) }}"])
def test_what_is_written_is_printable_and_escaped(source):
    template = templating.environment().from_string(source)
    assert template.render(name="<b>\"'&\n\u202e" + os.fsdecode(b"\xff")) == "&lt;b&gt;&#34;&#39;&amp;\\n\\u202e\\udcff"
    assert template.render(name=Markup("<b>\n</b>")) == "<b>\n</b>"
    assert template.render(name=0.5) == "0.5"


@pytest.mark.parametrize(
    "source", ["{{ nothing }}", "{{ name.nothing }}", "{% if nothing %}{% endif %}", "{% for one in nothing %}{% endfor %}"]
)
def test_a_name_that_is_not_known_is_an_error(source):
    with pytest.raises(UndefinedError, match="nothing"):
        templating.environment().from_string(source).render(name="x")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_does_not_get_around_the_escaping(path):
    source = path.read_text("utf-8")
    assert not re.findall(r"\|\s*safe\b|\bautoescape\b|\bMarkup\b", source)
    assert not re.findall(r"\s[\w-]+=\s*\{\{", source), "the value of an attribute stands in quotes"
    assert not re.findall(r"<(?:script|style)\b[^>]*>(?!\{\{ (?:script|style) \}\}</)", source), "what the policy allows, and nothing else"
    assert not re.findall(r"\s(?:on\w+|style)\s*=", source), "the policy forbids it"


def test_there_is_a_template_to_check():
    assert {path.name for path in TEMPLATES} >= {"page.html.jinja", "curves.svg.jinja", "plane.svg.jinja"}
