"""What people would notice of a step: all that Traefik says it serves, compared before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.traefik.api import Item
from reconciler.traefik.render import MARKER_PREFIX

Served = Mapping[str, Mapping[str, Item]]
"""Kind -> `name@provider` -> what the API says of it."""

_PASSING: Final = frozenset({"serverStatus"})  # health of backends, which comes and goes by itself
_UNORDERED: Final = frozenset({"usedBy", "using"})
_TOLD: Final = frozenset({"rule", "service", "status", "priority", "entryPoints", "using"})  # never a secret
_OWN: Final = "@file"


def differences(before: Served, after: Served) -> list[str]:
    """In words, everything that is served otherwise than before; generation markers apart.

    What other providers serve comes and goes by itself: of that only a state that got worse counts.
    """
    return [
        line for kind in sorted({*before, *after}) for line in _of_kind(kind, before.get(kind, {}), after.get(kind, {}))
    ]


def _of_kind(kind: str, before: Mapping[str, Item], after: Mapping[str, Item]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name.startswith(MARKER_PREFIX):
            continue
        was, now = before.get(name), after.get(name)
        if name.endswith(_OWN):
            yield from (f"{kind} {name}: {words}" for words in _differing(was, now))
        elif was and now and (was.status, was.errors) != (now.status, now.errors) and now.status != "enabled":
            yield f"{kind} {name}: it is {now.status} now ({'; '.join(now.errors) or 'Traefik gives no reason'})"


def _differing(was: Item | None, now: Item | None) -> Iterator[str]:
    if was is None or now is None:
        yield "it is not served any more" if now is None else "it was not served before"
        return
    one, other = _plain(was), _plain(now)
    for field in sorted(one.keys() | other.keys()):
        if one.get(field) != other.get(field):
            told = f"{one.get(field)!r} became {other.get(field)!r}" if field in _TOLD else "changed"
            yield f"{field} {told}"


def _plain(item: Item) -> dict[str, Any]:
    fields = {key: value for key, value in item.spec.items() if key not in _PASSING}
    for key in _UNORDERED & fields.keys():
        fields[key] = sorted(fields[key] or [])
    return {**fields, "status": item.status}
