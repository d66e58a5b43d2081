"""What the rules of all routers of a running Traefik come to: who ties, who is never reached, who stands in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from reconciler.audit.evidence import Evidence, Finding
from reconciler.routing import conflicts, reading
from reconciler.routing.asking import release_of
from reconciler.routing.certificates import Certificates
from reconciler.routing.definitions import Definitions
from reconciler.routing.findings import Finding as RouteFinding
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.reaching import falls
from reconciler.routing.request import NEWEST
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
        self._serving = Serving(table, Definitions(items), partial(judge.asks, ""))
        asked = {name: certificate_asked(spec) for name, spec in items.get("http.routers", {}).items()}
        by_door = {door.name: certificate_asked(door.http) for door in evidence.doors}
        self._found = conflicts.check(self._serving, certificates=Certificates(asked=asked, by_door=by_door))
        self._falls = {fall.router.name: fall for fall in falls(self._serving)}

    def findings(self) -> Iterator[Finding]:
        """Ties, routers that nothing reaches, rules that never match, TLS and certificates that do not fit."""
        for one in self._found:
            if one.kind != "falls-through":  # told with the disabled router
                yield _told(one)
        for kind, count in self._found.more.items():
            yield Finding(severity="info", kind=kind, subject="and more", message=f"up to {count} more, not looked at")

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


def _told(one: RouteFinding) -> Finding:
    shows = f" {shown_request(one.witness)} shows it." if one.witness else ""
    return Finding(
        severity=one.severity,
        kind=one.kind,
        subject=f"http.routers {one.subject}",
        message=f"{one.message}.{shows}",
        suggestion=one.suggestion,
    )
