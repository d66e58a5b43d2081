"""Random tables that change, and requests made to find out: from one number, the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from reconciler.routing import oldrules
from reconciler.routing.grammar import parse
from reconciler.routing.matchers import Header, HeaderRegexp, Host, Matcher, Path, PathPrefix
from reconciler.routing.request import Door, Request
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.rules import ParseError, conditions

HOSTS = ("a.test", "b.test", "x.a.test", "y.a.test", "a.lab")
_HOST_RULES = (
    *(f"Host(`{host}`)" for host in HOSTS), "Host(`*.a.test`)", "Host(`A.test`)", "Host(`a.test.`)",
    "HostRegexp(`^.+\\.test$`)",
    "HostRegexp(`^[xy]\\.a\\.test$`)", "HostRegexp(`a`)", "(Host(`a.test`) || Host(`b.test`))", "Host(`192.0.2.7`)",
)  # fmt: skip
_PATH_RULES = (
    "PathPrefix(`/`)", "PathPrefix(`/a`)", "PathPrefix(`/a/b`)", "PathPrefix(`/b`)", "Path(`/a`)", "Path(`/b`)",
    "PathRegexp(`^/a/?$`)", "PathRegexp(`^/[ab]`)", "(PathPrefix(`/a`) || PathPrefix(`/b`))",
)  # fmt: skip
_OTHER_RULES = (
    "Method(`GET`)", "Method(`POST`)", "Header(`X-A`, `1`)", "HeaderRegexp(`X-A`, `^[12]$`)", "Query(`q`, `1`)",
    "ClientIP(`10.0.0.0/8`)", "Header(`X-Forwarded-Proto`, `https`)", "HeaderRegexp(`X-Forwarded-For`, `^10`)",
)  # fmt: skip
_PRIORITIES = (0, 0, 0, 5, 5, 7, 7, 20)
DOORS = (EntryPoint(name="web", port=80), EntryPoint(name="secure", port=443))
TRUSTING = (
    EntryPoint(name="web", port=80, door=Door(trust_all=True)),
    EntryPoint(name="secure", port=443, tls=True, middlewares=("m1@file",), door=Door(barred=frozenset("/%"))),
)


def _may_be_old(rule: str) -> bool:
    """Whether Traefik takes a rule in the syntax of version 2 too."""
    try:
        return bool(oldrules.parse(rule))
    except ParseError:
        return False


class ChangeMaker:
    """`families`, `old` and `tcp` say what else than plain routers there is."""

    def __init__(self, seed: int, *, families: bool = False, old: bool = False, tcp: bool = False) -> None:
        self.chance = Random(seed)
        self._families, self._old, self._tcp = families, old, tcp

    def _often(self, share: float) -> bool:
        return self.chance.random() < share

    def rule(self) -> str:
        roll = self.chance.random()
        host, path, other = (self.chance.choice(rules) for rules in (_HOST_RULES, _PATH_RULES, _OTHER_RULES))
        if roll < 0.25:
            return host
        if roll < 0.35:
            return path
        if roll < 0.7:
            return f"{host} && {path}"
        if roll < 0.8:
            return f"{host} && !{path}"
        if roll < 0.9:
            return f"{host} && {path} && {other}"
        return f"{path} && !{other}"

    def router(self, number: int) -> Router:
        if self._tcp and self._often(0.2):
            return self._tcp_router(number)
        parents = (f"r{self.chance.randrange(4)}@file",) if self._families and number > 3 and self._often(0.4) else ()
        tls, rule = not parents and self._often(0.25), self.rule()
        return Router(
            name=f"r{number}@file",
            rule=rule,
            entry_points=() if parents or self._often(0.5) else (self.chance.choice(("web", "secure")),),
            priority=self.chance.choice(_PRIORITIES),
            tls=tls,
            tls_options="strict@file" if tls and self._tcp and self._often(0.3) else "",
            service="" if self._families and number < 2 else f"s{self.chance.randrange(3)}@file",
            middlewares=tuple(f"m{one}@file" for one in range(3) if self._often(0.2)),
            parents=parents,
            changes=("path",) if self._old and self._often(0.1) else (),
            syntax="v2" if self._old and not tls and self._often(0.1) and _may_be_old(rule) else "",
        )

    def _tcp_router(self, number: int) -> Router:
        rule = self.chance.choice(("HostSNI(`*`)", "HostSNI(`a.test`)", "HostSNI(`*.a.test`)", "ClientIP(`10.0.0.0/8`)",
                                   "HostSNI(`b.test`) && !ClientIP(`10.0.0.0/8`)", "HostSNI(`a.lab`)"))  # fmt: skip
        return Router(
            name=f"r{number}@file", protocol="tcp", rule=rule, entry_points=(self.chance.choice(("web", "secure")),),
            priority=self.chance.choice(_PRIORITIES), tls=self._often(0.7), service="vm@file",
        )  # fmt: skip

    def routers(self, size: int) -> list[Router]:
        return [self.router(number) for number in range(size)]

    def changed(self, routers: Sequence[Router], count: int) -> list[Router]:
        """Some of them different, some gone, some new."""
        found = {router.name: router for router in routers}
        for _ in range(count):
            number = self.chance.randrange(len(routers) + 2)
            name = f"r{number}@file"
            roll = self.chance.random()
            if name not in found or roll < 0.35:
                found[name] = self.router(number)
            elif roll < 0.6:
                del found[name]
            else:
                found[name] = replace(found[name], **self._one_field(found[name]))
        return list(found.values())

    def _one_field(self, router: Router) -> dict[str, Any]:
        if router.protocol == "tcp":
            return {"priority": self.chance.choice(_PRIORITIES)}
        return self.chance.choice(
            (
                {"rule": self.rule()}, {"priority": self.chance.choice(_PRIORITIES)}, {"service": "other@file"},
                {"middlewares": ()}, {"middlewares": ("auth@file", *router.middlewares)}, {"disabled": "it is broken"},
            )
        )  # fmt: skip

    def definitions(self) -> dict[str, dict[str, Any]]:
        return {
            "http.services": {f"s{one}": {"loadBalancer": self.chance.randrange(2)} for one in range(3)},
            "http.middlewares": {f"m{one}": {"headers": self.chance.randrange(2)} for one in range(3)},
        }

    # ── requests ──

    def requests(self, routers: Iterable[Router], count: int) -> Iterator[Request]:
        """Of every sort that the rules know of, and of none."""
        known = [part for router in routers if router.protocol == "http" for part in conditions(parse(router.rule))]
        sides = _Sides(known)
        for _ in range(count):
            pick = self.chance.choice
            yield Request(
                method=pick(("GET", "GET", "POST", "PUT")),
                target=pick(sides.paths) + pick(("", "", "?q=1", "?q=2", "?q=1&q=2")),
                host=pick(sides.hosts) + pick(("", "", "", ".", "..", ":8080")),
                headers=pick(
                    (
                        (),
                        (),
                        (("X-A", "1"),),
                        (("X-A", "2"),),
                        (("x-a", "3"), ("X-A", "1")),
                        sides.header(pick),
                        sides.forwarded(pick),
                    )
                ),
                client_ip=pick(("127.0.0.1", "10.1.2.3")),
                entry_point=pick(("web", "secure")),
                tls=self._often(0.4),
            )


class _Sides:
    def __init__(self, known: Sequence[Matcher]) -> None:
        hosts = [part.value for part in known if isinstance(part, Host)]
        paths = [part.value for part in known if isinstance(part, Path | PathPrefix)]
        self._headers = [(part.key, part.value) for part in known if isinstance(part, Header | HeaderRegexp)]
        self.hosts = [
            *(host.replace("*", "w") for host in hosts),
            *HOSTS,
            "A.TEST",
            "w.v.a.test",
            "192.0.2.7",
            "",
            "zz",
        ]
        self.paths = [
            "/a%2Fb",
            *paths,
            *(path + "x" for path in paths),
            *(path.rstrip("/") + "/c" for path in paths),
            "/",
            "/ab",
        ]

    def header(self, pick: Any) -> tuple[tuple[str, str], ...]:
        return (pick(self._headers),) if self._headers else ()

    def forwarded(self, pick: Any) -> tuple[tuple[str, str], ...]:
        return (
            ("X-Forwarded-Proto", pick(("http", "https", "wss", "x"))),
            ("X-Forwarded-For", pick(("10.0.0.1", "1"))),
        )
