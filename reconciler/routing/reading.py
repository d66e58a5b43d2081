"""Routers and entry points, read from dynamic configuration or from what Traefik's API says of a running Traefik."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.routing.middlewares import changes_of
from reconciler.routing.needs import SOUND, Faults, Needs, Specs, plugins_at_work, reconsidered, with_provider
from reconciler.routing.request import Door
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.values import fields_of, number, texts, truth, value_at

__all__ = [
    "Faults", "Specs", "entry_point", "from_api", "from_files", "judged", "number", "plugins_at_work",
    "reconsidered", "texts", "truth", "value_at",
]  # fmt: skip

_BOTH: Final = "router has both a service and is referenced as a parent by other routers"


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def from_files(
    specs: Specs,
    *,
    provider: str = "file",
    others: Iterable[tuple[str, str]] | None = None,
    faults: Faults | None = None,
    plugins: Collection[str] = (),
    syntax: str = "",
) -> list[Router]:
    """The routers of one provider's configuration.

    `others` are (kind, qualified name) of what other providers have, Traefik's own included; without it, what is named
    of other providers is taken to be there, and what Traefik has to be started with is in doubt. So are plugins, but
    for those that are named here. `syntax` is that of rules which name none (`core.defaultRuleSyntax`). What rule,
    priority, parents and entry points tell is left to the table.
    """
    there = None if others is None else frozenset(others)
    reader = _Files(specs, Needs(specs, provider, there, faults or (lambda kind, spec: ()), plugins), syntax)
    return [
        reader.router(protocol, name, spec)
        for protocol in ("http", "tcp")
        for name, spec in specs.get(f"{protocol}.routers", {}).items()
    ]


def judged(
    doors: Iterable[EntryPoint],
    specs: Specs,
    *,
    provider: str = "file",
    others: Iterable[tuple[str, str]] | None = None,
    faults: Faults | None = None,
    plugins: Collection[str] = (),
) -> list[EntryPoint]:
    """Entry points with what is wrong, or in doubt, about the middlewares that they give to routers; see `from_files`.

    A middleware without a provider is another one for each router, and is taken to be there.
    """
    there = None if others is None else frozenset(others)
    needs = Needs(specs, provider, there, faults or (lambda kind, spec: ()), plugins)
    found: list[EntryPoint] = []
    for door in doors:
        state = needs.of_all(("http.middlewares", name) for name in door.middlewares if "@" in name)
        found.append(replace(door, fault=state.fault, doubt=state.doubt) if state != SOUND else door)
    return found


@dataclass
class _Files:
    specs: Specs
    needs: Needs
    syntax: str

    @property
    def provider(self) -> str:
        return self.needs.provider

    def router(self, protocol: str, name: str, spec: Any) -> Router:
        fields, own = fields_of(spec), f"{name}@{self.provider}"
        tls, written = fields.get("tls"), str(fields.get("service") or "")
        service = with_provider(written, own) if written else ""
        options = _options_name(str(value_at(tls, "options") or ""), own)
        passthrough = truth(value_at(tls, "passthrough"))
        middlewares = tuple(with_provider(one, own) for one in texts(fields.get("middlewares")))
        parents = tuple(with_provider(one, f"@{self.provider}") for one in texts(fields.get("parentrefs")))
        broken_tls = bool(options) and not passthrough and not self._has_options(options)
        serving = self.needs.of(f"{protocol}.services", service) if service else SOUND
        passing = self.needs.of_all((f"{protocol}.middlewares", one) for one in middlewares)
        disabled = passing.fault
        if broken_tls:
            disabled = f"there are no TLS options '{options}'"
        elif parents and fields.get("observability") is not None:
            disabled = "a router with parents cannot have options of observability"
        return Router(
            name=own,
            protocol=protocol,
            rule=str(fields.get("rule") or ""),
            entry_points=texts(fields.get("entrypoints")),
            priority=number(fields.get("priority")),
            tls=tls is not None and tls is not False,
            tls_options=options,
            passthrough=passthrough,
            broken_tls=broken_tls,
            service=service,
            middlewares=middlewares,
            parents=parents,
            syntax=str(fields.get("rulesyntax") or self.syntax),
            disabled=disabled,
            unserved=serving.fault,
            doubt=passing.doubt or serving.doubt,
            changes=changes_of(self._middleware(name) for name in middlewares),
        )

    # ── names ──

    def _own(self, kind: str, name: str) -> Any:
        """The resource of that qualified name in these files; None where it is not theirs, or is not there."""
        plain, _, provider = name.rpartition("@")
        return self.specs.get(kind, {}).get(plain) if provider == self.provider else None

    def _middleware(self, name: str, above: tuple[str, ...] = ()) -> Mapping[str, Any] | None:
        """A middleware with those of its chains in place, None where nobody here knows it."""
        spec = self._own("http.middlewares", name)
        if not isinstance(spec, Mapping):
            return None
        chained = [with_provider(one, name) for one in texts(value_at(value_at(spec, "chain"), "middlewares"))]
        return {
            **spec,
            "members": [self._middleware(one, (*above, name)) for one in chained if one not in (*above, name)],
        }

    def _has_options(self, options: str) -> bool:
        plain, _, provider = options.rpartition("@")
        if not options or provider != self.provider:
            return True  # the API lists no TLS options, so other providers' are taken on trust
        return plain in self.specs.get("tls.options", {})


def _options_name(options: str, user: str) -> str:
    """The TLS options that a resource of that qualified name asks for; "" the default ones."""
    return "" if options in ("", "default") else with_provider(options, user)


# ── the API ──────────────────────────────────────────────────────────────────────────────────────


def from_api(
    items: Specs, entry_points: Sequence[EntryPoint] = (), besides: Collection[tuple[str, str]] = ()
) -> list[Router]:
    """The routers of every provider, as a running Traefik lists them, but for those `besides` (kind, qualified name).

    Copies that it made of a router for entry points with options of their own are one router again, under the name
    that its owner gave it. `items` hold what /api/rawdata says of each, with status and errors.
    """
    merged: dict[Any, Router] = {}
    for protocol in ("http", "tcp"):
        listed = items.get(f"{protocol}.routers", {})
        for name, spec in listed.items():
            if (f"{protocol}.routers", name) in besides:
                continue
            router = _listed(protocol, name, spec, items)
            if protocol == "http":
                router = _original(router, listed, entry_points)
            key = replace(router, entry_points=())
            known = merged.get(key)
            doors = router.entry_points if known is None else (*known.entry_points, *router.entry_points)
            merged[key] = replace(router, entry_points=tuple(dict.fromkeys(doors)))
    return list(merged.values())


def _listed(protocol: str, name: str, spec: Any, items: Specs) -> Router:
    middlewares = tuple(with_provider(one, name) for one in texts(value_at(spec, "middlewares")))
    tls, service = value_at(spec, "tls"), str(value_at(spec, "service") or "")
    options = str(value_at(tls, "options") or "")
    errors = texts(value_at(spec, "error"))
    parents = tuple(with_provider(one, f"@{name.rpartition('@')[2]}") for one in texts(value_at(spec, "parentRefs")))
    is_disabled = value_at(spec, "status") == "disabled" and (bool(parents) or set(errors) != {_BOTH})
    missing_options = any("unknown TLS options" in error for error in errors)
    return Router(
        name=name,
        protocol=protocol,
        rule=str(value_at(spec, "rule") or ""),
        entry_points=texts(value_at(spec, "using")) or texts(value_at(spec, "entryPoints")),
        priority=number(value_at(spec, "priority")),
        tls=tls is not None,
        tls_options=_options_name(options, name),
        passthrough=truth(value_at(tls, "passthrough")),
        broken_tls=is_disabled and missing_options and not truth(value_at(tls, "passthrough")),
        service=with_provider(service, name) if service else "",
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
    chained = [with_provider(one, name) for one in texts(value_at(value_at(spec, "chain"), "middlewares"))]
    plain = {key: value for key, value in spec.items() if isinstance(value, Mapping)}
    return {**plain, "members": [_running(one, items, (*above, name)) for one in chained if one not in (*above, name)]}


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
        port=int(port) if port.isdecimal() and len(port) < 6 else None,
        tls=tls is not None,
        tls_options="" if options in ("", "default") else options,
        middlewares=middlewares,
        as_default=value_at(answer, "asDefault") is True,
        udp=address.endswith("/udp"),
        special=value_at(answer, "observability") is not None
        or any(value_at(http, key) not in (None, []) for key in ("tls", "middlewares", _ESCAPES)),
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
