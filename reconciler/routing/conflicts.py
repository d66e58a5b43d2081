"""What is wrong, or worth a look, with routers that serve side by side: of a whole Traefik, and of a change to it.

Errors refuse a change. There is one: a random tie between routers that treat requests differently, which the change
itself brings about. All else is shown. What leads to nothing (services, middlewares, entry points, TLS options and
certificate resolvers that do not exist) and names that are taken twice are found where definitions are checked, and
are not repeated here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from reconciler.routing.certificates import Certificates, uncovered
from reconciler.routing.changes import Changes, diff
from reconciler.routing.choosing import plain_name
from reconciler.routing.findings import Finding, Findings, Severity, gathered
from reconciler.routing.idle import alone, idle
from reconciler.routing.planes import planes
from reconciler.routing.reaching import falls, unreached
from reconciler.routing.request import Request
from reconciler.routing.revising import named
from reconciler.routing.table import Table
from reconciler.routing.ties import Tie, Ties, priority_of, resolution, stood
from reconciler.routing.treatments import Serving

__all__ = ["Certificates", "Finding", "Findings", "check", "check_change"]

MOST_WITH_ONE: Final = 10
"""How many findings of one kind about one router are looked for; the rest is counted."""


def check(serving: Serving | Table, *, certificates: Certificates | None = None) -> Findings:
    """Everything about a whole running Traefik."""
    serving = serving if isinstance(serving, Serving) else Serving(serving)
    table, more = serving.table, Counter[str]()
    disabled = table.disabled
    found = [
        *_standing_ties(serving, more),
        *(idle(serving, one) for one in unreached(serving)),
        *_fallen(serving, None),
        *alone(serving, [router for router in table.routers if router.name not in disabled]),
        *uncovered(serving, certificates or Certificates()),
    ]
    return gathered(found, more)


def check_change(
    before: Serving | Table,
    after: Serving | Table,
    changed: Collection[str],
    *,
    changes: Changes | None = None,
    certificates: Certificates | None = None,
) -> Findings:
    """What a change to these routers (qualified names) brings about; cost follows them.

    `changes` is the witness diff of the same change, where it has been made already.
    """
    one, other = (side if isinstance(side, Serving) else Serving(side) for side in (before, after))
    names = frozenset(name if "@" in name else f"{name}@file" for name in changed)
    more = Counter[str]()
    disabled = other.table.disabled
    routers = [router for router in named(other.table, sorted(names)) if router.name not in disabled]
    found = [
        *_new_ties(one, other, names, more),
        *_takeovers(one, other, names, changes or diff(one, other, names), more),
        *(idle(other, each) for each in unreached(other, [router.name for router in routers])),
        *_fallen(other, names),
        *alone(other, routers),
        *uncovered(other, certificates or Certificates(), sorted(names)),
    ]
    return gathered(found, more)


# ── ties ─────────────────────────────────────────────────────────────────────────────────────────


def _standing_ties(serving: Serving, more: Counter[str]) -> Iterator[Finding]:
    known: set[tuple[str, str]] = set()
    for plane in planes(serving.table).values():
        ties = Ties(serving, plane, MOST_WITH_ONE)
        for tie in ties.all(known):
            known.add(tie.names)
            yield _tie(serving, tie, "warning", ())
        more["tie"] += ties.more


def _new_ties(before: Serving, after: Serving, names: frozenset[str], more: Counter[str]) -> Iterator[Finding]:
    known: set[tuple[str, str]] = set()
    for plane in planes(after.table).values():
        ties = Ties(after, plane, MOST_WITH_ONE)
        roots = {id(one.root): one.root for name in sorted(names) for one in plane.through(name)}
        for tie in (tie for root in roots.values() for tie in ties.of(root)):
            if tie.names not in known and not names.isdisjoint((*tie.one.name, *tie.other.name)):
                known.add(tie.names)
                yield _tie(after, tie, _severity(before, after, tie), names)
        more["tie"] += ties.more


def _severity(before: Serving, after: Serving, tie: Tie) -> Severity:
    if tie.reach.request is None or _alike(after, tie) or stood(before, tie):
        return "warning"
    return "error"


def _alike(serving: Serving, tie: Tie) -> bool:
    """Whether it does not matter which of the two gets a request."""
    if tie.one.last.below or tie.other.last.below:
        return False
    one, other = (serving.of_claimant(each, tie.plane.place) for each in (tie.one, tie.other))
    return (one.service, one.middlewares, dict(one.parts)) == (other.service, other.middlewares, dict(other.parts))


def _tie(serving: Serving, tie: Tie, severity: Severity, preferred: Collection[str]) -> Finding:
    first, second = tie.names
    if tie.reach.request is None:
        message = f"Nobody can tell whether `{first}` and `{second}`, of one priority, get the same requests"
        message += f": {tie.reach.doubt}"
        return Finding(
            severity="info",
            kind="undecided",
            subject=first,
            others=(second,),
            message=message,
            unshown="that is what nobody can tell",
            suggestion=resolution(tie, preferred),
        )
    message = (
        f"`{first}` and `{second}` match the same requests with the same priority {priority_of(tie.one.last)}, "
        "and Traefik picks one of them at random at every reload"
    )
    if _alike(serving, tie):
        message += "; both treat requests alike"
    return Finding(
        severity=severity,
        kind="tie",
        subject=first,
        others=(second,),
        message=message,
        witness=tie.reach.request,
        suggestion=resolution(tie, preferred),
    )


# ── disabled routers ─────────────────────────────────────────────────────────────────────────────


def _fallen(serving: Serving, names: Collection[str] | None) -> Iterator[Finding]:
    for fall in falls(serving, names):
        shown = plain_name(fall.router.name)
        to = " or ".join(f"`{one.router}`" for one in fall.treatment.chances)
        lost = serving.asks(tuple(map(plain_name, fall.router.middlewares))) and serving.is_open(fall.treatment)
        yield Finding(
            severity="warning",
            kind="falls-through",
            subject=shown,
            others=tuple(one.router for one in fall.treatment.chances),
            message=f"`{shown}` is disabled ({fall.why}), and what it should get goes to {to}"
            + (", where nobody is asked who they are" if lost else ""),
            witness=fall.request,
            suggestion=f"Correct `{shown}`, or take it out",
        )


# ── routers taken over ───────────────────────────────────────────────────────────────────────────


def _takeovers(
    before: Serving, after: Serving, names: Collection[str], changes: Changes, more: Counter[str]
) -> Iterator[Finding]:
    """Routers that the change does not touch, and whose requests go to one that it does."""
    taken: dict[tuple[str, str], Request] = {}
    counted = Counter[str]()
    for victim, thief, witness in _handed_over(changes, {plain_name(name) for name in names}):
        if (victim, thief) not in taken:
            counted[thief] += 1
            if counted[thief] > MOST_WITH_ONE:
                more["takeover"] += 1
            else:
                taken[victim, thief] = witness
    victims = {_qualified(victim) for victim, _ in taken}
    left = {one.router.name for one in unreached(after, victims)}
    whole = left - {one.router.name for one in unreached(before, left)}
    for (victim, thief), witness in taken.items():
        by_tcp = after.treatment(witness).by_tcp
        yield _takeover(victim, thief, witness, whole=_qualified(victim) in whole, by_tcp=by_tcp)


def _handed_over(changes: Changes, ours: Collection[str]) -> Iterator[tuple[str, str, Request]]:
    """A router that did not change, one that did and gets requests of it, and such a request."""
    for change in changes.known:
        if change.before is not None and change.after is not None and change.witness is not None:
            for victim in (one.router for one in change.before.chances if one.router not in ours):
                for thief in (one.router for one in change.after.chances if one.router in ours):
                    if victim and thief:
                        yield victim, thief, change.witness


def _takeover(victim: str, thief: str, witness: Request, *, whole: bool, by_tcp: bool) -> Finding:
    foreign = "@" in victim
    remedy = "a narrower rule or another entry point" if by_tcp else "a lower priority or a narrower rule"
    whose = f" of the provider {victim.rpartition('@')[2]}" if foreign else ""
    return Finding(
        severity="warning" if whole or foreign else "info",
        kind="takeover",
        subject=thief,
        others=(victim,),
        message=f"`{thief}` takes requests from `{victim}`{whose}" + (", and none is left for it" if whole else ""),
        witness=witness,
        suggestion=f"If that is not meant, give `{thief}` {remedy}",
    )


def _qualified(name: str) -> str:
    return name if "@" in name else f"{name}@file"
