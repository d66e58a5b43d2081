"""What becomes of a request: who serves it, through which middlewares, or why nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from reconciler.routing.choosing import Ranked, plain_name
from reconciler.routing.definitions import Definitions, qualified
from reconciler.routing.gates import Gate, common, in_effect
from reconciler.routing.planes import Claimant, Place, planes
from reconciler.routing.request import Request
from reconciler.routing.revising import named
from reconciler.routing.routers import Router
from reconciler.routing.table import Answer, Table, UnknownEntryPoint

Kind = Literal["served", "tied", "tcp", "not found", "misdirected", "closed", "refused", "absent", "unknown"]

Asks = Callable[[Sequence[str]], bool]
"""Whether a chain of middlewares, by their names, asks who is there."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What becomes of a request. Names are as in answers: `gitea`, of other providers `web@docker`.

    `among`: the routers between which chance decides ("tied"). `options`: the TLS options of the connection;
    `passthrough`: the service gets the connection with its TLS, which Traefik does not end ("tcp").
    `parts`: digests of the definitions behind the names, where these are known. `why`: of "unknown" and "refused".
    `gullible`: whoever comes may say that they came over TLS, and the entry point believes it.
    """

    kind: Kind
    router: str = ""
    service: str = ""
    middlewares: tuple[str, ...] = ()
    tls: bool = False
    options: str = ""
    passthrough: bool = False
    among: tuple[Treatment, ...] = ()
    parts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    why: str = field(default="", compare=False)
    gullible: bool = field(default=False, compare=False, repr=False)

    @property
    def served(self) -> bool:
        """Whether somebody behind Traefik gets the request."""
        return self.kind in ("served", "tied", "tcp")

    @property
    def by_tcp(self) -> bool:
        """Whether a TCP router gets the whole connection, whatever is said in it."""
        return all(one.kind == "tcp" for one in self.chances)

    @property
    def chances(self) -> tuple[Treatment, ...]:
        """What it may come to: itself, or one of those in a tie."""
        return self.among or (self,)

    @property
    def target(self) -> tuple[str, ...]:
        return tuple(one.service for one in self.chances)


def order(one: Treatment) -> tuple[object, ...]:
    """Treatments in an order that does not change from run to run."""
    return (
        one.kind,
        one.router,
        one.service,
        one.middlewares,
        one.options,
        one.passthrough,
        tuple(map(order, one.among)),
        one.parts,
    )


class Strictness(IntEnum):
    """Whom a request must come from to be served."""

    ANYBODY = 0
    CERTAIN_ADDRESSES = 1
    WHO_SAYS_WHO_THEY_ARE = 2


@dataclass(frozen=True, eq=False)
class Serving:
    """Everything that serves at one moment: the table, what stands behind its names, who asks who is there."""

    table: Table
    definitions: Definitions = field(default_factory=Definitions)
    asks: Asks = lambda middlewares: False
    redirects: Asks = lambda middlewares: False
    """Whether a chain sends whoever comes without TLS to where there is TLS, and serves them nothing."""
    public: frozenset[str] = frozenset()
    """The entry points that the internet reaches."""
    unseen: str = ""
    """Why nobody can tell what becomes of requests that no router of the table takes, "" where that is known."""
    gates: Callable[[Sequence[str]], tuple[Gate, ...]] = lambda middlewares: ()
    """What of a chain of middlewares decides who may come in."""

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
            return self._by_tcp(self._listening(answer.router or ""), tls)
        if answer.router is not None:
            options = self._options_of(answer.path[0], answer.entry_point) if tls else ""
            return self._served(answer.path[-1], answer.entry_point, tls, options)
        if answer.status == 421:
            return Treatment(kind="misdirected", tls=tls)
        if answer.status == 404:
            return self._nobody(tls) if not answer.path else Treatment(kind="not found", tls=tls)
        return Treatment(kind="refused", tls=tls, why=f"{answer.status}: {answer.reason}")

    def _nobody(self, tls: bool) -> Treatment:
        """What becomes of what no router takes."""
        return (
            Treatment(kind="unknown", tls=tls, why=self.unseen) if self.unseen else Treatment(kind="not found", tls=tls)
        )

    def _served(self, one: Ranked, entry_point: str, tls: bool, options: str) -> Treatment:
        parts = self.definitions.parts_of("http", one.service, one.middlewares)
        if tls:
            parts += self.definitions.options_part(options)
        return Treatment(
            kind="served",
            router=one.shown,
            service=one.service,
            middlewares=one.middlewares,
            tls=tls,
            options=options,
            parts=parts,
            gullible=self._believes(entry_point),
        )

    def _believes(self, entry_point: str) -> bool:
        """Whether an entry point takes from anybody, or from some, what they say of their connection."""
        found = self.table.entry_points.get(entry_point)
        return found is not None and bool(found.door.trust_all or found.door.trusted)

    def _by_tcp(self, router: Router, tls: bool) -> Treatment:
        """What becomes of a request in a connection that a TCP router has."""
        service, middlewares = plain_name(router.service), tuple(map(plain_name, router.middlewares))
        ended = tls and router.tls and not router.passthrough
        parts = self.definitions.parts_of("tcp", service, middlewares)
        return Treatment(
            kind="tcp",
            router=plain_name(router.name),
            service=service,
            middlewares=middlewares,
            tls=tls,
            options=plain_name(router.tls_options) if ended else "",
            passthrough=tls and not ended,
            parts=(*parts, *(self.definitions.options_part(router.tls_options) if ended else ())),
        )

    def _listening(self, shown: str) -> Router:
        """The TCP router that answers name so."""
        return next(one for one in named(self.table, [qualified(shown)]) if one.protocol == "tcp")

    def _tie(self, among: Iterable[Treatment], tls: bool) -> Treatment:
        found = sorted(among, key=order)
        hidden = next((one for one in found if one.kind == "unknown"), None)
        return hidden or Treatment(kind="tied", among=tuple(found), tls=tls)

    def _resolved(self, one: Ranked, answer: Answer) -> Treatment:
        """What becomes of the request if chance gives it to this router."""
        if one.router.protocol == "tcp":
            return self._by_tcp(one.router, answer.tls)
        if one.below is None or answer.seen is None:
            root = answer.path[0] if answer.path else one
            options = self._options_of(root, answer.entry_point) if answer.tls else ""
            return self._served(one, answer.entry_point, answer.tls, options)
        choice = one.below.choose(answer.seen)
        if choice.unknown:
            return Treatment(kind="unknown", tls=answer.tls, why=choice.unknown)
        if choice.tied:
            return self._tie([self._resolved(each, answer) for each in choice.tied], answer.tls)
        return self._resolved(choice.path[-1], answer) if choice.served else Treatment(kind="not found", tls=answer.tls)

    def _options_of(self, root: Ranked, entry_point: str) -> str:
        connections = self.table.connections[entry_point]
        found = connections.options_of(root.router) if connections.matter(tls=True) else ""
        return "" if found == "default" else found

    def of_claimant(self, claimant: Claimant | None, place: Place) -> Treatment:
        """What becomes of requests that end with a claimant (None: nobody), apart from ties and misdirected ones."""
        if claimant is None:
            return self._nobody(place[1])
        if claimant.childless:
            return Treatment(kind="not found", tls=place[1])
        last = claimant.last
        if last.router.protocol == "tcp":
            return self._by_tcp(last.router, place[1])
        options = self._options_of(claimant.root, place[0]) if place[1] else ""
        return self._served(last, place[0], place[1], options)

    def gates_of(self, one: Treatment) -> tuple[Gate, ...]:
        """All that decides who may come in where a request is served."""
        found: tuple[Gate, ...] = ()
        if one.kind == "served":
            found = in_effect((*self.gates(one.middlewares), *self._gates_inside(one.service, frozenset())))
        if one.kind == "tcp":
            listed = (self.definitions.address_gate("tcp.middlewares", name) for name in one.middlewares)
            found = tuple(gate for gate in listed if gate is not None)
        if one.tls and not one.passthrough and self.definitions.demands_certificate(one.options):
            return (*found, self.definitions.certificate_gate(one.options))
        return found

    def _gates_inside(self, service: str, above: frozenset[str]) -> tuple[Gate, ...]:
        """Those of a service itself, and those before all to which it hands requests on."""
        if service in above:
            return ()
        own = self.gates(self.definitions.middlewares_of("http.services", service))
        members = self.definitions.members_of("http.services", service)
        return (*own, *common([self._gates_inside(one, above | {service}) for one in members]))

    def is_open(self, treatment: Treatment) -> bool:
        """Whether a request may be served without anybody asking who is there."""
        return treatment.served and self.strictness(treatment) < Strictness.WHO_SAYS_WHO_THEY_ARE

    def strictness(self, treatment: Treatment) -> Strictness:
        """Whom it takes at the least to be served, where chance decides in the worst case."""
        return min(map(self._strictness, treatment.chances))

    def _strictness(self, one: Treatment) -> Strictness:
        if self._asks(one):
            return Strictness.WHO_SAYS_WHO_THEY_ARE
        return Strictness.CERTAIN_ADDRESSES if self._confines(one) else Strictness.ANYBODY

    def _confines(self, one: Treatment) -> bool:
        """By where requests come from."""
        protocol = "tcp" if one.kind == "tcp" else "http"
        inner = self.definitions.middlewares_of(f"{protocol}.services", one.service)
        return any(self.definitions.confines(f"{protocol}.middlewares", name) for name in (*one.middlewares, *inner))

    def _asks(self, one: Treatment) -> bool:
        """By the middlewares on the way, or by those of the service; who is only sent to https gets nothing here."""
        return self._sends_away(one) or self._asks_itself(one)

    def sends_away(self, treatment: Treatment) -> bool:
        """Whether whoever comes gets nothing here but the way to https, though nobody asks who they are."""
        return any(self._sends_away(one) and not self._asks_itself(one) for one in treatment.chances)

    def _sends_away(self, one: Treatment) -> bool:
        return not one.tls and not one.gullible and self.redirects(one.middlewares)

    def _asks_itself(self, one: Treatment) -> bool:
        if one.tls and not one.passthrough and self.definitions.demands_certificate(one.options):
            return True
        if one.kind == "tcp":
            return False  # no middleware of TCP can ask
        return self.asks(one.middlewares) or self._service_asks("http.services", one.service, frozenset())

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
