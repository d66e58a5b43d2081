"""What services and middlewares need, and which routers serve nothing because something of it is not there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from reconciler.routing.routers import Router
from reconciler.routing.values import fields_of, texts, value_at

Specs = Mapping[str, Mapping[str, Any]]
"""Kind ("http.routers") -> name -> the resource as Traefik's files or its API have it; keys in any case."""
Faults = Callable[[str, Any], Iterable[str]]
"""What is wrong inside one service or middleware (kind, spec): Traefik disables the routers that use it."""
Named = tuple[str, str]
"""A kind and a qualified name."""

_ALWAYS: Final = ("http.services", "noop@internal")
_WITH_THE_API: Final = frozenset({
    ("http.services", "api@internal"), ("http.services", "dashboard@internal"),
    ("http.middlewares", "dashboard_redirect@internal"), ("http.middlewares", "dashboard_stripprefix@internal"),
})  # fmt: skip
"""Whoever names one of these has the API on; it is hardly ever off, and then these routers serve nothing."""
_SWITCHED: Final = frozenset({"acme-http@internal", "ping@internal", "prometheus@internal", "rest@internal"})


def context_of(name: str) -> str:
    """The provider that Traefik adds to names without one in a resource of this qualified name.

    That is what follows its first `@`: of `web@file` it is `file`, but of `web@lan@file`, which a file may hold, `lan`.
    """
    return name.split("@")[1] if "@" in name else ""


def with_provider(name: str, user: str) -> str:
    """A name as Traefik takes it where it is written in a resource of that qualified name."""
    return name if "@" in name else f"{name}@{context_of(user)}"


def needed(kind: str, spec: Any) -> Iterator[Named]:
    """The kind and the name, as written, of everything without which a service or middleware does not work."""
    protocol, fields = kind.partition(".")[0], fields_of(spec)
    services = f"{protocol}.services"
    if kind.endswith(".middlewares"):
        for name in texts(value_at(fields.get("chain"), "middlewares")):
            yield kind, name
        if service := value_at(fields.get("errors"), "service"):
            yield services, str(service)
        return
    for name in texts(fields.get("middlewares")):
        yield f"{protocol}.middlewares", name
    if transport := value_at(fields.get("loadbalancer"), "serversTransport"):
        yield f"{protocol}.serversTransports", str(transport)
    for holder, group in (("weighted", "services"), ("highestrandomweight", "services"), ("mirroring", "mirrors")):
        members = value_at(fields.get(holder), group)
        for member in members if isinstance(members, list) else ():
            if name := value_at(member, "name"):
                yield services, str(name)
    for holder, key in (("mirroring", "service"), ("failover", "service"), ("failover", "fallback")):
        if name := value_at(fields.get(holder), key):
            yield services, str(name)


def watched(kind: str, spec: Any) -> Iterator[str]:
    """The services, as written, that an HTTP service must hear of when they go down or come back."""
    if kind != "http.services":
        return
    failover = value_at(spec, "failover")
    if failover and value_at(failover, "errors") is None:
        yield str(value_at(failover, "service"))
        if value_at(failover, "healthCheck") is not None:
            yield str(value_at(failover, "fallback"))
    for holder in ("weighted", "highestRandomWeight"):
        if value_at(value_at(spec, holder), "healthCheck") is not None:
            members = value_at(value_at(spec, holder), "services")
            yield from (str(value_at(one, "name")) for one in (members if isinstance(members, list) else ()))


def _tells_its_health(spec: Any) -> bool:
    holders = ("loadBalancer", "weighted", "highestRandomWeight", "mirroring", "failover")
    return any(value_at(value_at(spec, holder), "healthCheck") is not None for holder in holders)


class State(NamedTuple):
    """Of a service or middleware: why whatever uses it is disabled, or why nobody here can tell whether it is."""

    fault: str = ""
    doubt: str = ""


SOUND: Final = State()


