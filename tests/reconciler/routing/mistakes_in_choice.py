"""Wrong beliefs about which router serves a request, each put into the choice on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.routing import choosing, families, needs, oldrules, table
from reconciler.routing.choosing import Layer, Ranked
from reconciler.routing.families import Family
from reconciler.routing.request import Seen
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Answer, Table
from tests.reconciler.routing.mistakes_in_grammar import Mistake

real_init = Layer.__init__
real_family = families._Builder._family
real_choose = Layer.choose
real_doors = Table._doors
real_root = families._Builder._root
real_introduce_to = families._Builder._introduce_to
real_redirection = EntryPoint.redirection
real_told = Table._chosen


def _priorities(change: Any) -> Mistake:
    """The priority of every router is another one."""

    def family(router: Router, rule: Any, priority: int, *rest: Any) -> Family:
        return Family(router, rule, change(router, rule, priority), *rest)

    return ((families, "Family", family),)


def _computed(rule: Any) -> int:
    return rule.priority if rule else 0


def _order(key: Any) -> Mistake:
    """The routers of a table stand, and tie, by another key."""

    def choose(self: Layer, seen: Seen) -> Any:
        found = [one for one in self.ranked if one.rule is None or one.rule.matches(seen)]
        ordered = sorted(found, key=key)
        return choosing.Choice((ordered[0],), (ordered[0].shown,), ordered) if ordered else choosing.Choice()

    return ((Layer, "choose", choose),)


def _usual_order(one: Ranked) -> tuple[int, int, str]:
    return (-one.priority, -one.precedence, one.router.name)


def _blocking(self: Any, router: Router) -> Family | None:
    """A router that is disabled keeps its requests."""
    sound = replace(router, disabled="", unserved="", broken_tls=False, service="blocked@file")
    return real_family(self, router) or (None if self.children.get(router.name) else real_family(self, sound))


def _doors_all_or_none(self: Table, router: Router) -> Iterable[EntryPoint]:
    """A router with an entry point that there is not listens nowhere."""
    gone = any(name not in self.entry_points for name in router.entry_points)
    return iter(()) if gone else real_doors(self, router)


def _doors_if_any(self: Table, router: Router) -> Iterable[EntryPoint]:
    """A router none of whose entry points are there listens at the usual ones."""
    there = tuple(name for name in router.entry_points if name in self.entry_points)
    return real_doors(self, replace(router, entry_points=there))


def _layers(tls_of: Any) -> Any:
    """Tables for which a router counts as one with TLS by another measure."""

    def layers(self: Table) -> dict[tuple[str, bool], Layer]:
        found: dict[tuple[str, bool], list[Ranked]] = {}
        for family in self._families.roots:
            for door in self._doors(family.router):
                for tls in tls_of(family.router, door):
                    found.setdefault((door.name, tls), []).append(self._ranked(family, family.router.middlewares))
        return {place: Layer(ranked) for place, ranked in found.items()}

    return property(layers)


def _falling(self: Layer, seen: Seen) -> Any:
    """Where no child matches, the next router is asked."""
    for one in self.near(seen.host):
        matches = one.rule is not None and one.rule.matches(seen)
        if matches and (one.below is None or one.below.choose(seen).path):
            return real_choose(Layer([one]), seen)
    return choosing.Choice()


def _flat(self: Layer, routers: Iterable[Ranked]) -> None:
    """Children stand among all the others, by their own priorities."""
    found: list[Ranked] = []
    for one in routers:
        found += [replace(child, below=None) for child in one.below.ranked] if one.below else [one]
    real_init(self, found)


def _orphans_serve(self: Any, router: Router, parents: list[str], names: set[str]) -> None:
    real_introduce_to(self, replace(router, entry_points=()), parents, names)


def _roots_of_all(self: Any) -> families.Families:
    """A router is one by itself where its parents are none of ours."""
    names = {router.name for router in self.routers}
    self.routers = tuple(
        replace(router, parents=()) if not names.issuperset(router.parents) else router for router in self.routers
    )
    return real_build(self)


def _circles_serve(self: Any) -> families.Families:
    """Of parents that are each other's children one is a root."""
    pairs = {(router.name, parent) for router in self.routers for parent in router.parents}
    self.routers = tuple(
        replace(router, parents=()) if any((one, router.name) in pairs for one in router.parents) else router
        for router in self.routers
    )
    return real_build(self)


def _tls_children(self: Any) -> families.Families:
    """TLS of a child is passed over."""
    self.routers = tuple(replace(one, tls=False) if one.parents else one for one in self.routers)
    return real_build(self)


real_build = families._Builder.build


def _no_service_with_children(self: Any, router: Router) -> Family | None:
    if router.service and self.children.get(router.name):
        return None
    return real_root(self, router)


