"""Take from a JSON answer what has the shape that is wanted; what has another one is not there. Pure."""

from __future__ import annotations

from typing import Any


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, where it is one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list, where it is one."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
