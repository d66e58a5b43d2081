"""Whether Traefik's decoder would reject a document, and with it its whole directory. Pure.

It keeps other people's files apart: what poisons the directory, and what Traefik silently ignores or misreads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconciler.traefik.fields import KINDS, Free, Many, Record, Scalar, Shape, Table

_ROOTS = {kind.partition(".")[0] for kind in KINDS}


def rejects(document: Any) -> bool:
    """True where one thing in the document makes Traefik refuse every file of its directory."""
    if document is None:
        return False
    if not isinstance(document, dict):
        return True
    sections = [(key, value) for key, value in document.items() if str(key).casefold() in _ROOTS and value is not None]
    return any(_uncarried(value) or _section(key.casefold(), value) for key, value in sections)


def _section(section: str, value: Any) -> bool:
    groups = {kind.partition(".")[2].casefold(): shape for kind, shape in KINDS.items() if kind.startswith(section)}
    children = _children(value)
    if not children:
        return True
    return any(_group(groups.get(name.casefold()), name, inner) for name, inner in children.items())


def _group(shape: Record | None, name: str, value: Any) -> bool:
    if shape is None:
        return name.casefold() != "models"  # it is there, for Traefik's own use
    if name.casefold() == "certificates":
        return _rejected(Many(shape), value)
    children = _children(value)
    return not children or any(_fields(shape, inner) for inner in children.values())


def _uncarried(value: Any) -> bool:
    """Nothing and lists cannot stand in a list."""
    if isinstance(value, dict):
        return any(map(_uncarried, value.values()))
    return isinstance(value, list) and any(item is None or isinstance(item, list) or _uncarried(item) for item in value)


def _children(value: Any) -> dict[str, Any]:
    """What the decoder sees below a value: fields that say something, and the mappings in a list."""
    if isinstance(value, dict):
        return {str(key): inner for key, inner in value.items() if inner is not None}
    items = enumerate(value if isinstance(value, list) else ())
    return {f"[{index}]": item for index, item in items if isinstance(item, dict)}


def _rejected(shape: Shape, value: Any) -> bool:
    children = _children(value)
    match shape:
        case Record():
            return not shape.may_be_empty if not children else _fields(shape, value)
        case Many(Record() as item):
            return any(_fields(item, inner) for inner in children.values())
        case Many():
            return any(_children(inner) for inner in children.values())
        case Table(Free()):
            return not children
        case Table(item):
            return not children or any(isinstance(item, Scalar) and not fits(item.takes, v) for v in children.values())
        case Scalar(takes):
            return bool(children) or not fits(takes, value)
    return False


def _fields(shape: Record, value: Any) -> bool:
    return any(
        key.casefold() not in shape.by_folded_name
        or _rejected(shape.fields[shape.by_folded_name[key.casefold()]], inner)
        for key, inner in _children(value).items()
    )


_SWITCHES = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
_WHOLE = re.compile(r"[-+]?[0-9]+\Z", re.ASCII)
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)\Z", re.ASCII)


def fits(takes: str, value: Any) -> bool:
    """Whether the decoder takes this value where "text", "number", "switch" or "duration" is wanted.

    It reads every scalar from its text; a list or mapping has none that would do, but for text anything does.
    """
    text = _written(value)
    if takes == "text":
        return True
    if takes == "switch":
        return text in _SWITCHES
    whole = bool(_WHOLE.match(text)) and -(2**63) <= int(text[:40]) < 2**63
    return whole or (takes == "duration" and bool(_DURATION.match(text)))


def _written(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}".removesuffix(".000000") if isinstance(value, float) else str(value)