def _unbarred(self: Table, seen: Seen, *rest: Any) -> Answer:
    seen.barred = False
    return real_told(self, seen, *rest)


def _barred_first(self: Table, seen: Seen, *rest: Any) -> Answer:
    return Answer(status=400) if seen.barred else real_told(self, seen, *rest)


CHOICE: Mapping[str, Mistake] = {
    # ── priorities
    "longer rules are asked first whatever their priority": _priorities(lambda router, rule, priority: _computed(rule)),
    "priority 0 is the lowest": _priorities(lambda router, rule, priority: router.priority),
    "a negative priority is none": _priorities(
        lambda router, rule, priority: priority if router.priority >= 0 else _computed(rule)
    ),
    "priorities are floating point": _priorities(lambda router, rule, priority: float(priority)),
    "blanks and comments of a rule do not count": _priorities(
        lambda router, rule, priority: router.priority or (len(router.rule.split("/*")[0].strip()) if rule else 0)
    ),
    "characters of a rule count, not bytes": _priorities(
        lambda router, rule, priority: router.priority or len(router.rule)
    ),
    "any priority is allowed": ((families, "HIGHEST_PRIORITY", 2**63),),
    "no priority may be that high": ((families, "HIGHEST_PRIORITY", 2**63 - 1002),),
    "Traefik's own routers may not have theirs": (
        (
            families._Builder,
            "_root",
            lambda self, router: None if "@internal" in router.name else real_root(self, router),
        ),
    ),
    "an entry point sends elsewhere what nobody serves": (
        (EntryPoint, "redirection", property(lambda self: replace(real_redirection.fget(self), priority=1))),
    ),
    "a host comes before a path": _order(lambda one: ("Host(" not in one.router.rule, *_usual_order(one))),
    # ── ties
    "of equal priorities the first by name serves": _order(_usual_order),
    "of equal priorities the last by name serves": _order(
        lambda one: (*_usual_order(one)[:2], tuple(-ord(letter) for letter in one.router.name))
    ),
    "providers stand in an order by themselves": (
        (table, "rank", lambda name, precedence: choosing.rank(name, precedence or ("file", "rest"))),
    ),
    "providers stand in no order": ((table, "rank", lambda name, precedence: 0),),
    "the order of providers is the other way round": (
        (table, "rank", lambda name, precedence: choosing.rank(name, tuple(reversed(precedence)))),
    ),
    "the order of providers comes before priorities": _order(
        lambda one: (-one.precedence, -one.priority, one.router.name)
    ),
    # ── who does not serve
    "a disabled router keeps its requests": ((families._Builder, "_family", _blocking),),
    "what a router needs is always there": ((needs.Needs, "of", lambda self, kind, name: needs.SOUND),),
    "an entry point that there is not disables": ((Table, "_doors", _doors_all_or_none),),
    "an entry point that there is not is the usual one": (
        (families._Builder, "_root", lambda self, router: self._family(router)),
        (Table, "_doors", _doors_if_any),
    ),
    "a name without a provider is one of the same file": ((needs, "context_of", lambda name: name.rpartition("@")[2]),),
    # ── entry points and TLS
    "every entry point is one by default": ((Table, "default_doors", property(lambda self: tuple(self.entry_points))),),
    "no entry point is marked": (
        (Table, "default_doors", property(lambda self: tuple(name for name in self.entry_points if name != "traefik"))),
    ),
    "the first entry point is the one by default": (
        (Table, "default_doors", property(lambda self: tuple(self.entry_points)[:1])),
    ),
    "plain and TLS are one table": ((Table, "layers", _layers(lambda router, door: (False, True))),),
    "an entry point gives no TLS": ((Table, "layers", _layers(lambda router, door: (router.tls,))),),
    "an entry point with TLS serves plain requests too": (
        (Table, "layers", _layers(lambda router, door: (True, False) if door.tls else (router.tls,))),
    ),
    "any escape may stand in a path": ((Table, "_chosen", _unbarred),),
    "a path with such an escape is refused at once": ((Table, "_chosen", _barred_first),),
    # ── parents and children
    "where no child matches the next router is asked": ((Layer, "choose", _falling),),
    "children stand among all routers": ((Layer, "__init__", _flat),),
    "children see the request as it came": ((families, "_under", lambda parent, family: family),),
    "a child without its parent is a router": ((families._Builder, "build", _roots_of_all),),
    "in a circle one of the parents is a root": ((families._Builder, "build", _circles_serve),),
    "TLS of a child is passed over": ((families._Builder, "build", _tls_children),),
    "entry points of a child are passed over": ((families._Builder, "_introduce_to", _orphans_serve),),
    "a parent with a service serves nothing": ((families._Builder, "_root", _no_service_with_children),),
    # ── version 2
    "rules of version 2 are rules of version 3": ((oldrules, "SYNTAX", "none"),),
}
