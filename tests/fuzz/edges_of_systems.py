"""What the systems of the house tell the gateway's shards, and what models ask of them."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from pydantic_core import from_json

from reconciler.query_client import QueryClient
from reconciler.setting import Secret
from shards import belongings, systems
from shards.audit import Audit
from shards.authentik_live import AuthentikAt
from shards.config import GatewaySettings
from shards.gitea_reading import GiteaAt
from shards.kit import Call, Refused
from shards.komodo_at import KomodoAt
from shards.log_sources import LogsAt
from shards.proposing import Desk
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.leaping import AT, Leaping
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.peer import Odd, Peer, odd, said, serving
from tests.fuzz.stub import HEAD, answer, stub
from tests.shards.serving import NOBODY, DesiredRepo

CALL = Call(request_id="r1", client="test", tool="x")
WANTED = {
    "traefik/grafana.yaml": b"http:\n  routers: {grafana: {rule: Host(`grafana.lab`), service: grafana}}\n"
    b'  services: {grafana: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}}\n',
    "komodo/grafana/stack.toml": b'[[stack]]\nname = "grafana"\n[stack.config]\nserver = "nas"\n',
    "komodo/grafana/compose.yaml": b"services: {web: {image: grafana}}\n",
    "authentik/grafana.yaml": b"version: 1\nentries:\n"
    b"  - {model: authentik_core.application, identifiers: {slug: grafana}, attrs: {name: Grafana}}\n",
}
Asked = tuple[str, Mapping[str, Any]]
"""A tool and its arguments."""

DIAGNOSE: Asked = ("traefik_diagnose", {"what": "http://grafana.lab/x", "status": 502})

Told = tuple[Asked, str, bytes]
"""What is asked, and what is answered at which path, as it goes over the wire."""

At = Callable[[str, Secret], dict[str, Any]]
"""What the gateway's settings say of a system at this address that is opened with this."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A system that answers over HTTP: `usual` by path, text as bytes and JSON as values; and who asks what where."""

    at: At
    usual: Mapping[str, Any]
    asked: Mapping[str, tuple[Asked, ...]]

    def told(self, mutator: Mutator) -> Told:
        path = mutator.chance.choice(list(self.asked))
        asked, usual = mutator.chance.choice(self.asked[path]), self.usual[path]
        if mutator.chance.random() < 0.15:
            return asked, path, mutator.content([*WIRE, answer(_bytes(usual))])
        if isinstance(usual, bytes):
            return asked, path, answer(mutator.content([usual]))
        return asked, path, answer(mutator.document([usual], [written(usual)]))

    @contextlib.contextmanager
    def opened(self, place: Path) -> Iterator[Take]:
        well = {path: answer(_bytes(usual)) for path, usual in self.usual.items()}
        with stub() as server, _tools(place, self.at, server.url) as ask:

            def take(given: Told) -> bool:
                asked, path, content = given
                server.answers = {**well, path: content}
                return ask(asked)

            yield take


def _bytes(usual: Any) -> bytes:
    return usual if isinstance(usual, bytes) else written(usual)


@contextlib.contextmanager
def _tools(place: Path, at: At, url: str) -> Iterator[Callable[[Asked], bool]]:
    """Every tool of the gateway's own shards, put together as in a gateway; its reconciler is away."""
    (place / "secret").write_text("right")
    desired, clock = DesiredRepo(place / "desired.git"), Leaping()
    desired.commit(WANTED)
    chosen = {"reconciler_url": NOBODY, **at(url, Secret(f"file:{place / 'secret'}"))}
    settings = GatewaySettings(directory=place / "gateway", source=desired.path, **chosen)
    settings.directory.mkdir()
    with contextlib.ExitStack() as stack:
        audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient(settings.reconciler_url)
        stack.callback(audit.close)
        stack.callback(query.close)
        chance = Random(0).randbytes
        desk = Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, chance)
        shards, close = systems.shards(settings, desk, clock, chance)
        stack.callback(close)
        tools = {f"{shard.prefix}{tool.name}": tool for shard in shards for tool in shard.tools()}

        def ask(asked: Asked) -> bool:
            clock.leap()
            told = tools[asked[0]].run(CALL, asked[1])
            text = told.model_dump_json(exclude_none=True)
            assert "could not be understood" not in text, text
            return not (getattr(told, "unasked", "") or getattr(told, "unknown", ""))

        yield ask


