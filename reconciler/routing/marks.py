"""What people would mind about a change: authentication lost, newly public, a host gone, another target."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from reconciler.routing.decide import Found, find
from reconciler.routing.hosting import asked_for
from reconciler.routing.index import bound_of
from reconciler.routing.matchers import Host
from reconciler.routing.planes import Plane, planes
from reconciler.routing.regions import is_ordinary
from reconciler.routing.request import Refused, look
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Strictness, Treatment

_SOMEBODY: Final = "203.0.113.9"
"""An address like any other of the internet."""


class Marker:
    """Says of each change what people would mind about it."""

    def __init__(self, before: Serving, after: Serving) -> None:
        self._before, self._after = before, after
        self._hosts: dict[str, bool] = {}

    def marked(self, one: Change) -> Change:
        before, after = one.before, one.after
        if one.unknown or before is None or after is None:
            return one
        if one.witness is None or not is_ordinary(one.witness):
            return one  # what hardly any client sends is no loss
        lost = before.served and self._after.is_open(after) and asked_for(self._before, before, one.hosts)
        return replace(
            one,
            authentication_lost=lost,
            newly_public=not before.served and self._for_anybody(one, after),
            host_gone=before.served and after.kind in ("not found", "absent") and not self._is_served(one),
            target_changed=before.served and after.served and self._targets(before, after),
        )

    def _for_anybody(self, one: Change, after: Treatment) -> bool:
        """Whether a request from anywhere in the internet is served, and nobody asks whose it is."""
        if one.witness is None or one.entry_point not in self._after.public or not after.served:
            return False
        from_anywhere = self._after.treatment(replace(one.witness, client_ip=_SOMEBODY)) == after
        return from_anywhere and self._after.strictness(after) is Strictness.ANYBODY

    def _targets(self, before: Treatment, after: Treatment) -> bool:
        if before.target != after.target:
            return True
        return any(
            dict(one.parts).get(one.service) != dict(other.parts).get(other.service)
            for one, other in zip(before.chances, after.chances, strict=True)
        )

    def _is_served(self, one: Change) -> bool:
        """Whether anything is served for the host of the witness, at any entry point."""
        seen = look(one.witness) if one.witness else None
        if seen is None or isinstance(seen, Refused):
            return False
        if seen.host not in self._hosts:
            self._hosts[seen.host] = any(self._serves(plane, seen.host) for plane in planes(self._after.table).values())
        return self._hosts[seen.host]

    def _serves(self, plane: Plane, host: str) -> bool:
        if not host:
            return True
        name = Host(host)
        near = plane.near(bound_of(name))
        return any(not one.childless and isinstance(find((name, *one.nodes)), Found) for one in near)
