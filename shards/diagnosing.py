"""Gather what is known about a failing request from everybody who knows something, at once and within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from reconciler.desired import Desired
from reconciler.query_client import Answer, Away
from reconciler.routing import rules
from shards import answers, backends, certificates, facts
from shards.causes import Finding, likely
from shards.drafting import Ground
from shards.facts import Claimed, Evidence, Facts, Source, Subject, Wanted
from shards.kit import Refused
from shards.knowing import Heard, Knowing, Known, Question
from shards.proposing import Desk
from shards.reading import objects, texts
from shards.routes import MIDDLEWARES, ROUTERS, SERVICES
from state.model import Address
from state.sparing import dataclass

_AT_ONCE: Final = 8
_MOST_BACKENDS: Final = 8
_MOST_CERTIFICATES: Final = 4
_LAST: Final = 5
_OTHERS_TAKE: Final = 12.0
"""Seconds that other shards get to say what they know."""

_TAKES: Final = 15.0
"""Seconds of each of our own two rounds, after which the answer is what is known by then."""

_NOTHING: Final = Ground(commit="", desired=Desired(commit="", tree=""), instances=())


class Diagnosis(BaseModel):
    """The most likely cause, and what it rests on."""

    url: str = Field(description="the request that was looked into; '' where none could be made of what was given")
    most_likely: Finding
    besides: list[Finding] = Field(description="what else fits, in order")
    evidence: list[Evidence]
    partial: bool = Field(description="whether some evidence is missing; each says why")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the reconciler said in the first round."""

    live: Answer
    status: Answer
    drift: Answer
    proposals: Answer
    encryption: Answer


def diagnosis(
    desk: Desk, instance: str, what: str, status: int | None, method: str, others: Sequence[Knowing] = ()
) -> Diagnosis:
    """Ask everybody twice: first what does not depend on anything, then about the route that serves the request."""
    ground, unread = _ground(desk, instance)
    workers = ThreadPoolExecutor(_AT_ONCE)
    try:
        told = _first(desk, instance, workers)
        subject = subject_of(ground, instance, told.encryption, what, status)
        known = _known(ground, instance, subject, told, unread)
        known = _second(desk, ground, instance, known, told, method, workers)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    known = _with_others(others, known)
    found = likely(known)
    return Diagnosis(
        url=known.subject.url,
        most_likely=found[0],
        besides=found[1:],
        evidence=facts.evidences(known),
        partial=bool(known.unasked),
    )


def _ground(desk: Desk, instance: str) -> tuple[Ground, Mapping[Source, str]]:
    """What is desired; where that cannot be read, nothing is, and why: what runs can be told without it."""
    try:
        ground = desk.ground()
    except Refused as refusal:
        return _NOTHING, {"desired": str(refusal)}
    ground.instance(instance, "traefik")
    return ground, {}


def _first(desk: Desk, instance: str, workers: ThreadPoolExecutor) -> Told:
    query = desk.query
    live, setup = workers.submit(query.live, instance), workers.submit(query.encryption, instance)
    status, drift, proposals = (workers.submit(ask) for ask in (query.status, query.drift, query.proposals))
    wait((live, setup, status, drift, proposals), timeout=_TAKES)
    return Told(
        live=_by_now(live),
        status=_by_now(status),
        drift=_by_now(drift),
        proposals=_by_now(proposals),
        encryption=_by_now(setup),
    )


def _by_now(asked: Future[Answer]) -> Answer:
    return asked.result() if asked.done() else Away(_late(_TAKES))


def _late(seconds: float) -> str:
    return f"there was no answer within {seconds:g} s"


# ── what is asked about ──────────────────────────────────────────────────────────────────────────


Claims = Mapping[str, Sequence[certificates.Claim]]
"""Host -> the routers that name it, desired and live."""


def subject_of(ground: Ground, instance: str, encryption: Answer, what: str, status: int | None) -> Subject:
    """An address, a host (and path) or the name of a route, as a request. Raises Refused for what is none of these."""
    told = {} if isinstance(encryption, Away) else encryption
    claims = certificates.known(ground, instance, told).claims
    return replace(_meant(ground, instance, claims, what.strip()), status=status)


def _meant(ground: Ground, instance: str, claims: Claims, text: str) -> Subject:
    """The first that fits: an address, a desired route, a live one, a host; a word may be how a host begins."""
    if "://" in text:
        return _of_url(text)
    desired = ground.desired.resources.get(Address(instance, ROUTERS, text.removesuffix("@file")))
    if desired is not None:
        host, path = _of_rule(str(desired.spec.get("rule", "")))
        return replace(_of_host(host, path, claims) if host else Subject(), route=text)
    if hosts := _live_hosts(claims, text):
        return replace(_of_host(hosts[0], "", claims), route=text)
    host, slash, path = text.lower().partition("/")
    if slash or "." in host or host in claims:
        return _of_host(host, f"{slash}{text[len(host) + 1 :]}", claims)
    if hosts := sorted(known for known in claims if known.partition(".")[0] == host):
        return _of_host(hosts[0], "", claims)
    return Subject(route=text)


