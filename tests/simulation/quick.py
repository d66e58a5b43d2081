"""What is pure is worked out once: schedules meet the same few routes again, and planning is what they cost."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson

from reconciler import planning
from reconciler.core.effects import Effects
from reconciler.core.target import Observation
from reconciler.traefik.consequences import Before
from reconciler.traefik.render import MARKER_KIND, MARKER_PREFIX
from state.model import Snapshot
from tests.simulation.fate import require

_MOST: Final = 20_000


class Remembered:
    """`consequences`, for the same arguments once. Markers are nobody's middleware, so they make no difference.

    While it is `thorough` all is worked out all the same, with everything that the reconciler keeps in mind from
    plan to plan, and must come to what it came to without.
    """

    def __init__(self, worked_out: Any) -> None:
        self._worked_out = worked_out
        self._known: OrderedDict[bytes, Effects] = OrderedDict()
        self.thorough = False
        self.asked = self.answered = 0

    def __call__(
        self,
        instance: str,
        before: Before,
        after: Snapshot,
        observed: Observation,
        authentication: Iterable[str],
        public: Iterable[str],
        *kept_in_mind: Any,
    ) -> Effects:
        self.asked += 1
        key = _key(instance, before, after, observed, [list(authentication), list(public)])
        found = self._known.get(key)
        if found is not None and not self.thorough:
            self.answered += 1
            return found
        worked_out: Effects = self._worked_out(instance, before, after, observed, authentication, public, *kept_in_mind)
        same = found is None or _told(found) == _told(worked_out)
        require(same, "what was planned before changes no plan", found, worked_out)
        self._known[key] = worked_out
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return worked_out


def _told(effects: Effects) -> Any:
    """All of it, in whatever order. A host that goes may be told of by any one of its routes."""
    parts = {**vars(effects), "gone": {one.host for one in effects.gone}}
    return [sorted(map(repr, part)) if isinstance(part, tuple) else part for part in parts.values()]


def _key(instance: str, before: Before, after: Snapshot, observed: Observation, policy: Any) -> bytes:
    served = {
        kind: {
            name: item.spec for name, item in items.items() if kind != MARKER_KIND or not name.startswith(MARKER_PREFIX)
        }
        for kind, items in observed.served.items()
    }
    sides = [_plain(side) for side in (before.ours, before.earlier, after, observed.live)]
    rest = [
        bool(observed.witness), sorted(map(str, observed.taken_over)), sorted(map(str, observed.foreign)),
        observed.precedence, observed.doors, observed.version,
    ]  # fmt: skip
    return orjson.dumps([instance, sides, served, rest, policy])


def _plain(snapshot: Snapshot) -> list[tuple[str, Any]]:
    return [(str(address), spec) for address, spec in snapshot.items()]


@contextmanager
def remembering() -> Iterator[Remembered]:
    """While this lasts, what a plan does to requests is worked out once."""
    real = planning.consequences
    remembered = Remembered(real)
    planning.consequences = remembered  # type: ignore[assignment]
    try:
        yield remembered
    finally:
        planning.consequences = real
