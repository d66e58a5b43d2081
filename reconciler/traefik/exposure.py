"""Traefik routers as people see them: which hosts they answer for, whether they ask who is there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from reconciler.core.route import UNKNOWN, Reach, Route
from reconciler.traefik import reach, references
from reconciler.traefik.references import at, listed
from state.model import Address, Snapshot, Spec

AUTHENTICATING = frozenset({"basicauth", "digestauth", "forwardauth"})
_ROUTERS = frozenset({"http.routers", "tcp.routers"})
_MIDDLEWARES = "http.middlewares"

Foreign = Mapping[str, Mapping[str, Any]]
"""Middlewares of others: `name@provider` -> its spec, as far as somebody can see into it."""


def routes(snapshot: Snapshot, authentication: Iterable[str], foreign: Foreign | None = None) -> list[Route]:
    """Every router of a snapshot as a Route.

    A middleware is judged by its type. One that neither the snapshot nor `foreign` holds, and a plugin, is judged
    by whether its name matches a pattern of `authentication` (the policy's word for names that authenticate).
    """
    judge = _Judge(snapshot, tuple(authentication), foreign or {})
    return [
        _tcp(address, spec) if address.kind == "tcp.routers" else _http(address, spec, judge)
        for address, spec in sorted(snapshot.items(), key=lambda item: item[0])
        if address.kind in _ROUTERS
    ]


def foreign(served: Mapping[str, Mapping[str, Any]], live: Snapshot) -> dict[str, Mapping[str, Any]]:
    """The middlewares that others own, out of all that Traefik says it runs; `live` is ours."""
    ours = {f"{address.name}@file" for address in live if address.kind == _MIDDLEWARES}
    return {name: item.spec for name, item in served.get(_MIDDLEWARES, {}).items() if name not in ours}


def needed(snapshot: Snapshot, protects: Callable[[str], bool]) -> frozenset[str]:
    """The addresses of all that protected resources refer to, directly or not, themselves included."""
    starts = [address for address in snapshot if protects(str(address))]
    return frozenset(map(str, references.needs(starts, snapshot)))


def _http(address: Address, spec: Spec, judge: _Judge) -> Route:
    rule = str(at(spec, "rule") or "")
    names, broad = reach.named(rule)
    opaque = at(spec, "ruleSyntax") not in (None, "", "v3", "default")
    return Route(
        address=str(address),
        hosts=names or frozenset({rule}),
        rule=rule,
        authenticated=judge.asks(address, frozenset()),
        entry_points=frozenset(map(str, listed(spec, "entryPoints"))),
        priority=_priority(spec, rule),
        tls=at(spec, "tls") is not None,
        broad=broad or opaque,
        reach=_whatever if opaque else _reach(rule),
    )


def _reach(rule: str) -> Reach:
    return partial(reach.part, rule)


def _whatever(host: str) -> Any:
    """A rule of the old syntax: nobody here reads it."""
    return UNKNOWN


def _tcp(address: Address, spec: Spec) -> Route:
    """Without TLS there is no host to look at: such a router takes all plain connections, HTTP among them."""
    rule, tls = str(at(spec, "rule") or ""), at(spec, "tls") is not None
    return Route(
        address=str(address),
        hosts=frozenset({rule}),
        rule=rule,
        authenticated=False,
        entry_points=frozenset(map(str, listed(spec, "entryPoints"))),
        priority=_HIGHEST if not tls else _priority(spec, rule),
        tls=tls,
        broad=not tls,
        swallows=not tls,
    )


_HIGHEST = 2**63


def _priority(spec: Spec, rule: str) -> int:
    """Traefik counts the bytes of the rule where nothing else is said."""
    try:
        said = int(at(spec, "priority") or 0)
    except (TypeError, ValueError):
        said = 0
    return said or len(rule.encode())


@dataclass(frozen=True)
class _Judge:
    """Says whether a router asks who is there, before it lets a request through."""

    snapshot: Snapshot
    patterns: tuple[str, ...]
    foreign: Foreign

    def asks(self, router: Address, seen: frozenset[str]) -> bool:
        """By its middlewares, by those of its service, or because all its parents ask."""
        spec = self.snapshot.get(router)
        if spec is None or router.name in seen:
            return False
        service = Address(router.instance, "http.services", str(at(spec, "service") or "").removesuffix("@file"))
        names = [*listed(spec, "middlewares"), *listed(self.snapshot.get(service), "middlewares")]
        if any(self._authenticates(router.instance, str(name), "file", frozenset()) for name in names):
            return True
        parents = [str(parent).removesuffix("@file") for parent in listed(spec, "parentRefs")]
        inside = seen | {router.name}
        return bool(parents) and all(
            self.asks(Address(router.instance, router.kind, parent), inside) for parent in parents
        )

    def _authenticates(self, instance: str, name: str, provider: str, seen: frozenset[str]) -> bool:
        """`provider` is where a name without one is looked up: whoever refers to it looks at home."""
        plain, _, named = name.partition("@")
        home = named or provider
        spec = self._spec(instance, plain, home)
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
        own = self.snapshot.get(Address(instance, _MIDDLEWARES, plain)) if provider == "file" else None
        return self.foreign.get(f"{plain}@{provider}") if own is None else own

    def _named_so(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)


def _chain(spec: Spec) -> Iterator[str]:
    yield from map(str, listed(spec, "chain", "middlewares"))
