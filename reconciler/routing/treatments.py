"""What becomes of a request: who serves it, through which middlewares, or why nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from reconciler.routing.choosing import Ranked, plain_name
from reconciler.routing.planes import Claimant, Place, planes
from reconciler.routing.reading import Specs, texts, value_at
from reconciler.routing.request import Request
from reconciler.routing.table import Answer, Table, UnknownEntryPoint
from state.model import digest

Kind = Literal["served", "tied", "tcp", "not found", "misdirected", "closed", "refused", "absent", "unknown"]

_OPTIONS: Final = "tls.options"
_DEFAULT: Final = "default"
_DEMANDING: Final = frozenset({"requireanyclientcert", "requireandverifyclientcert"})

Asks = Callable[[Sequence[str]], bool]
"""Whether a chain of middlewares, by their names, asks who is there."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What becomes of a request. Names are as in answers: `gitea`, of other providers `web@docker`.

    `among`: the routers between which chance decides ("tied"). `options`: the TLS options of the connection.
    `parts`: digests of the definitions behind the names, where these are known. `why`: of "unknown" and "refused".
    """

    kind: Kind
    router: str = ""
    service: str = ""
    middlewares: tuple[str, ...] = ()
    tls: bool = False
    options: str = ""
    among: tuple[Treatment, ...] = ()
    parts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    why: str = field(default="", compare=False)

    @property
    def served(self) -> bool:
        """Whether somebody behind Traefik gets the request."""
        return self.kind in ("served", "tied", "tcp")

    @property
    def chances(self) -> tuple[Treatment, ...]:
        """What it may come to: itself, or one of those in a tie."""
        return self.among or (self,)

    @property
    def target(self) -> tuple[str, ...]:
        return tuple(one.service for one in self.chances)


def order(one: Treatment) -> tuple[object, ...]:
    """Treatments in an order that does not change from run to run."""
    return (one.kind, one.router, one.service, one.middlewares, one.options, tuple(map(order, one.among)), one.parts)


Named = tuple[str, str]
"""A kind and a qualified name."""


class Definitions:
    """What services and middlewares are, by kind and qualified name (`auth@file`, or `auth` for a file's).

    The digest of one covers everything that it names in turn, so that a changed link changes the chain.
    """

    def __init__(self, specs: Specs | None = None) -> None:
        self._specs = {
            kind: {_qualified(name): spec for name, spec in held.items()} for kind, held in (specs or {}).items()
        }
        self._known: dict[tuple[str, str], str] = {}

    def differing(self, other: Definitions) -> frozenset[Named]:
        """Everything that is not the same in both, with what names it in turn."""
        one, two = self._specs, other._specs
        found = {
            (kind, name) for kind in one.keys() | two.keys() for name in _unlike(one.get(kind, {}), two.get(kind, {}))
        }
        waiting = set(found)
        while waiting:
            waiting = {user for used in waiting for side in (self, other) for user in side._users.get(used, ())} - found
            found |= waiting
        return frozenset(found)

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
        key = kind, _qualified(name)
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
        name = _qualified(name)
        provider = name.rpartition("@")[2]
        listed = texts(value_at(self._specs.get(kind, {}).get(name), "middlewares"))
        return tuple(plain_name(_qualified(one, provider)) for one in listed)

    def members_of(self, kind: str, name: str) -> tuple[str, ...]:
        """The services between which a service divides its requests; a mirror gets only copies."""
        name = _qualified(name)
        spec, provider = self._specs.get(kind, {}).get(name), name.rpartition("@")[2]
        named = [
            name
            for holder in ("weighted", "highestRandomWeight", "failover")
            for name in _services_in(value_at(spec, holder))
        ]
        if main := value_at(value_at(spec, "mirroring"), "service"):
            named.append(str(main))
        return tuple(_qualified(one, provider) for one in named)

    def options_part(self, options: str) -> tuple[tuple[str, str], ...]:
        """The digest of TLS options ("" are the default ones) under a name for people; nothing where none is known."""
        found = self.digest_of(_OPTIONS, options or _DEFAULT)
        return ((f"TLS options {plain_name(options or _DEFAULT)}", found),) if found else ()

    def demands_certificate(self, options: str) -> bool:
        """Whether nobody comes in under these TLS options without a certificate of their own."""
        spec = self._specs.get(_OPTIONS, {}).get(_qualified(options or _DEFAULT))
        return str(value_at(value_at(spec, "clientAuth"), "clientAuthType")).lower() in _DEMANDING

    def parts_of(self, protocol: str, service: str, middlewares: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Digests of everything that treats a request."""
        if not self._specs:
            return ()
        wanted = [(f"{protocol}.services", service), *((f"{protocol}.middlewares", name) for name in middlewares)]
        return tuple((name, found) for kind, name in wanted if (found := self.digest_of(kind, name)))


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """The keys that do not have the same value in both."""
    yield from one.keys() ^ other.keys()
    yield from (name for name, spec in one.items() if name in other and other[name] is not spec and other[name] != spec)


def _needs(kind: str, name: str, spec: Any) -> list[Named]:
    """Everything that a definition names."""
    provider = name.rpartition("@")[2]
    return [(other, _qualified(text, provider)) for other, text in _needed(kind, spec)]


def _needed(kind: str, spec: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of what a definition names; more rather than less."""
    protocol = kind.partition(".")[0]
    if kind.endswith(".middlewares"):
        for name in texts(value_at(value_at(spec, "chain"), "middlewares")):
            yield kind, name
        if service := value_at(value_at(spec, "errors"), "service"):
            yield f"{protocol}.services", str(service)
        return
    for name in texts(value_at(spec, "middlewares")):
        yield f"{protocol}.middlewares", name
    if transport := value_at(value_at(spec, "loadBalancer"), "serversTransport"):
        yield f"{protocol}.serversTransports", str(transport)
    for holder in ("weighted", "highestRandomWeight", "mirroring", "failover"):
        for name in _services_in(value_at(spec, holder)):
            yield f"{protocol}.services", name


def _services_in(holder: Any) -> Iterator[str]:
    for key in ("services", "mirrors"):
        members = value_at(holder, key)
        for member in members if isinstance(members, list) else ():
            if name := value_at(member, "name"):
                yield str(name)
    for key in ("service", "fallback"):
        if isinstance(name := value_at(holder, key), str):
            yield name


def _qualified(name: str, provider: str = "file") -> str:
    return name if "@" in name else f"{name}@{provider}"


@dataclass(frozen=True, eq=False)
class Serving:
    """Everything that serves at one moment: the table, what stands behind its names, who asks who is there."""

    table: Table
    definitions: Definitions = field(default_factory=Definitions)
    asks: Asks = lambda middlewares: False
    redirects: Asks = lambda middlewares: False
    """Whether a chain sends whoever comes without TLS to where there is TLS, and serves them nothing."""

    def treatment(self, request: Request) -> Treatment:
        """What becomes of a request that names its entry point."""
        return self.judged(request)[1]

    def judged(self, request: Request) -> tuple[Answer | None, Treatment]:
        """The table's answer (None: no such entry point), and what becomes of the request."""
        try:
            answer = self.table.answer(request)
        except UnknownEntryPoint as error:
            return None, Treatment(kind="absent", tls=request.tls, why=str(error))
        return answer, self._of(answer)

    def _of(self, answer: Answer) -> Treatment:
        tls = answer.tls
        if answer.unknown:
            return Treatment(kind="unknown", tls=tls, why=answer.unknown)
        if answer.taken_by == "nobody":
            return Treatment(kind="closed", tls=tls)
        if answer.tied:
            return self._tie([self._resolved(one, answer) for one in _contenders(self.table, answer)], tls)
        if answer.taken_by == "tcp":
            return self._served("tcp", answer.router or "", answer.service, answer.middlewares, tls, "")
        if answer.router is not None:
            options = self._options(answer) if tls else ""
            return self._served("served", answer.router, answer.service, answer.middlewares, tls, options)
        if answer.status == 421:
            return Treatment(kind="misdirected", tls=tls)
        if answer.status == 404:
            return Treatment(kind="not found", tls=tls)
        return Treatment(kind="refused", tls=tls, why=f"{answer.status}: {answer.reason}")

    def _served(
        self, kind: Kind, router: str, service: str, middlewares: tuple[str, ...], tls: bool, options: str
    ) -> Treatment:
        protocol = "tcp" if kind == "tcp" else "http"
        parts = self.definitions.parts_of(protocol, service, middlewares)
        if tls:
            parts += self.definitions.options_part(options)
        return Treatment(
            kind=kind, router=router, service=service, middlewares=middlewares, tls=tls, options=options, parts=parts
        )

    def _tie(self, among: Iterable[Treatment], tls: bool) -> Treatment:
        found = sorted(among, key=order)
        hidden = next((one for one in found if one.kind == "unknown"), None)
        return hidden or Treatment(kind="tied", among=tuple(found), tls=tls)

    def _resolved(self, one: Ranked, answer: Answer) -> Treatment:
        """What becomes of the request if chance gives it to this router."""
        if one.below is None or answer.seen is None:
            kind: Kind = "tcp" if one.router.protocol == "tcp" else "served"
            return self._served(kind, one.shown, plain_name(one.router.service), one.middlewares, answer.tls, "")
        choice = one.below.choose(answer.seen)
        if choice.unknown:
            return Treatment(kind="unknown", tls=answer.tls, why=choice.unknown)
        if choice.tied:
            return self._tie([self._resolved(each, answer) for each in choice.tied], answer.tls)
        return self._resolved(choice.path[-1], answer) if choice.served else Treatment(kind="not found", tls=answer.tls)

    def _options(self, answer: Answer) -> str:
        connections = self.table.connections[answer.entry_point]
        found = connections.options_of(answer.path[0].router) if connections.matter(tls=True) else ""
        return "" if found == "default" else found

    def of_claimant(self, claimant: Claimant | None, place: Place) -> Treatment:
        """What becomes of requests that end with a claimant (None: with nobody), apart from ties and TLS options."""
        if claimant is None or claimant.childless:
            return Treatment(kind="not found", tls=place[1])
        router, tcp = claimant.last.router, claimant.last.router.protocol == "tcp"
        service, middlewares = plain_name(router.service), claimant.last.middlewares
        found = self._served("tcp" if tcp else "served", claimant.last.shown, service, middlewares, place[1], "")
        own = self.definitions.options_part(claimant.root.router.tls_options) if place[1] else ()
        return replace(found, parts=(*found.parts, *own))

    def is_open(self, treatment: Treatment) -> bool:
        """Whether a request may be served without anybody asking who is there."""
        return treatment.served and not all(map(self._asks, treatment.chances))

    def _asks(self, one: Treatment) -> bool:
        """By the middlewares on the way, or by those of the service; who is only sent to https gets nothing here."""
        if not one.tls and self.redirects(one.middlewares):
            return True
        if one.tls and self.definitions.demands_certificate(one.options):
            return True
        kind = "tcp.services" if one.kind == "tcp" else "http.services"
        return self.asks(one.middlewares) or self._service_asks(kind, one.service, frozenset())

    def _service_asks(self, kind: str, name: str, above: frozenset[str]) -> bool:
        """By its own middlewares, or because all those do to which it hands requests on."""
        if name in above:
            return False
        if self.asks(self.definitions.middlewares_of(kind, name)):
            return True
        members = self.definitions.members_of(kind, name)
        return bool(members) and all(self._service_asks(kind, one, above | {name}) for one in members)


def _contenders(table: Table, answer: Answer) -> list[Ranked]:
    """The routers of a tie."""
    below = answer.path[-1].below if answer.path else None
    layer = below or planes(table)[answer.entry_point, answer.tls].layer
    near = layer.ranked if answer.seen is None else layer.near(answer.seen.host)
    return [one for one in near if one.shown in answer.tied and (one.router.protocol == "tcp") is (answer.seen is None)]
