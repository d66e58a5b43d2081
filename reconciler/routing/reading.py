"""Routers and entry points, read from dynamic configuration or from what Traefik's API says of a running Traefik."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.routing.middlewares import changes_of
from reconciler.routing.request import Door
from reconciler.routing.routers import EntryPoint, Router

Specs = Mapping[str, Mapping[str, Any]]
"""Kind ("http.routers") -> name -> the resource as Traefik's files or its API have it; keys in any case."""
Faults = Callable[[str, Any], Iterable[str]]
"""What is wrong inside one service or middleware (kind, spec): Traefik disables the routers that use it."""

_INTERNAL: Final = frozenset({
    "acme-http@internal", "api@internal", "dashboard@internal", "noop@internal", "ping@internal",
    "prometheus@internal", "rest@internal",
})  # fmt: skip
_BOTH: Final = "router has both a service and is referenced as a parent by other routers"


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def from_files(
    specs: Specs,
    *,
    provider: str = "file",
    others: Iterable[tuple[str, str]] | None = None,
    faults: Faults | None = None,
) -> list[Router]:
    """The routers of one provider's configuration.

    `others` are (kind, qualified name) of what other providers have; without it, what is named of theirs is taken to
    be there. What rule, priority, parents and entry points tell is left to the table.
    """
    there = None if others is None else frozenset(others)
    reader = _Files(specs, provider, there, faults or (lambda kind, spec: ()))
    return [
        reader.router(protocol, name, spec)
        for protocol in ("http", "tcp")
        for name, spec in specs.get(f"{protocol}.routers", {}).items()
    ]


@dataclass
class _Files:
    specs: Specs
    provider: str
    others: frozenset[tuple[str, str]] | None
    faults: Faults
    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def router(self, protocol: str, name: str, spec: Any) -> Router:
        middlewares = self._qualified(texts(value_at(spec, "middlewares")))
        tls = value_at(spec, "tls")
        options = str(value_at(tls, "options") or "")
        broken = bool(options) and not self._has_options(options)
        passthrough = truth(value_at(tls, "passthrough"))
        service = str(value_at(spec, "service") or "")
        found = Router(
            name=f"{name}@{self.provider}",
            protocol=protocol,
            rule=str(value_at(spec, "rule") or ""),
            entry_points=texts(value_at(spec, "entryPoints")),
            priority=number(value_at(spec, "priority")),
            tls=tls is not None and tls is not False,
            tls_options=self._options_name(options),
            passthrough=passthrough,
            broken_tls=broken and not passthrough,
            service=self._name(service) if service else "",
            middlewares=middlewares,
            parents=self._qualified(texts(value_at(spec, "parentRefs"))),
            syntax=str(value_at(spec, "ruleSyntax") or ""),
            changes=changes_of(self._middleware(name) for name in middlewares),
        )
        unserved = self._fault(f"{protocol}.services", found.service) if service else ""
        return replace(found, disabled=self._disabled(found, spec), unserved=unserved)

    def _disabled(self, router: Router, spec: Any) -> str:
        if router.broken_tls:
            return f"there are no TLS options '{router.tls_options}'"
        if router.parents and value_at(spec, "observability") is not None:
            return "a router with parents cannot have options of observability"
        for name in router.middlewares:
            if fault := self._fault(f"{router.protocol}.middlewares", name):
                return fault
        return ""

    # ── names ──

    def _name(self, name: str) -> str:
        return name if "@" in name else f"{name}@{self.provider}"

    def _qualified(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._name, names))

    def _own(self, kind: str, name: str) -> Any:
        """The resource of that qualified name in these files; None where it is not theirs, or is not there."""
        plain, _, provider = name.rpartition("@")
        return self.specs.get(kind, {}).get(plain) if provider == self.provider else None

    def _middleware(self, name: str, above: tuple[str, ...] = ()) -> Mapping[str, Any] | None:
        """A middleware with those of its chains in place, None where nobody here knows it."""
        spec = self._own("http.middlewares", name)
        if not isinstance(spec, Mapping):
            return None
        chained = self._qualified(texts(value_at(value_at(spec, "chain"), "middlewares")))
        return {
            **spec,
            "members": [self._middleware(one, (*above, name)) for one in chained if one not in (*above, name)],
        }

    def _options_name(self, options: str) -> str:
        return "" if options in ("", "default") else self._name(options)

    def _has_options(self, options: str) -> bool:
        name = self._options_name(options)
        plain, _, provider = name.rpartition("@")
        if not name or provider != self.provider:
            return True  # the API lists no TLS options, so other providers' are taken on trust
        return plain in self.specs.get("tls.options", {})

    # ── what is missing or wrong ──

    def _fault(self, kind: str, name: str) -> str:
        """Why whatever uses this service or middleware is disabled, "" where it is not."""
        known = self._known.get((kind, name))
        if known is None:
            self._known[kind, name] = f"{kind.partition('.')[2].removesuffix('s')} {name} comes back to itself"
            known = self._known[kind, name] = self._judged(kind, name)
        return known

    def _judged(self, kind: str, name: str) -> str:
        what = kind.partition(".")[2].removesuffix("s")
        plain, _, provider = name.rpartition("@")
        if provider == "internal":
            return "" if name in _INTERNAL else f"there is no {what} {name}"
        if provider != self.provider:
            absent = self.others is not None and (kind, name) not in self.others
            return f"there is no {what} {name}" if absent else ""
        spec = self.specs.get(kind, {}).get(plain)
        if spec is None:
            return f"there is no {what} '{plain}'"
        for fault in self.faults(kind, spec):
            return f"{what} '{plain}': {fault}"
        for other, wanted in _needed(kind, spec):
            if fault := self._needs(other, wanted):
                return fault
        return ""

    def _needs(self, kind: str, name: str) -> str:
        if not kind.endswith(".serversTransports"):
            return self._fault(kind, self._name(name))
        plain, _, provider = self._name(name).rpartition("@")
        if provider != self.provider or plain in self.specs.get(kind, {}):
            return ""
        return f"there is no servers transport '{plain}'"


