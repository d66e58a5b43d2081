"""What the rules of all routers of a running Traefik come to: who ties, who is never reached, who stands in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from reconciler.audit.evidence import Evidence, Finding
from reconciler.routing import conflicts, reading
from reconciler.routing.asking import release_of
from reconciler.routing.certificates import Certificates
from reconciler.routing.definitions import Definitions, qualified
from reconciler.routing.findings import Finding as RouteFinding
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.planes import planes
from reconciler.routing.reaching import falls
from reconciler.routing.request import NEWEST
from reconciler.routing.revising import named
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import shown_request
from reconciler.traefik.api import EntryPoint
from reconciler.traefik.consequences import certificate_asked
from reconciler.traefik.exposure import Judge

_AUTHENTICATING: Final = ("*auth*",)
"""Names of middlewares that ask who is there, for those into which nobody can see."""
_NOTHING_KNOWN: Final = "it does not block: its requests fall through to any broader router, or get 404"


class Routes:
    """The routers of one Traefik, judged among each other, once."""

    def __init__(self, evidence: Evidence) -> None:
        items = {kind: {name: one.spec for name, one in held.items()} for kind, held in evidence.runtime.items.items()}
        doors = [reading.entry_point(door.options or _options(door)) for door in evidence.doors]
        routers = reading.from_api(items, doors)
        table = Table(
            routers,
            doors,
            release=release_of(evidence.version.version) or NEWEST,
            precedence=_precedence(evidence.static),
        )
        judge = Judge({}, _AUTHENTICATING, items.get("http.middlewares", {}))
        gates = partial(judge.gates, "")
        self._serving = Serving(table, Definitions(items), partial(judge.asks, ""), gates=gates)
        asked = {name: certificate_asked(spec) for name, spec in items.get("http.routers", {}).items()}
        by_door = {door.name: certificate_asked(door.http) for door in evidence.doors}
        self._found = conflicts.check(self._serving, certificates=Certificates(asked=asked, by_door=by_door))
        self._falls = {fall.router.name: fall for fall in falls(self._serving)}

    def findings(self) -> Iterator[Finding]:
        """Ties, routers that nothing reaches, rules that never match, TLS and certificates that do not fit."""
        for one in self._found:
            if one.kind != "falls-through":  # told with the disabled router
                yield _told(one, self._kind_of(one))
        for kind, count in self._found.more.items():
            yield Finding(severity="info", kind=kind, subject="and more", message=f"up to {count} more, not looked at")

    def ways_round(self) -> Iterator[Finding]:
        """Middlewares that stand before what asks who is there, and get round it."""
        found: dict[str, dict[str, None]] = {}
        for place, plane in planes(self._serving.table).items():
            for one in plane.claimants:
                treatment = self._serving.of_claimant(one, place)
                for gate in self._serving.gates_of(treatment) if treatment.kind == "served" else ():
                    if gate.undoes:
                        found.setdefault(treatment.router, {})[f"`{gate.name}` {gate.undoes}"] = None
        for router, ways in sorted(found.items()):
            yield Finding(
                severity="warning",
                kind="way-round",
                subject=f"http.routers {qualified(router)}",
                message="; ".join(ways),
                suggestion="Put it behind what asks who is there, unless just that is meant",
            )

    def _kind_of(self, one: RouteFinding) -> str:
        """Of the router that a finding is about."""
        protocols = {router.protocol for router in named(self._serving.table, [qualified(one.subject)])}
        return "tcp.routers" if protocols == {"tcp"} else "http.routers"

    def consequence(self, kind: str, name: str, spec: Mapping[str, Any]) -> str:
        """What becomes of the requests that a disabled router was made for, in a sentence."""
        if kind == "udp.routers":
            return "nothing answers there"
        if kind == "tcp.routers":
            return "its connections go to a broader TCP router or to HTTP, or get no answer"
        if spec.get("parentRefs"):
            return "its requests go to another child of its parent, or get 404"
        fall = self._falls.get(name)
        if fall is None:
            return "its requests get 404" if _is_readable(spec) else _NOTHING_KNOWN
        to = " or ".join(one.router for one in fall.treatment.chances)
        asks = "no authentication" if self._serving.is_open(fall.treatment) else "authentication"
        return f"it does not block: {shown_request(fall.request)} falls through to {to}, which asks for {asks}"


def _options(door: EntryPoint) -> dict[str, Any]:
    return {"name": door.name, "address": door.address, "asDefault": door.as_default, "http": door.http}


def _precedence(static: Mapping[str, Any] | None) -> tuple[str, ...]:
    return reading.texts(reading.value_at(reading.value_at(static, "providers"), "precedence"))


def _is_readable(spec: Mapping[str, Any]) -> bool:
    try:
        parse(str(spec.get("rule", "")))
    except ParseError:
        return False
    return True


def _told(one: RouteFinding, kind: str) -> Finding:
    return Finding(
        severity=one.severity,
        kind=one.kind,
        subject=f"{kind} {one.subject}",
        message=f"{one.message}. {one.shown}".rstrip(),
        suggestion=one.suggestion,
    )
