"""Routers that get no requests, or none by some condition, each with a request that shows where these go instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from reconciler.routing.choosing import Ranked, plain_name
from reconciler.routing.decide import Found, FoundConnection, find, find_connection
from reconciler.routing.entrances import PLAIN_NAMES, TLS_NAMES
from reconciler.routing.findings import Finding
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.intentions import intended, is_excepted
from reconciler.routing.lints import dead
from reconciler.routing.matchers import And, Node
from reconciler.routing.planes import Place
from reconciler.routing.reaching import Unreached
from reconciler.routing.request import Request
from reconciler.routing.revising import named
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import outcome

_MOST_NAMED: Final = 5
_CORRECT: Final = "Correct the rule"


class Shown(NamedTuple):
    """A request and what becomes of it, or why there is none: as a finding takes them."""

    witness: Request | None = None
    outcome: str = ""
    unshown: str = ""


def shown(serving: Serving, request: Request | None, unshown: str = "") -> Shown:
    """A request and what becomes of it; where there is none, why."""
    if request is None:
        return Shown(unshown=unshown)
    return Shown(request, outcome(serving.treatment(request)))


# ── routers without requests ─────────────────────────────────────────────────────────────────────


def idle(serving: Serving, one: Unreached) -> Finding:
    """A router that no request reaches, or may reach."""
    name = plain_name(one.router.name)
    if one.doubt:
        message = f"Nobody can tell whether any request reaches `{name}`: {one.doubt}"
        return Finding(
            severity="info",
            kind="undecided",
            subject=name,
            message=message,
            unshown="that is what nobody can tell",
            suggestion=f"Ask about requests that `{name}` should get, one by one, or write its rule more plainly",
        )
    if one.never:
        return _never(serving, one.router)
    if one.claimed and not one.thieves:
        message = (
            f"No connection reaches `{name}`: all that it asks for goes to HTTP routers with TLS for the same "
            "names, or to a TCP router for all names, before"
        )
        suggestion = f"Take `{name}` out, or what stands before it"
        found = shown(serving, _claimed(serving, one.router), "no client can be named that asks for this alone")
    else:
        message = f"No request reaches `{name}`: all that it matches goes to {_first(one.thieves)} before"
        suggestion = _way_out(one, name)
        found = shown(serving, one.missed, "no single request can be written that it matches")
    others = tuple(thief.shown for thief in one.thieves)
    return _finding("unreachable", name, message, suggestion, found, others)


def _way_out(one: Unreached, name: str) -> str:
    """TCP routers are asked before all of HTTP: against them no priority of an HTTP router helps."""
    tcp = [thief for thief in one.thieves if thief.router.protocol == "tcp"]
    if tcp and one.router.protocol == "http":
        return f"Narrow {_first(tcp)}, or put `{name}` on another entry point: TCP routers come before those of HTTP"
    return f"Give `{name}` a higher priority, or take it out"


def _first(some: Sequence[Ranked]) -> str:
    names = [f"`{one.shown}`" for one in some[:_MOST_NAMED]]
    left = len(some) - len(names)
    return ", ".join(names) + (f" and {left} more" if left else "")


def _claimed(serving: Serving, router: Router) -> Request | None:
    """A request in a connection that a TCP router asks for."""
    found = find_connection((parse(router.rule, "tcp"),), release=serving.table.release)
    place = _place(serving, router)
    if place is None or not isinstance(found, FoundConnection):
        return None
    asked = found.witness
    return Request(host=asked.sni, client_ip=asked.client_ip, entry_point=place[0], tls=place[1])


def _never(serving: Serving, router: Router) -> Finding:
    name = plain_name(router.name)
    parts = list(dead_parts(serving, router)) if router.protocol == "http" else []
    words = "; ".join(part.words for part in parts) or "what it asks for contradicts itself"
    nothing = Shown(unshown="there is nothing that meets all of its conditions")
    found = next((part.shown for part in parts if part.shown.witness), parts[0].shown if parts else nothing)
    return _finding("never", name, f"`{name}` can never match a request: {words}", _CORRECT, found)


# ── conditions that never hold ───────────────────────────────────────────────────────────────────


class Part(NamedTuple):
    """A condition that never holds: why, and the request that it was meant for."""

    words: str
    shown: Shown


def dead_parts(serving: Serving, router: Router) -> Iterator[Part]:
    """The conditions of a rule that never hold."""
    rule = _rule(router)
    found = dead(rule, serving.table.release) if rule else []
    if rule is None or not found:
        return
    place, whole = _place(serving, router), _with_parents(serving, router, rule)
    for matcher, words in found:
        tries = (_at(place, request) for request in intended(whole, matcher, serving.table.release)) if place else ()
        excepted = is_excepted(whole, matcher)
        missed = next((one for one in tries if _gets(serving, router, one) is excepted), None)
        yield Part(words, shown(serving, missed, "no request can be written that was meant and goes elsewhere"))


def _rule(router: Router) -> Node | None:
    try:
        return parse(router.rule) if router.syntax != "v2" else None
    except ParseError:
        return None


def _with_parents(serving: Serving, router: Router, rule: Node) -> Node:
    """A rule with those of the parents that lead to it."""
    above = [node for one in _line(serving, router)[1:] if (node := _rule(one))]
    return And((*above, rule)) if above else rule


def _line(serving: Serving, router: Router) -> list[Router]:
    """A router, its first parent, and so on to the root."""
    line = [router]
    while line[-1].parents:
        above = next((one for one in named(serving.table, line[-1].parents[:1]) if one.protocol == "http"), None)
        if above is None or above in line:
            return line
        line.append(above)
    return line


def _place(serving: Serving, router: Router) -> Place | None:
    """The first entry point where a router listens, and whether with TLS."""
    root = _line(serving, router)[-1]
    doors = serving.table.doors_of(root)
    return (doors[0].name, root.tls or doors[0].tls) if doors else None


def _at(place: Place, request: Request) -> Request:
    return replace(request, entry_point=place[0], tls=place[1])


def _gets(serving: Serving, router: Router, request: Request) -> bool:
    """Whether a router may get a request after all, by another part of its rule."""
    return plain_name(router.name) in [one.router for one in serving.treatment(request).chances]


# ── one router by itself ─────────────────────────────────────────────────────────────────────────


def alone(serving: Serving, routers: Iterable[Router]) -> Iterator[Finding]:
    """What is wrong with routers whoever stands beside them."""
    for router in routers:
        if router.protocol == "http" and router.provider != "internal":
            name = plain_name(router.name)
            for words, found in dead_parts(serving, router):
                yield _finding(
                    "never", name, f"A part of the rule of `{name}` can never match: {words}", _CORRECT, found
                )
            yield from _misplaced(serving, router)


def _misplaced(serving: Serving, router: Router) -> Iterator[Finding]:
    """A router that listens for TLS where clients speak none, or the reverse, and nowhere else."""
    doors = serving.table.doors_of(router)
    if not doors or any(_usual(door) in (None, router.tls or door.tls) for door in doors):
        return
    name, names = plain_name(router.name), ", ".join(f"`{door.name}`" for door in doors)
    if router.tls:
        message = f"`{name}` has `tls`, and listens only at {names}, where clients come without: they do not reach it"
        suggestion = "Take `tls` out, or let it listen at an entry point for HTTPS"
    else:
        message = (
            f"`{name}` has no `tls`, and listens only at {names}, where clients come with TLS: they do not reach it"
        )
        suggestion = "Add `tls`, or let it listen at an entry point for plain HTTP"
    usual = (doors[0].name, not router.tls)
    yield _finding("tls", name, message, suggestion, matched(serving, router, usual))


def matched(serving: Serving, router: Router, place: Place, *more: Node) -> Shown:
    """A request that a router's rule matches, as it comes at this place."""
    rule = _rule(router)
    if rule is None:
        return Shown(unshown="its rule is not read here")
    found = find((rule, *more), release=serving.table.release)
    if not isinstance(found, Found):
        return Shown(unshown="no request can be written that its rule matches")
    return shown(serving, _at(place, found.witness))


def _usual(door: EntryPoint) -> bool | None:
    """Whether clients come with TLS to an entry point, as its port or name tells; None where they do not tell."""
    if door.port in (443, 8443) or door.name.lower() in TLS_NAMES:
        return True
    return False if door.port in (80, 8080) or door.name.lower() in PLAIN_NAMES else None


def _finding(
    kind: str, subject: str, message: str, suggestion: str, found: Shown, others: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        severity="warning",
        kind=kind,
        subject=subject,
        message=message,
        suggestion=suggestion,
        witness=found.witness,
        outcome=found.outcome,
        unshown=found.unshown,
        others=others,
    )