# ── Docker ───────────────────────────────────────────────────────────────────────────────────────

ID = "a1" * 32
STAMP = b"2026-01-02T03:04:0%d.123456789Z "
LINES = (b"GET / 200", b"error: no route to db:5432", b'{"level": "warn", "msg": "slow"}', b"token=hunter2hunter2")
TERMINAL = b"".join(STAMP % number + line + b"\r\n" for number, line in enumerate(LINES))
LOG = b"".join(
    struct.pack(">BxxxI", 1 + number % 2, len(STAMP % number + line) + 1) + STAMP % number + line + b"\n"
    for number, line in enumerate(LINES)
)
CONTAINER = {
    "Id": ID, "Names": ["/grafana", "/other/grafana"], "Image": "grafana:12", "State": "running",
    "Status": "Up 3 hours (unhealthy)", "Health": {"Status": "unhealthy"},
    "Labels": {"com.docker.compose.project": "house", "com.docker.compose.service": "grafana",
               "traefik.http.routers.grafana.rule": "Host(`grafana.lab`)"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 3000, "PublicPort": 9, "Type": "tcp"}],
    "NetworkSettings": {"Networks": {"lan": {"IPAddress": "127.0.0.1", "Aliases": ["grafana"]}}},
}  # fmt: skip
USED = {
    "cpu_stats": {"cpu_usage": {"total_usage": 2_000, "percpu_usage": [1, 2]}, "system_cpu_usage": 9_000},
    "precpu_stats": {"cpu_usage": {"total_usage": 1_000}, "system_cpu_usage": 5_000},
    "memory_stats": {"usage": 300 << 20, "limit": 1 << 30, "stats": {"inactive_file": 44 << 20}},
    "pids_stats": {"current": 17}, "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}},
}  # fmt: skip
BOX = {"container": "grafana"}
LIST: Asked = ("dozzle_list_containers", {})
TAIL: Asked = ("dozzle_tail_logs", BOX)
SEARCH: Asked = ("dozzle_search_logs", {**BOX, "text": "route"})
STATS: Asked = ("dozzle_get_container_stats", BOX)

DOCKER = System(
    at=lambda url, _: {"logs": LogsAt(docker_url=url)},
    usual={
        "/version": {"ApiVersion": "1.51"},
        "/v1.51/containers/json": [CONTAINER],
        f"/v1.51/containers/{ID}/logs": LOG,
        f"/v1.51/containers/{ID}/stats": USED,
    },
    asked={
        "/version": (LIST,),
        "/v1.51/containers/json": (LIST, TAIL, DIAGNOSE),
        f"/v1.51/containers/{ID}/logs": (
            TAIL,
            SEARCH,
            ("dozzle_tail_logs", {**BOX, "lines": 1000, "output": "stderr"}),
        ),
        f"/v1.51/containers/{ID}/stats": (STATS,),
    },
)


def _stream(mutator: Mutator) -> Told:
    """A log as it comes: with frames or without, and with the name of its kind or without."""
    kind = mutator.chance.choice((b"vnd.docker.multiplexed-stream", b"vnd.docker.raw-stream", b"octet-stream"))
    content = mutator.content([LOG, LOG, TERMINAL])
    head = HEAD.replace(b"application/json", b"application/" + kind)
    path = f"/v1.51/containers/{ID}/logs"
    return mutator.chance.choice(DOCKER.asked[path]), path, head % len(content) + content


# ── Dozzle ───────────────────────────────────────────────────────────────────────────────────────