def _of_url(text: str) -> Subject:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise Refused(
            "bad-arguments", "This is no address; write one like https://git.example.org/x, a host or a route."
        )
    return Subject(url=text, host=host, path=parts.path or "/", https=parts.scheme == "https")


def _of_host(host: str, path: str, claims: Claims) -> Subject:
    """A request for a host (and port) as visitors make it: over TLS where any router serves it so."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    https = any(claim.tls for claim in claims.get(name, ()))
    asked = host.replace("*", "waypost", 1)
    return Subject(
        url=f"{'https' if https else 'http'}://{asked}{path or '/'}", host=name, path=path or "/", https=https
    )


def _live_hosts(claims: Claims, route: str) -> list[str]:
    """The hosts of a live router of this name; a foreign one may be named without its provider."""
    return [
        host
        for host, each in sorted(claims.items())
        if any(route in (claim.router, claim.router.rpartition("@")[0]) for claim in each)
    ]


def _of_rule(rule: str) -> tuple[str, str]:
    """A host and a path that a rule asks for; "" where it names none."""
    try:
        node = rules.parse(rule)
    except rules.ParseError:
        return "", ""
    hosts = sorted(rules.hosts(node) - {"*"})
    paths = [one.arguments[0] for one in rules.conditions(node) if one.name in ("PathPrefix", "Path") and one.arguments]
    return (hosts[0] if hosts else "", str(paths[0]) if paths else "")


# ── what is known after the first round ──────────────────────────────────────────────────────────


def _known(ground: Ground, instance: str, subject: Subject, told: Told, unread: Mapping[Source, str]) -> Facts:
    missing = dict(unread)
    wanted = list(_wanted(ground, instance, subject, answers.read_live(told.live)))
    known = Facts(subject=subject, wanted=wanted)
    if isinstance(told.live, Away) or isinstance(told.encryption, Away):
        missing["live"] = _reason(told.live, told.encryption)
    else:
        known = replace(known, claimed=list(_claimed(subject, told.encryption)))
    if isinstance(told.status, Away):
        missing |= {"target": told.status.reason, "main": told.status.reason}
    else:
        held, main = facts.read_status(told.status, instance)
        known = replace(known, instance=held, main=main)
    return replace(known, missing=missing)


def _reason(*told: Answer) -> str:
    return next((one.reason for one in told if isinstance(one, Away)), "")


def _wanted(ground: Ground, instance: str, subject: Subject, live: answers.Live | Away) -> Iterable[Wanted]:
    """Desired routers that were named, or that name the host."""
    for address, resource in sorted(ground.desired.resources.items()):
        if address.instance != instance or address.kind != ROUTERS or not isinstance(resource.spec, dict):
            continue
        named = address.name == subject.route.removesuffix("@file")
        if named or (subject.host and subject.host in _hosts(str(resource.spec.get("rule", "")))):
            route = answers.route(resource, live)
            if route.live == "foreign":
                continue
            yield Wanted(
                address=str(address),
                rule=route.rule,
                file=f"{route.file}:{route.line}",
                live=route.live,
                service=route.service.removesuffix("@file"),
                middlewares=tuple(one.removesuffix("@file") for one in route.middlewares),
            )


def _hosts(rule: str) -> frozenset[str]:
    try:
        return rules.hosts(rules.parse(rule))
    except rules.ParseError:
        return frozenset()


def _claimed(subject: Subject, encryption: Mapping[str, Any]) -> Iterable[Claimed]:
    for one in objects(encryption.get("routers")):
        if one.get("protocol") == "http" and subject.host and subject.host in texts(one.get("hosts")):
            yield Claimed(
                router=str(one.get("name")),
                entry_points=texts(one.get("entry_points")),
                tls=bool(one.get("tls")),
                disabled=bool(one.get("disabled")),
            )


# ── the second round ─────────────────────────────────────────────────────────────────────────────


def _second(
    desk: Desk, ground: Ground, instance: str, known: Facts, told: Told, method: str, workers: ThreadPoolExecutor
) -> Facts:
    known = _with_explained(desk, instance, known, method)
    concerned = _concerned(instance, known)
    asked: Mapping[Source, Future[Facts]] = {
        "backends": workers.submit(_with_backends, ground, instance, known, told.live),
        "certificate": workers.submit(_with_certificates, desk, ground, instance, known, told.encryption),
        "history": workers.submit(_with_history, desk, concerned, known),
    }
    wait(asked.values(), timeout=_TAKES)
    for source, each in asked.items():
        late = replace(known, missing={source: _late(_TAKES)})
        known = _merged(known, each.result() if each.done() else late)
    return _with_log(known, concerned, told)


def _merged(known: Facts, part: Facts) -> Facts:
    """What was known, and what one of the second round added."""
    return replace(
        known,
        backends=part.backends or known.backends,
        certificates=part.certificates or known.certificates,
        changes=part.changes or known.changes,
        missing={**known.missing, **part.missing},
    )


def _with_explained(desk: Desk, instance: str, known: Facts, method: str) -> Facts:
    if not known.subject.url:
        return known
    answer = desk.query.explain(instance, {"method": method, "url": known.subject.url})
    if isinstance(answer, Away):
        return replace(known, missing={**known.missing, "request": answer.reason})
    return replace(known, explained=facts.read_explained(answer))


def _concerned(instance: str, known: Facts) -> list[str]:
    """Addresses of the route that serves the request, and of those that should: router, service, middlewares."""
    found: list[str] = []
    parts = [(one.name, one.service, one.middlewares) for one in known.wanted]
    if known.explained and known.explained.router:
        parts.append((known.explained.router, known.explained.service, known.explained.middlewares))
    if not parts and known.subject.route:
        parts.append((known.subject.route, "", ()))
    for router, service, middlewares in parts:
        found += [str(Address(instance, ROUTERS, router))]
        found += [str(Address(instance, SERVICES, service))] if service else []
        found += [str(Address(instance, MIDDLEWARES, one)) for one in middlewares]
    return list(dict.fromkeys(found))


def _with_backends(ground: Ground, instance: str, known: Facts, live: Answer) -> Facts:
    services = {one.service for one in known.wanted if one.service}
    if known.explained and known.explained.service:
        services = {known.explained.service}
    found = [one for one in backends.known(ground, instance, live, "") if one.service in services]
    if not found:
        return known
    return replace(known, backends=backends.asked(found[:_MOST_BACKENDS], "").backends)


def _with_certificates(desk: Desk, ground: Ground, instance: str, known: Facts, encryption: Answer) -> Facts:
    if not known.subject.https:
        return known
    if isinstance(encryption, Away):
        return replace(known, missing={"certificate": encryption.reason})
    setup = certificates.known(ground, instance, encryption)
    try:
        wanted = certificates.questions(setup, known.subject.host)[:_MOST_CERTIFICATES]
    except Refused:
        return known  # no router names the host: nothing is configured that could be asked
    return replace(known, certificates=certificates.asked(setup, wanted, desk.settings.ca_file, desk.clock.now()).hosts)


def _with_history(desk: Desk, concerned: Sequence[str], known: Facts) -> Facts:
    routers = [one for one in concerned if f"/{ROUTERS}/" in one]
    if not routers:
        return known
    answer = desk.query.history(routers[0], limit=_LAST)
    if isinstance(answer, Away):
        return known if answer.cause == "unknown" else replace(known, missing={"history": answer.reason})
    return replace(known, changes=facts.read_changes(answer, _LAST))


def _with_others(others: Sequence[Knowing], known: Facts) -> Facts:
    """What other shards know, each asked in a thread that is left behind where it takes too long."""
    if not others:
        return known
    question = _question(known)
    workers = ThreadPoolExecutor(len(others))
    try:
        asked = [(one, workers.submit(one.about, question)) for one in others]
        wait([future for _, future in asked], timeout=_OTHERS_TAKE)
        heard = [Heard(of=one.of, instance=one.instance, said=_answer(future)) for one, future in asked]
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    return replace(known, heard=heard)


def _answer(future: Future[Known]) -> Known | str:
    if not future.done():
        return _late(_OTHERS_TAKE)
    try:
        return future.result()
    except Refused as refusal:
        return str(refusal)
    except (ValueError, TypeError, LookupError, RecursionError) as fault:  # the rest is told all the same
        return f"it could not be understood ({type(fault).__name__})"


def _question(known: Facts) -> Question:
    explained, wanted = known.explained, next(iter(known.wanted), None)
    router = explained.router if explained and explained.router else wanted.name if wanted else known.subject.route
    return Question(
        host=known.subject.host,
        path=known.subject.path,
        status=known.subject.status,
        router=router or next((one.router for one in known.claimed), ""),
        service=explained.service if explained and explained.service else wanted.service if wanted else "",
        middlewares=explained.middlewares if explained and explained.router else wanted.middlewares if wanted else (),
        backends=tuple(one.url for one in known.backends),
    )


def _with_log(known: Facts, concerned: Sequence[str], told: Told) -> Facts:
    """Drift, quarantine and proposals of what is concerned."""
    missing = dict(known.missing)
    if isinstance(told.drift, Away):
        missing["drift"] = told.drift.reason
    if isinstance(told.proposals, Away):
        missing["proposals"] = told.proposals.reason
    drift = {} if isinstance(told.drift, Away) else facts.read_drift(told.drift)
    held = () if isinstance(told.status, Away) else texts(told.status.get("quarantined"))
    known_ones = {} if isinstance(told.proposals, Away) else told.proposals
    return replace(
        known,
        drifted={one: what for one, what in drift.items() if one in concerned},
        quarantined=[one for one in held if one in concerned],
        waiting=list(facts.read_proposals(known_ones, concerned, known.subject.host)),
        missing=missing,
    )
