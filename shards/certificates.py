"""Which certificate a visitor of a host is shown, and what is wrong with it. No host but those that are configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from reconciler.certificates import handshake, leaf
from reconciler.certificates.handshake import Shown
from reconciler.certificates.leaf import Leaf
from reconciler.routing import rules
from shards.drafting import Ground
from shards.kit import Refused
from shards.reading import objects, texts
from state.sparing import dataclass

MOST: Final = 30
"""Hosts that are asked about in one call."""

_AT_ONCE: Final = 10
_SOON: Final = 14  # days: authorities' certificates are renewed thirty days before their end

Code = Literal[
    "no-answer", "no-tls", "not-live", "default-certificate", "unknown-resolver", "no-certificate", "wrong-names",
    "expired", "not-yet-valid", "expires-soon", "untrusted",
]  # fmt: skip


class Trouble(BaseModel):
    """Something that a visitor of the host meets, or will meet."""

    code: Code
    said: str
    next: str = Field(description="what to do about it")


class HostCertificate(BaseModel):
    """What is shown for one host at one entry point."""

    host: str
    entry_point: str
    address: str = Field(description="where it was asked")
    routers: list[str] = Field(description="the routers that name this host")
    resolver: str = Field(description="the certificate resolver that they name; '' where none")
    answered: bool = Field(description="whether the handshake brought a certificate")
    subject: str = ""
    names: list[str] = Field(default_factory=list, description="names that it is good for")
    covers_host: bool = False
    issuer: str = ""
    chain: list[str] = Field(default_factory=list, description="subjects of all that was sent, the host's own first")
    not_before: datetime | None = None
    not_after: datetime | None = None
    days_left: int | None = None
    tls_version: str = ""
    verified: bool = Field(default=False, description="whether a client of this machine would trust it for this host")
    why_not_verified: str = ""
    default_certificate: bool = Field(default=False, description="Traefik's own stand-in, for want of a better one")
    listed: bool = Field(default=False, description="whether Traefik's API lists a certificate for this host")
    trouble: list[Trouble] = Field(default_factory=list)


class SslStatus(BaseModel):
    """Certificates by host, those with trouble first."""

    hosts: list[HostCertificate]
    left_out: int = Field(description="how many more hosts there are; name one to see it")
    resolvers: list[str] | None = Field(description="the certificate resolvers of Traefik; null where it tells none")


@dataclass(frozen=True)
class Claim:
    """A router that names a host, as Traefik serves it or as it is desired."""

    router: str
    entry_points: tuple[str, ...]
    tls: bool
    resolver: str = ""
    live: bool = True


@dataclass(frozen=True)
class Place:
    """An entry point where it can be reached from here."""

    name: str
    host: str
    port: int
    tls: bool = False
    resolver: str = ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Question:
    """What is shown for a host at a place?"""

    host: str
    place: Place
    claims: tuple[Claim, ...]

    @property
    def name(self) -> str:
        """What a client would ask for; of a wildcard one of the hosts that it stands for."""
        return self.host.replace("*", "waypost", 1)

    @property
    def resolver(self) -> str:
        return next((one.resolver for one in self.claims if one.resolver), self.place.resolver)


@dataclass(frozen=True)
class Known:
    """What the reconciler told of Traefik's TLS, and who claims which host."""

    claims: Mapping[str, Sequence[Claim]]
    places: Mapping[str, Place]
    resolvers: Sequence[str] | None
    held: Sequence[str] = field(default_factory=tuple)  # names on the certificates that Traefik holds


def known(ground: Ground, instance: str, told: Mapping[str, Any]) -> Known:
    """Hosts and places, from the desired repo and from what the reconciler says of the live Traefik."""
    claims: dict[str, list[Claim]] = {}
    for host, claim in (*_live(told), *_desired(ground, instance)):
        mine = claims.setdefault(host, [])
        if claim.live or all(one.router.removesuffix("@file") != claim.router for one in mine):
            mine.append(claim)
    resolvers = texts(told["resolvers"]) if isinstance(told.get("resolvers"), list) else None
    held = [name for one in objects(told.get("certificates")) for name in texts(one.get("names"))]
    return Known(claims, {one.name: one for one in _places(told)}, resolvers, held)