def _needed(kind: str, spec: Any) -> Iterator[tuple[str, str]]:
    """The kind and the name, as written, of everything without which a service or middleware does not work."""
    protocol = kind.partition(".")[0]
    services = f"{protocol}.services"
    if kind.endswith(".middlewares"):
        for name in texts(value_at(value_at(spec, "chain"), "middlewares")):
            yield kind, name
        if service := value_at(value_at(spec, "errors"), "service"):
            yield services, str(service)
        return
    for name in texts(value_at(spec, "middlewares")):
        yield f"{protocol}.middlewares", name
    if transport := value_at(value_at(spec, "loadBalancer"), "serversTransport"):
        yield f"{protocol}.serversTransports", str(transport)
    for holder, group in (("weighted", "services"), ("highestRandomWeight", "services"), ("mirroring", "mirrors")):
        members = value_at(value_at(spec, holder), group)
        for member in members if isinstance(members, list) else ():
            if name := value_at(member, "name"):
                yield services, str(name)
    for holder, key in (("mirroring", "service"), ("failover", "service"), ("failover", "fallback")):
        if name := value_at(value_at(spec, holder), key):
            yield services, str(name)


# ── the API ──────────────────────────────────────────────────────────────────────────────────────


def from_api(items: Specs, entry_points: Sequence[EntryPoint] = ()) -> list[Router]:
    """The routers of every provider, as a running Traefik lists them.

    Copies that it made of a router for entry points with options of their own are one router again, under the name
    that its owner gave it. `items` hold what /api/rawdata says of each, with status and errors.
    """
    merged: dict[Any, Router] = {}
    for protocol in ("http", "tcp"):
        listed = items.get(f"{protocol}.routers", {})
        for name, spec in listed.items():
            router = _listed(protocol, name, spec, items)
            if protocol == "http":
                router = _original(router, listed, entry_points)
            key = replace(router, entry_points=())
            known = merged.get(key)
            doors = router.entry_points if known is None else (*known.entry_points, *router.entry_points)
            merged[key] = replace(router, entry_points=tuple(dict.fromkeys(doors)))
    return list(merged.values())


def _listed(protocol: str, name: str, spec: Any, items: Specs) -> Router:
    provider = name.rpartition("@")[2]
    middlewares = tuple(_with_provider(one, provider) for one in texts(value_at(spec, "middlewares")))
    tls, service = value_at(spec, "tls"), str(value_at(spec, "service") or "")
    options = str(value_at(tls, "options") or "")
    errors = texts(value_at(spec, "error"))
    parents = tuple(_with_provider(one, provider) for one in texts(value_at(spec, "parentRefs")))
    is_disabled = value_at(spec, "status") == "disabled" and (bool(parents) or set(errors) != {_BOTH})
    missing_options = any("unknown TLS options" in error for error in errors)
    return Router(
        name=name,
        protocol=protocol,
        rule=str(value_at(spec, "rule") or ""),
        entry_points=texts(value_at(spec, "using")) or texts(value_at(spec, "entryPoints")),
        priority=number(value_at(spec, "priority")),
        tls=tls is not None,
        tls_options="" if options in ("", "default") else _with_provider(options, provider),
        passthrough=truth(value_at(tls, "passthrough")),
        broken_tls=is_disabled and missing_options and not truth(value_at(tls, "passthrough")),
        service=_with_provider(service, provider) if service else "",
        middlewares=middlewares,
        parents=parents,
        syntax=str(value_at(spec, "ruleSyntax") or ""),
        disabled=("; ".join(errors) or "Traefik gives no reason") if is_disabled else "",
        accepted=not is_disabled,
        changes=changes_of(_running(one, items) for one in middlewares),
    )


def _running(name: str, items: Specs, above: tuple[str, ...] = ()) -> Mapping[str, Any] | None:
    spec = items.get("http.middlewares", {}).get(name)
    if not isinstance(spec, Mapping):
        return None
    provider = name.rpartition("@")[2]
    chained = [_with_provider(one, provider) for one in texts(value_at(value_at(spec, "chain"), "middlewares"))]
    plain = {key: value for key, value in spec.items() if isinstance(value, Mapping)}
    return {**plain, "members": [_running(one, items, (*above, name)) for one in chained if one not in (*above, name)]}


