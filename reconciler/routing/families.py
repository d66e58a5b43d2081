"""Parents and children among HTTP routers, as Traefik ties them together; which of all routers serve nothing, and why.

Traefik's own words "disabled" and "enabled" are no measure here: a root router that has both children and a service
is called disabled and serves its children all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.routing import oldrules
from reconciler.routing.choosing import insisted
from reconciler.routing.evaluate import Rule, TooLarge, compile_rule
from reconciler.routing.routers import HIGHEST_PRIORITY, EntryPoint, Router
from reconciler.routing.rules import ParseError, looks_at, parse
from reconciler.routing.urls import Release


@dataclass(frozen=True, eq=False)
class Family:
    """A router that serves, compiled, and the children that can take its requests.

    `opaque` says why nobody can tell which requests it matches, `doubt` why nobody can tell whether it serves.
    """

    router: Router
    rule: Rule | None
    priority: int
    opaque: str
    hosts: frozenset[str] | None
    children: tuple[Family, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Families:
    """All that serve, from the roots down, and all that do not -> why."""

    roots: tuple[Family, ...]
    disabled: Mapping[str, str]


def families(routers: Iterable[Router], doors: Mapping[str, EntryPoint], release: Release) -> Families:
    """The routers as Traefik builds them."""
    return _Builder(tuple(routers), doors, release).build()


@dataclass
class _Builder:
    routers: tuple[Router, ...]
    doors: Mapping[str, EntryPoint]
    release: Release
    disabled: dict[str, str] = field(default_factory=dict)
    children: dict[str, list[Router]] = field(default_factory=dict)

    def build(self) -> Families:
        self._introduce()
        self._cut_circles()
        roots = [family for router in self.routers if not router.parents and (family := self._root(router))]
        return Families(tuple(roots), self.disabled)

    # ── who belongs to whom ──

    def _introduce(self) -> None:
        names = {router.name for router in self.routers}
        gone = {router.name for router in self.routers if router.parents and router.tls}
        for router in self.routers:
            if router.name in gone:
                self._refuse(router, "a router with parents cannot have TLS")
            elif router.parents:
                self._introduce_to(router, self._parents(router, names), names - gone)

    def _parents(self, router: Router, names: set[str]) -> list[str]:
        """Where Traefik copies routers for entry points, it forgets parents that there are not, unless all are so."""
        copying = any(door.special or door.tls or door.middlewares for door in self.doors.values())
        present = [name for name in router.parents if name in names]
        return list(dict.fromkeys(present if copying and present else router.parents))

    def _introduce_to(self, router: Router, parents: list[str], names: set[str]) -> None:
        for name in parents:
            if name in names:
                self.children.setdefault(name, []).append(router)
            else:
                self._refuse(router, f"there is no router {name} to be its parent")
        if router.entry_points:
            self._refuse(router, "a router with parents cannot have entry points")

    def _cut_circles(self) -> None:
        """Walk down from the roots in the order of names; what leads back up loses its way, as in Traefik."""
        reached: set[str] = set()
        for root in sorted(router.name for router in self.routers if not router.parents):
            if root in self.children:
                self._walk(root, reached)
            else:
                reached.add(root)
        for router in self.routers:
            if router.name not in reached:
                self._refuse(router, "no root router leads to it")

    def _walk(self, root: str, reached: set[str]) -> None:
        above: list[str] = []
        waiting: list[tuple[str, bool]] = [(root, True)]
        while waiting:
            name, entering = waiting.pop()
            if not entering:
                above.pop()
            elif name not in reached:
                reached.add(name)
                above.append(name)
                waiting.append((name, False))
                waiting += [(child, True) for child in sorted(self._names_below(name), reverse=True)]
            elif name in above:
                self._cut(above[-1], name)

    def _names_below(self, name: str) -> set[str]:
        return {child.name for child in self.children.get(name, ())}

    def _cut(self, guilty: str, victim: str) -> None:
        self.children[guilty] = [child for child in self.children[guilty] if child.name != victim]
        self.disabled.setdefault(guilty, f"its parents lead in a circle: {guilty} → {victim} → {guilty}")

    def _refuse(self, router: Router, why: str) -> None:
        self.disabled.setdefault(router.name, why)

    # ── what each serves ──

    def _root(self, router: Router) -> Family | None:
        if not router.accepted and router.priority > HIGHEST_PRIORITY and router.provider != "internal":
            self._refuse(router, f"its priority is higher than {HIGHEST_PRIORITY}")
            return None
        asked = router.entry_points
        if asked and not any(name in self.doors and not self.doors[name].udp for name in asked):
            self._refuse(router, f"there is no entry point {', '.join(asked)}")
            return None
        return self._family(router)

    def _family(self, router: Router) -> Family | None:
        if router.disabled:
            self._refuse(router, router.disabled)
            return None
        below = self.children.get(router.name, ())
        if not below and (router.unserved or not router.service):
            self._refuse(router, router.unserved or "it has neither a service nor children")
            return None
        children = tuple(family for child in below if (family := self._child(router, child)))
        if below and not children:
            self._refuse(router, "none of its children serves")
            return None
        return self._compiled(router, children)

    def _child(self, parent: Router, child: Router) -> Family | None:
        if child.name in self.disabled:
            return None
        if child.service and self.children.get(child.name):
            self._refuse(child, "it has both a service and children")
            return None
        family = self._family(child)
        return family and _under(parent, family)

    def _compiled(self, router: Router, children: tuple[Family, ...]) -> Family | None:
        try:
            if router.syntax == oldrules.SYNTAX:
                hosts = oldrules.hosts_of(oldrules.parse(router.rule))
                return Family(router, None, _length(router), oldrules.OPAQUE, hosts, children, router.doubt)
            rule = compile_rule(router.rule, "http", self.release)
        except ParseError as error:
            if not router.accepted and not isinstance(error, TooLarge):
                self._refuse(router, f"its rule is none: {error}")
                return None
            why = f"its rule is not understood here: {error}"
            hosts = _hosts_at_least(router) if isinstance(error, TooLarge) else None
            return Family(router, None, _length(router), why, hosts, children)
        doubt = router.doubt or (children[0].doubt if children and all(one.doubt for one in children) else "")
        return Family(router, rule, router.priority or rule.priority, "", insisted(rule.node), children, doubt)


def _hosts_at_least(router: Router) -> frozenset[str] | None:
    """The hosts to which a rule keeps that can be read but for a regular expression in it; None where it cannot."""
    try:
        return insisted(parse(router.rule))
    except ParseError:
        return None


def _length(router: Router) -> int:
    """The priority of a router whose rule cannot be read."""
    return router.priority or len(router.rule.encode())


def _under(parent: Router, family: Family) -> Family:
    """A child as its parent's requests see it: opaque where the parent's middlewares rewrite what it looks at."""
    if not parent.changes:
        return family
    children = tuple(_under(parent, child) for child in family.children)
    looked = {"everything"} if family.rule is None else {"everything", *looks_at(family.rule.node)}
    rewritten = [part for part in parent.changes if part in looked]
    if family.rule is None or not rewritten:
        return replace(family, children=children)
    parts = "request" if "everything" in rewritten else " and ".join(rewritten)
    why = f"middlewares of {parent.name.removesuffix('@file')} may rewrite the {parts} before its rule sees it"
    return replace(family, rule=None, opaque=why, hosts=None, children=children)
