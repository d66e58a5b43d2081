"""Values of a configuration as Traefik's decoder takes them: keys in any case, lists and numbers written as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_at(spec: Any, key: str) -> Any:
    """The value of a key, in whatever case it is written; None where there is none."""
    if spec is None or not isinstance(spec, dict | Mapping):
        return None
    return spec[key] if key in spec else fields_of(spec).get(key.casefold())


def fields_of(spec: Any) -> Mapping[str, Any]:
    """The values of all keys, by the keys in lower case; nothing where there are none."""
    return {str(key).casefold(): value for key, value in spec.items()} if isinstance(spec, dict | Mapping) else {}


def texts(value: Any) -> tuple[str, ...]:
    """A list of names; "web,websecure" is one too."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def number(value: Any) -> int:
    """A whole number, however it is written; 0 for what is none."""
    try:
        return int(str(value)) if value is not None else 0
    except ValueError:
        return 0


def truth(value: Any) -> bool:
    """Whether a switch is on."""
    return value is True or str(value) in ("1", "t", "T", "TRUE", "true", "True")
