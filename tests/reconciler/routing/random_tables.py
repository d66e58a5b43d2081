"""Random tables of routers: priorities, entry points, TLS, parents, and every way not to serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.routing.request import Door
from reconciler.routing.routers import EntryPoint
from tests.reconciler.routing.generating import Maker

DOORS: Mapping[str, Mapping[str, Any]] = {
    "web": {},
    "secure": {"http": {"encodedCharacters": {"allowEncodedSlash": False}}},
    "door": {"http": {"tls": {}, "middlewares": ["entry@file"]}},
}
ENTRY_POINTS = (
    EntryPoint(name="web", port=80),
    EntryPoint(name="all", port=81),
    EntryPoint(name="secure", port=443, special=True, door=Door(barred=frozenset("/"))),
    EntryPoint(name="door", port=444, tls=True, special=True, middlewares=("entry@file",)),
    EntryPoint(name="traefik", port=8080),
)
_PRIORITIES = (0, 0, 0, 0, 0, 1, 5, 20, -3, 40, 2**63 - 1001, 2**63 - 1000)
_PLACES = ((), ("web",), ("web",), ("secure",), ("door",), ("web", "secure", "door"), ("web", "nowhere"), ("nowhere",))


class TableMaker(Maker):
    """Makes dynamic configuration; the same number makes the same."""

    def table(self, size: int = 60) -> dict[str, Any]:
        """A file of routers that each say their name in X-Router."""
        routers = {f"r{number}": self._router(number) for number in range(size)}
        for number in range(size // 4):
            self._adopt(routers, f"r{number}")
        middlewares: dict[str, Any] = {
            name: {"headers": {"customResponseHeaders": {"X-Router": name}}}
            for name, router in routers.items()
            if "service" in router
        }
        middlewares["loaded"] = middlewares["entry"] = {"headers": {"customResponseHeaders": {"X-Entry": "yes"}}}
        middlewares["strip"] = {"stripPrefix": {"prefixes": ["/a"]}}
        middlewares["broken"] = {"ipAllowList": {"sourceRange": ["nowhere"]}}
        middlewares["links"] = {"chain": {"middlewares": ["loaded", "missing" if self._often(0.3) else "entry"]}}
        services = {
            "two": {"weighted": {"services": [{"name": "noop@internal"}]}},
            "torn": {"weighted": {"services": [{"name": "missing"}]}},
        }
        return {"http": {"routers": routers, "middlewares": middlewares, "services": services}}

    def _router(self, number: int) -> dict[str, Any]:
        router: dict[str, Any] = {"rule": self._some_rule(), "service": self._service()}
        if priority := self.chance.choice(_PRIORITIES):
            router["priority"] = priority
        if places := self.chance.choice(_PLACES):
            router["entryPoints"] = list(places)
        if self._often(0.2):
            router["tls"] = {}
        router["middlewares"] = [f"r{number}", *self._faulty()]
        return router

    def _some_rule(self) -> str:
        roll = self.chance.random()
        if roll < 0.3:
            return f"Host(`{self._one(('a.test', 'b.test', '*.a.test', 'A.TEST'))}`)"
        if roll < 0.5:
            host, path = self._one(("a.test", "b.test")), self._one(("/", "/a", "/b", "/api"))
            return f"Host(`{host}`) && PathPrefix(`{path}`)"
        return self.broken() if roll > 0.95 else self.rule(2)

    def _service(self) -> str:
        roll = self.chance.random()
        return "noop@internal" if roll < 0.9 else self._one(("two", "torn", "missing", "nothing@internal"))

    def _faulty(self) -> list[str]:
        roll = self.chance.random()
        return [] if roll < 0.9 else [self._one(("missing", "broken", "links", "entry", "other@docker"))]

    def _adopt(self, routers: dict[str, Any], name: str) -> None:
        """Make one a child of others, which lose their service, or should."""
        child = routers[name]
        for key in ("entryPoints", "tls"):
            if self._often(0.9):
                child.pop(key, None)
        parents = [f"r{self.chance.randrange(len(routers))}" for _ in range(self.chance.choice((1, 1, 1, 2)))]
        if self._often(0.05):
            parents.append("nobody")
        child["parentRefs"] = parents
        for parent in parents:
            if parent in routers:
                routers[parent]["middlewares"] = ["strip"] if self._often(0.2) else ["entry"]
                if self._often(0.9):
                    routers[parent].pop("service", None)
