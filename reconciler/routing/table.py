"""Which router serves a request: the tables that Traefik builds from all routers and entry points, and the choice.

An entry point has two tables, one for plain and one for TLS connections. In each the routers stand by priority;
where several of the same priority match, Traefik's choice changes with every reload, and nobody can tell it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from reconciler.routing.choosing import Choice, Layer, Ranked, plain_name, rank
from reconciler.routing.claims import Listener
from reconciler.routing.families import Family, families
from reconciler.routing.request import NEWEST, Refused, Request, Seen, look
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.tcp import Connections, Taken
from reconciler.routing.urls import Release

__all__ = ["Answer", "EntryPoint", "Layer", "Ranked", "Router", "Table", "UnknownEntryPoint"]

_DENIED: Final = 400
_NOT_FOUND: Final = 404
_OWN: Final = "traefik"
_MISDIRECTED: Final = 421


class UnknownEntryPoint(ValueError):
    """A request names an entry point that there is not, or none and there is none that it could mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Who serves a request.

    `router` is None where nobody does, several may (`ambiguous`: those in `tied`), or nobody can tell (`unknown`
    says why). `candidates` are all routers that match, the first to be asked first. `status` is what Traefik itself
    answers, None where a router passes the request on. `taken_by` is "http", "tcp" where a TCP router has the whole
    connection, or "nobody" where Traefik closes it. Names are as files write them; other providers' are qualified.
    """

    router: str | None = None
    service: str = ""
    middlewares: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    status: int | None = None
    taken_by: str = "http"
    unknown: str = ""
    entry_point: str = ""
    tls: bool = False
    said: str = ""
    choice: Choice = Choice()
    seen: Seen | None = None

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return self.unknown or self.said or self.choice.words

    @property
    def path(self) -> tuple[Ranked, ...]:
        """The router that takes the request and, where it has children, those that lead to the one that serves it."""
        return self.choice.path

    @property
    def ambiguous(self) -> bool:
        """Whether several routers share the highest priority, so that chance decides at every reload."""
        return bool(self.tied)


class Table:
    """Everything that Traefik knows of routing at one moment. Pure; built once, asked often.

    `precedence` are the providers as `providers.precedence` lists them, where it is set: without it, providers
    of equal priority tie.
    """

    def __init__(
        self,
        routers: Iterable[Router],
        entry_points: Iterable[EntryPoint],
        *,
        release: Release = NEWEST,
        precedence: Sequence[str] = (),
    ) -> None:
        self.routers = tuple(routers)
        self.entry_points: Mapping[str, EntryPoint] = {door.name: door for door in entry_points}
        self.release = release
        self.precedence = tuple(precedence)
        self._families = families(self._all(), self.entry_points, release)

    @property
    def disabled(self) -> Mapping[str, str]:
        """Routers that serve nothing -> why, by their qualified names; as told, and as found here."""
        found: dict[str, str] = dict(self._families.disabled)
        for connections in self.connections.values():
            found.update(connections.disabled)
        return found | self._shut_out

    @cached_property
    def _shut_out(self) -> dict[str, str]:
        """Routers that serve nothing because of middlewares of all their entry points -> why."""
        if not any(door.fault for door in self.entry_points.values()):
            return {}
        roots = ((family.router.name, list(self._doors(family.router))) for family in self._families.roots)
        return {name: doors[0].fault for name, doors in roots if doors and all(door.fault for door in doors)}

    @cached_property
    def layers(self) -> Mapping[tuple[str, bool], Layer]:
        """Entry point and whether over TLS -> the routers that can take requests there."""
        found: dict[tuple[str, bool], list[Ranked]] = {}
        for family in self._families.roots:
            for door in self._doors(family.router):
                if not door.fault:
                    tls = family.router.tls or door.tls
                    middlewares = (*door.middlewares, *family.router.middlewares)
                    ranked = self._ranked(family, middlewares, door.doubt, _options(family.router, door))
                    found.setdefault((door.name, tls), []).append(ranked)
        return {place: Layer(ranked) for place, ranked in found.items()}

    @cached_property
    def connections(self) -> Mapping[str, Connections]:
        """Entry point -> which of TCP and HTTP takes a connection there."""
        listening = dict[str, list[Router]]()
        encrypted = dict[str, list[Listener]]()
        for router in self.routers:
            for door in self._doors(router):
                if router.protocol == "tcp":
                    listening.setdefault(door.name, []).append(router)
                elif router.protocol == "http" and not router.parents and (router.tls or door.tls):
                    encrypted.setdefault(door.name, []).append(Listener(router, _options(router, door)))
        return {
            name: Connections(
                listening.get(name, ()), encrypted.get(name, ()), release=self.release, precedence=self.precedence
            )
            for name in self.entry_points
        }

    def answer(self, request: Request, server_name: str | None = None) -> Answer:
        """Who serves this request. `server_name` is that of the TLS handshake; by default the host asked for.

        Raises UnknownEntryPoint.
        """
        door = self.door(request)
        seen = look(request, door.door, self.release)
        connections = self.connections[door.name]
        if connections.matter(request.tls):
            name = _server_name(seen, request) if server_name is None else server_name.lower()
            taken = connections.take(name, request.client_ip, tls=request.tls)
            if not taken.by_http:
                return _by_tcp(taken, door.name, request.tls)
        else:
            taken = None
        if isinstance(seen, Refused):
            return Answer(status=seen.status, said=seen.reason, entry_point=door.name, tls=request.tls)
        return self._chosen(seen, door, request.tls, connections, taken)

    def _chosen(self, seen: Seen, door: EntryPoint, tls: bool, connections: Connections, taken: Taken | None) -> Answer:
        layer = self.layers.get((door.name, tls))
        choice = layer.choose(seen) if layer else Choice()
        answer = _told(choice, seen, door.name, tls)
        if seen.barred and choice.matched and not choice.unknown:
            words = f"the entry point {door.name} allows no such escape in a path"
            return replace(answer, router=None, service="", middlewares=(), tied=(), status=_DENIED, said=words)
        if not tls or taken is None or not choice.path:
            return answer
        expected = connections.options_of(choice.path[0].router)
        if taken.options == expected and not taken.unknown:
            return answer
        if taken.unknown:
            return replace(answer, router=None, unknown=taken.unknown)
        words = (
            f"the TLS handshake used the options '{taken.options}', and {answer.router or 'the router'} has "
            f"'{expected}': Traefik answers 421 (misdirected request)"
        )
        return replace(answer, router=None, service="", middlewares=(), status=_MISDIRECTED, said=words)

    # ── entry points ─────────────────────────────────────────────────────────────────────────────

    def door(self, request: Request) -> EntryPoint:
        """The entry point at which a request arrives: the one it names, else the one it must have meant."""
        if request.entry_point:
            found = self.entry_points.get(request.entry_point)
            if found is None or found.udp:
                there = ", ".join(name for name, door in self.entry_points.items() if not door.udp) or "none"
                raise UnknownEntryPoint(f"there is no entry point '{request.entry_point}'; there are: {there}")
            return found
        port = _port(request)
        if port not in self._by_port:
            self._by_port[port] = self._guessed(*port)
        return self._by_port[port]

    @cached_property
    def _by_port(self) -> dict[tuple[int | None, bool], EntryPoint]:
        return {}

    def _guessed(self, port: int | None, tls: bool) -> EntryPoint:
        """By the port in the address, then by the scheme's own, then by what entry points are usually called."""
        doors = [door for door in self.entry_points.values() if not door.udp]
        usual = ("websecure", "https") if tls else ("web", "http")
        tries: tuple[list[EntryPoint], ...] = (
            [door for door in doors if port is not None and door.port == port],
            [door for door in doors if door.port == (443 if tls else 80)],
            [door for door in doors if door.name in usual],
            [door for door in doors if (door.name, tls) in self.layers and door.name != "traefik"],
            [door for door in doors if door.name != "traefik"],
            doors,
        )
        for found in tries:
            if found:
                return found[0]
        raise UnknownEntryPoint("there is no entry point at all")

    def doors_of(self, router: Router) -> list[EntryPoint]:
        """Where a router listens: the entry points it names, else those by default, else all. Children nowhere."""
        return list(self._doors(router))

    def _doors(self, router: Router) -> Iterator[EntryPoint]:
        if router.parents:
            return
        for name in dict.fromkeys(router.entry_points or self.default_doors):
            door = self.entry_points.get(name)
            if door is not None and not door.udp:
                yield door

    @cached_property
    def default_doors(self) -> tuple[str, ...]:
        """Where a router listens that names no entry point: never at Traefik's own, unless that is marked."""
        doors = [door for door in self.entry_points.values() if not door.udp]
        return tuple(door.name for door in doors if door.as_default) or tuple(
            door.name for door in doors if door.name != _OWN
        )

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _all(self) -> Iterator[Router]:
        there = {router.name for router in self.routers}
        for router in self.routers:
            if router.protocol == "http":
                yield router
        for door in self.entry_points.values():
            if door.redirects and f"{door.name}-to-{door.redirects}@internal" not in there:
                yield door.redirection

    def _ranked(self, family: Family, middlewares: tuple[str, ...], doubt: str = "", options: str = "") -> Ranked:
        children = [self._ranked(child, (*middlewares, *child.router.middlewares)) for child in family.children]
        return Ranked(
            router=family.router,
            rule=family.rule,
            priority=family.priority,
            opaque=family.opaque or family.doubt or doubt,
            precedence=rank(family.router.name, self.precedence),
            middlewares=tuple(map(plain_name, middlewares)),
            hosts=family.hosts,
            options=options,
            below=Layer(children) if children else None,
        )


