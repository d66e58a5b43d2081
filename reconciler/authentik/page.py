"""A blueprint written for people: block YAML with short tags in one line. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from reconciler import document
from reconciler.authentik.blueprint import scalar
from reconciler.authentik.shape import tagged
from state.model import Spec

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./@-]+)*")
_NOT_PLAIN: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def page(spec: Spec, heading: str) -> bytes:
    """The file of a blueprint, with a comment above it."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines() if line.strip())
    return (comment + "\n".join(_block(spec, "")) + "\n").encode()


def _block(value: Any, indent: str) -> list[str]:
    """The lines of a mapping or a list that is not empty."""
    lines: list[str] = []
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, inner in pairs:
        start = f"{indent}- " if key is None else f"{indent}{_scalar(key)}:"
        if _is_short(inner):
            lines.append(f"{start.rstrip()} {_line(inner)}")
        elif key is None:
            first, *rest = _block(inner, indent + "  ")
            lines += [start + first.lstrip(" "), *rest]
        else:
            lines += [start, *_block(inner, indent + "  ")]
    return lines


def _is_short(value: Any) -> bool:
    return not isinstance(value, dict | list) or not value or tagged(value) is not None


def _line(value: Any) -> str:
    if found := tagged(value):
        return f"{found[0]} {_line(found[1])}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_line(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value if document.plain(value) == value else scalar(value)
    return scalar(value)
