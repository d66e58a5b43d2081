"""What the real Traefik rejects is refused here first: its decoder, its rule parser, its checks, asked one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import orjson
import pytest

from reconciler import document
from reconciler.routing import rules
from reconciler.traefik import decoder, fields, kinds, language, render, validate
from reconciler.traefik.api import TraefikApi
from reconciler.traefik.fields import Free, Many, Record, Scalar, Shape, Table
from state.model import Address

ROUTER = "http:\n  routers:\n    a:\n      rule: Host(`a`)\n      service: noop@internal\n"
HEADER = "http:\n  middlewares:\n    h:\n      headers:\n        customResponseHeaders:\n          X-A: "
MIDDLEWARE = "http:\n  middlewares:\n    a:\n      "
SERVICE = "http:\n  services:\n    a:\n      "

DOCUMENTS = [
    # taken
    "",
    "# only a comment\n",
    "\ufeff" + ROUTER,
    "http:\n",
    ROUTER.replace("\n", "\r\n"),
    ROUTER + "...\n",
    "http:\n  routers:\n    a: {}\n",
    "HTTP:\n  Routers:\n    A:\n      RULE: x\n",
    ROUTER + "      tls:\n",
    ROUTER + "      tls: true\n",
    ROUTER + "      priority: '10'\n",
    ROUTER + "      priority: 010\n",
    ROUTER + "      priority: 1_000\n",
    ROUTER + "      priority: 1.0\n",
    ROUTER + "      entryPoints: web\n",
    ROUTER + "      observability: {metrics: 1}\n",
    HEADER + "no\n",
    HEADER + "1:30\n",
    HEADER + "'2001-01-01'\n",
    MIDDLEWARE + "compress: {}\n",
    MIDDLEWARE + "rateLimit: {average: 1, period: 30}\n",
    SERVICE + "loadBalancer: {servers: []}\n",
    MIDDLEWARE + "plugin: {a: {b: [1, {c: d}]}}\n",
    "tls:\n  options:\n    a: {}\n",
    # rejected
    "http: {}\n",
    "http: x\n",
    "x\n",
    "- a\n",
    "http:\n  routers: {}\n",
    "http:\n  routers:\n",
    "http:\n  routes:\n    a: {}\n",
    "http:\n  routers:\n    a:\n",
    ROUTER + "      colour: red\n",
    ROUTER + "      rule: again\n",
    ROUTER + "\tx: 1\n",
    ROUTER + "      priority: high\n",
    ROUTER + "      priority: 1.5\n",
    ROUTER + "      priority: true\n",
    ROUTER + "      priority: '0x10'\n",
    ROUTER + "      priority: 9223372036854775808\n",
    ROUTER + "      priority: [1]\n",
    ROUTER + "      entryPoints: [null]\n",
    ROUTER + "      entryPoints: [[web]]\n",
    ROUTER + "      entryPoints: [{a: b}]\n",
    ROUTER + "      observability: {metrics: yes}\n",
    ROUTER + "      observability: {}\n",
    ROUTER + "# {{ .x }}\n",
    ROUTER + "# \x01\n",
    ROUTER + "# \x7f\n",
    "%YAML 1.2\n---\n" + ROUTER,
    HEADER + "2001-01-01\n",
    HEADER + "\n",
    SERVICE + "loadBalancer: {}\n",
    SERVICE + "loadBalancer: x\n",
    SERVICE + "loadBalancer: {servers: }\n",
    SERVICE + "loadBalancer: {servers: [null]}\n",
    SERVICE + "weighted: {services: [], sticky: {}}\n",
    MIDDLEWARE + "headers: {}\n",
    MIDDLEWARE + "grpcWeb: {}\n",
    MIDDLEWARE + "plugin: {}\n",
    MIDDLEWARE + "plugin: {a: }\n",
    MIDDLEWARE + "rateLimit: {period: 1d}\n",
    MIDDLEWARE + "rateLimit: {period: 1.5}\n",
    "tls:\n  certificates:\n",
    "tls:\n  certificates: [null]\n",
    "tls:\n  options:\n    a:\n      clientAuth: {}\n",
    "http: [\n",
    HEADER.replace("X-A", "k" * 1100) + "a\n",
]

RULES = [
    "Host(`a`)",
    "HoSt(`a`)",
    "HOST(`a`)",
    "Hostregexp(`a`)",
    "pathPrefix(`/a`)",
    "Host(`a`, `b`)",
    "Host(``)",
    "Host()",
    "Host(`é`)",
    "Host(`a:80`)",
    "Path(`a`)",
    "Path(`/é`)",
    "PathRegexp(`(`)",
    "PathRegexp(`(?=a)`)",
    "PathRegexp(`\\C`)",
    "PathRegexp(`a{1001}`)",
    "PathRegexp(`(?P<n>a)`)",
    "Header(`a`, ``)",
    "Query(`a`)",
    "Query(`a`, ``)",
    "QueryRegexp(`(`)",
    "QueryRegexp(`a`, `(`)",
    "ClientIP(`1.2.3.4/33`)",
    "ClientIP(`10.0.0.1/8`)",
    "ClientIP(`fe80::1%eth0`)",
    "ClientIP(`x`)",
    "ClientIP(`1.2.3.4/255.0.0.0`)",
    "Host(`a`) and Path(`/`)",
    "Host(`a`) & Path(`/`)",
    "!!Host(`a`)",
    "Host('a')",
    'Host("a")',
    'Path("/\\x61\\u00e9")',
    'Path("/\\q")',
    'Path("/\\ud800")',
    "Host(`a`,)",
    "Host(`a`...)",
    "Header(`a`..., `b`)",
    "Host(`a`)\n&& Path(`/`)",
    "Host(`a`) &&\nPath(`/`)",
    "(Host(`a`)\n&& Path(`/`))",
    "(\nHost(`a`))",
    "Host(`a`\n)",
    "Host(`a`,\n)",
    "Host(`a`)\n",
    "Host(`a`);",
    "Host(`a`) // x",
    "Host(`a`) /* x",
    "Host(`a`) /* x\n */ && Path(`/`)",
    "\ufeffHost(`a`)",
    "Host(`a`)\ufeff",
    "true",
    "-Host(`a`)",
    "Host((`a`))",
    "(Host)(`a`)",
    "HostSNI(`a`)",
    "Host(`a`) Path(`/`)",
    "",
]
TCP_RULES = [
    "HostSNI(`a`)",
    "HostSNI(`*`)",
    "hostsni(`a`)",
    "HostSni(`a`)",
    "HostSNI(`*.a`)",
    "HostSNI(`a b`)",
    "HostSNI(`a.*`)",
    "HostSNI(`a:80`)",
    "HostSNI(`é`)",
    "HostSNIRegexp(`(`)",
    "ALPN(`h2`)",
    "ALPN(`acme-tls/1`)",
    "ALPN(``)",
    "ClientIP(`x`)",
    "Host(`a`)",
]


class Judge:
    """A real Traefik that is asked about whole directories: did it take them, and what does it say of each router?"""

    def __init__(self, traefik: Any, until: Callable[..., None]) -> None:
        self._traefik = traefik
        self._until = until
        self._numbers = count(1)

    def rejects(self, content: bytes) -> bool:
        """The case is in place before its marker: a marker that shows was loaded together with it."""
        number = next(self._numbers)
        mark, case = f"mark-{number}", f"case-{number}.yml"
        (self._traefik.directory / f"case-{number - 1}.yml").unlink(missing_ok=True)
        self._traefik.drop(case, content)
        self._traefik.drop("mark.yml", json.dumps({"http": {"middlewares": {mark: {"headers": {"frameDeny": True}}}}}))
        self._until(lambda: self._seen(mark) or f"{case}: " in self._traefik.log, f"a verdict on {content[:200]!r}")
        return f"{case}: " in self._traefik.log

    def faults(self, kind: str, routers: list[str]) -> list[bool]:
        """For each router r0, r1, … of the document that was judged last: does Traefik complain of it?"""
        api = TraefikApi(self._traefik.url)
        try:
            items = api.rawdata().of(kind)
            return [bool(items[f"{name}@file"].errors) for name in routers]
        finally:
            api.close()

    def prefixes(self) -> dict[str, str]:
        """What Traefik made of the prefix of every addPrefix middleware."""
        api = TraefikApi(self._traefik.url)
        try:
            return {item["name"]: item["addPrefix"]["prefix"] for item in api.middlewares() if "addPrefix" in item}
        finally:
            api.close()

    def _seen(self, mark: str) -> bool:
        return f"{mark}@file" in self._traefik.names("middlewares")


@pytest.fixture
def judge(start_traefik: Callable[..., Any], until: Callable[..., None]) -> Iterator[Judge]:
    yield Judge(start_traefik(throttle="1ms"), until)


def refused(content: bytes) -> bool:
    return bool(language.read_file("case.yml", content)[1])


def test_documents_are_taken_or_refused_as_traefik_does(judge: Judge) -> None:
    contents = [text.encode() for text in DOCUMENTS] + [b"http: \xff\n"]
    rejected = {content for content in contents if judge.rejects(content)}
    assert {content for content in contents if refused(content)} == rejected
    readable = {one: read for one in contents if not (read := document.read("f.yml", one, templates=False)).problems}
    assert {one for one, read in readable.items() if decoder.rejects(read.value)} == rejected & readable.keys()


def test_a_file_with_every_field_there_is_loads(judge: Judge) -> None:
    full = kinds.join({(kind, f"all-{n}"): _full(shape) for n, (kind, shape) in enumerate(fields.KINDS.items())})
    assert kinds.examine(full).faults == ()
    assert not judge.rejects(render.escape(orjson.dumps(full)))


def _full(shape: Shape) -> Any:
    match shape:
        case Record(inner):
            return {key: _full(value) for key, value in inner.items()}
        case Many(item):
            return [_full(item)]
        case Table(item):
            return {"key": _full(item)}
        case Free():
            return {"any": "thing"}
        case Scalar(takes):
            return {"text": "x", "number": 5, "switch": False, "duration": "5s"}[takes]


def test_no_awkward_text_in_our_file_poisons_it(judge: Judge) -> None:
    awkward = "{{ env `HOME` }} \x00\x01\x7f\x85\u2028\ufeff\ufffe\U0001f600 \\ \" ' ` \t\r\n #: - é"
    values = {Address("t", "http.routers", f"r{n}"): {"rule": c, "service": awkward} for n, c in enumerate(awkward)}
    assert not judge.rejects(render.render(values, marker="waypost-gen-1", provenance={"note": awkward}))


@pytest.mark.parametrize(("protocol", "texts"), [("http", RULES), ("tcp", TCP_RULES)])
def test_rules_are_taken_or_refused_as_traefik_does(judge: Judge, protocol: str, texts: list[str]) -> None:
    service, tls = ("noop@internal", None) if protocol == "http" else ("s", {})
    routers = {f"r{n}": {"rule": rule, "service": service, "tls": tls} for n, rule in enumerate(texts)}
    servers = {"tcp": {"services": {"s": {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}}}}
    content = {protocol: {**servers.get(protocol, {}), "routers": routers}}
    assert not judge.rejects(render.escape(orjson.dumps(content)))
    real = dict(zip(texts, judge.faults(f"{protocol}.routers", list(routers)), strict=True))
    assert {text: _is_refused(text, protocol) for text in texts} == real


def _is_refused(text: str, protocol: str) -> bool:
    try:
        return bool(rules.faults(rules.parse(text, protocol)))
    except rules.ParseError:
        return True


SERVERS = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}
PARTS: list[tuple[str, Any]] = [
    ("services", SERVERS),
    ("services", {}),
    ("services", {**SERVERS, "weighted": {"services": [{"name": "fine"}]}}),
    ("services", {**SERVERS, "middlewares": ["no"]}),
    ("services", {"weighted": {"services": [{"name": "fine"}]}}),
    ("services", {"weighted": {"services": [{"name": "no"}]}}),
    ("services", {"weighted": {"services": [{"weight": 1}]}}),
    ("services", {"weighted": {"services": [{"name": "part"}]}}),
    ("services", {"mirroring": {"service": "fine", "mirrors": [{"name": "no"}]}}),
    ("services", {"mirroring": {"mirrors": []}}),
    ("services", {"loadBalancer": {"servers": [{"url": "127.0.0.1:80"}]}}),
    ("services", {"loadBalancer": {"servers": [{"url": "http://a:b"}]}}),
    ("services", {"loadBalancer": {"servers": [{"url": "http://a b"}]}}),
    ("services", {"loadBalancer": {"servers": [{"url": "h2c://a/?x"}]}}),
    ("services", {"loadBalancer": {"servers": [{"url": "http://a"}], "serversTransport": "no"}}),
    *(("services", {"loadBalancer": {"strategy": s}}) for s in ("wrr", "p2c", "hrw", "leasttime", "luck")),
    ("middlewares", {"addPrefix": {"prefix": "/x"}}),
    ("middlewares", {}),
    ("middlewares", {"addPrefix": {"prefix": "/x"}, "compress": {}}),
    ("middlewares", {"chain": {"middlewares": ["part"]}}),
    ("middlewares", {"chain": {"middlewares": ["no"]}}),
    ("middlewares", {"errors": {"service": "no", "status": ["500"], "query": "/"}}),
    ("middlewares", {"redirectRegex": {"regex": "(", "replacement": "x"}}),
    ("middlewares", {"ipAllowList": {"sourceRange": ["x"]}}),
    ("middlewares", {"ipAllowList": {"sourceRange": []}}),
    ("middlewares", {"basicAuth": {"users": []}}),
    ("middlewares", {"redirectScheme": {"scheme": ""}}),
    ("middlewares", {"retry": {"attempts": 0}}),
    ("middlewares", {"retry": {"attempts": -1}}),
    ("middlewares", {"basicAuth": {"users": ["a:b"]}, "headers": None}),
    ("middlewares", {"basicAuth": {"users": ["a:b"]}, "headers": {"frameDeny": True}}),
    ("middlewares", {"chain": {"middlewares": []}, "basicAuth": {"users": ["a:b"]}}),
    *(("middlewares", {"basicAuth": {"users": [user]}}) for user in ("a:b", "a:b:c", "a", "", "a:", ":b")),
    *(("middlewares", {"digestAuth": {"users": [user]}}) for user in ("a:b", "a:b:c", "a:b:c:d")),
    *(("middlewares", {"errors": {"service": "fine", "status": [one]}})
      for one in ("500", "500-599", "599-500", "500-", "-500", "5xx", " 500", "500-501-502", "99999")),
    ("middlewares", {"errors": {"status": ["500"]}}),
    ("middlewares", {"errors": {"service": "fine", "status": ["500"], "statusRewrites": {"x": 200}}}),
    *(("middlewares", {"ipAllowList": {"sourceRange": ["::1"], "rejectStatusCode": code}})
      for code in (0, 99, 100, 199, 226, 306, 404, 418, 427, 451, 499, 511, 599, 9999)),
    ("middlewares", {"ipAllowList": {"sourceRange": ["::1"], "ipStrategy": {"excludedIPs": ["x"]}}}),
    *(("middlewares", {"ipAllowList": {"sourceRange": ["::1"], "ipStrategy": {"ipv6Subnet": one}}})
      for one in (-1, 64, 128, 129)),
    ("middlewares", {"inFlightReq": {"amount": 1, "sourceCriterion": {"ipStrategy": {"excludedIPs": ["x"]}}}}),
    ("middlewares", {"rateLimit": {"average": 1, "period": "-1s"}}),
    ("middlewares", {"rateLimit": {"average": 1, "sourceCriterion": {"requestHost": True, "requestHeaderName": "x"}}}),
    *(("middlewares", {"circuitBreaker": {"expression": one}}) for one in (
        "NetworkErrorRatio() > 0.3", "ResponseCodeRatio(500, 600, 0, 600) > 0.25 || LatencyAtQuantileMS(50.0) > 50",
        "", "(", "!(NetworkErrorRatio() > 0.3)", "NetworkErrorRatio() != 0.3", "networkErrorRatio() > 0.3")),
    ("middlewares", {"circuitBreaker": {"checkPeriod": "1s"}}),
    *(("middlewares", {"buffering": {"maxRequestBodyBytes": 5, "retryExpression": one}}) for one in (
        "IsNetworkError() && Attempts() < 2", 'RequestMethod() == "GET!"', "!IsNetworkError()", "Bogus()", "")),
    *(("middlewares", {"buffering": {f"{one}BodyBytes": -1}})
      for one in ("maxRequest", "memRequest", "maxResponse", "memResponse")),
    *(("middlewares", {"compress": {key: [one]}}) for key in ("excludedContentTypes", "includedContentTypes")
      for one in ("text/html", "text/html; charset=utf-8", "x", "text/", "", "a b", "a;;b", "text/html; q")),
    ("middlewares", {"compress": {"excludedContentTypes": ["a/b"], "includedContentTypes": ["a/c"]}}),
    *(("middlewares", {"compress": {"encodings": [one]}}) for one in ("gzip", "br", "zstd", "deflate")),
    *(("middlewares", {"compress": {"defaultEncoding": one}}) for one in ("gzip", "identity")),
    ("middlewares", {"compress": {"encodings": ["br"], "defaultEncoding": "gzip"}}),
    *(("middlewares", {"headers": one}) for one in (
        {"frameDeny": False}, {"referrerPolicy": ""}, {"accessControlAllowMethods": []}, {"stsSeconds": 0},
        {"customRequestHeaders": {"A": ""}})),
    ("middlewares", {"addPrefix": {"prefix": ""}}),
    *(("services", {"mirroring": {"service": "fine", "mirrors": [{"name": "fine", "percent": share}]}})
      for share in (-1, 0, 100, 101)),
]  # fmt: skip


@pytest.mark.parametrize("group", ["services", "middlewares"])
def test_parts_that_disable_their_router_are_named_beforehand(judge: Judge, group: str) -> None:
    """Each part gets a router and names of its own: `part` and `fine` become part-3 and fine-3."""
    parts = [spec for kind, spec in PARTS if kind == group]
    section: dict[str, dict[str, Any]] = {"routers": {}, "services": {}, "middlewares": {}}
    for number, spec in enumerate(parts):
        text = json.dumps(spec).replace('"part"', f'"part-{number}"').replace('"fine"', f'"fine-{number}"')
        section[group][f"part-{number}"] = json.loads(text)
        section["services"][f"fine-{number}"] = SERVERS
        use = {"service": f"part-{number}"} if group == "services" else {"service": "noop@internal"}
        use_middleware = {"middlewares": [f"part-{number}"]} if group == "middlewares" else {}
        section["routers"][f"r{number}"] = {"rule": "Path(`/x`)", **use, **use_middleware}
    content = {"http": {key: value for key, value in section.items() if value}}
    assert not judge.rejects(orjson.dumps(content))
    real = judge.faults("http.routers", list(section["routers"]))
    snapshot = {Address("t", *name): spec for name, spec in kinds.split(content).items()}
    problems = validate.check(snapshot, live=validate.LiveNames())
    named = {problem.address for problem in problems if problem.severity == "error"}
    ours = [f"t/http.{group}/part-{number}" in named for number in range(len(parts))]
    assert [(part, said) for part, said, is_so in zip(parts, ours, real, strict=True) if said != is_so] == []


WORDS = [
    "no",
    "010",
    "0o10",
    "08",
    "0x1F",
    "0b11",
    "1_000",
    "+5",
    "1e3",
    ".5",
    "1:30",
    "true",
    "TRUE",
    "tRUE",
    "1.50",
    "-",
    "0",
    "-0",
    "1.",
    "00",
    "1e-3",
    "0.0000001",
    "=",
]


def test_scalars_are_what_traefik_makes_of_them(judge: Judge) -> None:
    lines = [f"    m{number}: {{addPrefix: {{prefix: {word}}}}}\n" for number, word in enumerate(WORDS)]
    text = "http:\n  middlewares:\n" + "".join(lines)
    assert not judge.rejects(text.encode())
    served = judge.prefixes()
    read = document.read("f.yml", text.encode()).value["http"]["middlewares"]
    ours = {f"{name}@file": _as_traefik_writes(spec["addPrefix"]["prefix"]) for name, spec in read.items()}
    assert served == ours


def _as_traefik_writes(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}".removesuffix(".000000") if isinstance(value, float) else str(value)