AT_MS = int(AT.timestamp() * 1000)
SEEN = {
    "id": ID[:12], "name": "grafana", "image": "grafana:12", "state": "running", "health": "unhealthy", "host": "local",
    "labels": CONTAINER["Labels"], "stats": [{"cpu": 1.5, "memory": 2.5, "memoryUsage": 1e6, "networkRxTotal": 5}],
}  # fmt: skip
STAT = {"id": ID[:12], "cpu": 1.5, "memory": 2.5, "memoryUsage": 1_048_576, "networkRxTotal": 1, "networkTxTotal": 2}
OF_PAGE = [
    {"t": "single", "m": "&lt;no&gt; <a href=\"http://x\" target=\"_blank\">http://x</a> <mark>route</mark>",
     "rm": "", "ts": AT_MS, "l": "error", "s": "stderr"},
    {"t": "group", "m": [{"m": "one"}, {"m": "two"}], "ts": AT_MS, "l": "unknown", "s": "stdout"},
    {"t": "complex", "m": {"msg": ["route"], "n": 1}, "rm": '{"msg": "route"}', "ts": AT_MS + 1, "l": "info", "s": ""},
]  # fmt: skip
OF_TOOL = [
    {
        "timestamp": "2026-01-02T03:04:05.123Z",
        "level": "error",
        "stream": "stderr",
        "type": "single",
        "message": "no route",
    },
    {
        "timestamp": "2026-01-02T03:04:05+02:00",
        "level": "unknown",
        "stream": "stdout",
        "message": ["one", {"m": "route"}],
    },
]
EVENTS_TOLD = b"".join(
    b"event: %s\ndata: %s\n\n" % (name, written(data))
    for name, data in ((b"ping", {}), (b"containers-changed", [SEEN]), (b"container-stat", STAT))
)


def _lines(entries: Sequence[Any]) -> bytes:
    return b"\n".join(map(written, entries))


PAGES = System(
    at=lambda url, _: {"logs": LogsAt(dozzle_url=url)},
    usual={
        "/api/version": b"<pre>v10.5.0</pre>",
        "/api/events/stream": EVENTS_TOLD,
        f"/api/hosts/local/containers/{ID[:12]}/logs": _lines(OF_PAGE),
    },
    asked={
        "/api/version": (LIST,),
        "/api/events/stream": (LIST, STATS, DIAGNOSE),
        f"/api/hosts/local/containers/{ID[:12]}/logs": (TAIL, SEARCH),
    },
)


def _of_pages(mutator: Mutator) -> Told:
    """What Dozzle's pages get; in its lines and events a value of another shape more often than a broken line."""
    asked, path, whole = PAGES.told(mutator)
    if path.endswith("/logs") and mutator.chance.random() < 0.6:
        whole = answer(_lines([mutator.value(one) for one in OF_PAGE]))
    elif path.endswith("/stream") and mutator.chance.random() < 0.6:
        told = (b"containers-changed", mutator.value([SEEN])), (b"container-stat", mutator.value(STAT))
        whole = answer(b"".join(b"event: %s\ndata: %s\n\n" % (name, written(data)) for name, data in told))
    return asked, path, whole


TOLD = {
    "list_containers": written([SEEN]),
    "get_container_logs": _lines(OF_TOOL),
    "search_container_logs": b"Found 2 matches:\n" + _lines(OF_TOOL),
    "get_container_stats": written(
        {"memoryLimitBytes": 1 << 30, "stats": [{"cpuPercent": 1.5, "memoryPercent": 2.5, "memoryUsageBytes": 1 << 20}]}
    ),
}
ASKS = {
    "list_containers": LIST,
    "get_container_logs": TAIL,
    "search_container_logs": SEARCH,
    "get_container_stats": STATS,
}


