"""Have authentik try a blueprint without applying it. What is kept for that is never enabled, and forgotten at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.authentik.answers import AuthentikError, Instance, Rejection
from reconciler.authentik.api import AuthentikApi
from reconciler.authentik.held import NOTHING, Names
from reconciler.ports import Chance, Clock
from state.model import digest

_GOOD_FOR: Final = 600.0
_BAD_FOR: Final = 20.0
"""Seconds for which what authentik said is believed: a person may be mending there what it complains of."""


@dataclass
class DryRun:
    """Tries blueprints, and remembers for a while what came of it."""

    api: AuthentikApi
    names: Names
    clock: Clock
    chance: Chance
    _known: dict[str, tuple[float, Rejection | None]] = field(default_factory=dict)

    def of(self, content: str, context: Mapping[str, Any]) -> Rejection | None:
        """What authentik has against it; None where nothing. Raises AuthentikError."""
        key, now = digest([content, dict(context)]), self.clock.monotonic()
        until, said = self._known.get(key, (now, None))
        if until > now:
            return said
        said = self._tried(content, context)
        self._known = {known: told for known, told in self._known.items() if told[0] > now}
        self._known[key] = now + (_BAD_FOR if said else _GOOD_FOR), said
        return said

    def sweep(self, instances: Iterable[Instance]) -> None:
        """Forget trials that a death left behind."""
        now = self.clock.now()
        for one in instances:
            if self.names.is_stale_trial(one.name, now):
                self.api.delete(one.pk)

    def _tried(self, content: str, context: Mapping[str, Any]) -> Rejection | None:
        # authentik tries new content with the context that is kept already, so that has to be there first.
        first = NOTHING if context else content
        with self._kept(first, context) as kept:
            if isinstance(kept, Instance) and context:
                changed = self.api.change(kept.pk, content=content)
                return changed if isinstance(changed, Rejection) else None
            return kept if isinstance(kept, Rejection) else None

    @contextlib.contextmanager
    def _kept(self, content: str, context: Mapping[str, Any]) -> Iterator[Instance | Rejection]:
        name = self.names.trial(self.clock.now(), self.chance(4).hex())
        kept = self.api.create(name, content, context, enabled=False)
        try:
            yield kept
        finally:
            if isinstance(kept, Instance):
                with contextlib.suppress(AuthentikError):  # it is swept later, and does nothing until then
                    self.api.delete(kept.pk)
