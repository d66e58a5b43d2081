"""Traefik routers as people see them: which hosts they answer for, whether they ask who is there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from reconciler.core.guard import Route
from reconciler.traefik import rules
from state.model import Address, Snapshot, Spec

AUTHENTICATING = frozenset({"basicauth", "digestauth", "forwardauth"})
_ROUTERS = frozenset({"http.routers", "tcp.routers"})


def routes(snapshot: Snapshot, authentication: Iterable[str]) -> list[Route]:
    """Every router of a snapshot as a Route.

    A middleware that the snapshot holds is judged by its type; one from elsewhere by whether its name matches
    a pattern of `authentication` (the policy's word for names that authenticate).
    """
    patterns = tuple(authentication)
    return [
        Route(
            address=str(address),
            hosts=_hosts(spec),
            rule=str(_field(spec, "rule", "")),
            authenticated=address.kind == "http.routers" and _authenticated(address, spec, snapshot, patterns),
            entry_points=frozenset(map(str, _list(_field(spec, "entryPoints", [])))),
        )
        for address, spec in sorted(snapshot.items(), key=lambda item: item[0])
        if address.kind in _ROUTERS
    ]


def _hosts(spec: Spec) -> frozenset[str]:
    rule = str(_field(spec, "rule", ""))
    try:
        named = rules.hosts(rules.parse(rule))
    except rules.ParseError:
        named = frozenset()
    return frozenset(named or {rule})


def _authenticated(router: Address, spec: Spec, snapshot: Snapshot, patterns: tuple[str, ...]) -> bool:
    return any(
        _authenticates(router.instance, str(name), snapshot, patterns, frozenset())
        for name in _list(_field(spec, "middlewares", []))
    )


def _authenticates(
    instance: str, name: str, snapshot: Snapshot, patterns: tuple[str, ...], seen: frozenset[str]
) -> bool:
    plain = name.removesuffix("@file")
    spec = snapshot.get(Address(instance, "http.middlewares", plain))
    if spec is None or plain in seen:
        return spec is None and any(fnmatchcase(name, pattern) for pattern in patterns)
    types = {str(kind).lower() for kind in spec} if isinstance(spec, dict) else set()
    if types & AUTHENTICATING:
        return True
    if "plugin" in types:
        return any(fnmatchcase(plain, pattern) for pattern in patterns)
    return any(_authenticates(instance, link, snapshot, patterns, seen | {plain}) for link in _chain(spec))


def _chain(spec: Spec) -> Iterator[str]:
    chain = _field(spec, "chain", {})
    yield from map(str, _list(_field(chain, "middlewares", [])))


def _field(spec: Spec, name: str, default: Spec) -> Spec:
    # Traefik reads keys whatever their case.
    if not isinstance(spec, dict):
        return default
    return next((value for key, value in spec.items() if str(key).lower() == name.lower()), default)


def _list(value: Spec) -> list[Spec]:
    if isinstance(value, str):  # Traefik takes "web,websecure" for a list
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list) else []
