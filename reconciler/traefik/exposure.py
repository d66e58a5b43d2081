"""Which middlewares ask who is there, and what protected resources need. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reconciler.traefik import references
from reconciler.traefik.references import at, listed
from state.model import Address, Snapshot, Spec

AUTHENTICATING = frozenset({"basicauth", "digestauth", "forwardauth"})
_MIDDLEWARES = "http.middlewares"

Foreign = Mapping[str, Mapping[str, Any]]
"""Middlewares of others: `name@provider` -> its spec, as far as somebody can see into it."""


def needed(snapshot: Snapshot, protects: Callable[[str], bool]) -> frozenset[str]:
    """The addresses of all that protected resources refer to, directly or not, themselves included."""
    starts = [address for address in snapshot if protects(str(address))]
    return frozenset(map(str, references.needs(starts, snapshot)))


@dataclass(frozen=True)
class Judge:
    """Says whether a chain of middlewares asks who is there.

    A middleware is judged by its type. One that neither our part nor `foreign` holds, and a plugin, is judged by
    whether its name matches one of the `patterns`: the policy's word for names that authenticate.
    """

    ours: Snapshot
    patterns: tuple[str, ...]
    foreign: Foreign

    def asks(self, instance: str, names: Sequence[str]) -> bool:
        """Whether any of these middlewares of an instance does; names as files write them, or qualified."""
        return any(self._authenticates(instance, name, "file", frozenset()) for name in names)

    def redirects(self, instance: str, names: Sequence[str]) -> bool:
        """Whether these middlewares send every request that comes without TLS to https."""
        specs = (self._spec(instance, name.partition("@")[0], name.partition("@")[2] or "file") for name in names)
        return any(str(at(_lowered(spec).get("redirectscheme"), "scheme")).lower() == "https" for spec in specs)

    def _authenticates(self, instance: str, name: str, provider: str, seen: frozenset[str]) -> bool:
        """`provider` is where a name without one is looked up: whoever refers to it looks at home."""
        plain, _, named = name.partition("@")
        home = named or provider
        spec = self._spec(instance, plain, home)
        if spec is None and home == "file":
            return False  # all that files define is known: this one does not exist
        if spec is None or f"{plain}@{home}" in seen:
            return spec is None and self._named_so(name)
        types = {str(kind).lower() for kind in spec} if isinstance(spec, Mapping) else set()
        if types & AUTHENTICATING:
            return True
        if "plugin" in types:
            return self._named_so(plain)
        inside = seen | {f"{plain}@{home}"}
        return any(self._authenticates(instance, link, home, inside) for link in _chain(spec))

    def _spec(self, instance: str, plain: str, provider: str) -> Spec:
        own = self.ours.get(Address(instance, _MIDDLEWARES, plain)) if provider == "file" else None
        return self.foreign.get(f"{plain}@{provider}") if own is None else own

    def _named_so(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)


def _lowered(spec: Spec) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in spec.items()} if isinstance(spec, Mapping) else {}


def _chain(spec: Spec) -> Iterator[str]:
    yield from map(str, listed(spec, "chain", "middlewares"))
