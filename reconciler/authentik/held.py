"""What an authentik holds of ours: which blueprints are ours, what they say, and whether they were applied. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from reconciler import document
from reconciler.authentik.answers import AuthentikError, Instance
from reconciler.authentik.blueprint import KIND, written
from state.model import Address, Snapshot, Spec, canonical, digest_bytes

Outdated = Callable[[Spec, Instance], list[str]]

NOTHING: Final = "version: 1\nentries: []\n"
"""A blueprint that changes nothing."""

_STALE: Final = timedelta(minutes=15)
_MARK: Final = re.compile(r"# Waypost ([A-Za-z0-9-]+)\n")


@dataclass(frozen=True)
class Names:
    """What our blueprints are called in authentik: there a name belongs to one blueprint only."""

    instance: str

    def of(self, blueprint: str) -> str:
        return f"Waypost {self.instance}: {blueprint}"

    @property
    def removals(self) -> str:
        """The blueprint that takes away what the others no longer hold."""
        return f"Waypost itself ({self.instance}): removals"

    def trial(self, now: datetime, chance: str) -> str:
        """A blueprint that is only tried and forgotten; its name says when, so that a forgotten one can be told."""
        return f"{self._trials}{int(now.timestamp())} {chance}"

    @property
    def _trials(self) -> str:
        return f"Waypost itself ({self.instance}): trial "

    def blueprint(self, name: str) -> str:
        """Which blueprint of ours is called so; "" where none is."""
        start = self.of("")
        return name[len(start) :] if name.startswith(start) else ""

    def is_stale_trial(self, name: str, now: datetime) -> bool:
        """Is it a trial that nobody finishes any more?"""
        begun, _, _ = name.removeprefix(self._trials).partition(" ")
        if not name.startswith(self._trials) or not begun.isdecimal() or len(begun) > 18:
            return False
        return datetime.fromtimestamp(min(int(begun), 2**33), UTC) + _STALE < now


@dataclass(frozen=True)
class Held:
    """All blueprints of ours in one authentik at one moment."""

    names: Names
    blueprints: Mapping[str, Instance] = field(default_factory=dict)
    removals: Instance | None = None
    live: Snapshot = field(default_factory=dict)

    @classmethod
    def among(cls, names: Names, instances: Iterable[Instance], outdated: Outdated = lambda spec, one: []) -> Held:
        """Those of ours among all. `outdated` says which values the home tells otherwise by now."""
        listed = {one.name: one for one in instances}
        ours = {name: one for each, one in sorted(listed.items()) if (name := names.blueprint(each))}
        live = {Address(names.instance, KIND, name): _said_by(one, outdated) for name, one in ours.items()}
        return cls(names, ours, listed.get(names.removals), live)

    @property
    def file(self) -> str:
        """Digest of all that ours say, however that is written."""
        return digest_bytes(manifest(self.live))

    @property
    def waiting(self) -> dict[Address, str]:
        """Blueprints whose content is not the one that was applied last, and why that may be."""
        return {
            Address(self.names.instance, KIND, name): f"authentik has not applied it; its last word was '{one.status}'"
            for name, one in self.blueprints.items()
            if one.enabled and not is_applied(one)
        }


def manifest(live: Snapshot) -> bytes:
    """What all blueprints of an instance say, as bytes: equal states, equal bytes."""
    return canonical({str(address): spec for address, spec in live.items()})


def is_applied(one: Instance) -> bool:
    """Whether authentik says that it applied this very content. Its status alone may be about an older one."""
    return one.last_applied_hash == hashlib.sha512(one.content.encode()).hexdigest()


def mark(attempt: str) -> str:
    """What stands before a blueprint that an attempt wrote: no other write has its hash."""
    return f"Waypost {attempt}"


def writer(one: Instance) -> str:
    """The attempt that wrote it, "" where that is unknown."""
    found = _MARK.match(one.content)
    return found[1] if found else ""


def content_of(spec: Spec, marked: str) -> str:
    """The content that makes a blueprint say this. Raises AuthentikError for what no content makes it say."""
    if "entries" not in spec:
        raise AuthentikError("what stood there before was no blueprint, and cannot be put back", retry=False)
    return written({key: value for key, value in spec.items() if key not in ("enabled", "outdated")}, marked)


def _said_by(one: Instance, outdated: Outdated) -> Spec:
    """What a blueprint in authentik says. What a person did to it shows as a difference from what was written, and so
    does a secret that was rotated since: the names of such, never a value."""
    if one.path:
        return {"path": one.path}
    read = document.read(one.name, one.content.encode(), tagged=True)
    if read.problems or not isinstance(read.value, dict):
        return {"unreadable": digest_bytes(one.content.encode())}
    names = outdated(read.value, one)
    return {**read.value, **({} if one.enabled else {"enabled": False}), **({"outdated": names} if names else {})}
