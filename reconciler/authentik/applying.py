"""Have authentik apply blueprints, wait for the hash of each, and see that what they make is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from reconciler.authentik import models
from reconciler.authentik.answers import Instance
from reconciler.authentik.api import LOOKUPS, AuthentikApi
from reconciler.authentik.blueprint import ABSENT, Entry
from reconciler.authentik.held import is_applied
from reconciler.authentik.shape import tagged
from reconciler.ports import Clock

_PACE: Final = 0.5
_FIRST: Final = 0.05
"""Seconds between two looks at a blueprint that is being applied, at most and at first."""

_TOLD: Final[Mapping[str, tuple[str, ...]]] = {
    models.PROXY: ("mode",),
    models.OAUTH2: ("client_type",),
    models.FLOW: ("designation", "authentication"),
}
"""Fields that decide who gets in, and that authentik gives back as they were written."""


@dataclass(frozen=True)
class Applied:
    """What came of one application. `words` say why it failed, or what is still awaited."""

    outcome: Literal["applied", "failed", "waiting", "gone"]
    words: str = ""


class Applier:
    """Applies, and asks. `patience` is seconds for everything that one `until` is given to."""

    def __init__(self, api: AuthentikApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    def applied(self, one: Instance, until: float) -> Applied:
        """Have this content applied, if it was not, and wait for its hash until that moment of the monotonic clock.

        A status is believed only once the instance was saved again: until then it is that of an earlier application.
        """
        if is_applied(one):
            return Applied("applied")
        self._api.apply(one.pk)
        pause = _FIRST
        while True:
            now = self._api.instance(one.pk)
            if now is None or now.content != one.content:
                return Applied("gone", "somebody changed it meanwhile")
            if is_applied(now):
                return Applied("applied")
            if now.status == "error" and now.last_applied != one.last_applied:
                return Applied("failed", "; ".join(self._api.said_of(one.pk)) or "authentik could not apply it")
            if self._clock.monotonic() >= until:
                return Applied("waiting", f"authentik has not applied it in time (it says '{now.status}')")
            self._clock.sleep(pause)
            pause = min(2 * pause, _PACE)

    def missing(self, entry: Entry) -> str:
        """What authentik lacks of an entry that it says it applied; "" where all is there, or nobody can say."""
        identifiers = {name: value for name, value in entry.identifiers.items() if name != "pk"}
        if not _can_be_asked(entry, identifiers):
            return ""
        found = self._api.found(entry.model, identifiers)
        if entry.state == ABSENT:
            return f"there still is the {entry}" if found else ""
        if found is None:
            return f"authentik says that it applied this, but there is no {entry}"
        return "; ".join(_unlike(entry, found))


def _can_be_asked(entry: Entry, identifiers: Mapping[str, Any]) -> bool:
    if entry.model not in LOOKUPS or not identifiers or entry.spec.get("conditions"):
        return False
    known = LOOKUPS[entry.model][1]
    return all(name in known and isinstance(value, str) for name, value in identifiers.items())


def _unlike(entry: Entry, found: Mapping[str, Any]) -> Iterator[str]:
    if entry.state != "present":
        return  # `created` leaves what is there as it is
    for name in _TOLD.get(entry.model, ()):
        wanted = entry.fields.get(name)
        if wanted is not None and not tagged(wanted) and name in found and found[name] != wanted:
            yield f"the {entry} has {name} '{found[name]}', not '{wanted}'"
