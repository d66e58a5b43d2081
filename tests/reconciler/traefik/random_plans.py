"""Random states of ours beside random neighbours, and requests made to find out: from one number, the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from reconciler.core.target import Observation
from reconciler.routing.request import Request
from reconciler.traefik.api import item
from state.model import Address, Snapshot

HOSTS = ("a.lab", "b.lab", "x.a.lab")
PATHS = ("/", "/a", "/a/b", "/b")
_RULES = (
    *(f"Host(`{host}`)" for host in HOSTS),
    *(f"Host(`{host}`) && PathPrefix(`{path}`)" for host in HOSTS for path in ("/a", "/b")),
    "Host(`*.a.lab`)", "HostRegexp(`^[ab]\\.lab$`)", "PathPrefix(`/a`)", "PathPrefix(`/`)",
    "Host(`a.lab`) && !Path(`/b`)", "Host(`a.lab`) && Method(`POST`)", "Host(`a.lab`) && ClientIP(`10.0.0.0/8`)",
    "Host(`a.lab`) || Host(`b.lab`)",
)  # fmt: skip
_TCP_RULES = ("HostSNI(`*`)", "HostSNI(`a.lab`)", "HostSNI(`b.lab`)", "ClientIP(`10.0.0.0/8`)", "HostSNI(`*.a.lab`)")
_GATES = ("door", "sso", "lan", "both", "away", "shown", "told", "strip", "plain", "unheard", "door@docker")
_OPTIONS = ("", "", "strict", "weak", "default")
_SERVERS = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}
_MIDDLEWARES: dict[str, tuple[dict[str, Any], ...]] = {
    "door": ({"basicAuth": {"users": ["a:b"]}}, {"basicAuth": {"users": ["a:b", "c:d"]}}, {"compress": {}}),
    "sso": ({"forwardAuth": {"address": "http://sso/"}}, {"forwardAuth": {"address": "http://other/"}}),
    "lan": ({"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}, {"ipAllowList": {"sourceRange": ["0.0.0.0/0"]}}),
    "both": ({"chain": {"middlewares": ["lan", "door"]}}, {"chain": {"middlewares": ["plain"]}}),
    "away": ({"redirectScheme": {"scheme": "https"}},),
    "shown": ({"errors": {"status": ["400-499"], "service": "s0", "query": "/"}},
              {"errors": {"status": ["404"], "service": "s0", "query": "/"}}),
    "told": ({"headers": {"customRequestHeaders": {"Authorization": "x"}}},),
    "strip": ({"stripPrefix": {"prefixes": ["/a"]}},),
    "plain": ({"compress": {}}, {"headers": {"frameDeny": True}}),
    "unheard": ({"plugin": {"unheard": {"a": 1}}},),
}  # fmt: skip
_TLS = {
    "strict": ({"clientAuth": {"caFiles": ["ca"], "clientAuthType": "RequireAndVerifyClientCert"}},
               {"clientAuth": {"caFiles": ["ca"], "clientAuthType": "VerifyClientCertIfGiven"}}),
    "weak": ({"minVersion": "VersionTLS12"},),
    "default": ({"minVersion": "VersionTLS12"},
                {"clientAuth": {"caFiles": ["ca"], "clientAuthType": "RequireAnyClientCert"}}),
}  # fmt: skip


class PlanMaker:
    """What a home looks like before and after a change, and what stands around it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self._families, self._old, self._tcp = (self._often(0.4) for _ in range(3))

    def _often(self, share: float) -> bool:
        return self.chance.random() < share

    def _of(self, among: Any) -> Any:
        return self.chance.choice(among)

    # ── ours ──

    def state(self) -> Snapshot:
        made: dict[Address, Any] = {}
        for name in _MIDDLEWARES:
            if self._often(0.9):
                made[Address("traefik", "http.middlewares", name)] = self._of(_MIDDLEWARES[name][:1])
        for name in _TLS:
            if self._often(0.6):
                made[Address("traefik", "tls.options", name)] = self._of(_TLS[name])
        made[Address("traefik", "tcp.middlewares", "lan")] = _MIDDLEWARES["lan"][0]
        for number in range(3):
            made[Address("traefik", "http.services", f"s{number}")] = self._service(number)
        made[Address("traefik", "tcp.services", "t")] = {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}
        for number in range(self.chance.randrange(1, 7)):
            made.update(self._router(number))
        return made

    def _service(self, number: int) -> dict[str, Any]:
        if number == 2 and self._often(0.4):
            return {"weighted": {"services": [{"name": "s0"}, {"name": "s1"}]}}
        return {**_SERVERS, "middlewares": ["door"]} if self._often(0.2) else dict(_SERVERS)

    def _router(self, number: int) -> dict[Address, Any]:
        if self._tcp and self._often(0.25):
            return {Address("traefik", "tcp.routers", f"r{number}"): self._tcp_router()}
        return {Address("traefik", "http.routers", f"r{number}"): self._http_router(number)}

    def _http_router(self, number: int) -> dict[str, Any]:
        child = self._families and number > 2 and self._often(0.5)
        parent = self._families and number < 2 and self._often(0.7)
        spec: dict[str, Any] = {"rule": self._of(_RULES)}
        if not parent:
            spec["service"] = f"s{self.chance.randrange(3)}"
        if chosen := [name for name in _GATES if self._often(0.15)]:
            spec["middlewares"] = self.chance.sample(chosen, len(chosen))
        if priority := self._of((0, 0, 5, 20)):
            spec["priority"] = priority
        if self._old and self._often(0.2):
            spec["ruleSyntax"] = "v2"
        if child:
            return {**spec, "parentRefs": [f"r{self.chance.randrange(2)}"]}
        if self._often(0.6):
            spec["entryPoints"] = [self._of(("web", "websecure"))]
        if self._often(0.4):
            options = self._of(_OPTIONS)
            spec["tls"] = {"options": options} if options else {}
        return spec

    def _tcp_router(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"rule": self._of(_TCP_RULES), "service": "t"}
        spec["entryPoints"] = [self._of(("web", "websecure"))]
        if self._often(0.4):
            spec["middlewares"] = ["lan"]
        if self._often(0.6):
            spec["tls"] = self._of(({}, {"passthrough": True}, {"options": "strict"}))
        return spec

    def changed(self, state: Snapshot) -> Snapshot:
        """Some of it different, some gone, some new."""
        made = dict(state)
        for _ in range(self.chance.randrange(1, 4)):
            roll = self.chance.random()
            if roll < 0.35:
                made.update(self._router(self.chance.randrange(8)))
            elif roll < 0.5:
                made.pop(self._of([one for one in made if one.kind.endswith(".routers")] or [None]), None)
            elif roll < 0.7:
                self._change_a_field(made)
            else:
                self._redefine(made)
        return made

    def _change_a_field(self, made: dict[Address, Any]) -> None:
        routers = [one for one in made if one.kind == "http.routers"]
        if not routers:
            return
        address = self._of(routers)
        field, value = self._of((
            ("rule", self._of(_RULES)), ("service", f"s{self.chance.randrange(3)}"), ("priority", 9),
            ("middlewares", [self._of(_GATES)]), ("middlewares", None),
        ))  # fmt: skip
        spec = {name: old for name, old in made[address].items() if name != field}
        made[address] = spec if value is None else {**spec, field: value}

    def _redefine(self, made: dict[Address, Any]) -> None:
        kind, name, specs = self._of((
            *(("http.middlewares", name, specs) for name, specs in _MIDDLEWARES.items()),
            *(("tls.options", name, specs) for name, specs in _TLS.items()),
            ("tcp.middlewares", "lan", (*_MIDDLEWARES["lan"], {"inFlightConn": {"amount": 1}})),
            *(("http.services", f"s{number}", (self._service(number),)) for number in range(3)),
        ))  # fmt: skip
        spec = self._of((*specs, None))
        made.pop(Address("traefik", kind, name), None)
        if spec is not None:
            made[Address("traefik", kind, name)] = spec

    # ── around it ──

    def observed(self, live: Snapshot) -> Observation:
        served: dict[str, dict[str, Any]] = {"http.services": {"noop@internal": item({"status": "enabled"})}}
        for address, spec in live.items():
            if not address.kind.startswith("tls."):
                served.setdefault(address.kind, {})[f"{address.name}@file"] = item({**spec, "status": "enabled"})
        served.setdefault("http.middlewares", {})["door@docker"] = item(
            {**_MIDDLEWARES["door"][0], "status": "enabled"}
        )
        served.setdefault("http.services", {})["d@docker"] = item({**_SERVERS, "status": "enabled"})
        for number in range(self.chance.randrange(3)):
            served.setdefault("http.routers", {})[f"d{number}@docker"] = item(self._theirs())
        return Observation(live=live, served=served, doors=self._doors(), version="3.7.15")

    def _theirs(self) -> dict[str, Any]:
        door = self._of(("web", "websecure"))
        spec = {"rule": self._of(_RULES), "service": "d", "entryPoints": [door], "using": [door], "status": "enabled"}
        if self._often(0.3):
            spec["middlewares"] = [self._of(("door@docker", "door@file", "lan@file"))]
        if self._often(0.3):
            spec["tls"] = self._of(({}, {"options": "strict@file"}))
        return {**spec, "priority": self._of((3, 15, 40))}

    def _doors(self) -> tuple[dict[str, Any], ...]:
        web: dict[str, Any] = {"name": "web", "address": ":80"}
        secure: dict[str, Any] = {"name": "websecure", "address": ":443"}
        if self._often(0.2):
            web["http"] = {"middlewares": [self._of(("door@file", "lan@file", "plain@file"))]}
        if self._often(0.3):
            secure["http"] = {"tls": self._of(({}, {"options": "strict@file"}))}
        return web, secure

    # ── requests ──

    def requests(self, count: int) -> Iterator[Request]:
        for _ in range(count):
            yield Request(
                method=self._of(("GET", "GET", "POST")),
                target=self._of((*PATHS, "/c", "/ab")),
                host=self._of((*HOSTS, "c.lab", "y.a.lab", "a.lab.")),
                client_ip=self._of(("127.0.0.1", "10.1.2.3")),
                entry_point=self._of(("web", "websecure")),
                tls=self._often(0.5),
            )