@dataclass
class Needs:
    """What one provider's services and middlewares come to.

    `others` are (kind, qualified name) of everything that other providers have, Traefik's own included; None where
    nobody knows: then what is named of theirs is taken to be there. `plugins` are those that Traefik is known to have.
    """

    specs: Specs
    provider: str
    others: frozenset[Named] | None
    faults: Faults
    plugins: Collection[str] = ()

    def of(self, kind: str, name: str) -> State:
        """A service or middleware by its qualified name."""
        known = self._known.get((kind, name))
        if known is None:
            self._known[kind, name] = State(fault=f"{_what(kind)} {name} comes back to itself")
            known = self._known[kind, name] = self._judged(kind, name)
        return known

    def of_all(self, wanted: Iterable[Named]) -> State:
        """The first fault among these, else the first doubt."""
        states = [self.of(kind, name) for kind, name in wanted]
        return max(states, key=lambda state: (bool(state.fault), bool(state.doubt)), default=SOUND)

    @cached_property
    def _known(self) -> dict[Named, State]:
        return {}

    def _judged(self, kind: str, name: str) -> State:
        plain, _, provider = name.rpartition("@")
        if provider == "internal":
            return self._internal(kind, name)
        if provider != self.provider:
            absent = self.others is not None and (kind, name) not in self.others
            return State(fault=f"there is no {_what(kind)} {name}") if absent else SOUND
        spec = self.specs.get(kind, {}).get(plain)
        if spec is None:
            return State(fault=f"there is no {_what(kind)} '{plain}'")
        for fault in self.faults(kind, spec):
            return State(fault=f"{_what(kind)} '{plain}': {fault}")
        state = self._of_members(kind, name, spec)
        return state if state.fault else State(doubt=self._plugin_doubt(plain, spec) or state.doubt)

    def _internal(self, kind: str, name: str) -> State:
        """What Traefik makes itself, if it is told to where it is started."""
        there = (kind, name) in _WITH_THE_API if self.others is None else (kind, name) in self.others
        if there or (kind, name) == _ALWAYS:
            return SOUND
        switched = kind == "http.services" and name in _SWITCHED
        redirects = kind == "http.middlewares" and name.startswith("redirect-") and "-to-" in name
        if self.others is None and (switched or redirects):
            return State(doubt=f"whether Traefik was started with {name} is not known here")
        return State(fault=f"there is no {_what(kind)} {name}")

    def _of_members(self, kind: str, user: str, spec: Any) -> State:
        wanted = list(needed(kind, spec))
        for other, name in wanted:
            if other.endswith(".serversTransports") and (
                fault := self._transport_fault(other, with_provider(name, user))
            ):
                return State(fault=fault)
        members = [(other, with_provider(name, user)) for other, name in wanted if not other.endswith("Transports")]
        states = (self.of_all(members), *(self._unheard(kind, with_provider(one, user)) for one in watched(kind, spec)))
        return max(states, key=lambda state: (bool(state.fault), bool(state.doubt)))

    def _unheard(self, kind: str, name: str) -> State:
        """Of a service whose health another one must hear of: Traefik disables that one where there is none to hear."""
        plain, _, provider = name.rpartition("@")
        silent = State(fault=f"service '{plain}' has no healthCheck, so nobody can tell when to turn to another")
        if provider == "internal":
            return silent
        if provider != self.provider:
            return State(doubt=f"whether service {name} has a healthCheck is not known here")
        spec = self.specs.get(kind, {}).get(plain)
        return SOUND if spec is None or _tells_its_health(spec) else silent

    def _transport_fault(self, kind: str, name: str) -> str:
        plain, _, provider = name.rpartition("@")
        if provider != self.provider or plain in self.specs.get(kind, {}):
            return ""
        return f"there is no servers transport '{plain}'"

    def _plugin_doubt(self, plain: str, spec: Any) -> str:
        plugin = value_at(spec, "plugin")
        for name in plugin if isinstance(plugin, Mapping) else ():
            if name not in self.plugins:
                return f"whether Traefik was started with the plugin '{name}' of middleware '{plain}' is not known here"
        return ""


def _what(kind: str) -> str:
    return kind.partition(".")[2].removesuffix("s")


# ── when something comes or goes ─────────────────────────────────────────────────────────────────


def reconsidered(
    routers: Iterable[Router], specs: Specs, *, gone: Collection[Named] = (), come: Collection[Named] = ()
) -> list[Router]:
    """Routers as a running Traefik lists them, as they would be without these and with those.

    `specs` are the definitions around them by qualified name: whatever needs what is gone, however many others lie
    between, is gone too. A router that is disabled for want of what comes may serve then; nobody can tell before.
    """
    lost = _lost(specs, gone)
    found = [_without(router, lost) for router in routers]
    return [_with(router, come) for router in found] if come else found


def _lost(specs: Specs, gone: Collection[Named]) -> dict[Named, str]:
    """Everything that does not work any more -> why."""
    lost = {(kind, name): f"{_what(kind)} {name} does not exist" for kind, name in gone}
    if not lost:
        return lost
    users: dict[Named, list[Named]] = {}
    for kind, held in specs.items():
        for name, spec in held.items() if kind.endswith((".services", ".middlewares")) else ():
            for other, text in needed(kind, spec):
                users.setdefault((other, with_provider(text, name)), []).append((kind, name))
    waiting = list(lost)
    while waiting:
        used = waiting.pop()
        for user in users.get(used, ()):
            if user not in lost:
                lost[user] = lost[used]
                waiting.append(user)
    return lost


def _without(router: Router, lost: Mapping[Named, str]) -> Router:
    if not lost or router.disabled:
        return router
    options = lost.get(("tls.options", router.tls_options), "")
    if options and router.tls and not router.passthrough:
        return replace(router, disabled=options, broken_tls=True)
    middlewares = ((f"{router.protocol}.middlewares", name) for name in router.middlewares)
    disabled = next((lost[one] for one in middlewares if one in lost), "")
    unserved = lost.get((f"{router.protocol}.services", router.service), "")
    return replace(router, disabled=disabled, unserved=unserved) if disabled or unserved else router


def _with(router: Router, come: Collection[Named]) -> Router:
    if not router.disabled or not any(f'"{name}" does not exist' in router.disabled for _, name in come):
        return router
    doubt = f"it was disabled for want of what comes now ({router.disabled}), and may lack more"
    return replace(router, disabled="", doubt=doubt)


def plugins_at_work(items: Specs) -> frozenset[str]:
    """The plugins that a running Traefik has, as far as routers that serve show: `items` as its API lists them."""
    middlewares = items.get("http.middlewares", {})
    if not any(value_at(spec, "plugin") for spec in middlewares.values()):
        return frozenset()
    found: set[str] = set()
    waiting = [
        with_provider(one, name)
        for name, router in items.get("http.routers", {}).items()
        if value_at(router, "status") != "disabled"
        for one in texts(value_at(router, "middlewares"))
    ]
    known: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known or name not in middlewares:
            continue
        known.add(name)
        spec = middlewares[name]
        plugin = value_at(spec, "plugin")
        found.update(map(str, plugin) if isinstance(plugin, Mapping) else ())
        waiting += [with_provider(one, name) for one in texts(value_at(value_at(spec, "chain"), "middlewares"))]
    return frozenset(found)
