"""What pydantic refuses, as one line for a person: the field's path, the value, and what the model's JSON Schema allows there."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_KINDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}


def first_problem(error: ValidationError, schema: Mapping[str, Any], table: str = "a table") -> str:
    """The first of the errors, such as `timeline.clips[0].arousal: 1.5: must be a number from 0 to 1`.

    Args:
        error: pydantic's.
        schema: the JSON Schema of the model that raised it.
        table: what a group of keys is called in the file's format.

    Returns:
        `path: value: must be ...`, `path: is missing: give ...` or `path: unknown key: allowed are ...`. A ValueError of a validator
        gives `path: message`, without the path if it is about the whole.
    """
    first = error.errors(include_url=False)[0]
    kind, value, keys = first["type"], first["input"], list(first["loc"])
    if kind == "missing" and isinstance(keys[-1], int):  # the list is too short
        kind = "too_short"
        keys.pop()
    if keys[-1:] == ["[key]"]:
        kind = "extra_forbidden"
        keys.pop()
    place, above, rule = "", schema, schema
    for key in keys:
        above = _solved(rule, schema)
        tags = above.get("discriminator", {}).get("mapping", {})
        if key in tags:  # no key of the file: says which of several models was tried
            rule = {"$ref": tags[key]}
        else:
            place += f"[{key}]" if isinstance(key, int) else f".{key}"
            rule = _inner(above, key)
    if kind.startswith("union_tag"):
        tag = _solved(rule, schema)["discriminator"]
        place, value, rule = f"{place}.{tag['propertyName']}", value.get(tag["propertyName"]), {"enum": list(tag["mapping"])}
    if kind == "extra_forbidden":
        problem = f"unknown key: allowed are {', '.join(above.get('properties') or _names(above['propertyNames']))}"
    elif kind in ("missing", "union_tag_not_found"):
        problem = f"is missing: give {_allowed(rule, schema, table)}"
    elif kind == "value_error":
        problem = str(first["ctx"]["error"])
    else:
        problem = f"{_abridged(value)}: must be {_allowed(rule, schema, table)}"
    return f"{place.lstrip('.')}: {problem}" if place else problem


def _solved(rule: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rule that is referred to, without the choice of null."""
    if "anyOf" in rule:
        rule = next(one for one in rule["anyOf"] if one.get("type") != "null")
    return _solved(schema["$defs"][rule["$ref"].rpartition("/")[2]], schema) if "$ref" in rule else rule


def _inner(rule: Mapping[str, Any], key: str | int) -> Mapping[str, Any]:
    if isinstance(key, int):
        return rule["prefixItems"][key] if "prefixItems" in rule else rule["items"]
    return rule.get("properties", {}).get(key) or rule.get("additionalProperties") or {}


def _names(rule: Mapping[str, Any]) -> list[str]:
    return rule["enum"] if "enum" in rule else [rule["const"]]


def _allowed(rule: Mapping[str, Any], schema: Mapping[str, Any], table: str) -> str:
    if "anyOf" in rule:
        return f"{_allowed(_solved(rule, schema), schema, table)}, or null"
    rule = _solved(rule, schema)
    if "enum" in rule or "const" in rule:
        return f"{'one of ' if 'enum' in rule else ''}{', '.join(_names(rule))}"
    if rule.get("type") == "array":
        least, most = rule.get("minItems"), rule.get("maxItems")
        length = "" if least is None else f" of {least}" if least == most else f" of at least {least}"
        return f"a list{length}, each {_allowed(_inner(rule, 0), schema, table)}"
    if rule.get("type") not in _KINDS:
        return table
    low, high = rule.get("minimum"), rule.get("maximum")
    bounds = "" if low is None else f" of at least {low:.10g}" if high is None else f" from {low:.10g} to {high:.10g}"
    return f"{_KINDS[rule['type']]}{bounds}" + (f", a multiple of {rule['multipleOf']:g}" if "multipleOf" in rule else "")


def _abridged(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 40 else f"{text[:36]} ..."