def _live(told: Mapping[str, Any]) -> Iterator[tuple[str, Claim]]:
    for one in objects(told.get("routers")):
        doors = texts(one.get("entry_points"))
        if not one.get("passthrough"):  # whoever is behind it shows a certificate of its own
            claim = Claim(str(one.get("name")), doors, bool(one.get("tls")), str(one.get("resolver") or ""))
            yield from ((host, claim) for host in texts(one.get("hosts")))


def _desired(ground: Ground, instance: str) -> Iterator[tuple[str, Claim]]:
    for address, resource in sorted(ground.desired.resources.items()):
        protocol, _, section = address.kind.partition(".")
        if address.instance != instance or section != "routers" or not isinstance(resource.spec, dict):
            continue
        if protocol == "udp":
            continue  # it has no rule, and names no host
        tls = resource.spec.get("tls")
        resolver = str(tls.get("certResolver") or "") if isinstance(tls, dict) else ""
        doors = texts(resource.spec.get("entryPoints"))
        claim = Claim(address.name, doors, tls is not None, resolver, live=False)
        yield from ((host, claim) for host in _hosts(str(resource.spec.get("rule", "")), protocol))


def _hosts(rule: str, protocol: str) -> list[str]:
    try:
        return sorted(host for host in rules.hosts(rules.parse(rule, protocol)) if host not in ("", "*"))
    except rules.ParseError:
        return []


def _places(told: Mapping[str, Any]) -> Iterator[Place]:
    for one in objects(told.get("entry_points")):
        if isinstance(one.get("port"), int) and one.get("host"):
            yield Place(
                str(one.get("name")),
                str(one["host"]),
                one["port"],
                bool(one.get("tls")),
                str(one.get("resolver") or ""),
            )


def questions(setup: Known, wanted: str) -> list[Question]:
    """What to ask: of one host or route where one is named, else of all with TLS. Raises Refused for a stranger."""
    if not wanted:
        secured = {host: claims for host, claims in setup.claims.items() if any(one.tls for one in claims)}
        return [one for host in sorted(secured) for one in _of_host(setup, host)]
    plain = wanted.lower().removesuffix(".")
    bare = wanted.removesuffix("@file")
    hosts = [
        host
        for host, claims in sorted(setup.claims.items())
        if host in (plain, f"*.{plain.partition('.')[2]}")
        or any(bare == claim.router.removesuffix("@file") for claim in claims)
    ]
    if not hosts:
        raise Refused("unknown-host", f"No router that is desired or live names the host '{wanted}'; see list_routes.")
    return [one for host in hosts for one in _of_host(setup, host, plain if host.startswith("*.") else "")]


def _of_host(setup: Known, host: str, instead: str = "") -> Iterator[Question]:
    """A question for each entry point where the host is served over TLS; where it is nowhere, for each it is at."""
    claims = tuple(setup.claims[host])
    live = [one for one in claims if one.live] or list(claims)
    secured = [one for one in live if one.tls] or live
    doors = dict.fromkeys(door for one in secured for door in one.entry_points)
    places = [setup.places[door] for door in doors if door in setup.places]
    places = places or [one for one in setup.places.values() if one.tls]
    asked = instead if instead.partition(".")[2] == host[2:] and instead else host
    yield from (Question(asked, place, claims) for place in places)


def asked(setup: Known, wanted: Sequence[Question], authorities: Path | None, now: datetime) -> SslStatus:
    """Ask all at once, each for a few seconds."""
    chosen = wanted[:MOST]
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        shown = list(
            workers.map(lambda one: handshake.shown(one.name, one.place.host, one.place.port, authorities), chosen)
        )
    told = [judged(question, each, setup, now) for question, each in zip(chosen, shown, strict=True)]
    return SslStatus(
        hosts=sorted(told, key=lambda one: (not one.trouble, one.host, one.entry_point)),
        left_out=len(wanted) - len(chosen),
        resolvers=None if setup.resolvers is None else list(setup.resolvers),
    )


def judged(question: Question, shown: Shown, setup: Known, now: datetime) -> HostCertificate:
    """What a handshake showed, and what is wrong with it. Pure."""
    found, rest = _read(shown)
    answer = HostCertificate(
        host=question.host,
        entry_point=question.place.name,
        address=str(question.place),
        routers=[one.router for one in question.claims],
        resolver=question.resolver,
        answered=found is not None,
        tls_version=shown.version,
        listed=leaf.covers(setup.held, question.name),
        trouble=list(_troubles(question, shown, found, setup, now)),
    )
    if found is None:
        return answer
    return answer.model_copy(
        update={
            "subject": found.subject,
            "names": list(found.names),
            "covers_host": found.covers(question.name),
            "issuer": found.issuer,
            "chain": [found.subject, *rest],
            "not_before": found.not_before,
            "not_after": found.not_after,
            "days_left": (found.not_after - now).days,
            "verified": not shown.distrust,
            "why_not_verified": shown.distrust,
            "default_certificate": found.is_default,
        }
    )


