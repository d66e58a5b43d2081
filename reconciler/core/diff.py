"""What differs between two specs, in words for people. Equality decides elsewhere; DeepDiff only explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from state.model import Spec

if TYPE_CHECKING:
    from deepdiff import DeepDiff


@dataclass(frozen=True)
class FieldChange:
    """One field: `path` in dotted form, `old` and `new` as they stand (None where there is nothing)."""

    path: str
    old: Any = None
    new: Any = None


def within(spec: Spec, *mentions: Spec) -> Spec:
    """`spec` cut to the fields that any of `mentions` has: what a server adds by itself is nobody's drift."""
    maps = [mention for mention in mentions if isinstance(mention, Mapping)]
    if not isinstance(spec, Mapping) or not maps:
        return spec
    return {
        key: within(value, *(mention[key] for mention in maps if key in mention))
        for key, value in spec.items()
        if any(key in mention for mention in maps)
    }


def explain(old: Spec, new: Spec) -> list[FieldChange]:
    """The fields in which two specs differ, in path order; empty exactly when they are equal."""
    if old == new:
        return []
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [FieldChange("", old, new)]
    from deepdiff import DeepDiff  # as large as all of our own code, and needed only where something differs

    return sorted(_changes(DeepDiff(old, new, view="tree", verbose_level=2)), key=lambda change: change.path)


def _changes(differences: DeepDiff) -> Iterator[FieldChange]:
    for levels in differences.values():
        for level in levels:
            path = ".".join(str(part) for part in level.path(output_format="list"))
            yield FieldChange(path, _plain(level.t1), _plain(level.t2))


def _plain(value: Any) -> Any:
    return None if type(value).__name__ == "NotPresent" else value
