"""What services, middlewares and TLS options are: what each names in turn, and whom it lets in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from reconciler.routing.choosing import plain_name
from reconciler.routing.gates import Gate
from reconciler.routing.needs import Named, Specs, context_of, needed
from reconciler.routing.values import fields_of, texts, value_at
from state.model import digest

_OPTIONS: Final = "tls.options"
_DEFAULT: Final = "default"
_CONFINING: Final = ("ipAllowList", "ipWhiteList")
_DIVIDING: Final = ("weighted", "highestrandomweight", "failover")
_DEMANDING: Final = frozenset({"requireanyclientcert", "requireandverifyclientcert"})


class Definitions:
    """What services and middlewares are, by kind and qualified name (`auth@file`, or `auth` for a file's).

    The digest of one covers everything that it names in turn, so that a changed link changes the chain.
    """

    def __init__(self, specs: Specs | None = None) -> None:
        self._specs = {
            kind: {qualified(name): spec for name, spec in held.items()} for kind, held in (specs or {}).items()
        }
        self._known: dict[tuple[str, str], str] = {}

    def revised(self, changes: Mapping[Named, Any]) -> Definitions:
        """These with other specs under some names, None where nothing is any more; shares what is the same."""
        return _Revised(self, changes)

    def differing(self, other: Definitions) -> frozenset[Named]:
        """Everything that is not the same in both, with what names it in turn."""
        one, two = self._specs, other._specs
        candidates = _candidates(self, other)
        found = (
            {(kind, name) for kind in one.keys() | two.keys() for name in _unlike(one.get(kind, {}), two.get(kind, {}))}
            if candidates is None
            else {(kind, name) for kind, name in candidates if self._spec(kind, name) != other._spec(kind, name)}
        )
        waiting = set(found)
        while waiting:
            waiting = {user for used in waiting for side in (self, other) for user in side._users.get(used, ())} - found
            found |= waiting
        return frozenset(found)

    def _spec(self, kind: str, name: str) -> Any:
        return self._specs.get(kind, {}).get(name)

    @cached_property
    def _users(self) -> dict[Named, list[Named]]:
        """What is named by others -> those others."""
        found: dict[Named, list[Named]] = {}
        for kind, held in self._specs.items():
            for name, spec in held.items():
                for need in _needs(kind, name, spec):
                    found.setdefault(need, []).append((kind, name))
        return found

    def digest_of(self, kind: str, name: str) -> str:
        """ "" for what nobody defines here."""
        key = kind, qualified(name)
        found = self._known.get(key)
        if found is None:
            self._known[key] = ""  # what comes back to itself ends here
            found = self._known[key] = self._digest(*key)
        return found

    def _digest(self, kind: str, name: str) -> str:
        spec = self._specs.get(kind, {}).get(name)
        if spec is None:
            return ""
        return digest([spec, [[*need, self.digest_of(*need)] for need in _needs(kind, name, spec)]])

    def middlewares_of(self, kind: str, name: str) -> tuple[str, ...]:
        """Those that a service itself puts before its servers."""
        name = qualified(name)
        listed = texts(fields_of(self._spec(kind, name)).get("middlewares"))
        return tuple(plain_name(qualified(one, context_of(name))) for one in listed)

    def members_of(self, kind: str, name: str) -> tuple[str, ...]:
        """The services between which a service divides its requests; a mirror gets only copies."""
        name = qualified(name)
        fields = fields_of(self._spec(kind, name))
        named = [one for holder in _DIVIDING if holder in fields for one in _services_in(fields[holder])]
        if main := value_at(fields.get("mirroring"), "service"):
            named.append(str(main))
        return tuple(qualified(one, context_of(name)) for one in named)

    def servers_of(self, kind: str, name: str, above: frozenset[str] = frozenset()) -> frozenset[str]:
        """Where the servers are to which a service hands requests on, itself or through others."""
        name = qualified(name)
        own = _servers_in(self._specs.get(kind, {}).get(name))
        members = [one for one in self.members_of(kind, name) if one not in above]
        return frozenset(own).union(*(self.servers_of(kind, one, above | {name}) for one in members))

    def leading_to(self, kind: str, server: str) -> frozenset[str]:
        """The services by which requests get to a server, by qualified name."""
        waiting = [(kind, name) for name in self._by_server.get((kind, server), ())]
        found = set(waiting)
        while waiting:
            above = [user for user in self._users.get(waiting.pop(), ()) if user[0] == kind and user not in found]
            found.update(above)
            waiting += above
        return frozenset(name for _, name in found if server in self.servers_of(kind, name))

    @cached_property
    def _by_server(self) -> Mapping[Named, list[str]]:
        """Kind and server -> the services that name it themselves."""
        found: dict[Named, list[str]] = {}
        for kind, held in self._specs.items():
            for name, spec in held.items() if kind.endswith(".services") else ():
                for server in _servers_in(spec):
                    found.setdefault((kind, server), []).append(name)
        return found

    def answering_errors(self, middlewares: Iterable[str], above: frozenset[str] = frozenset()) -> Iterator[str]:
        """The services that answer in place of errors where requests pass these HTTP middlewares."""
        for name in map(qualified, middlewares):
            for kind, needed_name in _needs("http.middlewares", name, self._spec("http.middlewares", name)):
                if kind == "http.services":
                    yield needed_name
                elif name not in above:
                    yield from self.answering_errors([needed_name], above | {name})

    def answering_for(self, service: str) -> frozenset[Named]:
        """The HTTP middlewares by which a service answers in place of errors, and chains with one of them."""
        waiting: list[Named] = [("http.services", qualified(service))]
        found = set[Named]()
        while waiting:
            users = self._users.get(waiting.pop(), ())
            above = [user for user in users if user[0] == "http.middlewares" and user not in found]
            found.update(above)
            waiting += above
        return frozenset(found)

    def options_part(self, options: str) -> tuple[tuple[str, str], ...]:
        """The digest of TLS options ("" are the default ones) under a name for people; nothing where none is known."""
        found = self.digest_of(_OPTIONS, options or _DEFAULT)
        return ((f"TLS options {plain_name(options or _DEFAULT)}", found),) if found else ()

    def demands_certificate(self, options: str) -> bool:
        """Whether nobody comes in under these TLS options without a certificate of their own.

        Of options that nobody here has seen it is supposed that they were made for that.
        """
        spec = self._specs.get(_OPTIONS, {}).get(qualified(options or _DEFAULT))
        if spec is None and options not in ("", _DEFAULT):
            return True
        return str(value_at(value_at(spec, "clientAuth"), "clientAuthType")).lower() in _DEMANDING

    def certificate_gate(self, options: str) -> Gate:
        """What these TLS options demand of whoever comes."""
        spec = self._specs.get(_OPTIONS, {}).get(qualified(options or _DEFAULT))
        return Gate(plain_name(options or _DEFAULT), _OPTIONS, value_at(spec, "clientAuth") or {})

    def address_gate(self, kind: str, name: str) -> Gate | None:
        """What a middleware by itself demands of the addresses that requests come from; None: nothing."""
        spec = self._specs.get(kind, {}).get(qualified(name))
        kept = {one.casefold(): value for one in _CONFINING if (value := value_at(spec, one)) is not None}
        return Gate(plain_name(name), kind, kept) if kept else None

    def confines(self, kind: str, name: str, above: frozenset[str] = frozenset()) -> bool:
        """Whether a middleware, or one in its chain, lets in only those that come from certain addresses."""
        name = qualified(name)
        spec, provider = self._specs.get(kind, {}).get(name), context_of(name)
        if any(value_at(spec, kept) is not None for kept in _CONFINING):
            return True
        chained = [qualified(one, provider) for one in texts(value_at(value_at(spec, "chain"), "middlewares"))]
        return any(self.confines(kind, one, above | {name}) for one in chained if one not in above)

    def parts_of(self, protocol: str, service: str, middlewares: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Digests of everything that treats a request."""
        if not self._specs:
            return ()
        wanted = [(f"{protocol}.services", service), *((f"{protocol}.middlewares", name) for name in middlewares)]
        return tuple((name, found) for kind, name in wanted if (found := self.digest_of(kind, name)))


class _Revised(Definitions):
    def __init__(self, base: Definitions, changes: Mapping[Named, Any]) -> None:
        super().__init__()
        self._base, self._changes = base, changes
        self._specs = dict(base._specs)
        for kind in {kind for kind, _ in changes}:
            self._specs[kind] = dict(base._specs.get(kind, {}))
        for (kind, name), spec in changes.items():
            if spec is None:
                self._specs[kind].pop(name, None)
            else:
                self._specs[kind][name] = spec

    @cached_property
    def _users(self) -> dict[Named, list[Named]]:
        """Whoever no longer names something may still be told here: it differs itself."""
        found = dict(self._base._users)
        for named, spec in self._changes.items():
            for need in _needs(*named, spec):
                found[need] = [*found.get(need, ()), named]
        return found

    @cached_property
    def _by_server(self) -> Mapping[Named, list[str]]:
        """Whoever no longer names a server may still be told here: `leading_to` looks again."""
        found = dict(self._base._by_server)
        for (kind, name), spec in self._changes.items():
            for server in _servers_in(spec) if kind.endswith(".services") else ():
                found[kind, server] = [*found.get((kind, server), ()), name]
        return found


def _candidates(one: Definitions, other: Definitions) -> frozenset[Named] | None:
    """All that may differ between two; None: anything."""
    bases = [each._base if isinstance(each, _Revised) else each for each in (one, other)]
    if bases[0] is not bases[1]:
        return None
    return frozenset().union(*(each._changes for each in (one, other) if isinstance(each, _Revised)))


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """The keys that do not have the same value in both."""
    yield from one.keys() ^ other.keys()
    yield from (name for name, spec in one.items() if name in other and other[name] is not spec and other[name] != spec)


def _needs(kind: str, name: str, spec: Any) -> list[Named]:
    """Everything that a definition names."""
    provider = context_of(name)
    return [(other, qualified(text, provider)) for other, text in needed(kind, spec)]


def _servers_in(spec: Any) -> Iterator[str]:
    listed = value_at(value_at(spec, "loadBalancer"), "servers")
    for server in listed if isinstance(listed, list) else ():
        if where := value_at(server, "url") or value_at(server, "address"):
            yield str(where).rstrip("/")


def _services_in(holder: Any) -> Iterator[str]:
    for key in ("services", "mirrors"):
        members = value_at(holder, key)
        for member in members if isinstance(members, list) else ():
            if name := value_at(member, "name"):
                yield str(name)
    for key in ("service", "fallback"):
        if isinstance(name := value_at(holder, key), str):
            yield name


def qualified(name: str, provider: str = "file") -> str:
    """A name with its provider: that of whoever refers to it, where it says none."""
    return name if "@" in name else f"{name}@{provider}"