def _with_provider(name: str, provider: str) -> str:
    return name if "@" in name else f"{name}@{provider}"


def _original(router: Router, listed: Mapping[str, Any], entry_points: Sequence[EntryPoint]) -> Router:
    """The router as its owner wrote it, where this is one that Traefik changed for an entry point."""
    door = next((one for one in entry_points if router.entry_points == (one.name,)), None)
    if door is None or router.provider == "internal":
        return router
    given = door.middlewares
    if given and router.middlewares[: len(given)] == given:
        router = replace(router, middlewares=router.middlewares[len(given) :])
    name = router.name
    if (conflicted := name.removeprefix(f"{door.name}-conflicted-")) != name:
        return replace(router, name=_shortened(conflicted, door.name, listed, entry_points))
    return replace(router, name=_shortened(name, door.name, listed, entry_points))


def _shortened(name: str, door: str, listed: Mapping[str, Any], entry_points: Sequence[EntryPoint]) -> str:
    """A name without its entry point, where it is a copy's: there is an original like it, or another copy."""
    base = name.removeprefix(f"{door}-")
    special = [one.name for one in entry_points if one.special or one.tls or one.middlewares]
    if base == name or door not in special:
        return name
    mine = listed.get(name) or listed.get(f"{door}-conflicted-{name}")
    twins = [base, *(f"{other}-{base}" for other in special if other != door)]
    twins += [f"{one.name}-conflicted-{twin}" for twin in twins for one in entry_points]
    return base if any(twin in listed and _alike(mine, listed[twin]) for twin in twins) else name


def _alike(one: Any, other: Any) -> bool:
    return all(value_at(one, key) == value_at(other, key) for key in ("rule", "service", "parentRefs"))


def entry_point(answer: Mapping[str, Any]) -> EntryPoint:
    """One entry point as /api/entrypoints lists it. What sends everything elsewhere is among the routers there."""
    http = value_at(answer, "http") or {}
    address = str(value_at(answer, "address") or "")
    port = address.removesuffix("/udp").removesuffix("/tcp").rpartition(":")[2]
    tls = value_at(http, "tls")
    options = str(value_at(tls, "options") or "")
    middlewares = texts(value_at(http, "middlewares"))
    return EntryPoint(
        name=str(value_at(answer, "name") or ""),
        port=int(port) if port.isdecimal() else None,
        tls=tls is not None,
        tls_options="" if options in ("", "default") else options,
        middlewares=middlewares,
        as_default=value_at(answer, "asDefault") is True,
        udp=address.endswith("/udp"),
        special=any(value_at(http, key) not in (None, []) for key in ("tls", "middlewares", "observability", _ESCAPES)),
        door=_door(answer, http),
    )


_ESCAPES: Final = "encodedCharacters"
_DENIABLE: Final = {
    "allowEncodedSlash": "/",
    "allowEncodedBackSlash": "\\",
    "allowEncodedNullCharacter": "\0",
    "allowEncodedSemicolon": ";",
    "allowEncodedPercent": "%",
    "allowEncodedQuestionMark": "?",
    "allowEncodedHash": "#",
}


def _barred(options: Any) -> frozenset[str]:
    """What an entry point does not allow escaped in paths. The API leaves out what is not allowed."""
    if not isinstance(options, Mapping):
        return frozenset()
    return frozenset(mark for option, mark in _DENIABLE.items() if not truth(value_at(options, option)))


def _door(answer: Mapping[str, Any], http: Any) -> Door:
    forwarded = value_at(answer, "forwardedHeaders") or {}
    defaults = Door()
    return Door(
        sanitize_path=value_at(http, "sanitizePath") is not False,
        barred=_barred(value_at(http, _ESCAPES)),
        encode_semicolons=truth(value_at(http, "encodeQuerySemicolons")),
        trusted=texts(value_at(forwarded, "trustedIPs")),
        trust_all=truth(value_at(forwarded, "insecure")),
        connection_headers=texts(value_at(forwarded, "connection")),
        odd_headers=str(value_at(http, "aliasHeadersStrategy") or defaults.odd_headers),
        underscored_headers=str(value_at(http, "underscoreHeadersStrategy") or defaults.underscored_headers),
    )


# ── values as Traefik's decoder takes them ───────────────────────────────────────────────────────


def value_at(spec: Any, key: str) -> Any:
    """The value of a key, in whatever case it is written; None where there is none."""
    if not isinstance(spec, Mapping):
        return None
    if key in spec:
        return spec[key]
    folded = key.casefold()
    return next((value for name, value in spec.items() if str(name).casefold() == folded), None)


def texts(value: Any) -> tuple[str, ...]:
    """A list of names; "web,websecure" is one too."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def number(value: Any) -> int:
    """A whole number, however it is written; 0 for what is none."""
    try:
        return int(str(value))
    except ValueError:
        return 0


def truth(value: Any) -> bool:
    """Whether a switch is on."""
    return value is True or str(value) in ("1", "t", "T", "TRUE", "true", "True")