def _options(router: Router, door: EntryPoint) -> str:
    """The TLS options that a router asks for, or, where it has no TLS of its own, those of the entry point."""
    return router.tls_options if router.tls else door.tls_options


def _told(choice: Choice, seen: Seen, entry_point: str, tls: bool) -> Answer:
    """A choice as an answer."""
    last = choice.path[-1] if choice.path else None
    if choice.unknown or choice.tied or last is None or last.below is not None:
        return Answer(
            candidates=choice.candidates,
            tied=() if choice.unknown else tuple(one.shown for one in choice.tied),
            status=None if choice.unknown or choice.tied else _NOT_FOUND,
            unknown=choice.unknown,
            entry_point=entry_point,
            tls=tls,
            choice=choice,
            seen=seen,
        )
    return Answer(
        router=last.shown,
        service=last.service,
        middlewares=last.middlewares,
        candidates=choice.candidates,
        entry_point=entry_point,
        tls=tls,
        choice=choice,
        seen=seen,
    )


def _by_tcp(taken: Taken, entry_point: str, tls: bool) -> Answer:
    return Answer(
        router=plain_name(taken.router.name) if taken.router and not (taken.tied or taken.unknown) else None,
        service=plain_name(taken.router.service) if taken.router else "",
        middlewares=tuple(map(plain_name, taken.router.middlewares)) if taken.router else (),
        candidates=tuple(map(plain_name, taken.candidates)),
        tied=tuple(map(plain_name, taken.tied)),
        unknown=taken.unknown,
        taken_by="nobody" if taken.closed else "tcp",
        said=taken.reason,
        entry_point=entry_point,
        tls=tls,
    )


def _server_name(seen: Seen | Refused, request: Request) -> str:
    """What a client says in the handshake: the host that it asks for, and nothing where that is an address."""
    host = seen.host if isinstance(seen, Seen) else _bare(request.host or "")
    host = host.lower().rstrip(".")
    return "" if ":" in host or host.replace(".", "").isdecimal() else host


def _bare(host: str) -> str:
    return host if host.startswith("[") else host.partition(":")[0]


def _port(request: Request) -> tuple[int | None, bool]:
    host = request.host or ""
    tail = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    return (int(tail) if tail.isdecimal() and len(tail) < 6 else None), request.tls
