"""Does a value have the shape that a schema asks for? As much of JSON Schema as authentik's models are written in.

What stands under a tag (`!Find`, `!KeyOf`) is known only to authentik, and fits everywhere. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from reconciler.document import Path

Schema = Mapping[str, Any]
Fault = tuple[Path, str]

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\Z")
_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "number": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "object": ("a mapping", lambda value: isinstance(value, dict)),
    "null": ("null", lambda value: value is None),
}


def tagged(value: Any) -> tuple[str, Any] | None:
    """Tag and content of a value that stands under a tag: `!Find [a]` is {"!Find": ["a"]}."""
    if isinstance(value, dict) and len(value) == 1:
        [(key, inner)] = value.items()
        if isinstance(key, str) and key.startswith("!"):
            return key, inner
    return None


def faults(value: Any, schema: Schema, at: Path) -> Iterator[Fault]:
    """Everything about a value that the schema does not allow, with its place. An unknown field is one: authentik
    would pass over it without a word."""
    if tagged(value):
        return
    if wrong := _of_another_kind(value, schema):
        yield at, wrong
        return
    if found := _outside(value, schema):
        yield at, found
    if isinstance(value, dict) and "properties" in schema:
        yield from _fields(value, schema, at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), (*at, index))


def _of_another_kind(value: Any, schema: Schema) -> str:
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if not kinds or any(_KINDS[kind][1](value) for kind in kinds):
        return ""
    wanted = " or ".join(_KINDS[kind][0] for kind in kinds if kind != "null")
    return f"right would be {wanted}" + ("; leave the field out for none" if value is None else "")


def _outside(value: Any, schema: Schema) -> str:
    """Why a value of the right kind is none of those allowed."""
    if "enum" in schema and value not in schema["enum"]:
        return f"right would be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            most = schema.get("maxLength")
            return "it is empty" if not value else f"it is longer than {most} characters"
        if schema.get("format") == "uuid" and not _UUID.match(value):
            return "right would be a reference (!Find, !KeyOf) or a UUID"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        if not least <= value <= most:
            return f"right would be a number from {least} to {most}"
    return ""


def _fields(value: Mapping[str, Any], schema: Schema, at: Path) -> Iterator[Fault]:
    known = schema["properties"]
    for name in schema.get("required", ()):
        if name not in value:
            yield at, f"'{name}' is missing"
    for name, inner in value.items():
        if name in known:
            yield from faults(inner, known[name], (*at, name))
        else:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield (*at, name), f"there is no such field{hint}"