class DozzleTools(Peer):
    """Dozzle's MCP server."""

    def question(self, asked: Mapping[str, Any]) -> str:
        method = str(asked["method"])
        return str(asked["params"]["name"]) if method == "tools/call" else method

    def usual(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        method = self.question(asked)
        return _called(TOLD[method].decode()) if method in TOLD else super().usual(asked)


def _called(text: str) -> dict[str, Any]:
    """The answer to a call of a tool that says this."""
    whole = said("tools/call")
    return {**whole, "result": {**whole["result"], "content": [{"type": "text", "text": text}]}}


def _of_tools(mutator: Mutator) -> tuple[Asked, Odd]:
    """An odd answer, or a good one that holds an odd text."""
    tool = mutator.chance.choice(list(TOLD))
    if mutator.chance.random() < 0.3:
        given = odd(mutator, "/api/mcp", tool, _called(TOLD[tool].decode()))
        # Who waits for the rest of a stream waits for all the time there is, and that is not what is sought here.
        return ASKS[tool], replace(given, framing="json") if given.framing == "events" else given
    text = mutator.content([TOLD[tool]]).decode("utf-8", "replace")
    if tool.endswith("_logs") and mutator.chance.random() < 0.5:
        text = _lines([mutator.value(one) for one in OF_TOOL]).decode()
    return ASKS[tool], Odd("/api/mcp", tool, "json", written(_called(text)))


@contextlib.contextmanager
def _dozzle_tools(place: Path) -> Iterator[Take]:
    with serving(DozzleTools()) as server, _tools(place, PAGES.at, server.url) as ask:
        server.answers = {"/api/version": answer(b"<pre>v10.7.3</pre>")}
        logging.disable(logging.CRITICAL)

        def take(given: tuple[Asked, Odd]) -> bool:
            asked, server.odd = given
            return ask(asked)

        yield take
    logging.disable(logging.NOTSET)


# ── Komodo ───────────────────────────────────────────────────────────────────────────────────────

STACK = {"stack": "grafana"}
WRITTEN = {
    "stdout": "web-1  | 2026-01-02T03:04:05.123456789Z said\nweb-1  | 2026-01-02T03:04:07+02:00 more\n",
    "stderr": "2026-01-02T03:04:06Z no\nand why", "stage": "Logs", "success": True,
}  # fmt: skip
MONGO = {"$oid": "0" * 24}
DEPLOYED = {"id": "1", "operation": "DeployStack", "status": "Complete", "start_ts": AT_MS, "username": "ada"}
KOMODO = System(
    at=lambda url, secret: {"komodo": (KomodoAt(url=url, key=secret, secret=secret),)},
    usual={
        "/read/ListStacks": [{"id": "1", "name": "grafana", "info": {"state": "down", "deployed_hash": "abc"}}],
        "/read/GetStack": {"_id": MONGO, "name": "grafana", "config": {"server_id": "1"}, "info": {}},
        "/read/ListStackServices": [{"service": "web", "image": "a", "container": {"name": "m", "state": "exited"}}],
        "/read/GetStackLog": WRITTEN,
        "/read/ListUpdates": {"updates": [DEPLOYED]},
        "/read/GetUpdate": {"_id": MONGO, "status": "Complete", "logs": [{**WRITTEN, "success": False}]},
    },
    asked={
        "/read/ListStacks": (("komodo_list_stacks", {}), DIAGNOSE),
        "/read/GetStack": (("komodo_recent_updates", STACK),),
        "/read/ListStackServices": (("komodo_get_stack", STACK), DIAGNOSE),
        "/read/GetStackLog": (("komodo_get_stack_log", STACK), ("komodo_get_stack_log", {**STACK, "lines": 1})),
        "/read/ListUpdates": (("komodo_recent_updates", STACK), DIAGNOSE),
        "/read/GetUpdate": (("komodo_recent_updates", STACK), DIAGNOSE),
    },
)

# ── Gitea ────────────────────────────────────────────────────────────────────────────────────────

OF_DESIRED = "/api/v1/repos/house/desired"
GITEA = System(
    at=lambda url, secret: {"gitea": GiteaAt(url=url, repository="house/desired", token=secret)},
    usual={
        "/api/v1/repos/search": {"ok": True, "data": [
            {"full_name": "house/desired", "description": "a", "default_branch": "main", "open_pr_counter": 1},
        ]},
        f"{OF_DESIRED}/pulls": [
            {"number": 7, "title": "Say", "state": "open", "merged": False, "merged_by": None, "user": {"login": "ada"},
             "head": {"ref": "proposals/p1", "sha": "c" * 40}, "html_url": "http://git.lab/7", "updated_at": "2026"},
        ],
        f"{OF_DESIRED}/commits/{'c' * 40}/status": {"statuses": [
            {"context": "waypost/plan", "status": "success", "description": "1 change"},
        ]},
        f"{OF_DESIRED}/hooks": [
            {"id": 1, "type": "gitea", "active": True, "events": ["push"], "branch_filter": "*", "updated_at": "2026",
             "config": {"url": "http://127.0.0.1:9101/webhooks/gitea", "content_type": "json"}},
        ],
    },
    asked={
        "/api/v1/repos/search": (("gitea_list_repositories", {"name": "des"}),),
        f"{OF_DESIRED}/pulls": (("gitea_list_pull_requests", {"state": "all"}),),
        f"{OF_DESIRED}/commits/{'c' * 40}/status": (("gitea_list_pull_requests", {}),),
        f"{OF_DESIRED}/hooks": (("gitea_list_webhooks", {}), ("gitea_list_webhooks", {})),
    },
)  # fmt: skip

# ── authentik ────────────────────────────────────────────────────────────────────────────────────

APPLICATION = {
    "slug": "grafana", "name": "Grafana", "launch_url": "http://ada@grafana.lab/?x=1#y",
    "provider_obj": {"name": "grafana", "verbose_name": "Proxy Provider"},
}  # fmt: skip
OUTPOST = {"name": "authentik Embedded Outpost", "providers_obj": [{"name": "grafana"}]}
AUTHENTIK = System(
    at=lambda url, secret: {"authentik": (AuthentikAt(url=url, token=secret),)},
    usual={
        "/api/v3/core/applications/": {"pagination": {"next": 0, "count": 1}, "results": [APPLICATION]},
        "/api/v3/outposts/instances/": {"pagination": {"next": 0}, "results": [OUTPOST]},
    },
    asked={
        "/api/v3/core/applications/": (("authentik_list_applications", {}), DIAGNOSE),
        "/api/v3/outposts/instances/": (DIAGNOSE,),
    },
)

# ── the reconciler ───────────────────────────────────────────────────────────────────────────────

ADDRESS = "traefik/http.routers/grafana"
HAPPENED = {"seq": 1, "at": "2026-01-02T03:04:05Z", "type": "RevisionProven", "said": "proven", "data": {"a": [1]}}
SERVER = {"url": "http://10.0.0.1:80"}
FOREIGN = {
    "router": "wiki@docker", "provider": "docker", "priority": 19, "parents": [], "missing": [],
    "entry_points": ["web"],
    "resources": [
        {"kind": "http.routers", "name": "wiki@docker", "secrets": [], "used_by": [],
         "spec": {"rule": "Host(`wiki.lab`)", "service": "wiki", "middlewares": ["slow@docker"], "tls": {}}},
        {"kind": "http.services", "name": "wiki@docker", "secrets": [], "used_by": ["a"],
         "spec": {"loadBalancer": {"servers": [SERVER]}}, "whole": {"loadBalancer": {"passHostHeader": True}}},
        {"kind": "http.middlewares", "name": "slow@docker", "spec": {"rateLimit": {"average": 1}}, "secrets": ["/a"]},
    ],
}  # fmt: skip
ROUTER = {"router": "wiki@docker"}
RECONCILER = System(
    at=lambda url, secret: {"reconciler_url": url, "gitea": GiteaAt(url=url, repository="house/desired")},
    usual={
        "/query/history": {"events": [HAPPENED]},
        "/query/drift": {"drift": [{"address": ADDRESS, "kind": "changed", "fields": ["rule"], "by": "ada"}]},
        "/query/explain": {"router": "grafana", "middlewares": ["a"], "status": None, "words": ["grafana@file"]},
        "/query/live": {"ours": {ADDRESS: {}}, "foreign": {"traefik/http.routers/x@docker": "docker"}},
        "/query/foreign": FOREIGN,
        "/query/deployed": {"revisions": [{"number": 1, "commit": "c", "commits": [{"commit": "c", "by": "ada"}]}]},
        "/query/webhooks": {"since": "2026", "taken": 1, "not_taken": 0, "deliveries": [
            {"at": "2026", "event": "push", "delivery": "1", "taken": True, "said": "x", "due": 1, "is_over": True},
        ]},
        **{path: usual for path, usual in GITEA.usual.items() if path.endswith("/hooks")},
    },
    asked={
        "/query/history": (("traefik_route_history", {"name": "grafana"}),),
        "/query/drift": (("traefik_drift_report", {}),),
        "/query/explain": (("traefik_explain_request", {"url": "http://grafana.lab/x"}),),
        "/query/live": (("traefik_list_routes", {}), ("traefik_list_middlewares", {})),
        "/query/foreign": (("traefik_get_route", {"name": "wiki@docker"}),
                           ("traefik_adopt_route", {**ROUTER, "reason": "because"})),
        "/query/deployed": (("gitea_list_deployments", {}),),
        "/query/webhooks": (("gitea_list_webhooks", {}),),
    },
)  # fmt: skip

# ── what models ask of them ──────────────────────────────────────────────────────────────────────

ARGUMENTS: tuple[Asked, ...] = (
    LIST, TAIL, SEARCH, STATS,
    ("komodo_get_stack_log", {**STACK, "services": ["web"], "lines": 10}),
    ("komodo_recent_updates", {**STACK, "limit": 3}),
    ("komodo_restart_stack", {**STACK, "reason": "because it is stuck", "services": ["web"]}),
    ("gitea_list_repositories", {"name": "des"}),
    ("gitea_list_webhooks", {"repository": "house/desired"}),
    ("authentik_get_blueprint", {"name": "grafana"}),
    ("authentik_create_application", {
        "slug": "wiki", "title": "Wiki", "external_host": "https://wiki.lab", "reason": "because somebody asked",
        "kind": "oauth2", "redirect_uris": ["https://wiki.lab/back"], "groups": ["figures"],
    }),
    ("authentik_set_blueprint", {
        "name": "grafana", "content": WANTED["authentik/grafana.yaml"].decode(), "reason": "because somebody asked",
    }),
)  # fmt: skip
HOUSE = (DOCKER, KOMODO, GITEA, AUTHENTIK)
EVERYTHING = System(
    at=lambda url, secret: {name: at for one in HOUSE for name, at in one.at(url, secret).items()},
    usual={path: usual for one in HOUSE for path, usual in one.usual.items()},
    asked={},
)


def _arguments(mutator: Mutator) -> Told:
    """Everybody answers well, and is asked strangely."""
    tool, given = mutator.chance.choice(ARGUMENTS)
    try:
        asked = from_json(written(mutator.value(given)))  # as the SDK reads it: without halves of characters
    except ValueError:
        asked = {}
    return (tool, asked if isinstance(asked, dict) else {"?": asked}), "", b""


EDGES = (
    Edge(name="log stream of Docker", share=250, make=_stream, opened=DOCKER.opened, family=(Refused,)),
    Edge(name="answer of Docker", share=150, make=DOCKER.told, opened=DOCKER.opened, family=(Refused,)),
    Edge(name="pages of Dozzle", share=150, make=_of_pages, opened=PAGES.opened, family=(Refused,)),
    Edge(name="MCP server of Dozzle", share=12, make=_of_tools, opened=_dozzle_tools, family=(Refused,)),
    Edge(name="what Komodo tells models", share=60, make=KOMODO.told, opened=KOMODO.opened, family=(Refused,)),
    Edge(name="what Gitea tells models", share=120, make=GITEA.told, opened=GITEA.opened, family=(Refused,)),
    Edge(name="what authentik tells", share=30, make=AUTHENTIK.told, opened=AUTHENTIK.opened, family=(Refused,)),
    Edge(
        name="what was planned and seen", share=100, make=RECONCILER.told, opened=RECONCILER.opened, family=(Refused,)
    ),
    Edge(name="arguments of systems' tools", share=100, make=_arguments, opened=EVERYTHING.opened, family=(Refused,)),
)