def _read(shown: Shown) -> tuple[Leaf | None, list[str]]:
    try:
        read = [leaf.read(der) for der in shown.chain]
    except ValueError:
        return None, []
    return (read[0], [one.subject for one in read[1:]]) if read else (None, [])


def _troubles(question: Question, shown: Shown, found: Leaf | None, setup: Known, now: datetime) -> Iterator[Trouble]:
    yield from _of_routers(question)
    if found is None:
        said = shown.error or "what was shown is no certificate that can be read"
        following = f"See that Traefik listens at {question.place} as seen from the gateway, and explain_request."
        yield Trouble(code="no-answer", said=said, next=following)
        return
    yield from _of_resolver(question, found, setup)
    yield from _of_time(found, now)
    if not found.is_default and not found.covers(question.name):
        said = f"the certificate is good for {', '.join(found.names[:5]) or 'no name at all'}, not for {question.host}"
        yield Trouble(code="wrong-names", said=said, next="Have one made that names the host, or change the rule.")
    elif shown.distrust and not found.is_default and found.not_before <= now <= found.not_after:
        yield Trouble(
            code="untrusted",
            said=f"a client of this machine would turn away: {shown.distrust}",
            next="Serve the whole chain of an authority that clients know, or make this one known (WAYPOST_CA_FILE).",
        )


def _of_routers(question: Question) -> Iterator[Trouble]:
    live = [one for one in question.claims if one.live]
    if not live:
        said = f"no live router names {question.host}: it is only desired"
        yield Trouble(code="not-live", said=said, next="See plan_changes for why it is not live, or reload_config.")
    elif not any(one.tls for one in live):
        said = f"no router serves {question.host} over TLS: {', '.join(one.router for one in live)}"
        following = "Give the route TLS (update_route with tls or cert_resolver) if visitors come with https."
        yield Trouble(code="no-tls", said=said, next=following)


def _of_resolver(question: Question, found: Leaf, setup: Known) -> Iterator[Trouble]:
    """What went wrong on the way to a certificate of the host's own."""
    resolver = question.resolver
    if resolver and setup.resolvers is not None and resolver not in setup.resolvers:
        there = ", ".join(setup.resolvers) or "none"
        said = (
            f"the router names the certificate resolver '{resolver}', and Traefik has none of that name (only {there})"
        )
        yield Trouble(
            code="unknown-resolver",
            said=said,
            next="Name one that there is (update_route with cert_resolver), or add it to Traefik's own settings.",
        )
    elif found.is_default and resolver:
        yield Trouble(
            code="default-certificate",
            said=f"the resolver '{resolver}' has not obtained a certificate for {question.host}: "
            "Traefik shows its default certificate instead",
            next="Traefik's own log says why (ACME errors stand nowhere else). Usual causes: the name does not lead to "
            "this machine, the challenge's port is closed to the authority, or its rate limit is reached.",
        )
    elif found.is_default:
        yield Trouble(
            code="no-certificate",
            said=f"no certificate that Traefik holds is for {question.host}, and no resolver is named: it shows its "
            "default certificate",
            next="Name a resolver (update_route with cert_resolver), or give Traefik a certificate for the host.",
        )


def _of_time(found: Leaf, now: datetime) -> Iterator[Trouble]:
    renew = "See Traefik's log for why it is not renewed, or put a new one in its place."
    if found.not_after < now:
        yield Trouble(code="expired", said=f"the certificate ended at {found.not_after:%Y-%m-%d %H:%M} UTC", next=renew)
    elif found.not_before > now:
        said = f"the certificate is good from {found.not_before:%Y-%m-%d %H:%M} UTC on"
        yield Trouble(code="not-yet-valid", said=said, next="Wait, or see that the clocks are right.")
    elif (left := (found.not_after - now).days) < _SOON:
        said = f"the certificate ends in {left} days, at {found.not_after:%Y-%m-%d %H:%M} UTC"
        yield Trouble(code="expires-soon", said=said, next=renew)
