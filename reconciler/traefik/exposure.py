"""Which middlewares ask who is there, what the internet newly reaches, what protected resources need. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from reconciler.routing.gates import Gate
from reconciler.routing.hosting import treatments_for
from reconciler.routing.planes import Place
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Strictness
from reconciler.routing.values import number, texts, value_at
from reconciler.traefik import references
from reconciler.traefik.references import at, listed
from state.model import Address, Snapshot, Spec

AUTHENTICATING = frozenset({"basicauth", "digestauth", "forwardauth"})
_MIDDLEWARES = "http.middlewares"
_CONFINING = frozenset({"ipallowlist", "ipwhitelist"})
_REFUSALS = (*range(300, 404), 407)
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})

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
        return any(_leads_to_tls(_lowered(spec)) for _, spec in self._links(instance, names))

    def gates(self, instance: str, names: Sequence[str]) -> tuple[Gate, ...]:
        """What of these middlewares decides who may come in, and what gets round that, in the order of the way."""
        return tuple(gate for name, spec in self._links(instance, names) if (gate := self._gate(instance, name, spec)))

    def _gate(self, instance: str, name: str, spec: Spec) -> Gate | None:
        lowered, plain = _lowered(spec), name.removesuffix("@file")
        asking = {kind: value for kind, value in lowered.items() if kind in AUTHENTICATING | _CONFINING}
        if asking or self.asks(instance, [name]):
            return Gate(plain, _MIDDLEWARES, asking or lowered or {"named": name})
        if said := _said_for_others(lowered):
            return Gate(plain, _MIDDLEWARES, said, undoes="says who somebody is before anybody asks")
        if (answering := lowered.get("errors")) and _answers_refusals(answering):
            service = str(at(answering, "service") or "")
            behind = self._behind(instance, service, name.rpartition("@")[2])
            words = f"has `{service.removesuffix('@file')}` answer whoever is turned away"
            return Gate(plain, _MIDDLEWARES, {"errors": answering, "behind": behind}, undoes=words)
        return None

    def _behind(self, instance: str, service: str, provider: str) -> list[list[Any]]:
        """Of ours, all that a service is which a middleware of that provider names."""
        plain, _, named = service.partition("@")
        start = Address(instance, "http.services", plain)
        concerned = references.needs([start], self.ours) if (named or provider) == "file" else set()
        return [[str(one), self.ours.get(one)] for one in sorted(concerned)]

    def _links(
        self, instance: str, names: Iterable[str], provider: str = "file", above: frozenset[str] = frozenset()
    ) -> Iterator[tuple[str, Spec]]:
        """Middlewares in the order in which requests pass them, those of a chain in its place, by qualified name."""
        for name in names:
            plain, _, named = name.partition("@")
            whole = f"{plain}@{named or provider}"
            spec = self._spec(instance, plain, named or provider)
            links = [] if whole in above else list(_chain(spec))
            yield from self._links(instance, links, named or provider, above | {whole}) if links else ((whole, spec),)

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


def _leads_to_tls(lowered: Mapping[str, Any]) -> bool:
    if str(at(lowered.get("redirectscheme"), "scheme")).lower() == "https":
        return True
    by_pattern = lowered.get("redirectregex")
    everything = re.sub(r"[\^$()]", "", str(at(by_pattern, "regex"))) in ("http://.*", "http://.+", ".*", "http:")
    return everything and str(at(by_pattern, "replacement")).lower().startswith("https://")


def _said_for_others(lowered: Mapping[str, Any]) -> dict[str, Any]:
    """The headers with credentials that a middleware adds to requests, whoever they come from."""
    added = at(lowered.get("headers"), "customRequestHeaders")
    pairs = added.items() if isinstance(added, Mapping) else ()
    return {str(name).lower(): value for name, value in pairs if str(name).lower() in _CREDENTIALS and value}


def _answers_refusals(errors: Any) -> bool:
    """Whether a middleware that answers in place of errors does so where somebody is turned away."""
    return any(map(_may_refuse, texts(value_at(errors, "status"))))


def _may_refuse(status: str) -> bool:
    """Of one status, or a range of them. 404 alone and failures of servers are no answers of gates that work."""
    first, _, last = status.partition("-")
    low, high = number(first), number(last or first)
    return any(low <= one <= high for one in _REFUSALS) or not low


def _lowered(spec: Spec) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in spec.items()} if isinstance(spec, Mapping) else {}


def _chain(spec: Spec) -> Iterator[str]:
    yield from map(str, listed(spec, "chain", "middlewares"))


# ── what the internet newly reaches ──────────────────────────────────────────────────────────────


def exposed(change: Change, was: Serving, will_be: Serving) -> Iterator[str]:
    """The hosts and paths of a change to which the internet gets a way that it did not have.

    A path that nobody answered for counts, with one exception: its host is named by a router that answers there
    already, and it takes no less to get to the new path than it takes to get to any other of the host. Then the
    internet finds another page of what it knows, which is no loss; where other paths ask who is there, or let in
    certain addresses only, and the new one does not, somebody may have forgotten that.
    """
    before, after, place = change.before, change.after, (change.entry_point, change.tls)
    if change.entry_point not in will_be.public or change.unknown or not (before and after):
        return
    if not before.served and after.served:
        taken = will_be.strictness(after)
        strictest: dict[str, Strictness | None] = {}
        for shown in change.hosts:
            host = shown.partition("/")[0]
            if host not in strictest:
                strictest[host] = _strictest(was, host, place)
            known = strictest[host]
            if known is None or taken < known:
                yield shown


def _strictest(serving: Serving, host: str, place: Place) -> Strictness | None:
    """What it takes to get to the best kept path of a host; None where nobody answers for it, or nobody can tell."""
    found = treatments_for(serving, host, place) if host and " " not in host else None
    if found is None:
        return None
    treatments = list(found)
    if any(one.kind == "unknown" for one in treatments):
        return None
    return max((serving.strictness(one) for one in treatments if one.served), default=None)
